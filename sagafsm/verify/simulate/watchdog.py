"""A time limit for each run: all runs share one thread, which is interrupted or given up when a step hangs."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, Self, TypeVar

import attrs

from sagafsm.runtime.threads import to_coroutine
from sagafsm.verify.simulate.run import STRAGGLER_SECONDS, TimeLimitExceeded

T = TypeVar("T")
TICK = 0.05
# How long an interrupted step may take to return, in seconds, before its thread is given up.
GRACE = 1.0


class Abandoned(BaseException):
    """The verification has ended without this thread. Ends the thread before its next run."""


@attrs.define(eq=False)
class Watchdog:
    """The time limit of the present run: it holds within a `with` block."""

    limit: timedelta
    begun: float | None = attrs.field(default=None, init=False)
    stopped: bool = attrs.field(default=False, init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def __enter__(self) -> Self:
        if self.stopped:
            raise Abandoned
        self.begun = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        while True:
            try:
                with self._lock:
                    self.begun = None
                # A pending asynchronous exception is raised at the end of a loop's turn: here at the latest, so that it
                # cannot hit anything after the run. To withdraw it makes Python 3.11 look for it forever.
                for _ in range(2):
                    pass
            except TimeLimitExceeded:
                continue
            return

    def interrupt(self, thread: int) -> None:
        """Raise `TimeLimitExceeded` in the thread of the present run, also while it waits for a coroutine."""
        with self._lock:
            if self.begun is None:
                return
            _raise_in_thread(thread, TimeLimitExceeded)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_wake_watched_loop)

    @property
    def overdue(self) -> float:
        """By how many seconds the present run exceeds its limit; 0 if it does not."""
        begun = self.begun
        return 0.0 if begun is None else max(0.0, time.monotonic() - begun - self.limit.total_seconds())

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop for async functions; all runs share it."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            # A task that outlives its simulated process may raise: that error means nothing.
            self._loop.set_exception_handler(lambda *_: None)
        return self._loop

    def run_awaitable(self, value: Any) -> Any:
        """Run an awaitable and return its result. Ctrl-C in it cancels its tasks, as `asyncio.run` does."""
        try:
            return self.loop().run_until_complete(to_coroutine(value))
        except (KeyboardInterrupt, SystemExit):
            self._end_tasks()
            raise

    def finish_tasks(self) -> None:
        """Wait a moment for the tasks that a run left behind, then cancel them."""
        if self._loop is not None and (left := asyncio.all_tasks(self._loop)):
            self._wait_for_tasks(left)
            self._end_tasks()

    def close(self) -> None:
        """Cancel the tasks that are left, and close the loop."""
        if self._loop is not None:
            self._end_tasks()
            self._loop.close()
            self._loop = None

    def _end_tasks(self) -> None:
        """Cancel the tasks that are left, and let them handle that."""
        if self._loop is not None and (left := asyncio.all_tasks(self._loop)):
            for task in left:
                task.cancel()
            self._wait_for_tasks(left)

    def _wait_for_tasks(self, tasks: set[asyncio.Task[Any]]) -> None:
        """Wait a moment for tasks. The loop raises once for each task that Ctrl-C has hit."""
        for _ in range(len(tasks) + 1):
            left = {task for task in tasks if not task.done()}
            if not left:
                return
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                self.loop().run_until_complete(asyncio.wait(left, timeout=STRAGGLER_SECONDS))
                return


class WatchedThread(Generic[T]):
    """Work on a thread of its own, which is interrupted if a run takes too long.

    The caller's thread cannot do the work: it may have a running event loop.
    """

    def __init__(self, watch: Watchdog, work: Callable[[], T]) -> None:
        self.watch, self.work = watch, work
        self.result: T | None = None
        self.error: BaseException | None = None
        context = contextvars.copy_context()
        self.thread = threading.Thread(target=context.run, args=(self._work,), name="sagafsm-verify", daemon=True)

    def _work(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - `wait` raises it again
            self.error = error
        finally:
            self.watch.close()

    def wait(self, given_up: Callable[[], T]) -> T:
        """Return the result of the work, or the result of `given_up` if a step could not be interrupted.

        Ctrl-C in the caller's thread ends the work, and is raised.
        """
        self.thread.start()
        try:
            while self.thread.is_alive():
                self.thread.join(TICK)
                overdue = self.watch.overdue
                if overdue > GRACE:
                    # If the step returns later, its thread must begin no further run.
                    self.watch.stopped = True
                    return given_up()
                if overdue and self.thread.ident is not None:
                    self.watch.interrupt(self.thread.ident)
        except BaseException:
            self.watch.stopped = True
            if self.thread.ident is not None:
                _raise_in_thread(self.thread.ident, KeyboardInterrupt)
            raise
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # the work has returned it


def _wake_watched_loop() -> None:
    """Do nothing: the call wakes a loop that waits, so that it sees the exception."""


def _raise_in_thread(thread: int, error: type[BaseException]) -> None:
    """Raise an error in a thread, at its next bytecode."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
