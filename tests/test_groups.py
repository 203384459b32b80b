"""Law 8: the members of a group run at once, in one state; a failure or a doubt holds what has not begun; they are
undone one at a time in reverse order of start.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sagafsm import AsyncOrchestrator, IllegalTransition, Retry, Saga
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.messages import message_of
from support.mortality import die
from support.services import STEADY, Service, saga_of
from support.stage import PATIENCE, Meeting, Stage
from support.stores import CountingStore

STARTS = ["InstanceCreated", "StepStarted a 1", "StepStarted b 1", "StepStarted c 1"]
SHORT, LONG = timedelta(seconds=0.1), timedelta(seconds=0.3)
SOON = Retry(3, backoff=timedelta(milliseconds=20), factor=1, jitter=False)


def g(after: str | Callable[[], Any] | None = None, **options: Any) -> dict[str, Any]:
    """The options of a member, which goes on only after an event."""
    return {"group": "g", "after": after, **options}


def bench_of(
    store: Any, way: str, script: dict[str, list[Any]] | None = None, *, limit: int | None = None, **steps: Any
) -> tuple[Bench, Service]:
    """A bench for the order of these steps; at most `limit` of group `g` run at once."""
    service, stage = Service(script=script or {}), Stage()
    for options in steps.values():
        if isinstance(options.get("after"), str):
            options["after"] = stage.once(options["after"])
    saga = saga_of(service, is_async=is_async(way), **steps)
    if limit is not None:
        saga.group("g", max_concurrency=limit)
    return Bench(store, saga, way, options={"on_event": stage.told}), service


# Forward --------------------------------------------------------------------------------------------------------------


def test_members_run_at_once(way: str, store: Store) -> None:
    """Every member is inside its action at the same moment; the group is one state, with a result for each member."""
    meeting, counting = Meeting(3), CountingStore(store)
    bench, _ = bench_of(counting, way, a=g(meeting), b=g(meeting), c=g(meeting), d={})
    instance = bench.run()
    assert "completed" == instance.state
    assert 3 == meeting.most
    assert {"a": "a!", "b": "b!", "c": "c!", "d": "d!"} == instance.results
    assert STARTS == lines(instance.history)[:4]
    assert ("InstanceCreated", "StepStarted a", "StepStarted b", "StepStarted c") == counting.batches[0]
    # Creation and starts; three outcomes, the last of them with the start of d; the outcome of d and the end.
    assert 5 == counting.commits
    states = ["pending", "running:g", None, None, None, None, "running:d", None, None, "completed"]
    assert states == [event.state for event in instance.history]


def test_a_group_begins_in_the_commit_that_leads_to_it(way: str, store: Store) -> None:
    """The first members start in one commit, in order of definition, with the outcome that leads there."""
    counting = CountingStore(store)
    bench, _ = bench_of(counting, way, z={}, b=g(), a=g())
    assert "completed" == bench.run().state
    assert ("StepSucceeded z", "StepStarted b", "StepStarted a") == counting.batches[1]


def test_outcomes_are_recorded_as_they_are_observed(way: str, store: Store) -> None:
    """Members end in any order, and each outcome is a commit of its own."""
    counting = CountingStore(store)
    bench, _ = bench_of(counting, way, a=g("StepSucceeded b 1"), b=g("StepSucceeded c 1"), c=g())
    ends = ["StepSucceeded c 1", "StepSucceeded b 1", "StepSucceeded a 1", "InstanceCompleted"]
    assert [*STARTS, *ends] == lines(bench.run().history)
    assert 4 == counting.commits


def test_a_limit_queues_members_in_order(way: str, memory: Store) -> None:
    """`max_concurrency`: so many run at once; the others start in order of definition, with the outcomes before."""
    counting, meeting = CountingStore(memory), Meeting(2)
    bench, _ = bench_of(
        counting, way, a=g(meeting), b=g(meeting), c=g("StepSucceeded b 1"), d=g("StepSucceeded c 1"), limit=2
    )
    instance = bench.run()
    assert "completed" == instance.state
    assert 2 == meeting.most
    assert ("InstanceCreated", "StepStarted a", "StepStarted b") == counting.batches[0]
    starts = [step for step in lines(instance.history) if step.startswith("StepStarted")]
    assert ["StepStarted a 1", "StepStarted b 1", "StepStarted c 1", "StepStarted d 1"] == starts
    assert "StepStarted c" == counting.batches[1][-1]
    assert "StepStarted d" == counting.batches[2][-1]
    assert ["StepSucceeded b 1", "StepSucceeded c 1"] == [
        line for line in lines(instance.history) if line in ("StepSucceeded b 1", "StepSucceeded c 1")
    ]


def test_a_limit_of_one_is_one_after_the_other(way: str, store: Store) -> None:
    """With a limit of 1 the members are like steps, in one state."""
    bench, service = bench_of(store, way, {"c": ["fail"]}, a=g(), b=g(), c=g(), limit=1)
    instance = bench.run()
    assert ["a 1", "b 1", "c 1", "undo b 1 of b!", "undo a 1 of a!"] == service.calls
    assert {"pending", "running:g", "compensating:g", "failed", None} == {event.state for event in instance.history}


def test_a_member_is_not_given_what_runs_beside_it() -> None:
    """A step behind the group is given the results of its members."""
    saga = Saga("order")
    saga.add_step("a", lambda: 1, group="g")
    saga.add_step("b", lambda: 2, group="g")
    saga.add_step("both", lambda a, b: a + b)
    assert {"a": 1, "b": 2, "both": 3} == saga.run(None).results
    saga.orchestrator.close()


# Failures -------------------------------------------------------------------------------------------------------------


def test_the_first_observed_failure_is_the_cause(way: str, store: Store) -> None:
    """Running members are awaited, whatever they give; the first failure is the cause, the others stand beside it."""
    script = {"a": ["permanent"], "b": ["fail"]}
    bench, service = bench_of(store, way, script, z={}, a=g("CauseRecorded failure b"), b=g(), c=g("StepFailed a 1"))
    instance = bench.run()
    assert [
        "StepFailed b 1",
        "CauseRecorded failure b",
        "StepFailed a 1",
        "StepSucceeded c 1",
        "CompensationStarted c 1",
        "CompensationSucceeded c 1",
        "CompensationStarted z 1",
        "CompensationSucceeded z 1",
        "InstanceFailed",
    ] == lines(instance.history)[6:]
    assert ("failure", "b") == (instance.cause.kind, instance.cause.step)
    assert ["Refused: refused", "PermanentFailure: never"] == [str(error) for error in instance.errors]
    assert "Refused: refused" == str(instance.error)
    assert ["undo c 1 of c!", "undo z 1 of z!"] == service.calls[-2:]
    assert instance.compensated


def test_after_a_failure_nothing_new_starts(way: str, store: Store) -> None:
    """Queued members never start, nor is a member called again, once a failure is observed."""
    script = {"a": ["fail"], "b": ["fail"]}
    bench, service = bench_of(
        store, way, script, a=g(), b=g("CauseRecorded failure a", retry=STEADY), c=g(), d=g(), limit=2
    )
    instance = bench.run()
    assert ["a 1", "b 1"] == sorted(service.calls)
    assert ["StepFailed a 1", "CauseRecorded failure a", "StepFailed b 1", "InstanceFailed"] == lines(instance.history)[
        3:
    ]
    assert instance.compensated
    assert ["pending", "pending"] == [instance.steps[name].status for name in ("c", "d")]


def test_members_are_undone_in_reverse_order_of_start(way: str, store: Store) -> None:
    """One at a time, in reverse order of start, whatever the order in which they ended; the state is the group's."""
    bench, service = bench_of(
        store, way, {"d": ["fail"]}, a=g("StepSucceeded c 1"), b=g("StepSucceeded a 1"), c=g(), d={}
    )
    instance = bench.run()
    undone = [f"{kind} {name} 1" for name in "cba" for kind in ("CompensationStarted", "CompensationSucceeded")]
    history = lines(instance.history)
    assert [*undone, "InstanceFailed"] == history[history.index("CauseRecorded failure d") + 1 :]
    assert ["undo c 1 of c!", "undo b 1 of b!", "undo a 1 of a!"] == service.calls[-3:]
    states = [event.state for event in instance.history if event.state]
    assert ["pending", "running:g", "running:d", "compensating:g", "failed"] == states


