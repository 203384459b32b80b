"""Each instance and each attempt is a span, in one trace over all the processes that drive it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sagafsm import Orchestrator, SagaInstance, open_store
from sagafsm.history import events as e
from sagafsm.store import Store
from support.bench import Bench, is_async
from support.clock import NOON, FakeClock
from support.mortality import mortal
from support.services import STEADY, Service, saga_of
from support.stores import Crash

pytest.importorskip("opentelemetry.sdk.trace", reason="the OpenTelemetry SDK is not installed")

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sagafsm_adapters import opentelemetry
from sagafsm_adapters.opentelemetry import Tracing

Script = dict[str, list[Any]]


@attrs.define(eq=False)
class Slow(Service):
    """Each call takes one second."""

    clock: FakeClock = attrs.Factory(FakeClock)

    def _perform(self, *args: Any) -> Any:
        self.clock.advance(1)
        return super()._perform(*args)


@attrs.define(eq=False)
class Process:
    """What one process exports; its own ids, its own provider."""

    ratio: float = 1.0
    exporter: InMemorySpanExporter = attrs.field(factory=InMemorySpanExporter, init=False)
    provider: TracerProvider = attrs.field(factory=lambda: TracerProvider(shutdown_on_exit=False), init=False)
    tracing: Tracing = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Tracing(self.provider, ratio=self.ratio)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that ended, in that order."""
        return list(self.exporter.get_finished_spans())

    def lines(self) -> list[str]:
        """Each span in one line: parent > name, seconds since noon, outcome or state, what went wrong."""
        names = {span.context.span_id: span.name for span in self.spans}
        return [line(span, names) for span in self.spans]

    def span(self, name: str) -> ReadableSpan:
        (found,) = (span for span in self.spans if span.name == name)
        return found

    def died(self) -> None:
        """Nothing of it is exported any more."""
        self.exporter.shutdown()


def seconds(nanoseconds: int | None) -> str:
    assert nanoseconds is not None
    return f"{nanoseconds / 1e9 - NOON.timestamp():g}"


def line(span: ReadableSpan, names: dict[int, str]) -> str:
    assert span.parent is not None
    assert span.attributes is not None
    parent = "anchor" if span.parent.is_remote else names.get(span.parent.span_id, "open")
    told = [f"{parent} > {span.name}", f"{seconds(span.start_time)}-{seconds(span.end_time)}"]
    told += [str(span.attributes[name]) for name in ("saga.outcome", "saga.state") if name in span.attributes]
    told += ["resumed"] if span.attributes.get("saga.resumed") else []
    told += ["linked"] if any(links(span)) else []
    told += [f"({span.status.description})"] if span.status.status_code is trace.StatusCode.ERROR else []
    return " ".join(told)


def links(span: ReadableSpan) -> list[tuple[str, int]]:
    return [(str((link.attributes or {})["saga.link"]), link.context.span_id) for link in span.links]


def events(span: ReadableSpan) -> list[dict[str, Any]]:
    return [{"": event.name, "at": seconds(event.timestamp), **(event.attributes or {})} for event in span.events]


def bench_of(
    store: Any, way: str = "sync", script: Script | None = None, **steps: dict[str, Any]
) -> tuple[Bench, Service, Process]:
    """A saga whose calls take one second each."""
    service = Slow(script=script or {})
    steps = steps or {"a": {}, "b": {}}
    bench = Bench(store, saga_of(service, is_async=is_async(way), **steps), way, service.clock)
    return bench, service, listening(bench)


def listening(bench: Bench, **options: Any) -> Process:
    """A process of its own, to which the next operations belong."""
    process = Process(**options)
    bench.options["on_event"] = process.tracing
    return process


def crash(bench: Bench, service: Service, dies: str = "", operation: str = "run", *args: Any) -> None:
    """Let a process do this, and die as told; what it had not exported until then is lost."""
    alive = bench.store
    bench.store = mortal(alive, dies)
    service.die = bench.store.die
    with pytest.raises(Crash):
        bench.ask(operation, *(args or (bench.saga, "mug")), **({"id": "o-1"} if operation == "run" else {}))
    bench.store = alive


# One process ----------------------------------------------------------------------------------------------------------


