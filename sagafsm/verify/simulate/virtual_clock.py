"""Virtual time: sleeping moves the clock forward at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs

BEGIN = datetime(2000, 1, 1, tzinfo=UTC)


@attrs.define
class VirtualClock:
    """A `Clock` that moves forward instead of waiting."""

    moment: datetime = BEGIN

    def now(self) -> datetime:
        """Return the present moment."""
        return self.moment

    def sleep(self, duration: timedelta) -> None:
        """Move the clock forward by a duration, at once."""
        if duration > timedelta(0):
            self.moment += duration

    async def asleep(self, duration: timedelta) -> None:
        """See `sleep`."""
        self.sleep(duration)

    def advance_to(self, moment: datetime) -> None:
        """Move the clock forward to a moment, unless that has passed."""
        self.moment = max(self.moment, moment)
