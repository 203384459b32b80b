"""Laws 10 and 18: Ctrl-C reaches the action and leaves an instance that resumes; a clean stop leaves no doubt."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sagafsm import AsyncOrchestrator, Orchestrator
from support import interrupted
from support.bench import lines
from support.services import Service, saga_of

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
