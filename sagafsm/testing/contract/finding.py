# ruff: noqa: S101 -- a contract asserts
"""Finding instances without reading their histories."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sagafsm import events as e
from sagafsm.store import Store
from sagafsm.testing.contract.appending import SHARED_STORE
from sagafsm.testing.contract.base import ALICE, BOB, LEASE, Contract
from sagafsm.testing.histories import START, blocked, cancel, completed, failed, history, retrying, started, waiting
from sagafsm.values import replace

NOW = START + timedelta(hours=1)
SECOND = timedelta(seconds=1)


class FindingContract(Contract):
    """The laws of find."""

    def found(self, store: Store, **filters: Any) -> list[str]:
        """The ids that match."""
        return [row.id for row in store.find(**filters)]

    def put(self, store: Store, instance_id: str, *events: e.Event, **kwargs: Any) -> None:
        """An unowned instance with these events behind its creation."""
        store.create(instance_id, history(instance_id, *events, **kwargs))

    def zoo(self, store: Store) -> None:
        """One instance of each kind, named after it."""
        self.put(store, "blocked", started(), blocked("in_doubt"))
        self.put(store, "compensating", e.CauseRecorded(kind="cancel", state="compensating:charge"))
        self.put(store, "completed", started(), completed())
        self.put(store, "exhausted", started("charge"), blocked("exhausted", "charge"))
        self.put(store, "failed", failed())
        self.put(store, "other", saga="refund")
        self.put(store, "pending")
        self.put(store, "running", started("charge"))
        self.put(store, "sleeping", started(), retrying(NOW + SECOND))
        self.put(store, "running/nested", started())
        self.put(store, "waiting", waiting())
        self.put(store, "waiting for a time", waiting(NOW + SECOND))

    def test_find_lists_all_in_order_of_id(self, store: Store) -> None:
        """Without filters, everything is found, in order of id."""
        for instance_id in ("b", "a", "c", "B", "é", "0"):
            self.put(store, instance_id)
        assert self.found(store) == ["0", "B", "a", "b", "c", "é"]
        assert self.found(self.reopen(store)) == ["0", "B", "a", "b", "c", "é"]

    def test_find_gives_the_summaries_that_load_gives(self, store: Store) -> None:
        """A summary is the same wherever it is read."""
        self.zoo(store)
        store.claim("running", owner=ALICE, lease=LEASE)
        store.post("pending", cancel())
        assert [store.load(row.id).summary for row in store.find()] == list(store.find())

    def test_find_by_saga(self, store: Store) -> None:
        """`saga` is a saga's whole name."""
        self.zoo(store)
        assert self.found(store, saga="refund") == ["other"]
        assert len(self.found(store, saga="order")) == 11
        assert self.found(store, saga="ref") == []

    def test_find_by_state_and_by_phase(self, store: Store) -> None:
        """`state` is a whole state, or a phase."""
        self.zoo(store)
        assert self.found(store, state="running:charge") == ["exhausted", "running"]
        running = ["blocked", "exhausted", "running", "running/nested", "sleeping", "waiting", "waiting for a time"]
        assert running == self.found(store, state="running")
        assert self.found(store, state="compensating") == ["compensating"]
        assert self.found(store, state="pending") == ["other", "pending"]
        assert self.found(store, state="completed") == ["completed"]
        assert self.found(store, state="failed") == ["failed"]
        for nothing in ("run", "running:", "RUNNING", "running:char%", "runnin_", "charge", ""):
            assert self.found(store, state=nothing) == []

    def test_find_by_block(self, store: Store) -> None:
        """`blocked` True or False, or one reason."""
        self.zoo(store)
        assert self.found(store, blocked=True) == ["blocked", "exhausted"]
        assert self.found(store, blocked="exhausted") == ["exhausted"]
        assert self.found(store, blocked="payload") == []
        unblocked = ["compensating", "completed", "failed", "other", "pending", "running", "running/nested"]
        unblocked += ["sleeping", "waiting", "waiting for a time"]
        assert unblocked == self.found(store, blocked=False)

    def test_find_by_age(self, store: Store) -> None:
        """`updated_before` compares with the last event, and leaves that moment itself out."""
        for number in range(3):
            self.put(store, f"o-{number}", at=START + number * timedelta(microseconds=1))
        assert self.found(store, updated_before=START + timedelta(microseconds=1)) == ["o-0"]
        assert self.found(store, updated_before=START) == []
        assert self.found(store, updated_before=NOW) == ["o-0", "o-1", "o-2"]

    def test_find_combines_its_filters(self, store: Store) -> None:
        """What is found matches everything given."""
        self.zoo(store)
        assert self.found(store, state="running:charge", blocked=True) == ["exhausted"]
        assert self.found(store, saga="refund", state="running") == []
        found = self.found(store, saga="order", state="running", blocked=False, after="running/nested")
        assert found == ["sleeping", "waiting", "waiting for a time"]
        assert self.found(store, blocked=True, due=NOW) == []

    def test_find_limits_and_goes_on_behind_an_id(self, store: Store) -> None:
        """`limit` bounds the page, `after` need not be an id that exists."""
        self.zoo(store)
        assert self.found(store, limit=2) == ["blocked", "compensating"]
        assert self.found(store, limit=2, after="compensating") == ["completed", "exhausted"]
        assert self.found(store, limit=1, after="otherwise") == ["pending"]
        assert self.found(store, after="waiting for a time") == []

    def test_a_page_has_a_hundred_by_default(self, store: Store) -> None:
        """Without `limit`, a page is a hundred."""
        for number in range(101):
            self.put(store, f"o-{number:03}")
        assert [f"o-{number:03}" for number in range(100)] == self.found(store)
        assert self.found(store, after="o-099") == ["o-100"]

    @SHARED_STORE
    @given(
        limit=st.integers(1, 12), filters=st.sampled_from([{}, {"due": NOW}, {"state": "running"}, {"blocked": False}])
    )
    def test_pages_are_complete_and_without_duplicates(self, store: Store, limit: int, filters: dict[str, Any]) -> None:
        """Page by page behind the last id, everything is found once, in order, whatever the page's size."""
        if not store.find(limit=1):
            self.zoo(store)
        paged: list[str] = []
        while page := self.found(store, limit=limit, after=paged[-1] if paged else None, **filters):
            assert len(page) <= limit
            paged += page
        assert self.found(store, **filters) == paged

    def test_paging_goes_on_when_what_was_seen_ends_or_goes(self, store: Store) -> None:
        """What happens to instances that were seen neither hides nor repeats the others."""
        for number in range(6):
            self.put(store, f"o-{number}", started())
        first = self.found(store, due=NOW, limit=3)
        for instance_id in first:
            token = store.claim(instance_id, owner=ALICE, lease=LEASE)
            self.add(store, token, completed(), instance_id=instance_id)
        store.delete(first[-1])
        assert self.found(store, due=NOW, limit=3, after=first[-1]) == ["o-3", "o-4", "o-5"]

    def test_due_is_what_is_neither_at_rest_nor_parked(self, store: Store) -> None:
        """Due: roots, pending or under way; not at rest, not blocked, not asleep, not waiting for a signal."""
        self.zoo(store)
        assert self.found(store, due=NOW) == ["compensating", "other", "pending", "running"]

    def test_due_counts_from_its_moment_on(self, store: Store) -> None:
        """An instance that sleeps is due when its time has come, to the microsecond."""
        wake_at = NOW + timedelta(microseconds=1)
        self.put(store, "o-1", started(), retrying(wake_at))
        assert self.found(store, due=NOW) == []
        assert self.found(store, due=wake_at) == ["o-1"]
        assert self.found(store, due=wake_at + SECOND) == ["o-1"]

    def test_a_wait_is_due_when_its_time_has_come(self, store: Store) -> None:
        """One that waits for a signal is due at its timeout, and without one never."""
        self.zoo(store)
        assert "waiting for a time" in self.found(store, due=NOW + SECOND)
        assert "waiting" not in self.found(store, due=NOW + timedelta(days=365))
        assert (store.load("waiting").summary.waiting, store.load("waiting").summary.wake_at) == (True, None)

    def test_a_block_with_a_time_is_due_then(self, store: Store) -> None:
        """A blocked instance with a deadline is due when that has come, and not before."""
        self.put(store, "o-1", started(), replace(blocked("in_doubt"), wake_at=NOW + SECOND))
        assert self.found(store, due=NOW) == []
        assert self.found(store, due=NOW + SECOND) == ["o-1"]

    def test_what_is_nested_is_never_due(self, store: Store) -> None:
        """A nested instance is recovered as a part of its tree, even when mail waits or its time has come."""
        self.put(store, "o-1", started())
        self.put(store, "o-1/pay", started())
        self.put(store, "o-1/pay/bank", started(), retrying(NOW))
        store.post("o-1/pay", cancel())
        assert self.found(store, due=NOW + SECOND) == ["o-1"]
        assert self.found(store) == ["o-1", "o-1/pay", "o-1/pay/bank"]
        assert self.found(store, state="running", blocked=False) == ["o-1", "o-1/pay", "o-1/pay/bank"]

    def test_due_takes_any_zone(self, store: Store) -> None:
        """A moment is a moment, in whatever zone it is given."""
        elsewhere = timezone(timedelta(hours=-7))
        self.put(store, "o-1", started(), retrying(NOW.astimezone(elsewhere)))
        assert self.found(store, due=(NOW - SECOND).astimezone(elsewhere)) == []
        assert self.found(store, due=NOW) == ["o-1"]
        assert store.load("o-1").summary.wake_at == NOW

    def test_mail_makes_the_parked_due(self, store: Store) -> None:
        """While mail waits, a blocked, waiting or sleeping instance is due; once it is absorbed, no more."""
        self.zoo(store)
        parked = {"blocked", "sleeping", "waiting", "waiting for a time"}
        for instance_id in parked:
            store.post(instance_id, cancel("r-1"))
        assert parked <= set(self.found(store, due=NOW))
        for instance_id in parked:
            token = store.claim(instance_id, owner=ALICE, lease=LEASE)
            self.add(store, token, cancel("r-1"), instance_id=instance_id)
        assert not parked & set(self.found(store, due=NOW))

    def test_due_does_not_ask_for_the_owner(self, store: Store) -> None:
        """Whether an owner is alive is not the store's to say: owned instances are found, with their owner."""
        self.put(store, "o-1", started())
        store.claim("o-1", owner=BOB, lease=LEASE)
        assert [row.owner for row in store.find(due=NOW)] == [BOB]

    def test_an_end_leaves_nothing_due(self, store: Store) -> None:
        """What has ended is never due."""
        for instance_id, ending in (("o-1", completed()), ("o-2", failed())):
            self.end(store, ending, instance_id=instance_id)
        assert self.found(store, due=NOW + timedelta(days=365)) == []
