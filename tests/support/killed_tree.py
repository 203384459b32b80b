"""A process for the exam of SIGKILL over a tree: a group, in it a nested saga, on SQLite; it is killed at a mark.

    python killed_tree.py FOLDER WAY MARK

Marks are those of `killed`: "before b", "after undo c", "before append 5", of the root and the nested saga alike.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sagafsm import AsyncOrchestrator, Context, Orchestrator, Saga, open_store
from support.killed import WAYS, MarkedStore, Service, reach


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


def live(folder: Path, way: str) -> None:
    """Run one tree to its end, or to the mark."""
    order, store = saga(folder), MarkedStore(open_store(f"sqlite:///{folder}/saga.db"))
    if way == "sync":
        with Orchestrator(store, sagas=[order], owner="child") as orchestrator:
            orchestrator.run(order, "mug", id="o-1")
        return

    async def run() -> None:
        async with AsyncOrchestrator(store, sagas=[order], owner="child") as orchestrator:
            await orchestrator.run(order, "mug", id="o-1")

    asyncio.run(run())


def warm_up(folder: Path) -> None:
    """Do all once that a child does, so that it finds every module loaded and every cache filled."""
    for way in WAYS:
        (folder / way).mkdir()
        live(folder / way, way)


def main(arguments: Sequence[str]) -> None:
    folder, way, _ = arguments
    live(Path(folder), way)


if __name__ == "__main__":
    main(sys.argv[1:])
