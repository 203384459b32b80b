"""One run is the real drive over a simulated process: turns, signals, second workers, cancels, and whole functions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sagafsm import Saga
from sagafsm.verify import verify
from sagafsm.verify.schedule import FaultKind
from support.verifying import Bank, Bench, events_of, kinds, pay, paying, points_of, undo


def group(*names: str) -> Saga:
    saga = Saga("group", resources=["bank"], in_doubt="compensate")
    for name in names:
        saga.add_step(name, pay, undo, group="g")
    return saga


# Turns ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("turns", "order"), [("first", ["a", "b", "c"]), ("last", ["c", "b", "a"])])
def test_members_of_a_group_answer_in_turns(turns: str, order: list[str]) -> None:
    """The one that was started first, or the one that was started last."""
    outcome = Bench(group("a", "b", "c"), Bank).run(f"turns={turns}")
    assert outcome.instance is not None

    assert [f"{name}.action#1" for name in order] == [
        point for point in points_of(outcome) if point.endswith("action#1")
    ]
    succeeded = [event for event in outcome.instance.history if type(event).__name__ == "StepSucceeded"]
    assert order == [event.step for event in sorted(succeeded, key=lambda event: event.number)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("turns", ["first", "last"])
def test_a_group_is_undone_against_the_order_of_start(turns: str) -> None:
    """Whoever answered first."""
    hit = "c" if turns == "first" else "a"
    outcome = Bench(group("a", "b", "c"), Bank).run(f"{hit}.action/bank.pay#1=raise_after; turns={turns}")
    assert outcome.instance is not None

    undone = [event.step for event in outcome.instance.history if type(event).__name__ == "CompensationStarted"]  # type: ignore[attr-defined]
    assert ["c", "b", "a"] == undone


def test_both_turns_are_tried() -> None:
    """What only shows when the last one answers first is found, and its schedule says so."""

    def first(bank: Any) -> None:
        if not bank.held:
            bank.pay("lonely")
        bank.pay("first")

    def back(bank: Any) -> None:
        bank.undo("first")
        if "second" in bank.held:
            bank.undo("lonely")

    saga = Saga("turning", resources=["bank"], in_doubt="compensate")
    saga.add_step("a", lambda bank: bank.pay("second"), lambda bank: bank.undo("second"), group="g")
    saga.add_step("b", first, back, group="g")
    saga.add_step("end", pay, undo)
    report = verify(saga, Bank, depth=1)

    assert any("turns=last" in finding.schedule for finding in report.errors), str(report)


# Nested sagas -----------------------------------------------------------------------------------------------------


def nested() -> Saga:
    inner = Saga("inner", resources=["bank"], in_doubt="compensate")
    inner.add_step("hotel", pay, undo)
    middle = Saga("middle", resources=["bank"], in_doubt="compensate")
    middle.add_saga("stay", inner)
    saga = Saga("outer", resources=["bank"], in_doubt="compensate")
    saga.add_saga("trip", middle)
    saga.add_step("end", pay, undo)
    return saga


def test_a_nested_step_is_named_by_its_path() -> None:
    """However deep; and is hit by it."""
    bench = Bench(nested(), Bank)

    assert [
        *("commit/InstanceCreated#1", "trip.commit/InstanceCreated#1", "trip/stay.commit/InstanceCreated#1"),
        *("trip/stay/hotel.action#1", "trip/stay/hotel.action/bank.pay#1"),
    ] == points_of(bench.usual)[:5]
    outcome = bench.run("trip/stay/hotel.action/bank.pay#1=raise_after")
    assert (["pay", "undo"], "failed") == (outcome.world.done, outcome.state)


def test_a_nested_saga_that_forgets_is_named_by_its_path() -> None:
    inner = Saga("inner", resources=["bank"], in_doubt="compensate")
    inner.add_step("hotel", pay, lambda bank: None)
    saga = Saga("outer", resources=["bank"])
    saga.add_saga("trip", inner)

    assert ("left_behind", "trip/hotel") in kinds(verify(saga, Bank, depth=1))


# Whole functions --------------------------------------------------------------------------------------------------


class Till:
    """A world that its steps change without a call."""

    def __init__(self) -> None:
        self.paid: list[str] = []

    def resources(self) -> dict[str, Any]:
        return {"till": self}

    def snapshot(self) -> Any:
        return list(self.paid)


def take(till: Any, ctx: Any) -> str:
    till.paid.append(ctx.step)
    return "taken"


def give(till: Any, ctx: Any) -> None:
    if ctx.step in till.paid:
        till.paid.remove(ctx.step)


def taking() -> Saga:
    saga = Saga("taking", resources=["till"], in_doubt="compensate")
    saga.add_step("take", take, give)
    saga.add_step("more", take, give)
    return saga


@pytest.mark.parametrize(
    ("fault", "called", "events"),
    [
        ("raise_before", 0, ["StepFailed"]),
        ("raise_after", 1, ["StepInDoubt"]),
        ("crash", 0, ["StepInDoubt"]),
        ("crash_after", 1, ["StepInDoubt"]),
        ("interrupt", 1, ["StepInDoubt"]),
    ],
)
def test_a_function_that_calls_nothing_is_hit_as_a_whole(fault: FaultKind, called: int, events: list[str]) -> None:
    """Before it, or after it; then it is undone as any other."""
    outcome = Bench(taking(), Till).run(f"take.action#1={fault}")

    assert called == sum(one.returned for one in outcome.run.calls.step_calls if one.role == "action")
    assert events == events_of(outcome)[2:3]
    assert ("failed", []) == (outcome.state, outcome.world.paid)


def test_a_function_may_be_called_twice_or_late() -> None:
    """Under the same key; late is after the end."""
    bench = Bench(paying("one", "two"), Bank)

    assert ["pay", "pay", "pay"] == bench.run("one.action#1=twice").world.done
    assert ["pay", "undo", "undo"] == bench.run("one.action#1=cancel; one.compensation#1=twice").world.done
    late = bench.run("one.action#1=late")
    assert (["undo", "pay"], ()) == (late.world.done, late.late_effects)  # the bank refuses what comes late
    careless = Bench(paying_carelessly(), Bank).run("one.action#1=late")
    assert (["pay"], ("one.action",)) == (careless.world.done, careless.late_effects)


def paying_carelessly() -> Saga:
    saga = Saga("careless", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", pay, lambda bank: None)
    return saga


# A second worker, and a cancel ------------------------------------------------------------------------------------


def test_a_second_worker_takes_over() -> None:
    """It resumes while the first is about to store; the first one's outcome is refused, and what it did is undone."""
    outcome = Bench(paying("one", "two"), Bank).run("two.commit/StepSucceeded#1=duplicate")
    assert outcome.instance is not None

    assert {1, 2} <= {passed.point.process_number for passed in outcome.trace}
    assert ["pay", "pay", "undo", "undo"] == outcome.world.done
    assert ("failed", [], True) == (outcome.state, outcome.world.held, outcome.instance.compensated)


