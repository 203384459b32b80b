"""`max_concurrency`: a call waits while as many run as may, and each end wakes one that waits, never more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from sagafsm import Saga
from sagafsm.core.commands import Run, RunAction, RunCompensation
from sagafsm.definition.definition import Definition
from sagafsm.engine.concurrency import LimitKey, Limits
from sagafsm.store import Store
from support.bench import Bench

KEY: LimitKey = ("order", 1, "a")
CALL = RunAction(step="a", attempt=1, key="k")


def definition(limit: int | None) -> Definition:
    saga = Saga("order")
    saga.add_step("a", lambda: None, lambda: None, max_concurrency=limit)
    return saga.definition


def returns_at_once(wait: Coroutine[Any, Any, None]) -> bool:
    try:
        wait.send(None)
    except StopIteration:
        return True
    wait.close()
    return False


def test_as_many_run_as_may() -> None:
    """Each takes a turn and gives it back; what is not limited is not counted."""
    limits, two = Limits(), definition(2)
    assert [True, True, False] == [limits.acquire(two, CALL) for _ in range(3)]
    limits.release(two, CALL)
    assert [True, False] == [limits.acquire(two, CALL) for _ in range(2)]
    undo: Run = RunCompensation(step="a", attempt=1, key="k")
    assert limits.acquire(two, undo)
    assert [True] * 3 == [limits.acquire(definition(None), CALL) for _ in range(3)]


def test_where_none_runs_nobody_waits() -> None:
    """A step that was never called is free, also where only one may run."""
    assert returns_at_once(Limits().freed(KEY, 1))


def test_where_fewer_run_than_may_nobody_waits() -> None:
    """Of two, one runs: another may."""
    limits = Limits()
    limits.acquire(definition(2), CALL)
    assert returns_at_once(limits.freed(KEY, 2))


def test_an_end_wakes_one() -> None:
    """In the order in which they came; `notify` wakes the next only where there is room."""

    async def main() -> None:
        limits, one = Limits(), definition(1)
        limits.acquire(one, CALL)
        waiting = [asyncio.create_task(limits.freed(KEY, 1)) for _ in range(3)]

        async def woken() -> list[bool]:
            for _ in range(3):
                await asyncio.sleep(0)
            return [task.done() for task in waiting]

        assert [False, False, False] == await woken()
        limits.notify(KEY, 1)
        assert [False, False, False] == await woken()
        limits.release(one, CALL)
        assert [True, False, False] == await woken()
        limits.notify(KEY, 1)
        assert [True, True, False] == await woken()
        limits.acquire(one, CALL)
        limits.notify(KEY, 1)
        assert [True, True, False] == await woken()
        waiting[2].cancel()

    asyncio.run(main())


def test_one_that_is_cancelled_as_it_is_woken_wakes_the_next() -> None:
    """A turn that nobody takes is lost to none."""

    async def main() -> None:
        limits, one = Limits(), definition(1)
        limits.acquire(one, CALL)
        first, second = (asyncio.create_task(limits.freed(KEY, 1)) for _ in range(2))
        await asyncio.sleep(0)
        limits.release(one, CALL)
        first.cancel()
        await asyncio.wait_for(second, 0.5)
        assert first.cancelled()

    asyncio.run(main())


@pytest.mark.parametrize("nested", [False, True])
def test_a_limit_on_the_first_step_does_not_stop_the_instance(nested: bool, way: str, memory: Store) -> None:
    """The first call starts, under an orchestrator that counts calls and under one that does not."""
    saga = child = Saga("payment")
    child.add_step("charge", lambda: 1, max_concurrency=1)
    if nested:
        saga = Saga("order")
        saga.add_saga("pay", child)
    assert "completed" == Bench(memory, saga, way).run().state
