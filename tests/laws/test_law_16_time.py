"""Law 16: time comes from an injectable clock, and every wait is durable (`wake_at`).

- Durable: backoffs, timeouts of `wait_for` (tests/test_waits.py), deadlines. Real time: the timeout of a call.
- At its timeout a step is in doubt, durably. Probe, retry and compensation wait for the call to end, at most for the
  grace period. The runtime cancels an async action and awaits its end.
- An answer within the grace period settles the step. A later answer is recorded only while this drive still owns the
  instance, else logged.
- The deadline counts from creation and is a cancel by the clock. `ctx.deadline` is the earlier of deadline and timeout.

Where calls run and how threads end is the business of the runtimes: tests/runtime.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import Context, OutcomeUnknown, Retry, Saga
from sagafsm.history.events import (
    CancelRequested,
    CompensationStarted,
    LateResult,
    StepFailed,
    StepInDoubt,
    StepStarted,
)
from sagafsm.history.instance import SagaInstance
from sagafsm.store import Store, open_store
from support.bench import Bench, is_async, lines
from support.clock import NOON
from support.controls import expect_breach, quick
from support.mortality import die
from support.services import STEADY, Service, add, saga_of

SHORT = timedelta(milliseconds=40)
LONGER = timedelta(milliseconds=200)
NEVER = 20.0
UNDO_A = ["CompensationStarted a 1", "CompensationSucceeded a 1", "InstanceFailed"]


# Backoffs -------------------------------------------------------------------------------------------------------------


def pauses(instance: SagaInstance) -> list[float]:
    return [
        (event.retry_at - event.at).total_seconds()
        for event in instance.history
        if isinstance(event, StepFailed) and event.retry_at is not None
    ]


def test_backoffs_grow_to_their_limit(way: str, memory: Store) -> None:
    """The n-th pause is `backoff * factor**(n-1)`, at most `max_backoff`. It is slept, and recorded."""
    retry = Retry(5, backoff=timedelta(seconds=2), factor=3, max_backoff=timedelta(seconds=10), jitter=False)
    service = Service(script={"a": ["fail"] * 4})
    bench = Bench(memory, saga_of(service, a={"retry": retry}), way)
    instance = bench.run()
    assert [2.0, 6.0, 10.0, 10.0] == pauses(instance)
    assert 28.0 == bench.clock.seconds
    assert "completed" == instance.state
    assert ["a 1", "a 2", "a 3", "a 4", "a 5"] == service.calls


def test_jitter_is_drawn_by_the_driver_and_recorded(way: str, memory: Store) -> None:
    """With jitter a pause lies between zero and the full backoff, and the event records it."""
    retry = Retry(6, backoff=timedelta(seconds=10), factor=1)
    bench = Bench(memory, saga_of(Service(script={"a": ["fail"] * 5}), a={"retry": retry}), way)
    found = pauses(bench.run())
    assert all(0 <= pause <= 10 for pause in found)
    assert 5 == len(set(found))
    assert sum(found) == pytest.approx(bench.clock.seconds)


def test_only_what_is_named_is_retried(way: str, memory: Store) -> None:
    """`Retry(on=...)`: another exception ends the attempts at once."""
    service = Service(script={"a": ["fail"]})
    bench = Bench(memory, saga_of(service, a={"retry": Retry(3, on=(ValueError,))}), way)
    assert "failed" == bench.run().state
    assert ["a 1"] == service.calls


# Deadlines ------------------------------------------------------------------------------------------------------------


def test_the_deadline_is_a_cancel_by_the_clock(way: str, memory: Store) -> None:
    """The deadline counts from creation. `ctx.deadline` tells it."""
    seen: list[Any] = []
    saga = Saga("order", deadline=timedelta(seconds=60))
    bench = Bench(memory, saga, way)

    def slow(ctx: Context) -> None:
        seen.append(ctx.deadline)
        bench.clock.advance(60)

    saga.add_step("a", slow, lambda: None)
    saga.add_step("b", lambda: None)
    instance = bench.run()
    assert [NOON + timedelta(seconds=60)] == seen
    assert instance.compensated
    reason = "deadline 2026-01-01T12:01:00+00:00 has passed"
    assert [f"CancelRequested {reason}", f"CauseRecorded cancel {reason}", "StepSucceeded a 1", *UNDO_A] == lines(
        memory.history("o-1")
    )[2:]
    assert f"cancelled by clock: {reason}" == str(instance.cause)


@pytest.mark.parametrize("sleeps", [True, False], ids=["run", "recover"])
def test_a_deadline_earlier_than_the_backoff_is_kept(sleeps: bool, way: str, memory: Store) -> None:
    """A sleeping drive and a recovery go back at the deadline, although the backoff would end later."""
    saga = Saga("order", deadline=timedelta(seconds=3.5))
    service = Service(script={"a": ["fail"]})
    bench = Bench(memory, saga, way)
    add(saga, service, "a", is_async=is_async(way), retry=STEADY)
    if sleeps:
        bench.run()
        assert 3.5 == bench.clock.seconds
    else:
        die(bench, service, "after 2", "run", saga, "mug", id="o-1")
        bench.clock.advance(3.5)
        assert ("o-1",) == bench.ask("recover").resumed
        assert [] == service.calls
    assert "failed" == bench.get().state
    assert "cancel" == bench.get().cause.kind


@pytest.mark.parametrize("state", ["waiting", "blocked"])
def test_the_deadline_wakes_a_parked_instance(state: str, way: str, memory: Store) -> None:
    """A parked instance has the deadline as its `wake_at`. Recovery goes back then, also out of a block."""
    service = Service(script={"a": ["lost"]} if state == "blocked" else {})
    saga = Saga("order", deadline=timedelta(hours=2))
    add(saga, service, "a", is_async=is_async(way))
    saga.wait_for("approval", timeout=timedelta(hours=3))
    bench = Bench(memory, saga, way)
    assert NOON + timedelta(hours=2) == bench.run().wake_at
    bench.clock.advance(7200)
    assert ("o-1",) == bench.ask("recover").resumed
    instance = bench.get()
    assert ("cancel", "clock") == (instance.cause.kind, instance.cause.by)
    assert ("failed" if state == "waiting" else "running:a") == instance.state


def test_the_context_tells_the_deadline(memory: Store) -> None:
    """`ctx.deadline` is the earlier of the deadline of the saga and the timeout of the attempt."""
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


# Timeouts -------------------------------------------------------------------------------------------------------------


def until_in_doubt(store: Store) -> None:
    """Return within the grace: as soon as the timeout is recorded."""
    while not isinstance(store.history("o-1")[-1], StepInDoubt):
        threading.Event().wait(0.002)


def join_calls() -> None:
    """Wait for the other calls that run on worker threads."""
    for thread in threading.enumerate():
        if thread.name == "sagafsm-call" and thread is not threading.current_thread():
            thread.join()


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
    """A timeout that is not reached changes nothing."""
    bench, slow = timed(memory, way, 0)
    assert "completed" == bench.run().state
    assert ["a 1", "b after late"] == slow.calls


def test_at_the_timeout_the_step_is_in_doubt_then_asks(way: str, memory: Store) -> None:
    """At its timeout the step is in doubt, durably, before its grace period is over. Then it is as any doubt."""
    bench, slow = timed(memory, way, NEVER)
    instance = bench.run()
    slow.ended.set()
    assert ["StepStarted a 1", "StepInDoubt a 1 timeout", "InstanceBlocked a in_doubt"] == lines(instance.history)[1:]
    assert "AttemptTimedOut: no answer within 0.04 s" == str(instance.error)
    assert ["a 1"] == slow.calls


def test_an_outcome_within_the_grace_settles_it(memory: Store) -> None:
    """The answer of an attempt within its grace period settles its doubt."""
    bench, slow = timed(memory, "sync", 0, lambda: until_in_doubt(memory) or "late", LONGER)
    instance = bench.run()
    assert ["StepInDoubt a 1 timeout", "StepSucceeded a 1", "StepStarted b 1"] == lines(instance.history)[2:5]
    assert "completed" == instance.state
    assert () == instance.errors
    assert ["a 1", "b after late"] == slow.calls


def test_a_refusal_within_the_grace_settles_it_too(memory: Store) -> None:
    """A failure within the grace period settles the doubt, too."""
    bench, slow = timed(memory, "sync", 0, lambda: until_in_doubt(memory) or 1 / 0, LONGER)
    instance = bench.run()
    assert ["StepInDoubt a 1 timeout", "StepFailed a 1", "CauseRecorded failure a", "InstanceFailed"] == lines(
        instance.history
    )[2:]
    assert ["a 1"] == slow.calls


def test_an_async_action_is_cancelled_and_awaited(memory: Store) -> None:
    """An async action is cancelled and awaited. Its answer then settles the doubt."""
    bench, slow = timed(memory, "async", NEVER, lambda: "tidied up")
    instance = bench.run()
    assert ["StepInDoubt a 1 timeout", "StepSucceeded a 1", "StepStarted b 1"] == lines(instance.history)[2:5]
    assert ["a 1", "b after tidied up"] == slow.calls


def test_an_async_action_times_out_under_the_sync_api_too(memory: Store) -> None:
    """The same holds on the background loop of the sync runtime."""
    slow = Slow("async")
    saga = Saga("order")
    saga.add_step("a", slow.action(NEVER), timeout=SHORT)
    bench = Bench(memory, saga, "sync")
    assert ["StepInDoubt a 1 timeout", "InstanceBlocked a in_doubt"] == lines(bench.run().history)[2:]


def test_retry_waits_for_the_thread_to_end(memory: Store) -> None:
    """A retry waits for the call to end: two calls of one step never overlap."""
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
    """`"compensate"` compensates once the grace period is over, with `result=None`."""
    bench, slow = timed(memory, way, NEVER, in_doubt="compensate")
    instance = bench.run()
    slow.ended.set()
    assert ["a 1", "undo a of None in doubt"] == slow.calls
    assert instance.compensated


def test_a_later_outcome_is_recorded_only(memory: Store) -> None:
    """An answer after the grace period is recorded only, as `LateResult`."""
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


def test_an_answer_after_the_drive_has_ended_is_logged(memory: Store, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that comes when the drive has ended is logged, and nothing is written."""
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
    """A compensation that times out is called again. It is never in doubt."""
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


