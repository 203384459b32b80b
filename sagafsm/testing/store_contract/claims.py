# ruff: noqa: S101 -- a contract asserts
"""One owner: claims, leases and tokens."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from sagafsm.errors import StoreConflict
from sagafsm.store import Owner, Store
from sagafsm.testing.races import race, select_failures, select_successes
from sagafsm.testing.sample_histories import (
    make_history,
    make_instance_completed,
    make_step_started,
    make_step_succeeded,
)
from sagafsm.testing.store_contract.base import ALICE, BOB, ID, LEASE, StoreContractPart

SHORT = timedelta(milliseconds=20)
PATIENCE = 10.0


class OwningContract(StoreContractPart):
    """The laws of claim, renew and release."""

    def test_claim_makes_an_owner(self, store: Store) -> None:
        """Whoever claims a free instance owns it for `lease` from now."""
        store.create(ID, make_history(ID))
        before = datetime.now(UTC)
        token = store.claim(ID, owner=ALICE, lease=LEASE)
        after = datetime.now(UTC)
        summary = self.reopen(store).load(ID).summary
        assert (ALICE, token) == (summary.owner, summary.token)
        assert summary.lease_until is not None
        assert before <= summary.lease_until - LEASE <= after

    def test_claim_refuses_what_is_owned_and_names_the_owner(self, store: Store) -> None:
        """An owned instance is claimed by nobody else, nor again by the same owner."""
        self.begin(store)
        before = store.load(ID)
        for rival in (BOB, ALICE):
            with pytest.raises(StoreConflict, match="'alice'"):
                store.claim(ID, owner=rival, lease=LEASE)
        assert before == store.load(ID)

    def test_claim_changes_no_version(self, store: Store) -> None:
        """Owning is not history."""
        store.create(ID, make_history(ID, make_step_started()))
        store.claim(ID, owner=ALICE, lease=LEASE)
        assert (2, make_history(ID, make_step_started())) == (store.load(ID).summary.length, store.history(ID))

    def test_tokens_only_grow(self, store: Store) -> None:
        """Every claim has a token higher than any before it, through release, replacement and end."""
        tokens = [self.begin(store)]
        store.release(ID, token=tokens[-1])
        tokens.append(store.claim(ID, owner=BOB, lease=LEASE))
        tokens.append(store.claim(ID, owner=ALICE, lease=LEASE, replacing=tokens[-1]))
        self.add(store, tokens[-1], make_instance_completed())
        tokens.append(self.reopen(store).claim(ID, owner=BOB, lease=LEASE))
        assert sorted(set(tokens)) == tokens
        assert tokens[-1] == store.load(ID).summary.token

    def test_claims_race_and_one_wins(self, store: Store) -> None:
        """Of any number of claims at once, exactly one succeeds; the others are told who owns it."""
        for turn in range(5):
            instance_id = f"o-{turn}"
            store.create(instance_id, make_history(instance_id))
            rivals = [Owner(name=f"rival-{number}", process=f"host/{number}") for number in range(8)]
            answers = race([partial(store.claim, instance_id, owner=rival, lease=LEASE) for rival in rivals])
            assert len(select_successes(answers)) == 1
            winner = rivals[next(index for index, answer in enumerate(answers) if isinstance(answer, int))]
            summary = store.load(instance_id).summary
            assert (winner, select_successes(answers)) == (summary.owner, [summary.token])
            assert all(repr(winner.name) in str(error) for error in select_failures(answers))
            assert {StoreConflict} == {type(error) for error in select_failures(answers)}

    def test_replacing_takes_the_claim_it_names(self, store: Store) -> None:
        """Who knows the owner to be dead takes the instance at once, by the token of that claim."""
        old = self.begin(store)
        new = store.claim(ID, owner=BOB, lease=LEASE, replacing=old)
        assert new > old
        assert (BOB, new) == (store.load(ID).summary.owner, store.load(ID).summary.token)

    def test_replacing_an_earlier_claim_is_refused(self, store: Store) -> None:
        """The token of a claim that is over replaces nobody: of two who found the owner dead, one wins."""
        old = self.begin(store)
        store.claim(ID, owner=BOB, lease=LEASE, replacing=old)
        with pytest.raises(StoreConflict, match="'bob'"):
            store.claim(ID, owner=ALICE, lease=LEASE, replacing=old)

    def test_replacements_race_and_one_wins(self, store: Store) -> None:
        """Of any number of replacements of one claim at once, exactly one succeeds."""
        old = self.begin(store)
        answers = race([partial(store.claim, ID, owner=BOB, lease=LEASE, replacing=old)] * 8)
        assert [store.load(ID).summary.token] == select_successes(answers)

    def test_a_lease_runs_out(self, store: Store) -> None:
        """When the lease has run out the instance is free, not before, and the old owner's append is refused."""
        begun = time.monotonic()
        old = store.create(ID, make_history(ID, make_step_started()), owner=ALICE, lease=SHORT)
        new = self._claim_when_free(store)
        assert time.monotonic() - begun >= SHORT.total_seconds()
        assert new > old
        with pytest.raises(StoreConflict):
            self.add(store, old, make_instance_completed())

    def _claim_when_free(self, store: Store) -> int:
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                return store.claim(ID, owner=BOB, lease=LEASE)
            except StoreConflict:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.001)

    def test_an_owner_whose_lease_ran_out_unnoticed_goes_on(self, store: Store) -> None:
        """As long as nobody else has claimed it, the instance is its owner's: append and renew work."""
        token = store.create(ID, make_history(ID, make_step_started()), owner=ALICE, lease=timedelta(0))
        assert self.add(store, token, make_step_succeeded("reserve")) == 3
        store.renew(ID, token=token, lease=LEASE)
        with pytest.raises(StoreConflict):
            store.claim(ID, owner=BOB, lease=LEASE)

    def test_renew_extends_the_lease(self, store: Store) -> None:
        """After renew the lease is `lease` from now; token, version and owner are as they were."""
        token = store.create(ID, make_history(ID), owner=ALICE, lease=SHORT)
        before = datetime.now(UTC)
        store.renew(ID, token=token, lease=LEASE)
        summary = store.load(ID).summary
        assert summary.lease_until is not None
        assert summary.lease_until - LEASE >= before
        assert (ALICE, token, 1) == (summary.owner, summary.token, summary.length)

    def test_renew_refuses_a_claim_that_is_over(self, store: Store) -> None:
        """Who lost the instance, or gave it up, is told so."""
        old = self.begin(store)
        new = store.claim(ID, owner=BOB, lease=LEASE, replacing=old)
        with pytest.raises(StoreConflict):
            store.renew(ID, token=old, lease=LEASE)
        assert store.load(ID).summary.owner == BOB
        store.release(ID, token=new)
        with pytest.raises(StoreConflict):
            store.renew(ID, token=new, lease=LEASE)

    def test_release_gives_the_instance_up(self, store: Store) -> None:
        """After release nobody owns the instance, and anybody may claim it."""
        token = self.begin(store)
        store.release(ID, token=token)
        summary = store.load(ID).summary
        assert (None, None, token) == (summary.owner, summary.lease_until, summary.token)
        assert store.claim(ID, owner=BOB, lease=LEASE) > token

    def test_release_of_a_claim_that_is_over_does_nothing(self, store: Store) -> None:
        """Who lost the instance takes it from nobody; releasing twice is no error."""
        old = self.begin(store)
        new = store.claim(ID, owner=BOB, lease=LEASE, replacing=old)
        store.release(ID, token=old)
        assert (BOB, new) == (store.load(ID).summary.owner, store.load(ID).summary.token)
        store.release(ID, token=new)
        store.release(ID, token=new)
        assert store.load(ID).summary.owner is None
