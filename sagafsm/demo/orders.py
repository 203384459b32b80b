"""The orders, and the reader of a file of orders in JSON Lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import attrs

from sagafsm.definition import check_label
from sagafsm.demo.services import Address
from sagafsm.errors import PayloadError, SagaError
from sagafsm.payload import decode

SHIPPED_ORDERS = files("sagafsm.demo").joinpath("orders.jsonl")
SHOWN_PROBLEMS = 10


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


def read_orders(path: Path | None = None) -> tuple[Order, ...]:
    """Read the orders of a file. Without a path, read the orders that come with sagafsm.

    Raises:
        SagaError: the message names the file, and each bad line with its number and problem.
    """
    source = path or SHIPPED_ORDERS
    orders: dict[str, Order] = {}
    numbers: dict[str, int] = {}
    problems: list[str] = []
    try:
        for number, line in enumerate(source.read_bytes().splitlines(), start=1):
            try:
                if line.strip():
                    order = _read_order(line)
                    if order.id in orders:
                        raise ValueError(f"order {order.id!r} stands in line {numbers[order.id]} already")
                    orders[order.id], numbers[order.id] = order, number
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
    return tuple(orders.values())


def _read_order(line: bytes) -> Order:
    """Read the order in one line. Every problem is a `ValueError`."""
    try:
        plain = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from error
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(plain, dict):
        raise ValueError(f"no JSON object but {type(plain).__name__}")  # noqa: TRY004 - one type for all problems
    try:
        order: Order = decode(line.decode(), Order, subject="the order")
    except PayloadError as error:
        where = error.path.removeprefix("$").removeprefix(".")
        raise ValueError(f"{where}: {error.problem}" if where else error.problem) from error
    check_label(order.id, "id")
    if not order.lines:
        raise ValueError("does not fit Order: lines is empty")
    return order
