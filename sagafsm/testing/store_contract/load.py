# ruff: noqa: S101 -- a contract asserts
"""What is read is what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import example, given

from sagafsm.errors import SagaNotFound
from sagafsm.history.instance import fold
from sagafsm.store import Store
from sagafsm.testing.races import race
from sagafsm.testing.sample_histories import (
    ids,
    list_event_types,
    make_cancel_requested,
    make_every_event,
    make_history,
    make_instance_completed,
    make_instance_created,
    make_step_started,
    make_step_succeeded,
    number_events,
)
from sagafsm.testing.store_contract.append import SHARED_STORE
from sagafsm.testing.store_contract.base import ALICE, ID, LEASE, StoreContractPart
from sagafsm.value import replace

AWKWARD = (
    "o'17",
    'o"17',
    "100%",
    "a_b",
    "aXb",
    " a b ",
    "A",
    "a",
    "Ünïcode 🍵 名前",
    "e\u0301",
    "é",
    "x" * 200,
    "名" * 200,
    "--",
    ";",
    "\\",
    "NULL",
    "0",
    "00",
)


class ReadingContract(StoreContractPart):
    """The laws of load and history, and of ids."""

    def test_history_returns_equal_events_of_every_kind(self, store: Store) -> None:
        """Every kind of event comes back equal, field by field, to the microsecond."""
        events = make_every_event(ID)
        assert list_event_types() == {type(event) for event in events}
        token = store.create(ID, events[:1], owner=ALICE, lease=LEASE)
        store.append(ID, events[1:], expected_version=1, token=token)
        assert events == store.history(ID)
        assert events == self.reopen(store).history(ID)

    def test_a_payload_of_a_mebibyte_comes_back_equal(self, store: Store) -> None:
        """The largest payload that is allowed by default is stored like any other."""
        text = json.dumps("é" * (512 * 1024 - 1), ensure_ascii=False)
        assert len(text.encode()) == 1_048_576
        token = store.create(ID, (make_instance_created(ID, input_json=text),), owner=ALICE, lease=LEASE)
        self.add(store, token, make_step_started(), make_step_succeeded("reserve", text))
        assert [text, text] == [
            getattr(event, name)
            for event in self.reopen(store).history(ID)
            for name in ("input_json", "result_json")
            if hasattr(event, name)
        ]

    def test_a_message_that_has_no_utf8_comes_back_equal(self, store: Store) -> None:
        """An error's message may hold what a file name held: a lone surrogate is text of Python, too."""
        odd = replace(make_cancel_requested("r-1"), reason="no file 'caf\udce9'")
        token = self.begin(store)
        self.add(store, token, odd)
        assert odd.reason == getattr(self.reopen(store).history(ID)[-1], "reason", None)

    def test_load_gives_the_folded_instance_with_its_owner(self, store: Store) -> None:
        """The instance is the fold of its history; its owner is the one of its row."""
        self.begin(store, make_step_succeeded("reserve"))
        stored = store.load(ID)
        assert replace(fold(None, store.history(ID)), owner="alice") == stored.instance
        assert (stored.summary.length, stored.summary.state, stored.summary.owner) == (3, "running:reserve", ALICE)

    def test_load_is_as_of_one_moment(self, store: Store) -> None:
        """While others append, row and history of every load fit together."""
        token = self.begin(store)

        def append() -> None:
            for version in range(2, 32):
                one = number_events((make_step_succeeded("reserve"),), after=version)
                store.append(ID, one, expected_version=version, token=token)

        def read() -> list[tuple[int, int]]:
            loaded = [store.load(ID) for _ in range(30)]
            return [(stored.summary.length, len(stored.instance.history)) for stored in loaded]

        answers = race([append, read, read])
        assert answers[0] is None
        assert all(version == length for answer in answers[1:] for version, length in answer)

    def test_what_is_loaded_does_not_change(self, store: Store) -> None:
        """An instance is a value: what is appended later is seen by the next load only."""
        token = self.begin(store)
        before = store.load(ID)
        self.add(store, token, make_instance_completed())
        assert (before.instance.state, len(before.instance.history)) == ("running:reserve", 2)
        assert (before.summary.state, before.summary.owner) == ("running:reserve", ALICE)

    def test_an_unknown_id_is_named(self, store: Store) -> None:
        """All methods but create, find and import_ say that there is no such instance."""
        calls: list[Callable[[], object]] = [
            partial(
                store.append, "o-9", number_events((make_instance_completed(),), after=1), expected_version=1, token=1
            ),
            partial(store.load, "o-9"),
            partial(store.history, "o-9"),
            partial(store.claim, "o-9", owner=ALICE, lease=LEASE),
            partial(store.renew, "o-9", token=1, lease=LEASE),
            partial(store.release, "o-9", token=1),
            partial(store.post, "o-9", make_cancel_requested()),
            partial(store.mail, "o-9"),
            partial(store.delete, "o-9"),
        ]
        for call in calls:
            with pytest.raises(SagaNotFound) as caught:
                call()
            assert f"no instance 'o-9' in {store.url} (find() lists what is there)" == str(caught.value)

    def test_awkward_ids_are_kept_apart(self, store: Store) -> None:
        """Ids that differ in case, accent, blanks or pattern letters are different instances."""
        for instance_id in AWKWARD:
            store.create(instance_id, make_history(instance_id))
        assert sorted(AWKWARD) == [row.id for row in store.find()]
        assert list(AWKWARD) == [store.load(instance_id).instance.id for instance_id in AWKWARD]

    @SHARED_STORE
    @given(instance_id=ids())
    @example(instance_id="o'1%_ \u2028🍵")
    def test_any_text_is_an_id(self, store: Store, instance_id: str) -> None:
        """Any text of up to 200 characters without control characters and "/" names an instance."""
        token = self.begin(store, instance_id=instance_id)
        store.post(instance_id, make_cancel_requested("r-1"))
        self.add(store, token, make_cancel_requested("r-1"), make_instance_completed(), instance_id=instance_id)
        assert [instance_id] == [row.id for row in store.find()]
        assert instance_id == store.load(instance_id).instance.id
        store.delete(instance_id)

    def test_close_is_idempotent(self, store: Store) -> None:
        """A store may be closed twice."""
        store.close()
        store.close()