def test_the_order_of_start_is_that_of_first_starts(way: str, memory: Store) -> None:
    """A member whose `when` is asked first starts behind one that needs none; so it is undone before it."""
    bench, service = bench_of(memory, way, {"d": ["fail"]}, a=g(when=lambda: True), b=g("StepSucceeded a 1"), d={})
    instance = bench.run()
    assert ("b", "a", "d") == instance.started
    assert ["undo a 1 of a!", "undo b 1 of b!"] == service.calls[-2:]


@pytest.mark.parametrize("undo", ["fail", "permanent"])
def test_a_failed_undo_blocks_before_the_next(undo: str, way: str, memory: Store) -> None:
    """Undoing is strictly one at a time: while one blocks, or waits for its retry, the others wait."""
    script = {"d": ["fail"], "undo b": [undo, undo, undo]}
    bench, service = bench_of(memory, way, script, a=g(), b=g(compensation_retry=Retry(1)), d={})
    instance = bench.run()
    assert [("b", "compensation_failed")] == [block[:2] for block in instance.blocked]
    assert "undo b 1 of b!" == service.calls[-1]
    instance = bench.ask("skip", "o-1", reason="leave it")
    assert "undo a 1 of a!" == service.calls[-1]
    assert [("b", "skipped", "b!")] == list(instance.residue)


