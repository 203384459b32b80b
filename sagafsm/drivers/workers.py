"""Where calls run when they cannot run on the driver's own thread: worker threads, and one background event loop."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from datetime import timedelta
from typing import Any, Self

import attrs

from sagafsm.drivers.effects import Answer, Refusal

# How long an interrupted call may take to tidy up before the interrupt goes on without it.
TIDY_UP = timedelta(seconds=5)


def reply_of(future: Future[Any] | asyncio.Future[Any]) -> Answer | Refusal | None:
    """What a finished call gave; None while it runs, or when it was cancelled and gave nothing.

    Raises:
        BaseException: whatever the call raised that is no `Exception`.
    """
    if not future.done() or future.cancelled():
        return None
    error = future.exception()
    if error is None:
        return Answer(future.result())
    if isinstance(error, Exception):
        return Refusal(error)
    raise error


@attrs.frozen
class LateCall:
    """A call that outlived its timeout, by its future."""

    future: Future[Any] | asyncio.Future[Any]

    def reply(self) -> Answer | Refusal | None:
        """What it gave, once it ended."""
        return reply_of(self.future)

    def when_done(self, listener: Callable[[], None]) -> None:
        """Call `listener` when it ends and has something to say."""
        future = self.future
        future.add_done_callback(lambda _: None if future.cancelled() else listener())


@attrs.define(eq=False)
class WorkerCall:
    """A call on a thread of its own, in a copy of the caller's context. The thread does not keep the process alive."""

    call: Callable[[], Any]
    future: Future[Any] = attrs.field(factory=Future, init=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False)

    def start(self) -> Self:
        """Begin the call. Its future cannot be cancelled: a thread does not stop for that."""
        self.future.set_running_or_notify_cancel()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="sagafsm-call", daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            value = self.call()
        except BaseException as error:  # noqa: BLE001 - handed to the driver's thread, which raises what is no Exception
            self.future.set_exception(error)
        else:
            self.future.set_result(value)

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the call, as Ctrl-C would on the main thread, and let it tidy up."""
        thread = self._thread
        if thread is not None and thread.ident is not None and thread.is_alive():
            interrupt = ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), interrupt)
            thread.join(TIDY_UP.total_seconds())


@attrs.define(eq=False)
class LoopThread:
    """One event loop on a thread of its own, begun with the first call; for async actions under the sync API."""

    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False)
    _nested: LoopThread | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def submit(self, awaitable: Awaitable[Any], future: Future[Any]) -> None:
        """Begin the awaitable as a task, in a copy of the caller's context; `future` tells what came of it.

        From the loop's own thread it goes to another loop: this one is busy until the call that asks has ended.
        """
        if threading.current_thread() is self._thread:
            self._nested = self._nested or LoopThread()
            self._nested.submit(awaitable, future)
            return
        self._running_loop().call_soon_threadsafe(_begin, awaitable, contextvars.copy_context(), future)

    def wait(self, awaitable: Awaitable[Any]) -> Any:
        """The awaitable's result; an interrupt of this thread cancels it first.

        Raises:
            asyncio.CancelledError: the awaitable was cancelled from inside.
        """
        future = Future[Any]()
        try:
            self.submit(awaitable, future)
            return future.result()
        except CancelledError:
            raise asyncio.CancelledError from None
        except BaseException:
            self.cancel(future, wait=True)
            raise

    def cancel(self, future: Future[Any], *, wait: bool = False) -> None:
        """Ask the task behind the future of a `submit` to end, and with `wait` let it tidy up."""
        if threading.current_thread() is self._thread and self._nested is not None:
            self._nested.cancel(future, wait=wait)
            return
        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        # By way of the loop, so that a task which is only about to begin is cancelled too.
        self._running_loop().call_soon_threadsafe(_cancel, future)
        if wait:
            ended.wait(TIDY_UP.total_seconds())

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name="sagafsm-loop", daemon=True)
                self._thread.start()
            return self._loop

    def close(self) -> None:
        """Cancel what still runs, end the loop and its thread; idempotent."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
            nested, self._nested = self._nested, None
        if nested is not None:
            nested.close()
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


def _begin(awaitable: Awaitable[Any], context: contextvars.Context, future: Future[Any]) -> None:
    task = asyncio.get_running_loop().create_task(as_coroutine(awaitable), context=context)
    future.task = task  # type: ignore[attr-defined]  # the way back, for `_cancel`
    task.add_done_callback(lambda _: _pass_on(task, future))


def _cancel(future: Future[Any]) -> None:
    task: asyncio.Task[Any] | None = getattr(future, "task", None)
    if task is None:
        # Interrupted before it was submitted.
        future.cancel()
    else:
        task.cancel()


def _pass_on(task: asyncio.Task[Any], future: Future[Any]) -> None:
    if task.cancelled():
        future.cancel()
        future.set_running_or_notify_cancel()
    elif (error := task.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())


def as_coroutine(awaitable: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    """The awaitable as a coroutine, which is what a task takes."""
    return awaitable if inspect.iscoroutine(awaitable) else _awaited(awaitable)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _serve(loop: asyncio.AbstractEventLoop) -> None:
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
