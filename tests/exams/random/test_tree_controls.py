"""An exam that cannot fail proves nothing: a core that is broken in groups, nesting or waits is found out."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from sagafsm import SagaError
from support.mutants import MUTANTS
from support.plans import seeded
from support.selection import rotating
from support.sittings import Sitting
from support.staged import staged

# First those that show most; the others only where these show nothing.
SEEDS = (2, 10, 12, 27, 7, *range(60))


@pytest.fixture(autouse=True)
def _afresh(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a broken builder has made is kept for nobody."""
    caplog.set_level(logging.CRITICAL, logger="sagafsm")
    staged.cache_clear()
    yield
    staged.cache_clear()


def lives() -> Iterator[None]:
    """The single failures of one saga after the other, as the exam has them."""
    for seed in SEEDS:
        for _ in Sitting(seeded(seed), seed).singles():
            yield


@pytest.mark.parametrize("name", rotating(MUTANTS))
def test_what_is_broken_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these, by the single failures of a few sagas."""
    MUTANTS[name](monkeypatch)
    with pytest.raises((AssertionError, SagaError, TypeError, KeyError)):
        for _ in lives():
            pass
