"""In every reachable state of more than a thousand sagas, whatever fails, dies, is cancelled or decided, the laws hold.

The pure core is explored exhaustively: no trap, no undefined continuation, no false green, no action after a cause,
no way back behind the pivot, no cancel lost, nothing done twice, and the same end as if nothing had been interrupted.
`model.laws` names them all; `model.faults` breaks each of them on purpose.
"""

from __future__ import annotations

import attrs
import pytest

from exams.model.explore import Exploration, explore_all, quick_errors
from exams.model.faults import FAULTS, Fault
from exams.model.law import LawBroken
from exams.model.real import run_really
from exams.model.sagas import ModelSaga, one_step, three_steps, three_steps_long, two_steps, two_steps_long
from exams.model.walks import Run, Walks, outcome
from exams.model.world import DROPPED, KEPT, UNUSED, State, key_of_instance
from support.selection import rotating

PARTS_OF_TWO, PARTS = 8, 24


def explored(sagas: list[ModelSaga]) -> None:
    figures = explore_all(sagas)
    print(figures)
    assert len(sagas) == figures.sagas


def test_the_sagas_are_a_thousand_and_more_of_three_steps():
    sagas = three_steps()
    assert len(sagas) >= 1000
    # Their kinds alone differ, whatever their budgets are.
    plain = [tuple(kind._replace(attempts=1, undos=1) for kind in saga.kinds) for saga in sagas]
    assert len(set(plain)) == len(sagas)
    assert len({saga.definition.fingerprint for saga in sagas}) > 200
    for first, second in ((0, 1), (0, 2), (1, 2)):
        met = {(kinds[first], kinds[second]) for kinds in plain if not any(kind.pivot for kind in kinds)}
        assert len(met) == 14 * 14


def test_the_laws_hold_for_every_saga_of_one_step():
    explored(one_step())


@pytest.mark.parametrize("part", rotating(range(PARTS_OF_TWO)))
def test_the_laws_hold_for_every_saga_of_two_steps(part: int):
    explored(two_steps()[part::PARTS_OF_TWO])


@pytest.mark.parametrize("part", rotating(range(PARTS)))
def test_the_laws_hold_for_a_covering_set_of_sagas_of_three_steps(part: int):
    explored(three_steps()[part::PARTS])


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_the_laws_hold_for_two_steps_with_every_budget_and_five_deaths(part: int):
    explored(two_steps_long()[part::PARTS])


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_the_laws_hold_for_three_steps_whatever_the_environment_does(part: int):
    explored(three_steps_long()[part::PARTS])


# The model itself -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KEPT), ids=lambda kind: kind.__name__)
def test_every_field_is_known_to_the_model(kind: type):
    assert {field.name for field in attrs.fields(kind)} == KEPT[kind] | DROPPED[kind] | UNUSED[kind]
    assert len(attrs.fields(kind)) == len(KEPT[kind]) + len(DROPPED[kind]) + len(UNUSED[kind])


def key_of(state: State) -> tuple[object, ...]:
    answering = tuple(state.instance.steps)[state.step] if (state.phase, state.called) == ("grace", "action") else None
    return (*key_of_instance(state.instance, answering=answering), *state[1:])


@pytest.mark.parametrize("saga", rotating([*one_step()[::3], *two_steps()[::29]]), ids=str)
def test_what_the_model_forgets_decides_nothing(saga: ModelSaga):
    """States that the model takes for one have the same moves, to states that it takes for one."""
    two = len(saga.kinds) == 2
    saga = attrs.evolve(saga, deaths=1 if two else 2, thorough=not two)
    fine, coarse = Exploration(saga, fine=True), Exploration(saga)
    with quick_errors():
        fine.run()
        coarse.run()
    keys = [key_of(state) for state in fine.states]
    moves: dict[object, dict[str, object]] = {}
    for key, leads in zip(keys, fine.moves, strict=True):
        told = {label: keys[number] for label, number in leads.items()}
        assert moves.setdefault(key, told) == told
    assert set(keys) == {key_of(state) for state in coarse.states}


def test_the_model_commits_as_the_drive_does():
    for whole in [*one_step()[::2], *two_steps()[::4]]:
        saga = attrs.evolve(whole, deaths=1, thorough=False, silence=False)
        model = Exploration(saga)
        with quick_errors():
            model.run()
        walks = Walks(saga, model.first["run"], model.states, model.moves)
        for refuses in range(-1, len(saga.kinds)):
            run, real = Run(walks, refuses, {}), run_really(saga, refuses)
            assert outcome(run.end.instance, run.end.world) == outcome(real.instance, real.world)
            assert len(run.steps) == real.commits, f"{saga}: {run.steps}"


# Positive controls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", rotating(FAULTS), ids=lambda fault: fault.name)
def test_a_broken_core_is_found_out(fault: Fault, monkeypatch: pytest.MonkeyPatch):
    fault.inject(monkeypatch)
    with pytest.raises(LawBroken) as caught:
        explore_all([fault.saga])
    assert fault.law == caught.value.law, str(caught.value)
    monkeypatch.undo()
    explore_all([ModelSaga(fault.saga.kinds, deaths=fault.saga.deaths)])
