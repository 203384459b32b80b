"""edda: a durable workflow of activities on SQLite, each with a compensation that runs when the workflow fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from benchmarks.measuring import Spent, spent_async
from benchmarks.workload import INPUT, STEPS, act_async, undo_async

PACKAGE, IMPORTED = "edda-framework", "edda"


def run(sagas: int, folder: Path) -> Spent:
    """What so many sagas cost, one by one, with the settings that it comes with."""
    return asyncio.run(_run(sagas, folder))


async def _run(sagas: int, folder: Path) -> Spent:
    from edda import EddaApp

    app, order = EddaApp(service_name="bench", db_url=f"sqlite:///{folder / 'edda.db'}"), _order()

    async def work() -> None:
        for _ in range(sagas):
            await order.start(input=INPUT)

    await app.initialize()
    try:
        instance = await app.storage.get_instance(await order.start(input=INPUT))
        assert instance is not None
        assert instance["status"] == "completed", instance
        return await spent_async(sagas, work())
    finally:
        await app.shutdown()


def _order() -> Any:
    from edda import WorkflowContext, activity, compensation, on_failure, workflow

    def step(name: str) -> Any:
        async def undone(ctx: WorkflowContext, input: dict[str, Any]) -> None:
            await undo_async(input)

        async def done(ctx: WorkflowContext, input: dict[str, Any]) -> dict[str, str]:
            return await act_async(input)

        undone.__name__, done.__name__ = f"undo_{name}", name
        return activity(on_failure(compensation(undone))(done))

    steps = [step(name) for name in STEPS]

    @workflow
    async def order(ctx: WorkflowContext, input: dict[str, Any]) -> Any:
        result = None
        for each in steps:
            result = await each(ctx, input)
        return result

    return order