# Doubts ---------------------------------------------------------------------------------------------------------------


def test_doubts_are_settled_one_at_a_time_in_order_of_start(way: str, store: Store) -> None:
    """Three members in doubt: their probes are asked one after the other, in order of start."""
    bench, service = bench_of(store, way, a=g(probe=True), b=g(probe=True), c=g(probe=True))
    die(bench, service, "after 1", "run", bench.saga, "mug", id="o-1")
    service.script = {f"probe {name}": ["done"] for name in "abc"}
    assert "completed" == bench.ask("resume", "o-1").state
    assert ["probe a 1 in doubt", "probe b 1 in doubt", "probe c 1 in doubt"] == service.calls
    assert [
        "StepInDoubt a 1 process_died",
        "StepInDoubt b 1 process_died",
        "StepInDoubt c 1 process_died",
        "StepSucceeded a 1 by probe",
        "StepSucceeded b 1 by probe",
        "StepSucceeded c 1 by probe",
        "InstanceCompleted",
    ] == lines(store.history("o-1"))[4:]


def test_while_a_member_is_in_doubt_nothing_new_starts(way: str, store: Store) -> None:
    """A queued member waits until the doubt is settled, however long that takes."""
    bench, service = bench_of(store, way, {"a": ["lost"]}, a=g(), b=g(), c=g(), limit=1)
    assert [("a", "in_doubt")] == [block[:2] for block in bench.run().blocked]
    assert ["a 1"] == service.calls
    instance = bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert "completed" == instance.state
    assert ["a 1", "b 1", "c 1"] == service.calls


def test_a_doubt_that_waits_for_its_retry_holds_the_others(way: str, memory: Store) -> None:
    """In doubt and asleep is in doubt: the queue goes on after the retry has told."""
    bench, service = bench_of(memory, way, {"a": ["lost"]}, a=g(retry=STEADY, in_doubt="retry"), b=g(), limit=1)
    assert "completed" == bench.run().state
    assert ["a 1", "a 2 in doubt", "b 1"] == service.calls
    assert 10.0 == bench.clock.seconds


def test_a_failure_that_waits_for_its_retry_holds_nobody(way: str, memory: Store) -> None:
    """A member that failed for now leaves its place to the next in the queue."""
    bench, service = bench_of(memory, way, {"a": ["fail"]}, a=g(retry=STEADY), b=g(), limit=1)
    assert "completed" == bench.run().state
    assert ["a 1", "b 1", "a 2"] == service.calls
    assert 10.0 == bench.clock.seconds


