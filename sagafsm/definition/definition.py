"""`Definition` and `StepDefinition`: a saga as an immutable value, checked as a whole, with its table of moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, Protocol

import attrs

from sagafsm.definition.fingerprint import compute_fingerprint
from sagafsm.definition.functions import Function
from sagafsm.definition.machine import Table, build_table, build_units, list_states
from sagafsm.definition.retry import Retry
from sagafsm.definition.validation import (
    Policy,
    check_in_doubt,
)
from sagafsm.errors import DefinitionError
from sagafsm.history.events import StepKind, StepOutline
from sagafsm.value import Value

# Says how the steps of an older version are named now; None: the step is gone.
Migration = Callable[[], Mapping[str, str | None]]
NO_RETRY = Retry(1)
COMPENSATION_RETRY = Retry(5)


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepDefinition(Value):
    """One step: its functions and their policies. `in_doubt` is always a tuple."""

    name: str
    title: str | None = None
    kind: StepKind = "step"
    action: Function | None = None
    compensation: Function | None = None
    probe: Function | None = None
    when: Function | None = None
    retry: Retry = NO_RETRY
    timeout: timedelta | None = None
    in_doubt: tuple[Policy, ...] = ("ask",)
    pivot: bool = False
    effect: bool = True
    compensation_retry: Retry = COMPENSATION_RETRY
    compensation_timeout: timedelta | None = None
    group: str | None = None
    max_concurrency: int | None = None
    child: Definition | None = None
    input: Function | None = None

    @property
    def outline(self) -> StepOutline:
        """What of it shapes the machine."""
        return StepOutline(
            name=self.name,
            title=self.title,
            effect=self.effect,
            compensation=self.can_undo,
            probe=self.probe is not None,
            pivot=self.pivot,
            kind=self.kind,
            group=self.group,
            steps=() if self.child is None else self.child.outline,
        )

    @property
    def can_undo(self) -> bool:
        """Whether something is called to undo it: its compensation, or one of a step of the nested saga."""
        return self.compensation is not None if self.child is None else any(s.can_undo for s in self.child.steps)

    @property
    def has_preparation(self) -> bool:
        """Whether the user's code is asked before it starts: whether it should, or with what input."""
        return self.when is not None or self.input is not None

    @property
    def returns(self) -> Any:
        """The type of its result, Any when none is declared."""
        return Any if self.action is None else self.action.returns


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class UnitDefinition(Value):
    """The steps of one state: one step, or the members of a group, of which so many run at once."""

    name: str
    steps: tuple[StepDefinition, ...]
    max_concurrency: int | None


@attrs.frozen(kw_only=True, slots=False)
class Definition:
    """A saga as one run takes it: nothing in it changes any more.

    `input` is the type of the saga's input, Any when it declares none; `resources` the names that a run must give.
    """

    saga: str
    version: int
    input: Any
    resources: tuple[str, ...]
    steps: tuple[StepDefinition, ...]
    unknown_on: tuple[type[Exception], ...]
    deadline: timedelta | None
    limits: Mapping[str, int | None] = attrs.field(factory=dict)
    migrations: Mapping[int, Migration] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if not self.steps:
            raise DefinitionError(f"saga {self.saga!r} has no steps (define one with @saga.step)")
        for step in self.steps:
            check_in_doubt(step.in_doubt, step.name, compensation=step.can_undo)
            if step.child is not None:
                check_nested(step.name, step.child, self.steps)
        for group in self.limits:
            if all(step.group != group for step in self.steps):
                raise DefinitionError(
                    f"group {group!r} of saga {self.saga!r} has no members (name it by a step's group=)"
                )

    @cached_property
    def by_name(self) -> Mapping[str, StepDefinition]:
        """The steps by name, in order."""
        return {step.name: step for step in self.steps}

    @cached_property
    def outline(self) -> tuple[StepOutline, ...]:
        """The steps as the history keeps them."""
        return tuple(step.outline for step in self.steps)

    @cached_property
    def units(self) -> Mapping[str, UnitDefinition]:
        """What the states stand for, by name, in order."""
        return {
            unit.name: UnitDefinition(
                name=unit.name,
                steps=tuple(self.by_name[step.name] for step in unit.steps),
                max_concurrency=self.limits.get(unit.name),
            )
            for unit in build_units(self.outline)
        }

    @cached_property
    def table(self) -> Table:
        """Every move: (trigger, state) to target."""
        return build_table(build_units(self.outline))

    @cached_property
    def states(self) -> tuple[str, ...]:
        """Every state of the machine."""
        return list_states(build_units(self.outline))

    @cached_property
    def all_resources(self) -> tuple[str, ...]:
        """The resources that a run must give, those of nested sagas included."""
        nested = (name for step in self.steps if step.child is not None for name in step.child.all_resources)
        return tuple(dict.fromkeys((*self.resources, *nested)))

    @cached_property
    def pivot(self) -> int | None:
        """The position of the pivot, from 0."""
        return next((i for i, step in enumerate(self.steps) if step.pivot), None)

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """The position of every step, from 0."""
        return {step.name: i for i, step in enumerate(self.steps)}

    @cached_property
    def fingerprint(self) -> str:
        """What two definitions share that can go on with each other's instances."""
        return compute_fingerprint(self.outline)


def check_nested(name: str, child: Definition, steps: Sequence[StepDefinition]) -> None:
    """Refuse a nested saga from which, or to which, there would be no way back."""
    pivot = next((step.name for step in child.steps if step.pivot), None)
    if pivot is not None:
        raise DefinitionError(
            f"nested saga {name!r} has a pivot, {pivot!r}, from which its parent could not go back (run it on its own)"
        )
    for step in steps:
        if step.name == name:
            return
        if step.pivot:
            raise DefinitionError(f"nested saga {name!r} stands behind pivot {step.name!r} (put it before the pivot)")


class HasDefinition(Protocol):
    """What has a definition, perhaps another at each look: a saga whose cells are run again."""

    @property
    def definition(self) -> Definition:
        """The present definition."""
        ...
