"""A verification that means nothing says so: it is not ok, it is vacuous, and it tells the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sagafsm import Saga
from sagafsm.verify import Report, verify
from sagafsm.verify.report.oracle import VACUOUS
from support.verifying import Bank, pay, paying, undo

KEPT: dict[str, Any] = {}


class Constant(Bank):
    def snapshot(self) -> Any:
        return "always the same"


class Two(Bank):
    def resources(self) -> dict[str, Any]:
        return {"bank": self, "mail": self}


def forget() -> None:
    KEPT.clear()


def of_globals() -> Report:
    saga = Saga("shop")
    saga.add_step("charge", lambda input: KEPT.setdefault("paid", 1), forget)
    return verify(saga, Bank, depth=1)


def of_none_called() -> Report:
    saga = Saga("shop", resources=["bank"])
    saga.add_step("charge", lambda bank: 1, lambda: None)
    return verify(saga, Bank, depth=1)


def of_never() -> Report:
    def burn(bank: Any) -> None:
        raise LookupError("no such thing")

    saga = Saga("shop", resources=["bank"])
    saga.add_step("one", pay, undo)
    saga.add_step("burn", burn)
    return verify(saga, Bank, inputs=[1, 2], depth=1)


def of_a_type() -> Saga:
    saga = Saga("shop", resources=["bank"], input=int)
    saga.add_step("pay", pay, undo, in_doubt="compensate")
    return saga


def of_unreached() -> Report:
    inner = Saga("inner", resources=["bank"], in_doubt="compensate")
    inner.add_step("deep", pay, undo)
    inner.add_step("deeper", pay, undo, when=lambda input: False)
    saga = Saga("shop", resources=["bank"], in_doubt="compensate")
    saga.add_step("pay", pay, undo)
    saga.add_saga("trip", inner)
    return verify(saga, Bank, depth=1)


@pytest.mark.parametrize(
    ("ask", "kind", "step", "message", "advice"),
    [
        (
            of_globals,
            "not_intercepted",
            "",
            "saga 'shop': no resource of this world was ever called.",
            (
                "Let the steps get it as a resource: Saga('shop', resources=['bank']) and def charge(input, bank): ... "
                "instead of a global."
            ),
        ),
        (
            of_none_called,
            "not_intercepted",
            "",
            "saga 'shop': no resource of this world was ever called.",
            (
                "Let the steps get it as a resource: Saga('shop', resources=['bank']) and def charge(input, bank): ... "
                "instead of a global."
            ),
        ),
        (
            lambda: verify(paying(), Constant, depth=1),
            "constant_snapshot",
            "",
            (
                "saga 'paying': the world's snapshot is the same before and after, so that nothing that is done or left "
                "shows."
            ),
            "Return from snapshot() what the fakes hold, by value.",
        ),
        (
            of_never,
            "never_completes",
            "burn",
            "saga 'shop': no input completes without a fault (step 'burn': LookupError: no such thing).",
            "Pass inputs=[...] of which at least one completes in this world.",
        ),
        (
            lambda: verify(of_a_type(), Bank, inputs=[1, "x"], depth=1),
            "refused_input",
            "",
            "saga 'shop' refuses input 1: input 1 at $: does not fit int: str where int is declared",
            "",
        ),
        (
            of_unreached,
            "never_reached",
            "trip/deeper",
            "saga 'shop': step 'trip/deeper' was never reached by any input.",
            "Give an input for which it is called.",
        ),
        (
            lambda: verify(paying(), Bank, schedule="pay.action/bank.spend#1=crash"),
            "unfired",
            "pay",
            (
                "saga 'paying': the run came by no point 'pay.action/bank.spend#1', so that 'crash' was not injected "
                "(nearest: pay.action/bank.pay#1)."
            ),
            "Correct the schedule, or drop that fault.",
        ),
    ],
)
def test_what_means_nothing_is_told(ask: Callable[[], Report], kind: str, step: str, message: str, advice: str) -> None:
    """By its name, in words, and with the way out; it is the only error, and the report is vacuous."""
    report = ask()

    assert [(kind, step, message, advice)] == [(f.kind, f.step, f.message, f.advice) for f in report.errors]
    assert (False, True) == (report.ok, report.is_vacuous)
    assert kind in VACUOUS


def test_every_kind_of_nothing_is_tested_here() -> None:
    known = {"not_intercepted", "constant_snapshot", "never_completes", "never_reached", "unfired", "refused_input"}

    assert known == VACUOUS


def test_what_is_not_deterministic_is_told() -> None:
    """Before any fault; no faults are tried, for they would tell nothing."""
    counter = iter(range(1_000))

    def odd(bank: Any, ctx: Any) -> str:
        return bank.pay(f"{next(counter)}")

    saga = Saga("odd", resources=["bank"])
    saga.add_step("one", odd, undo)
    report = verify(saga, Bank, depth=1)

    told = "saga 'odd': two runs of input 0 without a fault give different results of step 'one'."
    assert [("not_deterministic", "one", told)] == [(f.kind, f.step, f.message) for f in report.errors]
    assert "Derive ids from ctx.idempotency_key, and give the world a clock and counters of its own." == (
        report.errors[0].advice
    )
    assert (2, ()) == (report.schedules, report.matrix)
    assert {"not tried"} == {grade.word for grade in report.grades}


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (
            lambda bank, n: bank.pay("x") and [bank.ask("x") for _ in range(n % 2)] and None,
            "differ: where one came by one.commit/StepSucceeded#1, the other came by one.action/bank.ask#1",
        ),
        (lambda bank, n: bank.pay(str(n)) and None, "leave different worlds"),
    ],
)
def test_how_two_runs_differ_is_told(odd: Any, told: str) -> None:
    """In what they came by, or in what they leave behind."""
    counter = iter(range(1_000))
    saga = Saga("odd", resources=["bank"])
    saga.add_step("one", lambda bank: odd(bank, next(counter)), undo)
    report = verify(saga, Bank, depth=1)

    assert [f"saga 'odd': two runs of input 0 without a fault {told}."] == [f.message for f in report.errors]


def test_a_world_that_lacks_what_the_saga_asks_for_is_told() -> None:
    """Nothing is run then."""
    saga = Saga("shop", resources=["bank", "stripe", "mail"])
    saga.add_step("pay", pay, undo)
    report = verify(saga, Two, depth=1)

    told = "the world's resources() lacks 'stripe', which saga 'shop' asks for (it gives 'bank', 'mail')"
    assert [("missing_resource", told)] == [
        (f.kind, f.message.replace(" and ", ", ").replace(" or ", ", ")) for f in report.errors
    ]
    assert "Add it to what resources() returns." == report.errors[0].advice
    assert (0, "0 schedules: no faults; 1 step; 0 inputs; not covered: everything") == (
        report.schedules,
        str(report.bounds),
    )


def test_one_input_that_completes_is_enough() -> None:
    """A business refusal is fine, as long as another one does."""

    def choosy(bank: Any, ctx: Any, input: Any) -> str:
        if input == "poor":
            raise ValueError("no money")
        return bank.pay(ctx.idempotency_key)

    saga = Saga("choosy", resources=["bank"], in_doubt="compensate")
    saga.add_step("pay", choosy, undo)

    assert verify(saga, Bank, inputs=["poor", "rich"], depth=1).ok
    poor = verify(saga, Bank, inputs=["poor"], depth=1)
    assert ["never_completes"] == [finding.kind for finding in poor.errors]


def test_a_step_that_one_input_reaches_is_reached() -> None:
    saga = paying("one")
    saga.add_step("more", pay, undo, when=lambda input: input == "more", in_doubt="compensate")

    assert verify(saga, Bank, inputs=["less", "more"], depth=1).ok
    assert not verify(saga, Bank, inputs=["less"], depth=1).ok
