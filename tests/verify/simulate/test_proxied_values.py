"""A resource is to a step what it is in production, but that nothing of it is reached by a process that is dead."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from sagafsm.core.context import Context
from sagafsm.saga import Saga
from sagafsm.verify import Report, verify


class Shelf:
    def __init__(self) -> None:
        self.held: dict[str, float] = {}
        self.locked = False

    def hold(self, key: str, quantity: float = 1) -> None:
        self.held[key] = quantity

    def free(self, key: str) -> None:
        self.held.pop(key, None)

    def __enter__(self) -> Shelf:
        self.locked = True
        return self

    def __exit__(self, *error: object) -> None:
        self.locked = False

    async def __aenter__(self) -> Shelf:
        return self

    async def __aexit__(self, *error: object) -> None:
        return


class World:
    def __init__(self) -> None:
        self.shelf = Shelf()

    def resources(self) -> Mapping[str, Any]:
        return {"shelf": self.shelf, "rate": 0.5, "prefix": "order-"}

    def snapshot(self) -> Any:
        return {"held": dict(self.shelf.held), "locked": self.shelf.locked}


def verified(saga: Saga, **options: Any) -> Report:
    return verify(saga, world=World, depth=1, budget=timedelta(seconds=60), **options)


def release(shelf: Shelf, ctx: Context) -> None:
    shelf.free(ctx.action_key)


def test_plain_values_are_given_as_they_are() -> None:
    order = Saga("order", resources=["shelf", "rate", "prefix"])

    @order.step(in_doubt="compensate")
    def reserve(shelf: Shelf, rate: float, prefix: str, ctx: Context) -> None:
        shelf.hold(prefix + ctx.idempotency_key, 2 * rate)

    @reserve.compensation
    def release(shelf: Shelf, prefix: str, ctx: Context) -> None:
        shelf.free(prefix + ctx.action_key)

    report = verified(order)

    assert report.ok, str(report)


def test_a_resource_is_entered_by_async_with() -> None:
    order = Saga("order", resources=["shelf"])

    async def reserve(shelf: Shelf, ctx: Context) -> None:
        async with shelf as entered:
            entered.hold(ctx.idempotency_key)

    order.add_step("reserve", reserve, release, in_doubt="compensate")
    report = verified(order)

    assert report.ok, str(report)


@pytest.mark.parametrize("point", ["__enter__#1=crash_after", "hold#1=crash", "hold#1=crash_after"])
def test_a_process_that_is_dead_leaves_no_with_block(point: str) -> None:
    order = Saga("order", resources=["shelf"])

    def reserve(shelf: Shelf, ctx: Context) -> None:
        with shelf:
            shelf.hold(ctx.idempotency_key)

    order.add_step("reserve", reserve, release, in_doubt="compensate")
    report = verified(order, schedule=f"reserve.action/shelf.{point}")

    assert [("left_behind", ("locked: False, now True",))] == [(f.kind, f.left) for f in report.errors]