def test_a_span_for_the_instance_and_one_for_each_attempt(way: str, store: Store) -> None:
    """The attempts below the instance, from start to outcome, as the history has it."""
    bench, _, process = bench_of(store, way)
    assert "completed" == bench.run().state
    assert [
        "saga order > order.a attempt 1 0-1 succeeded",
        "saga order > order.b attempt 1 1-2 succeeded",
        "anchor > saga order 0-2 completed",
    ] == process.lines()


def test_spans_say_which_saga_step_and_attempt(way: str, memory: Store) -> None:
    """And the idempotency key, so that a service's own records can be found; no payload."""
    bench, _, process = bench_of(memory, way, {"b": ["fail"]})
    instance = bench.run("card 4242")
    identity = {"saga.instance": "o-1", "saga.name": "order", "saga.version": 1}
    keys = {type(event).__name__ + event.step: event.key for event in instance.history if hasattr(event, "key")}
    assert {
        **identity,
        "saga.step": "b",
        "saga.direction": "action",
        "saga.attempt": 1,
        "saga.key": keys["StepStartedb"],
        "saga.outcome": "failed",
    } == process.span("order.b attempt 1").attributes
    assert {
        **identity,
        "saga.step": "a",
        "saga.direction": "compensation",
        "saga.attempt": 1,
        "saga.key": keys["CompensationStarteda"],
        "saga.outcome": "succeeded",
    } == process.span("order.a compensation 1").attributes
    assert {
        **identity,
        "saga.resumed": False,
        "saga.state": "failed",
        "saga.compensated": True,
        "saga.residue": (),
    } == process.span("saga order").attributes
    assert "4242" not in "".join(span.to_json() for span in process.spans)
    assert "a!" not in "".join(span.to_json() for span in process.spans)


def test_a_way_back_is_red_with_the_recorded_error(way: str, memory: Store) -> None:
    """What failed has status ERROR and the error; the cause is an event of the instance."""
    bench, _, process = bench_of(memory, way, {"b": ["fail"]})
    bench.run()
    assert [
        "saga order > order.a attempt 1 0-1 succeeded",
        "saga order > order.b attempt 1 1-2 failed (failed: Refused: refused)",
        "saga order > order.a compensation 1 2-3 succeeded",
        "anchor > saga order 0-3 failed (step 'b' failed: Refused: refused)",
    ] == process.lines()
    (error,) = events(process.span("order.b attempt 1"))
    traceback = error.pop("exception.stacktrace")
    assert traceback.endswith("Refused: refused\n")
    kept = {"exception.type": "support.services.Refused", "exception.message": "refused"}
    assert {"": "exception", "at": "2", **kept} == error
    told = {"saga.event": 6, "saga.kind": "failure", "saga.step": "b", "saga.error": "Refused: refused"}
    assert [{"": "CauseRecorded", "at": "2", **told}] == events(process.span("saga order"))


def test_each_attempt_is_a_span_and_the_pause_is_none(way: str, memory: Store) -> None:
    """Retries of actions and compensations are numbered as in the history."""
    script = {"a": ["fail"], "b": ["fail"], "undo a": ["fail"]}
    bench, _, process = bench_of(memory, way, script, a={"retry": STEADY, "compensation_retry": STEADY}, b={})
    bench.run()
    assert [
        "saga order > order.a attempt 1 0-1 failed (failed: Refused: refused)",
        "saga order > order.a attempt 2 11-12 succeeded",
        "saga order > order.b attempt 1 12-13 failed (failed: Refused: refused)",
        "saga order > order.a compensation 1 13-14 failed (failed: Refused: refused)",
        "saga order > order.a compensation 2 24-25 succeeded",
        "anchor > saga order 0-25 failed (step 'b' failed: Refused: refused)",
    ] == process.lines()


