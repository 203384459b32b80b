"""The worker of `sagafsm demo --crash`, as a process that is forked from a warm one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sagafsm.demo import run
from sagafsm.demo.folder import resources
from sagafsm.demo.saga import SHIPPED_ORDERS, order, read_orders
from sagafsm.orchestrator import Orchestrator

AT_ONCE = timedelta(0)


def warm_up(folder: Path) -> None:
    """Do all once that a worker does, so that a child finds every module loaded and every cache filled."""
    path = folder / "orders.jsonl"
    path.write_text("\n".join(SHIPPED_ORDERS.read_text(encoding="utf-8").splitlines()[::10]), encoding="utf-8")
    url, orders = f"sqlite:///{folder}/saga.db", read_orders(path)
    # As `run_worker` does, which also writes "begun" to the output.
    with Orchestrator(url, sagas=[order], resources=resources(url, pace=AT_ONCE)) as orchestrator:
        run.run_orders(orchestrator, run.find_unsettled(orchestrator, orders), lambda _: None)


def main(arguments: Sequence[str]) -> int:
    return run.run_worker(arguments)
