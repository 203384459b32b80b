"""What a store promises. These docstrings are the specification; `sagafsm.testing.StoreContract` checks it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import attrs

from sagafsm.errors import StoreError, format_list
from sagafsm.history.events import BlockReason, Event, InstanceBlocked, InstanceMigrated, Request
from sagafsm.history.fold import KEEPS_PARKED
from sagafsm.history.instance import AT_REST, SagaInstance
from sagafsm.value import Value


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Owner(Value):
    """Who drives an instance: `name` for people, `process` to tell whether it still does (opaque to a store)."""

    name: str
    process: str


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Summary(Value):
    """An instance in one row: what `find` lists without reading histories.

    `version` is the saga's; `length` counts the events; `mail` counts the requests that are not absorbed; `token`
    is that of the present or last claim; `lease_until` is in real time and None when nobody owns the instance.
    """

    id: str
    saga: str
    version: int
    state: str
    length: int
    created_at: datetime
    updated_at: datetime
    blocked: BlockReason | None = None
    waiting: bool = False
    wake_at: datetime | None = None
    owner: Owner | None = None
    token: int = 0
    lease_until: datetime | None = None
    mail: int = 0

    @property
    def is_at_rest(self) -> bool:
        """Whether the instance has ended."""
        return self.state in AT_REST


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Changes(Value):
    """What a batch of events changes in a summary.

    `state` None: it stays as it was. `parking` False: `blocked`, `waiting` and `wake_at` stay as they were.
    `adds_block`: an instance that was blocked before stays so for its old reason, as the first one counts.
    """

    state: str | None
    parking: bool
    adds_block: bool
    blocked: BlockReason | None
    waiting: bool
    wake_at: datetime | None
    version: int | None

    @property
    def releases(self) -> bool:
        """Whether the instance has no owner after the batch: it ended, is blocked, or waits for a signal."""
        return self.state in AT_REST or (self.parking and (self.blocked is not None or self.waiting))


def changes(events: Sequence[Event]) -> Changes:
    """What `events` change in the summary of their instance; stores call it, so that no two of them differ."""
    state: str | None = None
    blocked, wake_at, waiting, version = None, None, False, None
    parking = unblocks = False
    for event in events:
        state = event.state or state
        if isinstance(event, KEEPS_PARKED):
            continue
        parking, wake_at, waiting = True, event.wake_at, event.waiting
        if isinstance(event, InstanceBlocked):
            blocked = blocked or event.reason
        else:
            unblocks, blocked = True, None
            if isinstance(event, InstanceMigrated):
                version = event.version
    return Changes(
        state=state,
        parking=parking,
        adds_block=parking and not unblocks,
        blocked=blocked,
        waiting=waiting,
        wake_at=wake_at,
        version=version,
    )


def root_of(instance_id: str) -> str:
    """The id of the root of an instance's tree; its own, where it is no nested one."""
    return instance_id.partition("/")[0]


def ancestors(instance_id: str) -> tuple[str, ...]:
    """The ids of the instances in which one is nested, its root first; none for a root."""
    parts = instance_id.split("/")
    return tuple("/".join(parts[:length]) for length in range(1, len(parts)))


def is_unfinished(instance_id: str, state: str) -> bool:
    """Whether recovery has to look at the instance by itself; a nested one is recovered as a part of its tree."""
    return state not in AT_REST and "/" not in instance_id


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Stored(Value):
    """An instance as loaded: folded from its history, with its row."""

    instance: SagaInstance
    summary: Summary


@attrs.frozen(kw_only=True, slots=False)
class Create:
    """One call of `Store.create`, as a value."""

    instance_id: str
    events: Sequence[Event]
    owner: Owner | None = None
    lease: timedelta | None = None
    under: int | None = None

    def alone(self, store: Store) -> int:
        """Make the call: the token."""
        return store.create(self.instance_id, self.events, owner=self.owner, lease=self.lease, under=self.under)


@attrs.frozen(kw_only=True, slots=False)
class Append:
    """One call of `Store.append`, as a value."""

    instance_id: str
    events: Sequence[Event]
    expected_version: int
    token: int

    def alone(self, store: Store) -> int:
        """Make the call: the new version."""
        return store.append(self.instance_id, self.events, expected_version=self.expected_version, token=self.token)


Write = Create | Append


