"""Real SIGKILLs in the middle of a group commit: of many instances in flight none is lost, doubled or unbalanced."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sagafsm import Orchestrator
from support import killed_many
from support.bench import lines
from support.killed_many import IN_FLIGHT, fails, ids_of
from support.warm import Warm


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with Warm(killed_many) as server:
        yield server


def run_fresh(folder: Path, round_: int, statement: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the process from its very start, in an interpreter of its own."""
    command = [sys.executable, killed_many.__file__, str(folder), str(round_), str(statement), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def depth_of(child: subprocess.CompletedProcess[str]) -> int:
    """Return how many statements of its transaction had run when the process was killed."""
    assert -signal.SIGKILL == child.returncode, child.stderr
    return int(child.stderr)


def check(folder: Path, rounds: int) -> None:
    """Every instance is at rest with a whole history, and the service has every effect once, undone where it should."""
    names = [name for round_ in range(rounds) for name in ids_of(round_)]
    with Orchestrator(f"sqlite:///{folder}/saga.db") as orchestrator:
        assert names == [row.id for row in orchestrator.find()], "an instance is lost, or one too many"
        for name in names:
            instance = orchestrator.get(name)
            told = lines(instance.history)
            assert ("failed" if fails(name) else "completed") == instance.state
            assert instance.compensated == fails(name)
            done = Counter(line.split()[1] for line in told if line.startswith("StepSucceeded"))
            undone = Counter(line.split()[1] for line in told if line.startswith("CompensationSucceeded"))
            assert Counter("ab" if fails(name) else "abc") == done
            assert Counter("ab" if fails(name) else "") == undone
    with closing(sqlite3.connect(folder / "service.db")) as service:
        effects = service.execute("SELECT instance, step, undone FROM effects ORDER BY instance, step").fetchall()
    expected = [(name, step, int(fails(name))) for name in names for step in ("ab" if fails(name) else "abc")]
    assert expected == effects, "an effect is lost, doubled or not undone"


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.long)])
def test_nothing_is_lost_doubled_or_unbalanced(kills: int, warm: Warm, tmp_path: Path) -> None:
    """Each process finishes what the last one left, begins more, and is killed in the middle of a group.

    They are forked from a warm one, but for the first kill and for the process that comes to its end.
    """
    chance = random.Random(kills)
    # Each round makes more than 11 statements an instance.
    depths = []
    for round_ in range(kills):
        run = warm.run if round_ else run_fresh
        depths.append(depth_of(run(tmp_path, round_, chance.randint(50, 10 * IN_FLIGHT))))
    assert max(depths) > IN_FLIGHT, "no kill came in the middle of a large group"
    last = run_fresh(tmp_path, kills, 0)
    assert (0, "") == (last.returncode, last.stderr)
    check(tmp_path, kills + 1)


def test_a_service_that_ignores_the_key_is_noticed(warm: Warm, tmp_path: Path) -> None:
    """Positive control: what was done before the kill is done once more after it."""
    depth_of(warm.run(tmp_path, 0, 8 * IN_FLIGHT, "keyless"))
    assert 0 == warm.run(tmp_path, 1, 0, "keyless").returncode
    with pytest.raises(AssertionError, match="an effect is lost, doubled or not undone"):
        check(tmp_path, 2)
