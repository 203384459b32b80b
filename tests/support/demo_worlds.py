"""Small worlds for the demo's tests: orders, services without latency, and instances folded from plain events."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import attrs

from sagafsm.demo.saga import Line, Order
from sagafsm.demo.services import Address, open_services
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance, fold
from sagafsm.history.payload import encode

AT_ONCE = timedelta(0)
ORDER = Order(
    id="o-1",
    customer="Ada",
    lines=(Line(sku="mug-stone", quantity=2, unit_price=1400), Line(sku="kettle", quantity=1, unit_price=6900)),
    address=Address(street="Sonnenallee 41", city="Berlin", postcode="12045", country="DE"),
    card="tok_visa",
)
STEPS = ("reserve", "charge", "ship")
OUTLINE = tuple(e.StepOutline(name=name, compensation=True, probe=True) for name in STEPS)
REFUSED = e.RecordedError(type="shop.Refused", message="no")


def numbered(order_id: str) -> Order:
    """The same order under another id."""
    return attrs.evolve(ORDER, id=order_id)


def key(order: Order, step: str, direction: str = "action") -> str:
    return f"{order.id}/{step}/{direction}"


def instance_of(order: Order, *events: e.Event) -> SagaInstance:
    """An instance of an order after `events`, which are numbered here."""
    created = e.InstanceCreated(
        id=order.id,
        saga="order",
        version=1,
        fingerprint="f",
        input_json=encode(order, Order, subject="input"),
        steps=OUTLINE,
        state="pending",
    )
    return fold(None, [attrs.evolve(event, number=n) for n, event in enumerate((created, *events), start=1)])


def started(order: Order, step: str, *, attempt: int = 1) -> e.Event:
    return e.StepStarted(step=step, attempt=attempt, key=key(order, step), state=f"running:{step}")


def done(order: Order, step: str) -> tuple[e.Event, ...]:
    return started(order, step), e.StepSucceeded(step=step, attempt=1, result_json="null")


def failed(order: Order, step: str) -> tuple[e.Event, ...]:
    return (
        started(order, step),
        e.StepFailed(step=step, attempt=1, error=REFUSED),
        e.CauseRecorded(kind="failure", step=step, error=REFUSED),
    )


def undoing(order: Order, step: str) -> e.Event:
    return e.CompensationStarted(
        step=step, attempt=1, key=key(order, step, "compensation"), state=f"compensating:{step}"
    )


def undone(order: Order, step: str) -> tuple[e.Event, ...]:
    return undoing(order, step), e.CompensationSucceeded(step=step, attempt=1)


def stuck(order: Order, step: str) -> tuple[e.Event, ...]:
    return (
        undoing(order, step),
        e.CompensationFailed(step=step, attempt=1, error=REFUSED),
        e.InstanceBlocked(
            step=step, reason="compensation_failed", decisions=("retry", "resolve(undone)", "skip", "abandon")
        ),
    )


def completed(order: Order) -> SagaInstance:
    every = (event for step in STEPS for event in done(order, step))
    return instance_of(order, *every, e.InstanceCompleted(state="completed"))


def act(folder: Path, order: Order, *steps: str) -> None:
    """Have the services really do, or undo ("undo:charge"), these steps of an order."""
    services = open_services(folder, pace=AT_ONCE)
    names = {"reserve": "inventory", "charge": "payments", "ship": "shipping"}
    for step in steps:
        direction, _, name = step.rpartition(":")
        service, under = services[names[name]], key(order, name)
        if direction:
            service.undo(key(order, name, "compensation"), action_key=under)
        elif name == "ship":
            service.make_label(under, order.address, reference=order.id)
        else:
            amounts = order.quantities if name == "reserve" else {order.card: order.total}
            service.book(under, amounts, reference=order.id)
    for service in services.values():
        service.close()
