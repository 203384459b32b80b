"""Times in words and on an axis: short, round, and without any clock of their own."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

_ROUND_DIGITS = (1, 2, 5)
# Above a minute what is round is not decimal: seconds, minutes, hours, days.
_ROUND_SECONDS = (60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)
_DAY = 86_400


def format_duration(after: timedelta) -> str:
    """A time since the beginning, short: "0 s", "0.3 ms", "1.5 s", "2 min", "1 h 30 min", "2 d"."""
    total = after.total_seconds()
    if 0 < total < 0.001:
        return f"{total * 1000:.2g} ms"
    if total < 120:
        return f"{round(total, 3):g} s"
    return " ".join(_split_units(round(total))[:2])


def _split_units(total: int) -> list[str]:
    days, rest = divmod(total, _DAY)
    hours, rest = divmod(rest, 3_600)
    parts = [(days, "d"), (hours, "h"), (rest // 60, "min"), (rest % 60, "s")]
    return [f"{number} {unit}" for number, unit in parts if number]


def format_time(at: datetime) -> str:
    """A moment as a date and a time of day, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_age(at: datetime, now: datetime | None) -> str:
    """How long ago something was; without `now`, when it was."""
    if now is None:
        return format_time(at)
    return f"{format_duration(timedelta(seconds=round(max((now - at).total_seconds(), 0))))} ago"


def choose_tick_step(span: timedelta, *, at_most: int) -> timedelta:
    """The smallest round time of which `at_most` make up a span."""
    least = max(span / timedelta(seconds=1), 1e-6) / at_most
    if least <= 30:
        power = math.floor(math.log10(least))
        decimal = (digit * 10.0**exponent for exponent in range(power, power + 2) for digit in _ROUND_DIGITS)
        return timedelta(seconds=next((one for one in (*decimal, 60.0) if one >= least * 0.999), 60.0))
    for one in _ROUND_SECONDS:
        if one >= least:
            return timedelta(seconds=one)
    return choose_tick_step(timedelta(seconds=least / _DAY), at_most=1) * _DAY


def make_ticks(start: timedelta, end: timedelta, *, at_most: int = 8) -> list[tuple[timedelta, str]]:
    """The round times from `start` to `end`, with their words."""
    step = max(choose_tick_step(end - start, at_most=at_most), timedelta(microseconds=1))
    first = -(-start // step)
    return [(step * n, _format_tick(step * n, step)) for n in range(first, end // step + 1)]


def _format_tick(at: timedelta, step: timedelta) -> str:
    if not at:
        return "0"
    size = step.total_seconds()
    if size < 0.001 and at < timedelta(seconds=1):
        return f"{round(at.total_seconds() * 1000, 3):g} ms"
    if at < timedelta(minutes=2) or size < 1:
        # Far from the beginning and near to each other, ticks would all be called the same minute.
        return f"{round(at.total_seconds(), 6):,.{max(0, -math.floor(math.log10(size) + 1e-9))}f} s"
    return " ".join(_split_units(round(at.total_seconds())))
