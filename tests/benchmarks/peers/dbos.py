"""DBOS: a durable workflow of steps on SQLite, which goes back in an `except`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring import Spent, spent
from benchmarks.workload import INPUT, STEPS, act, undo

PACKAGE, IMPORTED = "dbos", "dbos"


def run(sagas: int, folder: Path) -> Spent:
    """What so many sagas cost, one by one, with the settings that it comes with."""
    from dbos import DBOS, DBOSConfig

    DBOS(config=DBOSConfig(name="bench", system_database_url=f"sqlite:///{folder / 'dbos.db'}", log_level="ERROR"))
    order = _order(DBOS)
    DBOS.launch()
    try:
        order(INPUT)
        return spent(sagas, lambda: [order(INPUT) for _ in range(sagas)])
    finally:
        DBOS.destroy()


def _order(dbos: Any) -> Callable[[Any], Any]:
    pairs = [(dbos.step(name=name)(_of(act)), dbos.step(name=f"undo_{name}")(_of(undo))) for name in STEPS]

    @dbos.workflow(name="order")
    def order(input: Any) -> Any:
        undos: list[tuple[Callable[[Any], None], Any]] = []
        result = None
        try:
            for action, compensation in pairs:
                result = action(input)
                undos.append((compensation, result))
        except Exception:
            for compensation, done in reversed(undos):
                compensation(done)
            raise
        return result

    return order


def _of(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of its own: it registers each once."""

    def step(value: Any) -> Any:
        return function(value)

    return step
