"""The work on the orders, and the process that `--crash` kills. The process prints only that the work began."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from sagafsm.demo.folder import resources
from sagafsm.demo.orders import Order, read_orders
from sagafsm.demo.saga import order as order_saga
from sagafsm.errors import SagaError
from sagafsm.instance import SagaInstance
from sagafsm.orchestrator import Orchestrator


def run_orders(orchestrator: Orchestrator, orders: Sequence[Order], show: Callable[[SagaInstance], None]) -> None:
    """Finish the orders that an earlier process left, then run `orders`, and show each one that was run."""
    # The report of `recover` is not needed: for an order that cannot go on, `run` raises the reason.
    orchestrator.recover()
    for order in orders:
        show(orchestrator.run(order_saga, order, id=order.id))


def find_unsettled(orchestrator: Orchestrator, orders: Sequence[Order]) -> list[Order]:
    """Return the orders that have not begun, or are neither at rest nor blocked."""
    found = orchestrator.find(saga=order_saga.name)
    settled = {summary.id for summary in found if summary.is_at_rest or summary.blocked}
    return [order for order in orders if order.id not in settled]


def main(arguments: Sequence[str]) -> int:
    """Run the unsettled orders, and return the exit status. Arguments: store URL, pace in seconds, file of orders."""
    url, pace, *path = arguments
    try:
        orders = read_orders(Path(path[0]) if path else None)
        services = resources(url, pace=timedelta(seconds=float(pace)))
        with Orchestrator(url, sagas=[order_saga], resources=services) as orchestrator:
            unsettled = find_unsettled(orchestrator, orders)
            sys.stdout.write("begun\n")
            sys.stdout.flush()
            run_orders(orchestrator, unsettled, lambda _: None)
    except SagaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
