"""Kills by the dozen: the demo's processes are killed at random moments, and the books balance after every run."""

from __future__ import annotations

import io
import itertools
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from sagafsm.demo import run
from sagafsm.demo.run import run_demo
from sagafsm.demo.saga import SHIPPED_ORDERS
from support import killed_demo
from support.warm import Child, Warm

PARTS = 4
KILLS = 40
KILLS_LONG = 200
# Every tenth order makes a run of some 5 such lives.
RUNS = 10
PACE = timedelta(milliseconds=5)
FIRST_LIFE = timedelta(milliseconds=250)


def kills_of_a_run(folder: Path, orders: Path, seed: int) -> int:
    """Run the orders through their kills, in a new folder; how many there were. The books must balance."""
    out = io.StringIO()
    status = run_demo(
        orders,
        f"sqlite:///{folder}/saga.db",
        crash=True,
        fresh=False,
        seed=seed,
        pace=PACE,
        first_life=FIRST_LIFE,
        console=Console(file=out, width=120),
    )
    printed = out.getvalue().splitlines()
    assert (0, "balanced") == (status, printed[-1]), out.getvalue()
    kills = [line for line in printed if line.startswith("kill ")]
    assert f"through after {len(kills)} kills" in printed
    return len(kills)


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with Warm(killed_demo) as server:
        yield server


def fork_workers(monkeypatch: pytest.MonkeyPatch, warm: Warm) -> None:
    """Have the demo's workers forked from a warm process, instead of started as interpreters."""

    def begin(command: list[str], **_: Any) -> Child:
        assert command[1:3] == ["-m", "sagafsm.demo.run"]
        return warm.begin(*command[3:])

    monkeypatch.setattr(run, "subprocess", SimpleNamespace(**vars(subprocess) | {"Popen": begin}))


# Each part is a test of its own, so that the workers of pytest share them; its seeds are its own, too.
@pytest.mark.parametrize("part", range(1, PARTS + 1))
def test_the_books_balance_after_every_run_of_kills(
    part: int, warm: Warm, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 real SIGKILLs over the demo, with --long 200, each at a random moment; every run balanced.

    The workers are forked from a warm process, but for those of the first run.
    """
    orders = tmp_path / "orders.jsonl"
    shipped = SHIPPED_ORDERS.read_text(encoding="utf-8").splitlines()
    wanted = (KILLS_LONG if request.config.getoption("--long") else KILLS) // PARTS
    kills: list[int] = []
    for seed in itertools.count(part, PARTS):
        orders.write_text("\n".join(shipped[seed % RUNS :: RUNS]), encoding="utf-8")
        if seed > 1:
            fork_workers(monkeypatch, warm)
        kills.append(kills_of_a_run(tmp_path / f"seed-{seed}", orders, seed))
        if sum(kills) >= wanted:
            break
    assert sum(kills) >= wanted
