"""What comes next: `decide(definition, instance, under_way)` is total and pure. No clock, no randomness, no I/O.

`under_way` names the steps whose calls the driver has not yet heard the end of. A step that is `running` in the history
and not among them was left by a process that died, or by a driver that was interrupted: both look the same, and both
are a doubt. What a call that is under way will still tell is waited for, whatever is recorded of it already.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import assert_never

import attrs

from sagafsm.core.commands import (
    Command,
    Park,
    Prepare,
    Record,
    Rest,
    Run,
    RunAction,
    RunCompensation,
    RunProbe,
    WaitForCalls,
    WaitForSignal,
)
from sagafsm.core.decisions import PendingDecision, build_block_event, collect_nested_blocks
from sagafsm.core.nested import resume_nested, start_nested, undo_nested
from sagafsm.core.triggers import due_trigger, find_next_undo, has_passed_pivot, is_undone_without_decision
from sagafsm.definition.definition import Definition, StepDefinition, UnitDefinition
from sagafsm.history import events as e
from sagafsm.history.instance import AT_REST, SagaInstance
from sagafsm.history.step_state import StepState
from sagafsm.value import replace

# The fifth process death in a row blocks: something in the step kills the process, and a sixth would too.
CRASH_LOOP = 5
WAIT = WaitForCalls()
NO_CALLS: frozenset[str] = frozenset()
_AT_ONCE = datetime.min.replace(tzinfo=UTC)


def build_idempotency_key(instance: SagaInstance, step: str, direction: e.Direction) -> str:
    """The idempotency key of a step and direction: the same over all attempts and restarts, another for every instance.

    The moment of creation counts, so that an id that was deleted and is used again gets keys of its own. A migration
    that renames a step leaves it the key that was given to the service.
    """
    known_as = instance.steps[step].keyed or step
    return _compute_key(instance.saga, instance.id, instance.created_at, known_as, direction)


@functools.lru_cache(maxsize=1_000)
def _compute_key(saga: str, instance_id: str, created_at: datetime, step: str, direction: e.Direction) -> str:
    identity = "\0".join((saga, instance_id, created_at.isoformat(), step, direction))
    return f"{step[:40]}-{direction}-{hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()}"


def decide(definition: Definition, instance: SagaInstance, under_way: Collection[str] = NO_CALLS) -> Command:
    """The next command. Whoever carries it out adds its step to `under_way` and asks again, until nothing may start."""
    if instance.is_at_rest and (instance.cause is None or instance.state == "failed"):
        return Rest()
    if instance.cancel is not None:
        request = take_cancel(definition, instance, under_way)
        if request is not None:
            return Record(events=(request,))
    trigger = due_trigger(definition, instance, under_way)
    if trigger is not None:
        target = definition.table[trigger, instance.state]
        return _decide_end(target) if target in AT_REST else _go_back(definition, instance, target)
    if instance.current is None:
        return _start(definition, instance)
    unit = definition.units[instance.current]
    if instance.phase == "compensating":
        return _decide_backward(definition, instance, unit, under_way)
    return _decide_forward(definition, instance, unit, under_way)


def take_cancel(
    definition: Definition, instance: SagaInstance, under_way: Collection[str] = NO_CALLS
) -> e.Event | None:
    """What a waiting cancel leads to: it is the cause at once, or comes too late; None: it waits for the pivot.

    It waits while the pivot is in doubt or its call is under way, whatever is recorded of it: one without effect that
    timed out has failed, and may still answer.
    """
    request = instance.cancel
    if request is None:
        return None
    if has_passed_pivot(instance):
        return e.CancelCameTooLate(request_id=request.request_id)
    step = definition.by_name.get(instance.current or "")
    if step is not None and step.pivot:
        unsettled = instance.steps[step.name].status in ("running", "in_doubt")
        if unsettled or step.name in under_way:
            return None
    return e.CauseRecorded(kind="cancel", by=request.by, reason=request.reason)


# Moving ---------------------------------------------------------------------------------------------------------------


def _decide_end(state: str) -> Record:
    ended = e.InstanceCompleted(state=state) if state == "completed" else e.InstanceFailed(state=state)
    return Record(events=(ended,))


def _go_back(definition: Definition, instance: SagaInstance, state: str) -> Command:
    """Into `compensating`, with the start of the undo; a unit in which there is nothing to undo is passed over."""
    unit = definition.units[state.partition(":")[2]]
    record = find_next_undo(unit, instance)
    if record is None:
        return Record(events=(e.StepPassedOver(step=unit.name, state=state),))
    return _add_target_state(state, _undo_step(definition, instance, record))


def _start(definition: Definition, instance: SagaInstance) -> Command:
    state = definition.table["start", instance.state]
    unit = definition.units[state.partition(":")[2]]
    step = unit.steps[0]
    command = _decide_first_call(step, instance, instance.steps[step.name])
    if isinstance(command, Prepare) or step.kind == "wait":
        # Nothing of the step itself is recorded yet that could lead there.
        return Record(events=(e.InstanceStarted(state=state),))
    return _add_target_state(state, command)


def _add_target_state(state: str, command: Command) -> Command:
    first, *others = command.events
    return attrs.evolve(command, events=(replace(first, state=state), *others))


# Forward, and settling what a cause has met ---------------------------------------------------------------------------


def _decide_forward(
    definition: Definition, instance: SagaInstance, unit: UnitDefinition, under_way: Collection[str]
) -> Command:
    if len(unit.steps) == 1:
        (step,) = unit.steps
        # Nothing runs beside it that could be in its way.
        if step.name in under_way:
            return WAIT
        answer = _decide_step(instance, step, instance.steps[step.name])
        if isinstance(answer, Record) or (isinstance(answer, Run) and not answer.parks):
            return answer
    answers = [
        _decide_step(instance, step, instance.steps[step.name])
        for step in _decide_member_order(unit, instance)
        if step.name not in under_way
    ]
    for answer in answers:
        if isinstance(answer, Record):
            return answer
    started = [step.name for step in unit.steps if step.name in under_way]
    full = unit.max_concurrency is not None and len(started) >= unit.max_concurrency
    commands = [answer for answer in answers if isinstance(answer, Command)]
    runs = [] if full else list(_select_startable(instance, unit, under_way, commands))
    if runs or started:
        # Somebody is there until then, so that a nested saga which waits for its time is driven on when it has come.
        runs += [] if full else [attrs.evolve(command, parks=False) for command in _select_timed_parks(commands)]
        return min(runs, key=_earliest_start, default=WAIT)
    return _decide_park(
        definition, instance, unit, [answer for answer in answers if isinstance(answer, PendingDecision)], commands
    )


def _decide_member_order(unit: UnitDefinition, instance: SagaInstance) -> Sequence[StepDefinition]:
    """The members in order of first start, then those that have not begun, in order of definition."""
    if len(unit.steps) == 1:
        return unit.steps
    turns = {name: i for i, name in enumerate(instance.started)}
    return sorted(unit.steps, key=lambda step: turns.get(step.name, len(turns)))


def _earliest_start(command: Command) -> datetime:
    return getattr(command, "not_before", None) or _AT_ONCE


def _select_startable(
    instance: SagaInstance, unit: UnitDefinition, under_way: Collection[str], commands: Sequence[Command]
) -> Iterator[Command]:
    """Those that may be carried out now, or when their time has come.

    While a member is in doubt, or has failed for good, nothing new starts; doubts are settled one after the other.
    """
    if len(unit.steps) == 1:
        yield from (command for command in commands if isinstance(command, Run) and not command.parks)
        return
    records = [instance.steps[step.name] for step in unit.steps]
    held = any(record.is_in_doubt or record.status in ("failed", "unstorable") for record in records)
    settling = any(record.is_in_doubt for record in records if record.name in under_way)
    for command in commands:
        if not isinstance(command, Run) or command.parks:
            continue
        record = instance.steps[command.step]
        if record.is_in_doubt:
            if not settling:
                settling = True
                yield command
        elif not (held and record.status == "pending"):
            yield command


def _select_timed_parks(commands: Sequence[Command]) -> Iterator[Run]:
    for command in commands:
        if isinstance(command, Run) and command.parks and command.not_before is not None:
            yield command


def _decide_park(
    definition: Definition,
    instance: SagaInstance,
    unit: UnitDefinition,
    questions: Sequence[PendingDecision],
    commands: Sequence[Command],
) -> Command:
    """Nothing can be done now: what is asked, and the moment at which the instance goes on by itself."""
    asked = [build_block_event(definition, instance, question) for question in questions]
    asked += [block for step in unit.steps for block in collect_nested_blocks(instance.steps[step.name])]
    if asked and not instance.blocked:
        return Record(events=tuple(asked))
    later = [command for command in commands if isinstance(command, WaitForSignal) or getattr(command, "parks", False)]
    return min(later, key=lambda command: getattr(command, "not_before", None) or _NEVER, default=Park())


_NEVER = datetime.max.replace(tzinfo=UTC)


def _decide_step(instance: SagaInstance, step: StepDefinition, record: StepState) -> Command | PendingDecision | None:
    """What one step whose call is not under way comes to; None: nothing, or nothing by itself."""
    if step.kind == "wait":
        return _decide_wait(step, instance, record)
    match record.status:
        case "running" | "parked" if step.kind == "saga":
            return resume_nested(instance, record, "action", build_idempotency_key(instance, record.name, "action"))
        case "pending" | "waiting":
            return None if instance.cause is not None else _call_step(step, instance, record)
        case "running":
            return _decide_after_death(step, instance, record)
        case "failed":
            return _decide_after_failure(instance, record)
        case "in_doubt":
            return _decide_in_doubt(instance, step, record)
        case "unstorable":
            return _decide_unstorable(instance, record)
        case "done" | "skipped" | "parked":
            return None
        case _:
            assert_never(record.status)


def _decide_wait(step: StepDefinition, instance: SagaInstance, record: StepState) -> Command | PendingDecision | None:
    if instance.cause is not None or record.status in ("done", "skipped"):
        return None
    if record.status == "failed":
        return _decide_after_failure(instance, record)
    for signal in instance.signals:
        if signal.name == step.name:
            return Record(events=(e.StepSucceeded(step=step.name, attempt=0, result_json=signal.payload_json),))
    if record.status != "running":
        timeout = None if step.timeout is None else step.timeout.total_seconds()
        return Record(events=(e.WaitStarted(step=step.name, timeout=timeout),))
    return WaitForSignal(not_before=record.until, events=(_build_wait_timeout(step),))


def _build_wait_timeout(step: StepDefinition) -> e.StepFailed:
    seconds = 0.0 if step.timeout is None else step.timeout.total_seconds()
    error = e.RecordedError(type="sagafsm.SignalTimedOut", message=f"no signal {step.name!r} within {seconds:g} s")
    return e.StepFailed(step=step.name, attempt=0, error=error)


def _decide_first_call(step: StepDefinition, instance: SagaInstance, record: StepState) -> Command:
    """A step's first call, or what must be asked before it."""
    if step.kind == "wait":
        command = _decide_wait(step, instance, record)
        assert isinstance(command, Command)  # noqa: S101 - a wait that has not begun always has something to record
        return command
    if step.has_preparation and not record.prepared:
        return Prepare(step=record.name, attempt=0, key=build_idempotency_key(instance, record.name, "action"))
    if step.kind == "saga":
        return start_nested(instance, record, build_idempotency_key(instance, record.name, "action"))
    return _call_action(instance, record)


