"""Whatever a step does with its thread, its loop or its process: verify returns, and nothing goes on behind it."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sagafsm.core.context import Context
from sagafsm.saga import Saga
from sagafsm.verify import Report, verify


class Shelf:
    def __init__(self) -> None:
        self.held: dict[str, bool] = {}

    def hold(self, key: str) -> None:
        self.held[key] = True

    async def hold_later(self, key: str) -> None:
        await asyncio.sleep(0)
        self.held[key] = True

    def free(self, key: str) -> None:
        self.held.pop(key, None)


class World:
    def __init__(self) -> None:
        self.shelf = Shelf()

    def resources(self) -> dict[str, Any]:
        return {"shelf": self.shelf}

    def snapshot(self) -> Any:
        return dict(self.shelf.held)


def release(shelf: Shelf, ctx: Context) -> None:
    for key in [key for key in shelf.held if key.startswith(ctx.action_key or "?")]:
        shelf.free(key)


def verified(reserve: Callable[..., Any], **options: Any) -> Report:
    order = Saga("order", resources=["shelf"])
    order.add_step("reserve", reserve, release, in_doubt="compensate")
    return verify(order, world=World, depth=1, budget=timedelta(seconds=60), **options)


def hangs(report: Report) -> list[tuple[str, str]]:
    return [(finding.kind, finding.step) for finding in report.errors if finding.kind == "hangs"]


def test_a_step_that_hangs_beside_a_thread_that_stays_is_a_finding() -> None:
    """The time limit hits the run, and not what comes after it."""

    def reserve(shelf: Shelf) -> None:
        threading.Thread(target=time.sleep, args=(1.0,), daemon=True).start()
        while True:
            time.sleep(0.01)

    report = verified(reserve, time_limit=timedelta(milliseconds=200))

    assert [("hangs", "reserve")] == hangs(report)


def test_a_coroutine_that_never_ends_is_interrupted() -> None:
    async def reserve(shelf: Shelf) -> None:
        await asyncio.sleep(1_000)

    begun = set(threading.enumerate())
    report = verified(reserve, time_limit=timedelta(milliseconds=200))

    assert [("hangs", "reserve")] == hangs(report)
    assert set() == set(threading.enumerate()) - begun


def test_a_step_that_was_given_up_is_not_called_again() -> None:
    free, called = threading.Event(), itertools.count()

    def reserve(shelf: Shelf) -> None:
        next(called)
        # A wait of a lock cannot be interrupted.
        free.wait(30)

    begun = set(threading.enumerate())
    report = verified(reserve, time_limit=timedelta(milliseconds=200))
    assert [("hangs", "reserve")] == hangs(report)
    free.set()
    for left in set(threading.enumerate()) - begun:
        left.join(10)

    assert 1 == next(called)


@pytest.mark.parametrize("ends", [lambda: sys.exit(1), lambda: (_ for _ in ()).throw(asyncio.CancelledError())])
def test_a_step_that_ends_its_process_is_a_finding(ends: Callable[[], Any]) -> None:
    def reserve(shelf: Shelf) -> None:
        ends()

    report = verified(reserve)

    assert ["never_completes"] == [finding.kind for finding in report.errors]


def test_a_ctrl_c_within_a_task_stays_in_the_simulation() -> None:
    async def reserve(shelf: Shelf, ctx: Context) -> None:
        await asyncio.gather(*(shelf.hold_later(f"{ctx.idempotency_key}-{n}") for n in range(3)))

    report = verified(reserve)

    row = next(row for row in report.matrix if row.point == "reserve.action/shelf.hold_later#1")
    assert row.cells["interrupt"] == "compensated"
    assert not hangs(report)


def test_an_error_may_be_its_own_cause() -> None:
    def reserve(shelf: Shelf, ctx: Context) -> None:
        try:
            shelf.hold(ctx.idempotency_key)
        except Exception as error:
            raise error from error

    report = verified(reserve)

    assert report.ok, str(report)


def test_threads_of_others_may_come_and_go() -> None:
    """As those of an orchestrator in the same process, which are not joined before they have begun."""
    over = threading.Event()

    def begin_many() -> None:
        while not over.is_set():
            threading.Thread(target=int).start()

    other = threading.Thread(target=begin_many)
    other.start()
    try:
        report = verified(lambda shelf, ctx: shelf.hold(ctx.idempotency_key))
    finally:
        over.set()
        other.join()

    assert report.ok, str(report)
