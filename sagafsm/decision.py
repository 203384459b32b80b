"""What an operator may decide, checked against what the block allows. Pure."""

from __future__ import annotations

import attrs

from sagafsm import events as e
from sagafsm.errors import IllegalTransition
from sagafsm.instance import SagaInstance
from sagafsm.moves import passed_pivot
from sagafsm.record import Block
from sagafsm.values import Value


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Verdict(Value):
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
                raise refused(instance, "abandon")
            # DESIGN's table has `abandon` from every state that is not at rest, so it needs no definition.
            return (self._made(None), e.InstanceFailed(state="failed"))
        if self.decision == "compensate" and instance.state == "completed":
            return self._sent_back(instance)
        block = self._block(instance)
        if self.decision not in block.decisions:
            raise IllegalTransition(instance.id, f"{instance.state} ({block.reason})", self.decision, block.decisions)
        return (self._made(block.step), *self._cause(instance, block))

    def _made(self, step: str | None) -> e.DecisionMade:
        return e.DecisionMade(
            decision=self.decision,
            step=step,
            by=self.by,
            reason=self.reason,
            result_json=self.result_json,
            request_id=self.request_id,
        )

    def _sent_back(self, instance: SagaInstance) -> tuple[e.Event, ...]:
        """A completed instance goes back, where there is a way."""
        pivot = next((step.name for step in instance.outline if step.pivot), None)
        if pivot is not None:
            raise IllegalTransition(instance.id, f"completed, behind its pivot {pivot!r}", self.decision, ())
        if self.step is not None or not can_be_sent_back(instance):
            raise refused(instance, self.decision if self.step is None else f"{self.decision} of step {self.step}")
        why = self.reason or "compensated on request"
        return (self._made(None), e.CauseRecorded(kind="decision", by=self.by, reason=why))

    def _block(self, instance: SagaInstance) -> Block:
        found = [block for block in instance.blocked if self.step in (None, block.step)]
        if not found:
            raise refused(instance, self.decision if self.step is None else f"{self.decision} of step {self.step}")
        if len(found) > 1:
            choices = tuple(f"{self.decision} with step={block.step!r}" for block in found)
            raise IllegalTransition(instance.id, instance.state, f"{self.decision} without step=", choices)
        return found[0]

    def _cause(self, instance: SagaInstance, block: Block) -> tuple[e.Event, ...]:
        """The cause that a decision to go back is, unless there is one, or a cancel waits to become it."""
        goes_back = self.decision in ("compensate", "resolve(not_done)") and block.reason in ("in_doubt", "crash_loop")
        if (
            not goes_back
            or "/" in block.step
            or instance.cause is not None
            or instance.cancel is not None
            or passed_pivot(instance)
        ):
            return ()
        error = instance.steps[block.step].error
        return (e.CauseRecorded(kind="decision", step=block.step, error=error, by=self.by, reason=self.reason),)


def verdict_in(request: e.DecisionMade, instance: SagaInstance) -> tuple[e.Event, ...] | None:
    """The facts that a decision handed down by the parent makes; None: nothing waits for it any more."""
    verdict = Verdict(
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


def too_late(request: e.DecisionMade) -> e.DecisionCameTooLate:
    """The fact that nothing waits any more for a decision of the parent."""
    return e.DecisionCameTooLate(request_id=request.request_id or "")


def can_be_sent_back(instance: SagaInstance) -> bool:
    """Whether a completed instance has something that can be undone, and no pivot behind it."""
    return not any(step.pivot for step in instance.outline) and any(step.compensation for step in instance.outline)


def refused(instance: SagaInstance, operation: str) -> IllegalTransition:
    """The error that an operation is not possible now; it lists those that are."""
    return IllegalTransition(instance.id, instance.state, operation, allowed(instance))


def allowed(instance: SagaInstance) -> tuple[str, ...]:
    """What may be asked of an instance as it stands."""
    if instance.is_at_rest:
        return ("compensate",) if instance.state == "completed" and can_be_sent_back(instance) else ()
    decisions = tuple(dict.fromkeys(d for block in instance.blocked for d in block.decisions if d != "abandon"))
    cancel = () if passed_pivot(instance) else ("cancel",)
    signal = ("signal",) if instance.waiting else ()
    return ("resume", *cancel, *signal, *decisions, "abandon")
