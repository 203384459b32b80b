"""Appending to an instance's history: all or nothing, never ahead of the store, and told once it is durable."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

import attrs

from sagafsm import events as e
from sagafsm.batch import Batch
from sagafsm.drivers.effects import Steps, StoreCall, Write
from sagafsm.drivers.lease import Lease
from sagafsm.drivers.telling import is_heard, log_commit, say
from sagafsm.errors import MailWaits, StoreConflict, StoreError
from sagafsm.instance import SagaInstance
from sagafsm.store import Append, changes

APPEND_AGAIN = 3
Listener = Callable[[SagaInstance, e.Event], None]


@attrs.define(eq=False)
class Journal:
    """The history of one instance while one drive owns it; `instance` is what the store has, never more."""

    instance: SagaInstance
    lease: Lease
    listener: Listener | None

    def mail(self) -> Steps[tuple[e.Request, ...]]:
        """The requests that wait."""
        mail: tuple[e.Request, ...] = yield StoreCall(functools.partial(self.lease.store.mail, self.instance.id))
        return mail

    def append(self, batch: Batch) -> Steps[None]:
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
                yield Write(self.lease.store, append)
            except MailWaits:
                raise
            except StoreError as error:
                yield from self._append_again(append, batch, error)
            self.instance = batch.instance
            self.lease.released = batch.draft.is_at_rest or changes(batch.events).releases
            tell(self.listener, batch)

    def _appending(self, batch: Batch) -> Append:
        if self.lease.token is None:
            raise StoreConflict(f"instance {self.instance.id!r} is not claimed")
        return Append(
            instance_id=self.instance.id,
            events=tuple(batch.events),
            expected_version=len(self.instance.history),
            token=self.lease.token,
        )

    def _append_again(self, append: Append, batch: Batch, error: StoreError) -> Steps[None]:
        """Look up whether an append that failed took place all the same, and repeat it where it did not."""
        # At the first try a conflict is one. Later it may be our own append, which took place after the look.
        if isinstance(error, StoreConflict):
            raise error
        tries_left = APPEND_AGAIN
        while not (yield from self._is_written(batch, error)):
            if not tries_left or isinstance(error, StoreConflict):
                raise error
            tries_left -= 1
            try:
                yield Write(self.lease.store, append)
            except MailWaits:
                raise
            except StoreError as again:
                error = again
            else:
                return

    def _is_written(self, batch: Batch, error: StoreError) -> Steps[bool]:
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


def unheard(instance: SagaInstance, event: e.Event) -> None:
    """A listener for what never happened, as in a simulation: not even the logger is told."""


def tell(listener: Listener | None, batch: Batch) -> None:
    """Tell the logger and the listener what is durable; whatever that raises is logged and changes nothing."""
    if listener is unheard:
        return
    heard = is_heard(batch.events)
    if listener is None and not heard:
        return
    happened = tuple(zip(batch.instances, batch.events, strict=True))
    if heard:
        log_commit(happened)
    if listener is None:
        return
    for instance, event in happened:
        _tell_one(listener, instance, event)


def _tell_one(listener: Listener, instance: SagaInstance, event: e.Event) -> None:
    try:
        listener(instance, event)
    except Exception:  # noqa: BLE001 - `say` records it
        error = "on_event raised at event %d of instance %r"
        say(logging.ERROR, error, event.number, instance.id, exc_info=True)


@attrs.frozen
class Listeners:
    """Several listeners as one; what one of them raises is logged, and the others hear all the same."""

    each: tuple[Listener, ...] = ()

    def __call__(self, instance: SagaInstance, event: e.Event) -> None:
        """Tell them all, in the order in which they came."""
        for listener in self.each:
            _tell_one(listener, instance, event)

    def without(self, listener: Listener) -> Listeners:
        """All but this one."""
        return Listeners(tuple(one for one in self.each if one is not listener))
