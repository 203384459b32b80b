"""`sagas()` draws sagas that keep every promise; `fault_schedules()` names points that exist."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from sagafsm import Orchestrator, Saga
from sagafsm.errors import RequestError
from sagafsm.testing import DrawnSaga, fault_schedules, sagas
from sagafsm.testing.generated_sagas import DrawnStep, KeyedWorld
from sagafsm.verify import verify
from sagafsm.verify.schedule import Schedule
from support.keyed import Shop, forget, hold, order_of

QUICK: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.generate],
}


def drawn_with(condition: Any) -> DrawnSaga:
    return find(sagas(), condition, settings=settings(max_examples=2_000, **QUICK))


@settings(max_examples=12, **QUICK)
@given(sagas())
def test_sagas_keep_every_promise(drawn: DrawnSaga) -> None:
    """Whatever is drawn, the verifier has nothing against it."""
    report = verify(drawn.saga, drawn.world, inputs=[drawn.input], depth=1, budget=timedelta(seconds=5))

    report.assert_ok()


@settings(max_examples=200, **QUICK)
@given(sagas())
def test_what_follows_the_pivot_is_called_again(drawn: DrawnSaga) -> None:
    """Also where it has no effect: refused once and never again, it would ask a person without need."""
    behind = {step.name for step in drawn.steps if step.final}

    assert all(step.retry.attempts > 1 for step in drawn.saga.definition.steps if step.name in behind)


@settings(max_examples=50, **QUICK)
@given(sagas())
def test_sagas_complete_in_a_real_orchestrator(drawn: DrawnSaga) -> None:
    """With nothing going wrong each completes with its input; its world then holds something."""
    world = drawn.world()
    with Orchestrator("memory://", resources=world.resources()) as orchestrator:
        instance = orchestrator.run(drawn.saga, drawn.input, id="d-1")

    assert "completed" == instance.state
    assert world.snapshot()


@settings(max_examples=100, **QUICK)
@given(st.data())
def test_the_number_of_steps_is_as_asked(data: st.DataObject) -> None:
    """No fewer and no more."""
    least = data.draw(st.integers(1, 4))
    most = data.draw(st.integers(least, 6))

    assert least <= len(data.draw(sagas(min_steps=least, max_steps=most)).steps) <= most


@pytest.mark.parametrize(
    "shape",
    [
        lambda step: step.pivot,
        lambda step: step.final,
        lambda step: step.group is not None,
        lambda step: bool(step.steps),
        lambda step: step.probe,
        lambda step: not step.effect,
        lambda step: step.condition,
        lambda step: step.attempts > 1,
        *(lambda step, policy=policy: step.in_doubt == policy for policy in ("ask", "retry", "compensate")),
        lambda step: step.in_doubt == ("retry", "compensate"),
    ],
)
def test_every_shape_is_drawn(shape: Any) -> None:
    """Pivots, groups, nested sagas, probes, retries and each policy come up."""
    assert drawn_with(lambda drawn: any(map(shape, drawn.steps)))


@settings(max_examples=50, **QUICK)
@given(sagas())
def test_a_drawn_saga_can_be_pasted(drawn: DrawnSaga) -> None:
    """Its repr makes an equal one."""
    assert drawn == eval(repr(drawn), {"DrawnSaga": DrawnSaga, "DrawnStep": DrawnStep})


def test_the_repr_says_what_is_not_as_by_default() -> None:
    """And nothing else."""
    drawn = DrawnSaga(steps=(DrawnStep(name="s1", probe=True),), input=3)

    assert "DrawnSaga(steps=(DrawnStep(name='s1', probe=True),), input=3)" == repr(drawn)


def test_its_world_refuses_what_comes_too_late() -> None:
    """What was undone stays undone."""
    world = KeyedWorld()
    world.do("k", "s1", 1)
    world.undo("k")

    with pytest.raises(Exception, match="attempt 2 comes too late"):
        world.do("k", "s1", 2)
    assert {} == world.snapshot()


@settings(max_examples=40, **QUICK)
@given(fault_schedules(order_of(), Shop, inputs=["mug", "saucer"]))
def test_every_point_of_a_schedule_exists(text: str) -> None:
    """Each fault fires, with every input: nothing is reported as never reached; and a correct saga bears it."""
    report = verify(order_of(), Shop, inputs=["mug", "saucer"], schedule=text)

    assert [] == [finding for finding in report.findings if finding.kind == "unfired"]
    report.assert_ok()


@settings(max_examples=100, **QUICK)
@given(fault_schedules(order_of(), Shop, inputs=["mug"], max_faults=2))
def test_there_are_as_many_faults_as_asked(text: str) -> None:
    """At least one, at most `max_faults`; and the text is that of a schedule."""
    schedule = Schedule.parse(text)

    assert 1 <= len(schedule) <= 2
    assert text == str(schedule)


def test_a_bug_is_found_by_them() -> None:
    """The positive control: a schedule that breaks a forgetful saga is drawn, and brought down to one fault."""
    saga = order_of("forgetful", release=forget)

    def breaks(text: str) -> bool:
        return not verify(saga, Shop, inputs=["mug"], schedule=text).ok

    strategy = fault_schedules(saga, Shop, inputs=["mug"])
    text = find(strategy, breaks, settings=settings(max_examples=200, database=None, derandomize=True))

    assert 1 == len(Schedule.parse(text)), text
    with pytest.raises(NoSuchExample):
        find(
            fault_schedules(order_of(), Shop, inputs=["mug"]),
            lambda text: not verify(order_of(), Shop, inputs=["mug"], schedule=text).ok,
            settings=settings(max_examples=30, database=None, derandomize=True),
        )


def test_a_group_is_taken_in_both_turns() -> None:
    """The choices of a schedule that are no faults are drawn, too."""
    saga = Saga("pair", resources=["shop"], in_doubt="compensate")
    saga.add_step("a", hold, lambda ctx, shop: shop.free(ctx.action_key), group="g")
    saga.add_step("b", hold, lambda ctx, shop: shop.free(ctx.action_key), group="g")
    strategy = fault_schedules(saga, Shop, max_faults=1)

    text = find(strategy, lambda text: "turns=last" in text, settings=settings(database=None, derandomize=True))

    assert verify(saga, Shop, schedule=text).ok


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: sagas(min_steps=0), "sagas takes 1 <= min_steps <= max_steps, not 0 and 4"),
        (lambda: sagas(min_steps=3, max_steps=2), "sagas takes 1 <= min_steps <= max_steps, not 3 and 2"),
        (
            lambda: fault_schedules(order_of(), Shop, max_faults=0),
            "fault_schedules takes max_faults= from 1, not 0",
        ),
        (
            lambda: fault_schedules(order_of(), Shop, inputs=[]),
            "fault_schedules takes inputs= with at least one input; the list is empty",
        ),
        (
            lambda: fault_schedules(order_of(), 7),
            "world=7 is no world: give a class whose instances have resources() and snapshot(), or an instance",
        ),
    ],
)
def test_what_cannot_be_drawn_is_told(ask: Any, told: str) -> None:
    """At once, not when an example is drawn."""
    with pytest.raises(RequestError) as caught:
        ask()

    assert told == str(caught.value)


def test_importing_the_package_is_cheap() -> None:
    """Neither Hypothesis nor the verifier nor pytest comes along, until a name is asked for."""
    code = (
        "import sys, sagafsm.testing as t\n"
        "print(sorted({'hypothesis', 'pytest', 'sagafsm.verify', 'rich'} & set(sys.modules)))\n"
        "print(t.sagas.__name__, t.SagaStateMachine.__name__, t.StoreContract.__name__, sorted(t.__all__))\n"
        "t.nothing\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    names = "['DrawnSaga', 'SagaStateMachine', 'StoreContract', 'VerifySaga', 'fault_schedules', 'sagas']"
    assert f"[]\nsagas SagaStateMachine StoreContract {names}\n" == done.stdout
    assert "AttributeError: module 'sagafsm.testing' has no attribute 'nothing'" == done.stderr.splitlines()[-1]
