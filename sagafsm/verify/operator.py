"""A simulated operator, who knows what is true of the world and settles whatever waits for a person."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import attrs

from sagafsm import events as e
from sagafsm.decision import Verdict
from sagafsm.drivers.effects import Steps
from sagafsm.errors import IllegalTransition, PayloadError
from sagafsm.instance import SagaInstance
from sagafsm.operations import Operations
from sagafsm.record import Block
from sagafsm.verify.life import ENDS_OF_PROCESS, Life
from sagafsm.verify.simulation import NotLanded, Simulation

BY, WHY = "the verifier", "as it is in the simulated world"
# How often a block of one step is tried again before the operator gives up on it.
PATIENCE = 2


@attrs.frozen
class Truth:
    """What is true of an action in doubt: it is "done", with this result, "not_done", or stopped half way."""

    of: Literal["done", "not_done", "partial"]
    result: Any = None


def truth(run: Simulation, path: str, changing: Collection[str]) -> Truth:
    """What became of a step's action, in whichever attempt; `changing` names the calls that are known to only read.

    A function that was stopped is asked again, of what the resources really answered it: when it comes to its end so,
    all that it was to do is done, and what it returns then is its result.
    """
    attempts = [called for called in run.calls if called.path == path and called.role == "action"]
    for called in reversed(attempts):
        if called.returned:
            return Truth("done", called.value)
        if called.answers:
            try:
                return Truth("done", run.replayed(called))
            except (Exception, NotLanded, *ENDS_OF_PROCESS):  # noqa: BLE001, S112 - it was not through
                continue
    landed = any(answer.landed and answer.name not in changing for called in attempts for answer in called.answers)
    return Truth("partial" if landed else "not_done")


@attrs.frozen
class Settled:
    """One block that the operator met, and what was decided; `failure` is what the last call of the step raised."""

    path: str
    reason: e.BlockReason
    decision: e.Decision
    allowed: tuple[e.Decision, ...] = ()
    truth: Truth | None = None
    failure: e.RecordedError | None = None
    outage: bool = False


@attrs.define(eq=False)
class SimulatedOperator:
    """Heals what is down, and decides what is blocked."""

    run: Simulation
    reads: Collection[str]
    settled: list[Settled] = attrs.field(factory=list, init=False)
    first_at: int | None = attrs.field(default=None, init=False)
    _met: tuple[str, str, int] | None = attrs.field(default=None, init=False)

    def settle(self, life: Life, operations: Operations, instance: SagaInstance) -> SagaInstance:
        """Decide the first block of an instance and drive it on."""
        block = instance.blocked[0]
        if self.first_at is None:
            self.first_at = len(self.run.passed)
        outage = bool(self.run.outages)
        self.run.outages.clear()
        met = (block.step, block.reason, len(instance.history))
        if met == self._met:
            # What was decided before was not stored: it is the same block, met again, and what was down was so then.
            outage = self.settled.pop().outage or outage
        self._met = met
        decision, known = self._decision(block)
        failure = _failure(instance, block)
        self.settled.append(Settled(block.step, block.reason, decision, block.decisions, known, failure, outage))
        try:
            return self.run.perform(life, _steps(operations, instance.id, block, decision, known))  # type: ignore[no-any-return]
        except IllegalTransition:
            # A request, or another worker, was quicker: the operator looks again.
            self.settled.pop()
            return self.run.start(life, operations)
        except PayloadError:
            # What the action gave cannot be stored, and so cannot be told: undone, or given up.
            way_out: e.Decision = "compensate" if "compensate" in block.decisions else "abandon"
            return self.run.perform(life, _steps(operations, instance.id, block, way_out, None))  # type: ignore[no-any-return]

    def _decision(self, block: Block) -> tuple[e.Decision, Truth | None]:
        allowed = block.decisions
        if block.reason in ("in_doubt", "crash_loop"):
            known = truth(self.run, block.step, self.reads)
            if "compensate" in allowed and (self.run.operator == "compensate" or known.of == "partial"):
                return "compensate", known
            wanted: e.Decision = "resolve(result)" if known.of == "done" else "resolve(not_done)"
            return (wanted if wanted in allowed else "abandon"), known
        again = sum(met.path == block.step and met.reason == block.reason for met in self.settled)
        if "retry" in allowed and again < PATIENCE:
            return "retry", None
        return "abandon", None


def _steps(
    operations: Operations, instance_id: str, block: Block, decision: e.Decision, known: Truth | None
) -> Steps[SagaInstance]:
    """What makes a decision."""
    if decision == "resolve(result)":
        result = None if known is None else known.result
        return operations.resolve(instance_id, decision, step=block.step, by=BY, reason=WHY, result=result)
    step = None if decision == "abandon" else block.step
    return operations.decide(instance_id, Verdict(decision=decision, step=step, by=BY, reason=WHY))


def _failure(instance: SagaInstance, block: Block) -> e.RecordedError | None:
    failed = (e.StepFailed, e.CompensationFailed)
    found = (
        event.error for event in reversed(instance.history) if isinstance(event, failed) and event.step == block.step
    )
    return next(found, None)
