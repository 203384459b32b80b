"""Calls on worker threads, what they reply, and what a fork does to whatever holds a thread."""

from __future__ import annotations

import contextvars
import ctypes
import inspect
import os
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, Self

import attrs

from sagafsm.drivers.effects import Answer, Refusal

if TYPE_CHECKING:
    import asyncio


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


def _is_cancel(error: BaseException) -> bool:
    # Whoever has cancelled a task has imported asyncio, for which nobody else shall pay.
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def as_coroutine(awaitable: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    """The awaitable as a coroutine, which is what a task takes."""
    return awaitable if inspect.iscoroutine(awaitable) else _awaited(awaitable)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


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
        except BaseException as error:
            if not _is_cancel(error):
                raise
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
    _ended: bool = attrs.field(default=False, init=False)
    _sent: bool = attrs.field(default=False, init=False)
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
        reply: Answer | Refusal | None = None
        raised: BaseException | None = None
        try:
            try:
                reply = Answer(self.call())
            except Exception as error:  # noqa: BLE001 - a user's function: whatever it raises is its outcome
                reply = Refusal(error)
            except BaseException as error:  # noqa: BLE001 - handed to the driver's thread, which raises it
                raised = error
            self._over()
        except BaseException as error:  # noqa: BLE001 - the interrupt, which came just as the call had ended
            raised = raised or error
            self._over()
        if raised is not None:
            self.future.set_exception(raised)
        elif reply is not None:
            self.future.set_result(reply)

    def _over(self) -> None:
        """From now on no interrupt is raised in this thread: one that met the future would leave it for ever unset."""
        while True:
            try:
                with self._lock:
                    self._ended = True
                # One that was sent is raised at the end of a loop's turn, here at the latest. Taken back it would leave
                # Python 3.11 looking for it in every thread, for ever, and turning on the spot under a tracer.
                for _ in range(2):
                    pass
            except KeyboardInterrupt:
                continue
            return

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the call, as Ctrl-C would on the main thread, and wait until it has ended.

        Until then its instance must not be let go: the effect would land after its undo. A second Ctrl-C ends the wait.
        One that has not begun, as the interrupt came while its thread was started, never will.
        """
        with self._lock:
            thread, ident = self._thread, self._ident
            if ident is None and not self.future.done():
                self.future.set_exception(KeyboardInterrupt())
            if ident is not None and not self._ended and not self._sent:
                self._sent = True
                self._raise()
        if thread is not None and ident is not None and thread.is_alive():
            thread.join()

    def _raise(self) -> None:
        """Have KeyboardInterrupt raised in the call's thread."""
        ident, interrupt = ctypes.c_ulong(self._ident or 0), ctypes.py_object(KeyboardInterrupt)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, interrupt)
