"""What the core orders a driver to do next. `events` must be durable before it is done."""

from __future__ import annotations

from datetime import datetime

import attrs

from sagafsm.history.events import Direction, Event, Request
from sagafsm.value import Value


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Command(Value):
    """An order to a driver."""

    events: tuple[Event, ...] = ()


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Rest(Command):
    """The instance has ended: there is nothing to do, ever."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Park(Command):
    """The instance waits for a decision or a signal: there is nothing to do until then."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class WaitForCalls(Command):
    """Calls are under way, and nothing more may start before one of them has ended."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Record(Command):
    """Facts that follow from what is known; nothing is to be called for them."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class WaitForSignal(Command):
    """The instance waits for a signal; once `not_before` has come, `events` are facts."""

    not_before: datetime | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Run(Command):
    """Call one of a step's functions, not before a moment, with this attempt's number and key.

    `parks`: until that moment the instance is parked, and nobody sleeps for it.
    """

    step: str
    attempt: int
    key: str
    not_before: datetime | None = None
    parks: bool = False


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class RunAction(Run):
    """Call the step's action."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class RunCompensation(Run):
    """Call the step's compensation."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class RunProbe(Run):
    """Ask the step's probe. Nothing is written ahead: asking has no effect, so it may be asked again."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Prepare(Run):
    """Ask the step's `when`, and compute its input. Both are pure, so that they may be asked again."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class RunChild(Run):
    """Drive a nested saga until it rests or parks; `direction` "compensation" sends a completed one back.

    `requests` are posted to it first: each counts once, however often it is posted.
    """

    direction: Direction = "action"
    requests: tuple[Request, ...] = ()
