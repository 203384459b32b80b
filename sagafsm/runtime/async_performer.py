"""The async performer: async actions on the caller's loop, sync ones on threads, the store on one writer thread."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar, assert_never

import attrs

from sagafsm.clock import Clock
from sagafsm.engine.effects import (
    CallRaised,
    CallReturned,
    CallTimedOut,
    Effects,
    EnterResources,
    PendingCall,
    Reply,
    Sleep,
    StoreCall,
    StoreWrite,
    UserCall,
    WaitAll,
    WaitFirst,
    WaitForSlot,
)
from sagafsm.runtime.group_commit import StoreThread
from sagafsm.runtime.resources import EnteredResources
from sagafsm.runtime.threads import LateCall, WorkerCall, read_reply

T = TypeVar("T")


@attrs.define(eq=False)
class AsyncPerformer:
    """Carries out effects without blocking the loop: it never waits for an fsync or a sync action."""

    clock: Clock
    _resources: EnteredResources = attrs.field(factory=EnteredResources, init=False)
    _writer: StoreThread = attrs.field(factory=StoreThread, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    async def perform(self, steps: Effects[T]) -> T:
        """Run the steps to their end and return what they return."""
        interrupt: asyncio.CancelledError | None = None
        try:
            effect = next(steps)
            while True:
                try:
                    if interrupt is not None:
                        held, interrupt = interrupt, None
                        raise held
                    if isinstance(effect, StoreCall | StoreWrite):
                        reply, interrupt = await self._in_full(effect)
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
                await self._writer.ask(StoreCall(close_store))
            self._closed = True
            self._writer.close()

    async def _in_full(self, effect: StoreCall | StoreWrite) -> tuple[Any, asyncio.CancelledError | None]:
        """What a call of the store gave, and the cancel that came meanwhile: it takes place all the same.

        Its answer must be known before the steps are left: the token of a claim, say, without which the claim cannot be
        given up.
        """
        answer = self._writer.ask(effect)
        try:
            return await answer, None
        except asyncio.CancelledError as interrupt:
            # It was held back until the answer was there.
            if answer.exception() is not None:
                raise
            return answer.result(), interrupt

    async def _reply(self, effect: WaitFirst | WaitAll | Sleep | EnterResources) -> Any:
        match effect:
            case WaitFirst(pending=pending, until=until):
                return await self._first(pending, until)
            case WaitAll(pending=pending, interrupted=interrupted):
                return await _wait_all(pending, interrupted=interrupted)
            case Sleep(duration=duration):
                return await self.clock.asleep(duration)
            case EnterResources(given=given):
                return await self._resources.enter(given)
            case _:
                assert_never(effect)

    async def _first(
        self, pending: Sequence[PendingCall], until: timedelta | None
    ) -> tuple[PendingCall, Reply | None] | None:
        """The first call that ends. One that is alone is awaited right here, without a task of its own."""
        only = pending[0]
        if len(pending) == 1 and until is None:
            if only.handle is None:
                only.handle = _CALLED_DIRECTLY
                return only, await self._call(only.call)
            if only.grace is not None and not isinstance(only.handle, TaskHandle):
                return only, await _await_late(only.late, only.grace)
        for call in pending:
            if call.handle is None:
                call.handle = TaskHandle(asyncio.ensure_future(self._call(call.call)))
            elif call.grace is not None:
                call.handle = TaskHandle(asyncio.ensure_future(_await_late(call.late, call.grace)))
                call.grace = None
        return await _wait_first_of(pending, until)

    async def _call(self, call: UserCall | WaitForSlot) -> Reply:
        if isinstance(call, WaitForSlot):
            await call.limits.freed(call.key, call.limit)
            return CallReturned(None)
        function = functools.partial(call.function.call, *call.positional, **call.named)
        until = None if call.timeout is None else time.monotonic() + call.timeout.total_seconds()
        if call.function.is_async:
            return await _await_until(function(), until)
        worker = asyncio.wrap_future(WorkerCall(function).start().future)
        reply = await _wait_for_worker(worker, call.timeout)
        if isinstance(reply, CallReturned) and inspect.isawaitable(reply.value):
            late = until is not None and time.monotonic() >= until
            return CallTimedOut(LateCall(worker)) if late else await _await_until(reply.value, until)
        return reply or CallTimedOut(LateCall(worker))


@attrs.define(eq=False)
class TaskHandle:
    """A call that runs beside others, by the task that carries it out, its timeout included."""

    task: asyncio.Task[Any]


_CALLED_DIRECTLY: Final = object()


async def _wait_first_of(
    pending: Sequence[PendingCall], until: timedelta | None
) -> tuple[PendingCall, Reply | None] | None:
    """The first whose task ends; None when `until` passes before."""
    seconds = None if until is None else until.total_seconds()
    tasks = [call.handle.task for call in pending]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for call in pending:
        task: asyncio.Task[Any] = call.handle.task
        if task.cancelled():
            # From inside: nobody here has cancelled it.
            raise asyncio.CancelledError
        if task.done():
            return call, task.result()
    return None


async def _wait_all(pending: Sequence[PendingCall], *, interrupted: bool) -> None:
    """Wait until calls have ended of which nobody will hear: what they do must not land after its undo."""
    begun = [call for call in pending if isinstance(call.handle, TaskHandle)]
    tasks = [call.handle.task for call in begun]
    for call in begun:
        if interrupted or isinstance(call.call, WaitForSlot):
            call.handle.task.cancel()
    interrupt = None
    for task in tasks:
        interrupt = await _wait_uncancelled(task) or interrupt
        _retrieve_exception(task)
    if interrupt is not None:
        raise interrupt


async def _wait_for_worker(worker: asyncio.Future[Any], timeout: timedelta | None) -> CallReturned | CallRaised | None:
    """What a thread gives within its timeout. It cannot be cancelled: a cancel waits for it, its grace long too.

    Were the instance let go meanwhile, somebody else would undo what only then takes effect.
    """
    seconds = None if timeout is None else timeout.total_seconds()
    began = time.monotonic()
    try:
        await asyncio.wait({worker}, timeout=seconds)
    except asyncio.CancelledError:
        await _wait_uncancelled(worker, None if seconds is None else began + 2 * seconds - time.monotonic())
        _retrieve_exception(worker)
        raise
    return read_reply(worker)


async def _await_until(awaitable: Awaitable[Any], until: float | None) -> Reply:
    """What an awaitable gives until then; after that it is cancelled."""
    if until is None:
        return await _await_reply(awaitable)
    task = asyncio.ensure_future(_await_reply(awaitable))
    try:
        await asyncio.wait({task}, timeout=max(until - time.monotonic(), 0))
    except BaseException:
        task.cancel()
        await _wait_uncancelled(task)
        raise
    if task.cancelled():
        # From inside: nobody here has cancelled it yet.
        raise asyncio.CancelledError
    if (reply := read_reply(task)) is not None:
        return reply
    task.cancel()
    return CallTimedOut(LateCall(task))


async def _await_reply(awaitable: Awaitable[Any]) -> CallReturned | CallRaised:
    try:
        return CallReturned(await awaitable)
    except Exception as error:  # noqa: BLE001 - a user's function: whatever it raises is its outcome
        return CallRaised(error)


async def _wait_uncancelled(future: asyncio.Future[Any], seconds: float | None = None) -> asyncio.CancelledError | None:
    """Wait until the future is done, so many seconds at most, whatever cancels meanwhile; return that cancel."""
    until = None if seconds is None else time.monotonic() + seconds
    interrupt: asyncio.CancelledError | None = None
    while not future.done():
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            break
        try:
            await asyncio.wait({future}, timeout=left)
        except asyncio.CancelledError as error:
            interrupt = error
    return interrupt


def _retrieve_exception(future: asyncio.Future[Any]) -> None:
    """Take note of what it raised, about which asyncio would complain else."""
    if future.done() and not future.cancelled():
        future.exception()


async def _await_late(late: Any, grace: timedelta) -> CallReturned | CallRaised | None:
    call: LateCall = late
    future: asyncio.Future[Any] = late.future
    if (interrupt := await _wait_uncancelled(future, grace.total_seconds())) is not None:
        _retrieve_exception(future)
        raise interrupt
    return call.answer()