def test_a_block_ends_the_instances_span_and_a_decision_begins_another(way: str, memory: Store) -> None:
    """Between them nobody drives it. Doubt, block, decision, residue: all is told, in one trace."""
    bench, _, process = bench_of(memory, way, {"b": ["lost"], "undo b": ["permanent"]})
    bench.run()
    bench.clock.advance(100)
    bench.ask("compensate", "o-1", by="ann", reason="no answer")
    bench.ask("abandon", "o-1", by="ann", reason="enough")
    never = "PermanentFailure: never"
    assert [
        "saga order > order.a attempt 1 0-1 succeeded",
        "saga order > order.b attempt 1 1-2 in doubt (in doubt: OutcomeUnknown: no answer)",
        "anchor > saga order 0-2 running:b",
        f"saga order > order.b compensation 1 102-103 failed (failed: {never})",
        "anchor > saga order 102-103 compensating:b resumed linked",
        "anchor > saga order 103-103 failed resumed linked (abandoned by ann: enough)",
    ] == process.lines()
    first, second, third = (span for span in process.spans if span.name == "saga order")
    assert [
        ("InstanceBlocked", 6, "in_doubt", None),
        ("DecisionMade", 7, "no answer", "compensate"),
        ("CauseRecorded", 8, "no answer", None),
        ("InstanceBlocked", 11, "compensation_failed", None),
        ("DecisionMade", 12, "enough", "abandon"),
    ] == [
        (told[""], told["saga.event"], told["saga.reason"], told.get("saga.decision"))
        for span in (first, second, third)
        for told in events(span)
    ]
    assert ("a", "b") == (third.attributes or {})["saga.residue"]
    assert 1 == len({span.context.trace_id for span in process.spans})


def test_a_cancel_is_told(way: str, memory: Store) -> None:
    """A request, by whom and why, and the cause that it is."""
    request = e.CancelRequested(request_id="r-1", by="ann", reason="no")
    bench, _, process = bench_of(memory, way, {"a": [lambda: memory.post("o-1", request)]})
    bench.run()
    told = events(process.span("saga order"))
    assert [("CancelRequested", "ann", "no"), ("CauseRecorded", "ann", "no")] == [
        (event[""], event["saga.by"], event["saga.reason"]) for event in told
    ]


def test_an_answer_after_the_doubt_is_told_and_no_second_span(way: str, memory: Store) -> None:
    """The attempt ended in doubt; what the probe says of it is an event of the instance."""
    bench, _, process = bench_of(memory, way, {"a": ["lost"], "probe a": ["done"]}, a={"probe": True})
    assert "completed" == bench.run().state
    assert [
        "saga order > order.a attempt 1 0-1 in doubt (in doubt: OutcomeUnknown: no answer)",
        "anchor > saga order 0-1 completed",
    ] == process.lines()
    told = {"saga.event": 4, "saga.step": "a", "saga.attempt": 1, "saga.evidence": "probe"}
    assert [{"": "StepSucceeded", "at": "1", **told}] == events(process.span("saga order"))


def test_the_span_of_whoever_asked_is_linked(memory: Store) -> None:
    """A request that runs a saga has a trace of its own; the instance's span links to it."""
    bench, _, process = bench_of(memory)
    with trace.get_tracer("web", tracer_provider=process.provider).start_as_current_span("POST /orders") as caller:
        bench.run()
    assert [("caller", caller.get_span_context().span_id)] == links(process.span("saga order"))
    assert process.span("saga order").context.trace_id != caller.get_span_context().trace_id


