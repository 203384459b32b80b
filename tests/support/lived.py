"""Whole lives of random sagas, for the laws that say any, never or always.

`lives` draws one with Hypothesis, and `lived` lets it happen. `check_singles` needs no Hypothesis, for positive controls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st

from exams.model import faults
from exams.model.trees import faults as tree_faults
from sagafsm import SagaInstance
from sagafsm_adapters.memory import MemoryStore
from support.lives import Life
from support.mutants import MUTANTS
from support.plans import sagas, scripts, seeded
from support.sittings import Sitting, requests_for
from support.staged import staged
from support.verdicts import tree_of

# The first sagas show most of the mutants.
SEEDS = (2, 10, 12, 27, 7, *range(20))


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Draw a saga of up to 12 steps, its failures, deaths and requests."""
    plan = draw(sagas())
    script, crashes = draw(scripts(plan)), draw(st.lists(st.integers(1, 60), max_size=3))
    requests = draw(st.dictionaries(st.integers(1, 60), st.sampled_from(list(requests_for(plan))), max_size=1))
    seed, careless = draw(st.integers(0, 99)), draw(st.sampled_from((0, 0, 4)))
    return Life(MemoryStore(), plan, script, frozenset(crashes), seed, "turns", careless, requests)


def lived(life: Life) -> Life:
    """Let the instance of this life come to rest."""
    life.live()
    return life


def check_singles(verdict: Callable[[Life], None], *, through: Callable[[Any], Any] = lambda store: store) -> None:
    """Check every life with one failure, of one saga after the other: a broken library must be noticed here."""
    staged.cache_clear()
    try:
        for seed in SEEDS:
            for _ in Sitting(seeded(seed), seed, verdict=verdict, through=through).singles():
                pass
    finally:
        # A saga that a broken builder has made must not stay.
        staged.cache_clear()


def each(verdict: Callable[[Life, SagaInstance], None]) -> Callable[[Life], None]:
    """Return the verdict over each instance of a life's tree."""

    def check(life: Life) -> None:
        root = life.loaded()
        assert root is not None
        for _, instance in tree_of(life, root):
            verdict(life, instance)

    return check


def inject(patch: pytest.MonkeyPatch, name: str) -> None:
    """Break the library in one of the ways that the models and the random exams know by name."""
    known = {fault.name: fault.inject for fault in (*faults.FAULTS, *tree_faults.FAULTS)}
    (known | MUTANTS)[name](patch)
