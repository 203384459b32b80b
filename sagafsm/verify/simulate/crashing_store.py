"""The store of one simulated process: every append is a point, and a dead process writes nothing more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import attrs

from sagafsm.errors import StoreError
from sagafsm.history.events import BlockReason, Event, Request, StepEvent
from sagafsm.store import Owner, Store, Stored, Summary, Write
from sagafsm.verify.schedule import build_path
from sagafsm.verify.simulate.calls import SimulatedCalls
from sagafsm.verify.simulate.process import Process

T = TypeVar("T")


def make_commit_label(instance_id: str, events: Sequence[Event]) -> str:
    """Return the label of an append: the name of its first event, with the path of that event's step."""
    first = events[0]
    path = build_path(instance_id, first.step if isinstance(first, StepEvent) else None)
    return f"{path}.commit/{type(first).__name__}" if path else f"commit/{type(first).__name__}"


@attrs.define(eq=False)
class CrashingStore:
    """A `Store` for one process, over the store that outlives it."""

    store: Store
    process: Process
    calls: SimulatedCalls
    url: str = attrs.field(default=attrs.Factory(lambda self: self.store.url, takes_self=True), init=False)

    def _get_store(self) -> Store:
        if self.process.is_dead:
            self.process.check_alive()
        if self.process.store_fails:
            raise StoreError("the store cannot be reached (injected)")
        return self.store

    def _write(self, instance_id: str, events: Sequence[Event], write: Callable[[Store], T]) -> T:
        store = self._get_store()
        kind = self.calls.visit_label(self.process, make_commit_label(instance_id, events))
        match kind:
            case "crash":
                self.process.die()
            case "store_fail":
                self.process.store_fails = True
                raise StoreError("the store cannot be reached (injected)")
            case "cancel" | "duplicate":
                self.calls.simulate_other_client(kind)
        written = write(store)
        self.calls.timeline.append((instance_id, events))
        match kind:
            case "crash_after":
                self.process.die()
            case "store_ambiguous":
                raise StoreError("the store did not answer (injected)")
        return written

    def create(
        self,
        instance_id: str,
        events: Sequence[Event],
        *,
        owner: Owner | None = None,
        lease: timedelta | None = None,
        under: int | None = None,
    ) -> int:
        """See `Store.create`."""
        return self._write(
            instance_id, events, lambda store: store.create(instance_id, events, owner=owner, lease=lease, under=under)
        )

    def append(self, instance_id: str, events: Sequence[Event], *, expected_version: int, token: int) -> int:
        """See `Store.append`."""
        return self._write(
            instance_id,
            events,
            lambda store: store.append(instance_id, events, expected_version=expected_version, token=token),
        )

    def write(self, writes: Sequence[Write]) -> Sequence[int | Exception]:
        """See `Store.write`; the simulated driver commits one by one."""
        return [write.alone(self) for write in writes]

    def load(self, instance_id: str) -> Stored:
        """See `Store.load`."""
        return self._get_store().load(instance_id)

    def history(self, instance_id: str) -> tuple[Event, ...]:
        """See `Store.history`."""
        return self._get_store().history(instance_id)

    def find(
        self,
        *,
        saga: str | None = None,
        state: str | None = None,
        blocked: bool | BlockReason | None = None,
        updated_before: datetime | None = None,
        due: datetime | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[Summary]:
        """See `Store.find`."""
        filters: dict[str, Any] = {"saga": saga, "state": state, "blocked": blocked, "due": due, "after": after}
        return self._get_store().find(updated_before=updated_before, limit=limit, **filters)

    def claim(self, instance_id: str, *, owner: Owner, lease: timedelta, replacing: int | None = None) -> int:
        """See `Store.claim`."""
        return self._get_store().claim(instance_id, owner=owner, lease=lease, replacing=replacing)

    def renew(self, instance_id: str, *, token: int, lease: timedelta) -> None:
        """See `Store.renew`."""
        self._get_store().renew(instance_id, token=token, lease=lease)

    def release(self, instance_id: str, *, token: int) -> None:
        """See `Store.release`."""
        self._get_store().release(instance_id, token=token)

    def post(self, instance_id: str, request: Request) -> None:
        """See `Store.post`."""
        self._get_store().post(instance_id, request)

    def mail(self, instance_id: str) -> tuple[Request, ...]:
        """See `Store.mail`."""
        return self._get_store().mail(instance_id)

    def delete(self, instance_id: str) -> None:
        """See `Store.delete`."""
        self._get_store().delete(instance_id)

    def import_(self, events: Sequence[Event]) -> None:
        """See `Store.import_`."""
        self._get_store().import_(events)

    def close(self) -> None:
        """See `Store.close`; the store outlives this connection."""
