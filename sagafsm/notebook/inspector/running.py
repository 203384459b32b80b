"""Driving an instance for somebody who looks on: each time by an orchestrator of its own, which can be stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs

from sagafsm.async_orchestrator import AsyncOrchestrator
from sagafsm.notebook.behind import Orchestrating
from sagafsm.values import replace

T = TypeVar("T")
# What is asked of an orchestrator; an async one answers with an awaitable.
Order = Callable[[Any], Any]


def present_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs on this thread, None where none does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


@attrs.define(eq=False)
class Drive:
    """One order to an orchestrator that is made for it alone, and closed once it has ended.

    `loop` is where an async one belongs: that of whoever looks on; None: a loop for this order alone. `began_at` is
    how many events the instance had then.
    """

    private: Orchestrating
    order: Order
    loop: asyncio.AbstractEventLoop | None = None
    began_at: int = 0
    is_stopped: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        # Not its own stopping, by which it would refuse an order that has not begun: a cancel, say, would be lost.
        driving = self.private._operations.driving
        closes = driving.settings.stopping
        driving.settings = replace(driving.settings, stopping=lambda: self.is_stopped or closes())

    @property
    def is_async(self) -> bool:
        """Whether it is carried out on a loop."""
        return isinstance(self.private, AsyncOrchestrator)

    def perform(self) -> Any:
        """Carry it out on this thread, and return what it returns; an async one is waited for.

        Not on the thread of an async one's own loop, which would wait for itself.
        """
        if not self.is_async:
            try:
                return self.order(self.private)
            finally:
                self.private.close()
        if self.loop is None or self.loop.is_closed():
            return asyncio.run(self.awaited())
        return asyncio.run_coroutine_threadsafe(self.awaited(), self.loop).result()

    async def awaited(self) -> Any:
        """Carry it out on this loop."""
        self.loop = asyncio.get_running_loop()
        try:
            return await self.order(self.private)
        finally:
            await self._closed()

    async def _closed(self) -> None:
        if isinstance(self.private, AsyncOrchestrator):
            await self.private.close()

    def stop(self) -> None:
        """Let nothing new start; what is under way is recorded. Returns at once."""
        self.is_stopped = True


def in_background(work: Callable[[], object], name: str) -> threading.Thread:
    """A thread that does some work, begun."""
    thread = threading.Thread(target=work, name=f"sagafsm-{name}", daemon=True)
    thread.start()
    return thread


def on_loop(call: Callable[[], Awaitable[T]], loop: asyncio.AbstractEventLoop | None) -> T:
    """What a call of an async orchestrator returns, waited for on this thread, which is not the loop's."""

    async def awaited() -> T:
        return await call()

    if loop is None or loop.is_closed():
        return asyncio.run(awaited())
    return asyncio.run_coroutine_threadsafe(awaited(), loop).result()
