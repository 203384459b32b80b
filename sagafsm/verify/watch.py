"""A time limit for each run, on a thread for all of them: a step that never returns stops nothing else."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Generic, Self, TypeVar

import attrs

from sagafsm.verify.runs import STRAGGLERS, TimeIsUp

T = TypeVar("T")
TICK = 0.05
# How long a step that was interrupted may take to come back, in seconds, before its thread is given up.
GRACE = 1.0


@attrs.define(eq=False)
class Watch:
    """The present run's beginning. Within a `with` block the time limit holds."""

    limit: timedelta
    begun: float | None = attrs.field(default=None, init=False)
    _loop: asyncio.AbstractEventLoop | None = attrs.field(default=None, init=False)

    def __enter__(self) -> Self:
        self.begun = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.begun = None

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

    def finish_tasks(self) -> None:
        """Let the tasks that a run left behind come to their end, for a moment."""
        if self._loop is not None and (left := asyncio.all_tasks(self._loop)):
            self._loop.run_until_complete(asyncio.wait(left, timeout=STRAGGLERS))
            for task in left:
                task.cancel()

    def close(self) -> None:
        """Let the loop go, with whatever was left on it."""
        if self._loop is not None:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()
            self._loop = None


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
                    return given_up()
                if overdue:
                    self._interrupt(TimeIsUp)
        except BaseException:
            self._interrupt(KeyboardInterrupt)
            raise
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # the work has returned it

    def _interrupt(self, error: type[BaseException]) -> None:
        if self.thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident), ctypes.py_object(error))
