# ruff: noqa: S101 -- a contract asserts
"""How instances come and go: create, import_, delete."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sagafsm.errors import IllegalTransition, InstanceExists, SagaNotFound, StoreConflict, StoreError
from sagafsm.history import events as e
from sagafsm.history.instance import fold
from sagafsm.store import Create, Store, Summary
from sagafsm.testing.races import race, select_failures, select_successes
from sagafsm.testing.sample_histories import (
    START,
    make_cancel_requested,
    make_every_event,
    make_history,
    make_instance_completed,
    make_instance_created,
    make_instance_failed,
    make_step_started,
)
from sagafsm.testing.store_contract.base import ALICE, BOB, ID, LEASE, StoreContractPart
from sagafsm.value import replace


class CreatingContract(StoreContractPart):
    """The laws of create, import_ and delete."""

    def test_create_stores_the_instance_with_its_first_events(self, store: Store) -> None:
        """What is created is there, with all its events."""
        first = make_history(ID, make_step_started())
        store.create(ID, first)
        assert first == store.history(ID)
        assert fold(None, first) == store.load(ID).instance

    def test_create_is_durable_for_another_handle(self, store: Store) -> None:
        """Once create returns, the instance is there for everybody."""
        store.create(ID, make_history(ID))
        assert make_history(ID) == self.reopen(store).history(ID)

    def test_create_without_an_owner_claims_nothing(self, store: Store) -> None:
        """Without `owner` nobody owns the instance."""
        token = store.create(ID, make_history(ID))
        expected = Summary(
            id=ID,
            saga="order",
            version=1,
            state="pending",
            length=1,
            created_at=START,
            updated_at=START,
            token=token,
        )
        assert expected == store.load(ID).summary

    def test_create_with_an_owner_claims_in_the_same_commit(self, store: Store) -> None:
        """With `owner` the instance is claimed, for `lease` from now, with the token that create returns."""
        before = datetime.now(UTC)
        token = store.create(ID, make_history(ID), owner=ALICE, lease=LEASE)
        after = datetime.now(UTC)
        stored = store.load(ID)
        assert (ALICE, token, "alice") == (stored.summary.owner, stored.summary.token, stored.instance.owner)
        assert stored.summary.lease_until is not None
        assert before <= stored.summary.lease_until - LEASE <= after

    def test_create_of_an_ended_instance_leaves_it_unowned(self, store: Store) -> None:
        """First events that end the instance release it, as an append does."""
        store.create(ID, make_history(ID, make_instance_failed()), owner=ALICE, lease=LEASE)
        assert store.load(ID).summary.owner is None

    def test_create_refuses_a_taken_id_and_writes_nothing(self, store: Store) -> None:
        """The id of an instance is its own: a second create changes nothing."""
        self.begin(store)
        before = store.load(ID)
        with pytest.raises(InstanceExists) as caught:
            store.create(ID, make_history(ID, saga="other"), owner=ALICE, lease=LEASE)
        assert str(caught.value) == "instance 'o-1' exists already"
        assert before == store.load(ID)

    def test_creates_of_one_id_race_and_one_wins(self, store: Store) -> None:
        """Of any number of creates of one id at once, exactly one succeeds."""
        answers = race([lambda: store.create(ID, make_history(ID))] * 8)
        assert len(select_successes(answers)) == 1
        assert [InstanceExists] * 7 == [type(error) for error in select_failures(answers)]

    @pytest.mark.parametrize("lost", ["given up", "replaced", "another token"])
    def test_create_refuses_what_is_nested_in_a_root_that_is_lost(self, store: Store, lost: str) -> None:
        """Who has lost the root begins nothing in its tree, and whoever owns it does; alone and within a group."""
        token = self.begin(store)
        if lost == "given up":
            store.release(ID, token=token)
        now = store.claim(ID, owner=BOB, lease=LEASE, replacing=token) if lost == "replaced" else token
        under = token + 1 if lost == "another token" else token
        for name in (f"{ID}/pay", f"{ID}/pay/bank"):
            with pytest.raises(StoreConflict, match=r"^instance 'o-1' is owned by .* now: this claim is over$"):
                store.create(name, make_history(name), owner=ALICE, lease=LEASE, under=under)
        (answer,) = store.write([Create(instance_id=f"{ID}/pay", events=make_history(f"{ID}/pay"), under=under)])
        assert isinstance(answer, StoreConflict)
        assert [row.id for row in store.find()] == [ID]
        if lost == "replaced":
            store.create(f"{ID}/pay", make_history(f"{ID}/pay"), owner=BOB, lease=LEASE, under=now)
            assert store.history(f"{ID}/pay") == make_history(f"{ID}/pay")

    def test_import_stores_a_history_verbatim(self, store: Store) -> None:
        """What is imported is what is read, to the last field, and nobody owns it."""
        events = make_every_event(ID)
        store.import_(events)
        assert events == store.history(ID)
        assert fold(None, events) == store.load(ID).instance
        assert (store.load(ID).summary.owner, store.load(ID).summary.lease_until) == (None, None)

    def test_import_takes_an_unfinished_history_that_can_be_claimed(self, store: Store) -> None:
        """An imported instance goes on like any other."""
        store.import_(make_history(ID, make_step_started()))
        token = store.claim(ID, owner=ALICE, lease=LEASE)
        assert self.add(store, token, make_instance_completed()) == 3

    def test_import_refuses_a_taken_id_and_writes_nothing(self, store: Store) -> None:
        """An import replaces nothing."""
        self.begin(store)
        before = store.load(ID)
        with pytest.raises(InstanceExists) as caught:
            store.import_(make_every_event(ID))
        assert str(caught.value) == "instance 'o-1' exists already"
        assert before == store.load(ID)

    @pytest.mark.parametrize("damage", ["gap", "twice", "not_from_1", "swapped"])
    def test_import_refuses_numbers_that_do_not_run_from_1(self, store: Store, damage: str) -> None:
        """A history with a gap, a repetition, a later beginning or another order is refused, and nothing is stored."""
        events = make_every_event(ID)
        damaged = {
            "gap": (*events[:3], *events[4:]),
            "twice": (*events[:3], *events[2:]),
            "not_from_1": (replace(events[0], number=2), *events[2:]),
            "swapped": (*events[:3], events[4], events[3], *events[5:]),
        }[damage]
        with pytest.raises(StoreError):
            store.import_(damaged)
        with pytest.raises(SagaNotFound):
            store.load(ID)
        assert not store.find()

    def test_import_knows_the_requests_of_its_history(self, store: Store) -> None:
        """A request that the imported history absorbed changes nothing when it is posted again."""
        store.import_(make_history(ID, make_step_started(), make_cancel_requested("r-1")))
        store.post(ID, make_cancel_requested("r-1"))
        assert store.mail(ID) == ()

    def test_delete_removes_instance_history_and_mailbox(self, store: Store) -> None:
        """After delete nothing is left of an instance, and its id is free again."""
        token = self.begin(store)
        store.post(ID, make_cancel_requested("r-1"))
        self.add(store, token, make_cancel_requested("r-1"), make_instance_failed())
        store.delete(ID)
        for reading in (store.load, store.history, store.mail, store.delete):
            with pytest.raises(SagaNotFound):
                reading(ID)
        assert not store.find()
        self.begin(store)
        store.post(ID, make_cancel_requested("r-1"))
        assert (make_cancel_requested("r-1"),) == store.mail(ID)

    def test_delete_keeps_the_others(self, store: Store) -> None:
        """Only the instance named is removed."""
        self.end(store, make_instance_completed(), instance_id="o-1")
        self.end(store, make_instance_completed(), instance_id="o-2")
        store.delete("o-1")
        assert [row.id for row in store.find()] == ["o-2"]
        assert len(store.history("o-2")) == 3

    def test_delete_refuses_what_is_not_at_rest(self, store: Store) -> None:
        """An unfinished instance is never removed."""
        self.begin(store)
        with pytest.raises(IllegalTransition) as caught:
            store.delete(ID)
        assert (
            caught.value.instance_id,
            caught.value.state,
            caught.value.operation,
        ) == (ID, "running:reserve", "delete")
        assert len(store.history(ID)) == 2

    def test_delete_removes_what_is_nested(self, store: Store) -> None:
        """Those nested in an instance go with it, whatever their state, with their mailboxes; and no others."""
        token = self.begin(store)
        for name in ("pay", "pay/bank"):
            self.nest(store, step=name)
        for name in ("pay", "pay/bank"):
            store.post(f"{ID}/{name}", make_cancel_requested("r-1"))
        for name in (f"{ID}-2", f"{ID}0", f"{ID[:-1]}"):
            store.create(name, make_history(name))
        self.add(store, token, make_instance_failed())
        store.delete(ID)
        assert [row.id for row in store.find()] == [ID[:-1], f"{ID}-2", f"{ID}0"]
        for name in ("pay", "pay/bank"):
            with pytest.raises(SagaNotFound):
                store.mail(f"{ID}/{name}")
        self.nest(store)
        assert store.mail(f"{ID}/pay") == ()

    @pytest.mark.parametrize("ending", [(), (make_instance_completed(),)])
    def test_delete_refuses_what_is_nested(self, store: Store, ending: tuple[e.Event, ...]) -> None:
        """A nested instance is the evidence of what was done there: it goes with its root, never alone."""
        self.begin(store)
        self.nest(store, *ending)
        with pytest.raises(IllegalTransition) as caught:
            store.delete(f"{ID}/pay")
        assert str(caught.value) == (
            "instance 'o-1/pay' is nested in instance 'o-1', which does not allow 'delete' (allowed: delete of 'o-1')"
        )
        assert store.history(f"{ID}/pay")

    def test_a_token_of_a_deleted_instance_is_worth_nothing(self, store: Store) -> None:
        """An id that is deleted and created again never sees an old token again."""
        old = self.end(store, make_instance_completed())
        store.delete(ID)
        new = store.create(ID, (make_instance_created(ID),), owner=ALICE, lease=LEASE)
        assert old != new
