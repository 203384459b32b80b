"""Law 16: backoffs by the clock, timeouts in real time, and what a call may still give within its grace."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sagafsm import Context, OutcomeUnknown, Retry, Saga
from sagafsm.events import CancelRequested, CompensationStarted, LateResult, StepFailed, StepInDoubt, StepStarted
from sagafsm.instance import SagaInstance
from sagafsm.store import Store
from support.bench import Bench, lines
from support.clock import NOON
from support.services import Service, saga_of

SHORT = timedelta(milliseconds=40)
LONGER = timedelta(milliseconds=200)
NEVER = 20.0


def until_in_doubt(store: Store) -> None:
    """Return within the grace: as soon as the timeout is recorded."""
    while not isinstance(store.history("o-1")[-1], StepInDoubt):
        threading.Event().wait(0.002)


def pauses(instance: SagaInstance) -> list[float]:
    return [
        (event.retry_at - event.at).total_seconds()
        for event in instance.history
        if isinstance(event, StepFailed) and event.retry_at is not None
    ]


def test_backoffs_grow_to_their_limit(way: str, memory: Store) -> None:
    """Law 16: the n-th pause is backoff * factor**(n-1), at most max_backoff; it is slept, and recorded."""
    retry = Retry(5, backoff=timedelta(seconds=2), factor=3, max_backoff=timedelta(seconds=10), jitter=False)
    service = Service(script={"a": ["fail"] * 4})
    bench = Bench(memory, saga_of(service, a={"retry": retry}), way)
    instance = bench.run()
    assert [2.0, 6.0, 10.0, 10.0] == pauses(instance)
    assert 28.0 == bench.clock.seconds
    assert "completed" == instance.state
    assert ["a 1", "a 2", "a 3", "a 4", "a 5"] == service.calls


def test_jitter_is_drawn_by_the_driver_and_recorded(way: str, memory: Store) -> None:
    """Law 16: the pause lies between zero and the full backoff, and recovery finds it recorded."""
    retry = Retry(6, backoff=timedelta(seconds=10), factor=1)
    bench = Bench(memory, saga_of(Service(script={"a": ["fail"] * 5}), a={"retry": retry}), way)
    found = pauses(bench.run())
    assert all(0 <= pause <= 10 for pause in found)
    assert 5 == len(set(found))
    assert sum(found) == pytest.approx(bench.clock.seconds)


def test_only_what_is_named_is_retried(way: str, memory: Store) -> None:
    """`Retry(on=...)`: other exceptions end the attempts at once."""
    service = Service(script={"a": ["fail"]})
    bench = Bench(memory, saga_of(service, a={"retry": Retry(3, on=(ValueError,))}), way)
    assert "failed" == bench.run().state
    assert ["a 1"] == service.calls


def join_calls() -> None:
    """Wait for the other calls that run on worker threads."""
    for thread in threading.enumerate():
        if thread.name == "sagafsm-call" and thread is not threading.current_thread():
            thread.join()


# Timeouts -------------------------------------------------------------------------------------------------------------


class Slow:
    """Actions that wait for each other, in real time."""

    def __init__(self, way: str) -> None:
        self.is_async = way == "async"
        self.ended = threading.Event()
        self.calls: list[str] = []

    def action(self, seconds: float, then: Callable[[], Any] = lambda: "late") -> Callable[..., Any]:
        """One that takes that long at its first call, and no time later; async it ends the sooner when cancelled."""

        def act(ctx: Context) -> Any:
            self.calls.append(f"a {ctx.attempt}")
            if ctx.attempt > 1:
                return "second"
            self.ended.wait(seconds)
            return then()

        async def act_async(ctx: Context) -> Any:
            self.calls.append(f"a {ctx.attempt}")
            if ctx.attempt > 1:
                return "second"
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                if then() != "late":
                    return then()
                raise
            return then()

        return act_async if self.is_async else act


def timed(
    store: Store, way: str, seconds: float, then: Any = lambda: "late", timeout: timedelta = SHORT, **options: Any
) -> tuple[Bench, Slow]:
    slow = Slow(way)
    saga = Saga("order")

    def undo(result: Any, ctx: Context) -> None:
        slow.calls.append(f"undo a of {result}{' in doubt' if ctx.in_doubt else ''}")

    saga.add_step("a", slow.action(seconds, then), undo, timeout=timeout, **options)
    saga.add_step("b", lambda a: slow.calls.append(f"b after {a}"))
    return Bench(store, saga, way), slow


def test_an_action_in_time_is_as_any_other(way: str, memory: Store) -> None:
    """Law 16: a timeout that is not reached changes nothing."""
    bench, slow = timed(memory, way, 0)
    assert "completed" == bench.run().state
    assert ["a 1", "b after late"] == slow.calls


def test_at_the_timeout_the_step_is_in_doubt_then_asks(way: str, memory: Store) -> None:
    """Laws 2 and 16: timed out: in doubt, durably, before its grace is over; then as any doubt."""
    bench, slow = timed(memory, way, NEVER)
    instance = bench.run()
    slow.ended.set()
    assert ["StepStarted a 1", "StepInDoubt a 1 timeout", "InstanceBlocked a in_doubt"] == lines(instance.history)[1:]
    assert "AttemptTimedOut: no answer within 0.04 s" == str(instance.error)
    assert ["a 1"] == slow.calls


def test_an_outcome_within_the_grace_settles_it(memory: Store) -> None:
    """Laws 3 and 16: what the attempt itself still gives within one more `timeout` settles the doubt."""
    bench, slow = timed(memory, "sync", 0, lambda: until_in_doubt(memory) or "late", LONGER)
    instance = bench.run()
    assert ["StepInDoubt a 1 timeout", "StepSucceeded a 1", "StepStarted b 1"] == lines(instance.history)[2:5]
    assert "completed" == instance.state
    assert () == instance.errors
    assert ["a 1", "b after late"] == slow.calls


def test_a_refusal_within_the_grace_settles_it_too(memory: Store) -> None:
    """Law 16: an outcome in that time settles it, also that it failed."""
    bench, slow = timed(memory, "sync", 0, lambda: until_in_doubt(memory) or 1 / 0, LONGER)
    instance = bench.run()
    assert ["StepInDoubt a 1 timeout", "StepFailed a 1", "CauseRecorded failure a", "InstanceFailed"] == lines(
        instance.history
    )[2:]
    assert ["a 1"] == slow.calls


def test_an_async_action_is_cancelled_and_awaited(memory: Store) -> None:
    """Law 16: an async action is cancelled and awaited: what it still returns then settles it."""
    bench, slow = timed(memory, "async", NEVER, lambda: "tidied up")
    instance = bench.run()
    assert ["StepInDoubt a 1 timeout", "StepSucceeded a 1", "StepStarted b 1"] == lines(instance.history)[2:5]
    assert ["a 1", "b after tidied up"] == slow.calls


def test_an_async_action_times_out_under_the_sync_api_too(memory: Store) -> None:
    """Law 16: the same on the background loop."""
    slow = Slow("async")
    saga = Saga("order")
    saga.add_step("a", slow.action(NEVER), timeout=SHORT)
    bench = Bench(memory, saga, "sync")
    assert ["StepInDoubt a 1 timeout", "InstanceBlocked a in_doubt"] == lines(bench.run().history)[2:]


def test_retry_waits_for_the_thread_to_end(memory: Store) -> None:
    """Law 16: probe, retry and compensation wait for the thread to end: two calls of a step never overlap."""
    running: list[int] = []
    saga = Saga("order")

    def act(ctx: Context) -> int:
        running.append(ctx.attempt)
        assert 1 == len(running)
        try:
            if ctx.attempt == 1:
                until_in_doubt(memory)
                raise OutcomeUnknown("cut off")
            return ctx.attempt
        finally:
            running.remove(ctx.attempt)

    saga.add_step("a", act, timeout=LONGER, in_doubt="retry", retry=Retry(2, backoff=timedelta(0)))
    instance = Bench(memory, saga, "sync").run()
    assert {"a": 2} == instance.results
    assert ["StepInDoubt a 1 timeout", "StepInDoubt a 1 outcome_unknown", "StepStarted a 2"] == lines(instance.history)[
        2:5
    ]


def test_a_timed_out_step_is_compensated_by_policy(way: str, memory: Store) -> None:
    """Laws 3 and 16: "compensate" undoes it once the grace is over, with result=None."""
    bench, slow = timed(memory, way, NEVER, in_doubt="compensate")
    instance = bench.run()
    slow.ended.set()
    assert ["a 1", "undo a of None in doubt"] == slow.calls
    assert instance.compensated


def test_a_later_outcome_is_recorded_only(memory: Store) -> None:
    """Law 16: after the grace it is recorded only (`LateResult`) while this driver still owns the instance."""
    late = threading.Event()
    saga = Saga("order")

    def act(ctx: Context) -> str:
        if ctx.attempt == 1:
            late.wait(NEVER)
            return "late"
        late.set()
        join_calls()
        return "second"

    saga.add_step("a", act, timeout=timedelta(milliseconds=30), in_doubt="retry", retry=Retry(2, backoff=timedelta(0)))
    saga.add_step("b", lambda: None)
    instance = Bench(memory, saga, "sync").run()
    found = [event for event in instance.history if isinstance(event, LateResult)]
    assert [("a", 1, '"late"')] == [(event.step, event.attempt, event.result_json) for event in found]
    assert {"a": "second", "b": None} == instance.results


def test_an_outcome_after_the_driver_has_left_is_logged(memory: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Law 16: a later one is logged when this driver does not own the instance any more; nothing is written."""
    bench, slow = timed(memory, "sync", NEVER)
    with caplog.at_level(logging.WARNING, "sagafsm"):
        instance = bench.run()
        slow.ended.set()
        join_calls()
    assert [
        "instance 'o-1' event 3: StepInDoubt a",
        "instance 'o-1' event 4: InstanceBlocked a",
        "attempt 1 of step 'a' of instance 'o-1' ended after its driver had left; its outcome is not recorded",
    ] == [record.getMessage() for record in caplog.records]
    assert instance.history == memory.history("o-1")


