"""Time in a simulation: it stands still until somebody sleeps, and nobody waits for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs

BEGIN = datetime(2000, 1, 1, tzinfo=UTC)


@attrs.define
class VirtualClock:
    """A `Clock` whose sleeping only moves its hands."""

    moment: datetime = BEGIN

    def now(self) -> datetime:
        """The present moment."""
        return self.moment

    def sleep(self, duration: timedelta) -> None:
        """Be later by that much, at once."""
        if duration > timedelta(0):
            self.moment += duration

    async def asleep(self, duration: timedelta) -> None:
        """The same."""
        self.sleep(duration)

    def until(self, moment: datetime) -> None:
        """Be that late, unless it is later already."""
        self.moment = max(self.moment, moment)
