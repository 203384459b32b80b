"""Groups: payloads, requests, timeouts, interrupts, and a walk through a group by `advance`."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sagafsm import AsyncOrchestrator, Retry, Saga
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.orders import bench_of
from support.services import Service
from support.signals import ctrl_c_heard
from support.stage import PATIENCE, Meeting

STARTS = ["InstanceCreated", "StepStarted a 1", "StepStarted b 1", "StepStarted c 1"]
SHORT, LONG = timedelta(seconds=0.1), timedelta(seconds=0.3)
SOON = Retry(3, backoff=timedelta(milliseconds=20), factor=1, jitter=False)


def g(after: str | Callable[[], Any] | None = None, **options: Any) -> dict[str, Any]:
    """The options of a member, which goes on only after an event."""
    return {"group": "g", "after": after, **options}


# Requests -------------------------------------------------------------------------------------------------------------


def test_advance_does_one_member_at_a_time(way: str, store: Store) -> None:
    """`advance` in a group: exactly one command, so that a notebook can walk through it."""
    bench, service = bench_of(store, way, a=g(), b=g(), c=g())
    bench.ask("start", bench.saga, "mug", id="o-1")
    seen = []
    while not bench.get().is_at_rest:
        bench.ask("advance", "o-1")
        seen.append(list(service.calls))
    assert [["a 1"], ["a 1", "b 1"], ["a 1", "b 1", "c 1"]] == seen


# Time -----------------------------------------------------------------------------------------------------------------


def test_a_timeout_in_a_group_is_its_members_alone(way: str, memory: Store) -> None:
    """Law 16: a member that outlives its timeout is in doubt; what it still gives within its grace settles that."""
    asked = is_async(way)
    script: dict[str, list[Any]] = {}
    bench, service = bench_of(memory, way, script, a=g(), b=g())
    release = threading.Event()

    async def slow_async() -> str:
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            return "late"
        return "never"

    def slow() -> str:
        release.wait(PATIENCE)
        return "late"

    saga = bench.saga = Saga("order")
    saga.add_step("a", slow_async if asked else slow, service.undo, group="g", timeout=LONG)
    saga.add_step("b", lambda: "b!", service.undo, group="g")
    told = bench.options["on_event"]

    def listen(instance: Any, event: Any) -> None:
        told(instance, event)
        if type(event).__name__ == "StepInDoubt":
            release.set()

    bench.options["on_event"] = listen
    instance = bench.run()
    assert ["StepSucceeded b 1", "StepInDoubt a 1 timeout", "StepSucceeded a 1", "InstanceCompleted"] == lines(
        instance.history
    )[3:]
    assert {"a": "late", "b": "b!"} == instance.results
    assert () == instance.errors


def test_a_member_that_outlives_its_grace_is_in_doubt(memory: Store) -> None:
    """Law 16: no answer within timeout and grace: the doubt stays; others end meanwhile; the late result is recorded."""
    release, service = threading.Event(), Service()
    saga = Saga("order")

    def slow(ctx: Any) -> str:
        release.wait(PATIENCE)
        return "late"

    def other() -> str:
        release.set()
        return "c!"

    saga.add_step("a", slow, service.undo, group="g", timeout=SHORT, in_doubt="compensate")
    saga.add_step("b", lambda: "b!", lambda result: other(), group="g")
    bench = Bench(memory, saga)
    instance = bench.run()
    assert [
        "StepSucceeded b 1",
        "StepInDoubt a 1 timeout",
        "CauseRecorded doubt a",
        "CompensationStarted b 1",
    ] == lines(instance.history)[3:7]
    assert ["undo a 1 of None in doubt"] == service.calls
    assert instance.compensated


# Interrupts -----------------------------------------------------------------------------------------------------------


class Strange(BaseException):
    """What is no `Exception`."""


RESTS = "instance 'o-1' rests in 'running:g'; resume('o-1') or recover() goes on"


@pytest.mark.parametrize("error", [Strange, asyncio.CancelledError])
def test_what_is_no_exception_ends_the_group(error: type[BaseException], way: str, store: Store) -> None:
    """Law 10: it propagates with a note; nothing of the group runs on; the instance is free, and resumes."""

    def interrupt() -> None:
        raise error

    inside: set[str] = set()
    saga = Saga("order")
    both = Meeting(2)

    def a() -> None:
        both()
        interrupt()

    def b() -> str:
        inside.add("b")
        both()
        try:
            for _ in range(int(PATIENCE * 100)):
                threading.Event().wait(0.01)
        finally:
            inside.discard("b")
        return "b!"

    async def a_async() -> None:
        await asyncio.to_thread(both)
        interrupt()

    async def b_async() -> str:
        inside.add("b")
        try:
            await asyncio.to_thread(both)
            await asyncio.sleep(PATIENCE)
        finally:
            inside.discard("b")
        return "b!"

    if way == "async with sync actions":
        pytest.skip("a thread beside a loop is awaited, not interrupted: see the test below")
    asked = is_async(way)
    saga.add_step("a", a_async if asked else a, lambda: None, group="g")
    saga.add_step("b", b_async if asked else b, lambda: None, group="g")
    bench = Bench(store, saga, way)
    with pytest.raises(error) as caught:
        bench.run()
    assert set() == inside
    assert [RESTS] == caught.value.__notes__
    instance = bench.get()
    assert ["InstanceCreated", "StepStarted a 1", "StepStarted b 1"] == lines(instance.history)
    assert None is instance.owner
    instance = bench.ask("resume", "o-1")
    assert [("a", "in_doubt"), ("b", "in_doubt")] == [block[:2] for block in instance.blocked]


def test_a_thread_beside_a_loop_is_awaited(memory: Store) -> None:
    """Law 10: a sync member under the async driver cannot be interrupted; it has ended before the error propagates."""
    ended: list[str] = []
    saga, both = Saga("order"), Meeting(2)

    def a() -> None:
        both()
        raise Strange

    def b() -> str:
        both()
        threading.Event().wait(0.05)
        ended.append("b")
        return "b!"

    saga.add_step("a", a, group="g")
    saga.add_step("b", b, group="g")
    with pytest.raises(Strange):
        Bench(memory, saga, "async").run()
    assert ["b"] == ended
    assert ["InstanceCreated", "StepStarted a 1", "StepStarted b 1"] == lines(memory.history("o-1"))


def test_ctrl_c_reaches_every_member(memory: Store) -> None:
    """Law 10: Ctrl-C on the driver's thread ends all members before it propagates; the instance resumes."""
    got: list[str] = []
    saga, both = Saga("order"), Meeting(2)

    def member(name: str) -> Callable[[], str]:
        def run() -> str:
            try:
                both()
                if name == "a":
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                for _ in range(int(PATIENCE * 100)):
                    threading.Event().wait(0.01)
            except BaseException as error:
                got.append(f"{name} {type(error).__name__}")
                raise
            return f"{name}!"

        return run

    saga.add_step("a", member("a"), group="g", in_doubt="retry")
    saga.add_step("b", member("b"), group="g", in_doubt="retry")
    with ctrl_c_heard(), pytest.raises(KeyboardInterrupt) as caught:
        Bench(memory, saga).run()
    assert ["a KeyboardInterrupt", "b KeyboardInterrupt"] == sorted(got)
    assert [RESTS] == caught.value.__notes__
    assert None is memory.load("o-1").instance.owner


def test_a_cancelled_task_ends_every_member(memory: Store) -> None:
    """Law 10: cancelling the task that drives is no cancel of the saga: its members end, and the instance resumes."""
    saga, inside, ended = Saga("order"), asyncio.Event(), []

    async def member() -> None:
        try:
            inside.set()
            await asyncio.sleep(PATIENCE)
        finally:
            await asyncio.sleep(0)
            ended.append(1)

    saga.add_step("a", member, group="g", in_doubt="retry")
    saga.add_step("b", member, group="g", in_doubt="retry")

    async def main() -> None:
        async with AsyncOrchestrator(memory, sagas=[saga]) as orchestrator:
            task = asyncio.ensure_future(orchestrator.run(saga, None, id="o-1"))
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [1, 1] == ended
            assert None is (await orchestrator.get("o-1")).owner

    asyncio.run(main())
    assert ["InstanceCreated", "StepStarted a 1", "StepStarted b 1"] == lines(memory.history("o-1"))
