"""What a step changes otherwise than by calls of resources is no point, and is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sagafsm.core.context import Context
from sagafsm.saga import Saga
from sagafsm.verify import verify


class Shelf:
    def __init__(self) -> None:
        self.held: dict[str, bool] = {}
        self.number = 0

    def hold(self, key: str) -> None:
        self.held[key] = True

    def free(self, key: str) -> None:
        self.held.pop(key, None)


class Pool:
    def __init__(self) -> None:
        self.shelf = Shelf()

    def session(self) -> Shelf:
        return self.shelf


class World:
    def __init__(self) -> None:
        self.pool = Pool()

    def resources(self) -> dict[str, Any]:
        return {"pool": self.pool}

    def snapshot(self) -> Any:
        return {"held": dict(self.pool.shelf.held), "number": self.pool.shelf.number}


def by_what_is_returned(pool: Pool, ctx: Context) -> None:
    pool.session().hold(ctx.idempotency_key)


def by_an_attribute(pool: Pool) -> None:
    pool.session()
    pool.shelf.number = 1


def by_a_container(pool: Pool, ctx: Context) -> None:
    pool.session()
    pool.shelf.held[ctx.idempotency_key] = True


def release(pool: Pool, ctx: Context) -> None:
    pool.shelf.free(ctx.action_key or "")
    pool.shelf.number = 0


@pytest.mark.parametrize("action", [by_what_is_returned, by_an_attribute, by_a_container])
def test_a_change_that_no_call_makes_is_told(action: Callable[..., None]) -> None:
    order = Saga("order", resources=["pool"], in_doubt="compensate")
    order.add_step("reserve", action, release)

    report = verify(order, world=World, depth=1, budget=timedelta(seconds=60))

    assert [("not_intercepted", "reserve")] == [(finding.kind, finding.step) for finding in report.errors]
    assert "by no call of a resource" in report.errors[0].message


def test_calls_of_parts_are_points() -> None:
    order = Saga("order", resources=["pool"], in_doubt="compensate")
    order.add_step("reserve", lambda pool, ctx: pool.shelf.hold(ctx.idempotency_key), release)

    report = verify(order, world=World, depth=1, budget=timedelta(seconds=60))

    assert report.ok, str(report)
