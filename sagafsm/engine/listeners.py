"""What became durable, told to the logger "sagafsm": which instance, which step, what happened, never a payload."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from sagafsm.core.commit import Commit
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance

log = logging.getLogger("sagafsm")


# Whether and where to it is written is the program's to say; without this, Python would write warnings to stderr.
log.addHandler(logging.NullHandler())


# What is not named here is DEBUG: a kind of event that comes later needs no row.
LEVELS: dict[type[e.Event], int] = {
    e.InstanceCreated: logging.INFO,
    e.InstanceCompleted: logging.INFO,
    e.InstanceFailed: logging.INFO,
    e.InstanceMigrated: logging.INFO,
    e.SignalReceived: logging.INFO,
    e.CauseRecorded: logging.INFO,
    e.DecisionMade: logging.INFO,
    e.StepInDoubt: logging.WARNING,
    e.CompensationFailed: logging.WARNING,
    e.InstanceBlocked: logging.WARNING,
}


def is_logged(events: Sequence[e.Event]) -> bool:
    """Whether anything of a commit would be logged: where the level is off, this is all that logging costs."""
    level_of, loudest = LEVELS.get, logging.DEBUG
    for event in events:  # half the cost of `max`, and every commit comes by here
        if (level := level_of(type(event), logging.DEBUG)) > loudest:
            loudest = level
    return log.isEnabledFor(loudest)


def log_commit(happened: Iterable[tuple[SagaInstance, e.Event]]) -> None:
    """One record for each event of a commit, with its instance as of then."""
    for instance, event in happened:
        _log_event(instance, event)


def _log_event(instance: SagaInstance, event: e.Event) -> None:
    log_safely(
        LEVELS.get(type(event), logging.DEBUG),
        "instance %r event %d: %s",
        instance.id,
        event.number,
        str(event),  # the event itself would hand its payload to whoever formats the record
        extra=_collect_attributes(instance, event),
    )


def _collect_attributes(instance: SagaInstance, event: e.Event) -> dict[str, Any]:
    return {
        "instance": instance.id,
        "saga": instance.saga,
        "step": getattr(event, "step", None),
        "event": type(event).__name__,
        "number": event.number,
        "state": instance.state,
    }


def log_safely(level: int, message: str, *args: object, **options: Any) -> None:
    """Log a message, whatever the program's own filters and handlers do with it.

    What it tells of is durable and the next call is owed: an error of theirs must not end the drive. It is written
    to stderr, as `logging` itself does with an error of a handler.
    """
    try:
        log.log(level, message, *args, **options)
    except Exception:  # noqa: BLE001 - there is no logger left to record it
        if logging.raiseExceptions:
            traceback.print_exc()


Listener = Callable[[SagaInstance, e.Event], None]


def ignore(instance: SagaInstance, event: e.Event) -> None:
    """A listener for what never happened, as in a simulation: not even the logger is told."""


def notify_listeners(listener: Listener | None, batch: Commit) -> None:
    """Tell the logger and the listener what is durable; whatever that raises is logged and changes nothing."""
    if listener is ignore:
        return
    heard = is_logged(batch.events)
    if listener is None and not heard:
        return
    happened = tuple(zip(batch.instances, batch.events, strict=True))
    if heard:
        log_commit(happened)
    if listener is None:
        return
    for instance, event in happened:
        _notify_one(listener, instance, event)


def _notify_one(listener: Listener, instance: SagaInstance, event: e.Event) -> None:
    try:
        listener(instance, event)
    except Exception:  # noqa: BLE001 - `log_safely` records the error
        error = "on_event raised at event %d of instance %r"
        log_safely(logging.ERROR, error, event.number, instance.id, exc_info=True)


@attrs.frozen
class Listeners:
    """Several listeners as one; what one of them raises is logged, and the others hear all the same."""

    each: tuple[Listener, ...] = ()

    def __call__(self, instance: SagaInstance, event: e.Event) -> None:
        """Tell them all, in the order in which they came."""
        for listener in self.each:
            _notify_one(listener, instance, event)

    def without(self, listener: Listener) -> Listeners:
        """All but this one."""
        return Listeners(tuple(one for one in self.each if one is not listener))
