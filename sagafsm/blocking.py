"""When somebody must decide: why, and what. Pure."""

from __future__ import annotations

from typing import NamedTuple, assert_never

from sagafsm import events as e
from sagafsm.definition import Definition
from sagafsm.instance import SagaInstance
from sagafsm.moves import from_pivot_on
from sagafsm.record import StepRecord


class Question(NamedTuple):
    """A step that cannot go on before somebody has decided, and why."""

    record: StepRecord
    reason: e.BlockReason


def blocked(definition: Definition, instance: SagaInstance, question: Question) -> e.InstanceBlocked:
    """The fact that the step waits for a decision."""
    record, reason = question
    decisions = _decisions(definition, instance, record, reason)
    # A compensation's failure was told when it failed, and the step's own error is another.
    error = None if reason == "compensation_failed" else record.error
    return e.InstanceBlocked(step=record.name, reason=reason, decisions=decisions, error=error)


def passed_on(record: StepRecord) -> tuple[e.InstanceBlocked, ...]:
    """The blocks of a nested saga, as its parent tells them: `abandon` is of the whole tree."""
    blocks = () if record.child is None else record.child.blocks
    return tuple(
        e.InstanceBlocked(step=f"{record.name}/{block.step}", reason=block.reason, decisions=block.decisions)
        for block in blocks
    )


def _decisions(
    definition: Definition, instance: SagaInstance, record: StepRecord, reason: e.BlockReason
) -> tuple[e.Decision, ...]:
    """The row of the decisions table for this block."""
    match reason:
        case "payload":
            return ("resolve(result)", "abandon")
        case "exhausted":
            return ("retry", "resolve(result)", "abandon")
        case "compensation_failed":
            return ("retry", "resolve(undone)", "skip", "abandon")
        case "in_doubt" if instance.cause is not None:
            undo: tuple[e.Decision, ...] = ("compensate",) if definition.by_name[record.name].compensation else ()
            return ("resolve(result)", "resolve(not_done)", *undo, "skip", "abandon")
        case "in_doubt" | "crash_loop":
            back: tuple[e.Decision, ...] = () if from_pivot_on(definition, record.name) else ("compensate",)
            return ("retry", "resolve(result)", "resolve(not_done)", *back, "abandon")
        case _:
            assert_never(reason)
