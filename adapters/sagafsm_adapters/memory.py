"""A store in this process's memory: for notebooks, tests, and sagas that need not outlive the process."""

from __future__ import annotations

import itertools
import threading
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import attrs

from sagafsm.errors import InstanceExists, MailWaits, SagaNotFound, StoreError
from sagafsm.history.events import BlockReason, Event, InstanceBlocked, Request
from sagafsm.history.instance import AT_REST, SagaInstance, fold
from sagafsm.store import Owner, Stored, Summary, Write, ancestors, changes, is_unfinished, root_of
from sagafsm.value import replace
from sagafsm_adapters.validation import (
    check_creation,
    check_deletable,
    check_history,
    check_numbers,
    make_appended_since_error,
    make_claim_lost_error,
    make_owned_error,
    make_too_late_error,
)


@attrs.frozen(slots=False)
class _Claim:
    """Who drives an instance, or, without an owner, drove it last; `until` is the lease's end, in POSIX time."""

    token: int
    owner: Owner | None = None
    until: float = 0.0


@attrs.define(eq=False)
class _Entry:
    """One instance: its history, claim and requests.

    Whatever changes it is one assignment or one call into C, so that Ctrl-C finds it before or after, never between:
    what follows from the history (`state`, an end of the claim, absorbed mail) is settled from it afterwards, by
    whoever looks next if need be. `folded` is the instance as of the last load: appending is the hot path.
    """

    history: list[Event]
    claim: _Claim
    requests: dict[str, Request] = attrs.Factory(dict)
    state: str = "pending"
    settled: int = 0
    folded: SagaInstance | None = None

    def settle(self) -> None:
        """Draw the conclusions from the last append; once more does no harm."""
        events = self.history[self.settled :]
        blocks = False
        for event in events:
            self.state = event.state or self.state
            blocks = blocks or event.waiting or type(event) is InstanceBlocked
        if self.state in AT_REST or (blocks and changes(events).releases):
            self.claim = _Claim(self.claim.token)

    def instance(self) -> SagaInstance:
        done = 0 if self.folded is None else len(self.folded.history)
        if self.folded is None or done < len(self.history):
            self.folded = fold(self.folded, self.history[done:])
        owner = self.claim.owner
        return self.folded if owner is None else replace(self.folded, owner=owner.name)

    def summary(self) -> Summary:
        created, claim = check_creation(self.history), self.claim
        parked = changes(self.history)
        return Summary(
            id=created.id,
            saga=created.saga,
            version=created.version if parked.version is None else parked.version,
            state=self.state,
            length=len(self.history),
            created_at=created.at,
            updated_at=self.history[-1].at,
            blocked=parked.blocked,
            waiting=parked.waiting,
            wake_at=parked.wake_at,
            owner=claim.owner,
            token=claim.token,
            lease_until=None if claim.owner is None else datetime.fromtimestamp(claim.until, UTC),
            mail=len(self.mail()),
        )

    def check_claim(self, instance_id: str, token: int) -> None:
        claim = self.claim
        if claim.owner is None or claim.token != token:
            raise make_claim_lost_error(instance_id, claim.owner)

    def mail(self) -> tuple[Request, ...]:
        if not self.requests:
            return ()
        absorbed = set(_list_request_ids(self.history))
        return tuple(request for key, request in self.requests.items() if key not in absorbed)


