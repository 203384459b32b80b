"""The table of a saga: every state, every trigger, one target each. The single truth about where an instance may go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

from transitions import Machine

from sagafsm.history.events import StepOutline

Trigger = Literal["start", "succeed", "fail", "go_back", "undo", "cancel", "abandon"]
Table = Mapping[tuple[Trigger, str], str]


class Transition(NamedTuple):
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


def build_units(outline: Sequence[StepOutline]) -> tuple[Unit, ...]:
    """The steps and groups in order: consecutive steps of one group are one unit."""
    found: list[Unit] = []
    for step in outline:
        if step.group is not None and found and found[-1].name == step.group:
            found[-1] = Unit(step.group, (*found[-1].steps, step))
        else:
            found.append(Unit(step.group or step.name, (step,)))
    return tuple(found)


def running_state(unit: str) -> str:
    """The state in which the unit's actions run, or are awaited."""
    return f"running:{unit}"


def compensating_state(unit: str) -> str:
    """The state in which the unit is undone."""
    return f"compensating:{unit}"


def list_states(units: Sequence[Unit]) -> tuple[str, ...]:
    """Every state, in the order in which an instance that goes all the way and back would meet them."""
    back = (compensating_state(unit.name) for unit in reversed(units) if unit.compensation)
    return ("pending", *(running_state(unit.name) for unit in units), "completed", *back, "failed")


def list_transitions(units: Sequence[Unit]) -> tuple[Transition, ...]:
    """The transitions of a saga of these units: at most 6n+4 for n of them."""
    pivot = next((i for i, unit in enumerate(units) if unit.pivot), None)
    rows = [Transition("start", "pending", running_state(units[0].name)), Transition("cancel", "pending", "failed")]
    nearest = "failed"
    for i, unit in enumerate(units):
        here = running_state(unit.name)
        rows.append(
            Transition("succeed", here, running_state(units[i + 1].name) if i + 1 < len(units) else "completed")
        )
        if pivot is None or i <= pivot:
            rows.append(Transition("fail", here, nearest))
        if unit.compensation:
            rows.append(Transition("undo", compensating_state(unit.name), nearest))
            nearest = compensating_state(unit.name)
        if pivot is None or i < pivot:
            # Without a compensation of its own `nearest` is still that of the units before: as `fail`.
            rows.append(Transition("go_back", here, nearest))
    if pivot is None and nearest != "failed":
        rows.append(Transition("go_back", "completed", nearest))
    left = (state for state in list_states(units) if state not in ("completed", "failed"))
    return (*rows, *(Transition("abandon", state, "failed") for state in left))


def build_table(units: Sequence[Unit]) -> Table:
    """The rows as a look-up from (trigger, state) to the one target, read off the `transitions.Machine` they make.

    The machine is built once per definition and bound to no model: a look-up in the mapping costs a hundredth of a
    microsecond, where asking the machine scans its transitions.
    """
    machine = Machine(
        model=None,
        states=list(list_states(units)),
        transitions=[row._asdict() for row in list_transitions(units)],
        initial="pending",
        auto_transitions=False,
    )
    table: dict[tuple[Trigger, str], str] = {}
    for trigger in get_args(Trigger):
        for only in machine.get_transitions(trigger):
            table[trigger, only.source] = str(only.dest)
    return MappingProxyType(table)
