"""A clock that tells what it was set to, and on which sleeping takes no time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import attrs

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@attrs.define(eq=False)
class FakeClock:
    """Sleeping on it moves it on; `slept` keeps how long each sleep was, and `after_sleep` is called after each."""

    time: datetime = NOON
    slept: list[timedelta] = attrs.Factory(list)
    after_sleep: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def sleep(self, duration: timedelta) -> None:
        self.slept.append(duration)
        self.time += duration
        self.after_sleep()

    async def asleep(self, duration: timedelta) -> None:
        self.sleep(duration)
        await asyncio.sleep(0)

    @property
    def seconds(self) -> float:
        """How long it was slept on, in all."""
        return sum((pause.total_seconds() for pause in self.slept), 0.0)
