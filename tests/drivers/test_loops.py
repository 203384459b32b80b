"""A loop on a thread of its own ends when it is told to, also where an action has stopped it before."""

from __future__ import annotations

import asyncio
import contextvars

from sagafsm.drivers.loops import LoopThread

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
