"""Calls that run beside each other under the sync driver: which of them ends, or outlives its time, first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from datetime import timedelta
from typing import Any, Self

import attrs

from sagafsm.drivers.effects import Late, Pending, Reply, Silence
from sagafsm.drivers.workers import LateCall, reply_of

# How long a Ctrl-C may go unheard that came just before the wait for a call began: it does not end that wait.
LONGEST_WAIT = 1.0


@attrs.define(eq=False)
class Running:
    """A call on a thread or loop of its own. `interrupt` ends it as Ctrl-C would; `stop` asks it to end.

    `expires`, by the monotonic clock, is when its time is up; `silent`: it was once already.
    """

    future: Future[Any]
    interrupt: Callable[[], None] | None = None
    stop: Callable[[], None] | None = None
    expires: float | None = None
    silent: bool = False

    @classmethod
    def late(cls, late: Late) -> Running:
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
            return reply_of(self.future)
        return LateCall(self.future).answer()

    def outlived(self) -> Silence | None:
        """Its time is up: the first time it may still answer, the second time it is given up."""
        if self.silent:
            return None
        if self.stop is not None:
            self.stop()
        self.silent = True
        return Silence(LateCall(self.future, self.interrupt))

    def end(self) -> None:
        """End it, and wait until it has ended."""
        if self.interrupt is not None and not self.future.done():
            self.interrupt()


def first_of(pending: Sequence[Pending], until: timedelta | None) -> tuple[Pending, Reply | None] | None:
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
