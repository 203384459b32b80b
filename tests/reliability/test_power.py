"""Disks as a power loss may leave them: with synchronous=FULL nothing that was acknowledged is lost."""

from __future__ import annotations

import pytest

from reliability import shim
from reliability.exam import sit
from support.selection import rotating

pytestmark = [pytest.mark.skipif(shim.lacking() is not None, reason=str(shim.lacking()))]


@pytest.mark.parametrize("seed", rotating(range(1, 5)))
def test_full_loses_nothing(seed: int) -> None:
    """Whenever the power goes, and whatever of the unsynced changes arrives: all that was told is there, in order."""
    report = sit("power", seconds=6, seed=seed)
    assert [] == report.breaches
    assert report.counts["images"] == report.counts["in order"] > 100


def test_normal_is_caught_losing() -> None:
    """Positive control: synchronous=NORMAL does not sync each commit. It loses the last ones, and damages nothing."""
    counts = sit("power", seconds=2, control="NORMAL").counts
    assert counts["lost acknowledged events"] > 20
    assert 0 == counts["broken"]


def test_syncs_that_do_nothing_are_noticed() -> None:
    """Positive control: a disk that lies about its syncs loses what FULL had promised."""
    assert sit("power", seconds=2, control="unsynced").counts["lost acknowledged events"] > 20
