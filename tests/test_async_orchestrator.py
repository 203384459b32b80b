"""What only a loop can do to an orchestrator: run many at once, cancel in flight, mix with sync code."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import pytest

from sagafsm import AsyncOrchestrator, Orchestrator, Saga
from sagafsm.store import Store
from support.bench import Bench, lines
from support.services import Service, add, saga_of
from support.stores import Wrapped

PLAIN: dict[str, dict[str, Any]] = {"a": {}, "b": {}}
PUBLIC = sorted({name for kind in (Orchestrator, AsyncOrchestrator) for name in dir(kind) if name[0] != "_"})


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "serve"])
def test_both_orchestrators_take_the_same_arguments_and_are_documented(name: str) -> None:
    """A method of one has its twin: the same parameters, and a docstring that `help` shows. Only the twin is awaited."""
    one, other = getattr(Orchestrator, name), getattr(AsyncOrchestrator, name)
    assert inspect.getdoc(one)
    assert inspect.getdoc(other)
    if not isinstance(one, property):
        assert inspect.signature(one).parameters == inspect.signature(other).parameters
        not_awaited = {"alongside", "find", "listen", "stop_driving"}
        assert (False, name not in not_awaited) == tuple(map(inspect.iscoroutinefunction, (one, other)))


def test_the_async_orchestrator_has_one_operation_and_one_argument_more() -> None:
    """`serve` and `max_in_flight` exist on a loop only."""
    assert {"serve"} == {name for name in PUBLIC if not hasattr(Orchestrator, name)}
    one, other = (inspect.signature(kind).parameters for kind in (Orchestrator, AsyncOrchestrator))
    assert {**one, "max_in_flight": other["max_in_flight"]} == other


def test_many_instances_run_at_once_on_one_loop(store: Store) -> None:
    """Async actions run on the caller's loop, concurrently; every instance is whole."""
    inside, most = 0, 0
    loops: set[int] = set()
    saga = Saga("order")

    async def act(input: int) -> int:
        nonlocal inside, most
        loops.add(id(asyncio.get_running_loop()))
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.01)
        inside -= 1
        return input

    saga.add_step("a", act)
    saga.add_step("b", act)

    async def main() -> list[Any]:
        loops.add(id(asyncio.get_running_loop()))
        async with AsyncOrchestrator(store, sagas=[saga]) as orchestrator:
            return await asyncio.gather(*(orchestrator.run(saga, n, id=f"o-{n:02}") for n in range(20)))

    assert [{"a": n, "b": n} for n in range(20)] == [instance.results for instance in asyncio.run(main())]
    assert most > 1
    assert 1 == len(loops)


def test_the_loop_waits_for_no_store_and_no_sync_action(memory: Store) -> None:
    """Section 6: the loop never waits for an fsync or for a sync action."""

    class Slow(Wrapped):
        def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            assert threading.current_thread() is not threading.main_thread()
            time.sleep(0.03)
            return method(*args, **kwargs)

    saga = Saga("order")
    saga.add_step("a", lambda: time.sleep(0.1))
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            ticks.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.001)

    async def main() -> None:
        ticking = asyncio.create_task(tick())
        async with AsyncOrchestrator(Slow(memory), sagas=[saga]) as orchestrator:
            assert "completed" == (await orchestrator.run(saga, 1)).state
        ticking.cancel()

    asyncio.run(main())
    # Blocked for one sync call, the loop would tick but a few times.
    assert len(ticks) > 20


class Held(Wrapped):
    """Holds the first call of one method, after it has done its work, until it is let go."""

    def __init__(self, inner: Store, name: str) -> None:
        super().__init__(inner)
        self.name = name
        self.reached, self.let_go = threading.Event(), threading.Event()

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        answer = method(*args, **kwargs)
        if name == self.name and not self.reached.is_set():
            self.reached.set()
            self.let_go.wait(20)
        return answer


@pytest.mark.parametrize("call", ["create", "claim", "append", "load", "mail"])
def test_a_task_cancelled_in_a_call_of_the_store_releases_its_lease(call: str, memory: Store) -> None:
    """Law 12: a driver releases its lease whenever it leaves, also when its claim was only just being stored."""
    held = Held(memory, call)
    service = Service()
    saga = saga_of(service, is_async=True, **PLAIN)
    if call != "create":
        Bench(memory, saga).ask("start", saga, "mug", id="o-1")

    async def main() -> None:
        async with AsyncOrchestrator(held, sagas=[saga]) as orchestrator:
            task = asyncio.create_task(orchestrator.run(saga, "mug", id="o-1"))
            await asyncio.to_thread(held.reached.wait, 20)
            task.cancel()
            await asyncio.sleep(0)
            held.let_go.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert memory.load("o-1").summary.owner is None
            assert [] == service.calls

    asyncio.run(main())
    assert Bench(memory, saga).ask("resume", "o-1").state in ("completed", "running:a")


