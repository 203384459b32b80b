"""What comes next: `decide(definition, instance)` is total and pure. No clock, no randomness, no I/O.

It is asked only when no call is under way. A step that is `running` in the history was therefore left by a process
that died, or by a driver that was interrupted: both look the same, and both are a doubt.
"""

from __future__ import annotations

import hashlib
from typing import assert_never

import attrs

from sagafsm import events as e
from sagafsm.command import Command, Park, Record, Rest, RunAction, RunCompensation, RunProbe
from sagafsm.definition import Definition, StepDefinition
from sagafsm.instance import AT_REST, SagaInstance
from sagafsm.machine import Trigger
from sagafsm.record import StepRecord
from sagafsm.values import replace

# The fifth process death in a row blocks: something in the step kills the process, and a sixth would too.
CRASH_LOOP = 5


def key_of(instance: SagaInstance, step: str, direction: e.Direction) -> str:
    """The idempotency key of a step and direction: the same over all attempts and restarts, another for every instance.

    The moment of creation counts, so that an id that was deleted and is used again gets keys of its own.
    """
    identity = "\0".join((instance.saga, instance.id, instance.created_at.isoformat(), step, direction))
    return f"{step[:40]}-{direction}-{hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()}"


# Where the instance may go --------------------------------------------------------------------------------------------


def passed_pivot(instance: SagaInstance) -> bool:
    """Whether the pivot has succeeded, so that there is no way back."""
    return any(step.pivot and instance.steps[step.name].status in ("done", "unstorable") for step in instance.outline)


def from_pivot_on(definition: Definition, step: str) -> bool:
    """Whether the step is the pivot or stands behind it."""
    return definition.pivot is not None and definition.positions[step] >= definition.pivot


def goes_back_undecided(step: StepDefinition, record: StepRecord) -> bool:
    """Whether the doubt, once a cause is recorded, is settled by undoing the step without asking anybody."""
    asked = record.probed or step.probe is None
    return record.conceded or ("compensate" in step.in_doubt and asked)


def due(definition: Definition, instance: SagaInstance) -> Trigger | None:
    """The trigger that what is known of the current step fires, if it does."""
    if instance.phase == "pending":
        return "cancel" if instance.cause is not None else None
    if instance.current is None or instance.is_at_rest:
        return None
    step, record = definition.by_name[instance.current], instance.steps[instance.current]
    if instance.phase == "compensating":
        return "undo" if record.undo in ("undone", "skipped") else None
    if instance.cause is None:
        return "succeed" if record.status == "done" else None
    return _due_back(step, record)


def _due_back(step: StepDefinition, record: StepRecord) -> Trigger | None:
    """The trigger out of a running state once a cause is recorded."""
    if record.undo == "skipped":
        return "fail"
    match record.status:
        case "pending" | "waiting" | "failed":
            return "fail"
        case "done" | "unstorable":
            return "go_back" if step.effect else "fail"
        case "in_doubt":
            return "go_back" if goes_back_undecided(step, record) else None
        case "running":
            return None
        case _:
            assert_never(record.status)


def moved(definition: Definition, instance: SagaInstance) -> SagaInstance:
    """The instance with its last event leading on to the next state, when what is known now fires a trigger.

    Going back, and the end, are not carried by the event that brings them about: `decide` orders them, in the same
    commit, once everything is known that the commit records. A call that timed out may still answer, and a cancel is
    read before the outcome that it meets.
    """
    trigger = due(definition, instance)
    if trigger not in ("succeed", "undo"):
        return instance
    target = definition.table[trigger, instance.state]
    if target in AT_REST:
        return instance
    *before, last = instance.history
    return replace(instance, state=target, history=(*before, replace(last, state=target)))


# What to do -----------------------------------------------------------------------------------------------------------


def decide(definition: Definition, instance: SagaInstance) -> Command:
    """The next command for an instance none of whose calls is under way."""
    if instance.is_at_rest:
        return Rest()
    if instance.cancel is not None:
        request = _absorbed(definition, instance, instance.cancel)
        if request is not None:
            return Record(events=(request,))
    trigger = due(definition, instance)
    if trigger is not None:
        target = definition.table[trigger, instance.state]
        return _end(target) if target in AT_REST else _go_back(instance, target)
    if instance.blocked:
        return Park()
    if instance.current is None:
        return _start(definition, instance)
    step, record = definition.by_name[instance.current], instance.steps[instance.current]
    if instance.phase == "compensating":
        return _backward(instance, record)
    return _forward(definition, instance, step, record)


def _end(state: str) -> Record:
    ended = e.InstanceCompleted(state=state) if state == "completed" else e.InstanceFailed(state=state)
    return Record(events=(ended,))


def _go_back(instance: SagaInstance, state: str) -> Command:
    command = _backward(instance, instance.steps[state.partition(":")[2]])
    started = replace(command.events[0], state=state)
    return attrs.evolve(command, events=(started,))


def _start(definition: Definition, instance: SagaInstance) -> Command:
    first = definition.steps[0].name
    command = _call_action(instance, instance.steps[first])
    started = replace(command.events[0], state=definition.table["start", instance.state])
    return attrs.evolve(command, events=(started,))


