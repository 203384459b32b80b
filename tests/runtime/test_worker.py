"""`serve()` drives whatever can go on and drains when it is stopped; what is in flight is bounded (laws 16 and 18)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from sagafsm import AsyncOrchestrator, DefinitionError, Orchestrator, Retry, Saga, SagaInstance
from sagafsm.errors import RequestError
from sagafsm.history import events as e

OFTEN = timedelta(milliseconds=20)


def same(input: int) -> int:
    return input


def more(input: int) -> int:
    return input + 1


@attrs.define
class Peak:
    """How many are inside at once, and how many ever were."""

    now: int = 0
    most: int = 0

    async def stay(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.005)
        self.now -= 1


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.01)


async def stopped(orchestrator: AsyncOrchestrator, serving: asyncio.Task[None]) -> None:
    await orchestrator.close()
    async with asyncio.timeout(30):
        await serving


async def states(orchestrator: AsyncOrchestrator) -> list[str]:
    return [one.state async for one in orchestrator.find()]


def serving(saga: Saga, work: Callable[[AsyncOrchestrator], Awaitable[None]], **options: Any) -> None:
    """Do some work beside a serving orchestrator, then stop that."""

    async def both() -> None:
        orchestrator = AsyncOrchestrator("memory://", sagas=[saga], **options)
        task = asyncio.create_task(orchestrator.serve(poll=OFTEN))
        try:
            await work(orchestrator)
        finally:
            await stopped(orchestrator, task)

    asyncio.run(both())


# Serving --------------------------------------------------------------------------------------------------------------


def test_what_is_only_started_is_driven() -> None:
    """Whoever started it: `serve` drives it to its end."""
    saga = Saga("s")
    saga.add_step("a", same)

    async def work(orchestrator: AsyncOrchestrator) -> None:
        for n in range(150):
            await orchestrator.start(saga, n, id=f"o-{n:03}")

        async def done() -> bool:
            return await states(orchestrator) == ["completed"] * 150

        await until(done)

    serving(saga, work)


def test_a_backoff_is_waited_for_without_an_owner() -> None:
    """Law 16: `serve` takes what is due when it is due, and owns nothing meanwhile."""
    saga, calls = Saga("s"), []

    def act() -> None:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise ValueError("not yet")

    saga.add_step("a", act, retry=Retry(2, backoff=timedelta(milliseconds=300), jitter=False))

    async def work(orchestrator: AsyncOrchestrator) -> None:
        await orchestrator.start(saga, None, id="o-1")

        async def asleep() -> bool:
            (one,) = [summary async for summary in orchestrator.find()]
            return one.wake_at is not None and one.owner is None

        async def done() -> bool:
            return await states(orchestrator) == ["completed"]

        await until(asleep)
        await until(done)

    serving(saga, work)
    assert calls[1] - calls[0] >= 0.3


def test_what_cannot_be_driven_is_told_once_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """One bad instance is logged, once and not at every look, and the others go on."""
    saga, other = Saga("s"), Saga("other")
    for one in (saga, other):
        one.add_step("a", same)

    async def work(orchestrator: AsyncOrchestrator) -> None:
        with Orchestrator(orchestrator.store, sagas=[other]) as stranger:
            stranger.start(other, 1, id="bad")
        await orchestrator.start(saga, 1, id="good")

        async def done() -> bool:
            return (await orchestrator.get("good")).state == "completed"

        await until(done)
        await asyncio.sleep(5 * OFTEN.total_seconds())
        assert "pending" == (await orchestrator.get("bad")).state

    caplog.set_level(logging.WARNING, "sagafsm")
    serving(saga, work)
    told = [record.getMessage() for record in caplog.records]
    why = "needs saga 'other' version 1, which is not registered (registered: 's' version 1); pass it in sagas=[...]"
    assert [f"instance 'bad' cannot be driven: instance 'bad' {why}"] == told


def test_a_cancelled_serve_leaves_what_can_be_resumed() -> None:
    """CancelledError is no cancel of an instance: the history stays, and somebody else goes on."""
    saga = Saga("s")

    async def slow(input: int) -> int:
        await asyncio.sleep(0.2 if input else 0)
        return input

    saga.add_step("a", slow, effect=False)

    async def main() -> None:
        async with AsyncOrchestrator("memory://", sagas=[saga]) as orchestrator:
            await orchestrator.start(saga, 1, id="o-1")
            task = asyncio.create_task(orchestrator.serve(poll=OFTEN))

            async def begun() -> bool:
                return (await orchestrator.get("o-1")).state == "running:a"

            await until(begun)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            left = await orchestrator.get("o-1")
            assert ("running:a", None) == (left.state, left.owner)
            assert "completed" == (await orchestrator.resume("o-1")).state

    asyncio.run(main())


# Bounds ---------------------------------------------------------------------------------------------------------------


def test_no_more_are_in_flight_than_allowed() -> None:
    """Whoever asks for more is held back, and served all the same."""
    peak, saga = Peak(), Saga("s")

    @saga.step
    async def a(input: int) -> int:
        await peak.stay()
        return input

    async def main() -> list[Any]:
        async with AsyncOrchestrator("memory://", sagas=[saga], max_in_flight=4) as orchestrator:
            ended = await asyncio.gather(*[orchestrator.run(saga, n) for n in range(40)])
        return [instance.results["a"] for instance in ended]

    assert list(range(40)) == asyncio.run(main())
    assert 4 == peak.most


def test_an_instance_run_inside_an_action_needs_no_place_of_its_own() -> None:
    """The instance around it holds the last place: waiting for another would be for ever."""
    inner, outer = Saga("inner"), Saga("outer")
    inner.add_step("a", more)

    async def main() -> Any:
        async with AsyncOrchestrator("memory://", sagas=[inner], max_in_flight=1) as orchestrator:

            @outer.step
            async def ask(input: int) -> int:
                return (await orchestrator.run(inner, input)).results["a"]

            async with asyncio.timeout(30):
                return (await orchestrator.run(outer, 1, check=True)).results

    assert {"ask": 2} == asyncio.run(main())


def test_a_steps_calls_are_bounded_over_all_instances() -> None:
    """`max_concurrency` of a step: one whose turn has not come is not written ahead, so a crash leaves no doubt of it."""
    peak, saga = Peak(), Saga("s")
    under_way, most = set(), [0]

    def count(instance: Any, event: e.Event) -> None:
        if isinstance(event, e.StepStarted) and event.step == "bounded":
            under_way.add(instance.id)
        elif isinstance(event, e.StepSucceeded) and event.step == "bounded":
            under_way.remove(instance.id)
        most.append(len(under_way))

    @saga.step
    async def before(input: int) -> int:
        return input

    @saga.step(max_concurrency=3)
    async def bounded(before: int) -> int:
        await peak.stay()
        return before

    @saga.step
    async def after(bounded: int) -> int:
        return bounded

    async def main() -> list[Any]:
        async with AsyncOrchestrator("memory://", sagas=[saga], on_event=count) as orchestrator:
            ended = await asyncio.gather(*[orchestrator.run(saga, n) for n in range(30)])
        return [instance.results["after"] for instance in ended]

    assert list(range(30)) == asyncio.run(main())
    assert 3 == peak.most
    assert 3 == max(most)


def test_a_bounded_first_step_waits_for_its_turn_too() -> None:
    peak, saga = Peak(), Saga("s")

    @saga.step(max_concurrency=2, retry=Retry(3, backoff=timedelta(0)))
    async def bounded(input: int) -> int:
        await peak.stay()
        if input % 2 and peak.most < 100:
            raise ValueError("refused")
        return input

    async def main() -> list[str]:
        async with AsyncOrchestrator("memory://", sagas=[saga]) as orchestrator:
            ended = await asyncio.gather(*[orchestrator.run(saga, n) for n in range(12)])
            # Whatever ended it, the turn was given on: another one starts at once.
            async with asyncio.timeout(30):
                await orchestrator.run(saga, 2, check=True)
        return [instance.state for instance in ended]

    assert ["completed", "failed"] * 6 == asyncio.run(main())
    assert 2 == peak.most


def test_a_cancelled_call_gives_its_turn_on() -> None:
    saga = Saga("s")

    @saga.step(max_concurrency=1, effect=False)
    async def bounded(input: float) -> float:
        await asyncio.sleep(input)
        return input

    async def main() -> str:
        async with AsyncOrchestrator("memory://", sagas=[saga]) as orchestrator:
            first = asyncio.create_task(orchestrator.run(saga, 60.0))
            await asyncio.sleep(0.05)
            waiting = asyncio.create_task(orchestrator.run(saga, 60.0))
            last = asyncio.create_task(orchestrator.run(saga, 0.0))
            await asyncio.sleep(0.05)
            for task in (waiting, first):
                task.cancel()
            async with asyncio.timeout(30):
                return (await last).state

    assert "completed" == asyncio.run(main())


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "many"])
def test_a_bound_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(DefinitionError) as caught:
        AsyncOrchestrator("memory://", max_in_flight=wrong)
    assert f"an orchestrator takes a max_in_flight of 1 or more, not {wrong!r}" == str(caught.value)
    saga = Saga("s")
    with pytest.raises(DefinitionError) as caught:
        saga.add_step("a", lambda: None, max_concurrency=wrong)
    assert f"step 'a' takes a max_concurrency of 1 or more, not {wrong!r}" == str(caught.value)


# Who queues also has other things to look at ---------------------------------------------------------------------------


def queued(holds: float, work: Callable[[AsyncOrchestrator, Saga], Awaitable[Any]]) -> Any:
    """Do some work while one instance holds the only turn of a step for so long."""
    saga = Saga("s")

    @saga.step(max_concurrency=1, effect=False)
    async def bounded(input: float) -> float:
        await asyncio.sleep(input)
        return input

    async def main() -> Any:
        orchestrator = AsyncOrchestrator("memory://", sagas=[saga])
        holder = asyncio.create_task(orchestrator.run(saga, holds, id="holder"))
        await asyncio.sleep(0.05)
        try:
            async with asyncio.timeout(30):
                return await work(orchestrator, saga)
        finally:
            holder.cancel()
            await asyncio.wait({holder})
            await orchestrator.close()

    return asyncio.run(main())


def test_a_stop_reaches_all_that_queue() -> None:
    """Law 18: `close()` drains, however many wait for a turn that will not come any more."""

    async def work(orchestrator: AsyncOrchestrator, saga: Saga) -> list[str]:
        waiting = [asyncio.create_task(orchestrator.run(saga, 0.0, id=f"o-{n}")) for n in range(5)]
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(orchestrator.close())
        await asyncio.wait({closing, *waiting})
        return [task.result().state for task in waiting]

    assert ["pending"] * 5 == queued(1.0, work)


def test_a_cancel_reaches_what_queues() -> None:
    """Law 10: queued calls never start; the cancel need not wait until another instance's call has ended."""

    async def work(orchestrator: AsyncOrchestrator, saga: Saga) -> SagaInstance:
        waiting = asyncio.create_task(orchestrator.run(saga, 0.0, id="o-1"))
        await asyncio.sleep(0.05)
        await orchestrator.cancel("o-1", reason="changed my mind")
        return await waiting

    instance = queued(3600.0, work)
    assert ("failed", True) == (instance.state, instance.compensated)
    assert "pending" == instance.steps["bounded"].status


