"""Laws 10 and 18: Ctrl-C reaches the action and leaves an instance that resumes; a clean stop leaves no doubt."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sagafsm import AsyncOrchestrator, Orchestrator, Saga, SagaError
from sagafsm.store import Store
from support import interrupted
from support.bench import Bench, lines
from support.services import STEADY, Service, saga_of

RESTS = "instance 'o-1' rests in 'running:b'; resume('o-1') or recover() goes on"
CHILD_WAYS = (
    "sync",
    "sync, timeout",
    "sync, async action",
    "sync, async action, timeout",
    "async, async action",
    "async, async action, timeout",
    "async",
    "async, timeout",
)


def child_of(folder: Path, way: str, *, seconds: float = interrupted.LONG) -> subprocess.Popen[str]:
    command = [sys.executable, interrupted.__file__, f"sqlite:///{folder}/saga.db", way, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def signalled(child: subprocess.Popen[str], number: signal.Signals) -> tuple[list[str], str]:
    """What the child says after it was signalled in the middle of its action."""
    assert child.stdout is not None
    assert "in b\n" == child.stdout.readline()
    os.kill(child.pid, number)
    out, err = child.communicate(timeout=30)
    return out.splitlines(), err


@pytest.mark.parametrize("kind", CHILD_WAYS)
def test_ctrl_c_reaches_the_action_and_the_instance_resumes(kind: str, tmp_path: Path) -> None:
    """Law 10: Ctrl-C is no cancel: it propagates with a note, the lease is released, the history stays as it is."""
    with child_of(
        tmp_path, kind, seconds=0.5 if kind.startswith("async") and "action" not in kind else interrupted.LONG
    ) as child:
        out, err = signalled(child, signal.SIGINT)
    assert -signal.SIGINT == child.returncode, err
    got = "CancelledError" if "async action" in kind else "KeyboardInterrupt"
    if kind in ("async", "async, timeout"):
        # A sync action beside a loop is on a thread, which the loop's own Ctrl-C does not reach.
        assert "b got" not in "".join(out)
        out = [line for line in out if line != "b returns"]
    else:
        assert f"b got {got}" == out.pop(0)
    assert [
        f"main got {'CancelledError' if kind.startswith('async') else 'KeyboardInterrupt'}: {RESTS}",
        "owner None",
    ] == out
    assert "Exception in thread" not in err
    assert "never retrieved" not in err

    with Orchestrator(f"sqlite:///{tmp_path}/saga.db", sagas=[interrupted.saga(kind)]) as orchestrator:
        assert ["InstanceCreated", "StepStarted a 1", "StepSucceeded a 1", "StepStarted b 1"] == lines(
            orchestrator.get("o-1").history
        )
        assert ["in_doubt"] == [block.reason for block in orchestrator.resume("o-1").blocked]
        assert "completed" == orchestrator.resolve("o-1", result="seen", reason="looked").state


@pytest.mark.parametrize("kind", ["sync", "sync, async action, timeout", "async, async action", "async, timeout"])
def test_sigterm_drains(kind: str, tmp_path: Path) -> None:
    """Law 18: SIGTERM drains: the running action's outcome is written without the next start."""
    with child_of(tmp_path, kind, seconds=0.4) as child:
        out, err = signalled(child, signal.SIGTERM)
    assert 128 + signal.SIGTERM == child.returncode, err
    assert "b returns" == out[0]
    assert "in c" not in out
    with Orchestrator(f"sqlite:///{tmp_path}/saga.db", sagas=[interrupted.saga(kind)]) as orchestrator:
        instance = orchestrator.get("o-1")
        assert ["StepStarted b 1", "StepSucceeded b 1"] == lines(instance.history)[3:]
        assert ("running:c", None) == (instance.state, instance.owner)
        assert ("o-1",) == orchestrator.recover().resumed
        assert "completed" == orchestrator.get("o-1").state


# A clean stop ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 20])
def test_close_from_another_thread_drains(timeout: int | None, memory: Store) -> None:
    """Law 18: `close()` waits for the running action, whose outcome is written without the next start."""
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


def test_close_drains_in_the_async_orchestrator(memory: Store) -> None:
    """Law 18: the same on a loop."""
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
    """Law 18: a sleeping drive stops; the instance goes on when it is resumed."""
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


def test_a_compensation_under_way_is_drained_too(memory: Store) -> None:
    """Law 18: what was started is recorded, the next undo is not begun."""
    orchestrators: list[Orchestrator] = []
    service = Service(script={"c": ["fail"], "undo b": [lambda: [one._stopping.ask() for one in orchestrators]]})
    saga = saga_of(service, a={}, b={}, c={})
    with Orchestrator(memory, sagas=[saga]) as orchestrator:
        orchestrators.append(orchestrator)
        assert "compensating:a" == orchestrator.run(saga, "mug", id="o-1").state
    assert "undo b 1 of b!" == service.calls[-1]
    assert "CompensationSucceeded b 1" == lines(memory.history("o-1"))[-1]
    assert Bench(memory, saga).ask("resume", "o-1").compensated


def test_nothing_new_starts_after_close(way: str, memory: Store) -> None:
    """Law 18: a closed orchestrator starts nothing, and says so."""
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


def test_an_owned_store_is_closed_with_its_orchestrator(way: str, tmp_path: Path) -> None:
    """`store` as a URL is opened and closed with the orchestrator; closing twice does nothing."""
    url = f"sqlite:///{tmp_path}/saga.db"
    saga = saga_of(Service(), a={})
    if way == "sync":
        with Orchestrator(url, sagas=[saga]) as orchestrator:
            assert "completed" == orchestrator.run(saga, 1).state
        orchestrator.close()
        return

    async def main() -> None:
        async with AsyncOrchestrator(url, sagas=[saga]) as orchestrator:
            assert "completed" == (await orchestrator.run(saga, 1)).state
        await orchestrator.close()

    asyncio.run(main())
