"""A clean stop: what is under way is recorded, nothing new starts, and SIGTERM means the same."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import attrs

TERMINATED = 128 + signal.SIGTERM


@attrs.define(eq=False)
class Stopping:
    """Whether an orchestrator is stopping, and how many of its operations still run."""

    _busy: int = attrs.field(default=0, init=False)
    _main_busy: int = attrs.field(default=0, init=False)
    _asked: bool = attrs.field(default=False, init=False)
    _signalled: bool = attrs.field(default=False, init=False)
    _idle: threading.Condition = attrs.field(factory=threading.Condition, init=False)
    _previous: Any = attrs.field(default=None, init=False)

    def __call__(self) -> bool:
        """Whether nothing new may start."""
        return self._asked

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count an operation; after a SIGTERM during it, end the process once it has come to its clean end."""
        main = threading.current_thread() is threading.main_thread()
        self._main_busy += main
        try:
            with self._idle:
                self._busy += 1
            try:
                yield
            finally:
                with self._idle:
                    self._busy -= 1
                    self._idle.notify_all()
        finally:
            self._main_busy -= main
        if self._signalled and main and not self._main_busy:
            raise SystemExit(TERMINATED)

    def ask(self) -> None:
        """Let nothing new start."""
        self._asked = True

    def wait(self) -> None:
        """Return once no operation runs any more."""
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0)

    def install(self) -> None:
        """Take SIGTERM, on the main thread, where nobody else has: by default it kills in the middle of an action."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._previous = signal.signal(signal.SIGTERM, self._terminate)

    def restore(self) -> None:
        """Give SIGTERM back."""
        if self._previous is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._previous)
            self._previous = None

    def _terminate(self, _signal: int, _frame: FrameType | None) -> None:
        # No lock is taken here: the handler interrupts whatever the main thread does, perhaps holding that lock.
        if not self._main_busy:
            raise SystemExit(TERMINATED)
        self._signalled = self._asked = True
