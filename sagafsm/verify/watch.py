"""A time limit for each run, on a thread for all of them: a step that never returns stops nothing else."""

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

from sagafsm.drivers.workers import as_coroutine
from sagafsm.verify.runs import STRAGGLERS, TimeIsUp

T = TypeVar("T")
TICK = 0.05
# How long a step that was interrupted may take to come back, in seconds, before its thread is given up.
GRACE = 1.0


class Abandoned(BaseException):
    """The verification is over: its thread has nothing to go on with."""


@attrs.define(eq=False)
class Watch:
    """The present run's beginning. Within a `with` block the time limit holds."""

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
                # What is on its way is raised at the end of a loop's turn, here at the latest: nothing after the run is
                # hit by it. Taken back it would leave Python 3.11 looking for it for ever.
                for _ in range(2):
                    pass
            except TimeIsUp:
                continue
            return

    def interrupt(self, thread: int) -> None:
        """Have the present run raise `TimeIsUp` in its thread, also while it waits for a coroutine."""
        with self._lock:
            if self.begun is None:
                return
            _raise_in(thread, TimeIsUp)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_wake)

    @property
    def overdue(self) -> float:
        """By how many seconds the present run exceeds the limit; 0 while it does not."""
        begun = self.begun
        return 0.0 if begun is None else max(0.0, time.monotonic() - begun - self.limit.total_seconds())

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop on which async functions are awaited: that of the thread of all runs."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            # What a task that nobody awaits raises once its process is dead is nobody's business.
            self._loop.set_exception_handler(lambda *_: None)
        return self._loop

    def awaited(self, value: Any) -> Any:
        """What an awaitable gives. A Ctrl-C in it ends the tasks that it has begun, as the end of a loop does."""
        try:
            return self.loop().run_until_complete(as_coroutine(value))
        except (KeyboardInterrupt, SystemExit):
            self._end_tasks()
            raise

    def finish_tasks(self) -> None:
        """Let the tasks that a run left behind come to their end, for a moment."""
        if self._loop is not None and (left := asyncio.all_tasks(self._loop)):
            self._settle(left)
            self._end_tasks()

    def close(self) -> None:
        """Let the loop go, with whatever was left on it."""
        if self._loop is not None:
            self._end_tasks()
            self._loop.close()
            self._loop = None

    def _end_tasks(self) -> None:
        """Cancel the tasks that are left, and let them notice."""
        if self._loop is not None and (left := asyncio.all_tasks(self._loop)):
            for task in left:
                task.cancel()
            self._settle(left)

    def _settle(self, tasks: set[asyncio.Task[Any]]) -> None:
        """Wait for tasks, for a moment. A Ctrl-C that one of them was hit by comes out of the loop once for each."""
        for _ in range(len(tasks) + 1):
            left = {task for task in tasks if not task.done()}
            if not left:
                return
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                self.loop().run_until_complete(asyncio.wait(left, timeout=STRAGGLERS))
                return


class Watched(Generic[T]):
    """Work on a thread of its own, which is interrupted whenever a run takes too long.

    A thread of its own also where there is no need of one: there may be a running loop on the caller's.
    """

    def __init__(self, watch: Watch, work: Callable[[], T]) -> None:
        self.watch, self.work = watch, work
        self.result: T | None = None
        self.error: BaseException | None = None
        context = contextvars.copy_context()
        self.thread = threading.Thread(target=context.run, args=(self._work,), name="sagafsm-verify", daemon=True)

    def _work(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self.error = error
        finally:
            self.watch.close()

    def wait(self, given_up: Callable[[], T]) -> T:
        """What the work returns; of `given_up`, when a step could not be interrupted.

        A Ctrl-C of the caller ends the work, and is raised.
        """
        self.thread.start()
        try:
            while self.thread.is_alive():
                self.thread.join(TICK)
                overdue = self.watch.overdue
                if overdue > GRACE:
                    # Whenever it comes back, no further run is begun.
                    self.watch.stopped = True
                    return given_up()
                if overdue and self.thread.ident is not None:
                    self.watch.interrupt(self.thread.ident)
        except BaseException:
            self.watch.stopped = True
            if self.thread.ident is not None:
                _raise_in(self.thread.ident, KeyboardInterrupt)
            raise
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # the work has returned it


def _wake() -> None:
    """Nothing; a loop that waits comes back for it."""


def _raise_in(thread: int, error: type[BaseException]) -> None:
    """Have a thread raise an error as soon as it can."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
