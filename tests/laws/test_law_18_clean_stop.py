"""Law 18: a clean stop leaves no doubt: the outcome of the running action is written, without the next start.

- `close()` drains, also orchestrators made by `alongside`. SIGTERM drains under `with` or `serve()` on the main thread
  where no other handler is installed; the process then exits with status 143.
- `risks()` lists each step with neither probe nor policy: tests/definition/test_risks.py.

Which handler SIGTERM has, and when: tests/engine/test_signals.py. SIGTERM and Ctrl-C in each way to call an action:
tests/runtime/test_interrupts.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import AsyncOrchestrator, Orchestrator, Saga, SagaError
from sagafsm.history import events as e
from sagafsm.runtime.shutdown import Shutdown
from sagafsm.store import Store, open_store
from support.bench import Bench, lines
from support.cases import Case, cases
from support.clock import FakeClock
from support.controls import expect_breach, quick
from support.orders import bench_of
from support.services import STEADY, Service, add, saga_of
from support.stage import Meeting

# close() --------------------------------------------------------------------------------------------------------------


def test_close_from_another_thread_drains(memory: Store) -> None:
    """`close()` waits for the running action. Its outcome is written, and the next step does not start."""
    inside, closing = threading.Event(), threading.Event()

    def act() -> None:
        inside.set()
        closing.wait(5)

    service = Service(script={"a": [act]})
    saga = saga_of(service, a={}, b={})
    orchestrator = Orchestrator(memory, sagas=[saga])
    states: list[str] = []
    worker = threading.Thread(target=lambda: states.append(orchestrator.run(saga, "mug", id="o-1").state))
    worker.start()
    inside.wait(5)
    closer = threading.Thread(target=orchestrator.close)
    closer.start()
    assert closer.is_alive()
    closing.set()
    closer.join(5)
    worker.join(5)
    assert ["running:b"] == states
    assert ["a 1"] == service.calls
    assert ["StepStarted a 1", "StepSucceeded a 1"] == lines(memory.history("o-1"))[1:]
    assert "completed" == Bench(memory, saga).ask("resume", "o-1").state


def test_close_drains_on_a_loop(memory: Store) -> None:
    """The same holds for an async orchestrator."""
    service = Service()
    saga = Saga("order")
    inside, closing = asyncio.Event(), asyncio.Event()

    async def a() -> None:
        inside.set()
        await closing.wait()

    saga.add_step("a", a)
    saga.add_step("b", lambda: service.calls.append("b"))

    async def main() -> str:
        orchestrator = AsyncOrchestrator(memory, sagas=[saga])
        running = asyncio.create_task(orchestrator.run(saga, "mug", id="o-1"))
        await inside.wait()
        closer = asyncio.create_task(orchestrator.close())
        await asyncio.sleep(0)
        closing.set()
        await closer
        return (await running).state

    assert "running:b" == asyncio.run(main())
    assert [] == service.calls
    assert ["StepStarted a 1", "StepSucceeded a 1"] == lines(memory.history("o-1"))[1:]


def test_close_ends_a_backoff(way: str, memory: Store) -> None:
    """A sleeping drive stops. The instance goes on when it is resumed."""
    service = Service(script={"a": ["fail"]})
    saga = saga_of(service, a={"retry": STEADY})
    bench = Bench(memory, saga, way)
    if way == "sync":
        orchestrator = Orchestrator(memory, sagas=[saga], clock=bench.clock)
        bench.clock.after_sleep = orchestrator._stopping.ask
        assert "running:a" == orchestrator.run(saga, "mug", id="o-1").state
        orchestrator.close()
        assert ["a 1"] == service.calls
    bench.clock.after_sleep = lambda: None
    assert "completed" == (bench.run() if way == "async" else bench.ask("resume", "o-1")).state


def test_close_drains_a_group(memory: Store) -> None:
    """The outcomes of all running members are written, and a queued member does not start."""
    bench, service = bench_of(memory, "sync", limit=2, **{name: {"group": "g"} for name in "abc"})
    inside = Meeting(2)
    orchestrators: list[Orchestrator] = []

    def act() -> None:
        inside()
        orchestrators[0]._stopping.ask()

    service.script = {"a": [act], "b": [act]}
    with Orchestrator(memory, sagas=[bench.saga]) as orchestrator:
        orchestrators.append(orchestrator)
        instance = orchestrator.run(bench.saga, "mug", id="o-1")
    assert ["StepSucceeded a 1", "StepSucceeded b 1"] == sorted(lines(instance.history)[3:])
    assert ["a 1", "b 1"] == sorted(service.calls)
    assert "completed" == bench.ask("resume", "o-1").state


def test_nothing_new_starts_after_close(way: str, memory: Store) -> None:
    """A closed orchestrator starts nothing, and says so. `close()` may be called twice."""
    service = Service()
    saga = saga_of(service, a={})
    told = r"^this orchestrator is closed, or closing: nothing new starts \(open another\)$"
    if way == "sync":
        orchestrator = Orchestrator(memory, sagas=[saga])
        orchestrator.close()
        orchestrator.close()
        with pytest.raises(SagaError, match=told):
            orchestrator.run(saga, "mug")
    else:

        async def main() -> None:
            orchestrator = AsyncOrchestrator(memory, sagas=[saga])
            await orchestrator.close()
            await orchestrator.close()
            with pytest.raises(SagaError, match=told):
                await orchestrator.run(saga, "mug")

        asyncio.run(main())
    assert [] == service.calls
    assert [] == list(memory.find())


def test_an_async_action_may_close_its_orchestrator(way: str, memory: Store) -> None:
    """`close()` from inside an action does not wait for this action."""
    service = Service()
    saga = Saga("order")
    asked: list[Any] = []

    async def act() -> str:
        closing = asked[0].close()
        if closing is not None:
            await closing
        return "done"

    saga.add_step("a", act)
    add(saga, service, "b")
    if way == "sync":
        with Orchestrator(memory, sagas=[saga]) as orchestrator:
            asked.append(orchestrator)
            assert "running:b" == orchestrator.run(saga, 1, id="o-1").state
    else:

        async def main() -> None:
            async with AsyncOrchestrator(memory, sagas=[saga]) as orchestrator:
                asked.append(orchestrator)
                assert "running:b" == (await orchestrator.run(saga, 1, id="o-1")).state

        asyncio.run(main())
    assert [] == service.calls
    assert ["StepStarted a 1", "StepSucceeded a 1"] == lines(memory.history("o-1"))[1:]


# Alongside ------------------------------------------------------------------------------------------------------------


def slow(reached: threading.Event, go: threading.Event) -> Saga:
    saga = Saga("slow")

    @saga.step
    def wait() -> str:
        reached.set()
        assert go.wait(10)
        return "done"

    saga.add_step("ship", lambda: "label")
    return saga


def test_close_drains_what_drives_alongside(tmp_path: Path) -> None:
    """Orchestrators on one store close together: the running action is recorded before the store is closed."""
    reached, go = threading.Event(), threading.Event()
    saga, url = slow(reached, go), f"sqlite:///{tmp_path}/saga.db"
    orchestrator = Orchestrator(url, sagas=[saga])
    orchestrator.start(saga, None, id="o-1")
    beside = orchestrator.alongside()
    driving = threading.Thread(target=beside.resume, args=("o-1",))
    driving.start()
    assert reached.wait(10)
    closing = threading.Thread(target=orchestrator.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()
    assert beside.is_closed
    go.set()
    closing.join(10)
    driving.join(10)
    with Orchestrator(url, sagas=[saga]) as later:
        instance = later.get("o-1")
        assert ({"wait": "done"}, "running:ship") == (instance.results, instance.state)
        assert "completed" == later.resume("o-1").state


def test_close_drains_what_drives_alongside_on_a_loop(tmp_path: Path) -> None:
    """The same holds on a loop, which goes on while `close()` waits."""
    reached, go = threading.Event(), threading.Event()
    saga, url = slow(reached, go), f"sqlite:///{tmp_path}/saga.db"

    async def course() -> bool:
        orchestrator = AsyncOrchestrator(url, sagas=[saga])
        await orchestrator.start(saga, None, id="o-1")
        driving = asyncio.create_task(orchestrator.alongside().resume("o-1"))
        await asyncio.to_thread(reached.wait, 10)
        closing = asyncio.create_task(orchestrator.close())
        await asyncio.sleep(0.2)
        waits = not closing.done()
        go.set()
        await closing
        await driving
        return waits

    assert asyncio.run(course())
    with Orchestrator(url, sagas=[saga]) as later:
        assert {"wait": "done"} == later.get("o-1").results


# SIGTERM --------------------------------------------------------------------------------------------------------------


SERVER = """
    import asyncio, sys
    from datetime import timedelta
    from sagafsm import AsyncOrchestrator, Saga

    saga = Saga("s")

    @saga.step
    async def first(input):
        print("in", flush=True)
        await asyncio.sleep(0.5)
        return input

    @saga.step
    async def second(first):
        return first

    async def main():
        async with AsyncOrchestrator(sys.argv[1], sagas=[saga]) as orchestrator:
            for n in range(8):
                await orchestrator.start(saga, n, id=f"o-{n}")
            await orchestrator.serve(poll=timedelta(milliseconds=20))

    asyncio.run(main())
