"""The table of a saga: every state, every trigger, one target each. The single truth about where an instance may go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

from transitions import Machine

from sagafsm.events import StepOutline

Trigger = Literal["start", "succeed", "fail", "go_back", "undo", "cancel", "abandon"]
Table = Mapping[tuple[Trigger, str], str]


class Row(NamedTuple):
    """One transition."""

    trigger: Trigger
    source: str
    dest: str


class Unit(NamedTuple):
    """What one state of each phase stands for: a step, or a group of steps that run concurrently."""

    name: str
    steps: tuple[StepOutline, ...]

    @property
    def compensation(self) -> bool:
        """Whether anything in it can be undone."""
        return any(step.compensation for step in self.steps)

    @property
    def pivot(self) -> bool:
        """Whether it is the pivot."""
        return any(step.pivot for step in self.steps)


def units_of(outline: Sequence[StepOutline]) -> tuple[Unit, ...]:
    """The steps and groups in order: consecutive steps of one group are one unit."""
    found: list[Unit] = []
    for step in outline:
        if step.group is not None and found and found[-1].name == step.group:
            found[-1] = Unit(step.group, (*found[-1].steps, step))
        else:
            found.append(Unit(step.group or step.name, (step,)))
    return tuple(found)


def running(unit: str) -> str:
    """The state in which the unit's actions run, or are awaited."""
    return f"running:{unit}"


def compensating(unit: str) -> str:
    """The state in which the unit is undone."""
    return f"compensating:{unit}"


def states_of(units: Sequence[Unit]) -> tuple[str, ...]:
    """Every state, in the order in which an instance that goes all the way and back would meet them."""
    back = (compensating(unit.name) for unit in reversed(units) if unit.compensation)
    return ("pending", *(running(unit.name) for unit in units), "completed", *back, "failed")


def rows_of(units: Sequence[Unit]) -> tuple[Row, ...]:
    """The transitions of a saga of these units: at most 6n+4 for n of them."""
    pivot = next((i for i, unit in enumerate(units) if unit.pivot), None)
    rows = [Row("start", "pending", running(units[0].name)), Row("cancel", "pending", "failed")]
    nearest = "failed"
    for i, unit in enumerate(units):
        here = running(unit.name)
        rows.append(Row("succeed", here, running(units[i + 1].name) if i + 1 < len(units) else "completed"))
        if pivot is None or i <= pivot:
            rows.append(Row("fail", here, nearest))
        if unit.compensation:
            rows.append(Row("undo", compensating(unit.name), nearest))
            nearest = compensating(unit.name)
        if pivot is None or i < pivot:
            # Without a compensation of its own `nearest` is still that of the units before: as `fail`.
            rows.append(Row("go_back", here, nearest))
    if pivot is None and nearest != "failed":
        rows.append(Row("go_back", "completed", nearest))
    left = (state for state in states_of(units) if state not in ("completed", "failed"))
    return (*rows, *(Row("abandon", state, "failed") for state in left))


def build_table(units: Sequence[Unit]) -> Table:
    """The rows as a look-up from (trigger, state) to the one target, read off the `transitions.Machine` they make.

    The machine is built once per definition and bound to no model: a look-up in the mapping costs a hundredth of a
    microsecond, where asking the machine scans its transitions.
    """
    machine = Machine(
        model=None,
        states=list(states_of(units)),
        transitions=[row._asdict() for row in rows_of(units)],
        initial="pending",
        auto_transitions=False,
    )
    table: dict[tuple[Trigger, str], str] = {}
    for trigger in get_args(Trigger):
        for only in machine.get_transitions(trigger):
            table[trigger, only.source] = str(only.dest)
    return MappingProxyType(table)