def test_a_cancel_during_the_grace_goes_back(memory: Store) -> None:
    """A cancel during the grace period: the answer of the call still counts, then the instance goes back."""

    def late() -> str:
        until_in_doubt(memory)
        memory.post("o-1", CancelRequested(request_id="r-1", by="me", reason="no"))
        return "late"

    bench, _ = timed(memory, "sync", 0, late, LONGER)
    instance = bench.run()
    assert instance.compensated
    assert not [e for e in instance.history if isinstance(e, StepStarted) and e.step == "b"]
    assert 1 == len([e for e in instance.history if isinstance(e, CompensationStarted)])


# Any wait -------------------------------------------------------------------------------------------------------------

seconds = st.integers(1, 100).map(lambda n: timedelta(seconds=n))
waits: dict[str, Any] = {
    "backoff": seconds,
    "limit": seconds,
    "factor": st.sampled_from((1, 2, 3)),
    "deadline": st.none() | st.integers(1, 400).map(lambda n: timedelta(seconds=n)),
    "failures": st.integers(0, 4),
}


def check_waits(backoff: timedelta, limit: timedelta, factor: int, deadline: timedelta | None, failures: int) -> None:
    saga = Saga("order", deadline=deadline)
    retry = Retry(4, backoff=backoff, factor=factor, max_backoff=limit, jitter=False)
    service = Service(script={"a": ["fail"] * failures})
    add(saga, service, "a", retry=retry)
    with contextlib.closing(open_store("memory://")) as store:
        bench = Bench(store, saga)
        bench.ask("start", saga, "mug", id="o-1")
        due, ends = NOON, NOON + (deadline or timedelta(days=1))
        for n in range(min(failures, 3)):
            assert ("o-1",) == bench.ask("recover").resumed
            due = min(due + min(backoff * factor**n, limit), ends)
            found = store.load("o-1")
            assert (due, due, None) == (found.instance.wake_at, found.summary.wake_at, found.summary.owner)
            bench.clock.time = due - timedelta(microseconds=1)
            assert () == bench.ask("recover").resumed
            bench.clock.time = due
            if due == ends:
                break
        assert ("o-1",) == bench.ask("recover").resumed
        instance = bench.get()
    assert [] == bench.clock.slept
    assert ("failed" if due == ends or failures > 3 else "completed") == instance.state
    assert due < ends or "clock" == instance.cause.by


@quick(40)
@given(**waits)
def test_any_wait_survives_its_process(
    backoff: timedelta, limit: timedelta, factor: int, deadline: timedelta | None, failures: int
) -> None:
    """Any policy and deadline, each attempt by another process: it goes on at the recorded time and not before."""
    check_waits(backoff, limit, factor, deadline, failures)


def test_a_pause_without_its_limit_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: pauses grow without regard to `max_backoff`."""
    monkeypatch.setattr(Retry, "pause", lambda self, spent, draw: self.backoff * self.factor ** (spent - 1))
    expect_breach(check_waits, **waits)