def test_a_compensation_times_out_and_is_retried(way: str, memory: Store) -> None:
    """Laws 5 and 16: a compensation that times out is called again; it is never in doubt, only not yet undone."""
    slow = Slow(way)
    saga = Saga("order")
    twice = Retry(2, backoff=timedelta(0))
    saga.add_step("a", lambda: 1, slow.action(NEVER), compensation_timeout=SHORT, compensation_retry=twice)
    saga.add_step("b", lambda: 1 / 0)
    instance = Bench(memory, saga, way).run()
    slow.ended.set()
    assert ["CompensationFailed a 1 again", "CompensationStarted a 2", "CompensationSucceeded a 2"] == [
        told for told in lines(instance.history) if told.startswith("Comp")
    ][1:]
    assert instance.compensated


def test_the_context_tells_when_the_outcome_comes_too_late(memory: Store) -> None:
    """Law 16: `ctx.deadline` is the earlier of the saga's deadline and the attempt's timeout."""
    seen: list[Any] = []
    saga = Saga("order", deadline=timedelta(seconds=60))
    saga.add_step("a", lambda ctx: seen.append(ctx.deadline), timeout=timedelta(seconds=30))
    saga.add_step("b", lambda ctx: seen.append(ctx.deadline), timeout=timedelta(seconds=90))
    saga.add_step("c", lambda ctx: seen.append(ctx.deadline))
    bench = Bench(memory, saga, "sync")
    bench.run()
    assert [NOON + timedelta(seconds=s) for s in (30, 60, 60)] == seen
    plain = Saga("plain")
    plain.add_step("a", lambda ctx: seen.append(ctx.deadline))
    Bench(memory, plain, "sync").run(id="o-2")
    assert seen[-1] is None


def test_a_cancel_during_the_grace_goes_back(memory: Store) -> None:
    """Laws 6 and 10: a cancel that comes while a timed-out call may still answer: its answer counts, then backward."""

    def late() -> str:
        until_in_doubt(memory)
        memory.post("o-1", CancelRequested(request_id="r-1", by="me", reason="no"))
        return "late"

    bench, _ = timed(memory, "sync", 0, late, LONGER)
    instance = bench.run()
    assert instance.compensated
    assert not [e for e in instance.history if isinstance(e, StepStarted) and e.step == "b"]
    assert 1 == len([e for e in instance.history if isinstance(e, CompensationStarted)])
