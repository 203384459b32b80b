"""How each fact changes an instance: one function a kind of event, none of which needs the definition."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sagafsm import events as e
from sagafsm.record import Block, Cause, Child, Placed, StepRecord
from sagafsm.values import replace
from sagafsm.waits import named_now


class Draft(Placed):
    """An instance while facts are folded into it: it has an instance's fields, and is read like one."""

    id: str
    saga: str
    version: int
    fingerprint: str
    state: str
    input_json: str
    outline: tuple[e.StepOutline, ...]
    steps: dict[str, StepRecord]
    started: tuple[str, ...]
    history: list[e.Event]
    errors: tuple[e.RecordedError, ...]
    cause: Cause | None
    cancel: e.CancelRequested | None
    signals: tuple[e.SignalReceived, ...]
    waiting: bool
    blocked: tuple[Block, ...]
    created_at: datetime
    updated_at: datetime
    wake_at: datetime | None
    deadline: datetime | None
    owner: str | None

    def __init__(self, instance: Placed) -> None:
        self.__dict__.update(instance.__dict__)
        self.steps, self.history = dict(self.steps), list(self.history)

    def change(self, step: str, **changes: Any) -> None:
        """Change fields of a step's record."""
        self.steps[step] = replace(self.steps[step], **changes)

    def note(self, error: e.RecordedError | None) -> None:
        """Count an error among the failures."""
        # A cause or a block repeats the error of the failure that led to it; it is one failure all the same.
        if error is not None and error not in self.errors[-1:]:
            self.errors = (*self.errors, error)


def _step_started(draft: Draft, event: e.StepStarted) -> None:
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


def _step_succeeded(draft: Draft, event: e.StepSucceeded) -> None:
    # An answer within the grace of a timeout takes back what the timeout had been taken for.
    refuted = draft.steps[event.step].error
    draft.errors = tuple(error for error in draft.errors if error != refuted)
    draft.change(event.step, status="done", result_json=event.result_json, doubt_before=False, child=None)


def _step_failed(draft: Draft, event: e.StepFailed) -> None:
    record = draft.steps[event.step]
    # What the probe tells does not end a row of process deaths: the call itself has answered nothing.
    counted = record.action if event.evidence == "probe" else record.action.failed(None)
    draft.change(
        event.step,
        status="failed" if event.retry_at is None else "waiting",
        action=replace(counted, wake_at=event.retry_at),
        error=event.error,
        doubt_before=False,
        child=Child(left=event.residue) if event.residue else None,
    )
    if event.retry_at is None:
        draft.note(event.error)


def _step_in_doubt(draft: Draft, event: e.StepInDoubt) -> None:
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


def _result_refused(draft: Draft, event: e.ResultRefused) -> None:
    draft.change(event.step, status="unstorable", error=event.error, doubt_before=False)
    draft.note(event.error)


def _cause_recorded(draft: Draft, event: e.CauseRecorded) -> None:
    draft.cause = Cause(
        kind=event.kind, step=event.step, error=event.error, by=event.by, reason=event.reason, number=event.number
    )
    draft.cancel = None
    draft.note(event.error)


def _compensation_started(draft: Draft, event: e.CompensationStarted) -> None:
    record = draft.steps[event.step]
    calls = record.compensation.started(event.attempt, died=record.undo == "running")
    draft.change(event.step, undo="running", compensation=calls)


def _compensation_succeeded(draft: Draft, event: e.CompensationSucceeded) -> None:
    if draft.steps[event.step].undo == "failed":
        # It answered within the grace of a timeout that had been taken for its last failure.
        draft.errors = draft.errors[:-1]
    draft.change(event.step, undo="undone", child=Child(left=event.residue) if event.residue else None)


def _compensation_failed(draft: Draft, event: e.CompensationFailed) -> None:
    draft.change(
        event.step,
        undo="failed" if event.retry_at is None else "waiting",
        compensation=draft.steps[event.step].compensation.failed(event.retry_at),
    )
    if event.retry_at is None:
        draft.note(event.error)


def _step_prepared(draft: Draft, event: e.StepPrepared) -> None:
    draft.change(event.step, prepared=True, input_json=event.input_json)


def _step_skipped(draft: Draft, event: e.StepSkipped) -> None:
    draft.change(event.step, status="skipped")


def _wait_started(draft: Draft, event: e.WaitStarted) -> None:
    until = None if event.timeout is None else event.at + timedelta(seconds=event.timeout)
    draft.change(event.step, status="running", until=until)


def _child_parked(draft: Draft, event: e.ChildParked) -> None:
    child = Child(blocks=event.blocks, waits=event.waits, retry_at=event.retry_at, parked=event.number)
    undoing = draft.steps[event.step].undo is not None
    draft.change(event.step, child=child, **{"undo" if undoing else "status": "parked"})


