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


def running(step: str) -> str:
    """The state in which the step's action runs, or is awaited."""
    return f"running:{step}"


def compensating(step: str) -> str:
    """The state in which the step is undone."""
    return f"compensating:{step}"


def states_of(steps: Sequence[StepOutline]) -> tuple[str, ...]:
    """Every state, in the order in which an instance that goes all the way and back would meet them."""
    back = (compensating(step.name) for step in reversed(steps) if step.compensation)
    return ("pending", *(running(step.name) for step in steps), "completed", *back, "failed")


def rows_of(steps: Sequence[StepOutline]) -> tuple[Row, ...]:
    """The transitions of a saga of these steps: at most 6n+4 for n steps."""
    pivot = next((i for i, step in enumerate(steps) if step.pivot), None)
    rows = [Row("start", "pending", running(steps[0].name)), Row("cancel", "pending", "failed")]
    nearest = "failed"
    for i, step in enumerate(steps):
        here = running(step.name)
        rows.append(Row("succeed", here, running(steps[i + 1].name) if i + 1 < len(steps) else "completed"))
        if pivot is None or i <= pivot:
            rows.append(Row("fail", here, nearest))
        if step.compensation:
            rows.append(Row("undo", compensating(step.name), nearest))
            nearest = compensating(step.name)
        if pivot is None or i < pivot:
            # Without a compensation of its own `nearest` is still that of the steps before: as `fail`.
            rows.append(Row("go_back", here, nearest))
    if pivot is None and nearest != "failed":
        rows.append(Row("go_back", "completed", nearest))
    left = (state for state in states_of(steps) if state not in ("completed", "failed"))
    return (*rows, *(Row("abandon", state, "failed") for state in left))


def build_table(steps: Sequence[StepOutline]) -> Table:
    """The rows as a look-up from (trigger, state) to the one target, read off the `transitions.Machine` they make.

    The machine is built once per definition and bound to no model: a look-up in the mapping costs a hundredth of a
    microsecond, where asking the machine scans its transitions.
    """
    machine = Machine(
        model=None,
        states=list(states_of(steps)),
        transitions=[row._asdict() for row in rows_of(steps)],
        initial="pending",
        auto_transitions=False,
    )
    table: dict[tuple[Trigger, str], str] = {}
    for trigger in get_args(Trigger):
        for only in machine.get_transitions(trigger):
            table[trigger, only.source] = str(only.dest)
    return MappingProxyType(table)
