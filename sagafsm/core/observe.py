"""Turn the outcome of a call into the event that records it: by evidence, without guessing. Pure.

The kinds of outcome are in `core.outcomes`.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import attrs

from sagafsm import errors
from sagafsm.core.commands import Prepare, Run, RunAction, RunChild, RunCompensation, RunProbe
from sagafsm.core.decide import build_process_died_error
from sagafsm.core.outcomes import (
    AttemptTimedOut,
    NestedOutcome,
    NeverCalled,
    NotDone,
    Outcome,
    Prepared,
    Raised,
    Returned,
    StillInDoubt,
    TimedOut,
    Unstorable,
)
from sagafsm.definition.definition import Definition, StepDefinition
from sagafsm.definition.retry import Retry
from sagafsm.definition.unknown_outcome import is_outcome_unknown
from sagafsm.errors import PermanentFailure
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.payload import dumps
from sagafsm.history.step_state import CallCount, StepState
from sagafsm.value import Value, replace

LONGEST_MESSAGE = 10_000
LONGEST_TRACEBACK = 4_000


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Moment(Value):
    """What of the world enters a decision: the time, and one draw from 0 to 1 for the jitter."""

    now: datetime
    draw: float


def record_error(error: BaseException) -> e.RecordedError:
    """The exception as the history keeps it: bounded, and always storable."""
    kind = type(error)
    text = "".join(traceback.format_exception(error))
    return e.RecordedError(
        type=_STORED_NAMES.get(kind) or f"{kind.__module__}.{kind.__qualname__}",
        message=_make_observed_text_storable(_read_observed_message(error), LONGEST_MESSAGE),
        traceback=_make_observed_text_storable(text[-LONGEST_TRACEBACK:], LONGEST_TRACEBACK),
    )


def _read_observed_message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may raise anything; its failure is told instead
        return f"(its text cannot be had: {broken!r})"


def _make_observed_text_storable(text: str, longest: int) -> str:
    return text[:longest].encode("utf-8", "backslashreplace").decode()


def observe(definition: Definition, instance: SagaInstance, command: Run, outcome: Outcome, moment: Moment) -> e.Event:
    """The fact that the outcome of a call makes, for an instance in which that call is under way."""
    step, record = definition.by_name[command.step], instance.steps[command.step]
    match command:
        case RunAction():
            return _observe_action(ObservedCall(definition, instance, step, record, moment), outcome)
        case RunProbe():
            return _observe_probe(ObservedCall(definition, instance, step, record, moment), outcome)
        case RunCompensation():
            return _observe_compensation(step, record, outcome, moment)
        case Prepare():
            return _observe_preparation(step, outcome)
        case RunChild():
            return _observe_nested(command, outcome)
        case _:
            raise TypeError(f"no call is made for {command!r}")


@attrs.frozen(slots=False, eq=False, repr=False)
class ObservedCall(Value):
    """An action's call, as the history knows it while its outcome is judged."""

    definition: Definition
    instance: SagaInstance
    step: StepDefinition
    record: StepState
    moment: Moment


def _observe_action(call: ObservedCall, outcome: Outcome) -> e.Event:
    name, attempt = call.step.name, call.record.attempt
    match outcome:
        case Returned(result_json=result):
            return e.StepSucceeded(step=name, attempt=attempt, result_json=result)
        case Unstorable(error=error):
            return e.ResultRefused(step=name, attempt=attempt, error=record_error(error))
        case Raised(error=error, outer=outer):
            return _observe_raised(call, error, outer)
        case TimedOut(error=error):
            return _observe_raised(call, error, None)
        case _:
            raise TypeError(f"an action does not give {outcome!r}")


