"""Where calls run when they cannot run on the driver's own thread: worker threads, and one background event loop."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import inspect
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, Protocol, Self

import attrs

from sagafsm.drivers.effects import Answer, Refusal


class Forgetful(Protocol):
    """What holds a thread or a lock, which a fork does not take along."""

    def forget(self) -> None:
        """Begin anew, in the child of a fork."""
        ...


_forgetful: weakref.WeakSet[Any] = weakref.WeakSet()
# What a child has of its parent's loop. Were it collected, it would close what the parent still uses, or complain.
left_behind: list[object] = []


def forget_at_fork(service: Forgetful) -> None:
    """Have it begin anew in the child of a fork, for as long as it lives."""
    _forgetful.add(service)


def _forget_all() -> None:
    for service in list(_forgetful):
        service.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def reply_of(future: Future[Any] | asyncio.Future[Any]) -> Answer | Refusal | None:
    """What a finished call gave; None while it runs, or when it was cancelled and gave nothing.

    Raises:
        BaseException: whatever the call raised that is no `Exception`.
    """
    if not future.done() or future.cancelled():
        return None
    reply: Answer | Refusal = future.result()
    return reply


@attrs.frozen
class LateCall:
    """A call that outlived its timeout, by its future; `interrupt` ends it as Ctrl-C would, and waits for that."""

    future: Future[Any] | asyncio.Future[Any]
    interrupt: Callable[[], None] | None = None

    def answer(self) -> Answer | Refusal | None:
        """What it gave, once it ended; None when it was cancelled for its lateness.

        Raises:
            BaseException: whatever else it raised that is no `Exception`.
        """
        try:
            reply = reply_of(self.future)
        except asyncio.CancelledError:
            return None
        if isinstance(reply, Answer) and inspect.isawaitable(reply.value):
            # Too late to be begun: the next attempt would not know of it.
            as_coroutine(reply.value).close()
            return None
        return reply

    def reply(self) -> Answer | Refusal | None:
        """What it gave, once it ended. It never raises: another step is under way by now, which it must not end."""
        try:
            return self.answer()
        except BaseException as error:  # noqa: BLE001 - recorded as what the late call gave
            refusal = RuntimeError(f"ended by {error!r}")
            refusal.__cause__ = error
            return Refusal(refusal)

    def when_done(self, listener: Callable[[], None]) -> None:
        """Call `listener` when it ends and has something to say."""
        self.future.add_done_callback(lambda _: None if self.reply() is None else listener())


@attrs.define(eq=False)
class WorkerCall:
    """A call on a thread of its own, in a copy of the caller's context. The thread does not keep the process alive.

    Its future gives an `Answer` or a `Refusal`, as a value: a StopIteration, say, cannot be the exception of an asyncio
    future. Only what is no `Exception` is raised.
    """

    call: Callable[[], Any]
    future: Future[Answer | Refusal] = attrs.field(factory=Future, init=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False)
    _ident: int | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def start(self) -> Self:
        """Begin the call. Its future cannot be cancelled: a thread does not stop for that."""
        self.future.set_running_or_notify_cancel()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="sagafsm-call", daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        with self._lock:
            if self.future.done():
                return
            self._ident = threading.get_ident()
        reply: Answer | Refusal
        try:
            reply = Answer(self.call())
        except Exception as error:  # noqa: BLE001 - a user's function: whatever it raises is its outcome
            reply = Refusal(error)
        except BaseException as error:  # noqa: BLE001 - handed to the driver's thread, which raises it
            self.future.set_exception(error)
            return
        self.future.set_result(reply)

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the call, as Ctrl-C would on the main thread, and wait until it has ended.

        Until then its instance must not be let go: the effect would land after its undo. A second Ctrl-C ends the wait.
        One that has not begun, as the interrupt came while its thread was started, never will.
        """
        with self._lock:
            thread, ident = self._thread, self._ident
            if ident is None and not self.future.done():
                self.future.set_exception(KeyboardInterrupt())
        if thread is not None and ident is not None and thread.is_alive():
            interrupt = ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), interrupt)
            thread.join()


class TaskCall(Future[Answer | Refusal]):
    """A task on the loop of a `LoopThread`, seen from other threads; it gives what a `WorkerCall` gives."""

    loop: asyncio.AbstractEventLoop
    task: asyncio.Task[Any]

    def begin(self, awaitable: Awaitable[Any], context: contextvars.Context) -> None:
        """Begin the task, on its loop, unless it was cancelled before."""
        coroutine = as_coroutine(awaitable)
        if not self.set_running_or_notify_cancel():
            coroutine.close()
            return
        self.task = self.loop.create_task(coroutine, context=context)
        self.task.add_done_callback(self._pass_on)

    def _pass_on(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self.set_exception(asyncio.CancelledError())
        elif (error := task.exception()) is None:
            self.set_result(Answer(task.result()))
        elif isinstance(error, Exception):
            self.set_result(Refusal(error))
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
        forget_at_fork(self)

    def forget(self) -> None:
        """In the child of a fork there is no such thread."""
        left_behind.append(self._loop)
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
        if isinstance(reply, Refusal):
            raise reply.error
        return reply.value

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._loop.is_closed():
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
        if loop is not None and thread is not None and not loop.is_closed():
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


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
