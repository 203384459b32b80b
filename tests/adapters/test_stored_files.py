"""Stored data: what an older sagafsm stored still loads, shows itself, resumes to its end, and is listed."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sagafsm import Orchestrator, SagaInstance
from sagafsm.cli.commands import app
from stored import v0_1
from support.clock import FakeClock

# Every instance of the file: state, blocks, mail, and the types of its errors.
BLOCKED = tuple[str, str]
INSTANCES: dict[str, tuple[str, list[BLOCKED], int, set[str]]] = {
    "abandoned": ("failed", [], 0, {"builtins.ValueError", "builtins.RuntimeError"}),
    "address": (
        "compensating:charge",
        [("charge", "compensation_failed")],
        0,
        {"builtins.ValueError", "builtins.RuntimeError"},
    ),
    "cancelled": ("failed", [], 0, set()),
    "completed": ("completed", [], 0, set()),
    "declined": ("failed", [], 0, {"stored.v0_1.CardDeclined"}),
    "interrupted": ("running:reserve", [], 0, set()),
    "later": ("running:charge", [], 0, {"builtins.ConnectionRefusedError"}),
    "lost": ("running:charge", [("charge", "in_doubt")], 0, {"builtins.ConnectionResetError"}),
    "mailed": ("pending", [], 1, set()),
    "owned": ("running:charge", [], 0, set()),
    "pending": ("pending", [], 0, set()),
    "slow": ("running:charge", [("charge", "in_doubt")], 0, {"sagafsm.outcome.AttemptTimedOut"}),
    "trip-completed": ("completed", [], 0, set()),
    "trip-completed/pay": ("completed", [], 0, set()),
    "trip-confirm": ("failed", [], 0, {"stored.v0_1.CardDeclined"}),
    "trip-confirm/pay": ("failed", [], 0, set()),
    "trip-lost": ("running:book", [("pay/debit", "in_doubt")], 0, set()),
    "trip-lost/pay": ("running:debit", [("debit", "in_doubt")], 0, {"builtins.TimeoutError"}),
    "unstorable": ("failed", [], 0, {"sagafsm.errors.PayloadError"}),
    "waiting": ("running:approval", [], 0, set()),
}
RESERVED, CHARGED, SENT = {"id": "r-mug ☕"}, {"id": "c-1", "amount": 12.5}, {"approval": "yes", "ship": "s-1"}
TOLD = {"id": "c-told"}
ORDERED = {"reserve": RESERVED, "charge": CHARGED}
SIGNAL = ("signal", "approval", "yes")
Call = tuple[Any, ...]
# How each unfinished one is brought to its end, and where that is: state, results, and what was done meanwhile.
ENDS: dict[str, tuple[list[Call], str, dict[str, Any], list[str]]] = {
    "address": ([("retry",)], "failed", ORDERED, ["refund", "release r-mug ☕"]),
    "interrupted": (
        [("resume",), SIGNAL],
        "completed",
        {"reserve": {"id": "r-found"}, "charge": CHARGED, "check_address": None, **SENT},
        ["probe", "charge", "ship yes"],
    ),
    "later": (
        [("resume",), SIGNAL],
        "completed",
        {**ORDERED, "check_address": None, **SENT},
        ["charge", "ship yes"],
    ),
    "lost": (
        [("resolve", {"result": TOLD, "reason": "asked the bank"}), SIGNAL],
        "completed",
        {"reserve": RESERVED, "charge": TOLD, "check_address": None, **SENT},
        ["ship yes"],
    ),
    "mailed": (
        [("resume",)],
        "completed",
        {**ORDERED, "check_address": None, "approval": "early", "ship": "s-1"},
        ["reserve", "charge", "ship early"],
    ),
    "owned": ([("resume",), SIGNAL], "completed", {**ORDERED, "check_address": None, **SENT}, ["charge", "ship yes"]),
    "pending": (
        [("resume",), SIGNAL],
        "completed",
        {**ORDERED, "check_address": None, **SENT},
        ["reserve", "charge", "ship yes"],
    ),
    "slow": ([("compensate",)], "failed", {"reserve": RESERVED}, ["refund", "release r-mug ☕"]),
    "trip-lost": (
        [("retry",)],
        "completed",
        {"flight": "f-1", "pay": {"debit": "d-1"}, "confirm": None},
        ["debit", "confirm"],
    ),
    "waiting": ([SIGNAL], "completed", {**ORDERED, "check_address": None, **SENT}, ["ship yes"]),
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A copy of the file: opening the file itself would change it."""
    shutil.copy(v0_1.FILE, tmp_path / "saga.db")
    return f"sqlite:///{tmp_path}/saga.db"


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def orchestrator(url: str, done: list[str]) -> Iterator[Orchestrator]:
    """An orchestrator of today over the copy, an hour after the file was made."""
    clock = FakeClock(v0_1.NOON + timedelta(hours=1))
    with Orchestrator(url, sagas=v0_1.SAGAS, clock=clock, resources={"done": done}) as orchestrator:
        yield orchestrator


