"""simple-saga: a context manager in memory, without machine or history."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measuring import Spent, spent
from benchmarks.workload import INPUT, STEPS, act, undo

PACKAGE, IMPORTED = "simple-saga", "simple_saga"
# In memory a saga takes microseconds: as many more of them.
TIMES = 20


def run(sagas: int, folder: Path) -> Spent:
    """What so many sagas cost."""
    from simple_saga import SyncSaga

    def order() -> None:
        with SyncSaga() as saga:
            for _ in STEPS:
                saga.step(action=lambda: act(INPUT), compensation=undo)

    def work() -> None:
        for _ in range(sagas * TIMES):
            order()

    order()
    return spent(sagas * TIMES, work)
