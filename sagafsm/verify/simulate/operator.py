"""A simulated operator who knows the truth of the world and decides every block."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import attrs

from sagafsm.core.decisions import DecisionRequest
from sagafsm.engine.effects import Effects
from sagafsm.engine.operations import Operations
from sagafsm.errors import IllegalTransition, PayloadError
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.step_state import Block
from sagafsm.verify.simulate.calls import NoRecordedEffect, SimulatedCalls
from sagafsm.verify.simulate.interception import FaultInjector
from sagafsm.verify.simulate.process import ENDS_OF_PROCESS, Process
from sagafsm.verify.simulate.simulation import Simulation

BY, WHY = "the verifier", "as it is in the simulated world"
# How often the operator retries one step before abandoning the instance.
PATIENCE = 2


@attrs.frozen
class Truth:
    """The truth about an action in doubt: "done", with its result, "not_done", or "partial": stopped half way."""

    status: Literal["done", "not_done", "partial"]
    result: Any = None


def find_truth(calls: SimulatedCalls, path: str, reads: Collection[str]) -> Truth:
    """Find out whether a step's action is done, over all its attempts; `reads` names resource calls without effect.

    An attempt that was stopped is replayed with the real answers of the resources. If the replay returns, all effects
    of the action are done, and the returned value is its result.
    """
    attempts = calls.select_step_calls(path, "action")
    for attempt in reversed(attempts):
        if attempt.returned:
            return Truth("done", attempt.value)
        if attempt.resource_calls:
            try:
                return Truth("done", calls.replay(attempt, FaultInjector(calls, Process(0))))
            except (Exception, NoRecordedEffect, *ENDS_OF_PROCESS):  # noqa: BLE001, S112 - a part is missing
                continue
    has_effect = any(
        call.took_effect and call.name not in reads for attempt in attempts for call in attempt.resource_calls
    )
    return Truth("partial" if has_effect else "not_done")


@attrs.frozen
class OperatorDecision:
    """One block that the operator met, with the decision; `failure` is the error of the step's last call."""

    path: str
    reason: e.BlockReason
    decision: e.Decision
    allowed: tuple[e.Decision, ...] = ()
    truth: Truth | None = None
    failure: e.RecordedError | None = None
    outage: bool = False


@attrs.define(eq=False)
class SimulatedOperator:
    """Ends outages, and decides blocks."""

    run: Simulation
    reads: Collection[str]
    settled: list[OperatorDecision] = attrs.field(factory=list, init=False)
    first_decided_at: int | None = attrs.field(default=None, init=False)
    _last_block: tuple[str, str, int] | None = attrs.field(default=None, init=False)

    def settle(self, process: Process, operations: Operations, instance: SagaInstance) -> SagaInstance:
        """Decide the first block of an instance, and drive the instance on."""
        block = instance.blocked[0]
        if self.first_decided_at is None:
            self.first_decided_at = len(self.run.calls.visited_points)
        outage = bool(self.run.calls.outages)
        self.run.calls.outages.clear()
        met = (block.step, block.reason, len(instance.history))
        if met == self._last_block:
            # The last decision was not stored, so this is the same block again, with the outage of that time.
            outage = self.settled.pop().outage or outage
        self._last_block = met
        decision, known = self._choose_decision(block)
        failure = _find_operator_failure(instance, block)
        self.settled.append(
            OperatorDecision(block.step, block.reason, decision, block.decisions, known, failure, outage)
        )
        try:
            return self.run.perform(process, _make_operator_decision(operations, instance.id, block, decision, known))  # type: ignore[no-any-return]
        except IllegalTransition:
            # A request or another worker changed the instance first: look again.
            self.settled.pop()
            return self.run.start(process, operations)
        except PayloadError:
            # The result of the action cannot be stored, so the operator cannot pass it on: undo the action, or give up.
            way_out: e.Decision = "compensate" if "compensate" in block.decisions else "abandon"
            return self.run.perform(process, _make_operator_decision(operations, instance.id, block, way_out, None))  # type: ignore[no-any-return]

    def _choose_decision(self, block: Block) -> tuple[e.Decision, Truth | None]:
        allowed = block.decisions
        if block.reason in ("in_doubt", "crash_loop"):
            known = find_truth(self.run.calls, block.step, self.reads)
            if "compensate" in allowed and (self.run.operator == "compensate" or known.status == "partial"):
                return "compensate", known
            wanted: e.Decision = "resolve(result)" if known.status == "done" else "resolve(not_done)"
            return (wanted if wanted in allowed else "abandon"), known
        again = sum(met.path == block.step and met.reason == block.reason for met in self.settled)
        if "retry" in allowed and again < PATIENCE:
            return "retry", None
        return "abandon", None


def _make_operator_decision(
    operations: Operations, instance_id: str, block: Block, decision: e.Decision, known: Truth | None
) -> Effects[SagaInstance]:
    """Return the effects that make a decision."""
    if decision == "resolve(result)":
        result = None if known is None else known.result
        return operations.resolve(instance_id, decision, step=block.step, by=BY, reason=WHY, result=result)
    step = None if decision == "abandon" else block.step
    return operations.decide(instance_id, DecisionRequest(decision=decision, step=step, by=BY, reason=WHY))


def _find_operator_failure(instance: SagaInstance, block: Block) -> e.RecordedError | None:
    failed = (e.StepFailed, e.CompensationFailed)
    found = (
        event.error for event in reversed(instance.history) if isinstance(event, failed) and event.step == block.step
    )
    return next(found, None)