def _observe_raised(call: ObservedCall, error: Exception, outer: BaseException | None) -> e.Event:
    name, attempt, record = call.step.name, call.record.attempt, call.record
    permanent = isinstance(error, PermanentFailure)
    retry_at = None if permanent else _compute_retry_at(call.step.retry, record.action, error, call.moment)
    reason = None if permanent or not call.step.effect else _find_doubt_reason(call.definition, record, error, outer)
    if reason is not None:
        return e.StepInDoubt(
            step=name,
            attempt=attempt,
            reason=reason,
            error=record_error(error),
            retryable=retry_at is not None,
            retry_at=retry_at,
        )
    # With a cause recorded no action is called any more; a cancel that waits for the pivot ends its retries too.
    last = call.instance.cause is not None or call.instance.cancel is not None
    return e.StepFailed(step=name, attempt=attempt, error=record_error(error), retry_at=None if last else retry_at)


def _find_doubt_reason(
    definition: Definition, record: StepState, error: Exception, outer: BaseException | None
) -> e.DoubtReason | None:
    if isinstance(error, AttemptTimedOut):
        return "timeout"
    if is_outcome_unknown(error, definition.unknown_on, outer=outer):
        return "outcome_unknown"
    return "earlier_attempt" if record.doubt_before else None


# The names under which histories keep our own errors. A name in a store outlives the module that the class was in, and
# users search and compare histories by name: a class that moves keeps its name here. `__module__` tells the true module
# (pickle imports a class from there), so the name cannot come from it.
_STORED_NAMES: Final[Mapping[type[BaseException], str]] = {
    errors.SagaError: "sagafsm.errors.SagaError",
    errors.DefinitionError: "sagafsm.errors.DefinitionError",
    errors.RequestError: "sagafsm.errors.RequestError",
    errors.DefinitionChanged: "sagafsm.errors.DefinitionChanged",
    errors.IllegalTransition: "sagafsm.errors.IllegalTransition",
    errors.SagaNotFound: "sagafsm.errors.SagaNotFound",
    errors.SagaFailed: "sagafsm.errors.SagaFailed",
    errors.SagaUnfinished: "sagafsm.errors.SagaUnfinished",
    errors.PermanentFailure: "sagafsm.errors.PermanentFailure",
    errors.OutcomeUnknown: "sagafsm.errors.OutcomeUnknown",
    errors.PayloadError: "sagafsm.errors.PayloadError",
    errors.InputMismatch: "sagafsm.errors.InputMismatch",
    errors.ResourceMissing: "sagafsm.errors.ResourceMissing",
    errors.StoreError: "sagafsm.errors.StoreError",
    errors.StoreConflict: "sagafsm.errors.StoreConflict",
    errors.NotClaimed: "sagafsm.errors.NotClaimed",
    errors.InstanceExists: "sagafsm.errors.InstanceExists",
    errors.MailWaits: "sagafsm.errors.MailWaits",
    AttemptTimedOut: "sagafsm.outcome.AttemptTimedOut",
    NeverCalled: "sagafsm.outcome.NeverCalled",
}


def _compute_retry_at(retry: Retry, calls: CallCount, error: Exception, moment: Moment) -> datetime | None:
    return moment.now + retry.pause(calls.spent, moment.draw) if retry.allows(calls.spent, error) else None


def _observe_probe(call: ObservedCall, outcome: Outcome) -> e.Event:
    record = call.record
    match outcome:
        case Returned(result_json=result):
            return e.StepSucceeded(step=record.name, attempt=record.attempt, result_json=result, evidence="probe")
        case Unstorable(error=error):
            return e.ResultRefused(step=record.name, attempt=record.attempt, error=record_error(error))
        case NotDone():
            return e.StepFailed(
                step=record.name,
                attempt=record.attempt,
                error=record.error or build_process_died_error(record),
                retry_at=_compute_repeat_at(call.instance, record, call.moment),
                evidence="probe",
            )
        case StillInDoubt(error=error):
            return e.StepInDoubt(
                step=record.name,
                attempt=record.attempt,
                reason="probe",
                error=None if error is None else record_error(error),
                retryable=record.retryable,
                retry_at=record.action.wake_at,
            )
        case _:
            raise TypeError(f"a probe does not give {outcome!r}")


