"""Retry: how often, and how long apart."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sagafsm.definition.retry import Retry
from sagafsm.errors import DefinitionError
from support.messages import message_of

SECOND = timedelta(seconds=1)
DURATIONS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3650))
FACTORS = st.one_of(st.floats(1, 1e308), st.floats(1, 4), st.integers(1, 1000))
SPENT = st.integers(1, 10_000)


def test_the_defaults() -> None:
    """One attempt; where there are more, 200 ms doubled each time up to five minutes, with jitter, on any Exception."""
    retry = Retry()

    assert (
        Retry(
            1,
            backoff=timedelta(milliseconds=200),
            factor=2.0,
            max_backoff=timedelta(minutes=5),
            jitter=True,
            on=(Exception,),
        )
        == retry
    )
    assert Retry(attempts=3) == Retry(3)


def test_pauses_double_up_to_the_longest() -> None:
    """The n-th pause is `backoff * factor**(n-1)`, at most `max_backoff`."""
    retry = Retry(9, backoff=SECOND, factor=3, max_backoff=timedelta(seconds=20), jitter=False)

    assert [retry.pause(n, 0.5) for n in range(1, 6)] == [SECOND, 3 * SECOND, 9 * SECOND, 20 * SECOND, 20 * SECOND]


@pytest.mark.parametrize(("draw", "seconds"), [(0.0, 0.0), (0.25, 1.0), (1.0, 4.0)])
def test_jitter_draws_from_zero_to_the_whole_pause(draw: float, seconds: float) -> None:
    """With jitter a pause is drawn evenly from zero to the whole ("full jitter")."""
    assert timedelta(seconds=seconds) == Retry(9, backoff=SECOND).pause(3, draw)


@given(backoff=DURATIONS, factor=FACTORS, longest=DURATIONS, spent=SPENT, draw=st.floats(0, 1))
@example(backoff=SECOND, factor=100.0, longest=SECOND * 300, spent=500, draw=1.0)
@example(backoff=SECOND, factor=1e308, longest=SECOND * 300, spent=3, draw=1.0)
@example(backoff=SECOND, factor=10**30, longest=SECOND * 300, spent=9999, draw=1.0)
@example(backoff=timedelta(0), factor=100.0, longest=SECOND * 300, spent=500, draw=1.0)
def test_no_pause_is_ever_out_of_bounds(
    backoff: timedelta, factor: float, longest: timedelta, spent: int, draw: float
) -> None:
    """Whatever the numbers, a pause is from zero to `max_backoff`, and with jitter no longer than without."""
    plain = Retry(2, backoff=backoff, factor=factor, max_backoff=longest, jitter=False)
    jittered = Retry(2, backoff=backoff, factor=factor, max_backoff=longest)

    whole = plain.pause(spent, draw)

    assert timedelta(0) <= whole <= longest
    assert timedelta(0) <= jittered.pause(spent, draw) <= whole
    assert (plain.pause(1, draw), whole == timedelta(0)) == (min(backoff, longest), not (backoff and longest))


@given(backoff=DURATIONS, factor=FACTORS, longest=DURATIONS, spent=SPENT)
@example(backoff=SECOND, factor=1.01, longest=SECOND * 300, spent=201)
def test_pauses_never_shrink(backoff: timedelta, factor: float, longest: timedelta, spent: int) -> None:
    """Without jitter each pause is as long as the one before or longer, until the longest is reached."""
    retry = Retry(2, backoff=backoff, factor=factor, max_backoff=longest, jitter=False)

    assert retry.pause(spent, 0.5) <= retry.pause(spent + 1, 0.5)


def test_a_small_factor_grows_as_long_as_it_is_told_to() -> None:
    """The n-th pause follows the formula for any n, not only the first few hundred."""
    retry = Retry(2000, backoff=SECOND, factor=1.01, jitter=False)

    assert pytest.approx(1.01**400) == retry.pause(401, 0.5).total_seconds()


def test_the_longest_timedelta_is_a_longest_pause() -> None:
    """Any `max_backoff` that a timedelta can say is one."""
    retry = Retry(2, backoff=timedelta.max, max_backoff=timedelta.max)

    assert timedelta.max == retry.pause(9, 1.0)


@given(attempts=st.integers(1, 100), spent=st.integers(1, 200))
def test_the_budget_counts_every_call(attempts: int, spent: int) -> None:
    """Another call is allowed exactly while fewer than `attempts` were made."""
    assert (spent < attempts) == Retry(attempts).allows(spent, ValueError())


def test_only_the_listed_exceptions_are_retried() -> None:
    """`on` names types; their subclasses count."""
    retry = Retry(3, on=(LookupError, OSError))

    assert [retry.allows(1, error) for error in (KeyError(), BrokenPipeError(), ValueError())] == [True, True, False]
    assert not Retry(3).allows(1, KeyboardInterrupt())
    assert not Retry(3, on=()).allows(1, ValueError())


@pytest.mark.parametrize("attempts", [0, -1, True, 1.5, "3", None])
def test_attempts_are_a_number_from_one(attempts: Any) -> None:
    """`attempts` counts the first call too, so there is at least one."""
    expected = f"Retry takes attempts of 1 or more, not {attempts!r}"
    assert expected == message_of(DefinitionError, lambda: Retry(attempts))


@pytest.mark.parametrize("name", ["backoff", "max_backoff"])
@pytest.mark.parametrize("value", [timedelta(microseconds=-1), 1, 0.5, None])
def test_durations_are_timedeltas(name: str, value: Any) -> None:
    """A pause is a timedelta of zero or more: bare numbers have no unit."""
    expected = f"Retry takes a {name} that is a timedelta of zero or more, not {value!r}"
    assert expected == message_of(DefinitionError, lambda: Retry(2, **{name: value}))


@pytest.mark.parametrize("factor", [0.99, 0, -2, math.nan, math.inf, "2", None])
def test_the_factor_is_a_number_from_one(factor: Any) -> None:
    """A factor below 1 would shrink the pauses, and an endless one has no second pause."""
    expected = f"Retry takes a factor that is a number of 1 or more, not {factor!r}"
    assert expected == message_of(DefinitionError, lambda: Retry(2, factor=factor))


@pytest.mark.parametrize("on", [ValueError, [ValueError], (ValueError(),), (KeyboardInterrupt,), ("ValueError",)])
def test_on_is_a_tuple_of_exception_types(on: Any) -> None:
    """`on` holds types of Exception: what is none, as Ctrl-C, is never retried."""
    expected = f"Retry takes on= as a tuple of Exception types, not {on!r}"
    assert expected == message_of(DefinitionError, lambda: Retry(2, on=on))


def test_a_retry_is_a_value() -> None:
    """Retries compare by what they say, and do not change."""
    assert Retry(3) == Retry(3)
    assert Retry(3) != Retry(3, jitter=False)
    with pytest.raises(AttributeError):
        Retry(3).attempts = 4  # type: ignore[misc]
