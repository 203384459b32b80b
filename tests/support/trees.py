"""Sagas in sagas, made of scripted services: an order that pays, and a payment that charges."""

from __future__ import annotations

from typing import Any

from sagafsm import Saga
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.services import Service, add, saga_of

PAYMENT: dict[str, dict[str, Any]] = {"charge": {}, "fee": {}}


def order_of(
    service: Service,
    way: str = "sync",
    *,
    steps: dict[str, dict[str, Any]] | None = None,
    payment: dict[str, dict[str, Any]] | Saga = PAYMENT,
    **options: Any,
) -> Saga:
    """An order of steps a and z, with the payment `pay` between them, nested with these options."""
    asked = is_async(way)
    child = payment if isinstance(payment, Saga) else saga_of(service, "payment", is_async=asked, **payment)
    saga, given = Saga("order"), steps or {}
    for name in ("a", "pay", "z"):
        if name == "pay":
            saga.add_saga(name, child, **options)
        else:
            add(saga, service, name, is_async=asked, **given.get(name, {}))
    return saga


def bench_of(store: Any, way: str, script: dict[str, list[Any]] | None = None, **options: Any) -> tuple[Bench, Service]:
    """A bench for an order, and its services."""
    service = Service(script=script or {})
    return Bench(store, order_of(service, way, **options), way), service


def of_pay(store: Store, id: str = "o-1") -> list[str]:
    """The history of the payment, by line."""
    return lines(store.history(f"{id}/pay"))