def test_a_group_blocks_when_nothing_runs_any_more(way: str, store: Store) -> None:
    """A member is in doubt: those that run are awaited, and those that wait for a retry have it, before it blocks."""
    script = {"a": ["lost"], "b": ["fail", "fail"]}
    bench, service = bench_of(
        store,
        way,
        script,
        a=g(),
        b=g("StepInDoubt a 1 outcome_unknown", retry=STEADY),
        c=g("StepFailed b 1 again"),
    )
    instance = bench.run()
    assert [
        "StepInDoubt a 1 outcome_unknown",
        "StepFailed b 1 again",
        "StepSucceeded c 1",
        "StepStarted b 2",
        "StepFailed b 2 again",
        "StepStarted b 3",
        "StepSucceeded b 3",
        "InstanceBlocked a in_doubt",
    ] == lines(instance.history)[4:]
    assert ("running:g", None) == (instance.state, instance.owner)
    assert 20.0 == bench.clock.seconds
    assert "completed" == bench.ask("resolve", "o-1", result="seen", reason="looked").state
    assert ["b 2", "b 3"] == service.calls[3:]


def test_several_blocked_members_need_a_step(way: str, store: Store) -> None:
    """All blocks come in one commit, in order of start; a decision names its step, and the others stay blocked."""
    counting = CountingStore(store)
    script = {"a": ["lost"], "b": ["lost"]}
    bench, _ = bench_of(counting, way, script, a=g(), b=g("StepInDoubt a 1 outcome_unknown"), c={})
    instance = bench.run()
    assert [("a", "in_doubt"), ("b", "in_doubt")] == [block[:2] for block in instance.blocked]
    assert ("StepInDoubt b", "InstanceBlocked a", "InstanceBlocked b") == counting.batches[-1]
    assert (
        "instance 'o-1' is running:g, which does not allow 'resolve(result) without step=' "
        "(allowed: resolve(result) with step='a', resolve(result) with step='b')"
    ) == message_of(IllegalTransition, lambda: bench.ask("resolve", "o-1", result="seen", reason="looked"))
    assert (
        "instance 'o-1' is running:g, which does not allow 'retry of step c' "
        "(allowed: resume, cancel, retry, resolve(result), resolve(not_done), compensate, abandon)"
    ) == message_of(IllegalTransition, lambda: bench.ask("retry", "o-1", step="c"))

    instance = bench.ask("resolve", "o-1", step="b", result="seen", reason="looked")
    assert [("a", "in_doubt")] == [block[:2] for block in instance.blocked]
    assert "completed" == bench.ask("retry", "o-1").state


def test_a_blocked_member_decided_back_is_undone_in_its_place(way: str, store: Store) -> None:
    """`compensate` of one of two: the cause; the other is asked again, as a cause allows; then both go back."""
    script = {"a": ["lost"], "b": ["lost"]}
    bench, service = bench_of(store, way, script, a=g(), b=g("StepInDoubt a 1 outcome_unknown"))
    bench.run()
    instance = bench.ask("compensate", "o-1", step="a", reason="no")
    assert [("b", ("resolve(result)", "resolve(not_done)", "compensate", "skip", "abandon"))] == [
        (block.step, block.decisions) for block in instance.blocked
    ]
    instance = bench.ask("resolve", "o-1", not_done=True, reason="looked")
    assert ["undo a 1 of None in doubt"] == service.calls[2:]
    assert instance.compensated


def test_once_a_cause_is_recorded_doubts_are_settled_without_the_action(way: str, store: Store) -> None:
    """Law 6 in a group: no retry; the probe, then the step's own compensation where that is its policy, else asked."""
    script = {"a": ["lost"], "b": ["fail"], "c": ["lost"]}
    steps = {
        "a": g(in_doubt="retry", retry=STEADY),
        "b": g("StepInDoubt a 1 outcome_unknown"),
        "c": g("CauseRecorded failure b", in_doubt=("retry", "compensate"), retry=STEADY),
    }
    bench, service = bench_of(store, way, script, **steps)
    instance = bench.run()
    assert [("a", "in_doubt")] == [block[:2] for block in instance.blocked]
    assert ["a 1", "b 1", "c 1"] == sorted(service.calls)
    assert 0.0 == bench.clock.seconds
    instance = bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert ["undo c 1 of None in doubt", "undo a 1 of seen"] == service.calls[3:]
    assert instance.compensated


