"""A drive sleeps no longer than it may, has every call begun and ended once, and hears what others have recorded."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from sagafsm import AsyncOrchestrator, Orchestrator, Retry, Saga
from sagafsm.store import Store
from support.bench import lines
from support.mortality import die
from support.trees import bench_of

SECOND = timedelta(seconds=1)


def sold_out() -> None:
    raise ValueError("sold out")


@pytest.mark.parametrize(("operation", "told"), [("cancel", {"reason": "no"}), ("resume", {})])
def test_a_nested_saga_that_was_abandoned_alone_is_heard_of(
    operation: str, told: dict[str, str], way: str, memory: Store
) -> None:
    """The process died before its parent recorded it: the parent does so, and goes back."""
    bench, service = bench_of(memory, way, {"fee": ["lost"]})
    bench.run()
    die(bench, service, "after 1", "abandon", "o-1", reason="enough")
    assert ("failed", "running:pay") == (bench.get("o-1/pay").state, bench.get().state)
    instance = bench.ask(operation, "o-1", **told)
    assert "failed" == instance.state
    assert "StepFailed pay 1" in lines(instance.history)
    assert "undo a 1 of a!" == service.calls[-1]


def test_a_step_is_called_again_while_another_runs(way: str, memory: Store) -> None:
    """As soon as it is due, not when the other has ended."""
    calls: list[str] = []

    async def long() -> None:
        while "short 2" not in calls:
            await asyncio.sleep(0.001)

    async def short() -> None:
        calls.append(f"short {1 + len(calls)}")
        if len(calls) == 1:
            sold_out()

    saga = Saga("order")
    saga.add_step("long", long, group="both")
    saga.add_step("short", short, group="both", retry=Retry(2, backoff=timedelta(milliseconds=5), jitter=False))

    async def main() -> str:
        async with AsyncOrchestrator(memory) as orchestrator:
            return (await asyncio.wait_for(orchestrator.run(saga, "mug", id="o-1"), 2)).state

    if way == "async":
        assert "completed" == asyncio.run(main())
    else:
        with Orchestrator(memory) as orchestrator:
            assert "completed" == orchestrator.run(saga, "mug", id="o-1").state
    assert ["short 1", "short 2"] == calls


def test_a_turn_of_a_call_that_is_called_off_is_free_again(memory: Store) -> None:
    """It was written ahead, and its instance goes back before it begins: the next of its step may."""
    saga = Saga("order")
    saga.add_step("a", lambda: None, group="both", when=lambda input: 1 / input)
    saga.add_step("b", lambda: None, group="both", max_concurrency=1)

    async def main() -> list[str]:
        async with AsyncOrchestrator(memory) as orchestrator:
            running = (orchestrator.run(saga, divisor, id=f"o-{divisor}") for divisor in (0, 1))
            return [(await asyncio.wait_for(run, 2)).state for run in running]

    assert ["failed", "completed"] == asyncio.run(main())