def test_a_second_worker_is_noticed_where_services_know_no_keys() -> None:
    """An action that is retried acts twice without one: the positive control."""

    def charge(bank: Any, ctx: Any) -> None:
        bank.pay(f"{ctx.idempotency_key} {len(bank.done)}")

    saga = Saga("keyless", resources=["bank"], in_doubt="retry")
    saga.add_step("one", charge, undo)
    report = verify(saga, Bank, schedule="one.commit/StepSucceeded#1=duplicate")

    assert [("differs", "one")] == kinds(report)


@pytest.mark.parametrize(
    "saga", [paying("one", "two", "three"), group("one", "two"), nested()], ids=["steps", "group", "nested"]
)
def test_a_cancel_is_not_lost(saga: Saga) -> None:
    """Wherever it comes: it stands in the history, and the saga goes back."""
    bench = Bench(saga, Bank)
    tried = 0
    for passed in bench.usual.trace:
        if passed.point.role == "commit" or passed.point.call:
            if str(passed.point) == "commit/InstanceCreated#1":
                continue  # there is nothing to cancel yet
            outcome = bench.run(f"{passed.point}=cancel")
            tried += 1
            assert ("failed", []) == (outcome.state, outcome.world.held), str(passed.point)
            assert "CancelRequested" in events_of(outcome), str(passed.point)
            assert [] == bench.scenario.oracle.find_violations(outcome)
    assert tried >= 4


def test_a_cancel_behind_the_pivot_comes_too_late() -> None:
    saga = Saga("pivoting", resources=["bank"])
    saga.add_step("one", pay, undo, in_doubt="compensate")
    saga.add_step("point", pay, pivot=True, in_doubt="retry")
    outcome = Bench(saga, Bank).run("point.action/bank.pay#1=cancel")

    assert "completed" == outcome.state
    assert "CancelCameTooLate" in events_of(outcome)


# Signals ----------------------------------------------------------------------------------------------------------


def waiting(**options: Any) -> Saga:
    saga = Saga("waiting", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", pay, undo)
    saga.wait_for("paid", **options or {"timeout": timedelta(days=1)})
    return saga


def test_a_signal_that_is_given_comes() -> None:
    """With its payload as the wait's result; where the wait would end without it, it is a point."""
    outcome = Bench(waiting(), Bank, signals={"paid": {"by": "Ann"}}).usual
    assert outcome.instance is not None

    assert {"by": "Ann"} == outcome.instance.results["paid"]
    assert ["paid.signal#1", "commit/SignalReceived#1"] == points_of(outcome)[-2:]


def test_a_signal_that_is_withheld_never_comes() -> None:
    """The wait times out, and the saga goes back; a cancel meanwhile does the same."""
    bench = Bench(waiting(), Bank, signals={"paid": 1})

    withheld, cancelled = bench.run("paid.signal#1=withhold"), bench.run("paid.signal#1=cancel")
    assert ["StepFailed", "CauseRecorded"] == events_of(withheld)[4:6]
    assert ["CancelRequested", "SignalReceived", "CauseRecorded"] == events_of(cancelled)[4:7]
    assert ("failed", "failed", []) == (withheld.state, cancelled.state, withheld.world.held)


def test_a_signal_that_is_missing_is_told() -> None:
    """Where it would be waited for without an end; by its path."""
    inner = waiting(timeout=None)
    outer = Saga("outer", resources=["bank"])
    outer.add_saga("trip", inner)
    told = "it waits for signal {0!r}, which nobody sends (pass signals={{{0!r}: ...}} to verify)"

    for saga, name in ((inner, "paid"), (outer, "trip/paid")):
        outcome = Bench(saga, Bank).usual
        assert ("unanswered", told.format(name)) == (outcome.ending, outcome.stop_reason)
        assert "completed" == Bench(saga, Bank, signals={name: 1}).usual.state


def test_a_wait_that_ends_by_itself_needs_no_signal() -> None:
    assert ("rested", "failed") == (Bench(waiting(), Bank).usual.ending, Bench(waiting(), Bank).usual.state)
