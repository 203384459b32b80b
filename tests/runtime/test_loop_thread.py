"""A loop on a thread of its own ends when it is told to, also where an action has stopped it before."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Generator
from typing import Any

from sagafsm.runtime.loop_thread import LoopThread

WHO = contextvars.ContextVar[str]("WHO")


async def act() -> str:
    return WHO.get("nobody")


def test_a_task_runs_in_the_context_of_whoever_asks() -> None:
    """A copy of it, as of the call."""
    loop = LoopThread()
    WHO.set("me")
    assert "me" == loop.wait(act())
    loop.close()


def test_a_loop_that_an_action_stopped_can_be_closed() -> None:
    """What a user's function did to it leaves nothing to do."""

    async def stop() -> None:
        asyncio.get_running_loop().stop()

    loop = LoopThread()
    loop.wait(stop())
    thread = loop._thread
    assert thread is not None
    thread.join(1)
    assert not thread.is_alive()
    loop.close()
    loop.close()


def test_closing_cancels_what_still_runs() -> None:
    """Each task tidies up, and what it raises then ends nothing else; the loop is closed, its thread over."""
    tidied: list[str] = []

    async def run(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tidied.append(name)
            raise ValueError(name)

    loop = LoopThread()
    # Kept here: a loop holds its tasks weakly, and a garbage collection would end those that nothing else holds.
    calls = {name: loop.task() for name in "ab"}
    for name, call in calls.items():
        loop.submit(run(name), call)
    loop.wait(act())
    inner, thread = loop._loop, loop._thread
    assert inner is not None
    assert thread is not None
    assert thread.daemon
    loop.close()
    assert ["a", "b"] == sorted(tidied)
    assert inner.is_closed()
    assert not thread.is_alive()


def test_what_has_ended_is_not_stopped() -> None:
    """Its loop may be gone by then."""
    loop, call = LoopThread(), LoopThread.task()
    loop.submit(act(), call)
    call.result(2)
    loop.close()
    call.stop()
    call.interrupt()


def test_any_awaitable_can_be_waited_for() -> None:
    """Also one that is no coroutine, which is what a task takes."""

    class Awaitable:
        def __await__(self) -> Generator[Any, None, int]:
            yield from asyncio.sleep(0).__await__()
            return 1

    loop = LoopThread()
    assert 1 == loop.wait(Awaitable())
    loop.close()
