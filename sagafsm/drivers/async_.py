"""The async performer: async actions on the caller's loop, sync ones on threads, the store on one writer thread."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar, assert_never

import attrs

from sagafsm.clock import Clock
from sagafsm.drivers.effects import (
    Answer,
    AwaitLate,
    Enter,
    Refusal,
    Reply,
    Silence,
    Sleep,
    Steps,
    StoreCall,
    UserCall,
)
from sagafsm.drivers.resources import Resources
from sagafsm.drivers.workers import LateCall, WorkerCall, as_coroutine, reply_of

T = TypeVar("T")


@attrs.define(eq=False)
class AsyncPerformer:
    """Carries out effects without blocking the loop: it never waits for an fsync or a sync action."""

    clock: Clock
    _resources: Resources = attrs.field(factory=Resources, init=False)
    _writer: ThreadPoolExecutor = attrs.field(init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sagafsm-store")

    async def perform(self, steps: Steps[T]) -> T:
        """Run the steps to their end and return what they return."""
        interrupt: asyncio.CancelledError | None = None
        try:
            effect = next(steps)
            while True:
                try:
                    if interrupt is not None:
                        held, interrupt = interrupt, None
                        raise held
                    if isinstance(effect, StoreCall):
                        reply, interrupt = await self._in_full(effect.call)
                    else:
                        reply = await self._reply(effect)
                except BaseException as error:  # noqa: BLE001 - thrown into the steps, which release their lease and raise it
                    effect = steps.throw(error)
                else:
                    effect = steps.send(reply)
        except StopIteration as end:
            if interrupt is not None:
                raise interrupt from None
            result: T = end.value
            return result

    async def close(self, close_store: Callable[[], None] | None) -> None:
        """Leave the resources, close the store, if told how, on the thread that used it, and end that thread."""
        try:
            await self._resources.leave()
        finally:
            if close_store is not None and not self._closed:
                await asyncio.get_running_loop().run_in_executor(self._writer, close_store)
            self._closed = True
            self._writer.shutdown()

    async def _in_full(self, call: Callable[[], Any]) -> tuple[Any, asyncio.CancelledError | None]:
        """What a call of the store gave, and the cancel that came meanwhile: it takes place all the same.

        Its answer must be known before the steps are left: the token of a claim, say, without which it cannot be given up.
        """
        future = asyncio.get_running_loop().run_in_executor(self._writer, call)
        interrupt: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError as error:
                interrupt = error
        if interrupt is not None and future.exception() is not None:
            raise interrupt
        return future.result(), interrupt

    async def _reply(self, effect: UserCall | Sleep | AwaitLate | Enter) -> Any:
        match effect:
            case UserCall():
                return await self._call(effect)
            case Sleep(duration=duration):
                return await self.clock.asleep(duration)
            case AwaitLate(late=late, grace=grace):
                return await _await_late(late, grace)
            case Enter(given=given):
                return await self._resources.enter(given)
            case _:
                assert_never(effect)

    async def _call(self, call: UserCall) -> Reply:
        if call.timeout is not None:
            return await self._call_for(call, call.timeout)
        try:
            return Answer(await self._value(call))
        except Exception as error:  # noqa: BLE001 - a user's function: whatever it raises is its outcome
            return Refusal(error)

    async def _value(self, call: UserCall) -> Any:
        function = functools.partial(call.function.call, *call.positional, **call.named)
        if call.function.is_async:
            return await function()
        # Its thread cannot be cancelled; what it still does is in doubt when the instance is resumed.
        value = await asyncio.wrap_future(WorkerCall(function).start().future)
        return await value if inspect.isawaitable(value) else value

    async def _call_for(self, call: UserCall, timeout: timedelta) -> Reply:
        task = asyncio.ensure_future(as_coroutine(self._value(call)))
        try:
            await asyncio.wait({task}, timeout=timeout.total_seconds())
        except BaseException:
            task.cancel()
            await asyncio.wait({task})
            raise
        reply = reply_of(task)
        if reply is not None:
            return reply
        if call.function.is_async:
            task.cancel()
        return Silence(LateCall(task))


async def _await_late(late: Any, grace: timedelta) -> Answer | Refusal | None:
    await asyncio.wait({late.future}, timeout=grace.total_seconds())
    return reply_of(late.future)