# Requests -------------------------------------------------------------------------------------------------------------


def test_advance_does_one_member_at_a_time(way: str, store: Store) -> None:
    """`advance` in a group: exactly one command, so that a notebook can walk through it."""
    bench, service = bench_of(store, way, a=g(), b=g(), c=g())
    bench.ask("start", bench.saga, "mug", id="o-1")
    seen = []
    while not bench.get().is_at_rest:
        bench.ask("advance", "o-1")
        seen.append(list(service.calls))
    assert [["a 1"], ["a 1", "b 1"], ["a 1", "b 1", "c 1"]] == seen


# Time -----------------------------------------------------------------------------------------------------------------


def test_a_timeout_in_a_group_is_its_members_alone(way: str, memory: Store) -> None:
    """Law 16: a member that outlives its timeout is in doubt; what it still gives within its grace settles that."""
    asked = is_async(way)
    script: dict[str, list[Any]] = {}
    bench, service = bench_of(memory, way, script, a=g(), b=g())
    release = threading.Event()

    async def slow_async() -> str:
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            return "late"
        return "never"

    def slow() -> str:
        release.wait(PATIENCE)
        return "late"

    saga = bench.saga = Saga("order")
    saga.add_step("a", slow_async if asked else slow, service.undo, group="g", timeout=LONG)
    saga.add_step("b", lambda: "b!", service.undo, group="g")
    told = bench.options["on_event"]

    def listen(instance: Any, event: Any) -> None:
        told(instance, event)
        if type(event).__name__ == "StepInDoubt":
            release.set()

    bench.options["on_event"] = listen
    instance = bench.run()
    assert ["StepSucceeded b 1", "StepInDoubt a 1 timeout", "StepSucceeded a 1", "InstanceCompleted"] == lines(
        instance.history
    )[3:]
    assert {"a": "late", "b": "b!"} == instance.results
    assert () == instance.errors


def test_a_member_that_outlives_its_grace_is_in_doubt(memory: Store) -> None:
    """Law 16: no answer within timeout and grace: the doubt stays; others end meanwhile; the late result is recorded."""
    release, service = threading.Event(), Service()
    saga = Saga("order")

    def slow(ctx: Any) -> str:
        release.wait(PATIENCE)
        return "late"

    def other() -> str:
        release.set()
        return "c!"

    saga.add_step("a", slow, service.undo, group="g", timeout=SHORT, in_doubt="compensate")
    saga.add_step("b", lambda: "b!", lambda result: other(), group="g")
    bench = Bench(memory, saga)
    instance = bench.run()
    assert [
        "StepSucceeded b 1",
        "StepInDoubt a 1 timeout",
        "CauseRecorded doubt a",
        "CompensationStarted b 1",
    ] == lines(instance.history)[3:7]
    assert ["undo a 1 of None in doubt"] == service.calls
    assert instance.compensated


def test_a_retry_in_a_group_waits_for_nobody(way: str, memory: Store) -> None:
    """A member is called again when its backoff has passed, while another still runs."""
    from sagafsm.clock import SystemClock

    bench, service = bench_of(memory, way, {"a": ["fail", "fail"]}, a=g(retry=SOON), b=g("StepSucceeded a 3"))
    bench.clock = SystemClock()  # type: ignore[assignment] # what runs beside it takes real time
    instance = bench.run()
    assert [
        "StepFailed a 1 again",
        "StepStarted a 2",
        "StepFailed a 2 again",
        "StepStarted a 3",
        "StepSucceeded a 3",
        "StepSucceeded b 1",
        "InstanceCompleted",
    ] == lines(instance.history)[3:]
    assert ["a 1", "a 2", "a 3", "b 1"] == service.calls


# Interrupts -----------------------------------------------------------------------------------------------------------


class Strange(BaseException):
    """What is no `Exception`."""


RESTS = "instance 'o-1' rests in 'running:g'; resume('o-1') or recover() goes on"


