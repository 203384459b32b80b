"""Per step: done twice as once, undone twice as once, undone without having been done, done after its undo."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm import Saga
from sagafsm.verify import Contract, verify
from support.verifying import Bank, kinds, pay, undo


def keyless(bank: Any, ctx: Any) -> None:
    bank.pay(f"{ctx.idempotency_key} {len(bank.done)}")


def undo_all(bank: Any, ctx: Any) -> None:
    for key in list(bank.held):
        bank.undo(key)


def nothing(bank: Any) -> None: ...


def owing(bank: Any, ctx: Any) -> None:
    """Gives back whatever was taken, each time that it is asked."""
    bank.undo(ctx.action_key)
    bank.pay(f"owed {len(bank.done)}") if bank.done.count("undo") > 1 else None


def unasked(bank: Any, ctx: Any) -> None:
    if not bank.ask(ctx.action_key):
        bank.pay("a fee")
    bank.undo(ctx.action_key)


class Forgiving(Bank):
    def undo(self, key: str) -> None:
        super().undo(key)
        self.back.clear()


@pytest.mark.parametrize(
    ("action", "compensation", "world", "contract"),
    [
        (pay, undo, Bank, Contract(step="one", do_twice=True, undo_twice=True, undo_without_do=True, late_do=True)),
        (
            keyless,
            undo_all,
            Bank,
            Contract(step="one", do_twice=False, undo_twice=True, undo_without_do=True, late_do=False),
        ),
        (pay, owing, Bank, Contract(step="one", do_twice=True, undo_twice=False, undo_without_do=True, late_do=True)),
        (
            pay,
            unasked,
            Bank,
            Contract(step="one", do_twice=True, undo_twice=False, undo_without_do=False, late_do=False),
        ),
        (
            pay,
            undo,
            Forgiving,
            Contract(step="one", do_twice=True, undo_twice=True, undo_without_do=True, late_do=False),
        ),
        (pay, None, Bank, Contract(step="one", do_twice=True)),
    ],
)
def test_the_table_tells_what_a_step_bears(action: Any, compensation: Any, world: Any, contract: Contract) -> None:
    """Each contract by itself; None where the saga never calls it so."""
    saga = Saga("shop", resources=["bank"])
    saga.add_step("one", action, compensation, in_doubt="ask")

    assert (contract,) == verify(saga, world, depth=1).contracts


def test_every_step_has_a_row() -> None:
    """In order, nested ones by their path."""
    inner = Saga("inner", resources=["bank"], in_doubt="compensate")
    inner.add_step("deep", pay, undo)
    saga = Saga("shop", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", pay, undo)
    saga.add_saga("trip", inner)
    saga.add_step("two", pay, undo)

    assert ["one", "trip/deep", "two"] == [row.step for row in verify(saga, Bank, depth=1).contracts]


@pytest.mark.parametrize(("in_doubt", "found"), [("ask", []), ("retry", [("differs", "one")])])
def test_what_is_not_relied_upon_is_no_mistake(in_doubt: Any, found: Any) -> None:
    """Doing twice matters where a doubt is retried, and shows by a crash; the table tells it all the same."""

    def twice(bank: Any, ctx: Any) -> None:
        bank.pay(ctx.idempotency_key)
        if bank.done.count("pay") > 1:
            bank.pay("again")

    saga = Saga("shop", resources=["bank"])
    saga.add_step("one", twice, undo_all, in_doubt=in_doubt)
    report = verify(saga, Bank, depth=1)

    assert found == kinds(report)
    assert [False] == [row.do_twice for row in report.contracts]


def test_a_broken_contract_replays() -> None:
    """Its finding's schedule shows it again."""
    saga = Saga("shop", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", pay, owing)
    report = verify(saga, Bank, depth=1)
    found = next(finding for finding in report.errors if finding.kind == "undo_twice")

    assert "one.action#1=cancel; one.compensation#1=twice" == found.schedule
    assert [("undo_twice", "one")] == kinds(verify(saga, Bank, schedule=found.schedule))
