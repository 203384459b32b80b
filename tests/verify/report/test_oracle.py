"""Each law that a saga has to keep is judged; a saga that breaks it is told so, and one that keeps it is not."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import attrs
import pytest

from sagafsm import Retry, Saga, open_store
from sagafsm.history import events as e
from sagafsm.verify import verify
from support.broken import Mailless, Uncompared, Unfenced
from support.stores import Wrapped
from support.verifying import Bank, Bench, kinds, pay, undo


def saga_of(action: Any = pay, compensation: Any = undo, *, end: bool = True, **options: Any) -> Saga:
    """One step as given, and one that is right."""
    saga = Saga("shop", resources=["bank"])
    saga.add_step("one", action, compensation, **{"in_doubt": "compensate", **options})
    if end:
        saga.add_step("end", pay, undo, in_doubt="compensate")
    return saga


def nothing(bank: Any) -> None: ...


def keyless(bank: Any, ctx: Any) -> None:
    bank.pay(f"{ctx.idempotency_key} {len(bank.done)}")


def by_result(bank: Any, result: Any) -> None:
    bank.undo(result)


def swallows(bank: Any, ctx: Any) -> Any:
    try:
        return bank.pay(ctx.idempotency_key)
    except BaseException:
        return "whatever"


def behind(bank: Any, ctx: Any) -> None:
    bank.pay(ctx.idempotency_key)

    def later() -> None:
        bank.pay("later")

    timer = threading.Timer(0.02, later)
    timer.start()


def burns(bank: Any) -> None:
    raise LookupError("no such thing")


class Forgiving(Bank):
    """Lets anything in, whenever it comes."""

    def pay(self, key: str) -> str:
        self.back.clear()
        return super().pay(key)


SLOW = timedelta(seconds=20)


@pytest.mark.parametrize(
    ("kind", "step", "saga", "schedule"),
    [
        ("left_behind", "one", saga_of(pay, nothing), "end.action/bank.pay#1=raise_before"),
        ("left_behind", "one", saga_of(pay, None, in_doubt="ask"), "end.action/bank.pay#1=raise_before"),
        ("differs", "one", saga_of(keyless, nothing, in_doubt="retry", end=False), "one.action/bank.pay#1=crash_after"),
        ("differs", "one", saga_of(swallows), "one.action/bank.pay#1=raise_before"),
        ("stuck", "one", saga_of(pay, burns), "end.action/bank.pay#1=cancel"),
        ("stuck", "one", saga_of(pay, burns), "end.action/bank.pay#1=raise_before"),
        (
            "stuck",
            "one",
            saga_of(pay, undo, compensation_retry=Retry(1)),
            "end.action/bank.pay#1=raise_before; one.compensation/bank.undo#1=raise_before",
        ),
        ("swallowed_interrupt", "one", saga_of(swallows), "one.action/bank.pay#1=interrupt"),
        (
            "misleading_residue",
            "one",
            saga_of(pay, None, effect=False, in_doubt="ask"),
            "end.action/bank.pay#1=raise_before",
        ),
        ("do_twice", "one", saga_of(keyless, nothing, in_doubt="retry", end=False), "one.action#1=twice"),
        ("late_do", "one", saga_of(pay, nothing, end=False), "one.action#1=late"),
    ],
)
def test_a_law_that_is_broken_is_told(kind: str, step: str, saga: Saga, schedule: str) -> None:
    """By its name, with the step to blame; the same saga without a fault is fine."""
    found = verify(saga, Bank, schedule=schedule, faults="strict")

    assert (kind, step) in kinds(found), str(found)
    assert [] == kinds(verify(saga, Bank, schedule="no fault"))


@pytest.mark.parametrize(
    "schedule",
    [
        "end.action/bank.pay#1=raise_before",
        "one.action/bank.pay#1=crash_after",
        "one.action/bank.pay#1=interrupt",
        "one.action/bank.pay#1=late",
        "one.action#1=twice",
        "one.action#1=late",
        "one.action#1=cancel; one.compensation#1=twice",
        "end.action/bank.pay#1=raise_before; one.compensation/bank.undo#1=raise_before",
        "end.action/bank.pay#1=raise_before; one.compensation/bank.undo#1=late",
    ],
)
def test_a_law_that_is_kept_is_not_told_broken(schedule: str) -> None:
    assert [] == kinds(verify(saga_of(), Bank, schedule=schedule, faults="strict"))


def test_a_call_that_lands_late_is_only_warned_of() -> None:
    """It needs fencing in the remote; who asks for it strictly has it counted."""
    saga = saga_of(end=False)
    schedule = "one.action/bank.pay#1=late"
    standard, strict = (verify(saga, Forgiving, schedule=schedule, faults=faults) for faults in ("standard", "strict"))  # type: ignore[arg-type]

    assert [("late", "one", "warning")] == [(f.kind, f.step, f.severity) for f in standard.findings]
    assert [("late", "one", "error")] == [(f.kind, f.step, f.severity) for f in strict.findings]
    assert (True, False) == (standard.ok, strict.ok)
    grade = next(grade for grade in standard.grades if grade.grade == "late")
    assert "late: broken (1 of 1)" == str(grade)


def test_what_goes_on_after_the_end_is_told() -> None:
    """A thread that a step leaves running acts when nothing is under way any more."""
    report = verify(saga_of(behind, undo, end=False), Bank, schedule="no fault", time_limit=SLOW)

    assert [("after_end", "one")] == kinds(report)
    told = "saga 'shop', no fault: bank.pay was called when no step was under way any more."
    assert told == report.errors[0].message


def test_a_business_refusal_is_no_mistake() -> None:
    """It fails, and nothing is left."""

    def choosy(bank: Any, ctx: Any, input: Any) -> str:
        if input == "poor":
            raise ValueError("no money")
        return bank.pay(ctx.idempotency_key)

    saga = Saga("choosy", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", pay, undo)
    saga.add_step("two", choosy, undo)

    assert verify(saga, Bank, inputs=["rich", "poor"], depth=1).ok


def test_a_result_is_the_recorded_one_in_every_run() -> None:
    """A compensation that counts on a tuple, or an object of its own, is found without any restart."""

    def books(bank: Any, ctx: Any) -> Any:
        return (bank.pay(ctx.idempotency_key), 1)

    def cancels(bank: Any, result: Any, ctx: Any) -> None:
        if isinstance(result, tuple):
            bank.undo(result[0])

    report = verify(saga_of(books, cancels), Bank, schedule="end.action/bank.pay#1=raise_before")
    assert [("left_behind", "one")] == kinds(report)


def test_who_needs_the_result_of_a_doubt_is_told() -> None:
    """It ran with None, and undid nothing."""
    report = verify(saga_of(pay, by_result), Bank, schedule="one.action/bank.pay#1=raise_after")

    assert [("left_behind", "one")] == kinds(report)
    assert "Derive the id from ctx.action_key, or give 'one' a probe." == report.errors[0].advice


def test_every_step_that_leaves_something_is_named() -> None:
    """Each by itself."""
    saga = saga_of(pay, nothing)
    saga.add_step("third", pay, nothing, in_doubt="compensate")
    saga.add_step("last", pay, undo, in_doubt="compensate")

    assert {("left_behind", "one"), ("left_behind", "third")} == set(
        kinds(verify(saga, Bank, schedule="last.action/bank.pay#1=raise_before"))
    )


# Positive controls ------------------------------------------------------------------------------------------------


MEMORY = type(open_store("memory://"))


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (Mailless, [("lost_cancel", "")]),
        (lambda store: Uncompared(Unfenced(store)), [("differs", "one"), ("differs", "end")]),
    ],
)
def test_a_store_that_breaks_its_promise_is_noticed(broken: Any, found: Any) -> None:
    """Mail not looked at; compare-and-set off, in version and token: a correct saga over it is no longer held."""
    report = verify(saga_of(), Bank, store=lambda: broken(MEMORY()), depth=1)

    assert found == kinds(report)


@pytest.mark.parametrize("kept", [Wrapped, Unfenced, Uncompared])
def test_over_a_store_that_keeps_them_nothing_is_noticed(kept: Any) -> None:
    """Nor where a version alone, or a token alone, refuses who was replaced: either is enough."""
    assert [] == kinds(verify(saga_of(), Bank, store=lambda: kept(MEMORY()), depth=1))


def test_an_undo_out_of_order_is_noticed() -> None:
    """By the numbers of the events: the history of a run with two starts of undo exchanged."""
    bench = Bench(saga_of(), Bank)
    outcome = bench.run("end.action/bank.pay#1=raise_after")
    assert outcome.instance is not None
    assert [] == bench.scenario.oracle.find_violations(outcome)

    history = list(outcome.instance.history)
    first, second = (index for index, event in enumerate(history) if isinstance(event, e.CompensationStarted))
    history[first], history[second] = history[second], history[first]
    exchanged = attrs.evolve(outcome, instance=attrs.evolve(outcome.instance, history=tuple(history)))
    (violation,) = bench.scenario.oracle.find_violations(exchanged)
    assert ("order", "end") == (violation.kind, violation.step) or ("order", "one") == (violation.kind, violation.step)


def test_a_cancel_that_is_lost_is_noticed() -> None:
    """A history that knows nothing of it."""
    bench = Bench(saga_of(), Bank)
    outcome = bench.run("end.action/bank.pay#1=cancel")
    assert outcome.instance is not None
    assert [] == bench.scenario.oracle.find_violations(outcome)

    calm = bench.run()
    calm.run.cancelled = 1
    (violation,) = bench.scenario.oracle.find_violations(calm)
    assert ("lost_cancel", "", "a cancel was accepted, and the instance went on as if there had been none") == (
        *(violation.kind, violation.step),
        violation.message,
    )
