"""The sync performer: one call runs where its caller is; what outlives its time can still be interrupted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from sagafsm import Orchestrator, Saga
from sagafsm.clock import SystemClock
from sagafsm.core.commands import RunAction
from sagafsm.engine.effects import CallReturned, CallTimedOut, PendingCall, UserCall, WaitForSlot
from sagafsm.runtime.sync_performer import SyncPerformer
from sagafsm.runtime.threads import LateCall
from sagafsm.store import Store

SHORT = timedelta(milliseconds=10)


def call_of(act: Callable[..., Any], timeout: timedelta) -> UserCall:
    saga = Saga("order")
    saga.add_step("a", act)
    function = saga.definition.by_name["a"].action
    assert function is not None
    run = RunAction(step="a", attempt=1, key="k")
    return UserCall(instance_id="o-1", run=run, function=function, positional=(), named={}, timeout=timeout)


def test_a_call_that_is_alone_runs_on_the_thread_of_its_caller(memory: Store) -> None:
    """Where Ctrl-C and the caller's context are."""
    saga = Saga("order")

    @saga.step
    def a() -> int:
        return threading.get_ident()

    with Orchestrator(memory) as orchestrator:
        assert {"a": threading.get_ident()} == orchestrator.run(saga, "mug", id="o-1").results


def test_a_call_in_its_grace_can_be_interrupted() -> None:
    """On a thread: KeyboardInterrupt is raised in it, and its end waited for."""
    ended = threading.Event()

    def act() -> None:
        try:
            while True:
                time.sleep(0.001)
        finally:
            ended.set()

    reply = SyncPerformer(SystemClock())._call(call_of(act, SHORT))
    assert isinstance(reply, CallTimedOut)
    assert isinstance(reply.late, LateCall)
    assert reply.late.interrupt is not None
    assert not ended.is_set()
    reply.late.interrupt()
    assert ended.is_set()


def test_a_task_in_its_grace_can_be_interrupted() -> None:
    """On the loop it was cancelled at its timeout; it is cancelled again, and its end waited for."""
    tidying, ended = threading.Event(), threading.Event()

    async def act() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            tidying.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    performer = SyncPerformer(SystemClock())
    # Its loop is there before, so that the call has begun by its timeout.
    performer.loop.wait(asyncio.sleep(0))
    reply = performer._call(call_of(act, 5 * SHORT))
    assert isinstance(reply, CallTimedOut)
    assert isinstance(reply.late, LateCall)
    assert reply.late.interrupt is not None
    assert tidying.wait(5)
    assert not ended.is_set()
    reply.late.interrupt()
    assert ended.is_set()
    with pytest.raises(asyncio.CancelledError):
        reply.late.future.result()
    performer.close()


def test_a_call_that_answers_in_time_is_no_late_one() -> None:
    """Whatever kind of function it is."""

    async def act() -> int:
        return 1

    def awaitable() -> Any:
        return act()

    performer = SyncPerformer(SystemClock())
    for function in (lambda: 1, act, awaitable):
        reply = performer._call(call_of(function, timedelta(seconds=5)))
        assert isinstance(reply, CallReturned)
        assert 1 == reply.value
    performer.close()


def test_a_call_beside_others_can_be_stopped_and_interrupted() -> None:
    """A task at its timeout, and whichever it is by an interrupt; it is given its arguments all the same."""

    async def act(input: int) -> int:
        return input

    performer = SyncPerformer(SystemClock())
    pending = PendingCall(attrs.evolve(call_of(act, timedelta(seconds=5)), positional=(7,)))
    performer._start(pending)
    running = pending.handle
    assert running.stop is not None
    assert running.interrupt is not None
    assert running.expires is not None
    assert 7 == running.future.result(2).value
    performer.close()


def test_nothing_is_queued() -> None:
    """One call at a time: there is nothing to wait for."""
    queued: Any = PendingCall(WaitForSlot(None, None, 1))
    performer = SyncPerformer(SystemClock())
    for begin in (lambda: performer._start(queued), lambda: performer._call(queued.call)):
        with pytest.raises(TypeError, match=r"^nothing is queued under the sync driver$"):
            begin()
