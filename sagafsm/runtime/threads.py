"""Calls on worker threads: start a call, read what it gave, interrupt it, and wait for the first call that ends."""

from __future__ import annotations

import contextvars
import ctypes
import inspect
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import attrs

from sagafsm.clock import LONGEST_WAIT
from sagafsm.engine.effects import CallRaised, CallReturned, CallTimedOut, PendingCall, Reply, TimedOutCall

if TYPE_CHECKING:
    import asyncio


def read_reply(future: Future[Any] | asyncio.Future[Any]) -> CallReturned | CallRaised | None:
    """What a finished call gave; None while it runs, or when it was cancelled and gave nothing.

    Raises:
        BaseException: whatever the call raised that is no `Exception`.
    """
    if not future.done() or future.cancelled():
        return None
    reply: CallReturned | CallRaised = future.result()
    return reply


def _is_cancel(error: BaseException) -> bool:
    # Whoever has cancelled a task has imported asyncio, for which nobody else shall pay.
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def to_coroutine(awaitable: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    """The awaitable as a coroutine, which is what a task takes."""
    return awaitable if inspect.iscoroutine(awaitable) else _await_value(awaitable)


async def _await_value(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@attrs.frozen
class LateCall:
    """A call that outlived its timeout, by its future; `interrupt` ends it as Ctrl-C would, and waits for that."""

    future: Future[Any] | asyncio.Future[Any]
    interrupt: Callable[[], None] | None = None

    def answer(self) -> CallReturned | CallRaised | None:
        """What it gave, once it ended; None when it was cancelled for its lateness.

        Raises:
            BaseException: whatever else it raised that is no `Exception`.
        """
        try:
            reply = read_reply(self.future)
        except BaseException as error:
            if not _is_cancel(error):
                raise
            return None
        if isinstance(reply, CallReturned) and inspect.isawaitable(reply.value):
            # Too late to be begun: the next attempt would not know of it.
            to_coroutine(reply.value).close()
            return None
        return reply

    def reply(self) -> CallReturned | CallRaised | None:
        """What it gave, once it ended. It never raises: another step is under way by now, which it must not end."""
        try:
            return self.answer()
        except BaseException as error:  # noqa: BLE001 - recorded as what the late call gave
            refusal = RuntimeError(f"ended by {error!r}")
            refusal.__cause__ = error
            return CallRaised(refusal)

    def when_done(self, listener: Callable[[], None]) -> None:
        """Call `listener` when it ends and has something to say."""
        self.future.add_done_callback(lambda _: None if self.reply() is None else listener())


@attrs.define(eq=False)
class WorkerCall:
    """A call on a thread of its own, in a copy of the caller's context. The thread does not keep the process alive.

    Its future gives a `CallReturned` or a `CallRaised`, as a value: a StopIteration, for example, cannot be the
    exception of an asyncio future. Only what is no `Exception` is raised.
    """

    call: Callable[[], Any]
    future: Future[CallReturned | CallRaised] = attrs.field(factory=Future, init=False)
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
        reply: CallReturned | CallRaised | None = None
        raised: BaseException | None = None
        try:
            try:
                reply = CallReturned(self.call())
            except Exception as error:  # noqa: BLE001 - a user's function: whatever it raises is its outcome
                reply = CallRaised(error)
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


@attrs.define(eq=False)
class RunningCall:
    """A call on a thread or loop of its own. `interrupt` ends it as Ctrl-C would; `stop` asks it to end.

    `expires`, by the monotonic clock, is when its time is up; `silent`: it was once already.
    """

    future: Future[Any]
    interrupt: Callable[[], None] | None = None
    stop: Callable[[], None] | None = None
    expires: float | None = None
    silent: bool = False

    @classmethod
    def late(cls, late: TimedOutCall) -> RunningCall:
        """A call that has outlived its timeout already."""
        call: Any = late
        return cls(call.future, call.interrupt, silent=True)

    def give(self, duration: timedelta | None) -> Self:
        """Let it have so long, from now on."""
        self.expires = None if duration is None else time.monotonic() + duration.total_seconds()
        return self

    def reply(self) -> Reply | None:
        """What it gave; None when it gave nothing.

        Raises:
            BaseException: whatever it raised that is no `Exception`.
        """
        if not self.silent:
            return read_reply(self.future)
        return LateCall(self.future).answer()

    def outlived(self) -> CallTimedOut | None:
        """Its time is up: the first time it may still answer, the second time it is given up."""
        if self.silent:
            return None
        if self.stop is not None:
            self.stop()
        self.silent = True
        return CallTimedOut(LateCall(self.future, self.interrupt))

    def end(self) -> None:
        """End it, and wait until it has ended."""
        if self.interrupt is not None and not self.future.done():
            self.interrupt()


def wait_first_of(pending: Sequence[PendingCall], until: timedelta | None) -> tuple[PendingCall, Reply | None] | None:
    """The first that ends or outlives its time; None when `until` passes before."""
    ends = [call.handle.expires for call in pending if call.handle.expires is not None]
    ends += [] if until is None else [time.monotonic() + until.total_seconds()]
    while True:
        now = time.monotonic()
        wait(
            [call.handle.future for call in pending],
            timeout=min(max(min(ends) - now, 0), LONGEST_WAIT) if ends else LONGEST_WAIT,
            return_when=FIRST_COMPLETED,
        )
        for call in pending:
            if call.handle.future.done():
                try:
                    return call, call.handle.reply()
                except CancelledError:
                    return call, None
        now = time.monotonic()
        for call in pending:
            if call.handle.expires is not None and call.handle.expires <= now:
                return call, call.handle.outlived()
        if ends and min(ends) <= now:
            return None
