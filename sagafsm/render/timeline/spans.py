"""What a history tells of every call and every wait: from when to when, and how it ended. Needs no definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import attrs

from sagafsm.history import events as e
from sagafsm.history.fold import KEEPS_PARKED
from sagafsm.history.instance import SagaInstance
from sagafsm.value import Value, replace

__all__ = ["Attempt", "Span", "Wait", "read_spans"]


def read_spans(history: Sequence[e.Event], *, nested: Mapping[str, SagaInstance] | None = None) -> tuple[Span, ...]:
    """Every attempt and wait, in order of beginning; those of `nested` instances, by their paths, after the others.

    Of one step they follow each other without overlap, but for late answers. Moments never go back, whatever clocks
    did.
    """
    known = {"": history, **{path: instance.history for path, instance in (nested or {}).items()}}
    last = max((event.at for events in known.values() for event in events), default=None)
    if last is None:
        return ()
    return tuple(segment for path, events in known.items() for segment in _read_history_spans(events, path, last))


def _read_history_spans(history: Sequence[e.Event], path: str, last: datetime) -> Iterator[Span]:
    lanes, prefix = SpanBuilder(), f"{path}/" if path else ""
    for event in history:
        lanes.advance_to(event)
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(lanes, event)
    for segment in lanes.segments:
        changes: dict[str, Any] = {"step": prefix + segment.step} if prefix else {}
        if segment.ended is None:
            changes["end"] = max(last, segment.start)
        if segment.ended is None or isinstance(segment, Attempt) or segment.start < segment.end:
            yield replace(segment, **changes) if changes else segment


def _span_step_started(lanes: SpanBuilder, event: e.StepStarted) -> None:
    lanes.call(event.step, "action", event.attempt)


def _span_compensation_started(lanes: SpanBuilder, event: e.CompensationStarted) -> None:
    lanes.call(event.step, "compensation", event.attempt)


def _span_step_succeeded(lanes: SpanBuilder, event: e.StepSucceeded) -> None:
    _end_attempt_span(lanes, event, "done")


def _span_compensation_succeeded(lanes: SpanBuilder, event: e.CompensationSucceeded) -> None:
    lanes.close(event.step, "done")


def _span_result_refused(lanes: SpanBuilder, event: e.ResultRefused) -> None:
    lanes.close(event.step, "refused", error=event.error)


def _span_failed(lanes: SpanBuilder, event: e.StepFailed | e.CompensationFailed) -> None:
    direction: e.Direction = "action" if isinstance(event, e.StepFailed) else "compensation"
    if isinstance(event, e.StepFailed):
        _end_attempt_span(lanes, event, "failed", error=event.error)
    else:
        lanes.close(event.step, "failed", error=event.error)
    if event.retry_at is not None:
        lanes.wait(event.step, direction, "retry", event.retry_at)


def _end_attempt_span(
    lanes: SpanBuilder, event: e.StepSucceeded | e.StepFailed, outcome: AttemptOutcome, **told: Any
) -> None:
    """The end of an attempt; or, by a probe, what became of one that had ended before."""
    if event.evidence == "probe" and not lanes.is_running(event.step):
        lanes.settle(event.step, f"the probe says: {'done' if outcome == 'done' else 'not done'}")
    lanes.close(event.step, outcome, **told)


def _span_in_doubt(lanes: SpanBuilder, event: e.StepInDoubt) -> None:
    if event.reason == "probe" and not lanes.is_running(event.step):
        lanes.settle(event.step, "the probe cannot tell")
    lanes.close(event.step, "in_doubt", reason=event.reason, error=event.error)
    if event.retry_at is not None:
        lanes.wait(event.step, "action", "retry", event.retry_at)


def _span_wait_started(lanes: SpanBuilder, event: e.WaitStarted) -> None:
    lanes.wait(event.step, "action", "signal", event.wake_at)


def _span_child_parked(lanes: SpanBuilder, event: e.ChildParked) -> None:
    target = lanes.target(event.step)
    lanes.close(event.step, "parked")
    if event.blocks:
        lanes.wait(event.step, target, "decision")
        lanes.blocked.discard(event.step)
    else:
        lanes.wait(event.step, target, "signal" if event.waits else "retry", event.retry_at)


def _span_child_resumed(lanes: SpanBuilder, event: e.ChildResumed) -> None:
    target = lanes.target(event.step)
    index = lanes.last.get((event.step, target))
    before = None if index is None else lanes.segments[index]
    lanes.call(event.step, target, before.number if isinstance(before, Attempt) else 1)


def _span_child_abandoned(lanes: SpanBuilder, event: e.ChildAbandoned) -> None:
    lanes.close(event.step, "abandoned")


def _span_late_result(lanes: SpanBuilder, event: e.LateResult) -> None:
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


def _span_blocked(lanes: SpanBuilder, event: e.InstanceBlocked) -> None:
    # A step within a nested saga has its lane there; here that saga is parked already.
    if "/" not in event.step:
        lanes.wait(event.step, lanes.target(event.step), "decision")


def _span_decision(lanes: SpanBuilder, event: e.DecisionMade) -> None:
    if event.step is not None and event.decision != "retry" and "/" not in event.step:
        lanes.settle(event.step, f"decided: {event.decision}" + (f" by {event.by}" if event.by else ""))


def _span_cause_recorded(lanes: SpanBuilder, _: e.CauseRecorded) -> None:
    """No action is called any more: what waits to be called, or for a signal, waits no more."""
    for step, index in list(lanes.open.items()):
        segment = lanes.segments[index]
        if isinstance(segment, Wait) and segment.kind in ("retry", "signal") and segment.target == "action":
            lanes.close(step)


def _span_end(lanes: SpanBuilder, _: e.Event) -> None:
    for step in list(lanes.open):
        lanes.close(step, "abandoned")


def _span_migrated(lanes: SpanBuilder, event: e.InstanceMigrated) -> None:
    lanes.rename(dict(event.renamed))


_HANDLERS: Mapping[type[e.Event], Callable[[SpanBuilder, Any], None]] = {
    e.StepStarted: _span_step_started,
    e.StepSucceeded: _span_step_succeeded,
    e.StepFailed: _span_failed,
    e.StepInDoubt: _span_in_doubt,
    e.ResultRefused: _span_result_refused,
    e.CauseRecorded: _span_cause_recorded,
    e.CompensationStarted: _span_compensation_started,
    e.CompensationSucceeded: _span_compensation_succeeded,
    e.CompensationFailed: _span_failed,
    e.InstanceBlocked: _span_blocked,
    e.DecisionMade: _span_decision,
    e.WaitStarted: _span_wait_started,
    e.ChildParked: _span_child_parked,
    e.ChildResumed: _span_child_resumed,
    e.ChildAbandoned: _span_child_abandoned,
    e.LateResult: _span_late_result,
    e.InstanceMigrated: _span_migrated,
    e.InstanceCompleted: _span_end,
    e.InstanceFailed: _span_end,
}

_KEEPS_BLOCKED = (*KEEPS_PARKED, e.InstanceBlocked)


class SpanBuilder:
    """The segments so far, and for each step the one that is open."""

    def __init__(self) -> None:
        self.segments: list[Span] = []
        self.open: dict[str, int] = {}
        self.last: dict[tuple[str, e.Direction], int] = {}
        # The lanes that wait for a decision, as an event other than a request ends every block.
        self.blocked: set[str] = set()
        self.now: datetime
        self.number = 0

    def advance_to(self, event: e.Event) -> None:
        """The event is now: any but a request ends every block."""
        self.now = max(event.at, self.now) if self.number else event.at
        self.number = event.number
        if self.blocked and not isinstance(event, _KEEPS_BLOCKED):
            for step in sorted(self.blocked):
                self.close(step)

    def call(self, step: str, target: e.Direction, number: int) -> None:
        """An attempt begins."""
        self.close(step)
        self.last[step, target] = self.open[step] = len(self.segments)
        self.segments.append(
            Attempt(step=step, target=target, number=number, start=self.now, end=self.now, began=self.number)
        )

    def wait(self, step: str, target: e.Direction, kind: WaitKind, until: datetime | None = None) -> None:
        """A wait begins; one for a decision ends with the next event that is no request."""
        self.close(step)
        self.open[step] = len(self.segments)
        if kind == "decision":
            self.blocked.add(step)
        start = self.now
        wait = Wait(step=step, target=target, kind=kind, start=start, end=start, began=self.number, until=until)
        self.segments.append(wait)

    def close(self, step: str, outcome: AttemptOutcome = "died", **told: Any) -> None:
        """End what is open in a lane. An attempt that nothing else ends has ended with its process."""
        index = self.open.pop(step, None)
        self.blocked.discard(step)
        if index is None:
            return
        ended: dict[str, Any] = {"end": self.now, "ended": self.number}
        segment = self.segments[index]
        if isinstance(segment, Attempt):
            ended |= {"outcome": outcome, **told}
        self.segments[index] = replace(segment, **ended)

    def is_running(self, step: str) -> bool:
        """Whether an attempt of the step is open."""
        return step in self.open and isinstance(self.segments[self.open[step]], Attempt)

    def target(self, step: str) -> e.Direction:
        """Which of a step's functions it is about now: once undoing began, it is never called again."""
        return "compensation" if (step, "compensation") in self.last else "action"

    def settle(self, step: str, told: str) -> None:
        """Tell of a step's last attempt what was found out about it."""
        index = self.last.get((step, self.target(step)))
        segment = None if index is None else self.segments[index]
        if index is not None and isinstance(segment, Attempt):
            self.segments[index] = replace(segment, settled=told)

    def rename(self, names: Mapping[str, str | None]) -> None:
        """Give lanes the names that a migration gave to their steps; one whose step is gone keeps its own."""

        def new(step: str) -> str:
            return names.get(step) or step

        for step in [step for step in self.open if new(step) != step and new(step) in self.open]:
            self.close(step)
        self.segments = [replace(segment, step=new(segment.step)) for segment in self.segments]
        self.open = {new(step): index for step, index in self.open.items()}
        self.last = {(new(step), target): index for (step, target), index in self.last.items()}
        self.blocked = {new(step) for step in self.blocked}


AttemptOutcome = Literal["running", "done", "failed", "in_doubt", "refused", "parked", "died", "abandoned"]
WaitKind = Literal["retry", "signal", "decision", "late"]


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class _Period(Value):
    """The time between two events of a step, in which one thing went on.

    `step` is the path of the step, `began` and `ended` are the numbers of the two events. Without an `ended` it still
    goes on, and its `end` is that of the history.
    """

    step: str
    target: e.Direction
    start: datetime
    end: datetime
    began: int
    ended: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it goes on at the end of the history."""
        return self.ended is None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Attempt(_Period):
    """One call of a step's action or compensation.

    `number` is that of the attempt; `settled` tells what was found out about it afterwards.
    """

    number: int
    outcome: AttemptOutcome = "running"
    reason: e.DoubtReason | None = None
    error: e.RecordedError | None = None
    settled: str | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Wait(_Period):
    """A time in which a step waits: to be called again, for a signal, for a decision; or a call that went on too long.

    `until` is when it ends by itself.
    """

    kind: WaitKind
    until: datetime | None = None


Span = Attempt | Wait
