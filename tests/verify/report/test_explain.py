"""A counterexample is told in words: what went wrong, what the saga made of it, what is left, what would help."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sagafsm import Retry, Saga
from sagafsm.verify import Report, verify
from sagafsm.verify.report.explain import build_timeline
from sagafsm.verify.schedule import FAULT_KINDS
from support.verifying import Bank, Bench, ask, events_of, pay, paying, undo

CALL = "pay.action/bank.pay#1"


def forgets(bank: Any) -> None:
    """A compensation that does nothing."""


def forgetful(**options: Any) -> Saga:
    saga = Saga("shop", resources=["bank"])
    saga.add_step("pay", pay, forgets, **{"in_doubt": "compensate", **options})
    saga.add_step("end", pay, undo, in_doubt="compensate")
    return saga


def told(saga: Saga, schedule: str, **options: Any) -> str:
    report: Report = verify(saga, Bank, schedule=schedule, **options)
    assert report.errors, str(report)
    return report.errors[0].message


@pytest.mark.parametrize(
    ("schedule", "first"),
    [
        (f"{CALL}=raise_after", "step 'pay' timed out after bank.pay had taken effect."),
        (f"{CALL}=crash_after", "the process died in step 'pay', after bank.pay had taken effect."),
        (f"{CALL}=interrupt", "Ctrl-C came in step 'pay', after bank.pay had taken effect."),
        (f"{CALL}=cancel", "a cancel came while step 'pay' was at bank.pay."),
        ("pay.commit/StepSucceeded#1=crash", "the process died before StepSucceeded of step 'pay' was stored."),
        ("pay.commit/StepSucceeded#1=crash_after", "the process died once StepSucceeded of step 'pay' was stored."),
        ("pay.commit/StepSucceeded#1=store_fail", "the store failed at StepSucceeded of step 'pay'."),
        ("pay.commit/StepSucceeded#1=cancel", "a cancel came while step 'pay' was at StepSucceeded."),
        (
            "pay.commit/StepSucceeded#1=duplicate",
            "a second worker took over while the first was about to store StepSucceeded.",
        ),
        ("end.action/bank.pay#1=raise_before", "step 'end' was refused by bank.pay."),
        ("end.action/bank.pay#1=down", "bank.pay was down, so that step 'end' could not reach it."),
        ("end.action/bank.pay#1=crash", "the process died in step 'end', before bank.pay took effect."),
        ("pay.action#1=cancel", "a cancel came while step 'pay' was at its function."),
    ],
)
def test_a_fault_is_told(schedule: str, first: str) -> None:
    """In a sentence that names the step and the call, first; then what became of the undo, and what is left."""
    message = told(forgetful(), schedule)

    assert message.startswith(f"saga 'shop', 1 fault: {first} ")
    assert "'forgets' ran with " in message
    assert message.endswith("The instance says that all is compensated.")
    assert ": nothing, now 'paid'" in message


def test_a_message_is_told_whole() -> None:
    """Faults, what the undo made of them, what the law is that was broken."""
    saga = paying(compensation_retry=Retry(1))

    assert (
        "saga 'paying', 2 faults: step 'pay' timed out after bank.pay had taken effect. The compensation of 'pay' was "
        "refused by bank.undo. 'undo' was called with result=None and raised InjectedRefusal: bank.undo was refused "
        "(injected). The compensation of step 'pay' was refused once and is not called again: InjectedRefusal: bank.undo was "
        "refused (injected)."
    ) == told(saga, f"{CALL}=raise_after; pay.compensation/bank.undo#1=raise_before")


def test_a_message_tells_what_has_no_compensation() -> None:
    """Then the instance does not say that all is compensated."""
    saga = Saga("bare", resources=["bank"])
    saga.add_step("pay", pay)
    saga.add_step("end", pay, undo, in_doubt="compensate")
    (left,) = Bench(saga, Bank).run("end.action/bank.pay#1=raise_before").world.held

    assert (
        "saga 'bare', 1 fault: step 'end' was refused by bank.pay. 'pay' has no compensation, so that its effect "
        f"stayed. Left behind: {left}: nothing, now 'paid'."
    ) == told(saga, "end.action/bank.pay#1=raise_before")


def test_no_more_is_listed_than_can_be_read() -> None:
    """Four things, and how many more."""
    saga = Saga("many", resources=["bank"], in_doubt="compensate")
    saga.add_step("pay", lambda bank: [bank.pay(f"k{n}") for n in range(6)], forgets)
    saga.add_step("end", pay, undo)
    report = verify(saga, Bank, schedule="end.action/bank.pay#1=raise_before")

    assert "k3: nothing, now 'paid' and 2 more." in report.errors[0].message
    assert 6 == len(report.errors[0].left)


def test_how_many_faults_there_were_is_told() -> None:
    """Of how many single ones, where all were tried."""
    report = verify(forgetful(), Bank, depth=1)
    singles = sum(len(row.cells) for row in report.matrix)

    assert report.errors[0].message.startswith(f"saga 'shop', 1 fault of {singles}: ")


@pytest.mark.parametrize(
    "schedule", [f"{CALL}=raise_after", f"{CALL}=crash", "end.commit/StepSucceeded#1=duplicate", "no fault"]
)
def test_the_timeline_is_the_history_with_the_faults_in_it(schedule: str) -> None:
    """Every event in its order, with its number; each fault before what came of it."""
    outcome = Bench(forgetful(), Bank).run(schedule)
    timeline = build_timeline(outcome)

    assert events_of(outcome) == [moment.what for moment in timeline if not moment.fault]
    assert [*range(1, len(events_of(outcome)) + 1)] == [moment.number for moment in timeline if not moment.fault]
    assert len(outcome.fired) == sum(moment.fault for moment in timeline)
    assert all(moment.number is None for moment in timeline if moment.fault)
    if outcome.fired and "action" in schedule:
        number = next(index for index, moment in enumerate(timeline) if moment.fault)
        assert ["InstanceCreated", "StepStarted"] == [moment.what for moment in timeline[:number]]


def test_the_timeline_tells_virtual_time_and_nested_instances() -> None:
    inner = paying("hotel", retry=Retry(2, backoff=timedelta(seconds=9), jitter=False))
    saga = Saga("outer", resources=["bank"])
    saga.add_saga("trip", inner)
    timeline = build_timeline(Bench(saga, Bank).run("trip/hotel.action/bank.pay#1=raise_before"))

    assert {"", "trip"} == {moment.instance for moment in timeline if not moment.fault}
    assert timedelta(seconds=9) == timeline[-1].after
    assert [timedelta(0)] == [moment.after for moment in timeline if moment.fault]


def test_every_fault_has_words() -> None:
    """Of whichever kind, wherever it is injected: telling it never fails."""
    saga = Saga("all", resources=["bank"])
    saga.add_step("pay", pay, undo, probe=ask)
    saga.wait_for("paid", timeout=timedelta(days=1))
    bench = Bench(saga, Bank, signals={"paid": 1})
    seen: set[str | None] = set()
    for kind in FAULT_KINDS:
        for point in (CALL, "pay.action#1", "pay.commit/StepSucceeded#1", "paid.signal#1"):
            outcome = bench.run(f"{point}={kind}")
            seen |= {passed.kind for passed in outcome.fired}
            words = [moment.what for moment in build_timeline(outcome) if moment.fault]
            assert all(word and "{" not in word for word in words)
    assert set(FAULT_KINDS) == seen