def _absorbed(definition: Definition, instance: SagaInstance, request: e.CancelRequested) -> e.Event | None:
    """What a cancel that was read leads to; None: it waits until the pivot is settled."""
    if passed_pivot(instance):
        return e.CancelCameTooLate(request_id=request.request_id)
    if instance.current is not None:
        record = instance.steps[instance.current]
        if definition.by_name[instance.current].pivot and record.status in ("running", "in_doubt"):
            return None
    return e.CauseRecorded(kind="cancel", by=request.by, reason=request.reason)


def take_cancel(definition: Definition, instance: SagaInstance) -> tuple[e.Event, ...]:
    """What a waiting cancel leads to while the current step's call is under way: it is the cause at once, or waits.

    It waits on the pivot, whatever is recorded of it: one without effect that timed out has failed, and may still
    answer. `decide` looks again once the call's outcome is recorded.
    """
    if instance.cancel is None or (instance.current is not None and definition.by_name[instance.current].pivot):
        return ()
    event = _absorbed(definition, instance, instance.cancel)
    return () if event is None else (event,)


def _forward(definition: Definition, instance: SagaInstance, step: StepDefinition, record: StepRecord) -> Command:
    match record.status:
        case "pending" | "waiting":
            return _call_again(definition, instance, record)
        case "running":
            return _died(definition, instance, step, record)
        case "failed":
            return _failed(definition, instance, record)
        case "in_doubt":
            return _in_doubt(definition, instance, step, record)
        case "unstorable":
            return _unstorable(definition, instance, record)
        case "done":
            raise AssertionError("a step that is done moves the machine")
        case _:
            assert_never(record.status)


def _call_again(definition: Definition, instance: SagaInstance, record: StepRecord) -> Command:
    if record.action.deaths >= CRASH_LOOP:
        return _block(definition, instance, record, "crash_loop")
    return _call_action(instance, record)


def _call_action(instance: SagaInstance, record: StepRecord) -> RunAction:
    key, attempt = key_of(instance, record.name, "action"), record.action.attempt + 1
    started = e.StepStarted(step=record.name, attempt=attempt, key=key)
    return RunAction(step=record.name, attempt=attempt, key=key, not_before=record.action.wake_at, events=(started,))


def _died(definition: Definition, instance: SagaInstance, step: StepDefinition, record: StepRecord) -> Command:
    if step.effect:
        event: e.Event = e.StepInDoubt(
            step=record.name, attempt=record.attempt, reason="process_died", error=process_died(record), retryable=True
        )
        return Record(events=(event,))
    if instance.cause is not None or instance.cancel is not None:
        return Record(events=(e.StepFailed(step=record.name, attempt=record.attempt, error=process_died(record)),))
    if record.action.died().deaths >= CRASH_LOOP:
        return _block(definition, instance, record, "crash_loop")
    return _call_action(instance, record)


def process_died(record: StepRecord) -> e.RecordedError:
    """The error of a call whose process ended before it did."""
    return e.RecordedError(type="sagafsm.ProcessDied", message=f"the process ended during attempt {record.attempt}")


def _failed(definition: Definition, instance: SagaInstance, record: StepRecord) -> Command:
    if passed_pivot(instance):
        return _block(definition, instance, record, "exhausted")
    return Record(events=(e.CauseRecorded(kind="failure", step=record.name, error=record.error),))


def _in_doubt(definition: Definition, instance: SagaInstance, step: StepDefinition, record: StepRecord) -> Command:
    if record.retry_ordered and instance.cause is None:
        return _call_action(instance, record)
    if step.probe is not None and not record.probed:
        return RunProbe(step=record.name, attempt=record.attempt, key=key_of(instance, record.name, "action"))
    if instance.cause is not None:
        return _block(definition, instance, record, "in_doubt")
    if "retry" in step.in_doubt and record.retryable and instance.cancel is None:
        return _call_again(definition, instance, record)
    if "compensate" in step.in_doubt:
        return Record(events=(e.CauseRecorded(kind="doubt", step=record.name, error=record.error),))
    return _block(definition, instance, record, "in_doubt")


def _unstorable(definition: Definition, instance: SagaInstance, record: StepRecord) -> Command:
    if passed_pivot(instance):
        return _block(definition, instance, record, "payload")
    return Record(events=(e.CauseRecorded(kind="payload", step=record.name, error=record.error),))


def _backward(instance: SagaInstance, record: StepRecord) -> Command:
    calls = record.compensation
    deaths = calls.died().deaths if record.undo == "running" else calls.deaths
    if record.undo == "failed" or deaths >= CRASH_LOOP:
        return Record(
            events=(
                e.InstanceBlocked(
                    step=record.name,
                    reason="compensation_failed",
                    decisions=("retry", "resolve(undone)", "skip", "abandon"),
                ),
            )
        )
    key, attempt = key_of(instance, record.name, "compensation"), calls.attempt + 1
    started = e.CompensationStarted(step=record.name, attempt=attempt, key=key)
    return RunCompensation(step=record.name, attempt=attempt, key=key, not_before=calls.wake_at, events=(started,))


# When somebody must decide --------------------------------------------------------------------------------------------


def _block(definition: Definition, instance: SagaInstance, record: StepRecord, reason: e.BlockReason) -> Record:
    decisions = _decisions(definition, instance, record, reason)
    # A deadline that can still cancel the instance ends the block by the clock.
    cancellable = instance.cause is None and instance.cancel is None and not passed_pivot(instance)
    blocked = e.InstanceBlocked(
        step=record.name,
        reason=reason,
        decisions=decisions,
        error=record.error,
        wake_at=instance.deadline if cancellable else None,
    )
    return Record(events=(blocked,))


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
