"""The orders: what one is, and how a file of them (JSON Lines) is read."""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import attrs

from sagafsm.definition import check_label
from sagafsm.demo.world import Address
from sagafsm.errors import DefinitionError, PayloadError, SagaError
from sagafsm.payload import decode

SHOWN_PROBLEMS = 10


def _positive(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"{attribute.name} is {value}, which is less than 1")


def _some(_: object, attribute: attrs.Attribute[tuple[object, ...]], value: tuple[object, ...]) -> None:
    if not value:
        raise ValueError(f"{attribute.name} is empty")


@attrs.frozen(kw_only=True)
class Line:
    """So many of one product; `unit_price` in euro cents."""

    sku: str
    quantity: int = attrs.field(validator=_positive)
    unit_price: int = attrs.field(validator=_positive)


@attrs.frozen(kw_only=True)
class Order:
    """What a customer ordered, where it goes, and the token of the card that pays."""

    id: str
    customer: str
    lines: tuple[Line, ...] = attrs.field(validator=_some)
    address: Address
    card: str

    @property
    def total(self) -> int:
        """What it costs, in euro cents."""
        return sum(line.quantity * line.unit_price for line in self.lines)

    @property
    def quantities(self) -> dict[str, int]:
        """How many of each product, by sku."""
        wanted: Counter[str] = Counter()
        for line in self.lines:
            wanted[line.sku] += line.quantity
        return dict(wanted)


class BadOrders(SagaError, ValueError):
    """A file of orders cannot be used; no order of it was run."""

    def __init__(self, source: str, problems: tuple[str, ...]) -> None:
        self.source, self.problems = source, problems
        shown = [f"  {problem}" for problem in problems[:SHOWN_PROBLEMS]]
        if len(problems) > SHOWN_PROBLEMS:
            shown.append(f"  and {len(problems) - SHOWN_PROBLEMS} more")
        super().__init__("\n".join((f"orders in {source} cannot be read, nothing was run:", *shown)))


def shipped_orders() -> Traversable:
    """The file of orders that comes with sagafsm."""
    return files("sagafsm.demo").joinpath("orders.jsonl")


def read_orders(path: Path | None = None) -> tuple[Order, ...]:
    """The orders in a file of JSON Lines, in its order; without a path those that come with sagafsm.

    Raises:
        BadOrders: the file or one of its lines cannot be used; the message names file, line number and problem.
    """
    source = shipped_orders() if path is None else path
    try:
        content = source.read_bytes()
    except OSError as error:
        raise BadOrders(str(source), (error.strerror or str(error),)) from error
    return _parsed(content.splitlines(), str(source))


def _parsed(lines: list[bytes], source: str) -> tuple[Order, ...]:
    orders: dict[str, Order] = {}
    at: dict[str, int] = {}
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            order = _order(line)
        except ValueError as problem:
            problems.append(f"line {number}: {problem}")
            continue
        if order.id in orders:
            problems.append(f"line {number}: order {order.id!r} stands in line {at[order.id]} already")
            continue
        orders[order.id], at[order.id] = order, number
    if not (orders or problems):
        problems.append("no order in it")
    if problems:
        raise BadOrders(source, tuple(problems))
    return tuple(orders.values())


def _order(line: bytes) -> Order:
    """The order in one line; whatever is wrong with it is a `ValueError` that says what."""
    try:
        text = line.decode()
        plain = json.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from error
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(plain, dict):
        raise ValueError(f"no JSON object but {type(plain).__name__}")  # noqa: TRY004 - one type for all problems
    try:
        order: Order = decode(text, Order, subject="the order")
        check_label(order.id, "id")
    except PayloadError as error:
        where = error.path.removeprefix("$").removeprefix(".")
        raise ValueError(f"{where}: {error.problem}" if where else error.problem) from error
    except DefinitionError as error:
        raise ValueError(str(error)) from error
    return order
