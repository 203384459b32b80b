"""In every reachable state of hundreds of sagas with groups and nested sagas, whatever fails or dies, the laws hold.

The real drive is explored over a store that can crash: no trap, no undefined continuation, no false green, nothing
called after a cause, members awaited, undone one at a time in reverse order of start, children told, and the same end
as if nothing had been interrupted. `model.law` names the laws; `model.trees.faults` breaks each of them on purpose.
"""

from __future__ import annotations

import attrs
import pytest

from exams.model.law import LawBroken
from exams.model.trees.catalogue import SETS, all_sagas
from exams.model.trees.explore import explore_all
from exams.model.trees.faults import FAULTS, Fault
from exams.model.trees.sagas import TreeSaga
from support.selection import rotating

PARTS = 12


def explored(sagas: list[TreeSaga]) -> None:
    figures = explore_all(sagas)
    print(figures)
    assert len(sagas) == figures.sagas


def test_the_sagas_are_hundreds_and_distinct():
    sagas = all_sagas()
    assert len(sagas) >= 200
    assert len(set(map(str, sagas))) == len(sagas)


@pytest.mark.parametrize("part", rotating(range(PARTS)))
def test_the_laws_hold_for_groups_and_nested_sagas(part: int):
    explored(all_sagas()[part::PARTS])


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SETS)
def test_the_laws_hold_whatever_goes_wrong_three_times(name: str):
    explored([attrs.evolve(saga, mishaps=3, deaths=2) for saga in SETS[name]()])


# Positive controls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", rotating(FAULTS), ids=lambda fault: fault.name)
def test_a_broken_tree_is_found_out(fault: Fault, monkeypatch: pytest.MonkeyPatch):
    fault.inject(monkeypatch)
    with pytest.raises(LawBroken) as caught:
        explore_all([fault.saga])
    assert fault.law == caught.value.law, str(caught.value)
