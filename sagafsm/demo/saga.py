"""The saga of an order: reserve the goods, charge the card, ship the parcel. Its input comes from a file of orders."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import attrs

from sagafsm.core.context import Context
from sagafsm.core.outcomes import NOT_DONE, Done
from sagafsm.definition.retry import Retry
from sagafsm.definition.validation import check_label
from sagafsm.demo.services import Address, CarrierBusy, Inventory, Payments, Shipping
from sagafsm.errors import PayloadError, SagaError
from sagafsm.history.payload import decode
from sagafsm.saga import Saga

SHIPPED_ORDERS = files("sagafsm.demo").joinpath("orders.jsonl")
SHOWN_PROBLEMS = 10
SOON = timedelta(milliseconds=20)


def _check_positive(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"{attribute.name} is {value}, which is less than 1")


@attrs.frozen(kw_only=True)
class Line:
    """A quantity of one product. `unit_price` is in euro cents."""

    sku: str
    quantity: int = attrs.field(validator=_check_positive)
    unit_price: int = attrs.field(validator=_check_positive)


@attrs.frozen(kw_only=True)
class Order:
    """An order of a customer, with the address of the parcel and the token of the card that pays."""

    id: str
    customer: str
    lines: tuple[Line, ...]
    address: Address
    card: str

    @property
    def total(self) -> int:
        """The price of the order in euro cents."""
        return sum(line.quantity * line.unit_price for line in self.lines)

    @property
    def quantities(self) -> Mapping[str, int]:
        """The quantity of each product, by sku."""
        wanted: Counter[str] = Counter()
        for line in self.lines:
            wanted[line.sku] += line.quantity
        return wanted


# After a crash the probe asks the service whether the action happened. If the probe fails too, the action is called
# again under the same key. So only one thing waits for a person: a refund that the bank does not take.
order = Saga("order", resources=("inventory", "payments", "shipping"), in_doubt=("retry", "compensate"))


@order.step(title="Reserve the goods")
def reserve(input: Order, inventory: Inventory, ctx: Context) -> str:
    """Reserve the goods, and return the number of the reservation."""
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
def charge(input: Order, payments: Payments, ctx: Context) -> str:
    """Charge the card."""
    return payments.book(ctx.idempotency_key, {input.card: input.total}, reference=ctx.instance_id)


@charge.compensation(retry=Retry(3, backoff=SOON))
def refund(payments: Payments, ctx: Context) -> None:
    """Refund the charge."""
    payments.undo(ctx.idempotency_key, action_key=ctx.action_key)


@charge.probe
def is_charged(payments: Payments, ctx: Context) -> object:
    """Find out whether the card is charged: a bank that answers too late may still have booked the charge."""
    found = payments.find(ctx.action_key)
    return NOT_DONE if found is None else Done(found)


@order.step(title="Ship the parcel", retry=Retry(5, backoff=SOON, on=(CarrierBusy,)))
def ship(input: Order, shipping: Shipping, ctx: Context) -> str:
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


def read_orders(path: Path | None = None) -> tuple[Order, ...]:
    """Read the orders of a file. Without a path, read the orders that come with sagafsm.

    Raises:
        SagaError: the message names the file, and each bad line with its number and problem.
    """
    source = path or SHIPPED_ORDERS
    orders: dict[str, tuple[int, Order]] = {}
    problems: list[str] = []
    try:
        for number, line in enumerate(source.read_bytes().splitlines(), start=1):
            try:
                if line.strip():
                    order = _read_order(line)
                    first, _ = orders.setdefault(order.id, (number, order))
                    if first != number:
                        raise ValueError(f"order {order.id!r} stands in line {first} already")
            except ValueError as problem:
                problems.append(f"line {number}: {problem}")
    except OSError as error:
        problems.append(error.strerror or str(error))
    if not (orders or problems):
        problems.append("no order in it")
    if problems:
        hidden = len(problems) - SHOWN_PROBLEMS
        lines = [*problems[:SHOWN_PROBLEMS], *([f"and {hidden} more"] if hidden > 0 else [])]
        raise SagaError("\n  ".join((f"orders in {source} cannot be read, nothing was run:", *lines)))
    return tuple(order for _, order in orders.values())


def _read_order(line: bytes) -> Order:
    """Read the order in one line. Every problem is a `ValueError`."""
    try:
        plain = json.loads(line.decode())
        if not isinstance(plain, dict):
            raise PayloadError("the order", "$", f"no JSON object but {type(plain).__name__}")
        order: Order = decode(line.decode(), Order, subject="the order")
    except PayloadError as error:
        where = error.path.removeprefix("$").removeprefix(".")
        raise ValueError(f"{where}: {error.problem}" if where else error.problem) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from error
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from error
    check_label(order.id, "id")
    if not order.lines:
        raise ValueError("does not fit Order: lines is empty")
    return order
