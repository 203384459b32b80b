"""What a history tells of every call and every wait: from when to when, and how it ended. Needs no definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sagafsm import events as e
from sagafsm.instance import SagaInstance
from sagafsm.values import replace
from sagafsm.view.lanes import Lanes
from sagafsm.view.segments import Attempt, Outcome, Segment, Wait

__all__ = ["Attempt", "Segment", "Wait", "attempts"]


def attempts(history: Sequence[e.Event], *, nested: Mapping[str, SagaInstance] | None = None) -> tuple[Segment, ...]:
    """Every attempt and wait, in order of beginning; those of `nested` instances, by their paths, after the others.

    Of one step they follow each other without overlap, but for late answers. Moments never go back, whatever clocks
    did.
    """
    known = {"": history, **{path: instance.history for path, instance in (nested or {}).items()}}
    last = max((event.at for events in known.values() for event in events), default=None)
    if last is None:
        return ()
    return tuple(segment for path, events in known.items() for segment in _read(events, path, last))


def _read(history: Sequence[e.Event], path: str, last: datetime) -> Iterator[Segment]:
    lanes, prefix = Lanes(), f"{path}/" if path else ""
    for event in history:
        lanes.turn_to(event)
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(lanes, event)
    for segment in lanes.segments:
        changes: dict[str, Any] = {"step": prefix + segment.step} if prefix else {}
        if segment.ended is None:
            changes["end"] = max(last, segment.start)
        if segment.ended is None or isinstance(segment, Attempt) or segment.start < segment.end:
            yield replace(segment, **changes) if changes else segment


def _step_started(lanes: Lanes, event: e.StepStarted) -> None:
    lanes.call(event.step, "action", event.attempt)


def _compensation_started(lanes: Lanes, event: e.CompensationStarted) -> None:
    lanes.call(event.step, "compensation", event.attempt)


def _step_succeeded(lanes: Lanes, event: e.StepSucceeded) -> None:
    _answered(lanes, event, "done")


def _compensation_succeeded(lanes: Lanes, event: e.CompensationSucceeded) -> None:
    lanes.close(event.step, "done")


def _result_refused(lanes: Lanes, event: e.ResultRefused) -> None:
    lanes.close(event.step, "refused", error=event.error)


def _failed(lanes: Lanes, event: e.StepFailed | e.CompensationFailed) -> None:
    direction: e.Direction = "action" if isinstance(event, e.StepFailed) else "compensation"
    if isinstance(event, e.StepFailed):
        _answered(lanes, event, "failed", error=event.error)
    else:
        lanes.close(event.step, "failed", error=event.error)
    if event.retry_at is not None:
        lanes.wait(event.step, direction, "retry", event.retry_at)


def _answered(lanes: Lanes, event: e.StepSucceeded | e.StepFailed, outcome: Outcome, **told: Any) -> None:
    """The end of an attempt; or, by a probe, what became of one that had ended before."""
    if event.evidence == "probe" and not lanes.is_running(event.step):
        lanes.settle(event.step, f"the probe says: {'done' if outcome == 'done' else 'not done'}")
    lanes.close(event.step, outcome, **told)


def _in_doubt(lanes: Lanes, event: e.StepInDoubt) -> None:
    if event.reason == "probe" and not lanes.is_running(event.step):
        lanes.settle(event.step, "the probe cannot tell")
    lanes.close(event.step, "in_doubt", reason=event.reason, error=event.error)
    if event.retry_at is not None:
        lanes.wait(event.step, "action", "retry", event.retry_at)


def _wait_started(lanes: Lanes, event: e.WaitStarted) -> None:
    lanes.wait(event.step, "action", "signal", event.wake_at)


def _child_parked(lanes: Lanes, event: e.ChildParked) -> None:
    target = lanes.target(event.step)
    lanes.close(event.step, "parked")
    if event.blocks:
        lanes.wait(event.step, target, "decision")
        lanes.blocked.discard(event.step)
    else:
        lanes.wait(event.step, target, "signal" if event.waits else "retry", event.retry_at)


def _child_resumed(lanes: Lanes, event: e.ChildResumed) -> None:
    target = lanes.target(event.step)
    index = lanes.last.get((event.step, target))
    before = None if index is None else lanes.segments[index]
    lanes.call(event.step, target, before.number if isinstance(before, Attempt) else 1)


def _child_abandoned(lanes: Lanes, event: e.ChildAbandoned) -> None:
    lanes.close(event.step, "abandoned")


def _late(lanes: Lanes, event: e.LateResult) -> None:
    index = lanes.last.get((event.step, event.direction))
    since = lanes.now if index is None else lanes.segments[index].end
    lanes.segments.append(
        Wait(
            step=event.step,
            target=event.direction,
            kind="late",
            start=min(since, lanes.now),
            end=lanes.now,
            began=lanes.number,
            ended=lanes.number,
        )
    )


def _blocked(lanes: Lanes, event: e.InstanceBlocked) -> None:
    # A step within a nested saga has its lane there; here that saga is parked already.
    if "/" not in event.step:
        lanes.wait(event.step, lanes.target(event.step), "decision")


def _decided(lanes: Lanes, event: e.DecisionMade) -> None:
    if event.step is not None and event.decision != "retry" and "/" not in event.step:
        lanes.settle(event.step, f"decided: {event.decision}" + (f" by {event.by}" if event.by else ""))


def _cause_recorded(lanes: Lanes, _: e.CauseRecorded) -> None:
    """No action is called any more: what waits to be called, or for a signal, waits no more."""
    for step, index in list(lanes.open.items()):
        segment = lanes.segments[index]
        if isinstance(segment, Wait) and segment.kind in ("retry", "signal") and segment.target == "action":
            lanes.close(step)


def _ended(lanes: Lanes, _: e.Event) -> None:
    for step in list(lanes.open):
        lanes.close(step, "abandoned")


def _migrated(lanes: Lanes, event: e.InstanceMigrated) -> None:
    lanes.rename(dict(event.renamed))


_HANDLERS: Mapping[type[e.Event], Callable[[Lanes, Any], None]] = {
    e.StepStarted: _step_started,
    e.StepSucceeded: _step_succeeded,
    e.StepFailed: _failed,
    e.StepInDoubt: _in_doubt,
    e.ResultRefused: _result_refused,
    e.CauseRecorded: _cause_recorded,
    e.CompensationStarted: _compensation_started,
    e.CompensationSucceeded: _compensation_succeeded,
    e.CompensationFailed: _failed,
    e.InstanceBlocked: _blocked,
    e.DecisionMade: _decided,
    e.WaitStarted: _wait_started,
    e.ChildParked: _child_parked,
    e.ChildResumed: _child_resumed,
    e.ChildAbandoned: _child_abandoned,
    e.LateResult: _late,
    e.InstanceMigrated: _migrated,
    e.InstanceCompleted: _ended,
    e.InstanceFailed: _ended,
}
