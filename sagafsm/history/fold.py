"""How each event changes an instance: one function for each kind of event. No function needs the definition."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sagafsm.history import events as e
from sagafsm.history.draft import InstanceDraft
from sagafsm.history.signals import resolve_signal_name
from sagafsm.history.step_state import Block, Cause, NestedState, StepState
from sagafsm.value import replace


def _fold_step_started(draft: InstanceDraft, event: e.StepStarted) -> None:
    record = draft.steps[event.step]
    # A start after a start without an outcome between them: that call's process died (a step without effect).
    died = record.status == "running"
    if event.step not in draft.started:
        draft.started = (*draft.started, event.step)
    draft.change(
        event.step,
        status="running",
        action=record.action.started(event.attempt, died=died),
        doubt_before=record.status == "in_doubt",
        retry_ordered=False,
    )


def _fold_step_succeeded(draft: InstanceDraft, event: e.StepSucceeded) -> None:
    # An answer within the grace of a timeout takes back what the timeout had been taken for.
    refuted = draft.steps[event.step].error
    draft.errors = tuple(error for error in draft.errors if error != refuted)
    draft.change(event.step, status="done", result_json=event.result_json, doubt_before=False, child=None)


def _fold_step_failed(draft: InstanceDraft, event: e.StepFailed) -> None:
    record = draft.steps[event.step]
    # What the probe tells does not end a row of process deaths: the call itself has answered nothing.
    counted = record.action if event.evidence == "probe" else record.action.failed(None)
    draft.change(
        event.step,
        status="failed" if event.retry_at is None else "waiting",
        action=replace(counted, wake_at=event.retry_at),
        error=event.error,
        doubt_before=False,
        child=NestedState(left=event.residue) if event.residue else None,
    )
    if event.retry_at is None:
        draft.note(event.error)


def _fold_step_in_doubt(draft: InstanceDraft, event: e.StepInDoubt) -> None:
    record = draft.steps[event.step]
    if event.reason == "probe":
        draft.change(event.step, probed=True, error=event.error or record.error)
        return
    died = event.reason == "process_died"
    draft.change(
        event.step,
        status="in_doubt",
        action=record.action.died() if died else record.action.failed(event.retry_at),
        died=died,
        probed=False,
        retryable=event.retryable,
        error=event.error or record.error,
    )


def _fold_result_refused(draft: InstanceDraft, event: e.ResultRefused) -> None:
    draft.change(event.step, status="unstorable", error=event.error, doubt_before=False)
    draft.note(event.error)


def _fold_cause_recorded(draft: InstanceDraft, event: e.CauseRecorded) -> None:
    draft.cause = Cause(
        kind=event.kind, step=event.step, error=event.error, by=event.by, reason=event.reason, number=event.number
    )
    draft.cancel = None
    draft.note(event.error)


def _fold_compensation_started(draft: InstanceDraft, event: e.CompensationStarted) -> None:
    record = draft.steps[event.step]
    calls = record.compensation.started(event.attempt, died=record.undo == "running")
    draft.change(event.step, undo="running", compensation=calls)


def _fold_compensation_succeeded(draft: InstanceDraft, event: e.CompensationSucceeded) -> None:
    if draft.steps[event.step].undo == "failed":
        # It answered within the grace of a timeout that had been taken for its last failure.
        draft.errors = draft.errors[:-1]
    draft.change(event.step, undo="undone", child=NestedState(left=event.residue) if event.residue else None)


def _fold_compensation_failed(draft: InstanceDraft, event: e.CompensationFailed) -> None:
    draft.change(
        event.step,
        undo="failed" if event.retry_at is None else "waiting",
        compensation=draft.steps[event.step].compensation.failed(event.retry_at),
    )
    if event.retry_at is None:
        draft.note(event.error)


def _fold_step_prepared(draft: InstanceDraft, event: e.StepPrepared) -> None:
    draft.change(event.step, prepared=True, input_json=event.input_json)


def _fold_step_skipped(draft: InstanceDraft, event: e.StepSkipped) -> None:
    draft.change(event.step, status="skipped")


def _fold_wait_started(draft: InstanceDraft, event: e.WaitStarted) -> None:
    until = None if event.timeout is None else event.at + timedelta(seconds=event.timeout)
    draft.change(event.step, status="running", until=until)


def _fold_child_parked(draft: InstanceDraft, event: e.ChildParked) -> None:
    child = NestedState(blocks=event.blocks, waits=event.waits, retry_at=event.retry_at, parked=event.number)
    undoing = draft.steps[event.step].undo is not None
    draft.change(event.step, child=child, **{"undo" if undoing else "status": "parked"})


def _fold_child_resumed(draft: InstanceDraft, event: e.ChildResumed) -> None:
    undoing = draft.steps[event.step].undo is not None
    draft.change(event.step, **{"undo" if undoing else "status": "running"})


def _fold_child_abandoned(draft: InstanceDraft, event: e.ChildAbandoned) -> None:
    draft.change(event.step, child=NestedState(left=event.residue))


def _fold_instance_blocked(draft: InstanceDraft, event: e.InstanceBlocked) -> None:
    draft.blocked = (*draft.blocked, Block(step=event.step, reason=event.reason, decisions=event.decisions))
    draft.note(event.error)


def _fold_decision_made(draft: InstanceDraft, event: e.DecisionMade) -> None:
    if event.step is None:
        return
    if "/" in event.step:
        _add_order(draft, event.step.partition("/")[0], event)
    else:
        draft.change(event.step, **_apply_decision(draft.steps[event.step], event))


def _add_order(draft: InstanceDraft, step: str, order: e.DecisionMade | e.SignalReceived) -> None:
    """Keep what is meant for a nested saga until that has it."""
    child = draft.steps[step].child or NestedState()
    draft.change(step, child=replace(child, orders=(*child.orders, order)))


def _fold_signal_received(draft: InstanceDraft, event: e.SignalReceived) -> None:
    name = resolve_signal_name(event.name, draft.steps, draft.history)
    step, nested, _ = name.partition("/")
    if nested:
        _add_order(draft, step, event)
    elif all(known.name != name for known in draft.signals):  # the first counts
        draft.signals = (*draft.signals, replace(event, name=name))


def _fold_instance_migrated(draft: InstanceDraft, event: e.InstanceMigrated) -> None:
    names = dict(event.renamed)
    kept = {name: record for old, record in draft.steps.items() if (name := names.get(old, old)) is not None}
    current = (event.state or draft.state).partition(":")[2]
    steps: dict[str, StepState] = {}
    ahead = not current
    for step in event.steps:
        ahead = ahead or current in (step.name, step.group)
        # What is new before the present state is not gone back for. It may have the name of what was there.
        added = StepState(name=step.name, keyed=f"{step.name}@{event.number}")
        record = kept.get(step.name, added if ahead else replace(added, status="skipped"))
        steps[step.name] = record.named(step.name)
    draft.steps = steps
    draft.signals = tuple(replace(signal, name=names.get(signal.name) or signal.name) for signal in draft.signals)
    draft.started = tuple(new for old in draft.started if (new := names.get(old, old)) in steps)
    draft.version, draft.fingerprint, draft.outline = event.version, event.fingerprint, event.steps


def _apply_decision(record: StepState, event: e.DecisionMade) -> dict[str, Any]:
    """What a decision changes in the record of its step."""
    match event.decision:
        case "retry" if record.undo is not None:
            return {"undo": "waiting", "compensation": record.compensation.renewed()}
        case "retry" if record.status == "in_doubt":
            return {"action": record.action.renewed(), "retry_ordered": True}
        case "retry":
            return {"status": "waiting", "action": record.action.renewed()}
        case "resolve(result)":
            return {"status": "done", "result_json": event.result_json}
        case "resolve(not_done)":
            return {"status": "failed"}
        case "resolve(undone)":
            return {"undo": "undone"}
        case "compensate":
            return {"conceded": True} if record.status == "in_doubt" else {"status": "failed"}
        case "skip":
            return {"undo": "skipped"}
        case "abandon":
            return {}


def _fold_cancel_requested(draft: InstanceDraft, event: e.CancelRequested) -> None:
    if draft.cause is None and draft.cancel is None:
        draft.cancel = event


def _fold_cancel_came_too_late(draft: InstanceDraft, _: e.CancelCameTooLate) -> None:
    draft.cancel = None


def _change_nothing(_: InstanceDraft, __: e.Event) -> None:
    """An event that changes nothing beyond the state it leads to."""


_HANDLERS: dict[type[e.Event], Callable[[InstanceDraft, Any], None]] = {
    e.InstanceStarted: _change_nothing,
    e.StepStarted: _fold_step_started,
    e.StepSucceeded: _fold_step_succeeded,
    e.StepFailed: _fold_step_failed,
    e.StepInDoubt: _fold_step_in_doubt,
    e.ResultRefused: _fold_result_refused,
    e.CauseRecorded: _fold_cause_recorded,
    e.CompensationStarted: _fold_compensation_started,
    e.CompensationSucceeded: _fold_compensation_succeeded,
    e.CompensationFailed: _fold_compensation_failed,
    e.InstanceBlocked: _fold_instance_blocked,
    e.DecisionMade: _fold_decision_made,
    e.CancelRequested: _fold_cancel_requested,
    e.CancelCameTooLate: _fold_cancel_came_too_late,
    e.SignalReceived: _fold_signal_received,
    e.DecisionCameTooLate: _change_nothing,
    e.StepPrepared: _fold_step_prepared,
    e.StepSkipped: _fold_step_skipped,
    e.StepPassedOver: _change_nothing,
    e.WaitStarted: _fold_wait_started,
    e.ChildParked: _fold_child_parked,
    e.ChildResumed: _fold_child_resumed,
    e.ChildAbandoned: _fold_child_abandoned,
    e.InstanceMigrated: _fold_instance_migrated,
    e.LateResult: _change_nothing,
    e.InstanceCompleted: _change_nothing,
    e.InstanceFailed: _change_nothing,
}

# These leave an instance as blocked, or as long asleep, as they found it.
KEEPS_PARKED = (e.CancelRequested, e.CancelCameTooLate, e.SignalReceived, e.DecisionCameTooLate, e.LateResult)


def fold_into(draft: InstanceDraft, event: e.Event) -> None:
    """Change the draft as the fact demands."""
    if not isinstance(event, KEEPS_PARKED):
        draft.wake_at, draft.waiting = event.wake_at, event.waiting
        if not isinstance(event, e.InstanceBlocked):
            draft.blocked = ()
    _HANDLERS[type(event)](draft, event)
    if event.state is not None:
        draft.state = event.state
    draft.history.append(event)
    draft.updated_at = event.at