def test_a_request_waits_for_no_place_in_flight() -> None:
    """Law 12: a cancel is posted at once, also when it is meant for the instance that holds the last place."""
    saga = Saga("s", retry=Retry(2, backoff=timedelta(hours=1), jitter=False))

    @saga.step
    async def fails(input: int) -> int:
        raise ValueError("not yet")

    async def main() -> SagaInstance:
        async with AsyncOrchestrator("memory://", sagas=[saga], max_in_flight=1) as orchestrator:
            run = asyncio.create_task(orchestrator.run(saga, 1, id="o-1"))
            await asyncio.sleep(0.05)
            async with asyncio.timeout(30):
                await orchestrator.cancel("o-1", reason="changed my mind")
                return await run

    assert "failed" == asyncio.run(main()).state


@pytest.mark.parametrize("wrong", [5, None, timedelta(0), timedelta(-1)])
def test_a_poll_that_is_no_duration_is_refused(wrong: Any) -> None:
    async def main() -> None:
        async with AsyncOrchestrator("memory://") as orchestrator:
            await orchestrator.serve(poll=wrong)

    with pytest.raises(RequestError) as caught:
        asyncio.run(main())
    assert f"serve takes poll= as a positive timedelta, not {wrong!r}" == str(caught.value)


def test_a_call_that_cannot_be_made_gives_its_turn_on() -> None:
    """What is stored does not fit the parameter: the step fails without a call, and its turn is free again."""
    saga = Saga("s")
    saga.add_step("a", lambda: "text")

    @saga.step(max_concurrency=1)
    async def b(a: int) -> int:
        return a

    async def main() -> list[str]:
        async with AsyncOrchestrator("memory://", sagas=[saga]) as orchestrator, asyncio.timeout(30):
            return [(await orchestrator.run(saga, None)).state for _ in range(3)]

    assert ["failed"] * 3 == asyncio.run(main())


def test_a_member_queues_while_its_sibling_runs() -> None:
    """Its turn may come before the sibling has ended."""
    saga, order = Saga("s"), []
    saga.add_step("before", lambda: None)

    @saga.step(group="g")
    async def slow(input: float) -> None:
        await asyncio.sleep(3 * input)
        order.append("slow")

    @saga.step(group="g", max_concurrency=1)
    async def bounded(input: float) -> None:
        await asyncio.sleep(input)
        order.append("bounded")

    async def main() -> None:
        async with AsyncOrchestrator("memory://", sagas=[saga]) as orchestrator:
            await asyncio.gather(*[orchestrator.run(saga, 0.2, check=True) for _ in range(2)])

    asyncio.run(main())
    assert ["bounded", "bounded", "slow", "slow"] == order