"""


def test_sigterm_drains_a_server(tmp_path: Path) -> None:
    """The running actions are recorded, nothing new starts, and the process exits with status 143."""
    url = f"sqlite:///{tmp_path / 'serve.db'}"
    script = tmp_path / "server.py"
    script.write_text(textwrap.dedent(SERVER), encoding="utf-8")
    with subprocess.Popen([sys.executable, script, url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "in\n" == process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert 143 == process.returncode

    with Orchestrator(url) as orchestrator:
        left = [orchestrator.get(one.id) for one in orchestrator.find()]
    kinds = {type(event) for instance in left for event in instance.history}
    assert kinds <= {e.InstanceCreated, e.StepStarted, e.StepSucceeded}
    assert e.StepSucceeded in kinds
    for instance in left:
        assert instance.owner is None
        # Whatever began has ended, and nothing began after it.
        assert instance.steps["first"].status in ("pending", "done")
        assert "pending" == instance.steps["second"].status


# Any stop -------------------------------------------------------------------------------------------------------------

STARTS = (e.StepStarted, e.CompensationStarted)
stops: dict[str, Any] = {"case": cases, "n": st.integers(1, 16)}


def starts_in(store: Store) -> list[tuple[str, int]]:
    """Return the starts of the whole tree."""
    return [
        (summary.id, event.number)
        for summary in store.find()
        for event in store.history(summary.id)
        if isinstance(event, STARTS)
    ]


def check_stop(case: Case, n: int) -> None:
    with contextlib.closing(open_store("memory://")) as calm, contextlib.closing(open_store("memory://")) as store:
        whole, before = case.bench(calm)
        whole.run()
        bench, after = case.bench(store)
        started: list[Any] = []
        heard: list[Any] = []

        def stop_at_n(_: Any, event: e.Event) -> None:
            heard.append(event)
            if len(heard) == n:
                orchestrator._stopping.ask()
                started.append((starts_in(store), list(clock.slept)))

        clock = FakeClock()
        with Orchestrator(store, sagas=[bench.saga], clock=clock, on_event=stop_at_n) as orchestrator:
            orchestrator.run(bench.saga, "mug", id="o-1")
        if started:
            assert [(starts_in(store), clock.slept)] == started, "something new starts, or sleeps, after the stop"
        bench.clock.advance(1000)
        bench.ask("resume", "o-1")
        for summary in calm.find():
            assert lines(calm.history(summary.id)) == lines(store.history(summary.id))
        assert before.calls == after.calls


@quick(40)
@given(**stops)
def test_any_stop_leaves_no_doubt(case: Case, n: int) -> None:
    """Stopped at any event, nothing new starts. Resumed by another process, all is as without the stop."""
    check_stop(case, n)


def test_a_stop_that_is_not_heard_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: a drive that does not ask whether it is to stop."""
    monkeypatch.setattr(Shutdown, "is_driving_stopped", lambda self: False)
    assert "after the stop" in expect_breach(check_stop, **stops)
