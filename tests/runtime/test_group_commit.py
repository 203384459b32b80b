"""Section 6: the store is called on one thread, in order; writes that wait are made in one commit."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from sagafsm import AsyncOrchestrator, StoreError
from sagafsm.engine.effects import StoreCall, StoreWrite
from sagafsm.errors import InstanceExists
from sagafsm.runtime.group_commit import LARGEST_GROUP, RESUMED_AT_ONCE, StoreThread
from sagafsm.store import Store
from sagafsm.store import Write as Writing
from sagafsm.testing.store_contract.group_commit import make_create
from support.bench import lines
from support.children import in_child
from support.services import Service, saga_of
from support.stores import Wrapped

PLAIN: dict[str, dict[str, Any]] = {"a": {}, "b": {}}


class Recording(Wrapped):
    """Keeps the ids of each group, and of each other call its name; the first of them waits until it is let go."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.told: list[Any] = []
        self.let_go = threading.Event()
        self.let_go.set()

    def write(self, writes: Sequence[Writing]) -> Sequence[int | Exception]:
        self.told.append([write.instance_id for write in writes])
        assert self.let_go.wait(20)
        return self.inner.write(writes)

    def call(self, name: str) -> str:
        self.told.append(name)
        return name


def asked(writer: StoreThread, store: Any, *names: str) -> list[Awaitable[Any]]:
    """The answers to creations of these ids."""
    return [writer.ask(StoreWrite(store, make_create(name))) for name in names]


def on_loop(work: Callable[[StoreThread, Any], Awaitable[Any]], store: Any) -> Any:
    """What the work gives, with a writer that is closed afterwards."""
    writer = StoreThread()

    async def main() -> Any:
        try:
            return await work(writer, store)
        finally:
            writer.close()

    return asyncio.run(main())


def test_writes_of_one_turn_are_one_group(memory: Store) -> None:
    """What drives ask for in one turn of the loop is made in one commit, each answered."""

    async def work(writer: StoreThread, store: Any) -> Any:
        async def drive(name: str) -> int:
            return await writer.ask(StoreWrite(store, make_create(name)))

        return await asyncio.gather(*(drive(name) for name in "abc"))

    recording = Recording(memory)
    tokens = on_loop(work, recording)
    assert [["a", "b", "c"]] == recording.told
    assert [memory.load(name).summary.token for name in "abc"] == tokens


def test_while_one_group_commits_more_gather(memory: Store) -> None:
    """Nothing waits for company, but what waits for the store anyway goes together."""

    async def work(writer: StoreThread, store: Any) -> None:
        store.let_go.clear()
        answers = asked(writer, store, "a")
        for name in "bcd":
            while not store.told:
                await asyncio.sleep(0)
            answers += asked(writer, store, name)
            await asyncio.sleep(0.002)
        store.let_go.set()
        await asyncio.gather(*answers)

    recording = Recording(memory)
    on_loop(work, recording)
    assert [["a"], ["b", "c", "d"]] == recording.told


def test_other_calls_are_made_in_their_order(memory: Store) -> None:
    """A call between writes is made between them, by itself; writes to another store are a group of their own."""
    other = Recording(memory)

    async def work(writer: StoreThread, store: Any) -> list[Any]:
        answers = asked(writer, store, "a", "b")
        answers += [writer.ask(StoreCall(lambda name=name: store.call(name))) for name in ("load", "mail")]
        answers += asked(writer, store, "c") + asked(writer, other, "d", "e") + asked(writer, store, "f")
        return await asyncio.gather(*answers)

    recording = Recording(memory)
    assert ["load", "mail"] == on_loop(work, recording)[2:4]
    assert [["a", "b"], "load", "mail", ["c"], ["f"]] == recording.told
    assert [["d", "e"]] == other.told


def test_a_group_has_a_bound(memory: Store) -> None:
    """However many wait: so many in one commit at most, and all in their order."""
    names = [f"o-{number:04}" for number in range(2 * LARGEST_GROUP + 10)]

    async def work(writer: StoreThread, store: Any) -> None:
        await asyncio.gather(*asked(writer, store, *names))

    recording = Recording(memory)
    on_loop(work, recording)
    assert [LARGEST_GROUP, LARGEST_GROUP, 10] == [len(group) for group in recording.told]
    assert names == [name for group in recording.told for name in group]


