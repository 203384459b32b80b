"""The saga of an order: reserve the goods, charge the card, ship the parcel. Each step has its undo and its probe."""

from __future__ import annotations

from datetime import timedelta

import attrs

from sagafsm.context import Context
from sagafsm.demo.orders import Order
from sagafsm.demo.services import CarrierBusy, Inventory, Payments, Receipt, Shipping
from sagafsm.outcome import NOT_DONE, Done
from sagafsm.retry import Retry
from sagafsm.saga import Saga

SOON = timedelta(milliseconds=20)


@attrs.frozen(kw_only=True)
class Charge(Receipt):
    """The receipt of a charge, with the amount in euro cents."""

    amount: int


# After a crash the probe asks the service whether the action happened. If the probe fails too, the action is called
# again under the same key. So only one thing waits for a person: a refund that the bank does not take.
order = Saga("order", resources=("inventory", "payments", "shipping"), in_doubt=("retry", "compensate"))


@order.step(title="Reserve the goods")
def reserve(input: Order, inventory: Inventory, ctx: Context) -> Receipt:
    """Reserve the goods."""
    return inventory.book(ctx.idempotency_key, input.quantities, reference=ctx.instance_id)


@reserve.compensation
def release(inventory: Inventory, ctx: Context) -> None:
    """Release the goods by the action's key, because a step in doubt has no result."""
    inventory.undo(ctx.idempotency_key, action_key=ctx.action_key)


@reserve.probe
def is_reserved(inventory: Inventory, ctx: Context) -> object:
    """Find out whether the goods are reserved."""
    found = inventory.find(ctx.action_key)
    return NOT_DONE if found is None else Done(found)


@order.step(title="Charge the card")
def charge(input: Order, payments: Payments, ctx: Context) -> Charge:
    """Charge the card."""
    receipt = payments.book(ctx.idempotency_key, {input.card: input.total}, reference=ctx.instance_id)
    return Charge(id=receipt.id, amount=input.total)


@charge.compensation(retry=Retry(3, backoff=SOON))
def refund(payments: Payments, ctx: Context) -> None:
    """Refund the charge."""
    payments.undo(ctx.idempotency_key, action_key=ctx.action_key)


@charge.probe
def is_charged(input: Order, payments: Payments, ctx: Context) -> object:
    """Find out whether the card is charged: a bank that answers too late may still have booked the charge."""
    found = payments.find(ctx.action_key)
    return NOT_DONE if found is None else Done(Charge(id=found.id, amount=input.total))


@order.step(title="Ship the parcel", retry=Retry(5, backoff=SOON, on=(CarrierBusy,)))
def ship(input: Order, shipping: Shipping, ctx: Context) -> Receipt:
    """Make a label, and ask a busy depot again."""
    return shipping.make_label(ctx.idempotency_key, input.address, reference=ctx.instance_id)


@ship.compensation
def void_label(shipping: Shipping, ctx: Context) -> None:
    """Void the label. A cancel can still arrive between the label and the end of the order."""
    shipping.undo(ctx.idempotency_key, action_key=ctx.action_key)


@ship.probe
def is_shipped(shipping: Shipping, ctx: Context) -> object:
    """Find out whether the label exists."""
    found = shipping.find(ctx.action_key)
    return NOT_DONE if found is None else Done(found)
