"""Nobody is accused of what somebody else did, nor of what is right."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sagafsm.core.context import Context
from sagafsm.definition.retry import Retry
from sagafsm.saga import Saga
from sagafsm.verify import Report, verify


class Bank:
    """Holds money by key; `count` only knows how many holds there are."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.count = 0

    def hold(self, key: str) -> None:
        self.held[key] = 1

    def free(self, key: str) -> None:
        self.held.pop(key, None)

    def add(self) -> None:
        self.count += 1

    def take_off(self) -> None:
        self.count -= 1


class World:
    def __init__(self) -> None:
        self.bank, self.other = Bank(), Bank()

    def resources(self) -> dict[str, Any]:
        return {"bank": self.bank, "other": self.other}

    def snapshot(self) -> Any:
        return {"held": {**self.bank.held, **self.other.held}, "count": self.bank.count}


def hold(bank: Bank, ctx: Context) -> None:
    bank.hold(ctx.idempotency_key)


def free(bank: Bank, ctx: Context) -> None:
    bank.free(ctx.action_key)


def forget(bank: Bank) -> None:
    return


def verified(saga: Saga, **options: Any) -> Report:
    return verify(saga, world=World, budget=timedelta(seconds=60), **{"depth": 1, **options})


def named(report: Report) -> set[tuple[str, str]]:
    return {(finding.kind, finding.step) for finding in report.errors}


def test_a_right_compensation_is_not_accused_of_what_another_leaves() -> None:
    order = Saga("order", resources=["bank"], in_doubt="compensate")
    order.add_step("fee", hold, forget)
    order.add_step("charge", hold, free)

    assert {"fee"} == {step for _, step in named(verified(order))}


def test_who_undoes_what_was_never_done_is_to_blame() -> None:
    order = Saga("order", resources=["bank"])
    order.add_step("count", lambda bank: bank.add(), lambda bank: bank.take_off())
    order.add_step("charge", hold, free)

    assert {"count"} == {step for _, step in named(verified(order))}


def test_whoever_bears_a_refusal_has_done_what_he_did_instead() -> None:
    """An operator knows the truth also of an action that was refused by one service and went to another."""
    order = Saga("order", resources=["bank", "other"])

    def pay(bank: Bank, other: Bank, ctx: Context) -> None:
        try:
            bank.hold(ctx.idempotency_key)
        except TimeoutError:
            raise
        except Exception:
            other.hold(ctx.idempotency_key)

    order.add_step("pay", pay, pivot=True)
    schedule = "pay.action/bank.hold#1=raise_before; pay.action/other.hold#1=raise_after"

    assert set() == named(verified(order, schedule=schedule))


def test_an_outage_may_be_met_twice() -> None:
    """It is healed before the decision that the store loses."""
    order = Saga("order", resources=["bank", "other"])
    order.add_step("charge", hold, free, compensation_retry=Retry(1))
    order.add_step("ship", lambda other: other.hold("a"), pivot=True)
    schedule = (
        "charge.commit/StepSucceeded#1=cancel; charge.compensation/bank.free#1=down; commit/DecisionMade#1=store_fail"
    )

    report = verified(order, schedule=schedule)
    assert not [finding for finding in report.errors if finding.kind == "stuck"], str(report)
