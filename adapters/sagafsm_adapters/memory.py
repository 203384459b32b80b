"""A store in this process's memory: for notebooks, tests, and sagas that need not outlive the process."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import attrs

from sagafsm.errors import IllegalTransition, InstanceExists, MailWaits, SagaNotFound, StoreConflict, StoreError
from sagafsm.events import BlockReason, Event, InstanceCreated, Request
from sagafsm.instance import SagaInstance, fold
from sagafsm.store import Owner, Stored, Summary, changes

FIRST_TOKEN_BITS = 40


@attrs.define(eq=False)
class _Entry:
    """One instance with its claim and its mailbox; `known` holds every request id ever posted."""

    instance: SagaInstance
    token: int
    owner: Owner | None = None
    lease_until: datetime | None = None
    mail: list[Request] = attrs.Factory(list)
    known: set[str] = attrs.Factory(set)

    def summary(self) -> Summary:
        one = self.instance
        return Summary(
            id=one.id,
            saga=one.saga,
            saga_version=one.version,
            state=one.state,
            version=len(one.history),
            created_at=one.created_at,
            updated_at=one.updated_at,
            blocked=one.blocked[0].reason if one.blocked else None,
            wake_at=one.wake_at,
            owner=self.owner,
            token=self.token,
            lease_until=self.lease_until,
            mail=len(self.mail),
        )

    def give_up(self) -> None:
        self.owner, self.lease_until = None, None

    def check_token(self, token: int) -> None:
        if self.owner is None or self.token != token:
            holder = "nobody" if self.owner is None else repr(self.owner.name)
            raise StoreConflict(f"instance {self.instance.id!r} is owned by {holder} now, the claim was lost")


@attrs.define(eq=False)
class MemoryStore:
    """A `Store` in memory; safe to use from any thread. Nothing survives the process."""

    url: str = attrs.field(default="memory://", init=False)
    _entries: dict[str, _Entry] = attrs.field(factory=dict, init=False)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)

    @classmethod
    def from_url(cls, url: str) -> MemoryStore:
        """A new, empty store; "memory://" takes nothing more."""
        if url != "memory://":
            raise StoreError(f"store URL {url!r} names a memory store, which takes no path or option (use 'memory://')")
        return cls()

    def _entry(self, instance_id: str) -> _Entry:
        try:
            return self._entries[instance_id]
        except KeyError:
            raise SagaNotFound(instance_id, self.url) from None

    def create(
        self, instance_id: str, events: Sequence[Event], *, owner: Owner | None = None, lease: timedelta | None = None
    ) -> int:
        """See `Store.create`."""
        instance = fold(None, events)
        with self._lock:
            if instance_id in self._entries:
                raise InstanceExists(instance_id)
            entry = _Entry(instance=instance, token=secrets.randbits(FIRST_TOKEN_BITS) + 1)
            if owner is not None and not changes(events).releases:
                entry.owner, entry.lease_until = owner, _from_now(lease)
            self._entries[instance_id] = entry
            return entry.token

    def append(self, instance_id: str, events: Sequence[Event], *, expected_version: int, token: int) -> int:
        """See `Store.append`."""
        with self._lock:
            entry = self._entry(instance_id)
            entry.check_token(token)
            version = len(entry.instance.history)
            if version != expected_version:
                raise StoreConflict(
                    f"instance {instance_id!r} has {version} events, not {expected_version}: somebody else appended"
                )
            if entry.mail:
                absorbed = {request_id for event in events if (request_id := getattr(event, "request_id", None))}
                left = [request for request in entry.mail if request.request_id not in absorbed]
                if left:
                    raise MailWaits(instance_id)
                entry.mail = left
            entry.instance = fold(entry.instance, events)
            if changes(events).releases:
                entry.give_up()
            return len(entry.instance.history)

    def load(self, instance_id: str) -> Stored:
        """See `Store.load`."""
        with self._lock:
            entry = self._entry(instance_id)
            instance = entry.instance
            if entry.owner is not None:
                instance = attrs.evolve(instance, owner=entry.owner.name)
            return Stored(instance=instance, summary=entry.summary())

    def history(self, instance_id: str) -> tuple[Event, ...]:
        """See `Store.history`."""
        with self._lock:
            return self._entry(instance_id).instance.history

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
        with self._lock:
            rows = [entry.summary() for key, entry in self._entries.items() if after is None or key > after]
        found = [
            row
            for row in rows
            if (saga is None or row.saga == saga)
            and (state is None or state in (row.state, row.state.partition(":")[0]))
            and _is_blocked(row, blocked)
            and (updated_before is None or row.updated_at < updated_before)
            and (due is None or _is_due(row, due))
        ]
        return sorted(found, key=lambda row: row.id)[:limit]

    def claim(self, instance_id: str, *, owner: Owner, lease: timedelta, replacing: int | None = None) -> int:
        """See `Store.claim`."""
        with self._lock:
            entry = self._entry(instance_id)
            held = entry.owner is not None and entry.lease_until is not None and entry.lease_until > _from_now(None)
            if held and entry.owner is not None and entry.token != replacing:
                raise StoreConflict(f"instance {instance_id!r} is owned by {entry.owner.name!r}")
            entry.token += 1
            entry.owner, entry.lease_until = owner, _from_now(lease)
            return entry.token

    def renew(self, instance_id: str, *, token: int, lease: timedelta) -> None:
        """See `Store.renew`."""
        with self._lock:
            entry = self._entry(instance_id)
            entry.check_token(token)
            entry.lease_until = _from_now(lease)

    def release(self, instance_id: str, *, token: int) -> None:
        """See `Store.release`."""
        with self._lock:
            entry = self._entry(instance_id)
            if entry.token == token:
                entry.give_up()

    def post(self, instance_id: str, request: Request) -> None:
        """See `Store.post`."""
        with self._lock:
            entry = self._entry(instance_id)
            if request.request_id in entry.known:
                return
            if entry.instance.is_at_rest:
                raise IllegalTransition(instance_id, entry.instance.state, "post", ())
            entry.known.add(request.request_id)
            entry.mail.append(request)

    def mail(self, instance_id: str) -> tuple[Request, ...]:
        """See `Store.mail`."""
        with self._lock:
            return tuple(self._entry(instance_id).mail)

    def delete(self, instance_id: str) -> None:
        """See `Store.delete`."""
        with self._lock:
            entry = self._entry(instance_id)
            if not entry.instance.is_at_rest:
                raise IllegalTransition(instance_id, entry.instance.state, "delete", ("abandon",))
            del self._entries[instance_id]

    def import_(self, events: Sequence[Event]) -> None:
        """See `Store.import_`."""
        if not events or not isinstance(events[0], InstanceCreated):
            raise StoreError("a history to import begins with InstanceCreated")
        self.create(events[0].id, events)

    def close(self) -> None:
        """Nothing to let go of: what is in memory stays as long as the store."""


def _from_now(lease: timedelta | None) -> datetime:
    return datetime.now(UTC) + (lease or timedelta(0))


def _is_blocked(row: Summary, blocked: bool | BlockReason | None) -> bool:
    return blocked is None or (row.blocked is not None) == blocked or (row.blocked is not None and row.blocked == blocked)


def _is_due(row: Summary, due: datetime) -> bool:
    parked = row.blocked is not None or (row.wake_at is not None and row.wake_at > due)
    return not row.is_at_rest and (row.mail > 0 or not parked)
