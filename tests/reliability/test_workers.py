"""Eight processes over one file: killed at random, suspended and replaced, they lose, double and unbalance nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from reliability import shim
from reliability.exam import sit
from reliability.workers import replace_owner
from sagafsm_adapters.sql import SqlStore
from support.broken import Uncompared
from support.exams import check_late_append
from support.sqlite_files import open_at

pytestmark = [pytest.mark.skipif(shim.lacking() is not None, reason=str(shim.lacking()))]


def test_nothing_is_lost_doubled_or_unbalanced() -> None:
    """All that was told is there, every call had its start, every instance is completed or compensated."""
    report = sit("workers", seconds=5)
    assert [] == report.breaches
    assert report.counts["kills"] > 10
    assert report.counts["instances"] > 10


def test_an_outcome_that_is_recorded_too_late_is_noticed() -> None:
    """Positive control: what is told before it is stored is lost to a kill."""
    assert [] != sit("workers", seconds=4, control="outcome recorded too late").breaches


@pytest.mark.parametrize("drives", [False, True])
def test_who_is_replaced_while_suspended_does_nothing_more(drives: bool, tmp_path: Path) -> None:
    """A process that stands still longer than its lease, and comes back: a conflict, no write, no call."""
    replace_owner(tmp_path, "", drives=drives)


@pytest.mark.parametrize(("control", "drives"), [("fence off", False), ("compare-and-set and fence off", True)])
def test_who_writes_without_a_claim_is_noticed(control: str, drives: bool, tmp_path: Path) -> None:
    """Positive controls: the token not looked at; neither token nor version looked at."""
    with pytest.raises(AssertionError, match="a replaced owner wrote"):
        replace_owner(tmp_path, control, drives=drives)


def test_an_append_that_takes_place_twice_is_noticed(tmp_path: Path) -> None:
    """Positive control: compare-and-set alone off; what seemed to have failed, and was repeated, stands there twice."""
    store: SqlStore = open_at(tmp_path)
    with pytest.raises(AssertionError):
        check_late_append(store, Uncompared(store), "sync")
    store.close()
