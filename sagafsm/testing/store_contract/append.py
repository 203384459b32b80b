# ruff: noqa: S101 -- a contract asserts
"""How a history grows: all or nothing, and only for the owner who has seen all of it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from hypothesis import HealthCheck, example, given, settings

from sagafsm.errors import MailWaits, StoreConflict
from sagafsm.history import events as e
from sagafsm.history.instance import fold
from sagafsm.store import Store
from sagafsm.testing.races import race, select_failures, select_successes
from sagafsm.testing.sample_histories import (
    START,
    batches,
    make_cancel_requested,
    make_history,
    make_instance_blocked,
    make_instance_completed,
    make_instance_created,
    make_instance_failed,
    make_signal_received,
    make_step_retrying,
    make_step_started,
    make_step_succeeded,
    make_wait_started,
    number_events,
)
from sagafsm.testing.store_contract.base import ALICE, BOB, ID, LEASE, StoreContractPart

# One store serves all examples, each with an id of its own; and one contract serves many stores.
SHARED_STORE = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


class AppendingContract(StoreContractPart):
    """The laws of append."""

    def test_append_adds_events_and_returns_the_new_version(self, store: Store) -> None:
        """The version is the number of the last event."""
        token = self.begin(store)
        more = number_events((make_step_succeeded("reserve"), make_step_started("charge")), after=2)
        assert store.append(ID, more, expected_version=2, token=token) == 4
        assert (*make_history(ID, make_step_started()), *more) == store.history(ID)
        assert store.load(ID).summary.length == 4

    def test_append_is_durable_for_another_handle(self, store: Store) -> None:
        """Once append returns, its events are there for everybody."""
        token = self.begin(store)
        self.add(store, token, make_step_succeeded("reserve"), make_step_started("charge"))
        assert store.history(ID) == self.reopen(store).history(ID)
        assert self.reopen(store).load(ID).summary.state == "running:charge"

    @pytest.mark.parametrize("expected", [0, 1, 3, 99])
    def test_append_refuses_another_version(self, store: Store, expected: int) -> None:
        """Who has not seen the whole history appends nothing to it."""
        token = self.begin(store)
        before = store.load(ID)
        with pytest.raises(StoreConflict):
            store.append(
                ID, number_events((make_instance_completed(),), after=expected), expected_version=expected, token=token
            )
        assert before == store.load(ID)

    @pytest.mark.parametrize("other", [-1, 1])
    def test_append_refuses_another_token(self, store: Store, other: int) -> None:
        """Who does not own the instance appends nothing."""
        token = self.begin(store)
        before = store.load(ID)
        with pytest.raises(StoreConflict):
            store.append(
                ID, number_events((make_instance_completed(),), after=2), expected_version=2, token=token + other
            )
        assert before == store.load(ID)

    def test_append_refuses_a_replaced_owner(self, store: Store) -> None:
        """Once somebody else has claimed the instance, the old owner's append is refused, and theirs is not."""
        old = self.begin(store)
        new = store.claim(ID, owner=BOB, lease=LEASE, replacing=old)
        with pytest.raises(StoreConflict):
            self.add(store, old, make_instance_completed())
        assert self.add(store, new, make_instance_completed()) == 3

    def test_append_refuses_a_claim_that_was_given_up(self, store: Store) -> None:
        """A released claim is over, even while nobody else has the instance."""
        token = self.begin(store)
        store.release(ID, token=token)
        with pytest.raises(StoreConflict):
            self.add(store, token, make_instance_completed())
        assert len(store.history(ID)) == 2

    def test_append_to_an_unclaimed_instance_is_refused(self, store: Store) -> None:
        """Only an owner appends."""
        token = store.create(ID, make_history(ID, make_step_started()))
        with pytest.raises(StoreConflict):
            self.add(store, token, make_instance_completed())

    def test_appends_at_one_version_race_and_one_wins(self, store: Store) -> None:
        """Of any number of appends at one version, exactly one succeeds, whole; the others leave nothing."""
        token = self.begin(store)
        for version in range(2, 22, 2):
            answers = race([partial(self._append_two, store, version, token, f"key-{rival}") for rival in range(8)])
            assert [version + 2] == select_successes(answers)
            assert {StoreConflict} == {type(error) for error in select_failures(answers)}
            last = store.history(ID)[-2:]
            assert len({event.key for event in last if isinstance(event, e.StepStarted)}) == 1
        assert [*range(1, 23)] == [event.number for event in store.history(ID)]

    def _append_two(self, store: Store, version: int, token: int, key: str) -> int:
        both = (e.StepStarted(step="charge", attempt=1, key=key), e.StepStarted(step="ship", attempt=1, key=key))
        return store.append(ID, number_events(both, after=version), expected_version=version, token=token)

    def test_an_append_and_a_claim_race_and_the_loser_writes_nothing(self, store: Store) -> None:
        """Whether the append came first or the claim: the history says so, and nothing is in between."""
        for turn in range(10):
            instance_id = f"o-{turn}"
            token = self.begin(store, instance_id=instance_id)
            one = number_events((make_step_succeeded("reserve"),), after=2)
            appended, claimed = race(
                [
                    partial(store.append, instance_id, one, expected_version=2, token=token),
                    partial(store.claim, instance_id, owner=BOB, lease=LEASE, replacing=token),
                ]
            )
            assert claimed > token
            assert isinstance(appended, StoreConflict) == (len(store.history(instance_id)) == 2)

    @pytest.mark.parametrize(
        "ending",
        [
            (make_instance_completed(),),
            (make_instance_failed(),),
            (make_instance_blocked(),),
            (make_cancel_requested(), make_instance_blocked("exhausted")),
            (make_wait_started(),),
            (make_wait_started(START + timedelta(days=1)),),
            (make_wait_started(), make_cancel_requested()),
            (make_instance_blocked(), e.ChildParked(step="ship", wake_at=START, waiting=True)),
        ],
    )
    def test_an_end_or_a_parking_releases(self, store: Store, ending: tuple[e.Event, ...]) -> None:
        """An append that ends, blocks or parks the instance gives it up in the same commit, and its token stays."""
        token = self.begin(store)
        self.add(store, token, *ending)
        summary = store.load(ID).summary
        assert (None, None, token) == (summary.owner, summary.lease_until, summary.token)
        assert store.load(ID).instance.owner is None
        with pytest.raises(StoreConflict):
            self.add(store, token, make_step_succeeded("reserve"))

    def test_what_is_only_recorded_releases_nothing(self, store: Store) -> None:
        """An append that neither ends nor parks leaves the owner, and so does one that only sleeps."""
        token = self.begin(store)
        self.add(store, token, e.LateResult(step="reserve", attempt=1), make_cancel_requested())
        self.add(store, token, make_step_retrying(START + timedelta(days=1)))
        self.add(store, token, make_wait_started(), make_step_succeeded())
        assert store.load(ID).summary.owner == ALICE

    @pytest.mark.parametrize(
        "kept", [make_cancel_requested("r-9"), e.LateResult(step="reserve", attempt=1), make_signal_received("s-9")]
    )
    def test_who_waits_goes_on_waiting(self, store: Store, kept: e.Event) -> None:
        """What is only recorded leaves a parked instance parked as it was; anything else ends its wait."""
        until = START + timedelta(days=1)
        token = self.begin(store)
        self.add(store, token, make_wait_started(until))
        for event, waits in ((kept, True), (make_step_succeeded(), False)):
            token = store.claim(ID, owner=ALICE, lease=LEASE)
            self.add(store, token, event)
            summary = store.load(ID).summary
            assert (waits, until if waits else None) == (summary.waiting, summary.wake_at)
            assert (None if waits else ALICE) == summary.owner or kept is event
            store.release(ID, token=token)

    def test_a_migration_changes_the_version_of_the_saga(self, store: Store) -> None:
        """The summary tells the version under which the instance goes on."""
        token = self.begin(store)
        assert store.load(ID).summary.version == 1
        migrated = e.InstanceMigrated(version=3, fingerprint="f3", steps=make_instance_created(ID).steps)
        self.add(store, token, migrated, make_step_succeeded())
        summary = store.load(ID).summary
        assert (summary.version, store.load(ID).instance.version) == (3, 3)
        assert [summary] == list(store.find())
        self.add(store, token, make_instance_completed())
        assert store.load(ID).summary.version == 3

    def test_a_completed_instance_can_be_claimed_and_sent_back(self, store: Store) -> None:
        """At rest is not the end of the history: the next owner carries it on."""
        self.end(store, make_instance_completed())
        token = store.claim(ID, owner=BOB, lease=LEASE)
        self.add(store, token, e.CauseRecorded(kind="decision", state="compensating:reserve"))
        assert (store.load(ID).summary.state, store.load(ID).summary.owner) == ("compensating:reserve", BOB)
        assert [row.id for row in store.find(due=store.load(ID).summary.updated_at)] == [ID]

    def test_mail_waits_and_nothing_is_written(self, store: Store) -> None:
        """An append that does not absorb the waiting mail is refused, and nothing of it is stored."""
        token = self.begin(store)
        store.post(ID, make_cancel_requested("r-1"))
        before = store.load(ID)
        with pytest.raises(MailWaits) as caught:
            self.add(store, token, make_instance_completed())
        assert str(caught.value) == "instance 'o-1' has mail that the append does not absorb"
        assert (before, (make_cancel_requested("r-1"),)) == (store.load(ID), store.mail(ID))

    def test_an_append_that_absorbs_only_some_mail_writes_nothing(self, store: Store) -> None:
        """All mail is absorbed, or nothing is: half an answer is none."""
        token = self.begin(store)
        store.post(ID, make_cancel_requested("r-1"))
        store.post(ID, make_cancel_requested("r-2"))
        with pytest.raises(MailWaits):
            self.add(store, token, make_cancel_requested("r-1"))
        assert (make_cancel_requested("r-1"), make_cancel_requested("r-2")) == store.mail(ID)
        assert len(store.history(ID)) == 2

    def test_events_absorb_the_mail_of_their_request(self, store: Store) -> None:
        """Events with a `request_id` take that mail out of the mailbox in the same commit."""
        token = self.begin(store)
        store.post(ID, make_cancel_requested("r-1"))
        store.post(ID, make_cancel_requested("r-2"))
        assert store.load(ID).summary.mail == 2
        self.add(
            store,
            token,
            make_cancel_requested("r-1"),
            e.CancelCameTooLate(request_id="r-1"),
            make_cancel_requested("r-2"),
        )
        assert (store.mail(ID), store.load(ID).summary.mail) == ((), 0)
        assert self.add(store, token, make_step_succeeded("reserve")) == 6

    def test_mail_above_waits_and_nothing_is_written(self, store: Store) -> None:
        """What is nested waits for mail of those in which it is nested: no start overtakes a cancel of the root."""
        token = self.begin(store)
        nested = self.nest(store, step="pay/bank")
        store.post(ID, make_cancel_requested("r-1"))
        with pytest.raises(MailWaits) as caught:
            self.add(store, nested, make_step_succeeded(), instance_id=f"{ID}/pay/bank")
        assert caught.value.instance_id == ID
        assert len(store.history(f"{ID}/pay/bank")) == 2
        self.add(store, token, make_cancel_requested("r-1"))
        assert self.add(store, nested, make_step_succeeded(), instance_id=f"{ID}/pay/bank") == 3

    def test_mail_below_keeps_nobody_waiting(self, store: Store) -> None:
        """Mail of a nested instance is that instance's: its root goes on, and so does another that begins alike."""
        token, other = self.begin(store), self.begin(store, instance_id=f"{ID}-2")
        self.nest(store)
        store.post(f"{ID}/pay", make_cancel_requested("r-1"))
        assert self.add(store, token, make_step_succeeded()) == 3
        assert self.add(store, other, make_step_succeeded(), instance_id=f"{ID}-2") == 3

    def test_a_refused_append_absorbs_nothing(self, store: Store) -> None:
        """Mail stays where it is when the append that would absorb it is refused."""
        token = self.begin(store)
        store.post(ID, make_cancel_requested("r-1"))
        with pytest.raises(StoreConflict):
            store.append(ID, number_events((make_cancel_requested("r-1"),), after=1), expected_version=1, token=token)
        assert (make_cancel_requested("r-1"),) == store.mail(ID)
        with pytest.raises(StoreConflict):
            store.append(
                ID, number_events((make_cancel_requested("r-1"),), after=2), expected_version=2, token=token + 1
            )
        assert (make_cancel_requested("r-1"),) == store.mail(ID)

    def test_a_token_of_another_instance_is_worth_nothing(self, store: Store) -> None:
        """A claim is of one instance."""
        self.begin(store, instance_id="o-1")
        other = self.begin(store, instance_id="o-2")
        if other != store.load("o-1").summary.token:
            with pytest.raises(StoreConflict):
                self.add(store, other, make_instance_completed(), instance_id="o-1")
        assert len(store.history("o-1")) == 2

    @SHARED_STORE
    @given(batches=batches())
    @example(batches=[[make_instance_blocked("in_doubt")], [make_instance_blocked("exhausted")]])
    @example(
        batches=[
            [make_instance_blocked("in_doubt")],
            [make_cancel_requested("r-1")],
            [e.LateResult(step="reserve", attempt=1)],
        ]
    )
    def test_the_summary_is_that_of_the_folded_history(self, store: Store, batches: list[list[e.Event]]) -> None:
        """For any batches, a summary says what the fold of the whole history says."""
        instance_id = f"any-{len(store.find(limit=1_000_000))}"
        self.begin(store, instance_id=instance_id)
        for batch in batches:
            summary = store.load(instance_id).summary
            token = store.claim(instance_id, owner=ALICE, lease=LEASE, replacing=summary.token)
            self.add(store, token, *batch, instance_id=instance_id)
        stored = store.load(instance_id)
        folded = fold(None, store.history(instance_id))
        assert (
            folded.state,
            folded.blocked[0].reason if folded.blocked else None,
            folded.waiting,
            folded.version,
            folded.wake_at,
            folded.updated_at,
            len(folded.history),
        ) == (
            stored.summary.state,
            stored.summary.blocked,
            stored.summary.waiting,
            stored.summary.version,
            stored.summary.wake_at,
            stored.summary.updated_at,
            stored.summary.length,
        )
        assert [stored.summary] == [row for row in store.find(limit=1_000_000) if row.id == instance_id]
