"""What an operator may decide, checked against what the block allows. Pure."""

from __future__ import annotations

from typing import NamedTuple, assert_never

import attrs

from sagafsm.core.triggers import has_passed_pivot, is_pivot_or_later
from sagafsm.definition.definition import Definition
from sagafsm.errors import IllegalTransition, RequestError, format_list
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.signals import list_waits
from sagafsm.history.step_state import Block, StepState
from sagafsm.value import Value


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class DecisionRequest(Value):
    """A decision as it is asked for: which, on which step (None: the one that is blocked), by whom, and why."""

    decision: e.Decision
    step: str | None
    by: str
    reason: str | None
    result_json: str | None = None
    request_id: str | None = None

    def events(self, instance: SagaInstance) -> tuple[e.Event, ...]:
        """The facts that the decision makes.

        Raises:
            IllegalTransition: the instance does not allow it; the message lists what it allows.
        """
        if self.decision == "abandon":
            if instance.is_at_rest:
                raise build_illegal_transition(instance, "abandon")
            # DESIGN's table has `abandon` from every state that is not at rest, so it needs no definition.
            return (self._build_decision_event(None), e.InstanceFailed(state="failed"))
        if self.decision == "compensate" and instance.state == "completed":
            return self._compensate_completed(instance)
        block = self._find_block(instance)
        if self.decision not in block.decisions:
            raise IllegalTransition(instance.id, f"{instance.state} ({block.reason})", self.decision, block.decisions)
        return (self._build_decision_event(block.step), *self._build_cause(instance, block))

    def _build_decision_event(self, step: str | None) -> e.DecisionMade:
        return e.DecisionMade(
            decision=self.decision,
            step=step,
            by=self.by,
            reason=self.reason,
            result_json=self.result_json,
            request_id=self.request_id,
        )

    def _compensate_completed(self, instance: SagaInstance) -> tuple[e.Event, ...]:
        """A completed instance goes back, where there is a way."""
        pivot = next((step.name for step in instance.outline if step.pivot), None)
        if pivot is not None:
            raise IllegalTransition(instance.id, f"completed, behind its pivot {pivot!r}", self.decision, ())
        if self.step is not None or not is_compensatable(instance):
            raise build_illegal_transition(
                instance, self.decision if self.step is None else f"{self.decision} of step {self.step}"
            )
        why = self.reason or "compensated on request"
        return (self._build_decision_event(None), e.CauseRecorded(kind="decision", by=self.by, reason=why))

    def _find_block(self, instance: SagaInstance) -> Block:
        found = [block for block in instance.blocked if self.step in (None, block.step)]
        if not found:
            raise build_illegal_transition(
                instance, self.decision if self.step is None else f"{self.decision} of step {self.step}"
            )
        if len(found) > 1:
            choices = tuple(f"{self.decision} with step={block.step!r}" for block in found)
            raise IllegalTransition(instance.id, instance.state, f"{self.decision} without step=", choices)
        return found[0]

    def _build_cause(self, instance: SagaInstance, block: Block) -> tuple[e.Event, ...]:
        """The cause that a decision to go back is, unless there is one, or a cancel waits to become it."""
        goes_back = self.decision in ("compensate", "resolve(not_done)") and block.reason in ("in_doubt", "crash_loop")
        if (
            not goes_back
            or "/" in block.step
            or instance.cause is not None
            or instance.cancel is not None
            or has_passed_pivot(instance)
        ):
            return ()
        error = instance.steps[block.step].error
        return (e.CauseRecorded(kind="decision", step=block.step, error=error, by=self.by, reason=self.reason),)


def apply_parent_decision(request: e.DecisionMade, instance: SagaInstance) -> tuple[e.Event, ...] | None:
    """The facts that a decision handed down by the parent makes; None: nothing waits for it any more."""
    verdict = DecisionRequest(
        decision=request.decision,
        step=request.step,
        by=request.by or "",
        reason=request.reason,
        result_json=request.result_json,
        request_id=request.request_id,
    )
    try:
        return verdict.events(instance)
    except IllegalTransition:
        return None


def build_late_decision(request: e.DecisionMade) -> e.DecisionCameTooLate:
    """The fact that nothing waits any more for a decision of the parent."""
    return e.DecisionCameTooLate(request_id=request.request_id or "")


def is_compensatable(instance: SagaInstance) -> bool:
    """Whether a completed instance has something that can be undone, and no pivot behind it."""
    return not any(step.pivot for step in instance.outline) and any(step.compensation for step in instance.outline)


def build_illegal_transition(instance: SagaInstance, operation: str) -> IllegalTransition:
    """The error that an operation is not possible now; it lists those that are."""
    return IllegalTransition(instance.id, instance.state, operation, list_allowed_operations(instance))


def list_allowed_operations(instance: SagaInstance) -> tuple[str, ...]:
    """What may be asked of an instance as it stands."""
    if instance.is_at_rest:
        return ("compensate",) if instance.state == "completed" and is_compensatable(instance) else ()
    decisions = tuple(dict.fromkeys(d for block in instance.blocked for d in block.decisions if d != "abandon"))
    cancel = () if has_passed_pivot(instance) else ("cancel",)
    signal = ("signal",) if instance.waiting else ()
    return ("resume", *cancel, *signal, *decisions, "abandon")


class PendingDecision(NamedTuple):
    """A step that cannot go on before somebody has decided, and why."""

    record: StepState
    reason: e.BlockReason


def build_block_event(definition: Definition, instance: SagaInstance, question: PendingDecision) -> e.InstanceBlocked:
    """The fact that the step waits for a decision."""
    record, reason = question
    decisions = _list_decisions(definition, instance, record, reason)
    # A compensation's failure was told when it failed, and the step's own error is another.
    error = None if reason == "compensation_failed" else record.error
    return e.InstanceBlocked(step=record.name, reason=reason, decisions=decisions, error=error)


def collect_nested_blocks(record: StepState) -> tuple[e.InstanceBlocked, ...]:
    """The blocks of a nested saga, as its parent tells them: `abandon` is of the whole tree."""
    blocks = () if record.child is None else record.child.blocks
    return tuple(
        e.InstanceBlocked(step=f"{record.name}/{block.step}", reason=block.reason, decisions=block.decisions)
        for block in blocks
    )


def _list_decisions(
    definition: Definition, instance: SagaInstance, record: StepState, reason: e.BlockReason
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
            back: tuple[e.Decision, ...] = () if is_pivot_or_later(definition, record.name) else ("compensate",)
            return ("retry", "resolve(result)", "resolve(not_done)", *back, "abandon")
        case _:
            assert_never(reason)


def has_signal(instance: SagaInstance, path: str, request_id: str | None) -> bool:
    """Whether the signal has come already, so that another one counts for nothing.

    Raises:
        RequestError: the saga waits for no such signal.
        IllegalTransition: the instance cannot use it any more.
    """
    waits = tuple(list_waits(instance.outline))
    if path not in waits:
        raise RequestError(
            f"instance {instance.id!r} waits for no signal {path!r} (it waits for: {format_list(waits)})"
        )
    received = [event for event in instance.history if isinstance(event, e.SignalReceived)]
    if any(event.request_id == request_id or event.name == path for event in received):
        return True
    if instance.is_at_rest or instance.cause is not None:
        raise build_illegal_transition(instance, f"signal {path}")
    record = instance.steps[path.partition("/")[0]]
    if record.status not in ("pending", "running", "parked"):
        raise IllegalTransition(instance.id, f"{instance.state} and past {record.name!r}", f"signal {path}", ())
    return False