def _compute_repeat_at(instance: SagaInstance, record: StepState, moment: Moment) -> datetime | None:
    if instance.cause is not None or instance.cancel is not None or not (record.died or record.retryable):
        return None
    return record.action.wake_at or moment.now


def _observe_compensation(step: StepDefinition, record: StepState, outcome: Outcome, moment: Moment) -> e.Event:
    calls = record.compensation
    match outcome:
        case Returned() | Unstorable():
            # What a compensation returns is not kept, so it need not be storable.
            return e.CompensationSucceeded(step=step.name, attempt=calls.attempt)
        case Raised(error=error) | TimedOut(error=error):
            permanent = isinstance(error, PermanentFailure)
            retry_at = None if permanent else _compute_retry_at(step.compensation_retry, calls, error, moment)
            return e.CompensationFailed(
                step=step.name, attempt=calls.attempt, error=record_error(error), retry_at=retry_at
            )
        case _:
            raise TypeError(f"a compensation does not give {outcome!r}")


def _observe_preparation(step: StepDefinition, outcome: Outcome) -> e.Event:
    match outcome:
        case Prepared(holds=False):
            return e.StepSkipped(step=step.name)
        case Prepared(input_json=input_json):
            return e.StepPrepared(step=step.name, input_json=input_json)
        case Raised(error=error):
            return e.StepFailed(step=step.name, attempt=0, error=record_error(error))
        case _:
            raise TypeError(f"a preparation does not give {outcome!r}")


def _observe_nested(command: RunChild, outcome: Outcome) -> e.Event:
    match outcome:
        case NestedOutcome(child=None):
            error = e.RecordedError(type="sagafsm.NeverBegun", message="the nested saga was never created")
            return e.StepFailed(step=command.step, attempt=command.attempt, error=error, evidence="child")
        case NestedOutcome(child=SagaInstance() as child):
            parted = observe_nested_instance(command, child)
            if isinstance(parted, e.ChildParked) and parted.retry_at is None:
                return replace(parted, retry_at=outcome.until)
            return parted
        case Raised(error=error):
            return e.StepFailed(step=command.step, attempt=command.attempt, error=record_error(error), evidence="child")
        case _:
            raise TypeError(f"a nested saga does not give {outcome!r}")


def observe_nested_instance(command: RunChild, child: SagaInstance) -> e.Event:
    """The fact for its parent that a nested saga rests, or cannot go on now."""
    name, attempt = command.step, command.attempt
    if not child.is_at_rest:
        blocks = tuple(e.RecordedBlock(step=b.step, reason=b.reason, decisions=b.decisions) for b in child.blocked)
        return e.ChildParked(step=name, blocks=blocks, waits=child.waiting, retry_at=child.wake_at)
    if child.state == "completed":
        result = ",".join(f"{json.dumps(step.name)}:{step.result_json}" for step in _list_steps_with_result(child))
        return e.StepSucceeded(step=name, attempt=attempt, result_json=f"{{{result}}}", evidence="child")
    left = record_residue(child)
    if command.direction == "compensation":
        return e.CompensationSucceeded(step=name, attempt=attempt, residue=left)
    error = e.RecordedError(type="sagafsm.SagaFailed", message=f"nested saga {child.id!r} failed: {child.why}")
    return e.StepFailed(step=name, attempt=attempt, error=error, evidence="child", residue=left)


def _list_steps_with_result(child: SagaInstance) -> Iterator[StepState]:
    return (record for record in child.steps.values() if record.result_json is not None)


def record_residue(child: SagaInstance) -> tuple[e.RecordedResidue, ...]:
    """The residue of a nested saga, as its parent's history keeps it."""
    return tuple(
        e.RecordedResidue(step=left.step, reason=left.reason, result_json=dumps(left.result)) for left in child.residue
    )
