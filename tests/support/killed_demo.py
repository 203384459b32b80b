"""The worker of `sagafsm demo --crash`, as a process that is forked from a warm one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sagafsm.demo import worker
from sagafsm.demo.orders import shipped_orders

AT_ONCE = timedelta(0)


def warm_up(folder: Path) -> None:
    """Do all once that a worker does, so that a child finds every module loaded and every cache filled."""
    orders = folder / "orders.jsonl"
    orders.write_text("\n".join(shipped_orders().read_text(encoding="utf-8").splitlines()[::10]), encoding="utf-8")
    url = f"sqlite:///{folder}/saga.db"
    # As `main` does, which also writes "begun" to the output.
    with worker.working(url, folder, pace=AT_ONCE) as orchestrator:
        taken = worker.read_orders(orders)
        worker.work(orchestrator, worker.unsettled(orchestrator, taken), lambda _: None)


def main(arguments: Sequence[str]) -> int:
    return worker.main(arguments)
