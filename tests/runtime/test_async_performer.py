"""The async performer: a call has its time and no more of it, and a cancel is held back only as long as it must."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from sagafsm import AsyncOrchestrator, Saga, SagaInstance
from sagafsm.clock import SystemClock
from sagafsm.core.commands import RunAction
from sagafsm.engine.effects import CallReturned, PendingCall, UserCall
from sagafsm.history import events as e
from sagafsm.runtime import async_performer
from sagafsm.runtime.async_performer import (
    AsyncPerformer,
    TaskHandle,
    _await_late,
    _await_until,
    _wait_all,
    _wait_for_worker,
    _wait_uncancelled,
)
from sagafsm.runtime.threads import LateCall
from sagafsm.store import Store
from support.bench import lines

SHORT = timedelta(milliseconds=20)


def run(store: Store, act: Callable[..., Any], *, on_event: Any = None) -> SagaInstance:
    saga = Saga("order")
    saga.add_step("a", act, timeout=SHORT)

    async def main() -> SagaInstance:
        async with AsyncOrchestrator(store, on_event=on_event) as orchestrator:
            return await orchestrator.run(saga, "mug", id="o-1")

    return asyncio.run(main())


def test_the_doubt_of_a_sync_action_is_recorded_at_its_timeout(memory: Store) -> None:
    """While it still runs: what it gives within its grace settles the doubt."""
    doubted = threading.Event()

    def listen(_: SagaInstance, event: e.Event) -> None:
        if isinstance(event, e.StepInDoubt):
            doubted.set()

    saga = Saga("order")
    saga.add_step("a", lambda: doubted.wait(2), timeout=timedelta(milliseconds=60))

    async def main() -> SagaInstance:
        async with AsyncOrchestrator(memory, on_event=listen) as orchestrator:
            return await orchestrator.run(saga, "mug", id="o-1")

    instance = asyncio.run(main())
    assert "StepInDoubt a 1 timeout" == lines(memory.history("o-1"))[2]
    assert {"a": True} == instance.results


def test_an_awaitable_whose_time_is_over_is_not_begun(memory: Store) -> None:
    """The thread answered in time, but the loop had no time to look: it is too late to begin anything."""
    begun: list[str] = []

    async def effect() -> None:
        begun.append("begun")

    async def main() -> SagaInstance:
        loop = asyncio.get_running_loop()

        def act() -> Any:
            # The loop is kept busy until the time is over.
            loop.call_soon_threadsafe(threading.Event().wait, 2 * SHORT.total_seconds())
            return effect()

        saga = Saga("order")
        saga.add_step("a", act, timeout=SHORT)
        async with AsyncOrchestrator(memory) as orchestrator:
            return await orchestrator.run(saga, "mug", id="o-1")

    assert ["in_doubt"] == [block.reason for block in asyncio.run(main()).blocked]
    assert [] == begun


def cancelled(work: Awaitable[Any]) -> Any:
    """What it gives, cancelled once it waits."""

    async def main() -> Any:
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0)
        task.cancel()
        return await task

    return asyncio.run(main())


def test_a_cancel_that_was_held_back_is_not_lost() -> None:
    """Also when what it waited for did not end in time."""

    async def work() -> Any:
        return await _wait_uncancelled(asyncio.get_running_loop().create_future(), 0.005)

    assert isinstance(cancelled(work()), asyncio.CancelledError)


def test_a_cancel_waits_for_a_thread_as_long_as_its_time_and_its_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the beginning of the call: twice its timeout, or for ever where it has none."""
    given: list[float | None] = []

    async def at_once(_: Any, seconds: float | None = None) -> None:
        given.append(seconds)

    monkeypatch.setattr(async_performer, "_wait_uncancelled", at_once)

    async def work(timeout: timedelta | None) -> None:
        await _wait_for_worker(asyncio.get_running_loop().create_future(), timeout)

    for timeout in (None, timedelta(seconds=10)):
        with pytest.raises(asyncio.CancelledError):
            cancelled(work(timeout))
    never, twice = given
    assert never is None
    assert twice is not None
    assert 15 < twice <= 20


def test_a_cancelled_action_tidies_up_before_the_cancel_goes_on() -> None:
    """One with a timeout, which has a task of its own."""
    told: list[str] = []

    async def act() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            told.append("tidied")

    async def work() -> Any:
        waiting = asyncio.ensure_future(_await_until(act(), time.monotonic() + 5))
        await asyncio.sleep(0.001)
        waiting.cancel()
        await waiting

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())
    assert ["tidied"] == told


def test_a_cancel_while_others_are_waited_for_goes_on_when_they_have_ended() -> None:
    """Nothing that runs is left, and the cancel is not lost, whichever of them it came at."""

    async def main() -> bool:
        ends = [asyncio.Event(), asyncio.Event()]
        call: Any = None
        tasks = [asyncio.ensure_future(end.wait()) for end in ends]
        pending = [PendingCall(call, TaskHandle(task)) for task in tasks]
        leaving = asyncio.ensure_future(_wait_all(pending, interrupted=False))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        assert not leaving.done()
        ends[0].set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ends[1].set()
        await asyncio.wait([leaving])
        return leaving.cancelled() and all(task.done() for task in tasks)

    assert asyncio.run(main())


def test_a_cancel_in_the_grace_goes_on() -> None:
    """It waits for the late call, and what that raises is taken note of."""

    async def work() -> Any:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.003, future.set_exception, ValueError("late"))
        return await _await_late(LateCall(future), timedelta(seconds=5))

    with pytest.raises(asyncio.CancelledError):
        cancelled(work())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_call_is_given_what_has_no_name(kind: str) -> None:
    """By position."""

    def act(a: int, b: int) -> list[int]:
        return [a, b]

    async def act_async(a: int, b: int) -> list[int]:
        return [a, b]

    saga = Saga("order")
    for name in ("a", "b"):
        saga.add_step(name, lambda: 1)
    saga.add_step("c", act if kind == "sync" else act_async)
    function = saga.definition.by_name["c"].action
    assert function is not None
    run = RunAction(step="c", attempt=1, key="k")
    call = UserCall(instance_id="o-1", run=run, function=function, positional=(1,), named={"b": 2}, timeout=None)
    reply = asyncio.run(AsyncPerformer(SystemClock())._call(call))
    assert isinstance(reply, CallReturned)
    assert [1, 2] == reply.value
