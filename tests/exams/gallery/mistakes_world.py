"""Worlds, inputs and resources through which nothing can be seen."""

from __future__ import annotations

import itertools
import random
from typing import Any

import attrs

from exams.gallery.entry import Entry, entries
from exams.gallery.parts import LAMP, MUG, add_charge, add_reserve, add_ship
from exams.gallery.services import Records, shop, world
from sagafsm import Saga

ALL = ("stock", "bank", "carrier")


def _order(name: str, **options: Any) -> Saga:
    """An order that is right."""
    saga = Saga(name, resources=ALL, **options)
    add_reserve(saga)
    add_charge(saga)
    add_ship(saga)
    return saga


def _entry(saga: Saga, mistake: str, kinds: set[str], **more: Any) -> Entry:
    return Entry(name=saga.name, saga=saga, mistake=mistake, kinds=kinds, **{"world": shop(), "inputs": (MUG,), **more})


def module_globals() -> Entry:
    carrier = Records()
    saga = Saga("module_globals")

    @saga.step(in_doubt="compensate")
    def ship(input, ctx):
        return carrier.put(ctx.idempotency_key, attempt=ctx.attempt, city=input["city"])

    @ship.compensation
    def void(ctx):
        carrier.withdraw(ctx.action_key)

    mistake = "the steps call a client that stands beside them, never the world's"
    return _entry(saga, mistake, {"not_intercepted", "constant_snapshot"})


def constant_snapshot() -> Entry:
    class Blind(shop()):  # type: ignore[misc]
        def snapshot(self) -> Any:
            return sorted(self.services)

    mistake = "the snapshot lists the services and not what is in them"
    return _entry(_order("constant_snapshot"), mistake, {"constant_snapshot"}, world=Blind)


def snapshot_of_another_service() -> Entry:
    class Partial(shop(archive=Records)):  # type: ignore[misc]
        def snapshot(self) -> Any:
            return self.services["archive"].shown()

    mistake = "the snapshot looks at a service that no step calls"
    return _entry(_order("snapshot_of_another_service"), mistake, {"constant_snapshot"}, world=Partial)


def snapshot_is_alive() -> Entry:
    class Alive(shop()):  # type: ignore[misc]
        def snapshot(self) -> Any:
            return {"amounts": self.services["bank"].amounts, "rows": self.services["carrier"].rows}

        def residue(self) -> Any:
            return {}

    mistake = "the snapshot is the living state, so that before and after are one object and always equal"
    return _entry(_order("snapshot_is_alive"), mistake, {"constant_snapshot"}, world=Alive)


def rows_with_a_serial_number() -> Entry:
    serial = itertools.count(1)

    class Numbered(Records):
        def add(self, **row: Any) -> dict[str, Any]:
            return super().add(serial=next(serial), **row)

    mistake = "rows are numbered by a counter that the next world goes on with"
    return _entry(
        _order("rows_with_a_serial_number"), mistake, {"not_deterministic", "differs"}, world=shop(carrier=Numbered)
    )


def draws_the_warehouse() -> Entry:
    saga = Saga("draws_the_warehouse", resources=ALL)
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    def ship(input, carrier, ctx):
        return carrier.put(ctx.idempotency_key, attempt=ctx.attempt, bay=random.randrange(10**9))

    @ship.compensation
    def void(carrier, ctx):
        carrier.withdraw(ctx.action_key)

    mistake = "the bay is drawn anew in each run, and not in a step of its own whose result is kept"
    return _entry(saga, mistake, {"not_deterministic", "differs"}, steps={"ship"})


def never_completes() -> Entry:
    mistake = "every input asks for more lamps than there are"
    inputs = ({**LAMP, "quantity": 2}, {**LAMP, "quantity": 3})
    return _entry(
        _order("never_completes"), mistake, {"never_completes", "never_reached", "constant_snapshot"}, inputs=inputs
    )


@attrs.frozen
class Order:
    """What the saga takes."""

    customer: str
    sku: str
    quantity: int
    amount: int


def refused_input() -> Entry:
    saga = Saga("refused_input", resources=ALL, input=Order)

    @saga.step(in_doubt="compensate")
    def reserve(input: Order, stock, ctx):
        return stock.hold(ctx.idempotency_key, input.sku, input.quantity, attempt=ctx.attempt)

    @reserve.compensation
    def release(stock, ctx):
        stock.free(ctx.action_key)

    inputs = ({"customer": "ann", "sku": "mug", "quantity": "two"},)
    kinds = {"refused_input", "never_completes", "never_reached", "not_intercepted", "constant_snapshot"}
    return _entry(saga, "no input fits the type that the saga takes", kinds, inputs=inputs)


def missing_resource() -> Entry:
    makers = {name: make for name, make in shop().makers.items() if name != "bank"}
    mistake = "the world has no bank, which the saga declares"
    kinds = {"missing_resource", "never_completes", "never_reached", "not_intercepted", "constant_snapshot"}
    return _entry(_order("missing_resource"), mistake, kinds, world=world(**makers))


PIECES = entries(
    module_globals,
    constant_snapshot,
    snapshot_of_another_service,
    snapshot_is_alive,
    rows_with_a_serial_number,
    draws_the_warehouse,
    never_completes,
    refused_input,
    missing_resource,
)
