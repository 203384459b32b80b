"""What is drawn at random is drawn the same each time, fits its points, and is brought down to what is needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import Saga
from sagafsm.errors import RequestError
from sagafsm.verify import verify
from sagafsm.verify.explore.concurrent_pairs import RefusalPlan, run_pair
from sagafsm.verify.explore.random_faults import RandomPlan, RandomSearch, draw_examples, is_strategy
from sagafsm.verify.schedule import ConcurrentPair, Fault, FaultPoint, Schedule, list_fault_kinds
from support.verifying import Bank, Bench, pay, paying, undo

points = st.sampled_from(
    [
        FaultPoint("commit/InstanceCreated"),
        FaultPoint("a.action"),
        FaultPoint("a.action/s.do"),
        FaultPoint("a.commit/StepSucceeded"),
        FaultPoint("a.compensation/s.undo", 2, 3),
        FaultPoint("a.probe/s.ask"),
        FaultPoint("paid.signal"),
    ]
)
gaps = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1_000)), max_size=5)


def impatient() -> Saga:
    """Loses patience at its third undo, in whichever way the others ended."""

    def back(bank: Any, ctx: Any) -> None:
        if ctx.attempt < 3:
            bank.undo(ctx.action_key)
        else:
            bank.back.clear()
            bank.pay("a fee")

    saga = Saga("impatient", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", pay, back)
    return saga


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(impatient(), Bank)
    yield made
    made.watch.close()


def explored(number: int) -> tuple[list[tuple[Any, str]], int, int]:
    bench = Bench(impatient(), Bank)
    randomised = RandomSearch(bench.trials, [bench.scenario])
    randomised.explore(number, both=True)
    bench.watch.close()
    found = [(key, str(found.schedule)) for key, found in bench.trials.found.items()]
    return found, randomised.drawn, randomised.together


def test_what_is_drawn_is_drawn_the_same_each_time() -> None:
    """With what was found, down to the schedules."""
    first = explored(30)

    assert first == explored(30)
    assert (30, 30) == first[1:]


def test_what_needs_several_faults_is_found_and_made_small() -> None:
    """No fault of it can be dropped; and it replays."""
    found, _, _ = explored(100)
    assert ("left_behind", "one") in {key for key, _ in found}
    for key, text in found:
        schedule = Schedule.parse(text)
        bench = Bench(impatient(), Bank)

        def breaks(candidate: Schedule, bench: Bench = bench, key: Any = key) -> bool:
            return any((violation.kind, violation.step) == key for violation in bench.judge(str(candidate)))

        # A pair would do as well; which one chance comes by first is its own affair, and the Python's.
        assert len(schedule) >= 2, text
        assert breaks(schedule), text
        for index in range(len(schedule)):
            fewer = Schedule(schedule.faults[:index] + schedule.faults[index + 1 :], schedule.turns, schedule.operator)
            assert not breaks(fewer), text


@given(gaps, st.lists(points, max_size=30))
def test_a_drawn_fault_fits_its_point(gaps: list[tuple[int, int]], passed: list[FaultPoint]) -> None:
    """Never more than are drawn, never one that is not tried there."""
    plan = RandomPlan(gaps)
    given_ = [(point, plan.at(point)) for point in passed]
    injected = [Fault(point, kind) for point, kind in given_ if kind is not None]

    assert injected == plan.fired
    assert len(injected) <= len(gaps)
    for fault in injected:
        assert fault.kind in list_fault_kinds(fault.point, intercepted=False)
        assert fault.point.label != "a.action"


@given(gaps.filter(bool))
def test_a_gap_is_that_many_points(gaps: list[tuple[int, int]]) -> None:
    """The first fault comes after as many points as the first gap says."""
    plan = RandomPlan(gaps)
    kinds = [plan.at(FaultPoint("a.action/s.do", number)) for number in range(1, 9)]

    assert gaps[0][0] == next(index for index, kind in enumerate(kinds) if kind is not None)


def test_a_strategy_is_told_from_other_values() -> None:
    for value in (st.integers(), st.just(1), st.builds(Bank), st.integers().map(str), st.lists(st.text())):
        assert is_strategy(value)
    for value in (1, [1], "hypothesis", Bank, Bank(), None):
        assert not is_strategy(value)


@pytest.mark.parametrize("number", [1, 3, 6])
def test_examples_are_the_same_each_time_and_differ(number: int) -> None:
    """No more than were asked for, none twice."""
    values = draw_examples(st.integers(0, 3), number)

    assert values == draw_examples(st.integers(0, 3), number)
    assert len(set(values)) == len(values) <= number


def test_drawing_is_told_in_the_bounds() -> None:
    """How many there were; and that it was not done, where it was not."""
    assert "more faults at random" in verify(paying(), Bank, depth=1).bounds.not_covered
    bounds = verify(paying(), Bank, depth="auto").bounds
    assert (200, 200) == (bounds.drawn, bounds.together)
    assert "more faults at random" not in bounds.not_covered
    assert "200 of more faults at random; 200 of two instances at once" in str(bounds)


# Two at once ------------------------------------------------------------------------------------------------------


class Account(Bank):
    """A balance that is read and written."""

    def __init__(self) -> None:
        super().__init__()
        self.balance = 10

    def snapshot(self) -> Any:
        return {"balance": self.balance, **super().snapshot()}

    def get(self) -> int:
        return self.balance

    def set(self, balance: int) -> None:
        self.balance = balance


def overwriting() -> Saga:
    """Puts back the balance that it read, whoever wrote meanwhile; alone it does no harm."""

    def take(bank: Any) -> int:
        before: int = bank.get()
        bank.set(before - 1)
        return before

    def give(bank: Any, result: int | None) -> None:
        if result is not None:
            bank.set(result)

    saga = Saga("overwriting", resources=["bank"], in_doubt="compensate")
    saga.add_step("take", take, give)
    saga.add_step("end", pay, undo)
    return saga


def test_what_two_instances_do_to_each_other_is_found() -> None:
    """Each alone puts back what it found; beside each other the second one undoes the first one's undo."""
    bench = Bench(overwriting(), Account)
    assert [] == bench.judge("end.action/bank.pay#1=raise_before")

    outcomes = [run_pair(bench.trials, bench.scenario, ConcurrentPair(order, (3, 3))) for order in ("0" * 9, "01" * 9)]
    alone, mixed = (outcome for outcome in outcomes if outcome is not None)
    assert ("failed", "failed") == (alone.state, mixed.state)
    assert [] == bench.scenario.oracle.find_violations(alone)
    assert ["left_behind"] == [violation.kind for violation in bench.scenario.oracle.find_violations(mixed)]
    bench.watch.close()


