"""Times: two units at the most, ticks that are round, all within what is shown, and never two of one name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sagafsm.render.time_format import choose_tick_step, format_age, format_duration, format_time, make_ticks

SPANS = st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=4000))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (0, "0 s"),
        (0.00035, "0.35 ms"),
        (0.000012, "0.012 ms"),
        (0.1, "0.1 s"),
        (119.5, "119.5 s"),
        (120, "2 min"),
        (5400, "1 h 30 min"),
        (172_800, "2 d"),
        (90_061, "1 d 1 h"),
    ],
)
def test_times_are_short(after: float, told: str) -> None:
    """Two units at the most."""
    assert told == format_duration(timedelta(seconds=after))


def test_ages_are_told_from_now_and_without_it_as_moments() -> None:
    """No clock is asked."""
    assert "2 min ago" == format_age(NOON, NOON + timedelta(minutes=2, milliseconds=3))
    assert "0 s ago" == format_age(NOON, NOON - timedelta(minutes=2))
    assert "2026-03-01 12:00:00 UTC" == format_age(NOON, None) == format_time(NOON)


@pytest.mark.parametrize(
    ("span", "step"),
    [
        (0.0008, 0.0001),
        (1.81, 0.5),
        (7.9, 1),
        (8, 1),
        (8.1, 2),
        (300, 60),
        (5000, 900),
        (90_000, 21_600),
        (9e6, 172_800 * 10),
    ],
)
def test_steps_are_round(span: float, step: float) -> None:
    """One, two, five, and what is round in minutes, hours and days."""
    assert timedelta(seconds=step) == choose_tick_step(timedelta(seconds=span), at_most=8)


def test_the_words_of_ticks() -> None:
    """They are as precise as their step, also far from the beginning."""
    second = timedelta(seconds=1)
    assert ["0", "0.5 s", "1.0 s", "1.5 s"] == [told for _, told in make_ticks(0 * second, 1.81 * second)]
    assert ["0", "0.1 ms", "0.2 ms"] == [told for _, told in make_ticks(0 * second, 0.0002 * second, at_most=2)]
    far = [told for _, told in make_ticks(3600 * second, 3600.02 * second, at_most=2)]
    assert ["3,600.00 s", "3,600.01 s", "3,600.02 s"] == far
    assert ["0", "30 min", "1 h"] == [told for _, told in make_ticks(0 * second, 3700 * second, at_most=3)]


@given(start=SPANS, span=SPANS, at_most=st.integers(2, 12))
@example(start=timedelta(0), span=timedelta(microseconds=1), at_most=8)
@example(start=timedelta(days=10), span=timedelta(hours=2), at_most=8)
def test_any_span_has_ticks_within_it_with_names_of_their_own(start: timedelta, span: timedelta, at_most: int) -> None:
    """Never more than asked for, with one at each end."""
    found = make_ticks(start, start + span, at_most=at_most)
    assert len(found) <= at_most + 1
    assert all(start <= at <= start + span for at, _ in found)
    names = [told for _, told in found]
    assert sorted(set(names)) == sorted(names)
