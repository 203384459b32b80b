"""The panel of a step: its attempts, what it was given and gave, its errors, its policy, and what would be undone next."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagafsm import Orchestrator, Saga
from sagafsm.core.triggers import list_undo_owed
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance, find_outline
from sagafsm.render.step_panel import render_step_panel
from support.clock import FakeClock
from support.pages import Page
from support.shown import evil, harmless, instance_of, lived, marked, order, parked_in_doubt, parked_while_going_back


def words(instance: SagaInstance, path: str, **options: object) -> str:
    return Page(render_step_panel(instance, path, **options)).words  # type: ignore[arg-type]


def test_a_step_that_failed() -> None:
    """Every attempt; every error once, with its events, with where it was raised."""
    shown = Page(render_step_panel(instance_of("failed", 3), "charge_card"))
    assert ["of", "attempt", "began", "took", "outcome"] == shown.rows[0]
    assert ["action", "1", "0.098 s (event 4)", "0.128 s", "failed RuntimeError: gateway timeout (503)"] == shown.rows[
        1
    ]
    assert "Errors events 5, 7, 9: RuntimeError: gateway timeout (503)" in shown.words
    assert "Traceback" in shown.words
    assert "idempotency key " in shown.words
    assert "step charge_card action: failed compensation: not called" in shown.words


def test_what_a_step_was_given_and_what_it_added() -> None:
    """The input; with a definition the parameters that its functions ask for, and the earlier results among them."""
    saga = Saga("order")
    saga.add_step("reserve", lambda input: {"id": 7}, lambda result: None)
    saga.add_step("ship", lambda input, reserve: {"label": reserve["id"]})
    instance = Orchestrator("memory://", sagas=[saga]).run(saga, {"mug": 1}, id="o-1")
    told = words(instance, "ship", definition=saga.definition)
    assert 'Given input, 9 bytes { "mug": 1 } It asks for action(input, reserve)' in told
    assert 'result of reserve, 8 bytes { "id": 7 }' in told
    assert 'Added to the results ship, 11 bytes { "label": 7 }' in told
    assert "policy called once" in told
    assert "It asks for" not in words(instance, "ship")


def test_what_is_not_called_or_not_over() -> None:
    """In words."""
    assert "It was not called." in words(instance_of("running"), "award_points")
    assert "not over yet running" in words(instance_of("running", 3), "charge_card")


def test_a_step_of_a_nested_saga() -> None:
    """It is told by its own instance; without that, by its definition alone."""
    child = Saga("payment")
    child.add_step("charge", lambda: 1, lambda result: None)
    saga = Saga("order")
    saga.add_saga("pay", child)
    orchestrator = Orchestrator("memory://", sagas=[saga])
    root = orchestrator.run(saga, None, id="o-1")
    nested = {"pay": orchestrator.get("o-1/pay")}
    assert "step pay/charge action: done" in words(root, "pay/charge", nested=nested)
    bare = words(root, "pay/charge", definition=saga.definition)
    assert "step pay/charge action: not begun" in bare
    assert "in doubt: a person is asked" in bare


@pytest.mark.parametrize("path", ["nothing", "charge_card/nothing", ""])
def test_a_step_that_does_not_exist(path: str) -> None:
    """It is a KeyError with the path."""
    with pytest.raises(KeyError):
        render_step_panel(instance_of("failed"), path)
    with pytest.raises(KeyError):
        find_outline(instance_of("failed").outline, path)


def test_what_would_be_compensated_next() -> None:
    """In reverse order of start: those that may have an effect and are not undone."""
    assert ["charge_card", "reserve_stock"] == list_undo_owed(instance_of("running", 3))
    assert [] == list_undo_owed(instance_of("failed", 3)) == list_undo_owed(instance_of("pending"))
    assert ["reserve_stock"] == list_undo_owed(instance_of("blocked", 3))
    assert words(instance_of("running", 3), "charge_card").endswith(
        "If it went back now, it would compensate charge_card, then reserve_stock."
    )
    assert words(instance_of("failed"), "charge_card").endswith("nothing would be compensated.")


def test_a_nested_saga_that_is_parked_in_doubt_while_its_parent_goes_back() -> None:
    """The panel lists the steps that can be undone now, and names the nested saga of which an effect may remain."""
    root, nested = parked_in_doubt()
    assert ["reserve"] == list_undo_owed(root)
    told = words(root, "pay", nested=nested)
    assert "action: parked compensation: effect may remain" in told
    assert told.endswith("If it went back now, it would compensate reserve. An effect of pay may remain.")


@pytest.mark.parametrize("instance", parked_while_going_back(), ids=["cause not read yet", "sleeps in a backoff"])
def test_a_nested_saga_that_goes_back_by_itself(instance: SagaInstance) -> None:
    """The panel lists a parked nested saga that its parent can lead on without a decision."""
    assert ["pay"] == list_undo_owed(instance)
    told = words(instance, "pay")
    assert "action: parked compensation: to be undone" in told
    assert told.endswith("If it went back now, it would compensate pay.")


def test_a_nested_saga_that_is_parked_before_its_parent_goes_back() -> None:
    """It would be told to go back, and would undo its steps."""
    child = Saga("payment")
    child.add_step("charge", lambda: 1, lambda: None)
    child.wait_for("approval")
    saga = Saga("order")
    saga.add_saga("pay", child)
    root = Orchestrator("memory://", sagas=[saga]).run(saga, None, id="o-1")
    assert ("parked", ["pay"]) == (root.steps["pay"].status, list_undo_owed(root))
    assert words(root, "pay").endswith("If it went back now, it would compensate pay.")


def test_behind_the_pivot_there_is_no_way_back() -> None:
    """Nothing would be compensated."""
    saga = order(2, FakeClock())
    saga.add_step("ship", lambda: 1, pivot=True)
    saga.add_step("tell", lambda: 1)
    instance = Orchestrator("memory://", sagas=[saga]).run(saga, {"order_id": 1}, id="o-1")
    assert [] == list_undo_owed(instance)
    assert ["charge_card", "reserve_stock"] == list_undo_owed(instance.at(4))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_next_is_what_is_undone_next(data: st.DataObject) -> None:
    """Whenever any instance goes back, the next compensation to begin is the first that was foretold."""
    root, _ = lived(data.draw)
    for event in root.history:
        if isinstance(event, e.CompensationStarted) and event.attempt == 1:
            assert event.step == list_undo_owed(root.at(event.number - 1))[0]


@settings(deadline=None)
@given(text=evil())
def test_nothing_given_is_markup(text: str) -> None:
    """Whichever step is looked at."""
    for step in range(4):
        shapes = []
        for one in (text, harmless(text)):
            instance = marked(one)
            if "/" not in one:
                shapes.append(
                    [tag for tag, _ in Page(render_step_panel(instance, instance.outline[step].name)).elements]
                )
        assert not shapes or shapes[0] == shapes[1]
