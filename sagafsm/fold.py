"""How each fact changes an instance: an incremental fold of the history, pure, and in no need of the definition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NoReturn

import attrs

from sagafsm import events as e
from sagafsm.errors import SagaError
from sagafsm.instance import Block, Cause, SagaInstance, StepRecord


class _Draft:
    """An instance while events are folded into it; never leaves `fold`."""

    __slots__ = tuple(field.name for field in attrs.fields(SagaInstance))

    id: str
    saga: str
    version: int
    fingerprint: str
    state: str
    input_json: str
    outline: tuple[e.StepOutline, ...]
    steps: dict[str, StepRecord]
    started: tuple[str, ...]
    history: tuple[e.Event, ...]
    errors: tuple[e.RecordedError, ...]
    cause: Cause | None
    cancel: e.CancelRequested | None
    blocked: tuple[Block, ...]
    created_at: datetime
    updated_at: datetime
    wake_at: datetime | None
    deadline: datetime | None
    owner: str | None

    def __init__(self, instance: SagaInstance) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(instance, name))
        self.steps = dict(instance.steps)

    def frozen(self) -> SagaInstance:
        return SagaInstance(**{name: getattr(self, name) for name in self.__slots__})

    def change(self, step: str, **changes: Any) -> None:
        self.steps[step] = attrs.evolve(self.steps[step], **changes)

    def note(self, error: e.RecordedError | None) -> None:
        # A cause or a block repeats the error of the failure that led to it; it is one failure all the same.
        if error is not None and error not in self.errors[-1:]:
            self.errors = (*self.errors, error)


def _created(event: e.InstanceCreated) -> SagaInstance:
    return SagaInstance(
        id=event.id,
        saga=event.saga,
        version=event.version,
        fingerprint=event.fingerprint,
        state="pending",
        input_json=event.input_json,
        outline=event.steps,
        steps={step.name: StepRecord(name=step.name) for step in event.steps},
        history=(),
        created_at=event.at,
        updated_at=event.at,
        deadline=event.deadline,
    )


def _step_started(draft: _Draft, event: e.StepStarted) -> None:
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


def _step_succeeded(draft: _Draft, event: e.StepSucceeded) -> None:
    # An answer within the grace of a timeout takes back what the timeout had been taken for.
    refuted = draft.steps[event.step].error
    draft.errors = tuple(error for error in draft.errors if error != refuted)
    draft.change(event.step, status="done", result_json=event.result_json, doubt_before=False)


def _step_failed(draft: _Draft, event: e.StepFailed) -> None:
    record = draft.steps[event.step]
    # What the probe tells does not end a row of process deaths: the call itself has answered nothing.
    counted = record.action if event.evidence == "probe" else record.action.failed(None)
    draft.change(
        event.step,
        status="failed" if event.wake_at is None else "waiting",
        action=attrs.evolve(counted, wake_at=event.wake_at),
        error=event.error,
        doubt_before=False,
    )
    if event.wake_at is None:
        draft.note(event.error)


def _step_in_doubt(draft: _Draft, event: e.StepInDoubt) -> None:
    record = draft.steps[event.step]
    if event.reason == "probe":
        draft.change(event.step, probed=True, error=event.error or record.error)
        return
    died = event.reason == "process_died"
    draft.change(
        event.step,
        status="in_doubt",
        action=record.action.died() if died else record.action.failed(event.wake_at),
        died=died,
        probed=False,
        retryable=event.retryable,
        error=event.error or record.error,
    )


def _result_refused(draft: _Draft, event: e.ResultRefused) -> None:
    draft.change(event.step, status="unstorable", error=event.error, doubt_before=False)
    draft.note(event.error)


def _cause_recorded(draft: _Draft, event: e.CauseRecorded) -> None:
    draft.cause = Cause(
        kind=event.kind, step=event.step, error=event.error, by=event.by, reason=event.reason, number=event.number
    )
    draft.cancel = None
    draft.note(event.error)


def _compensation_started(draft: _Draft, event: e.CompensationStarted) -> None:
    record = draft.steps[event.step]
    calls = record.compensation.started(event.attempt, died=record.undo == "running")
    draft.change(event.step, undo="running", compensation=calls)


def _compensation_succeeded(draft: _Draft, event: e.CompensationSucceeded) -> None:
    draft.change(event.step, undo="undone")


def _compensation_failed(draft: _Draft, event: e.CompensationFailed) -> None:
    draft.change(
        event.step,
        undo="failed" if event.wake_at is None else "waiting",
        compensation=draft.steps[event.step].compensation.failed(event.wake_at),
    )
    if event.wake_at is None:
        draft.note(event.error)


def _instance_blocked(draft: _Draft, event: e.InstanceBlocked) -> None:
    draft.blocked = (*draft.blocked, Block(step=event.step, reason=event.reason, decisions=event.decisions))
    draft.note(event.error)


def _decision_made(draft: _Draft, event: e.DecisionMade) -> None:
    if event.step is not None:
        draft.change(event.step, **_decided(draft.steps[event.step], event))


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


def _cancel_requested(draft: _Draft, event: e.CancelRequested) -> None:
    if draft.cause is None and draft.cancel is None:
        draft.cancel = event


def _cancel_came_too_late(draft: _Draft, _: e.CancelCameTooLate) -> None:
    draft.cancel = None


def _recorded_only(_: _Draft, __: e.Event) -> None:
    """An event that changes nothing beyond the state it leads to."""


_HANDLERS: dict[type[e.Event], Callable[[_Draft, Any], None]] = {
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
    e.LateResult: _recorded_only,
    e.InstanceCompleted: _recorded_only,
    e.InstanceFailed: _recorded_only,
}
# These leave an instance as blocked, or as long asleep, as they found it.
KEEPS_PARKED = (e.CancelRequested, e.CancelCameTooLate, e.LateResult)


def _fold_one(draft: _Draft, event: e.Event) -> None:
    if not isinstance(event, KEEPS_PARKED):
        draft.wake_at = getattr(event, "wake_at", None)
        if not isinstance(event, e.InstanceBlocked):
            draft.blocked = ()
    _HANDLERS[type(event)](draft, event)
    if event.state is not None:
        draft.state = event.state
    draft.history = (*draft.history, event)
    draft.updated_at = event.at


def fold(instance: SagaInstance | None, events: Sequence[e.Event]) -> SagaInstance:
    """The instance after `events`; from None, the first must be `InstanceCreated`. Pure, and needs no definition.

    Raises:
        SagaError: the first event of a history creates nothing, or a number is missing.
    """
    if instance is None:
        if not events or not isinstance(events[0], e.InstanceCreated):
            raise SagaError("a history begins with InstanceCreated")
        instance = _created(events[0])
        draft = _Draft(instance)
        if events[0].number != 1:
            _refuse_gap(instance.id, 1, events[0])
        draft.history = (events[0],)
        events = events[1:]
    else:
        draft = _Draft(instance)
    for event in events:
        if event.number != len(draft.history) + 1:
            _refuse_gap(instance.id, len(draft.history) + 1, event)
        _fold_one(draft, event)
    return draft.frozen()


def _refuse_gap(instance_id: str, expected: int, event: e.Event) -> NoReturn:
    raise SagaError(f"instance {instance_id!r} lacks event {expected}: {event} numbered {event.number} follows instead")


def apply(instance: SagaInstance, event: e.Event) -> SagaInstance:
    """The instance after one more event."""
    return fold(instance, (event,))
