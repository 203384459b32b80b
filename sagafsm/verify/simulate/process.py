"""A simulated process that can die at any point, and the records of its calls."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from sagafsm.engine.effects import UserCall
from sagafsm.verify.schedule import FaultKind, FaultPoint


class Crashed(BaseException):
    """The simulated process is dead. No `Exception`: a step must not handle it."""


# Errors that end a process or its task: they say nothing about the saga.
ENDS_OF_PROCESS = (SystemExit, CancelledError, GeneratorExit)


class InjectedRefusal(Exception):
    """A service refuses a call: a definite failure, nothing took effect."""


class InjectedTimeout(TimeoutError):
    """No answer comes in time: the call may have taken effect."""


class InjectedOutage(ConnectionRefusedError):
    """A service is down: the call does not reach it."""


class FaultPlan(Protocol):
    """Decides which fault to inject at which point."""

    def at(self, point: FaultPoint) -> FaultKind | None:
        """Return the fault to inject at a point; None: no fault."""
        ...


@attrs.frozen
class FixedPlan:
    """Exactly the given faults."""

    faults: Mapping[FaultPoint, FaultKind]
    # Most points get no fault, and the lookup of a text is faster than the hash of a point.
    _labels: frozenset[str] = attrs.field(
        default=attrs.Factory(lambda self: frozenset(point.label for point in self.faults), takes_self=True), init=False
    )

    def at(self, point: FaultPoint) -> FaultKind | None:
        """See `FaultPlan.at`."""
        return self.faults.get(point) if point.label in self._labels else None


@attrs.define(eq=False)
class ResourceCall:
    """One call of a resource, with its real answer: the caller may have seen another one."""

    name: str
    took_effect: bool = False
    value: Any = None
    error: Exception | None = None
    awaited: bool = False


@attrs.define(eq=False)
class StepCall:
    """One call of a step's function, with its calls of resources.

    `returned`: the function returned `value`, although its caller may have seen an error. `interrupted`: Ctrl-C was
    raised in the function.
    """

    point: FaultPoint
    call: UserCall
    resource_calls: list[ResourceCall] = attrs.Factory(list)
    returned: bool = False
    value: Any = None
    interrupted: bool = False

    @property
    def path(self) -> str:
        """The step, by its path."""
        return self.point.path

    @property
    def role(self) -> str:
        """The function of the step: "action", "compensation" or "probe"."""
        return self.point.role


@attrs.define(eq=False)
class Process:
    """One process. If `is_dead`, no call of it reaches the store or the world. `is_finished`: the run has ended."""

    number: int
    is_dead: bool = False
    is_finished: bool = False
    store_fails: bool = False
    interrupted: bool = False
    current: StepCall | None = None
    counts: dict[str, int] = attrs.Factory(dict)

    def check_alive(self) -> None:
        """Raise `Crashed` if the process is dead, so that not even a `finally` can clean up."""
        if self.is_dead:
            raise Crashed

    def die(self) -> None:
        """Die, by raising `Crashed`."""
        self.is_dead = True
        raise Crashed

    def number_point(self, label: str) -> FaultPoint:
        """Count a label, and return its point."""
        number = self.counts[label] = self.counts.get(label, 0) + 1
        return FaultPoint(label, number, self.number)


@attrs.frozen
class VisitedPoint:
    """A point that a run reached, with the fault that was injected there."""

    point: FaultPoint
    kind: FaultKind | None
    step_call: StepCall | None = None


@attrs.frozen
class WorldChange:
    """The places of the world's snapshot that one call of a resource changed."""

    step_call: StepCall
    resource_call: ResourceCall
    places: frozenset[str]