def _call_step(step: StepDefinition, instance: SagaInstance, record: StepState) -> Command | PendingDecision:
    """The first call of a step, or another one."""
    if record.action.deaths >= CRASH_LOOP:
        return PendingDecision(record, "crash_loop")
    return _decide_first_call(step, instance, record)


def _call_action(instance: SagaInstance, record: StepState) -> RunAction:
    key, attempt = build_idempotency_key(instance, record.name, "action"), record.action.attempt + 1
    started = e.StepStarted(step=record.name, attempt=attempt, key=key)
    return RunAction(step=record.name, attempt=attempt, key=key, not_before=record.action.wake_at, events=(started,))


def _decide_after_death(step: StepDefinition, instance: SagaInstance, record: StepState) -> Command | PendingDecision:
    if step.effect:
        event: e.Event = e.StepInDoubt(
            step=record.name,
            attempt=record.attempt,
            reason="process_died",
            error=build_process_died_error(record),
            retryable=True,
        )
        return Record(events=(event,))
    if instance.cause is not None or instance.cancel is not None:
        return Record(
            events=(e.StepFailed(step=record.name, attempt=record.attempt, error=build_process_died_error(record)),)
        )
    if record.action.died().deaths >= CRASH_LOOP:
        return PendingDecision(record, "crash_loop")
    return _call_action(instance, record)


