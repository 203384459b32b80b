"""The clock of a driver, and the longest wait. Tests and the verifier pass a clock of their own, and need not wait."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

import attrs

# A wait in real time lasts at most so many seconds before it looks again. A Ctrl-C just before the wait began does not
# end the wait, nor do mail, a deadline or a stop: without this limit they would go unheard.
LONGEST_WAIT = 1.0


class Clock(Protocol):
    """What tells the time and lets it pass. Leases and an action's own timeout are real time, whatever it says."""

    def now(self) -> datetime:
        """The present moment, with its zone."""
        ...

    def sleep(self, duration: timedelta) -> None:
        """Return once `duration` has passed; an interrupt ends it early by raising."""
        ...

    async def asleep(self, duration: timedelta) -> None:
        """The same, without blocking the loop."""
        ...


@attrs.frozen
class SystemClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        """The present moment in UTC."""
        return datetime.now(UTC)

    def sleep(self, duration: timedelta) -> None:
        """Sleep on this thread."""
        time.sleep(max(0.0, duration.total_seconds()))

    async def asleep(self, duration: timedelta) -> None:
        """Sleep on this loop."""
        import asyncio  # noqa: PLC0415 - asyncio users alone pay for it

        await asyncio.sleep(max(0.0, duration.total_seconds()))
