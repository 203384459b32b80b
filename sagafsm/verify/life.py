"""One incarnation of the process that runs a saga, which can die at any point, and what it passes on its way."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from sagafsm.drivers.effects import UserCall
from sagafsm.verify.schedule import Kind, Point


class Crashed(BaseException):
    """The simulated process is dead. No `Exception`, so that a step's own handling does not see it."""


# What ends a process, or the task that it runs in: no decision about the saga.
ENDS_OF_PROCESS = (SystemExit, CancelledError, GeneratorExit)


class Refused(Exception):
    """What a service answers that refuses a call: a definite failure, nothing took effect."""


class TimedOut(TimeoutError):
    """What a caller sees when no answer comes in time, whether the call took effect or not."""


class Unreachable(ConnectionRefusedError):
    """What a caller sees of a service that is down: the call never left."""


class Plan(Protocol):
    """What goes wrong at which point."""

    def at(self, point: Point) -> Kind | None:
        """The fault to inject there, if one is."""
        ...


@attrs.frozen
class Planned:
    """Exactly the given faults."""

    faults: Mapping[Point, Kind]
    # Most points are hit by nothing, and to compare a text is quicker than to hash a point.
    _labels: frozenset[str] = attrs.field(
        default=attrs.Factory(lambda self: frozenset(point.label for point in self.faults), takes_self=True), init=False
    )

    def at(self, point: Point) -> Kind | None:
        """See `Plan.at`."""
        return self.faults.get(point) if point.label in self._labels else None


@attrs.define(eq=False)
class Answered:
    """One call of a resource: whether it took effect, and what it really answered, whatever the caller saw."""

    name: str
    landed: bool = False
    value: Any = None
    error: Exception | None = None
    awaited: bool = False


@attrs.define(eq=False)
class Called:
    """One call of a step's function, with what it asked of the resources.

    `returned`: it came to its end, whatever its caller saw of that; `interrupted`: Ctrl-C was raised in it.
    """

    point: Point
    call: UserCall
    answers: list[Answered] = attrs.Factory(list)
    returned: bool = False
    value: Any = None
    interrupted: bool = False

    @property
    def path(self) -> str:
        """The step, by its path."""
        return self.point.path

    @property
    def role(self) -> str:
        """What of the step was called."""
        return self.point.role


@attrs.define(eq=False)
class Life:
    """One incarnation. Once `dead` nothing of it reaches the store or the world any more; `over`: it has ended well."""

    number: int
    dead: bool = False
    over: bool = False
    store_fails: bool = False
    interrupted: bool = False
    current: Called | None = None
    counts: dict[str, int] = attrs.Factory(dict)

    def breathe(self) -> None:
        """Raise when the process is dead: not even a `finally` may tidy up."""
        if self.dead:
            raise Crashed

    def die(self) -> None:
        """Die here."""
        self.dead = True
        raise Crashed

    def passes(self, label: str) -> Point:
        """The point that is reached now."""
        number = self.counts[label] = self.counts.get(label, 0) + 1
        return Point(label, number, self.number)


@attrs.frozen
class Passed:
    """A point that a run came by, with the fault that was injected there."""

    point: Point
    kind: Kind | None
    called: Called | None = None


@attrs.frozen
class Change:
    """What one call of a resource changed in the world's snapshot."""

    called: Called
    answered: Answered
    places: frozenset[str]
