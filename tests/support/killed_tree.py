"""A process for the exam of SIGKILL over a tree: a group, in it a nested saga, on SQLite; it is killed at a mark.

    python killed_tree.py FOLDER WAY MARK

Marks are those of `killed`: "before b", "after undo c", "before append 5", of the root and the nested saga alike.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from sagafsm import AsyncOrchestrator, Context, Orchestrator, Saga, open_store
from support.killed import MarkedStore, Service, reach


class TreeService(Service):
    """All but z take effect."""

    def do(self, ctx: Context) -> str:
        if ctx.step == "z":
            reach("before z")
            raise ValueError("undeliverable")
        if ctx.step != "c":
            return super().do(ctx)
        # The c of `Service` refuses; the key is its own all the same.
        reach("before c")
        self.keep(ctx)
        reach("after c")
        return "c!"


def saga(folder: Path) -> Saga:
    """A, then b beside a nested c and d; z fails, so that all are undone: d, c, b, a."""
    service = TreeService(folder)
    order, nested = Saga("order"), Saga("nested")
    steps: dict[str, Any] = {"probe": service.probe}
    for name in "cd":
        nested.add_step(name, service.do, service.undo, **steps)
    order.add_step("a", service.do, service.undo, **steps)
    order.add_step("b", service.do, service.undo, group="both", **steps)
    order.add_saga("n", nested, input=lambda a: {"after": a}, group="both")
    order.add_step("z", service.do, **steps)
    return order


def main(folder: Path, way: str) -> None:
    order, store = saga(folder), MarkedStore(open_store(f"sqlite:///{folder}/saga.db"))
    if way == "sync":
        with Orchestrator(store, sagas=[order], owner="child") as orchestrator:
            orchestrator.run(order, "mug", id="o-1")
        return

    async def run() -> None:
        async with AsyncOrchestrator(store, sagas=[order], owner="child") as orchestrator:
            await orchestrator.run(order, "mug", id="o-1")

    asyncio.run(run())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