@attrs.define(eq=False)
class MemoryStore:
    """A `Store` in memory; safe to use from any thread. Nothing survives the process."""

    url: str = attrs.field(default="memory://", init=False)
    _entries: dict[str, _Entry] = attrs.field(factory=dict, init=False)
    # What is not at rest, so that recovery does not look at what is.
    _unfinished: dict[str, _Entry] = attrs.field(factory=dict, init=False)
    _ordered: list[str] = attrs.field(factory=list, init=False)
    # One count for all: an id that is deleted and created again never sees an old token.
    _tokens: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)

    @classmethod
    def from_url(cls, url: str) -> MemoryStore:
        """A new, empty store; "memory://" takes nothing more."""
        if url != "memory://":
            raise StoreError(f"store URL {url!r} says more than a memory store can take (use 'memory://')")
        return cls()

    def _entry(self, instance_id: str) -> _Entry:
        try:
            entry = self._entries[instance_id]
        except KeyError:
            raise SagaNotFound(instance_id, self.url) from None
        if entry.settled != len(entry.history):
            self._settle(instance_id, entry)
        return entry

    def _settle(self, instance_id: str, entry: _Entry) -> None:
        entry.settle()
        if is_unfinished(instance_id, entry.state):
            # A completed instance can be sent back.
            self._unfinished[instance_id] = entry
        else:
            self._unfinished.pop(instance_id, None)
        entry.settled = len(entry.history)

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
        check_creation(events, instance_id)
        claim = _Claim(next(self._tokens), owner, _compute_lease_end(lease) if lease else 0.0)
        return self._insert(instance_id, events, claim, under)

    def _insert(self, instance_id: str, events: Sequence[Event], claim: _Claim, under: int | None = None) -> int:
        with self._lock:
            if under is not None:
                self._entry(root_of(instance_id)).check_claim(root_of(instance_id), under)
            if instance_id in self._entries:
                raise InstanceExists(instance_id)
            if "/" in instance_id:
                self._check_ancestors(instance_id)
            entry = self._entries[instance_id] = _Entry(list(events), claim)
            self._settle(instance_id, entry)
        return claim.token

    def append(self, instance_id: str, events: Sequence[Event], *, expected_version: int, token: int) -> int:
        """See `Store.append`."""
        check_numbers(instance_id, events, after=expected_version)
        with self._lock:
            entry = self._entry(instance_id)
            entry.check_claim(instance_id, token)
            history = entry.history
            if len(history) != expected_version:
                raise make_appended_since_error(instance_id, len(history), expected_version)
            if entry.requests:
                absorbed = set(_list_request_ids(events))
                if any(request.request_id not in absorbed for request in entry.mail()):
                    raise MailWaits(instance_id)
            if "/" in instance_id:
                self._check_ancestors(instance_id)
            history.extend(events)
            self._settle(instance_id, entry)
            return len(history)

    def _check_ancestors(self, instance_id: str) -> None:
        for above in ancestors(instance_id):
            entry = self._entries.get(above)
            if entry is not None and entry.mail():
                raise MailWaits(above)

    def write(self, writes: Sequence[Write]) -> Sequence[int | Exception]:
        """See `Store.write`."""
        with self._lock:
            return [self._write_one(write) for write in writes]

    def _write_one(self, write: Write) -> int | Exception:
        try:
            return write.alone(self)
        except Exception as error:  # noqa: BLE001 - the other writes of the group are no business of this one's
            return error

    def load(self, instance_id: str) -> Stored:
        """See `Store.load`."""
        with self._lock:
            entry = self._entry(instance_id)
            return Stored(instance=entry.instance(), summary=entry.summary())

    def history(self, instance_id: str) -> tuple[Event, ...]:
        """See `Store.history`."""
        with self._lock:
            return tuple(self._entry(instance_id).history)

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
            matching = (
                row
                for row in self._list_summaries(after, unfinished=due is not None)
                if (saga is None or row.saga == saga)
                and (state is None or state in (row.state, row.state.partition(":")[0]))
                and _is_blocked(row, blocked)
                and (updated_before is None or row.updated_at < updated_before)
                and (due is None or _is_due(row, due))
            )
            return tuple(itertools.islice(matching, limit))

    def _list_summaries(self, after: str | None, *, unfinished: bool) -> Iterator[Summary]:
        if unfinished:
            ids = sorted(self._unfinished)
        else:
            if len(self._ordered) != len(self._entries):
                self._ordered = sorted(self._entries)
            ids = self._ordered
        for index in range(0 if after is None else bisect_right(ids, after), len(ids)):
            yield self._entry(ids[index]).summary()

    def claim(self, instance_id: str, *, owner: Owner, lease: timedelta, replacing: int | None = None) -> int:
        """See `Store.claim`."""
        with self._lock:
            entry = self._entry(instance_id)
            claim = entry.claim
            if claim.owner is not None and claim.until > time.time() and claim.token != replacing:
                raise make_owned_error(instance_id, claim.owner)
            entry.claim = _Claim(next(self._tokens), owner, _compute_lease_end(lease))
            return entry.claim.token

    def renew(self, instance_id: str, *, token: int, lease: timedelta) -> None:
        """See `Store.renew`."""
        with self._lock:
            entry = self._entry(instance_id)
            entry.check_claim(instance_id, token)
            entry.claim = _Claim(token, entry.claim.owner, _compute_lease_end(lease))

    def release(self, instance_id: str, *, token: int) -> None:
        """See `Store.release`."""
        with self._lock:
            entry = self._entry(instance_id)
            if entry.claim.token == token:
                entry.claim = _Claim(token)

    def post(self, instance_id: str, request: Request) -> None:
        """See `Store.post`."""
        with self._lock:
            entry = self._entry(instance_id)
            key = request.request_id or ""
            if key in entry.requests or key in _list_request_ids(entry.history):
                return
            if entry.state in AT_REST:
                raise make_too_late_error(instance_id, entry.state, request)
            entry.requests[key] = request

    def mail(self, instance_id: str) -> tuple[Request, ...]:
        """See `Store.mail`."""
        with self._lock:
            return self._entry(instance_id).mail()

    def delete(self, instance_id: str) -> None:
        """See `Store.delete`."""
        with self._lock:
            entry = self._entry(instance_id)
            check_deletable(instance_id, entry.state)
            self._ordered = []
            for nested in [key for key in self._entries if key.startswith(f"{instance_id}/")]:
                del self._entries[nested]
            del self._entries[instance_id]

    def import_(self, events: Sequence[Event]) -> None:
        """See `Store.import_`."""
        self._insert(check_history(events).id, events, _Claim(next(self._tokens)))

    def close(self) -> None:
        """Nothing to let go of: what is in memory stays as long as the store."""


def _compute_lease_end(lease: timedelta) -> float:
    return time.time() + lease.total_seconds()


def _list_request_ids(events: Iterable[Event]) -> Iterator[str]:
    return (key for event in events if (key := getattr(event, "request_id", None)) is not None)


def _is_blocked(row: Summary, blocked: bool | BlockReason | None) -> bool:
    if isinstance(blocked, bool):
        return (row.blocked is not None) == blocked
    return blocked is None or row.blocked == blocked


def _is_due(row: Summary, due: datetime) -> bool:
    parked = row.blocked is not None or row.waiting if row.wake_at is None else row.wake_at > due
    return row.mail > 0 or not parked
