# ruff: noqa: S101 -- a contract asserts
"""Finding instances without reading their histories."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sagafsm.history import events as e
from sagafsm.store import Store
from sagafsm.testing.sample_histories import (
    START,
    make_cancel_requested,
    make_history,
    make_instance_blocked,
    make_instance_completed,
    make_instance_failed,
    make_step_retrying,
    make_step_started,
    make_wait_started,
)
from sagafsm.testing.store_contract.append import SHARED_STORE
from sagafsm.testing.store_contract.base import ALICE, BOB, LEASE, StoreContractPart
from sagafsm.value import replace

NOW = START + timedelta(hours=1)
SECOND = timedelta(seconds=1)


class FindingContract(StoreContractPart):
    """The laws of find."""

    def find_ids(self, store: Store, **filters: Any) -> list[str]:
        """The ids that match."""
        return [row.id for row in store.find(**filters)]

    def put(self, store: Store, instance_id: str, *events: e.Event, **kwargs: Any) -> None:
        """An unowned instance with these events behind its creation."""
        store.create(instance_id, make_history(instance_id, *events, **kwargs))

    def create_one_of_each(self, store: Store) -> None:
        """One instance of each kind, named after it."""
        self.put(store, "blocked", make_step_started(), make_instance_blocked("in_doubt"))
        self.put(store, "compensating", e.CauseRecorded(kind="cancel", state="compensating:charge"))
        self.put(store, "completed", make_step_started(), make_instance_completed())
        self.put(store, "exhausted", make_step_started("charge"), make_instance_blocked("exhausted", "charge"))
        self.put(store, "failed", make_instance_failed())
        self.put(store, "other", saga="refund")
        self.put(store, "pending")
        self.put(store, "running", make_step_started("charge"))
        self.put(store, "sleeping", make_step_started(), make_step_retrying(NOW + SECOND))
        self.put(store, "running/nested", make_step_started())
        self.put(store, "waiting", make_wait_started())
        self.put(store, "waiting for a time", make_wait_started(NOW + SECOND))

    def test_find_lists_all_in_order_of_id(self, store: Store) -> None:
        """Without filters, everything is found, in order of id."""
        for instance_id in ("b", "a", "c", "B", "é", "0"):
            self.put(store, instance_id)
        assert self.find_ids(store) == ["0", "B", "a", "b", "c", "é"]
        assert self.find_ids(self.reopen(store)) == ["0", "B", "a", "b", "c", "é"]

    def test_find_gives_the_summaries_that_load_gives(self, store: Store) -> None:
        """A summary is the same wherever it is read."""
        self.create_one_of_each(store)
        store.claim("running", owner=ALICE, lease=LEASE)
        store.post("pending", make_cancel_requested())
        assert [store.load(row.id).summary for row in store.find()] == list(store.find())

    def test_find_by_saga(self, store: Store) -> None:
        """`saga` is a saga's whole name."""
        self.create_one_of_each(store)
        assert self.find_ids(store, saga="refund") == ["other"]
        assert len(self.find_ids(store, saga="order")) == 11
        assert self.find_ids(store, saga="ref") == []

    def test_find_by_state_and_by_phase(self, store: Store) -> None:
        """`state` is a whole state, or a phase."""
        self.create_one_of_each(store)
        assert self.find_ids(store, state="running:charge") == ["exhausted", "running"]
        running = ["blocked", "exhausted", "running", "running/nested", "sleeping", "waiting", "waiting for a time"]
        assert running == self.find_ids(store, state="running")
        assert self.find_ids(store, state="compensating") == ["compensating"]
        assert self.find_ids(store, state="pending") == ["other", "pending"]
        assert self.find_ids(store, state="completed") == ["completed"]
        assert self.find_ids(store, state="failed") == ["failed"]
        for nothing in ("run", "running:", "RUNNING", "running:char%", "runnin_", "charge", ""):
            assert self.find_ids(store, state=nothing) == []

    def test_find_by_block(self, store: Store) -> None:
        """`blocked` True or False, or one reason."""
        self.create_one_of_each(store)
        assert self.find_ids(store, blocked=True) == ["blocked", "exhausted"]
        assert self.find_ids(store, blocked="exhausted") == ["exhausted"]
        assert self.find_ids(store, blocked="payload") == []
        unblocked = ["compensating", "completed", "failed", "other", "pending", "running", "running/nested"]
        unblocked += ["sleeping", "waiting", "waiting for a time"]
        assert unblocked == self.find_ids(store, blocked=False)

    def test_find_by_age(self, store: Store) -> None:
        """`updated_before` compares with the last event, and leaves that moment itself out."""
        for number in range(3):
            self.put(store, f"o-{number}", at=START + number * timedelta(microseconds=1))
        assert self.find_ids(store, updated_before=START + timedelta(microseconds=1)) == ["o-0"]
        assert self.find_ids(store, updated_before=START) == []
        assert self.find_ids(store, updated_before=NOW) == ["o-0", "o-1", "o-2"]

    def test_find_combines_its_filters(self, store: Store) -> None:
        """What is found matches everything given."""
        self.create_one_of_each(store)
        assert self.find_ids(store, state="running:charge", blocked=True) == ["exhausted"]
        assert self.find_ids(store, saga="refund", state="running") == []
        found = self.find_ids(store, saga="order", state="running", blocked=False, after="running/nested")
        assert found == ["sleeping", "waiting", "waiting for a time"]
        assert self.find_ids(store, blocked=True, due=NOW) == []

    def test_find_limits_and_goes_on_behind_an_id(self, store: Store) -> None:
        """`limit` bounds the page, `after` need not be an id that exists."""
        self.create_one_of_each(store)
        assert self.find_ids(store, limit=2) == ["blocked", "compensating"]
        assert self.find_ids(store, limit=2, after="compensating") == ["completed", "exhausted"]
        assert self.find_ids(store, limit=1, after="otherwise") == ["pending"]
        assert self.find_ids(store, after="waiting for a time") == []

    def test_a_page_has_a_hundred_by_default(self, store: Store) -> None:
        """Without `limit`, a page is a hundred."""
        for number in range(101):
            self.put(store, f"o-{number:03}")
        assert [f"o-{number:03}" for number in range(100)] == self.find_ids(store)
        assert self.find_ids(store, after="o-099") == ["o-100"]

    @SHARED_STORE
    @given(
        limit=st.integers(1, 12), filters=st.sampled_from([{}, {"due": NOW}, {"state": "running"}, {"blocked": False}])
    )
    def test_pages_are_complete_and_without_duplicates(self, store: Store, limit: int, filters: dict[str, Any]) -> None:
        """Page by page behind the last id, everything is found once, in order, whatever the page's size."""
        if not store.find(limit=1):
            self.create_one_of_each(store)
        paged: list[str] = []
        while page := self.find_ids(store, limit=limit, after=paged[-1] if paged else None, **filters):
            assert len(page) <= limit
            paged += page
        assert self.find_ids(store, **filters) == paged

    def test_paging_goes_on_when_what_was_seen_ends_or_goes(self, store: Store) -> None:
        """What happens to instances that were seen neither hides nor repeats the others."""
        for number in range(6):
            self.put(store, f"o-{number}", make_step_started())
        first = self.find_ids(store, due=NOW, limit=3)
        for instance_id in first:
            token = store.claim(instance_id, owner=ALICE, lease=LEASE)
            self.add(store, token, make_instance_completed(), instance_id=instance_id)
        store.delete(first[-1])
        assert self.find_ids(store, due=NOW, limit=3, after=first[-1]) == ["o-3", "o-4", "o-5"]

    def test_due_is_what_is_neither_at_rest_nor_parked(self, store: Store) -> None:
        """Due: roots, pending or under way; not at rest, not blocked, not asleep, not waiting for a signal."""
        self.create_one_of_each(store)
        assert self.find_ids(store, due=NOW) == ["compensating", "other", "pending", "running"]

    def test_due_counts_from_its_moment_on(self, store: Store) -> None:
        """An instance that sleeps is due when its time has come, to the microsecond."""
        wake_at = NOW + timedelta(microseconds=1)
        self.put(store, "o-1", make_step_started(), make_step_retrying(wake_at))
        assert self.find_ids(store, due=NOW) == []
        assert self.find_ids(store, due=wake_at) == ["o-1"]
        assert self.find_ids(store, due=wake_at + SECOND) == ["o-1"]

    def test_a_wait_is_due_when_its_time_has_come(self, store: Store) -> None:
        """One that waits for a signal is due at its timeout, and without one never."""
        self.create_one_of_each(store)
        assert "waiting for a time" in self.find_ids(store, due=NOW + SECOND)
        assert "waiting" not in self.find_ids(store, due=NOW + timedelta(days=365))
        assert (store.load("waiting").summary.waiting, store.load("waiting").summary.wake_at) == (True, None)

    def test_a_block_with_a_time_is_due_then(self, store: Store) -> None:
        """A blocked instance with a deadline is due when that has come, and not before."""
        self.put(store, "o-1", make_step_started(), replace(make_instance_blocked("in_doubt"), wake_at=NOW + SECOND))
        assert self.find_ids(store, due=NOW) == []
        assert self.find_ids(store, due=NOW + SECOND) == ["o-1"]

    def test_what_is_nested_is_never_due(self, store: Store) -> None:
        """A nested instance is recovered as a part of its tree, even when mail waits or its time has come."""
        self.put(store, "o-1", make_step_started())
        self.put(store, "o-1/pay", make_step_started())
        self.put(store, "o-1/pay/bank", make_step_started(), make_step_retrying(NOW))
        store.post("o-1/pay", make_cancel_requested())
        assert self.find_ids(store, due=NOW + SECOND) == ["o-1"]
        assert self.find_ids(store) == ["o-1", "o-1/pay", "o-1/pay/bank"]
        assert self.find_ids(store, state="running", blocked=False) == ["o-1", "o-1/pay", "o-1/pay/bank"]

    def test_due_takes_any_zone(self, store: Store) -> None:
        """A moment is a moment, in whatever zone it is given."""
        elsewhere = timezone(timedelta(hours=-7))
        self.put(store, "o-1", make_step_started(), make_step_retrying(NOW.astimezone(elsewhere)))
        assert self.find_ids(store, due=(NOW - SECOND).astimezone(elsewhere)) == []
        assert self.find_ids(store, due=NOW) == ["o-1"]
        assert store.load("o-1").summary.wake_at == NOW

    def test_mail_makes_the_parked_due(self, store: Store) -> None:
        """While mail waits, a blocked, waiting or sleeping instance is due; once it is absorbed, no more."""
        self.create_one_of_each(store)
        parked = {"blocked", "sleeping", "waiting", "waiting for a time"}
        for instance_id in parked:
            store.post(instance_id, make_cancel_requested("r-1"))
        assert parked <= set(self.find_ids(store, due=NOW))
        for instance_id in parked:
            token = store.claim(instance_id, owner=ALICE, lease=LEASE)
            self.add(store, token, make_cancel_requested("r-1"), instance_id=instance_id)
        assert not parked & set(self.find_ids(store, due=NOW))

    def test_due_does_not_ask_for_the_owner(self, store: Store) -> None:
        """Whether an owner is alive is not the store's to say: owned instances are found, with their owner."""
        self.put(store, "o-1", make_step_started())
        store.claim("o-1", owner=BOB, lease=LEASE)
        assert [row.owner for row in store.find(due=NOW)] == [BOB]

    def test_an_end_leaves_nothing_due(self, store: Store) -> None:
        """What has ended is never due."""
        for instance_id, ending in (("o-1", make_instance_completed()), ("o-2", make_instance_failed())):
            self.end(store, ending, instance_id=instance_id)
        assert self.find_ids(store, due=NOW + timedelta(days=365)) == []
