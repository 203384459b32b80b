"""Words never say that something goes on which does not, whatever an instance's end came upon."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagafsm import Orchestrator, OutcomeUnknown, Retry, Saga
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.render.labels import EFFECT_MAY_REMAIN, get_display_phase, label_action, label_compensation
from sagafsm.value import replace
from support.shown import lived, parked_in_doubt, parked_while_going_back

UNDER_WAY = ("running", "waits", "parked", "undoing", "to be undone")
LATER = Retry(3, backoff=timedelta(minutes=5))


def fails() -> None:
    raise ValueError("busy")


def interrupted() -> None:
    raise KeyboardInterrupt


def test_an_action_that_was_under_way_when_the_instance_was_ended() -> None:
    """Nobody knows what came of it."""
    saga = Saga("order")
    saga.add_step("charge", interrupted)
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        with pytest.raises(KeyboardInterrupt):
            orchestrator.run(saga, 1, id="o-1")
        ended = orchestrator.abandon("o-1", reason="old")
    standing = label_action(ended.outline[0], ended.steps["charge"], get_display_phase(ended))
    assert ("outcome unknown", "asked") == (standing.word, standing.tone)


def test_an_action_that_waited_to_be_retried() -> None:
    """It has failed, once the instance goes back or is at an end."""
    saga = Saga("order")
    saga.add_step("charge", fails, retry=LATER)
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        orchestrator.start(saga, 1, id="o-1")
        waits = orchestrator.advance("o-1")
        assert (
            "waits to be retried"
            == label_action(waits.outline[0], waits.steps["charge"], get_display_phase(waits)).word
        )
        ended = orchestrator.cancel("o-1", reason="old")
    assert "failed" == label_action(ended.outline[0], ended.steps["charge"], get_display_phase(ended)).word


def test_a_signal_that_did_not_come() -> None:
    saga = Saga("order")
    saga.wait_for("approval")
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        orchestrator.run(saga, 1, id="o-1")
        ended = orchestrator.cancel("o-1", reason="old")
    assert "no signal came" == label_action(ended.outline[0], ended.steps["approval"], get_display_phase(ended)).word


def test_a_compensation_that_waited_to_be_retried() -> None:
    saga = Saga("order")
    saga.add_step("charge", lambda: 1, fails, compensation_retry=LATER)
    saga.add_step("ship", fails)
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        orchestrator.start(saga, 1, id="o-1")
        for _ in range(4):
            instance = orchestrator.advance("o-1")
        assert "waits to be retried" == label_compensation(instance.outline[0], instance).word
        ended = orchestrator.abandon("o-1", reason="old")
    assert "undo failed" == label_compensation(ended.outline[0], ended).word


def test_a_member_that_waits_to_be_retried_when_another_has_failed() -> None:
    """No action runs after a cause (law 6), although the group waits for a decision about a third."""
    saga = Saga("order")

    def lost() -> None:
        raise OutcomeUnknown("no answer")

    saga.add_step("a", fails, retry=LATER, group="g")
    saga.add_step("b", lost, group="g")
    saga.add_step("c", fails, group="g")
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        instance = orchestrator.run(saga, 1, id="o-1")
    assert ("running:g", "failure") == (instance.state, instance.cause.kind if instance.cause else None)
    assert "failed" == label_action(instance.outline[0], instance.steps["a"], get_display_phase(instance)).word


def test_a_nested_saga_that_is_parked_in_doubt_while_its_parent_goes_back() -> None:
    """Its parent cannot undo it now, and an effect may remain; before the parent goes back nothing is said of that."""
    root, _ = parked_in_doubt()
    before = root.at(next(event.number for event in root.history if isinstance(event, e.StepStarted)))
    for instance, expected in (
        (root, ["to be undone", EFFECT_MAY_REMAIN.word, "compensation"]),
        (before, ["compensation"] * 3),
    ):
        assert expected == [label_compensation(step, instance).word for step in root.outline]
    steps = {**root.steps, "pay": replace(root.steps["pay"], undo="undone")}
    assert "undone" == label_compensation(root.outline[1], replace(root, steps=steps)).word


@pytest.mark.parametrize("instance", parked_while_going_back(), ids=["cause not read yet", "sleeps in a backoff"])
def test_a_nested_saga_that_goes_back_by_itself(instance: SagaInstance) -> None:
    """A parked nested saga is to be undone while its parent can lead it on without a decision."""
    words = [label_compensation(step, instance).word for step in instance.outline]
    assert ["to be undone", "compensation"] == words


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_of_what_is_at_rest_nothing_goes_on(data: st.DataObject) -> None:
    """Any instance, wherever it ended."""
    root, nested = lived(data.draw)
    for instance in (root, *nested.values()):
        if not instance.is_at_rest:
            continue
        for step in instance.outline:
            record = instance.steps[step.name]
            words = (
                label_action(step, record, get_display_phase(instance)).word,
                label_compensation(step, instance).word,
            )
            assert not [word for word in words if word.startswith(UNDER_WAY)], words
