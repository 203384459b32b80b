"""What became durable, told to the logger "sagafsm": which instance, which step, what happened, never a payload."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

from sagafsm import events as e
from sagafsm.instance import SagaInstance

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


def is_heard(events: Sequence[e.Event]) -> bool:
    """Whether anything of a commit would be logged: where the level is off, this is all that logging costs."""
    level_of, loudest = LEVELS.get, logging.DEBUG
    for event in events:  # half the cost of `max`, and every commit comes by here
        if (level := level_of(type(event), logging.DEBUG)) > loudest:
            loudest = level
    return log.isEnabledFor(loudest)


def log_commit(happened: Iterable[tuple[SagaInstance, e.Event]]) -> None:
    """One record for each event of a commit, with its instance as of then."""
    for instance, event in happened:
        _log(instance, event)


def _log(instance: SagaInstance, event: e.Event) -> None:
    say(
        LEVELS.get(type(event), logging.DEBUG),
        "instance %r event %d: %s",
        instance.id,
        event.number,
        str(event),  # the event itself would hand its payload to whoever formats the record
        extra=_attributes(instance, event),
    )


def _attributes(instance: SagaInstance, event: e.Event) -> dict[str, Any]:
    return {
        "instance": instance.id,
        "saga": instance.saga,
        "step": getattr(event, "step", None),
        "event": type(event).__name__,
        "number": event.number,
        "state": instance.state,
    }


def say(level: int, message: str, *args: object, **options: Any) -> None:
    """Log a message, whatever the program's own filters and handlers do with it.

    What it tells of is durable and the next call is owed: an error of theirs must not end the drive. It is written
    to stderr, as `logging` itself does with an error of a handler.
    """
    try:
        log.log(level, message, *args, **options)
    except Exception:  # noqa: BLE001 - there is no logger left to record it
        if logging.raiseExceptions:
            traceback.print_exc()
