"""Laws 10, 12 and 16 where threads, tasks and processes end, or do not, in their own time."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sagafsm import AsyncOrchestrator, Orchestrator, Saga
from sagafsm.engine.effects import CallRaised
from sagafsm.history.instance import SagaInstance
from sagafsm.runtime.lease_renewal import LeaseRenewer
from sagafsm.runtime.loop_thread import LoopThread
from sagafsm.runtime.threads import LateCall, WorkerCall
from sagafsm.store import Store
from support.bench import lines
from support.children import in_child
from support.signals import ctrl_c_heard

SHORT = timedelta(milliseconds=30)


def saga_of(action: Callable[..., Any], **options: Any) -> Saga:
    order = Saga("order")
    order.add_step("a", action, lambda: None, **options)
    return order


def run(store: Store, saga: Saga, way: str) -> SagaInstance:
    if way == "sync":
        with Orchestrator(store) as orchestrator:
            return orchestrator.run(saga, "mug", id="o-1")

    async def main() -> SagaInstance:
        async with AsyncOrchestrator(store) as orchestrator:
            return await orchestrator.run(saga, "mug", id="o-1")

    return asyncio.run(main())


@pytest.mark.parametrize("timeout", [None, timedelta(seconds=5)])
def test_a_cancelled_run_keeps_the_instance_while_its_thread_works(timeout: timedelta | None, memory: Store) -> None:
    """Law 12: nobody may undo what still takes effect, so a cancel waits for the thread, however often it comes."""
    inside, go_on = threading.Event(), threading.Event()

    def act() -> None:
        inside.set()
        go_on.wait(5)

    async def main() -> None:
        running = asyncio.create_task(AsyncOrchestrator(memory).run(saga_of(act, timeout=timeout), "mug", id="o-1"))
        await asyncio.to_thread(inside.wait, 5)
        for _ in range(2):
            running.cancel()
            await asyncio.sleep(0.01)
        assert not running.done()
        assert next(iter(memory.find())).owner is not None
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert next(iter(memory.find())).owner is None
    assert "StepStarted a 1" == lines(memory.history("o-1"))[-1]


def test_a_cancelled_run_waits_for_a_thread_no_longer_than_its_grace(memory: Store) -> None:
    """Law 16: the thread is waited for at most one more timeout."""
    inside, go_on = threading.Event(), threading.Event()

    def act() -> None:
        inside.set()
        go_on.wait(5)

    async def main() -> None:
        running = asyncio.create_task(AsyncOrchestrator(memory).run(saga_of(act, timeout=SHORT), "mug", id="o-1"))
        await asyncio.to_thread(inside.wait, 5)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 2)
        go_on.set()

    asyncio.run(main())


def test_an_interrupted_worker_is_waited_for(memory: Store) -> None:
    """Law 12: an interrupt of the driver lets go of the instance only once the worker's thread has ended."""
    inside, ended = threading.Event(), threading.Event()

    def act() -> None:
        try:
            inside.set()
            while True:
                time.sleep(0.001)
        finally:
            time.sleep(0.03)
            ended.set()

    call = WorkerCall(act).start()
    assert inside.wait(5)
    call.interrupt()
    assert ended.is_set()
    assert isinstance(call.future.exception(), KeyboardInterrupt)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_of_a_fork_has_threads_of_its_own(memory: Store) -> None:
    """Law 12: a child renews its own leases, and runs async actions on a loop of its own, whatever its parent held."""

    async def act() -> int:
        return 1

    keeper, loop = LeaseRenewer(timedelta(seconds=30)), LoopThread()
    keeper._begin()
    assert 1 == loop.wait(act())
    with keeper._lock, loop._lock:  # as another thread may hold them at that moment

        def work() -> bool:
            keeper._begin()
            return loop.wait(act()) == 1 and keeper._thread is not None and keeper._thread.is_alive()

        assert in_child(work)
    assert 1 == loop.wait(act())
    keeper.close()
    loop.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_of_a_fork_has_a_writer_of_its_own(memory: Store) -> None:
    """Law 12: an async orchestrator made before a fork works after it."""
    saga = saga_of(lambda: 1)
    orchestrator = AsyncOrchestrator(memory)
    assert "completed" == asyncio.run(orchestrator.run(saga, "mug", id="o-1")).state
    assert in_child(lambda: asyncio.run(orchestrator.run(saga, "mug", id="o-2")).state == "completed")
    asyncio.run(orchestrator.close())


@pytest.mark.parametrize("timeout", [None, timedelta(seconds=5)])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_cancel_from_inside_propagates(kind: str, timeout: timedelta | None, way: str, memory: Store) -> None:
    """Law 10: `asyncio.CancelledError` out of an action propagates as that; the history stays as it is."""

    def act() -> None:
        raise asyncio.CancelledError

    async def act_async() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(memory, saga_of(act if kind == "sync" else act_async, timeout=timeout), way)
    assert "StepStarted a 1" == lines(memory.history("o-1"))[-1]


def test_an_awaitable_of_a_sync_function_is_cancelled_at_its_timeout(way: str, memory: Store) -> None:
    """Law 16: what is awaited is cancelled and awaited, whatever kind of function returned it."""
    seen: list[str] = []

    async def effect() -> None:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    def act() -> Any:
        return effect()

    instance = run(memory, saga_of(act, timeout=SHORT), way)
    assert ["in_doubt"] == [block.reason for block in instance.blocked]
    assert ["cancelled"] == seen


def test_an_awaitable_that_comes_too_late_is_not_begun(way: str, memory: Store) -> None:
    """Law 16: after the timeout nothing of the attempt begins any more."""
    seen: list[str] = []

    async def effect() -> None:
        seen.append("begun")

    def act() -> Any:
        time.sleep(0.045)
        return effect()

    instance = run(memory, saga_of(act, timeout=SHORT), way)
    assert ["in_doubt"] == [block.reason for block in instance.blocked]
    assert [] == seen


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_late_call_never_raises(error: BaseException) -> None:
    """Law 16: what a late call raises is recorded only; it never ends the step that is under way by then."""

    def act() -> None:
        raise error

    call = WorkerCall(act).start()
    assert error is call.future.exception(5)
    late = LateCall(call.future)
    told: list[str] = []
    late.when_done(lambda: told.append("ended"))
    reply = late.reply()
    assert isinstance(reply, CallRaised)
    assert f"ended by {error!r}" == str(reply.error)
    assert error is reply.error.__cause__
    assert ["ended"] == told


def test_an_interrupt_in_the_grace_waits_for_the_thread(memory: Store) -> None:
    """Law 12: also after its timeout, an interrupted drive lets go of the instance only once its thread has ended."""
    ended = threading.Event()

    def act() -> None:
        try:
            while True:
                time.sleep(0.001)
        finally:
            time.sleep(0.02)
            ended.set()

    with ctrl_c_heard():
        threading.Timer(0.05, signal.raise_signal, (signal.SIGINT,)).start()
        with pytest.raises(KeyboardInterrupt):
            run(memory, saga_of(act, timeout=timedelta(milliseconds=40)), "sync")
    assert ended.is_set()