def test_cancelling_twice_releases_the_lease_all_the_same(memory: Store) -> None:
    """Law 12: also while it is being released."""
    held = Held(memory, "release")
    inside = asyncio.Event()
    saga = Saga("order")

    async def act() -> None:
        inside.set()
        await asyncio.sleep(20)

    saga.add_step("a", act)

    async def main() -> None:
        async with AsyncOrchestrator(held, sagas=[saga]) as orchestrator:
            task = asyncio.create_task(orchestrator.run(saga, 1, id="o-1"))
            await inside.wait()
            task.cancel()
            await asyncio.to_thread(held.reached.wait, 20)
            task.cancel()
            held.let_go.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert memory.load("o-1").summary.owner is None

    asyncio.run(main())


# The sync API around loops --------------------------------------------------------------------------------------------


def test_the_sync_api_works_inside_a_running_loop(memory: Store) -> None:
    """Section 7: a sync call inside a running event loop works (notebooks), with sync and async actions."""
    service = Service(script={"c": ["fail"]})
    saga = Saga("order")
    add(saga, service, "a")
    add(saga, service, "b", is_async=True, timeout=timedelta(seconds=20))
    add(saga, service, "c", is_async=True)

    async def cell() -> Any:
        with Orchestrator(memory, sagas=[saga]) as orchestrator:
            return orchestrator.run(saga, 1)

    assert asyncio.run(cell()).compensated
    assert ["a 1", "b 1", "c 1", "undo b 1 of b!", "undo a 1 of a!"] == service.calls


def test_async_actions_run_on_one_background_loop(memory: Store) -> None:
    """Section 6: async actions on one background loop, so that a client made in one serves the next."""
    loops: list[Any] = []
    saga = Saga("order")

    async def act() -> None:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)

    saga.add_step("a", act, act)
    saga.add_step("b", act, act, timeout=timedelta(seconds=20))
    saga.add_step("c", lambda: 1 / 0)
    with Orchestrator(memory, sagas=[saga]) as orchestrator:
        orchestrator.run(saga, 1)
        orchestrator.run(saga, 2)
    assert 8 == len(loops)
    assert 1 == len(set(loops))


@pytest.mark.parametrize("timeout", [None, timedelta(seconds=5)])
@pytest.mark.parametrize("inner_timeout", [None, timedelta(seconds=5)])
def test_a_sync_call_from_an_async_action_works(
    timeout: timedelta | None, inner_timeout: timedelta | None, memory: Store
) -> None:
    """Section 7: a nested sync call, whose own actions are async, does not wait for the loop that waits for it."""
    inner, outer = Saga("inner"), Saga("outer")

    async def leaf() -> str:
        await asyncio.sleep(0)
        return "leaf"

    async def branch() -> Any:
        return orchestrator.run(inner, 1, id="inner").results

    inner.add_step("x", leaf, timeout=inner_timeout)
    outer.add_step("a", branch, timeout=timeout)
    started = time.monotonic()
    with Orchestrator(memory, sagas=[inner, outer]) as orchestrator:
        assert {"a": {"x": "leaf"}} == orchestrator.run(outer, 1, id="outer").results
    assert time.monotonic() - started < 4


def test_actions_see_the_callers_context(way: str, memory: Store) -> None:
    """Context variables reach actions wherever they run: threads, tasks, the background loop."""
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
    saga = Saga("order")

    async def act() -> str:
        return tenant.get()

    saga.add_step("a", act)
    saga.add_step("b", lambda: tenant.get("none"))
    saga.add_step("c", lambda: tenant.get("none"), timeout=timedelta(seconds=20))
    saga.add_step("d", act, timeout=timedelta(seconds=20))
    token = tenant.set("acme")
    try:
        assert dict.fromkeys("abcd", "acme") == Bench(memory, saga, way).run().results
    finally:
        tenant.reset(token)


def test_a_function_that_returns_an_awaitable_is_async(way: str, memory: Store) -> None:
    """Section 4: an action is async when it returns an awaitable, whatever it was defined with."""
    saga = Saga("order")

    async def later(result: str) -> str:
        await asyncio.sleep(0)
        return result

    saga.add_step("a", lambda: later("a!"), later)
    saga.add_step("b", lambda: later("b!"), timeout=timedelta(seconds=20))
    assert {"a": "a!", "b": "b!"} == Bench(memory, saga, way).run().results


def test_an_async_action_may_cancel_itself(way: str, memory: Store) -> None:
    """Law 10: a `CancelledError` from inside is no outcome: it propagates, and the instance resumes."""
    saga = Saga("order")

    async def act() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    saga.add_step("a", act)
    with pytest.raises(asyncio.CancelledError):
        Bench(memory, saga, way).run()
    assert ["InstanceCreated", "StepStarted a 1"] == lines(memory.history("o-1"))
    assert memory.load("o-1").summary.owner is None
