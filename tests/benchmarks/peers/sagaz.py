"""sagaz: a class with decorated steps, in memory; its own storage keeps a summary, not a history."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from benchmarks.measuring import Spent, spent_async
from benchmarks.workload import INPUT, act_async, undo_async

PACKAGE, IMPORTED = "sagaz", "sagaz"


def run(sagas: int, folder: Path) -> Spent:
    """What so many sagas cost, each an object of its own, as its documentation does it."""
    order = _order()

    async def work() -> None:
        for _ in range(sagas):
            await order().run(INPUT)

    async def warm() -> Spent:
        await order().run(INPUT)
        return await spent_async(sagas, work())

    return asyncio.run(warm())


def _order() -> type[Any]:
    from sagaz import Saga, action, compensate

    class Order(Saga):
        saga_name = "order"

        @action("reserve")
        async def reserve(self, ctx: Any) -> Any:
            return await act_async(ctx)

        @compensate("reserve")
        async def release(self, ctx: Any) -> None:
            await undo_async(ctx)

        @action("charge", depends_on=["reserve"])
        async def charge(self, ctx: Any) -> Any:
            return await act_async(ctx)

        @compensate("charge")
        async def refund(self, ctx: Any) -> None:
            await undo_async(ctx)

        @action("ship", depends_on=["charge"])
        async def ship(self, ctx: Any) -> Any:
            return await act_async(ctx)

        @compensate("ship")
        async def recall(self, ctx: Any) -> None:
            await undo_async(ctx)

    return Order
