"""One event loop on a thread of its own, for async actions under the sync driver."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable
from concurrent.futures import CancelledError, Future
from typing import Any

import attrs

from sagafsm.engine.effects import CallRaised, CallReturned
from sagafsm.runtime.fork_safety import kept_after_fork, reset_after_fork
from sagafsm.runtime.threads import to_coroutine


class TaskCall(Future[CallReturned | CallRaised]):
    """A task on the loop of a `LoopThread`, seen from other threads; it gives what a `WorkerCall` gives."""

    loop: asyncio.AbstractEventLoop
    task: asyncio.Task[Any]

    def begin(self, awaitable: Awaitable[Any], context: contextvars.Context) -> None:
        """Begin the task, on its loop, unless it was cancelled before."""
        coroutine = to_coroutine(awaitable)
        if not self.set_running_or_notify_cancel():
            coroutine.close()
            return
        self.task = self.loop.create_task(coroutine, context=context)
        self.task.add_done_callback(self._pass_on)

    def _pass_on(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self.set_exception(asyncio.CancelledError())
        elif (error := task.exception()) is None:
            self.set_result(CallReturned(task.result()))
        elif isinstance(error, Exception):
            self.set_result(CallRaised(error))
        else:
            self.set_exception(error)

    def stop(self) -> None:
        """Ask the task to end; it tidies up before its future is done."""
        if not self.cancel() and not self.done():
            # It is under way, so its loop knows the task by the time it comes to this.
            self.loop.call_soon_threadsafe(self._cancel_task)

    def _cancel_task(self) -> None:
        self.task.cancel()

    def interrupt(self) -> None:
        """Ask the task to end, and wait until it has; an interrupt of this thread ends the wait."""
        ended = threading.Event()
        self.add_done_callback(lambda _: ended.set())
        self.stop()
        ended.wait()


@attrs.define(eq=False)
class LoopThread:
    """One event loop on a thread of its own, begun with the first call; for async actions under the sync API."""

    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False)
    _nested: LoopThread | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        reset_after_fork(self)

    def forget(self) -> None:
        """In the child of a fork there is no such thread."""
        kept_after_fork.append(self._loop)
        self._loop, self._thread, self._nested, self._lock = None, None, None, threading.Lock()

    def submit(self, awaitable: Awaitable[Any], call: TaskCall) -> None:
        """Begin the awaitable as a task, in a copy of the caller's context; `call` tells what came of it.

        From the loop's own thread it goes to another loop: this one is busy until the call that asks has ended.
        """
        if threading.current_thread() is self._thread:
            self._nested = self._nested or LoopThread()
            self._nested.submit(awaitable, call)
            return
        call.loop = self._running_loop()
        call.loop.call_soon_threadsafe(call.begin, awaitable, contextvars.copy_context())

    @staticmethod
    def task() -> TaskCall:
        """A call to be submitted."""
        return TaskCall()

    def wait(self, awaitable: Awaitable[Any]) -> Any:
        """The awaitable's result; an interrupt of this thread cancels it first.

        Raises:
            asyncio.CancelledError: the awaitable was cancelled from inside.
        """
        call = TaskCall()
        try:
            self.submit(awaitable, call)
            reply = call.result()
        except CancelledError:
            raise asyncio.CancelledError from None
        except BaseException:
            call.interrupt()
            raise
        if isinstance(reply, CallRaised):
            raise reply.error
        return reply.value

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run_loop, args=(self._loop,), name="sagafsm-loop", daemon=True)
                self._thread.start()
            return self._loop

    def close(self) -> None:
        """Cancel what still runs, end the loop and its thread; idempotent."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
            nested, self._nested = self._nested, None
        if nested is not None:
            nested.close()
        if loop is not None and thread is not None and not loop.is_closed():
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
