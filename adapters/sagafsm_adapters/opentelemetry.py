"""Traces with OpenTelemetry: a span for each instance and one for each attempt, in one trace over all restarts.

A span lives in one process, and OpenTelemetry lets nobody choose its id; an instance outlives processes. So the trace
id of an instance, and the id of a span that stands for the whole of it, are derived from its saga, id and moment of
creation, as its idempotency keys are. That span is never exported: viewers show it as a root that is missing. Below it
each process that drives the instance puts a span of its own, which ends when the instance rests or is parked, and
below that the attempts.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

import attrs
from attrs.validators import ge, le
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance

MAX_OPEN_INSTANCES = 10_000
EPOCH = datetime.fromtimestamp(0, tz=UTC)
MICROSECOND = timedelta(microseconds=1)
# What of an event a span may say; payloads are not among it.
REPORTED_FIELDS = ("step", "attempt", "kind", "evidence", "decision", "decisions", "by", "reason", "request_id", "name")

InstanceKey = tuple[str, str, datetime]
CallKey = tuple[str, e.Direction]
StartEvent = e.StepStarted | e.CompensationStarted
END_EVENTS = (e.InstanceCompleted, e.InstanceFailed)


@attrs.define(eq=False)
class _InstanceSpans:
    """What this process heard of an instance without a gap: its span, the calls under way, and the last event."""

    span: Span
    anchor: SpanContext
    calls: dict[CallKey, Span] = attrs.Factory(dict)
    number: int = 0
    at: datetime = EPOCH

    def end(self, at: datetime) -> None:
        """End all that is open. A call that is still under way is left to whoever goes on with it."""
        for span in self.calls.values():
            span.set_attribute("saga.outcome", "left")
            span.end(to_nanoseconds(at))
        self.span.end(to_nanoseconds(at))


@attrs.define(eq=False)
class Tracing:
    """Makes spans of what an orchestrator tells: pass it as `on_event=`. Safe to share, also between threads.

    Spans go to `tracer_provider`, or to the global one. `ratio` is the share of instances that are traced, each of
    them by all processes or by none: the parent-based samplers follow the derived parent, and this decides for it.
    A drive that is left without an event to tell of it (`advance`, a stop, Ctrl-C) leaves its spans open until the
    instance is driven on here, until `close`, or until 10,000 others have been heard of since.
    """

    tracer_provider: trace.TracerProvider | None = None
    ratio: float = attrs.field(default=1.0, kw_only=True, validator=(ge(0), le(1)))
    _tracer: trace.Tracer = attrs.field(init=False, repr=False)
    _open_instances: OrderedDict[InstanceKey, _InstanceSpans] = attrs.field(factory=OrderedDict, init=False, repr=False)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._tracer = trace.get_tracer("sagafsm", tracer_provider=self.tracer_provider)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the spans that are still open, each at the last event heard; call it before the provider's shutdown."""
        with self._lock:
            while self._open_instances:
                self._forget_oldest()

    def context_of(self, instance: SagaInstance) -> SpanContext:
        """What stands for the whole instance in its trace, the same in every process: for links and look-ups."""
        identity = "\0".join((instance.saga, instance.id, instance.created_at.isoformat()))
        digest = hashlib.blake2b(identity.encode(), digest_size=24).digest()
        trace_id = int.from_bytes(digest[:16])
        # As TraceIdRatioBased decides, so that all agree.
        sampled = trace_id & (2**64 - 1) < round(self.ratio * 2**64)
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        return SpanContext(trace_id, int.from_bytes(digest[16:]), is_remote=True, trace_flags=flags)

    def __call__(self, instance: SagaInstance, event: e.Event) -> None:
        """Take note of an event: begin, end or annotate the spans that it concerns."""
        # A creation opens nothing: whoever only starts an instance would never hear of its end.
        if isinstance(event, e.InstanceCreated):
            return
        key = (instance.saga, instance.id, instance.created_at)
        with self._lock:
            leg = self._find_or_begin(key, instance, event)
            leg.number, leg.at = event.number, event.at
            self._note(leg, instance, event)
            if instance.is_at_rest or instance.blocked or getattr(instance, "waiting", False):
                del self._open_instances[key]
                _describe_state(leg.span, instance)
                leg.end(event.at)

    def _find_or_begin(self, key: InstanceKey, instance: SagaInstance, event: e.Event) -> _InstanceSpans:
        leg = self._open_instances.get(key)
        if leg is not None and leg.number + 1 == event.number:
            self._open_instances.move_to_end(key)
            return leg
        if leg is not None:  # somebody else drove it since
            del self._open_instances[key]
            leg.end(leg.at)
        leg = self._open_instances[key] = self._begin(instance, event)
        if len(self._open_instances) > MAX_OPEN_INSTANCES:
            self._forget_oldest()
        return leg

    def _forget_oldest(self) -> None:
        _, leg = self._open_instances.popitem(last=False)
        leg.end(leg.at)

    def _begin(self, instance: SagaInstance, event: e.Event) -> _InstanceSpans:
        """A leg that begins with this event. What was under way before is under way in it, until its outcome is known.

        So the attempt of a process that died is told by the one that finds it, as the dead one could not.
        """
        anchor, parent, resumed = self.context_of(instance), self._parent_of(instance), event.number > 2
        links = [Link(anchor, {"saga.link": "instance"})] if resumed or parent is not None else []
        caller = trace.get_current_span().get_span_context()
        if caller.is_valid:
            links.append(Link(caller, {"saga.link": "caller"}))
        span = self._tracer.start_span(
            f"saga {instance.saga}",
            context=trace.set_span_in_context(parent or NonRecordingSpan(anchor), Context()),
            attributes={**_identify_instance(instance), "saga.resumed": resumed},
            links=links,
            start_time=to_nanoseconds(event.at if resumed else instance.created_at),
        )
        leg = _InstanceSpans(span, anchor)
        for started in list_open_starts(instance.history[: event.number - 1]):
            self._start(leg, instance, started, links=[Link(anchor, {"saga.link": "instance"})])
        return leg

    def _parent_of(self, instance: SagaInstance) -> Span | None:
        """The call that drives a nested instance, when it is under way in this process."""
        parent, _, step = instance.id.rpartition("/")
        if not parent:
            return None
        leg = next((leg for (_, id, _), leg in reversed(self._open_instances.items()) if id == parent), None)
        return None if leg is None else leg.calls.get((step, "compensation")) or leg.calls.get((step, "action"))

    def _note(self, leg: _InstanceSpans, instance: SagaInstance, event: e.Event) -> None:
        if isinstance(event, StartEvent):
            self._start(leg, instance, event)
            return
        ended = [leg.calls.pop(call) for call in list_ended_calls(event) if call in leg.calls]
        for span in ended:
            _finish(span, event, _classify_event(event))
        if isinstance(event, e.InstanceBlocked) or not (ended or isinstance(event, END_EVENTS)):
            leg.span.add_event(type(event).__name__, _describe_event(event), to_nanoseconds(event.at))

    def _start(
        self, leg: _InstanceSpans, instance: SagaInstance, event: StartEvent, links: Sequence[Link] = ()
    ) -> None:
        call = make_call_key(event)
        lost = leg.calls.pop(call, None)
        if lost is not None:
            # Called again without an outcome of the call before: its process died.
            _finish(lost, event, "process died")
        what = "attempt" if call[1] == "action" else "compensation"
        leg.calls[call] = self._tracer.start_span(
            f"{instance.saga}.{event.step} {what} {event.attempt}",
            context=trace.set_span_in_context(leg.span, Context()),
            attributes={
                **_identify_instance(instance),
                "saga.step": event.step,
                "saga.direction": call[1],
                "saga.attempt": event.attempt,
                "saga.key": event.key,
            },
            links=links,
            start_time=to_nanoseconds(event.at),
        )