@pytest.mark.parametrize("error", [Strange, asyncio.CancelledError])
def test_what_is_no_exception_ends_the_group(error: type[BaseException], way: str, store: Store) -> None:
    """Law 10: it propagates with a note; nothing of the group runs on; the instance is free, and resumes."""

    def interrupt() -> None:
        raise error

    inside: set[str] = set()
    saga = Saga("order")
    both = Meeting(2)

    def a() -> None:
        both()
        interrupt()

    def b() -> str:
        inside.add("b")
        both()
        try:
            for _ in range(int(PATIENCE * 100)):
                threading.Event().wait(0.01)
        finally:
            inside.discard("b")
        return "b!"

    async def a_async() -> None:
        await asyncio.to_thread(both)
        interrupt()

    async def b_async() -> str:
        inside.add("b")
        try:
            await asyncio.to_thread(both)
            await asyncio.sleep(PATIENCE)
        finally:
            inside.discard("b")
        return "b!"

    if way == "async with sync actions":
        pytest.skip("a thread beside a loop is awaited, not interrupted: see the test below")
    asked = is_async(way)
    saga.add_step("a", a_async if asked else a, lambda: None, group="g")
    saga.add_step("b", b_async if asked else b, lambda: None, group="g")
    bench = Bench(store, saga, way)
    with pytest.raises(error) as caught:
        bench.run()
    assert set() == inside
    assert [RESTS] == caught.value.__notes__
    instance = bench.get()
    assert ["InstanceCreated", "StepStarted a 1", "StepStarted b 1"] == lines(instance.history)
    assert None is instance.owner
    instance = bench.ask("resume", "o-1")
    assert [("a", "in_doubt"), ("b", "in_doubt")] == [block[:2] for block in instance.blocked]


def test_a_thread_beside_a_loop_is_awaited(memory: Store) -> None:
    """Law 10: a sync member under the async driver cannot be interrupted; it has ended before the error propagates."""
    ended: list[str] = []
    saga, both = Saga("order"), Meeting(2)

    def a() -> None:
        both()
        raise Strange

    def b() -> str:
        both()
        threading.Event().wait(0.05)
        ended.append("b")
        return "b!"

    saga.add_step("a", a, group="g")
    saga.add_step("b", b, group="g")
    with pytest.raises(Strange):
        Bench(memory, saga, "async").run()
    assert ["b"] == ended
    assert ["InstanceCreated", "StepStarted a 1", "StepStarted b 1"] == lines(memory.history("o-1"))


def test_ctrl_c_reaches_every_member(memory: Store) -> None:
    """Law 10: Ctrl-C on the driver's thread ends all members before it propagates; the instance resumes."""
    got: list[str] = []
    saga, both = Saga("order"), Meeting(2)

    def member(name: str) -> Callable[[], str]:
        def run() -> str:
            try:
                both()
                if name == "a":
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                for _ in range(int(PATIENCE * 100)):
                    threading.Event().wait(0.01)
            except BaseException as error:
                got.append(f"{name} {type(error).__name__}")
                raise
            return f"{name}!"

        return run

    saga.add_step("a", member("a"), group="g", in_doubt="retry")
    saga.add_step("b", member("b"), group="g", in_doubt="retry")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            Bench(memory, saga).run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ["a KeyboardInterrupt", "b KeyboardInterrupt"] == sorted(got)
    assert [RESTS] == caught.value.__notes__
    assert None is memory.load("o-1").instance.owner


def test_a_cancelled_task_ends_every_member(memory: Store) -> None:
    """Law 10: cancelling the task that drives is no cancel of the saga: its members end, and the instance resumes."""
    saga, inside, ended = Saga("order"), asyncio.Event(), []

    async def member() -> None:
        try:
            inside.set()
            await asyncio.sleep(PATIENCE)
        finally:
            await asyncio.sleep(0)
            ended.append(1)

    saga.add_step("a", member, group="g", in_doubt="retry")
    saga.add_step("b", member, group="g", in_doubt="retry")

    async def main() -> None:
        async with AsyncOrchestrator(memory, sagas=[saga]) as orchestrator:
            task = asyncio.ensure_future(orchestrator.run(saga, None, id="o-1"))
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [1, 1] == ended
            assert None is (await orchestrator.get("o-1")).owner

    asyncio.run(main())
    assert ["InstanceCreated", "StepStarted a 1", "StepStarted b 1"] == lines(memory.history("o-1"))