def test_a_processor_that_raises_changes_nothing(way: str, memory: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Law 17, for tracing: it is logged, and the saga completes."""

    class Broken(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            raise ValueError("no room")

    bench, service, process = bench_of(memory, way)
    process.provider.add_span_processor(Broken())
    with caplog.at_level(logging.ERROR, "sagafsm"):
        assert "completed" == bench.run().state
    assert ["a 1", "b 1"] == service.calls
    assert "on_event raised at event 2 of instance 'o-1'" == caplog.records[0].getMessage()


# Several processes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies", ["before", "after"])
def test_the_next_process_tells_the_attempt_of_the_one_that_died(way: str, dies: str, store: Store) -> None:
    """The dead one exported nothing of it. Same trace, linked, and marked as what it was."""
    bench, service, first = bench_of(store, way, {"b": [f"die {dies}"]}, a={}, b={"in_doubt": "retry"})
    crash(bench, service)
    first.died()
    bench.clock.advance(60)
    second = listening(bench)
    bench.ask("recover")
    assert ["open > order.a attempt 1 0-1 succeeded"] == first.lines()
    died = "process died: ProcessDied: the process ended during attempt 1"
    assert [
        f"saga order > order.b attempt 1 1-62 process died linked ({died})",
        "saga order > order.b attempt 2 62-63 succeeded",
        "anchor > saga order 62-63 completed resumed linked",
    ] == second.lines()
    anchor = second.tracing.context_of(bench.get())
    assert {anchor.trace_id} == {span.context.trace_id for span in (*first.spans, *second.spans)}
    assert [("instance", anchor.span_id)] == links(second.span("saga order"))
    assert [("instance", anchor.span_id)] == links(second.span("order.b attempt 1"))
    assert anchor.span_id == second.span("saga order").parent.span_id  # type: ignore[union-attr]


def test_a_lost_compensation_is_told_by_the_next_process(way: str, memory: Store) -> None:
    """It has no doubt of its own: it is called again, and that start tells of the death."""
    bench, service, _ = bench_of(memory, way, {"b": ["fail"], "undo a": ["die after"]})
    crash(bench, service)
    second = listening(bench)
    bench.ask("recover")
    assert [
        "saga order > order.a compensation 1 2-3 process died linked (process died)",
        "saga order > order.a compensation 2 3-4 succeeded",
        "anchor > saga order 3-4 failed resumed linked (step 'b' failed: Refused: refused)",
    ] == second.lines()


def test_a_lost_attempt_without_effect_is_told_by_the_next_process(way: str, memory: Store) -> None:
    """It is never in doubt, and called again."""
    bench, service, _ = bench_of(memory, way, {"a": ["die before"]}, a={"effect": False, "undo": False})
    crash(bench, service)
    second = listening(bench)
    bench.ask("recover")
    assert [
        "saga order > order.a attempt 1 0-1 process died linked (process died)",
        "saga order > order.a attempt 2 1-2 succeeded",
        "anchor > saga order 1-2 completed resumed linked",
    ] == second.lines()


def test_a_crash_loop_tells_each_attempt_once(way: str, memory: Store) -> None:
    """The fifth death in a row blocks: it ends the last attempt, and the decision's process does not tell it again."""
    bench, service, _ = bench_of(memory, way, {"a": ["die before"] * 5}, a={"effect": False, "undo": False})
    crash(bench, service)
    processes = [listening(bench)]
    for _ in range(4):
        crash(bench, service, "", "resume", "o-1")
        processes.append(listening(bench))
    bench.ask("recover")
    processes.append(listening(bench))
    bench.ask("retry", "o-1", reason="mended")
    told = [line for process in processes for line in process.lines() if "attempt" in line]
    died = "process died linked (process died)"
    assert [
        # The process that found it died in its turn, before its own span had ended.
        *(f"open > order.a attempt {n} {n - 1}-{n} {died}" for n in (1, 2, 3, 4)),
        "saga order > order.a attempt 5 4-5 process died linked (process died)",
        "saga order > order.a attempt 6 5-6 succeeded",
    ] == told


def test_one_that_was_only_started_has_its_whole_life_in_one_span(way: str, memory: Store) -> None:
    """Who starts it and never drives it opens nothing; who drives it first shows how long it waited."""
    bench, _, first = bench_of(memory, way)
    bench.ask("start", bench.saga, "mug", id="o-1")
    bench.clock.advance(30)
    second = listening(bench)
    bench.ask("resume", "o-1")
    first.tracing.close()
    assert [] == first.lines()
    assert [
        "saga order > order.a attempt 1 30-31 succeeded",
        "saga order > order.b attempt 1 31-32 succeeded",
        "anchor > saga order 0-32 completed",
    ] == second.lines()


def test_a_process_that_goes_on_itself_goes_on_with_its_span(way: str, memory: Store) -> None:
    """`advance` by `advance`, or after Ctrl-C: no other process was between, which the numbers show."""
    bench, service, process = bench_of(memory, way, a={}, b={"in_doubt": "retry"})
    bench.ask("start", bench.saga, "mug", id="o-1")
    bench.ask("advance", "o-1")
    service.script["b"] = ["die before"]
    crash(bench, service, "", "resume", "o-1")
    bench.ask("resume", "o-1")
    died = "process died: ProcessDied: the process ended during attempt 1"
    assert [
        "saga order > order.a attempt 1 0-1 succeeded",
        f"saga order > order.b attempt 1 1-2 process died ({died})",
        "saga order > order.b attempt 2 2-3 succeeded",
        "anchor > saga order 0-3 completed",
    ] == process.lines()


def test_a_process_that_was_passed_by_begins_anew(way: str, memory: Store) -> None:
    """What others did since is theirs to tell: the old span ends where this process last heard, a new one begins."""
    bench, _, first = bench_of(memory, way, a={}, b={}, c={})
    bench.ask("start", bench.saga, "mug", id="o-1")
    bench.ask("advance", "o-1")
    second = listening(bench)
    bench.ask("advance", "o-1")
    bench.options["on_event"] = first.tracing
    bench.ask("resume", "o-1")
    second.tracing.close()
    assert [
        "saga order > order.a attempt 1 0-1 succeeded",
        "anchor > saga order 0-1",
        "saga order > order.c attempt 1 2-3 succeeded",
        "anchor > saga order 2-3 completed resumed linked",
    ] == first.lines()
    assert ["saga order > order.b attempt 1 1-2 succeeded", "anchor > saga order 1-2 resumed linked"] == second.lines()


def test_the_same_id_again_is_another_trace(memory: Store) -> None:
    """The moment of creation counts, as it does for keys."""
    bench, _, process = bench_of(memory)
    first = bench.run()
    memory.delete("o-1")
    second = bench.run()
    assert 2 == len({span.context.trace_id for span in process.spans})
    assert process.tracing.context_of(first) != process.tracing.context_of(second)


# What is open ---------------------------------------------------------------------------------------------------------


def test_nothing_is_open_once_it_rests_or_is_parked(way: str, memory: Store) -> None:
    """All has ended, and closing ends no more."""
    bench, _, process = bench_of(memory, way, {"b": ["ok", "lost", "fail"]})
    states = [bench.run(id=f"o-{n}").state for n in (1, 2, 3)]
    assert ["completed", "running:b", "failed"] == states
    ended = process.lines()
    process.tracing.close()
    assert ended == process.lines()


def test_close_ends_what_was_left(memory: Store) -> None:
    """At the last event that was heard, as nobody knows what came then."""
    bench, service, process = bench_of(memory, "sync", {"a": ["die before"]})
    with process.tracing:
        crash(bench, service)
    assert ["saga order > order.a attempt 1 0-0 left", "anchor > saga order 0-0"] == process.lines()


def test_only_so_many_are_open(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not heard of for longest ends first."""
    monkeypatch.setattr(opentelemetry, "MAX_OPEN_INSTANCES", 2)
    bench, _, process = bench_of(memory, a={}, b={}, c={})
    for n in (1, 2, 3):
        bench.ask("start", bench.saga, "mug", id=f"o-{n}")
    for n in (1, 2, 1, 3):
        bench.ask("advance", f"o-{n}")
    (left,) = (span for span in process.spans if span.name == "saga order")
    assert "o-2" == (left.attributes or {})["saga.instance"]


def test_threads_may_share_it(memory: Store) -> None:
    """Each instance has its own spans, whoever else is told of at the same time."""
    process, order = Process(), saga_of(Service(), a={}, b={})
    with Orchestrator(memory, on_event=process.tracing) as orchestrator, ThreadPoolExecutor(8) as threads:
        instances = list(threads.map(lambda n: orchestrator.run(order, "mug", id=f"o-{n}"), range(40)))
    traces = Counter(span.context.trace_id for span in process.spans)
    assert {process.tracing.context_of(instance).trace_id: 3 for instance in instances} == traces


# Sampling -------------------------------------------------------------------------------------------------------------


def test_all_processes_trace_the_same_share() -> None:
    """Nothing at 0, all at 1; between them every process chooses the same instances."""
    with Orchestrator("memory://") as orchestrator:
        instances = [orchestrator.run(saga_of(Service(), a={}), "mug", id=f"o-{n}") for n in range(200)]

    def chosen(ratio: float) -> list[str]:
        tracing = Process(ratio).tracing
        return [instance.id for instance in instances if tracing.context_of(instance).trace_flags.sampled]

    assert [] == chosen(0)
    assert 200 == len(chosen(1))
    assert 40 < len(chosen(0.5)) < 160
    assert chosen(0.5) == chosen(0.5)
    assert set(chosen(0.25)) < set(chosen(0.5))


def test_what_is_not_chosen_is_not_exported(memory: Store) -> None:
    """The usual sampler follows the derived parent."""
    bench, _, _ = bench_of(memory)
    process = listening(bench, ratio=0)
    assert "completed" == bench.run().state
    assert [] == process.lines()


@pytest.mark.parametrize("ratio", [-0.1, 1.1])
def test_a_share_is_between_none_and_all(ratio: float) -> None:
    with pytest.raises(ValueError, match="'ratio' must be"):
        Tracing(ratio=ratio)


# What is yet to come --------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True, slots=False)
class StepImagined:
    """A kind of event that this version does not know; none of `Event`'s, all of which the stores' exams go through."""

    step: str
    number: int = 0
    at: datetime = e.UNSTAMPED
    secret_json: str = '"4242"'


@attrs.define
class Told:
    """An instance made by hand: what it will be told is not yet what the library can fold."""

    tracing: Tracing
    instance: SagaInstance
    waiting: bool = False

    def tell(self, event: Any, **changes: Any) -> None:
        number = len(self.instance.history) + 1
        stamped = attrs.evolve(event, number=number, at=NOON + timedelta(seconds=number))
        self.instance = attrs.evolve(self.instance, history=(*self.instance.history, stamped), **changes)
        self.tracing(self.instance, stamped)


def made(process: Process, id: str = "o-1", saga: str = "order") -> Told:
    with Orchestrator(open_store("memory://"), clock=FakeClock()) as orchestrator:
        begun = orchestrator.start(saga_of(Service(), saga, a={}), "mug", id="o-1")
    return Told(process.tracing, attrs.evolve(begun, id=id))


def started(step: str) -> e.StepStarted:
    return e.StepStarted(step=step, attempt=1, key=f"{step}-key")


def succeeded(step: str) -> e.StepSucceeded:
    return e.StepSucceeded(step=step, attempt=1, result_json="1")


def test_a_kind_of_event_that_is_not_known_is_told_by_its_name() -> None:
    """With what it says of step and number, and nothing of its own."""
    process = Process()
    told = made(process)
    told.tell(StepImagined(step="a"))
    told.tell(e.InstanceCompleted(), state="completed")
    assert [{"": "StepImagined", "at": "2", "saga.event": 2, "saga.step": "a"}] == events(process.span("saga order"))


def test_several_steps_run_at_once() -> None:
    """Each outcome ends the span of its own step."""
    process = Process()
    told = made(process)
    for event in (started("a"), started("b"), started("c"), succeeded("b"), succeeded("c"), succeeded("a")):
        told.tell(event)
    told.tell(e.InstanceCompleted(), state="completed")
    assert [
        "saga order > order.b attempt 1 3-5 succeeded",
        "saga order > order.c attempt 1 4-6 succeeded",
        "saga order > order.a attempt 1 2-7 succeeded",
        "anchor > saga order 0-8 completed",
    ] == process.lines()


def test_several_lost_attempts_are_told_each() -> None:
    """A group that died: the next process tells all of them, in order of their starts."""
    told = made(Process())
    for event in (started("a"), started("b"), started("c"), succeeded("b")):
        told.tell(event)
    process = Process()
    told.tracing = process.tracing
    for step in ("a", "c"):
        told.tell(e.StepInDoubt(step=step, attempt=1, reason="process_died"))
    told.tell(e.InstanceFailed(), state="failed")
    assert [
        "saga order > order.a attempt 1 2-6 process died linked (process died)",
        "saga order > order.c attempt 1 4-7 process died linked (process died)",
        "anchor > saga order 6-8 failed resumed linked (failed)",
    ] == process.lines()


def test_a_nested_instance_stands_below_the_attempt_that_drives_it() -> None:
    """Where that is under way in this process: same trace, and a link to what it is derived from on its own."""
    process = Process()
    parent, child = made(process), made(process, id="o-1/b", saga="delivery")
    parent.tell(started("a"))
    parent.tell(started("b"))
    child.tell(started("x"))
    child.tell(succeeded("x"))
    child.tell(e.InstanceCompleted(), state="completed")
    parent.tell(succeeded("b"))
    parent.tell(e.InstanceCompleted(), state="completed")
    assert [
        "saga delivery > delivery.x attempt 1 2-3 succeeded",
        "order.b attempt 1 > saga delivery 0-4 completed linked",
        "saga order > order.b attempt 1 3-4 succeeded",
        "saga order > order.a attempt 1 2-5 left",
        "anchor > saga order 0-5 completed",
    ] == process.lines()
    assert 1 == len({span.context.trace_id for span in process.spans})
    assert [("instance", process.tracing.context_of(child.instance).span_id)] == links(process.span("saga delivery"))


def test_a_nested_instance_that_is_undone_stands_below_the_compensation() -> None:
    process = Process()
    parent, child = made(process), made(process, id="o-1/b", saga="delivery")
    parent.tell(started("b"))
    parent.tell(e.CompensationStarted(step="b", attempt=1, key="undo"))
    child.tell(started("x"))
    child.tell(e.InstanceFailed(), state="failed")
    process.tracing.close()
    assert "order.b compensation 1 > saga delivery 0-3 failed linked (failed)" == process.lines()[1]


def test_a_nested_instance_whose_parent_is_not_heard_has_its_own_trace() -> None:
    process = Process()
    child = made(process, id="o-1/b", saga="delivery")
    child.tell(started("x"))
    child.tell(e.InstanceFailed(), state="failed")
    assert process.tracing.context_of(child.instance).trace_id == process.span("saga delivery").context.trace_id


# Always ---------------------------------------------------------------------------------------------------------------

ANSWERS = st.lists(st.sampled_from(["ok", "fail", "lost", "set", "die before", "die after"]), max_size=4)


def drive(bench: Bench, service: Service) -> list[Process]:
    """Run, recover after each death, and abandon what waits: each a process of its own."""
    processes: list[Process] = []

    def as_process(ask: Callable[[], Any]) -> None:
        processes.append(listening(bench))
        bench.store = mortal(alive, "")
        service.die = bench.store.die
        try:
            ask()
        except Crash:
            processes[-1].died()
        finally:
            bench.store = alive

    alive = bench.store
    as_process(bench.run)
    for _ in range(40):
        if bench.get().is_at_rest:
            break
        as_process(lambda: bench.ask("recover"))
        if bench.get().blocked:
            as_process(lambda: bench.ask("abandon", "o-1", reason="enough"))
        bench.clock.advance(60)
    return processes


@settings(max_examples=60, deadline=None)
@given(script=st.fixed_dictionaries({}, optional=dict.fromkeys(("a", "b", "undo a", "undo b"), ANSWERS)))
@example(script={"b": ["fail"], "undo a": ["die after", "die after"]})
@example(script={"a": ["die before"] * 4 + ["lost"], "undo a": ["die before"]})
def test_every_call_is_told_once_whoever_dies(script: Script) -> None:
    """Any sequence of outcomes and deaths: one span for each call that the history has, all in the instance's trace."""
    retried = {"retry": STEADY, "compensation_retry": STEADY}
    steps = {"a": {**retried, "in_doubt": ("retry", "compensate")}, "b": {**retried, "in_doubt": "compensate"}}
    bench, service, _ = bench_of(open_store("memory://"), "sync", script, **steps)
    processes = drive(bench, service)
    instance = bench.get()
    assert instance.is_at_rest
    spans = [span for process in processes for span in process.spans]
    assert Counter(
        f"order.{event.step} {'attempt' if isinstance(event, e.StepStarted) else 'compensation'} {event.attempt}"
        for event in instance.history
        if isinstance(event, e.StepStarted | e.CompensationStarted)
    ) == Counter(span.name for span in spans if span.name != "saga order")
    assert {Tracing().context_of(instance).trace_id} == {span.context.trace_id for span in spans}
    assert {"left"} & {(span.attributes or {}).get("saga.outcome") for span in spans} == set()
