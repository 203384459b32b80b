"""Bits of a database file, flipped one at a time: an error that names the damage, or exactly what was written."""

from __future__ import annotations

import pytest

from reliability import shim
from reliability.exam import sit
from support.selection import rotating

pytestmark = [pytest.mark.skipif(shim.lacking() is not None, reason=str(shim.lacking()))]
SHARES = 4


@pytest.mark.parametrize("share", rotating(range(SHARES)))
def test_no_flip_is_silent(share: int) -> None:
    """Anywhere in the file, most of them where something is written."""
    report = sit("flips", seconds=8, shares=SHARES, share=share)
    assert [] == report.breaches
    assert report.counts["named"] > report.counts["harmless"] > 0


def test_without_the_checksums_flips_are_silent() -> None:
    """Positive control: SQLite itself does not notice."""
    assert any("silent" in told for told in sit("flips", seconds=20, control="checksums not looked at").breaches)
