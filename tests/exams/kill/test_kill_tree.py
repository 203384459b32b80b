"""Real SIGKILLs over a saga with a group and a nested saga: whatever the moment, the tree is one instance's whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sagafsm import Orchestrator, SagaInstance, SagaNotFound
from sagafsm.history import events as e
from support import killed_tree
from support.warm import Warm

Kill = Callable[..., None]
TESTS = Path(__file__).parent.parent.parent
CALLS = [f"{when} {call}" for call in "abcd" for when in ("before", "after")]
UNDOS = [f"{when} undo {call}" for call in "dcba" for when in ("before", "after")]
LAST = 14
APPENDS = [f"{when} append {n}" for n in range(2, LAST + 1) for when in ("before", "after")]
MARKS = [*CALLS, "before z", *UNDOS, *APPENDS]


def run_fresh(folder: Path, way: str, mark: str) -> subprocess.CompletedProcess[str]:
    """Run the process from its very start, in an interpreter of its own."""
    command = [sys.executable, "-m", killed_tree.__name__, str(folder), way, mark]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=TESTS)


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with Warm(killed_tree) as server:
        yield server


@pytest.fixture
def kill(warm: Warm) -> Kill:
    """Kills a process at a mark; the process is forked from a warm one."""

    def kill(folder: Path, way: str, mark: str) -> None:
        child = warm.run(folder, way, mark)
        assert -signal.SIGKILL == child.returncode, child.stderr

    return kill


def recovered(folder: Path) -> tuple[SagaInstance, SagaInstance]:
    """Root and nested saga after a recovery, behind which another one finds nothing to do."""
    saga = killed_tree.saga(folder)
    with Orchestrator(f"sqlite:///{folder}/saga.db", sagas=[saga]) as orchestrator:
        before = {}
        for id in ("o-1", "o-1/n"):
            try:
                before[id] = orchestrator.get(id).history
            except SagaNotFound:
                before[id] = ()
        if not before["o-1"]:
            orchestrator.start(saga, "mug", id="o-1")
        assert {} == orchestrator.recover().errors
        assert () == orchestrator.recover().resumed
        found = orchestrator.get("o-1"), orchestrator.get("o-1/n")
        for instance in found:
            assert before[instance.id] == instance.history[: len(before[instance.id])]
            assert instance.owner is None
    return found


def check(folder: Path) -> None:
    """Every effect is there once, and undone, in strict reverse order of start; the nested saga says what the root does."""
    root, nested = recovered(folder)
    assert root.compensated
    assert nested.compensated
    assert {"after": "a!"} == nested.input
    for instance, steps in ((root, "abn"), (nested, "cd")):
        done = [event.step for event in instance.history if isinstance(event, e.StepSucceeded)]
        undone = [event.step for event in instance.history if isinstance(event, e.CompensationSucceeded)]
        assert sorted(steps) == sorted(done)
        assert sorted(steps) == sorted(undone)
        starts = [event.step for event in instance.history if isinstance(event, e.StepStarted)]
        assert sorted(undone, key=starts.index, reverse=True) == undone
    service = killed_tree.TreeService(folder)
    effects = service.told("SELECT step, undone FROM effects ORDER BY step")
    assert [(step, 1) for step in "abcd"] == effects, f"not every effect once, and undone: {effects}"
    calls = [call for (call,) in service.told("SELECT call FROM calls ORDER BY rowid")]
    undos = list(dict.fromkeys(call for call in calls if call.startswith("undo")))
    started = [event.step for event in root.history if isinstance(event, e.StepStarted)]
    members = ["b", "n"] if started.index("b") < started.index("n") else ["n", "b"]
    expected = [f"undo {step} of {step}!" for m in reversed(members) for step in ("dc" if m == "n" else m)]
    assert [*expected, "undo a of a!"] == undos


@pytest.mark.parametrize("mark", MARKS)
def test_a_killed_tree_is_whole_again(mark: str, kill: Kill, tmp_path: Path) -> None:
    """Members on threads, the nested saga on the driver's own; killed in any call, and around any commit."""
    kill(tmp_path, "sync", mark)
    check(tmp_path)


@pytest.mark.parametrize("mark", MARKS)
def test_a_killed_tree_is_whole_again_beside_a_loop(mark: str, kill: Kill, tmp_path: Path) -> None:
    """The same with the async orchestrator."""
    kill(tmp_path, "async", mark)
    check(tmp_path)


def test_a_tree_killed_at_every_moment_in_turn_gets_through(warm: Warm, tmp_path: Path) -> None:
    """One tree whose processes are killed again and again, some of them forked."""
    for number, mark in enumerate(("after b", "after c", "before z", "after undo d", "before undo b")):
        (warm.run if number % 3 else run_fresh)(tmp_path, "sync", mark)
    check(tmp_path)


def test_without_a_mark_it_comes_to_the_same(tmp_path: Path) -> None:
    """And the marks are where they are said to be: so many commits there are."""
    assert 0 == run_fresh(tmp_path, "sync", "nowhere").returncode
    check(tmp_path)