def told(instance: SagaInstance, mail: int) -> tuple[str, list[BLOCKED], int, set[str]]:
    errors = [error for event in instance.history if (error := getattr(event, "error", None)) is not None]
    return (
        instance.state,
        [(block.step, block.reason) for block in instance.blocked],
        mail,
        {error.type for error in errors},
    )


def test_the_file_is_small_and_names_no_machine() -> None:
    """It is one file without a journal, and holds no path of the machine that made it."""
    assert v0_1.FILE.stat().st_size < 100_000
    with closing(sqlite3.connect(f"file:{v0_1.FILE}?mode=ro&immutable=1", uri=True)) as connection:
        assert [("delete",)] == connection.execute("PRAGMA journal_mode").fetchall()
        assert [(2,)] == connection.execute("SELECT version FROM sagafsm_schema").fetchall()
        bodies = " ".join(body for (body,) in connection.execute("SELECT body FROM sagafsm_events"))
    assert 'File \\"v0_1.py\\"' in bodies
    assert 'File \\"/' not in bodies


def test_every_instance_loads_and_is_listed(orchestrator: Orchestrator) -> None:
    """Histories fold to the rows that stand beside them."""
    found = {row.id: told(orchestrator.get(row.id), row.mail) for row in orchestrator.store.find()}
    assert INSTANCES == found
    assert ["lost", "slow", "trip-lost", "trip-lost/pay"] == [
        row.id for row in orchestrator.store.find(blocked="in_doubt")
    ]
    later = orchestrator.store.load("later").summary
    assert v0_1.NOON + timedelta(minutes=1) == later.wake_at
    assert "worker-0" == orchestrator.get("owned").owner
    assert ["approval"] == list(orchestrator.get("waiting").awaited)


def test_every_instance_shows_itself(orchestrator: Orchestrator) -> None:
    """As text and as a page, with the words of today."""
    for id, (state, _, _, _) in INSTANCES.items():
        instance = orchestrator.get(id)
        assert state in repr(instance)
        assert id in instance.to_html()
    declined = orchestrator.get("declined")
    assert "step 'charge' failed: CardDeclined: limit «reached»" == declined.why
    assert "limit «reached»" in declined.to_html()
    assert ["reserve abandoned", "charge abandoned"] == [
        f"{left.step} {left.reason}" for left in orchestrator.get("abandoned").residue
    ]
    assert 2 <= declined.to_html().count("CardDeclined")


def test_the_command_line_lists_and_shows(url: str) -> None:
    """`list` has a line for each; `show` tells each one's story."""
    listed = CliRunner().invoke(app, ["list", "--store", url], env={"COLUMNS": "200"})
    assert 0 == listed.exit_code
    assert list(INSTANCES) == [line.split()[0] for line in listed.stdout.splitlines()[1:]]
    for id, (state, _, _, _) in INSTANCES.items():
        shown = CliRunner().invoke(app, ["show", id, "--store", url], env={"COLUMNS": "200"})
        assert 0 == shown.exit_code, shown.output
        assert state in shown.stdout


@pytest.mark.parametrize("id", ENDS)
def test_each_unfinished_instance_comes_to_its_end(id: str, orchestrator: Orchestrator, done: list[str]) -> None:
    """It goes on from where it was: nothing that was recorded is done again."""
    calls, state, results, expected = ENDS[id]
    for operation, *arguments in calls:
        named = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
        getattr(orchestrator, operation)(id, *arguments, **named)
    instance = orchestrator.get(id)
    assert (state, results, ()) == (instance.state, instance.results, instance.residue)
    assert expected == done


def test_recovery_takes_up_what_no_process_drives(orchestrator: Orchestrator, done: list[str]) -> None:
    """Also the instance whose owner died; not those that are parked."""
    assert ("interrupted", "later", "mailed", "owned", "pending") == orchestrator.recover().resumed
    mailed, pending = ["reserve", "charge", "ship early"], ["reserve", "charge"]
    assert ["probe", "charge", "charge", *mailed, "charge", *pending] == done


def test_a_completed_instance_goes_back(orchestrator: Orchestrator, done: list[str]) -> None:
    """Its compensations are called with the results that were stored."""
    instance = orchestrator.compensate("completed", by="ann", reason="sent back")
    assert "failed" == instance.state
    assert ["refund", "release r-mug ☕"] == done
    assert [("ship", "no_compensation")] == [(left.step, left.reason) for left in instance.residue]


def test_all_that_is_unfinished_is_examined(orchestrator: Orchestrator) -> None:
    """Each root that is not at rest has its end in this test."""
    roots = [row.id for row in orchestrator.store.find() if "/" not in row.id]
    assert set(ENDS) == {id for id in roots if not orchestrator.get(id).is_at_rest}
