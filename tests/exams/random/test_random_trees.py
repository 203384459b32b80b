"""Any saga of up to 12 steps, any failures, crashes anywhere, as Hypothesis finds them, with threads and beside a loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagafsm.store import Store
from support.lives import Life
from support.plans import SagaPlan, sagas, scripts
from support.sittings import requests_for
from support.stores import new_store
from support.verdicts import check

# Calls in turns over memory, a member's on a thread of its own, and all beside a loop.
EXAMPLES = {
    ("memory", "turns"): 150,
    ("memory", "sync"): 50,
    ("memory", "async"): 40,
    ("sql", "turns"): 25,
    ("sql", "sync"): 20,
    ("sql", "async"): 15,
}
crashes = st.lists(st.integers(1, 80), max_size=4)


@pytest.fixture(params=EXAMPLES, ids="-".join)
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """A new folder each time."""
    return (tmp_path / str(n) for n in range(1_000_000))


def fresh(kind: str, folders: Iterator[Path]) -> Store:
    folder = next(folders)
    if kind == "sql":
        folder.mkdir()
    return new_store(kind, folder)


@pytest.mark.draws
def test_any_tree_ends_clean(place: tuple[str, str], folders: Iterator[Path]) -> None:
    """Laws 1 to 12 and 15 for groups, nested sagas and waits, with up to four failures, four deaths and two requests."""
    kind, way = place
    common: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}

    @settings(max_examples=EXAMPLES[place], **common)
    @given(plan=sagas(), data=st.data(), where=crashes, seed=st.integers(0, 99), careless=st.sampled_from((0, 0, 4)))
    def exam(plan: SagaPlan, data: st.DataObject, where: list[int], seed: int, careless: int) -> None:
        store = fresh(kind, folders)
        try:
            script = data.draw(scripts(plan))
            come = list(requests_for(plan))
            asked = data.draw(st.dictionaries(st.integers(1, 80), st.sampled_from(come), max_size=2))
            life = Life(store, plan, script, frozenset(where), seed, way, careless, asked)
            life.live()
            check(life)
        finally:
            store.close()

    exam()
