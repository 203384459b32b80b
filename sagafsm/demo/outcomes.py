"""What became of an order."""

from __future__ import annotations

from typing import Literal

from sagafsm.events import CompensationStarted
from sagafsm.instance import SagaInstance

Outcome = Literal["completed", "failed and compensated", "failed, not all undone", "blocked", "unfinished"]


def outcome_of(instance: SagaInstance) -> Outcome:
    """What became of an order."""
    if instance.state == "completed":
        return "completed"
    if instance.state == "failed":
        return "failed and compensated" if instance.compensated else "failed, not all undone"
    return "blocked" if instance.blocked else "unfinished"


def was_compensated(instance: SagaInstance) -> tuple[str, ...]:
    """The steps that are undone, in the order in which it was done."""
    begun = dict.fromkeys(event.step for event in instance.history if isinstance(event, CompensationStarted))
    return tuple(step for step in begun if instance.steps[step].undo == "undone")
