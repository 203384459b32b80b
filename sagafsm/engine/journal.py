"""Appending to an instance's history: all or nothing, never ahead of the store, and told once it is durable."""

from __future__ import annotations

import contextlib
import functools
from datetime import timedelta
from typing import Any

import attrs

from sagafsm.core.commit import Commit
from sagafsm.engine.effects import Effects, StoreCall, StoreWrite
from sagafsm.engine.listeners import Listener, notify_listeners
from sagafsm.engine.ownership import Lease
from sagafsm.errors import InstanceExists, MailWaits, NotClaimed, SagaNotFound, StoreConflict, StoreError
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.store import Append, Create, Store, Stored, changes

APPEND_RETRIES = 3


@attrs.define(eq=False)
class Journal:
    """The history of one instance while one drive owns it; `instance` is what the store has, never more."""

    instance: SagaInstance
    lease: Lease
    listener: Listener | None

    def mail(self) -> Effects[tuple[e.Request, ...]]:
        """The requests that wait."""
        mail: tuple[e.Request, ...] = yield StoreCall(functools.partial(self.lease.store.mail, self.instance.id))
        return mail

    def append(self, batch: Commit) -> Effects[None]:
        """Make a batch durable, then tell the logger and the listener.

        A failed or ambiguous append is looked up: when it took place all is well, when it did not it is repeated.

        Raises:
            MailWaits: nothing was written, and there is mail to decide with.
            StoreConflict: the instance has another owner.
            StoreError: the store failed for good.
        """
        self.lease.check()
        if batch.events:
            append = self._appending(batch)
            try:
                yield StoreWrite(self.lease.store, append)
            except MailWaits:
                raise
            except StoreError as error:
                yield from self._append_again(append, batch, error)
            self.instance = batch.instance
            self.lease.released = batch.draft.is_at_rest or changes(batch.events).releases
            notify_listeners(self.listener, batch)

    def _appending(self, batch: Commit) -> Append:
        if self.lease.token is None:
            raise StoreConflict(f"instance {self.instance.id!r} is not claimed")
        return Append(
            instance_id=self.instance.id,
            events=tuple(batch.events),
            expected_version=len(self.instance.history),
            token=self.lease.token,
        )

    def _append_again(self, append: Append, batch: Commit, error: StoreError) -> Effects[None]:
        """Look up whether an append that failed took place all the same, and repeat it where it did not."""
        # At the first try a conflict is one. Later it may be our own append, which took place after the look.
        if isinstance(error, StoreConflict):
            raise error
        tries_left = APPEND_RETRIES
        while not (yield from self._is_written(batch, error)):
            if not tries_left or isinstance(error, StoreConflict):
                raise error
            tries_left -= 1
            try:
                yield StoreWrite(self.lease.store, append)
            except MailWaits:
                raise
            except StoreError as again:
                error = again
            else:
                return

    def _is_written(self, batch: Commit, error: StoreError) -> Effects[bool]:
        try:
            stored = yield StoreCall(functools.partial(self.lease.store.load, self.instance.id))
        except StoreError:
            # A reload that fails tells nothing; what went wrong first is what the caller should hear of.
            raise error from None
        history, expected = stored.instance.history, len(self.instance.history)
        if history[expected : len(batch.instance.history)] == tuple(batch.events):
            return True
        if len(history) != expected or stored.summary.token != self.lease.token:
            raise StoreConflict(
                f"instance {self.instance.id!r} was taken over by {stored.instance.owner!r} while its store failed"
            ) from error
        return False


CREATE_RETRIES = 3


def claim_instance(lease: Lease, duration: timedelta, *, replacing: int | None) -> Effects[int]:
    """The token of a claim. Its refusal is told apart from the loss of a claim that was granted."""
    claim = functools.partial(
        lease.store.claim, lease.instance_id, owner=lease.owner, lease=duration, replacing=replacing
    )
    try:
        token: int = yield StoreCall(claim)
    except StoreConflict as conflict:
        raise NotClaimed(str(conflict)) from conflict
    return token


def create_instance(
    batch: Commit, lease: Lease | None, duration: timedelta, *, store: Store | None = None, under: int | None = None
) -> Effects[None]:
    """Store a new instance; with a `lease` it is claimed in the same commit, `under` the root's claim if it is nested.

    A failed or ambiguous creation is looked up, and repeated when it did not take place.

    Raises:
        InstanceExists: the id is taken.
        StoreConflict: the root is owned by somebody else now.
        MailWaits: a request waits for an instance in which this one is nested.
    """
    store = lease.store if lease is not None else store
    assert store is not None  # noqa: S101 - one of the two is always given
    events, instance_id = tuple(batch.events), batch.instance.id
    claim: dict[str, Any] = {} if lease is None else {"owner": lease.owner, "lease": duration}
    make = Create(instance_id=instance_id, events=events, under=under, **claim)
    for tries_left in range(CREATE_RETRIES, -1, -1):
        try:
            token: int = yield StoreWrite(store, make)
        except (InstanceExists, MailWaits, StoreConflict):
            raise
        except StoreError as error:
            stored = yield from _find_journaled_creation(store, instance_id, error)
            if stored is None and tries_left:
                continue
            ours = stored is not None and stored.instance.history == events
            if stored is None or not ours or (lease is not None and stored.summary.owner != lease.owner):
                raise
            token = stored.summary.token
        break
    if lease is not None:
        lease.token = token


def _find_journaled_creation(store: Store, instance_id: str, error: StoreError) -> Effects[Stored | None]:
    try:
        stored: Stored = yield StoreCall(functools.partial(store.load, instance_id))
    except SagaNotFound:
        return None
    except StoreError:
        raise error from None
    return stored


def release_claim(lease: Lease) -> Effects[None]:
    """Give a claim up, when there is one."""
    if lease.token is None or lease.released:
        return
    # Where it fails the drive counts as ended all the same: this process finds it free, others when it runs out.
    with contextlib.suppress(StoreError):
        yield StoreCall(functools.partial(lease.store.release, lease.instance_id, token=lease.token))
