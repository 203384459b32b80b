"""Time in a simulation is virtual: days pass at once, and stand in the history all the same."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sagafsm import Retry, Saga
from sagafsm.verify import verify
from sagafsm.verify.schedule import FaultPoint
from sagafsm.verify.simulate.process import FixedPlan
from sagafsm.verify.simulate.simulation import Simulation
from sagafsm.verify.simulate.virtual_clock import BEGIN, VirtualClock
from support.verifying import Bank, Bench, events_of, pay, paying, undo

DAY = timedelta(days=1)
durations = st.timedeltas(-timedelta(days=9), timedelta(days=99))


@given(st.lists(durations))
def test_time_is_the_sum_of_what_was_slept(slept: list[timedelta]) -> None:
    """Never does it go back."""
    clock, asleep = VirtualClock(), VirtualClock()
    for duration in slept:
        before = clock.now()
        clock.sleep(duration)
        asyncio.run(asleep.asleep(duration)) if duration == slept[0] else asleep.sleep(duration)
        assert before <= clock.now()
    assert BEGIN + sum((max(duration, timedelta(0)) for duration in slept), timedelta(0)) == clock.now() == asleep.now()


@given(durations, durations)
def test_until_a_moment_is_no_earlier_than_now(first: timedelta, second: timedelta) -> None:
    clock = VirtualClock()
    clock.advance_to(BEGIN + first)
    clock.advance_to(BEGIN + second)

    assert BEGIN + max(first, second, timedelta(0)) == clock.now()


def test_a_backoff_of_days_takes_no_time() -> None:
    """It is a day later in the history; nobody waited for it."""
    saga = paying(retry=Retry(3, backoff=DAY, max_backoff=2 * DAY, factor=2.0, jitter=False))
    begun = time.perf_counter()
    outcome = Bench(saga, Bank).run("pay.action/bank.pay#1=raise_before; pay.action/bank.pay#2=raise_before")

    assert outcome.instance is not None
    assert ("completed", 3 * DAY) == (outcome.state, outcome.instance.history[-1].at - BEGIN)
    assert time.perf_counter() - begun < 60


def test_a_wait_of_years_takes_no_time() -> None:
    """A signal that never comes is not waited for."""
    saga = Saga("waiting", resources=["bank"], in_doubt="compensate")
    saga.add_step("pay", pay, undo)
    saga.wait_for("paid", timeout=1_000 * DAY)
    outcome = Bench(saga, Bank, signals={}).usual

    assert outcome.instance is not None
    assert ("failed", 1_000 * DAY) == (outcome.state, outcome.instance.history[-1].at - BEGIN)


def test_every_run_begins_at_the_same_time() -> None:
    """So that what it writes down is the same each time."""
    moments: list[Any] = []
    bench = Bench(paying(), Bank)
    for _ in range(2):
        instance = bench.run("pay.action/bank.pay#1=raise_after").instance
        assert instance is not None
        moments.append([event.at for event in instance.history])

    assert moments[0] == moments[1]
    assert {BEGIN} == set(moments[0])


def test_a_verification_with_long_backoffs_ends() -> None:
    """Within its budget, with every fault in the way of every retry."""
    saga = paying("one", "two", retry=Retry(4, backoff=DAY, jitter=False))

    assert verify(saga, Bank, depth=1).ok


def test_no_backoff_is_counted_in_seconds() -> None:
    """A drive that sleeps looks at its mail every second; where nobody posts any, years are one look."""
    saga = paying(retry=Retry(2, backoff=1_000 * DAY, max_backoff=1_000 * DAY, jitter=False))
    slept: list[timedelta] = []
    bench = Bench(saga, Bank)

    class Counting(VirtualClock):
        def advance_to(self, moment: Any) -> None:
            slept.append(moment - self.now())
            super().advance_to(moment)

    simulation = Simulation(
        bench.trials.setup, Bank(), None, FixedPlan({FaultPoint("pay.action/bank.pay"): "raise_before"})
    )
    simulation.clock = Counting()
    life = simulation.start_process()
    instance = simulation.start(life, simulation.make_operations(life))

    assert ("completed", [1_000 * DAY]) == (instance.state, slept)


def test_a_deadline_ends_a_backoff() -> None:
    """It is a cancel by the clock, at its own time."""
    saga = Saga("hurried", resources=["bank"], deadline=2 * DAY, in_doubt="compensate")
    saga.add_step("one", pay, undo)
    saga.add_step("two", pay, undo, retry=Retry(9, backoff=3 * DAY, max_backoff=3 * DAY, jitter=False))
    outcome = Bench(saga, Bank).run("two.action/bank.pay#1=raise_before")

    assert outcome.instance is not None
    assert ("failed", 2 * DAY) == (outcome.state, outcome.instance.history[-1].at - BEGIN)
    assert "CancelRequested" in events_of(outcome)
