"""Real SIGKILLs: whatever the moment, nothing is lost, and nothing is done twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sagafsm import NOT_DONE, Context, Orchestrator, SagaNotFound
from sagafsm.history.instance import SagaInstance
from support import killed
from support.bench import lines
from support.warm import Warm

Kill = Callable[..., None]

CALLS = [f"{when} {call}" for call in ("a", "b", "c", "undo b", "undo a") for when in ("before", "after")]
# c refuses, so it has no effect to die after. The creation is the first append; of it only the middle is reached.
MARKS = [mark for mark in CALLS if mark != "after c"]
MARKS += [f"in append {n}" for n in range(1, 7)] + [
    f"{when} append {n}" for n in range(2, 7) for when in ("before", "after")
]


def run_fresh(folder: Path, way: str, mark: str) -> subprocess.CompletedProcess[str]:
    """Run the process from its very start, in an interpreter of its own."""
    command = [sys.executable, killed.__file__, str(folder), way, mark]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def kill_fresh(folder: Path, way: str, mark: str) -> None:
    child = run_fresh(folder, way, mark)
    assert -signal.SIGKILL == child.returncode, child.stderr


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with Warm(killed) as server:
        yield server


@pytest.fixture
def kill(warm: Warm) -> Kill:
    """Kills a process at a mark; the process is forked from a warm one."""

    def kill(folder: Path, way: str, mark: str) -> None:
        child = warm.run(folder, way, mark)
        assert -signal.SIGKILL == child.returncode, child.stderr

    return kill


def recovered(folder: Path) -> SagaInstance:
    """The instance after a recovery; run anew where there is none yet."""
    saga = killed.saga(folder)
    with Orchestrator(f"sqlite:///{folder}/saga.db", sagas=[saga]) as orchestrator:
        try:
            before = orchestrator.get("o-1").history
        except SagaNotFound:
            before = ()
            orchestrator.start(saga, "mug", id="o-1")
        assert {} == orchestrator.recover().errors
        assert () == orchestrator.recover().resumed
        instance = orchestrator.get("o-1")
    assert before == instance.history[: len(before)]
    return instance


def check(folder: Path) -> None:
    """The instance is at rest, its history whole, and the service's own file has every effect once, and undone."""
    instance = recovered(folder)
    assert instance.compensated
    told = lines(instance.history)
    assert ["InstanceCreated", "InstanceFailed"] == [told[0], told[-1]]
    for step in ("a", "b"):
        assert 1 == len([line for line in told if line.startswith(f"StepSucceeded {step}")])
        assert 1 == len([line for line in told if line.startswith(f"CompensationSucceeded {step}")])
    service = killed.Service(folder)
    effects = service.told("SELECT step, undone FROM effects ORDER BY step")
    assert [("a", 1), ("b", 1)] == effects, f"not every effect once, and undone: {effects}"
    calls = [call for (call,) in service.told("SELECT call FROM calls ORDER BY rowid")]
    # In order, each as often as a crash made it needed; and every undo with its step's own result.
    assert ["a", "b", "undo b of b!", "undo a of a!"] == list(dict.fromkeys(calls))
    assert len(calls) <= 5


@pytest.mark.parametrize("mark", MARKS)
def test_nothing_is_lost_and_nothing_done_twice(mark: str, kill: Kill, tmp_path: Path) -> None:
    """The crash table, by a real kill: before and after the effect, between steps, in a compensation, in an append."""
    kill(tmp_path, "sync", mark)
    check(tmp_path)


@pytest.mark.parametrize("mark", MARKS)
def test_the_same_beside_a_loop(mark: str, kill: Kill, tmp_path: Path) -> None:
    """The same with the async orchestrator, whose store is on a thread of its own."""
    kill(tmp_path, "async", mark)
    check(tmp_path)


def test_a_process_killed_at_every_moment_in_turn_gets_through(kill: Kill, tmp_path: Path) -> None:
    """One instance whose processes are killed again and again: each goes on where the last one was.

    Every third starts as a user's does, in an interpreter of its own; the others are forked.
    """
    marks = ("before a", "after a", "before append 2", "after b", "before c", "after undo b", "before undo a")
    for number, mark in enumerate(marks):
        (kill if number % 3 else kill_fresh)(tmp_path, "sync", mark)
    check(tmp_path)


def test_the_marks_are_where_they_are_said_to_be(tmp_path: Path) -> None:
    """Without a mark the process is not killed, and what it leaves is the same."""
    assert 0 == run_fresh(tmp_path, "sync", "nowhere").returncode
    check(tmp_path)


class Keyless(killed.Service):
    """Ignores the idempotency key: takes every request for a new one, and knows none of the old."""

    def do(self, ctx: Context) -> str:
        if ctx.step == "c":
            return super().do(ctx)
        with closing(self._open()) as db:
            db.execute("INSERT INTO calls VALUES (?)", (ctx.step,))
            db.execute("INSERT INTO effects (key, step) VALUES (?, ?)", (uuid.uuid4().hex, ctx.step))
        return f"{ctx.step}!"

    def undo(self, ctx: Context, result: Any) -> None:
        super().undo(ctx, result)
        with closing(self._open()) as db:
            db.execute("UPDATE effects SET undone = 1 WHERE step = ?", (ctx.step,))

    def probe(self, ctx: Context) -> Any:
        return NOT_DONE


@pytest.mark.parametrize(
    ("mark", "effects"),
    [("after a", "[('a', 1), ('a', 1), ('b', 1)]"), ("before append 3", "[('a', 1), ('b', 1), ('b', 1)]")],
)
def test_a_service_that_ignores_the_key_is_noticed(
    mark: str, effects: str, kill: Kill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control: what was done before the kill is done once more after it."""
    kill(tmp_path, "sync", mark)
    monkeypatch.setattr(killed, "Service", Keyless)
    with pytest.raises(AssertionError) as caught:
        check(tmp_path)
    assert f"not every effect once, and undone: {effects}" == str(caught.value).splitlines()[0]
