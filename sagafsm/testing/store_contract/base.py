"""What all parts of the contract share."""

from __future__ import annotations

from datetime import timedelta

from sagafsm.history import events as e
from sagafsm.store import Owner, Store
from sagafsm.testing.sample_histories import make_history, make_step_started, number_events

LEASE = timedelta(seconds=30)
ALICE = Owner(name="alice", process="host/1")
BOB = Owner(name="bob", process="host/2")
ID = "o-1"


class StoreContractPart:
    """A part of the contract; `store` is the fixture that a subclass gives."""

    def reopen(self, store: Store) -> Store:
        """Another store over the same data; the same object where there is no such thing."""
        return store

    def begin(self, store: Store, *events: e.Event, instance_id: str = ID) -> int:
        """Create an instance owned by Alice, with these events behind the start of its first step: its token."""
        return store.create(
            instance_id, make_history(instance_id, make_step_started(), *events), owner=ALICE, lease=LEASE
        )

    def add(self, store: Store, token: int, *events: e.Event, instance_id: str = ID) -> int:
        """Append these events to what is there."""
        version = store.load(instance_id).summary.length
        return store.append(instance_id, number_events(events, after=version), expected_version=version, token=token)

    def nest(self, store: Store, *ending: e.Event, step: str = "pay") -> int:
        """An instance of Alice's, nested in step `step` of the first, with these events: its token."""
        return self.begin(store, *ending, instance_id=f"{ID}/{step}")

    def end(self, store: Store, *ending: e.Event, instance_id: str = ID) -> int:
        """Create an instance and end it: the token it had."""
        token = self.begin(store, instance_id=instance_id)
        self.add(store, token, *ending, instance_id=instance_id)
        return token
