"""What a saga is: an immutable definition, checked as a whole, with the table of its machine."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal

import attrs

from sagafsm.doubt import is_unknown_type
from sagafsm.errors import DefinitionError, listed
from sagafsm.events import StepKind, StepOutline
from sagafsm.function import RESERVED, Function
from sagafsm.machine import Table, build_table, states_of, units_of
from sagafsm.retry import Retry
from sagafsm.values import Value

# Says how the steps of an older version are named now; None: the step is gone.
Migration = Callable[[], Mapping[str, str | None]]
NO_RETRY = Retry(1)
COMPENSATION_RETRY = Retry(5)
Policy = Literal["ask", "retry", "compensate"]
InDoubt = Policy | tuple[Policy, ...]
_POLICIES: tuple[tuple[Policy, ...], ...] = (("ask",), ("retry",), ("compensate",), ("retry", "compensate"))


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
    def is_prepared_first(self) -> bool:
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
            for unit in units_of(self.outline)
        }

    @cached_property
    def table(self) -> Table:
        """Every move: (trigger, state) to target."""
        return build_table(units_of(self.outline))

    @cached_property
    def states(self) -> tuple[str, ...]:
        """Every state of the machine."""
        return states_of(units_of(self.outline))

    @cached_property
    def every_resource(self) -> tuple[str, ...]:
        """The resources that a run must give, those of nested sagas included."""
        nested = (name for step in self.steps if step.child is not None for name in step.child.every_resource)
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
        return fingerprint(self.outline)


def _structure(step: StepOutline) -> tuple[Any, ...]:
    plain = (step.name, step.effect, step.compensation, step.probe, step.pivot)
    if step.kind == "step" and step.group is None:
        return plain
    return (*plain, step.kind, step.group, tuple(_structure(inner) for inner in step.steps))


def fingerprint(outline: Sequence[StepOutline]) -> str:
    """A digest of names, order, groups, pivot, effect, nested sagas, and what can be undone or probed; not of code."""
    return hashlib.blake2b(repr([_structure(step) for step in outline]).encode(), digest_size=8).hexdigest()


def differences(old: Sequence[StepOutline], new: Sequence[StepOutline]) -> tuple[str, ...]:
    """What changed from one outline to another, a phrase each, naming steps."""
    before, after = {s.name: s for s in old}, {s.name: s for s in new}
    found = [f"step {name!r} is gone" for name in before if name not in after]
    found += [f"step {name!r} is new" for name in after if name not in before]
    kept = [name for name in before if name in after]
    if kept != [name for name in after if name in before]:
        found.append(f"the order was {listed(kept)}")
    for name in kept:
        found += _changed(before[name], after[name])
        for field in ("effect", "compensation", "probe", "pivot"):
            was, now = getattr(before[name], field), getattr(after[name], field)
            if was != now:
                found.append(f"step {name!r} {'lost' if was else 'gained'} its {field}")
    return tuple(found)


def _changed(before: StepOutline, after: StepOutline) -> Iterator[str]:
    """What changed in a step's kind, group and nested steps."""
    if before.kind != after.kind:
        yield f"step {after.name!r} was a {before.kind} and is a {after.kind}"
    if before.group != after.group:
        was, now = (f"in group {group!r}" if group else "in no group" for group in (before.group, after.group))
        yield f"step {after.name!r} was {was} and is {now}"
    yield from (f"in saga {after.name!r}, {told}" for told in differences(before.steps, after.steps))


# Checks that a builder makes as soon as it can ------------------------------------------------------------------------


def check_label(value: object, what: str) -> str:
    """The name of a saga or the id of an instance, when it is one.

    Raises:
        DefinitionError: it is not text of 1 to 200 characters without control characters or '/'.
    """
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not all(map(_is_label_character, value)):
        raise DefinitionError(f"{what} takes 1 to 200 characters, none a control character or '/', not {value!r}")
    return value


def _is_label_character(character: str) -> bool:
    # A lone surrogate ("Cs") has no UTF-8, so no database takes it.
    return character != "/" and unicodedata.category(character) not in ("Cc", "Cs")


_HINTS = {
    "step": "use title= for free text",
    "signal": "use title= for free text",
    "group": "it names a state",
    "resource": "steps ask for it by a parameter of that name",
}


def check_name(name: str, what: str, taken: Mapping[str, str]) -> None:
    """Refuse a name, of one of these kinds, that is no identifier, reserved, or `taken` (name to what has it)."""
    if not isinstance(name, str) or not name.isidentifier():
        raise DefinitionError(f"{what} name {name!r} is no identifier ({_HINTS[what]})")
    if name in RESERVED:
        raise DefinitionError(f"{what} name {name!r} is reserved (reserved: {listed(RESERVED)})")
    if name in taken:
        raise DefinitionError(f"{what} name {name!r} is taken by {taken[name]}")


def policies(in_doubt: InDoubt, what: str) -> tuple[Policy, ...]:
    """The policy as a tuple.

    Raises:
        DefinitionError: it is none of those that exist.
    """
    given = tuple(in_doubt) if isinstance(in_doubt, (tuple, list)) else (in_doubt,)
    if given not in _POLICIES:
        allowed = listed(repr(p[0] if len(p) == 1 else p) for p in _POLICIES)
        raise DefinitionError(f"{what} takes in_doubt={allowed}, not {in_doubt!r}")
    return given


def check_in_doubt(given: tuple[Policy, ...], step: str, *, compensation: bool) -> None:
    """Refuse a policy that would undo a step which nothing undoes."""
    if "compensate" in given and not compensation:
        shown = given[0] if len(given) == 1 else given
        raise DefinitionError(
            f"step {step!r} has in_doubt={shown!r} but no compensation (give it one, or another policy)"
        )


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


def check_limit(value: object, what: str) -> None:
    """Refuse a limit that is no whole number of 1 or more."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise DefinitionError(f"{what} takes a max_concurrency of 1 or more, not {value!r}")


def check_duration(value: timedelta | None, what: str) -> None:
    """Refuse a timeout or deadline that is no positive timedelta."""
    if value is not None and (not isinstance(value, timedelta) or value <= timedelta(0)):
        raise DefinitionError(f"{what} takes a positive timedelta, not {value!r}")


def check_retry_on(step: str, retry: Retry, given: tuple[Policy, ...], unknown_on: Sequence[type[Exception]]) -> None:
    """Refuse to retry on exceptions that leave the step in doubt, unless its policy says that it may be repeated."""
    doubtful = [kind.__qualname__ for kind in retry.on if is_unknown_type(kind, unknown_on)]
    if doubtful and "retry" not in given:
        raise DefinitionError(
            f"step {step!r} retries on {listed(doubtful)}, which leaves it in doubt "
            f"(say in_doubt='retry' if the action is idempotent under its key)"
        )