@runtime_checkable
class Store(Protocol):
    """Where instances, their events and their mailboxes live. Every method is safe to call from any thread.

    All methods raise `StoreError` when the medium fails, and then nothing is known to be written; all but `create`,
    `find` and `import_` raise `SagaNotFound` for an id that is not there.
    """

    url: str

    def create(
        self,
        instance_id: str,
        events: Sequence[Event],
        *,
        owner: Owner | None = None,
        lease: timedelta | None = None,
        under: int | None = None,
    ) -> int:
        """Store a new instance with its first events and return the token of its claim.

        The first event is `InstanceCreated`, numbered 1. With `owner` the instance is claimed in the same commit,
        for `lease` from now. `under` is the token of the root's claim, where the instance is nested: who has lost the
        root begins nothing in its tree. All is stored or nothing; once this returns, it survives a crash.

        Raises:
            InstanceExists: the id is taken; nothing was written.
            StoreConflict: the claim of `under` is over; nothing was written.
            MailWaits: a request waits for an instance in which this one is nested; nothing was written.
        """
        ...

    def append(self, instance_id: str, events: Sequence[Event], *, expected_version: int, token: int) -> int:
        """Add events to an instance's history and return its new version.

        All events are stored or none. Once this returns, they survive a crash. Events that carry a `request_id`
        absorb the mail of that id in the same commit. An append that ends or parks the instance (see `changes`) also
        releases it.

        Raises:
            StoreConflict: somebody else appended since `expected_version`, or the claim of `token` is over: given up,
                or somebody else's now.
            MailWaits: a request came in that these events do not absorb, for this instance or one in which it is
                nested; nothing was written: read the mail of that one and decide again.
        """
        ...

    def write(self, writes: Sequence[Write]) -> Sequence[int | Exception]:
        """Make several creates and appends in one commit, and return what became of each, in their order.

        For each the token or version that `create` or `append` would have returned, or the error that it would have
        raised; each is made, or refused, as if those before it had been made alone. One that is refused, or cannot be
        stored, leaves nothing behind and takes none of the others with it. Once this returns, all that were not
        refused survive a crash.

        Raises:
            StoreError: the medium failed, and nothing is known to be written.
        """
        ...

    def load(self, instance_id: str) -> Stored:
        """The instance folded from its verified history, with its row, as of one moment."""
        ...

    def history(self, instance_id: str) -> tuple[Event, ...]:
        """All events, in order. A damaged one raises a `StoreError` that names it."""
        ...

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
        """Up to `limit` summaries in order of id, those behind id `after`, that match everything given.

        `state` is a state ("running:charge") or a phase ("running"). `blocked` True or False, or one reason.
        `due`: roots that are neither at rest nor, unless mail waits, parked at that moment: `wake_at` is reached or,
        unless the instance is blocked or waits for a signal, absent. The cost of a `due` page grows with the
        unfinished, not with what is at rest.
        """
        ...

    def claim(self, instance_id: str, *, owner: Owner, lease: timedelta, replacing: int | None = None) -> int:
        """Make `owner` the owner for `lease` from now (real time) and return a token higher than any before.

        An instance is free when it has no owner, when the lease has run out, or when `replacing` is the token of the
        present claim (the caller knows that owner to be dead).

        Raises:
            StoreConflict: somebody owns it; the message names the owner.
        """
        ...

    def renew(self, instance_id: str, *, token: int, lease: timedelta) -> None:
        """Extend the lease to `lease` from now.

        Raises:
            StoreConflict: the claim is not ours any more.
        """
        ...

    def release(self, instance_id: str, *, token: int) -> None:
        """Give the instance up; nothing happens when the claim is not ours any more."""
        ...

    def post(self, instance_id: str, request: Request) -> None:
        """Put a request into the mailbox; the same `request_id` again, even an absorbed one, changes nothing.

        Needs no token and changes no version. Survives a crash once this returns.

        Raises:
            IllegalTransition: the instance is at rest (checked in the same commit).
        """
        ...

    def mail(self, instance_id: str) -> tuple[Request, ...]:
        """The requests that are not absorbed, oldest first."""
        ...

    def delete(self, instance_id: str) -> None:
        """Remove an instance at rest with its history and mailbox, and those nested in it.

        Raises:
            IllegalTransition: it is not at rest, or is itself nested.
        """
        ...

    def import_(self, events: Sequence[Event]) -> None:
        """Store a whole history as an unowned instance, verbatim, all or nothing.

        Raises:
            InstanceExists: the id is taken.
            StoreError: the numbers do not run from 1 without gaps.
        """
        ...

    def close(self) -> None:
        """Let go of connections and files; idempotent."""
        ...


def open_store(url: str) -> Store:
    """The store that `url` names, as "memory://" or "sqlite:///orders.db".

    The scheme is looked up among the entry points of group "sagafsm.stores", so that any package can add one; an
    entry point is a callable that takes the URL.

    Raises:
        StoreError: no installed package offers the scheme, or the store cannot be opened.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - it takes as long as half of our own modules

    if not isinstance(url, str):
        raise StoreError(f"a store is given as a URL or as a Store, not {url!r}")
    scheme = url.partition("://")[0].partition("+")[0]
    offered = {point.name: point for point in entry_points(group="sagafsm.stores")}
    if "://" not in url or scheme not in offered:
        # The scheme alone: the rest may hold a password.
        given = f"has the scheme {scheme!r}, which no installed package offers" if "://" in url else "has no scheme"
        raise StoreError(
            f"the store URL {given} (installed: {format_list(sorted(offered))}; write sqlite:///orders.db)"
        )
    store: Store = offered[scheme].load()(url)
    return store
