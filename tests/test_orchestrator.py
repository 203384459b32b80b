"""The orchestrators' own promises: idempotent starts, one command at a time, looking, listening, changed definitions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import attrs
import pytest

from sagafsm import (
    AsyncOrchestrator,
    DefinitionError,
    Orchestrator,
    PayloadError,
    Saga,
    SagaNotFound,
)
from sagafsm.errors import RequestError, ResourceMissing
from sagafsm.store import Store, Summary
from support.bench import Bench, is_async, lines
from support.clock import FakeClock
from support.services import STEADY, Service, saga_of

PLAIN: dict[str, dict[str, Any]] = {"a": {}, "b": {}}


def bench_of(store: Any, way: str, script: dict[str, list[Any]] | None = None, **steps: Any) -> tuple[Bench, Service]:
    service = Service(script=script or {})
    return Bench(store, saga_of(service, is_async=is_async(way), **(steps or PLAIN)), way), service


# Starting -------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Order:
    sku: str
    n: int = 1


def test_an_input_that_does_not_match_is_refused(way: str, memory: Store) -> None:
    """An input that does not match the declared type: the error says where; nothing is stored."""
    saga = Saga("order")

    @saga.step
    def a(input: Order) -> int:
        return input.n

    bench = Bench(memory, saga, way)
    with pytest.raises(PayloadError, match=r"^input of instance 'o-1' of saga 'order' at \$\.n: ") as caught:
        bench.run({"sku": "mug", "n": "two"})
    assert "$.n" == caught.value.path
    with pytest.raises(PayloadError, match=r"set is no JSON value"):
        Bench(memory, saga_of(Service(), "plain", a={}), way).run({"x": {1}})
    assert [] == list(memory.find())


@pytest.mark.parametrize("id", ["", "a/b", "x" * 201, "a\nb", "\ud800", 7])
def test_ids_that_cannot_be_are_refused(id: Any, way: str, memory: Store) -> None:
    """Any text of up to 200 characters without control characters or `/`."""
    bench, _ = bench_of(memory, way)
    with pytest.raises(DefinitionError) as caught:
        bench.run(1, id=id)
    assert f"an instance id takes 1 to 200 characters, none a control character or '/', not {id!r}" == str(caught.value)


@pytest.mark.parametrize("id", ["x" * 200, "ü 7", "o:17", " "])
def test_ids_are_free_text(id: str, way: str, store: Store) -> None:
    """Spaces, colons and letters of any script are fine."""
    bench, _ = bench_of(store, way)
    assert "completed" == bench.run(1, id=id).state
    assert id == bench.ask("get", id).id


def test_without_an_id_every_run_is_an_instance(way: str, memory: Store) -> None:
    """An id is made up when none is given."""
    bench, service = bench_of(memory, way)
    assert bench.ask("run", bench.saga, 1).id != bench.ask("run", bench.saga, 1).id
    assert 4 == len(service.calls)


# One command at a time ------------------------------------------------------------------------------------------------


def test_advance_does_exactly_one_command(way: str, store: Store) -> None:
    """`advance`: one command, its outcome recorded, the next not begun; no owner in between."""
    bench, service = bench_of(store, way, {"b": ["fail"]})
    bench.ask("start", bench.saga, "mug", id="o-1")
    expected = [
        ("running:b", ["StepStarted a 1", "StepSucceeded a 1"]),
        ("running:b", ["StepStarted b 1", "StepFailed b 1", "CauseRecorded failure b"]),
        ("failed", ["CompensationStarted a 1", "CompensationSucceeded a 1", "InstanceFailed"]),
        ("failed", []),
    ]
    before = 1
    for calls, (state, added) in enumerate(expected, start=1):
        instance = bench.ask("advance", "o-1")
        assert (state, added) == (instance.state, lines(instance.history)[before:])
        assert (None, None) == (instance.owner, store.load("o-1").instance.owner)
        assert min(calls, 3) == len(service.calls)
        before = len(instance.history)
    assert ["a 1", "b 1", "undo a 1 of a!"] == service.calls


def test_advance_never_sleeps(way: str, memory: Store) -> None:
    """`advance`: when nothing is due it returns the instance as it stands."""
    bench, _service = bench_of(memory, way, {"a": ["fail"]}, a={"retry": STEADY})
    bench.ask("start", bench.saga, "mug", id="o-1")
    bench.ask("advance", "o-1")
    before = memory.history("o-1")
    assert "running:a" == bench.ask("advance", "o-1").state
    assert before == memory.history("o-1")
    assert [] == bench.clock.slept
    bench.clock.advance(10)
    assert "completed" == bench.ask("advance", "o-1").state


def test_advance_asks_a_probe_as_one_command(way: str, memory: Store) -> None:
    """`advance`: asking the probe is a command too."""
    bench, service = bench_of(memory, way, {"a": ["lost"]}, a={"probe": True}, b={})
    bench.ask("start", bench.saga, "mug", id="o-1")
    for calls in (["a 1"], ["a 1", "probe a 1 in doubt"], ["a 1", "probe a 1 in doubt", "b 1"]):
        bench.ask("advance", "o-1")
        assert calls == service.calls
    assert "completed" == bench.get().state


# Looking --------------------------------------------------------------------------------------------------------------


def found(bench: Bench, **given: Any) -> list[Summary]:
    """All that `find` gives, of either orchestrator."""
    if bench.way == "sync":
        with Orchestrator(bench.store, clock=bench.clock) as orchestrator:
            iterator: Iterator[Summary] = orchestrator.find(**given)
            return list(iterator)

    async def find() -> list[Summary]:
        async with AsyncOrchestrator(bench.store, clock=bench.clock) as orchestrator:
            iterator: AsyncIterator[Summary] = orchestrator.find(**given)
            return [summary async for summary in iterator]

    return asyncio.run(find())


def test_find_filters_and_pages(way: str, store: Store) -> None:
    """`find`: summaries in order of id, by saga, state or phase, block and age, behind an id, up to a limit."""
    bench, service = bench_of(store, way)
    bench.run(id="b")
    service.script = {"a": ["lost"]}
    bench.run(id="c")
    service.script = {"b": ["fail"]}
    bench.run(id="a")
    bench.clock.advance(60)
    bench.ask("start", bench.saga, 1, id="d")
    other = saga_of(service, "refund", x={})
    Bench(store, other, way, bench.clock).run(id="e")

    def ids(**given: Any) -> str:
        return "".join(summary.id for summary in found(bench, **given))

    assert "abcde" == ids()
    assert "abcd" == ids(saga="order")
    assert "e" == ids(saga="refund")
    assert "be" == ids(state="completed")
    assert "c" == ids(state="running") == ids(state="running:a")
    assert "" == ids(state="running:b")
    assert "c" == ids(blocked=True) == ids(blocked="in_doubt")
    assert "" == ids(blocked="payload")
    assert "abde" == ids(blocked=False)
    assert "abc" == ids(older_than=timedelta(seconds=30))
    assert "cde" == ids(after="b")
    assert "cd" == ids(after="b", limit=2)
    with pytest.raises(RequestError, match=r"^find takes limit= of 1 or more, not 0$"):
        ids(limit=0)
    assert "b" == ids(saga="order", state="completed", blocked=False, older_than=timedelta(seconds=1), limit=1)


def test_find_reads_page_by_page(way: str, memory: Store) -> None:
    """`find`: any number of instances, in order of id."""
    bench, _ = bench_of(memory, way)
    with Orchestrator(memory) as orchestrator:
        for n in range(205):
            orchestrator.start(bench.saga, n, id=f"{n:03}")
    assert [f"{n:03}" for n in range(205)] == [summary.id for summary in found(bench)]
    assert [f"{n:03}" for n in range(50, 180)] == [summary.id for summary in found(bench, after="049", limit=130)]


def test_what_does_not_exist_is_told(way: str, store: Store) -> None:
    """An id that does not exist: every operation says so."""
    bench, _ = bench_of(store, way)
    for operation, given in (
        ("get", {}),
        ("resume", {}),
        ("advance", {}),
        ("cancel", {"reason": "x"}),
        ("retry", {}),
        ("resolve", {"result": 1, "reason": "x"}),
        ("compensate", {}),
        ("skip", {"reason": "x"}),
        ("abandon", {"reason": "x"}),
    ):
        with pytest.raises(SagaNotFound) as caught:
            bench.ask(operation, "o-7", **given)
        assert f"no instance 'o-7' in {store.url} (find() lists what is there)" == str(caught.value)


def test_an_instance_names_its_owner_as_it_was_loaded(way: str, memory: Store) -> None:
    """`owner` is who drives it when it was loaded, and nobody once a drive of ours has ended."""
    seen: list[Any] = []
    bench, _ = bench_of(memory, way, {"a": [lambda: seen.append(memory.load("o-1").instance.owner)]})
    bench.options["owner"] = "me"
    assert bench.run().owner is None
    assert ["me"] == seen


# Listening ------------------------------------------------------------------------------------------------------------


# Definitions change ---------------------------------------------------------------------------------------------------


# Odds and ends --------------------------------------------------------------------------------------------------------


def test_the_smallest_saga_runs_in_memory() -> None:
    """DESIGN section 1: `order.run(...)`, in memory, kept as long as the saga."""
    service = Service()
    saga = saga_of(service, **PLAIN)
    instance = saga.run("mug", id="o-1")
    assert "completed" == instance.state
    assert instance == saga.run("mug", id="o-1") == saga.orchestrator.get("o-1")
    assert instance == asyncio.run(saga.run_async("mug", id="o-1"))
    assert ["a 1", "b 1"] == service.calls


@pytest.mark.parametrize("lease", [timedelta(0), timedelta(seconds=-1), 30])
def test_a_lease_that_cannot_be_is_refused(lease: Any, memory: Store) -> None:
    """An orchestrator takes a positive lease."""
    for kind in (Orchestrator, AsyncOrchestrator):
        with pytest.raises(DefinitionError) as caught:
            kind(memory, lease=lease)
        assert f"an orchestrator takes a lease that is a positive timedelta, not {lease!r}" == str(caught.value)


def test_both_orchestrators_have_the_same_names() -> None:
    """Section 7: `AsyncOrchestrator` has the same names, with the same parameters, and a bound beside them."""
    import inspect

    for name, method in vars(Orchestrator).items():
        if not name.startswith("_") and callable(method):
            other = getattr(AsyncOrchestrator, name)
            assert (
                str(inspect.signature(method)).partition(" -> ")[0]
                == str(inspect.signature(other)).partition(" -> ")[0]
            )
    theirs = list(inspect.signature(AsyncOrchestrator).parameters.values())
    assert "max_in_flight" == theirs.pop().name
    assert list(inspect.signature(Orchestrator).parameters.values()) == theirs


def test_a_saga_without_its_resource_is_not_started(memory: Store) -> None:
    """A resource that was not given is told at `start` too."""
    saga = Saga("order", resources=("shop",))
    saga.add_step("a", lambda shop: 1)
    with Orchestrator(memory, clock=FakeClock()) as orchestrator, pytest.raises(ResourceMissing):
        orchestrator.start(saga, 1, id="o-1")