def build_process_died_error(record: StepState) -> e.RecordedError:
    """The error of a call whose process ended before it did."""
    return e.RecordedError(type="sagafsm.ProcessDied", message=f"the process ended during attempt {record.attempt}")


def _decide_after_failure(instance: SagaInstance, record: StepState) -> Command | PendingDecision | None:
    if instance.cause is not None:
        return None
    if has_passed_pivot(instance):
        return PendingDecision(record, "exhausted")
    return Record(events=(e.CauseRecorded(kind="failure", step=record.name, error=record.error),))


def _decide_in_doubt(
    instance: SagaInstance, step: StepDefinition, record: StepState
) -> Command | PendingDecision | None:
    if record.retry_ordered and instance.cause is None:
        return _call_action(instance, record)
    if instance.cause is not None and (record.undo == "skipped" or is_undone_without_decision(step, record)):
        return None
    if step.probe is not None and not record.probed:
        return RunProbe(
            step=record.name, attempt=record.attempt, key=build_idempotency_key(instance, record.name, "action")
        )
    if instance.cause is not None:
        return PendingDecision(record, "in_doubt")
    if "retry" in step.in_doubt and record.retryable and instance.cancel is None:
        return _call_step(step, instance, record)
    if "compensate" in step.in_doubt:
        return Record(events=(e.CauseRecorded(kind="doubt", step=record.name, error=record.error),))
    return PendingDecision(record, "in_doubt")