def test_the_loop_is_woken_once_a_group(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once a write: each waking is a system call, and takes the interpreter from the thread."""
    woken: list[Any] = []

    async def work(writer: StoreThread, store: Any) -> None:
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: woken.append(args) or wake(*args))
        await asyncio.gather(*asked(writer, store, *map(str, range(100))))

    on_loop(work, Recording(memory))
    assert 1 == len(woken)


def test_the_loop_has_turns_between_those_that_go_on(memory: Store) -> None:
    """Of a large group not all go on in one turn of the loop, which has others to serve."""
    going_on, per_turn = 0, list[int]()

    async def work(writer: StoreThread, store: Any) -> None:
        async def drive(name: str) -> None:
            nonlocal going_on
            await writer.ask(StoreWrite(store, make_create(name)))
            going_on += 1

        async def count() -> None:
            nonlocal going_on
            while True:
                per_turn.append(going_on)
                going_on = 0
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        await asyncio.gather(*(drive(str(number)) for number in range(200)))
        counting.cancel()

    recording = Recording(memory)
    on_loop(work, recording)
    assert 1 == len(recording.told)
    assert RESUMED_AT_ONCE == max(per_turn)


def test_what_they_ask_for_next_is_one_group_again(memory: Store) -> None:
    """Although they go on in several turns."""

    async def work(writer: StoreThread, store: Any) -> None:
        async def drive(name: str) -> None:
            for half in "ab":
                await writer.ask(StoreWrite(store, make_create(name + half)))

        await asyncio.gather(*(drive(str(number)) for number in range(200)))

    recording = Recording(memory)
    on_loop(work, recording)
    assert [200, 200] == [len(group) for group in recording.told]


def test_a_refused_write_is_refused_alone(memory: Store) -> None:
    """Its error is raised where it was asked for, and nowhere else."""

    async def work(writer: StoreThread, store: Any) -> Any:
        return await asyncio.gather(*asked(writer, store, "a", "b", "a", "c"), return_exceptions=True)

    answers = on_loop(work, Recording(memory))
    assert [int, int, InstanceExists, int] == [type(answer) for answer in answers]


class Fails(Recording):
    """Fails as planned, group by group: "before" it is made, "after" it, or "short", with an answer left out."""

    def __init__(self, inner: Store, *plan: str | None) -> None:
        super().__init__(inner)
        self.plan = iter(plan)

    def write(self, writes: Sequence[Writing]) -> Sequence[int | Exception]:
        fault = next(self.plan, None)
        if fault == "before":
            raise StoreError("write failed")
        answers = super().write(writes)
        if fault == "after":
            raise StoreError("write failed")
        return answers[1:] if fault == "short" else answers


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_group_that_fails_fails_for_each(memory: Store, fault: str) -> None:
    """Each has an error of its own, on which it can note its own outcome."""

    async def work(writer: StoreThread, store: Any) -> Any:
        return await asyncio.gather(*asked(writer, store, "a", "b"), return_exceptions=True)

    one, other = on_loop(work, Fails(memory, fault))
    assert ["write failed"] * 2 == [str(one), str(other)]
    assert one is not other
    assert one.__cause__ is other.__cause__
    one.outcome = "mine"
    assert other.outcome is None


def test_a_store_that_answers_too_few_fails_for_each(memory: Store) -> None:
    """Nobody waits for ever for an answer that was left out."""

    async def work(writer: StoreThread, store: Any) -> Any:
        answers = await asyncio.gather(*asked(writer, store, "a", "b"), return_exceptions=True)
        return answers + await asyncio.gather(*asked(writer, store, "c"))

    assert [ValueError, ValueError, int] == [type(answer) for answer in on_loop(work, Fails(memory, "short"))]


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("group", [0, 1, 2])
def test_drives_look_up_and_repeat_a_group_that_failed(memory: Store, fault: str, group: int) -> None:
    """Law 1: each of a failed or ambiguous group is looked up: everything is done once, and recorded once."""
    failing, service = Fails(memory, *[None] * group, fault), Service()
    saga = saga_of(service, is_async=True, **PLAIN)

    async def main() -> list[Any]:
        async with AsyncOrchestrator(failing, sagas=[saga]) as orchestrator:
            return await asyncio.gather(*(orchestrator.run(saga, n, id=f"o-{n}") for n in range(20)))

    assert ["completed"] * 20 == [instance.state for instance in asyncio.run(main())]
    assert next(failing.plan, None) is None
    assert {6} == {len(lines(memory.history(f"o-{n}"))) for n in range(20)}
    assert 40 == len(service.calls)


def test_a_cancel_waits_for_an_answer_on_its_way(memory: Store) -> None:
    """Law 12: queued or under way, the answer is known before the task ends: without its token no claim is given up."""

    async def work(writer: StoreThread, store: Any) -> None:
        store.let_go.clear()
        first, second = (asyncio.create_task(one) for one in map(_awaited, asked(writer, store, "a", "b")))
        under_way = [first, second]
        while not store.told:
            await asyncio.sleep(0)
        queued = [asyncio.create_task(_awaited(one)) for one in asked(writer, store, "c")]
        await asyncio.sleep(0)
        for task in (*under_way, *queued):
            task.cancel()
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in (*under_way, *queued))
        store.let_go.set()
        await asyncio.wait({*under_way, *queued})
        assert all(task.cancelled() for task in (*under_way, *queued))

    on_loop(work, Recording(memory))
    assert ["a", "b", "c"] == [row.id for row in memory.find()]


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def test_close_makes_what_was_asked_for(memory: Store) -> None:
    """And only then ends the thread; closing again does nothing, and afterwards it says that it is closed."""

    async def work(writer: StoreThread, store: Any) -> None:
        answers = asked(writer, store, "a", "b")
        writer.close()
        writer.close()
        assert ["a", "b"] == [row.id for row in memory.find()]
        await asyncio.gather(*answers)
        with pytest.raises(StoreError, match="closed"):
            writer.ask(StoreCall(memory.close))

    on_loop(work, Recording(memory))


def test_a_writer_serves_one_loop_after_the_other(memory: Store) -> None:
    """Also when the first was closed before its answer came."""
    writer, recording = StoreThread(), Recording(memory)

    async def main(name: str) -> Any:
        return await asked(writer, recording, name)[0]

    asyncio.run(main("a"))
    recording.let_go.clear()
    loop = asyncio.new_event_loop()
    task = loop.create_task(main("b"))
    while recording.told != [["a"], ["b"]]:
        loop.run_until_complete(asyncio.sleep(0))
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # nobody awaits it any more, which is the point
    loop.close()
    recording.let_go.set()
    assert isinstance(asyncio.run(main("c")), int)
    writer.close()
    assert ["a", "b", "c"] == [row.id for row in memory.find()]


def test_a_writer_that_nobody_closes_ends_with_its_last_reference(memory: Store) -> None:
    """Its thread knows nothing of it while it waits."""

    async def forgotten() -> threading.Thread:
        writer = StoreThread()
        await asked(writer, memory, "a")[0]
        assert writer._thread is not None
        return writer._thread

    thread = asyncio.run(forgotten())
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_of_a_fork_has_a_thread_of_its_own(memory: Store) -> None:
    """Also when the parent's was just being asked, and its own is closed without touching the parent's."""
    writer, recording = StoreThread(), Recording(memory)

    async def main(name: str) -> bool:
        return isinstance(await asked(writer, recording, name)[0], int)

    assert asyncio.run(main("a"))

    def child() -> bool:
        worked = asyncio.run(main("b"))
        writer.close()
        return worked

    assert in_child(child)
    assert asyncio.run(main("b"))
    writer.close()


def test_a_closed_writer_makes_no_calls() -> None:
    """Whoever asks is told; its thread has ended, and would have kept no process alive."""

    async def main() -> None:
        writer = StoreThread()
        await writer.ask(StoreCall(lambda: None))
        thread = writer._thread
        assert thread is not None
        assert thread.daemon
        writer.close()
        assert not thread.is_alive()
        with pytest.raises(StoreError, match=r"^the orchestrator is closed, and calls its store no more"):
            writer.ask(StoreCall(lambda: None))

    asyncio.run(main())