def to_nanoseconds(at: datetime) -> int:
    """The moment as OpenTelemetry counts it, exactly: a float of seconds is 100 ns off by now."""
    return (at - EPOCH) // MICROSECOND * 1000


def make_call_key(event: StartEvent) -> CallKey:
    """The call that begins: at most one of a step and direction is under way."""
    return event.step, "action" if isinstance(event, e.StepStarted) else "compensation"


def list_ended_calls(event: e.Event) -> tuple[CallKey, ...]:
    """The calls that are over with this event, if they were under way.

    A block ends what its step was doing: a call that was not heard of again, its process having died.
    """
    match event:
        case e.StepSucceeded() | e.StepFailed() | e.StepInDoubt() | e.ResultRefused():
            return ((event.step, "action"),)
        case e.CompensationSucceeded() | e.CompensationFailed():
            return ((event.step, "compensation"),)
        case e.InstanceBlocked():
            return (event.step, "action"), (event.step, "compensation")
        case _:
            return ()


def list_open_starts(history: Iterable[e.Event]) -> list[StartEvent]:
    """The starts that no outcome followed, in order."""
    found: dict[CallKey, StartEvent] = {}
    for event in history:
        for call in (make_call_key(event),) if isinstance(event, StartEvent) else list_ended_calls(event):
            found.pop(call, None)
        if isinstance(event, StartEvent):
            found[make_call_key(event)] = event
    return list(found.values())


def _identify_instance(instance: SagaInstance) -> dict[str, AttributeValue]:
    return {"saga.instance": instance.id, "saga.name": instance.saga, "saga.version": instance.version}


def _describe_event(event: e.Event) -> dict[str, AttributeValue]:
    told = {f"saga.{name}": value for name in REPORTED_FIELDS if (value := getattr(event, name, None)) is not None}
    if (error := getattr(event, "error", None)) is not None:
        told["saga.error"] = str(error)
    return {"saga.event": event.number, **told}


def _classify_event(event: e.Event) -> str:
    match event:
        case e.StepSucceeded() | e.CompensationSucceeded():
            return "succeeded"
        case e.StepInDoubt(reason="process_died") | e.InstanceBlocked():
            return "process died"
        case e.StepInDoubt():
            return "in doubt"
        case e.ResultRefused():
            return "result refused"
        case _:
            return "failed"


def _finish(span: Span, event: e.Event, outcome: str) -> None:
    """End the span of a call with its outcome, and with the recorded error where there is one."""
    span.set_attribute("saga.outcome", outcome)
    error: e.RecordedError | None = getattr(event, "error", None)
    if error is not None:
        told = {"exception.type": error.type, "exception.message": error.message}
        if error.traceback is not None:
            told["exception.stacktrace"] = error.traceback
        span.add_event("exception", told, to_nanoseconds(event.at))
    if outcome != "succeeded":
        span.set_status(StatusCode.ERROR, outcome if error is None else f"{outcome}: {error}")
    span.end(to_nanoseconds(event.at))


def _describe_state(span: Span, instance: SagaInstance) -> None:
    """Say on the instance's span how it was left."""
    span.set_attribute("saga.state", instance.state)
    if instance.state == "failed":
        span.set_attribute("saga.compensated", instance.compensated)
        span.set_attribute("saga.residue", tuple(left.step for left in instance.residue))
        span.set_status(StatusCode.ERROR, instance.why or instance.state)
