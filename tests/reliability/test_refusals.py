"""A disk that is full, broken, read-only or busy, at any call: a StoreError, or the process goes on; nothing is lost."""

from __future__ import annotations

import pytest

from reliability import shim
from reliability.exam import sit
from support.selection import rotating

pytestmark = [pytest.mark.skipif(shim.lacking() is not None, reason=str(shim.lacking()))]
SHARES = 4


@pytest.mark.parametrize("share", rotating(range(SHARES)))
def test_whatever_call_is_refused(share: int) -> None:
    """Each error at each call, once and from then on: told as what it is, and all in order when the disk is well."""
    report = sit("refusals", seconds=10, shares=SHARES, share=share)
    assert [] == report.breaches
    counts = report.counts
    assert counts["refusals"] == counts["in order afterwards"] == counts["told"] + counts["went on"]
    assert counts["told"] > 10
    assert counts["went on"] > 10


@pytest.mark.parametrize(
    ("control", "breach"),
    [("outcome recorded too late", "acknowledged and lost"), ("errors as they come", "escaped: ")],
)
def test_what_a_store_may_not_do_is_noticed(control: str, breach: str) -> None:
    """Positive controls: events told too early, and SQLite's own errors let through."""
    assert any(breach in told for told in sit("refusals", seconds=20, control=control).breaches)