def _decide_unstorable(instance: SagaInstance, record: StepState) -> Command | PendingDecision | None:
    if instance.cause is not None:
        return None
    if has_passed_pivot(instance):
        return PendingDecision(record, "payload")
    return Record(events=(e.CauseRecorded(kind="payload", step=record.name, error=record.error),))


# Backward -------------------------------------------------------------------------------------------------------------


def _decide_backward(
    definition: Definition, instance: SagaInstance, unit: UnitDefinition, under_way: Collection[str]
) -> Command:
    record = find_next_undo(unit, instance)
    if record is None or record.name in under_way:
        return WAIT
    return _undo_step(definition, instance, record)


def _undo_step(definition: Definition, instance: SagaInstance, record: StepState) -> Command:
    """Return the next call that undoes a step or, when its budget is used up, the block that asks what to do."""
    key = build_idempotency_key(instance, record.name, "compensation")
    if definition.by_name[record.name].child is not None:
        command = undo_nested(instance, record, key)
        blocks = collect_nested_blocks(record) if isinstance(command, Park) or getattr(command, "parks", False) else ()
        return Record(events=blocks) if blocks and not instance.blocked else command
    calls = record.compensation
    deaths = calls.died().deaths if record.undo == "running" else calls.deaths
    if record.undo == "failed" or deaths >= CRASH_LOOP:
        if instance.blocked:
            return Park()
        return Record(events=(build_block_event(definition, instance, PendingDecision(record, "compensation_failed")),))
    attempt = calls.attempt + 1
    started = e.CompensationStarted(step=record.name, attempt=attempt, key=key)
    return RunCompensation(step=record.name, attempt=attempt, key=key, not_before=calls.wake_at, events=(started,))
