"""Real SIGKILLs at every write call of SQLite's: nothing is lost, nothing called twice, and all comes to rest."""

from __future__ import annotations

import pytest

from reliability import shim
from reliability.exam import sit
from support.selection import rotating

pytestmark = [pytest.mark.skipif(shim.lacking() is not None, reason=str(shim.lacking()))]
SHARES = 4


@pytest.mark.parametrize("share", rotating(range(SHARES)))
def test_whatever_call_a_process_dies_at(share: int) -> None:
    """Before, in and after every call that changes a file; then at calls of the recovery, and of that one's recovery.

    A slice has one share of those calls.
    """
    report = sit("kills", seconds=15, shares=SHARES, share=share)
    assert [] == report.breaches
    counts = report.counts
    assert counts["points of all"] > 1000 / SHARES
    assert counts["kills in a recovery"] >= 50
    assert (
        counts["points of all"]
        < counts["kills"]
        == counts["kills before a call"] + counts["kills torn a call"] + counts["kills after a call"]
    )


def test_an_outcome_that_is_recorded_too_late_is_noticed() -> None:
    """Positive control: a store that says that events are stored before they are loses them to a kill."""
    report = sit("kills", seconds=30, control="outcome recorded too late")
    assert any("acknowledged and lost" in breach for breach in report.breaches)
