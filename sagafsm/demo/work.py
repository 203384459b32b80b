"""The work itself: an orchestrator of orders with its participants, and every order through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from sagafsm.demo.orders import Order
from sagafsm.demo.participants import open_participants
from sagafsm.demo.saga import order as order_saga
from sagafsm.instance import SagaInstance
from sagafsm.orchestrator import Orchestrator


def working(url: str, folder: Path, *, pace: timedelta) -> Orchestrator:
    """An orchestrator of orders on the store, with the participants in `folder`; close it."""
    return Orchestrator(url, sagas=[order_saga], resources=open_participants(folder, pace=pace))


def work(orchestrator: Orchestrator, orders: Sequence[Order], tell: Callable[[SagaInstance], None]) -> None:
    """Finish what an earlier process left under way, then run every order; what is at rest or blocked stays so."""
    # What cannot go on is not looked at here: if it is one of these orders, running it tells why.
    orchestrator.recover()
    for order in orders:
        tell(orchestrator.run(order_saga, order, id=order.id))


def unsettled(orchestrator: Orchestrator, orders: Sequence[Order]) -> list[Order]:
    """Those of the orders that are neither at rest nor blocked, or not begun."""
    found = orchestrator.find(saga=order_saga.name)
    settled = {summary.id for summary in found if summary.is_at_rest or summary.blocked}
    return [order for order in orders if order.id not in settled]
