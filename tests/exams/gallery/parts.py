"""Steps that are right, to stand around the one that is not: keyed, shut by their undo, and never asking."""

from __future__ import annotations

from typing import Any

from sagafsm import Saga

MUG: dict[str, Any] = {"customer": "ann", "sku": "mug", "quantity": 2, "amount": 1_800, "city": "Rome"}
LAMP: dict[str, Any] = {**MUG, "sku": "lamp", "quantity": 1, "amount": 900}
POOR: dict[str, Any] = {**MUG, "customer": "bob"}


def add_reserve(saga: Saga, **options: Any) -> None:
    """The goods are set aside."""

    def reserve(input, stock, ctx):
        return stock.hold(ctx.idempotency_key, input["sku"], input["quantity"], attempt=ctx.attempt)

    def release(stock, ctx):
        stock.free(ctx.action_key)

    saga.add_step("reserve", reserve, release, **{"in_doubt": "compensate", **options})


def add_charge(saga: Saga, **options: Any) -> None:
    """The money is taken."""

    def charge(input, bank, ctx):
        return bank.hold(ctx.idempotency_key, input["customer"], input["amount"], attempt=ctx.attempt)

    def refund(bank, ctx):
        bank.free(ctx.action_key)

    saga.add_step("charge", charge, refund, **{"in_doubt": "compensate", **options})


def add_ship(saga: Saga, **options: Any) -> None:
    """A label is made."""

    def ship(input, carrier, ctx):
        return carrier.put(ctx.idempotency_key, attempt=ctx.attempt, city=input["city"])

    def void(carrier, ctx):
        carrier.withdraw(ctx.action_key)

    saga.add_step("ship", ship, void, **{"in_doubt": "compensate", **options})