def _child_resumed(draft: Draft, event: e.ChildResumed) -> None:
    undoing = draft.steps[event.step].undo is not None
    draft.change(event.step, **{"undo" if undoing else "status": "running"})


def _child_abandoned(draft: Draft, event: e.ChildAbandoned) -> None:
    draft.change(event.step, child=Child(left=event.residue))


def _instance_blocked(draft: Draft, event: e.InstanceBlocked) -> None:
    draft.blocked = (*draft.blocked, Block(step=event.step, reason=event.reason, decisions=event.decisions))
    draft.note(event.error)


def _decision_made(draft: Draft, event: e.DecisionMade) -> None:
    if event.step is None:
        return
    if "/" in event.step:
        _ordered(draft, event.step.partition("/")[0], event)
    else:
        draft.change(event.step, **_decided(draft.steps[event.step], event))


def _ordered(draft: Draft, step: str, order: e.DecisionMade | e.SignalReceived) -> None:
    """Keep what is meant for a nested saga until that has it."""
    child = draft.steps[step].child or Child()
    draft.change(step, child=replace(child, orders=(*child.orders, order)))


def _signal_received(draft: Draft, event: e.SignalReceived) -> None:
    name = named_now(event.name, draft.steps, draft.history)
    step, nested, _ = name.partition("/")
    if nested:
        _ordered(draft, step, event)
    elif all(known.name != name for known in draft.signals):  # the first counts
        draft.signals = (*draft.signals, replace(event, name=name))


def _instance_migrated(draft: Draft, event: e.InstanceMigrated) -> None:
    names = dict(event.renamed)
    kept = {name: record for old, record in draft.steps.items() if (name := names.get(old, old)) is not None}
    current = (event.state or draft.state).partition(":")[2]
    steps: dict[str, StepRecord] = {}
    ahead = not current
    for step in event.steps:
        ahead = ahead or current in (step.name, step.group)
        # What is new before the present state is not gone back for. It may have the name of what was there.
        added = StepRecord(name=step.name, keyed=f"{step.name}@{event.number}")
        record = kept.get(step.name, added if ahead else replace(added, status="skipped"))
        steps[step.name] = record.named(step.name)
    draft.steps = steps
    draft.signals = tuple(replace(signal, name=names.get(signal.name) or signal.name) for signal in draft.signals)
    draft.started = tuple(new for old in draft.started if (new := names.get(old, old)) in steps)
    draft.version, draft.fingerprint, draft.outline = event.version, event.fingerprint, event.steps


def _decided(record: StepRecord, event: e.DecisionMade) -> dict[str, Any]:
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


def _cancel_requested(draft: Draft, event: e.CancelRequested) -> None:
    if draft.cause is None and draft.cancel is None:
        draft.cancel = event


def _cancel_came_too_late(draft: Draft, _: e.CancelCameTooLate) -> None:
    draft.cancel = None


def _recorded_only(_: Draft, __: e.Event) -> None:
    """An event that changes nothing beyond the state it leads to."""


_HANDLERS: dict[type[e.Event], Callable[[Draft, Any], None]] = {
    e.InstanceStarted: _recorded_only,
    e.StepStarted: _step_started,
    e.StepSucceeded: _step_succeeded,
    e.StepFailed: _step_failed,
    e.StepInDoubt: _step_in_doubt,
    e.ResultRefused: _result_refused,
    e.CauseRecorded: _cause_recorded,
    e.CompensationStarted: _compensation_started,
    e.CompensationSucceeded: _compensation_succeeded,
    e.CompensationFailed: _compensation_failed,
    e.InstanceBlocked: _instance_blocked,
    e.DecisionMade: _decision_made,
    e.CancelRequested: _cancel_requested,
    e.CancelCameTooLate: _cancel_came_too_late,
    e.SignalReceived: _signal_received,
    e.DecisionCameTooLate: _recorded_only,
    e.StepPrepared: _step_prepared,
    e.StepSkipped: _step_skipped,
    e.StepPassedOver: _recorded_only,
    e.WaitStarted: _wait_started,
    e.ChildParked: _child_parked,
    e.ChildResumed: _child_resumed,
    e.ChildAbandoned: _child_abandoned,
    e.InstanceMigrated: _instance_migrated,
    e.LateResult: _recorded_only,
    e.InstanceCompleted: _recorded_only,
    e.InstanceFailed: _recorded_only,
}
# These leave an instance as blocked, or as long asleep, as they found it.
KEEPS_PARKED = (e.CancelRequested, e.CancelCameTooLate, e.SignalReceived, e.DecisionCameTooLate, e.LateResult)


def fold_into(draft: Draft, event: e.Event) -> None:
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
