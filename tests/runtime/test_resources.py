"""Resources are given to the run by name; async context manager factories are entered once, and left at close."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sagafsm import AsyncOrchestrator, Orchestrator, Saga
from sagafsm.errors import ResourceMissing
from sagafsm.store import Store
from support.bench import Bench


def saga_with(*names: str) -> Saga:
    saga = Saga("order", resources=("shop",))
    for name in names:
        saga.add_step(name, lambda shop: f"{shop}", lambda shop, result: None)
    return saga


def test_a_missing_resource_is_told_before_anything_runs(way: str, memory: Store) -> None:
    """A resource that was not given: nothing has run, and the message says what is missing."""
    saga = saga_with("a")
    with pytest.raises(ResourceMissing) as caught:
        Bench(memory, saga, way, options={"resources": {"other": 1}}).run()
    assert (
        "saga 'order' needs resources that were not given: shop (given: other); pass resources={name: object}"
    ) == str(caught.value)
    assert [] == list(memory.find())


def test_a_missing_resource_is_told_at_resume_too(way: str, memory: Store) -> None:
    """The instance is untouched, and recovery reports it beside the others."""
    saga = saga_with("a")
    Bench(memory, saga, way, options={"resources": {"shop": 1}}).ask("start", saga, 1, id="o-1")
    bench = Bench(memory, saga, way)
    with pytest.raises(ResourceMissing):
        bench.ask("resume", "o-1")
    assert ["o-1"] == list(bench.ask("recover").errors)
    assert 1 == len(memory.history("o-1"))
    assert memory.load("o-1").summary.owner is None


def test_resources_of_a_run_go_before_those_of_the_orchestrator() -> None:
    """Tests and the verifier swap them."""
    saga = saga_with("a")
    assert {"a": "fake"} == saga.run(1, resources={"shop": "fake"}).results
    with pytest.raises(ResourceMissing):
        saga.run(1)
    assert {"a": "other"} == asyncio.run(saga.run_async(1, resources={"shop": "other"})).results


class Shop:
    """An async context manager factory, by decorator or by class, that notes what happens to it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.loops: set[int] = set()

    @property
    def factory(self) -> Any:
        @asynccontextmanager
        async def opened() -> AsyncIterator[str]:
            self.log.append("entered")
            self.loops.add(id(asyncio.get_running_loop()))
            try:
                yield "open shop"
            finally:
                self.log.append("left")
                self.loops.add(id(asyncio.get_running_loop()))

        return opened


def test_a_factory_is_entered_once_and_left_at_close(way: str, memory: Store) -> None:
    """Entered once, on the loop that runs actions, however many instances ask; left at close."""
    shop = Shop()
    saga = Saga("order", resources=("shop",))

    async def a(shop: str) -> str:
        assert shop == "open shop"
        loops.add(id(asyncio.get_running_loop()))
        return shop

    loops = shop.loops
    saga.add_step("a", a)
    factory = shop.factory
    if way == "sync":
        with Orchestrator(memory, sagas=[saga], resources={"shop": factory}) as orchestrator:
            for n in range(3):
                assert {"a": "open shop"} == orchestrator.run(saga, n).results
            assert ["entered"] == shop.log
    else:

        async def main() -> None:
            async with AsyncOrchestrator(memory, sagas=[saga], resources={"shop": factory}) as orchestrator:
                found = await asyncio.gather(*(orchestrator.run(saga, n) for n in range(3)))
                assert [{"a": "open shop"}] * 3 == [instance.results for instance in found]
                assert ["entered"] == shop.log

        asyncio.run(main())
    assert ["entered", "left"] == shop.log
    assert 1 == len(shop.loops)


def test_a_class_of_context_managers_is_a_factory_too(way: str, memory: Store) -> None:
    """A class with `__aenter__` is entered; an instance of one is handed over as it is."""
    log: list[str] = []

    class Session:
        async def __aenter__(self) -> str:
            log.append("entered")
            return "session"

        async def __aexit__(self, *_: object) -> None:
            log.append("left")

    saga = saga_with("a", "b")
    assert {"a": "session", "b": "session"} == Bench(
        memory, saga, way, options={"resources": {"shop": Session}}
    ).run().results
    assert ["entered", "left"] == log
    plain = Session()
    assert {"a": str(plain), "b": str(plain)} == Bench(memory, saga, way, options={"resources": {"shop": plain}}).run(
        id="o-2"
    ).results
    assert ["entered", "left"] == log


def test_a_factory_that_fails_leaves_the_instance_alone(way: str, memory: Store) -> None:
    """What cannot be entered starts nothing; recovery reports that instance and goes on with the others."""

    @asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        raise ConnectionError("no route")
        yield

    saga, other = saga_with("a"), Saga("other")
    other.add_step("x", lambda: 1)
    bench = Bench(memory, saga, way, options={"resources": {"shop": broken}, "sagas": [saga, other]})
    with pytest.raises(ConnectionError, match="no route"):
        bench.run()
    assert [] == list(memory.find())
    bench.ask("start", saga, 1, id="o-1")
    bench.ask("start", other, 1, id="o-2")
    report = bench.ask("recover")
    assert {"o-1": "no route"} == {id: str(error) for id, error in report.errors.items()}
    assert ("o-2",) == report.resumed
    assert memory.load("o-1").summary.owner is None


def test_one_that_cannot_be_left_does_not_keep_the_others(way: str, memory: Store) -> None:
    """All are left, the last entered first; what one of them raises is told."""
    log: list[str] = []

    def factory(name: str) -> Any:
        @asynccontextmanager
        async def opened() -> AsyncIterator[str]:
            yield name
            log.append(f"left {name}")
            if name == "stock":
                raise ConnectionError("lost")

        return opened

    saga = Saga("order", resources=("shop", "stock", "till"))
    saga.add_step("a", lambda shop, stock, till: [shop, stock, till])
    resources = {name: factory(name) for name in saga.definition.resources}
    with pytest.raises(ConnectionError, match="lost"):
        Bench(memory, saga, way, options={"resources": resources}).run()
    assert ["left till", "left stock", "left shop"] == log
    assert {"a": ["shop", "stock", "till"]} == memory.load("o-1").instance.results


def test_a_factory_that_failed_may_be_entered_later(way: str, memory: Store) -> None:
    """A resource that could not be entered is tried again by the next run."""
    tries: list[int] = []

    @asynccontextmanager
    async def shaky() -> AsyncIterator[str]:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("no route")
        yield "shop"

    saga = saga_with("a")
    if way == "sync":
        with Orchestrator(memory, sagas=[saga], resources={"shop": shaky}) as orchestrator:
            with pytest.raises(ConnectionError):
                orchestrator.run(saga, 1)
            assert {"a": "shop"} == orchestrator.run(saga, 1).results
    else:

        async def main() -> None:
            async with AsyncOrchestrator(memory, sagas=[saga], resources={"shop": shaky}) as orchestrator:
                found = await asyncio.gather(*(orchestrator.run(saga, 1) for _ in range(2)), return_exceptions=True)
                assert [ConnectionError, ConnectionError] == [type(one) for one in found]
                assert {"a": "shop"} == (await orchestrator.run(saga, 1)).results

        asyncio.run(main())
    assert 2 == len(tries)
