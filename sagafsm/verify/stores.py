"""The store as one incarnation reaches it: every append is a point, and a dead process writes nothing more."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import attrs

from sagafsm.errors import StoreError
from sagafsm.events import BlockReason, Event, Request, StepEvent
from sagafsm.store import Owner, Store, Stored, Summary, Write
from sagafsm.verify.life import Life
from sagafsm.verify.schedule import Kind

T = TypeVar("T")
ROOT = "run"


class Host(Protocol):
    """What of a run a store needs: which fault is to be injected, and who carries it out."""

    def hit(self, life: Life, label: str) -> Kind | None:
        """The fault at the point that is reached now."""
        ...

    def wrote(self, instance_id: str, events: Sequence[Event]) -> None:
        """Note what was stored."""
        ...

    def meanwhile(self, kind: Kind) -> None:
        """Have somebody else do something now: cancel, or take over."""
        ...


@functools.lru_cache(maxsize=10_000)
def path_of(instance_id: str, step: str | None = None) -> str:
    """A step's path from the root, or that of a nested instance; "" for the root itself."""
    nested = instance_id.partition("/")[2]
    return "/".join(filter(None, (nested, step)))


def commit_label(instance_id: str, events: Sequence[Event]) -> str:
    """The name of an append: that of its first event, and of the step which that concerns."""
    first = events[0]
    path = path_of(instance_id, first.step if isinstance(first, StepEvent) else None)
    return f"{path}.commit/{type(first).__name__}" if path else f"commit/{type(first).__name__}"


@attrs.define(eq=False)
class Connection:
    """A `Store` for one incarnation, over the one that outlives it."""

    store: Store
    life: Life
    host: Host
    url: str = attrs.field(default=attrs.Factory(lambda self: self.store.url, takes_self=True), init=False)

    def _reach(self) -> Store:
        if self.life.dead:
            self.life.breathe()
        if self.life.store_fails:
            raise StoreError("the store cannot be reached (injected)")
        return self.store

    def _write(self, instance_id: str, events: Sequence[Event], write: Callable[[Store], T]) -> T:
        store = self._reach()
        kind = self.host.hit(self.life, commit_label(instance_id, events))
        match kind:
            case "crash":
                self.life.die()
            case "store_fail":
                self.life.store_fails = True
                raise StoreError("the store cannot be reached (injected)")
            case "cancel" | "duplicate":
                self.host.meanwhile(kind)
        written = write(store)
        self.host.wrote(instance_id, events)
        match kind:
            case "crash_after":
                self.life.die()
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
        return self._reach().load(instance_id)

    def history(self, instance_id: str) -> tuple[Event, ...]:
        """See `Store.history`."""
        return self._reach().history(instance_id)

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
        return self._reach().find(updated_before=updated_before, limit=limit, **filters)

    def claim(self, instance_id: str, *, owner: Owner, lease: timedelta, replacing: int | None = None) -> int:
        """See `Store.claim`."""
        return self._reach().claim(instance_id, owner=owner, lease=lease, replacing=replacing)

    def renew(self, instance_id: str, *, token: int, lease: timedelta) -> None:
        """See `Store.renew`."""
        self._reach().renew(instance_id, token=token, lease=lease)

    def release(self, instance_id: str, *, token: int) -> None:
        """See `Store.release`."""
        self._reach().release(instance_id, token=token)

    def post(self, instance_id: str, request: Request) -> None:
        """See `Store.post`."""
        self._reach().post(instance_id, request)

    def mail(self, instance_id: str) -> tuple[Request, ...]:
        """See `Store.mail`."""
        return self._reach().mail(instance_id)

    def delete(self, instance_id: str) -> None:
        """See `Store.delete`."""
        self._reach().delete(instance_id)

    def import_(self, events: Sequence[Event]) -> None:
        """See `Store.import_`."""
        self._reach().import_(events)

    def close(self) -> None:
        """See `Store.close`; the store outlives this connection."""
