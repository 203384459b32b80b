"""The saga of an order: reserve the goods, charge the card, ship the parcel; and how each of them is undone."""

from __future__ import annotations

from datetime import timedelta

from sagafsm.context import Context
from sagafsm.demo.orders import Order
from sagafsm.demo.participants.inventory import Inventory, Reservation
from sagafsm.demo.participants.payments import Charge, Payments
from sagafsm.demo.participants.shipping import CarrierBusy, Label, Shipping
from sagafsm.outcome import NOT_DONE, Done
from sagafsm.retry import Retry
from sagafsm.saga import Saga

SOON = timedelta(milliseconds=20)

# Every participant knows a key again and can be asked about it: after a crash the probe settles what was done, and
# where even that fails the call is repeated. Nothing here waits for a person but a refund that the bank will not take.
order = Saga("order", resources=("inventory", "payments", "shipping"), in_doubt=("retry", "compensate"))


@order.step(title="Reserve the goods")
def reserve(input: Order, inventory: Inventory, ctx: Context) -> Reservation:
    """Set the goods aside."""
    return inventory.reserve(ctx.idempotency_key, input.quantities, reference=ctx.instance_id)


@reserve.compensation
def release(inventory: Inventory, ctx: Context) -> None:
    """Put the goods back; by the action's key, because in doubt there is no result to go by."""
    inventory.release(ctx.idempotency_key, action_key=ctx.action_key)


@reserve.probe
def is_reserved(inventory: Inventory, ctx: Context) -> object:
    """Whether the goods were set aside."""
    found = inventory.find(ctx.action_key)
    return NOT_DONE if found is None else Done(found)


@order.step(title="Charge the card")
def charge(input: Order, payments: Payments, ctx: Context) -> Charge:
    """Take the money."""
    return payments.charge(ctx.idempotency_key, card=input.card, amount=input.total, reference=ctx.instance_id)


@charge.compensation(retry=Retry(3, backoff=SOON))
def refund(payments: Payments, ctx: Context) -> None:
    """Give the money back."""
    payments.refund(ctx.idempotency_key, action_key=ctx.action_key)


@charge.probe
def is_charged(payments: Payments, ctx: Context) -> object:
    """Whether the money was taken: a bank that is too slow to answer may well have booked it."""
    found = payments.find(ctx.action_key)
    return NOT_DONE if found is None else Done(found)


@order.step(title="Ship the parcel", retry=Retry(5, backoff=SOON, on=(CarrierBusy,)))
def ship(input: Order, shipping: Shipping, ctx: Context) -> Label:
    """Have a label made; a depot that is busy is asked again."""
    return shipping.make_label(ctx.idempotency_key, input.address, reference=ctx.instance_id)


@ship.compensation
def void_label(shipping: Shipping, ctx: Context) -> None:
    """Void the label: a cancel can still come in between the label and the end."""
    shipping.void(ctx.idempotency_key, action_key=ctx.action_key)


@ship.probe
def is_shipped(shipping: Shipping, ctx: Context) -> object:
    """Whether the label was made."""
    found = shipping.find(ctx.action_key)
    return NOT_DONE if found is None else Done(found)