def test_what_was_found_of_two_is_replayed_by_its_text() -> None:
    """As every other schedule is: it names the order, and which call of each is refused."""
    report = verify(overwriting(), Account, schedule="beside=010101010101010101/3/3")

    assert [("left_behind", "take", 2, "beside=010101010101010101/3/3")] == [
        (finding.kind, finding.step, finding.faults, finding.schedule) for finding in report.errors
    ]
    assert verify(overwriting(), Account, schedule="beside=000000000/3/3").ok
    with pytest.raises(RequestError, match=r"^'beside=0/1/1' is a schedule by itself: two instances meet no further"):
        verify(overwriting(), Account, schedule="a.action#1=crash; beside=0/1/1")


def test_only_one_call_is_refused() -> None:
    """The n-th of the actions; nothing else is hit."""
    refusing = RefusalPlan(2)
    passed = [
        FaultPoint("a.action"),
        FaultPoint("a.action/s.do"),
        FaultPoint("a.compensation/s.undo"),
        FaultPoint("b.action/s.do"),
        FaultPoint("b.action/s.do", 2),
    ]

    assert [None, None, None, "raise_before", None] == [refusing.at(point) for point in passed]


def test_two_that_are_not_refused_both_complete(bench: Bench) -> None:
    outcome = run_pair(bench.trials, bench.scenario, ConcurrentPair("10", (99, 99)))
    assert outcome is not None

    assert "completed" == outcome.state
    assert 2 == len(outcome.world.held)
