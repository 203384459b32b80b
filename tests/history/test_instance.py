"""An instance is what its history tells, and tells it in words."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm import SagaError, SagaFailed
from sagafsm.history import events as e
from sagafsm.history.instance import apply, fold
from sagafsm.history.step_state import CallCount, Cause, HasState, Residue, StepState
from support.facts import (
    BROKEN,
    LATER,
    REFUSED,
    SILENT,
    done,
    doubted,
    failed,
    history,
    outlined,
    started,
    told,
    undoing,
    undone,
)
from support.messages import message_of

ENDED = e.InstanceFailed(state="failed")
ABANDONED = e.DecisionMade(decision="abandon", by="eve", reason="enough")
CAUSE = e.CauseRecorded(kind="failure", step="b", error=REFUSED)


def test_a_history_begins_with_its_creation() -> None:
    """Nothing, and nothing but a creation numbered 1, begins an instance."""
    whole = history(started())
    for facts in ([], whole[1:]):
        assert "a history begins with InstanceCreated" == message_of(SagaError, lambda facts=facts: fold(None, facts))
    second = history(whole[0])[1]
    expected = "instance 'o-1' lacks event 1: InstanceCreated numbered 2 follows instead"
    assert expected == message_of(SagaError, lambda: fold(None, [second]))


def test_a_history_has_no_gaps() -> None:
    """A missing number is refused, when the history is folded at once as when it is carried on."""
    created, begun, ended = history(started(), done())
    expected = "instance 'o-1' lacks event 2: StepSucceeded a numbered 3 follows instead"
    assert expected == message_of(SagaError, lambda: fold(None, [created, ended]))
    assert expected == message_of(SagaError, lambda: fold(fold(None, [created]), [ended]))
    assert expected == message_of(SagaError, lambda: apply(fold(None, [created]), ended))
    assert fold(None, [created, begun, ended]) == apply(apply(fold(None, [created]), begun), ended)


def test_every_moment_of_a_history_can_be_seen() -> None:
    """`at` takes the number of any event, and no other."""
    instance = told(started(), done())
    assert ["pending", "running", "done"] == [instance.at(n).steps["a"].status for n in (1, 2, 3)]
    assert instance == instance.at(3)
    for number in (0, 4, -1):
        expected = f"instance 'o-1' has events 1 to 3, not {number}"
        assert expected == message_of(IndexError, lambda number=number: instance.at(number))


def test_what_is_created_is_what_the_creation_says() -> None:
    """Nothing has begun; every step is pending, in order of definition."""
    instance = told()
    assert ("o-1", "order", 1, "f-1", "mug") == (
        instance.id,
        instance.saga,
        instance.version,
        instance.fingerprint,
        instance.input,
    )
    assert ("pending", None, (), ()) == (instance.state, instance.deadline, instance.started, instance.errors)
    assert [StepState(name="a"), StepState(name="b")] == list(instance.steps.values())
    assert (None, {}, (), False) == (instance.error, instance.results, instance.residue, instance.compensated)


REPRS: dict[str, list[e.Event]] = {
    "pending": [],
    "running:a; blocked on a: in_doubt; blocked on b: payload": [
        started(state="running:a"),
        e.InstanceBlocked(step="a", reason="in_doubt", decisions=()),
        e.InstanceBlocked(step="b", reason="payload", decisions=()),
    ],
    "failed; compensated; step 'b' failed: Refused: sold out": [started("b"), failed("b"), CAUSE, ENDED],
    "failed; residue: a, b; abandoned by eve: enough": [started(), started("b"), ABANDONED, ENDED],
    "compensating:a; step 'b' failed: Refused: sold out": [
        started(), done(), started("b"), failed("b"), CAUSE, e.CompensationStarted(step="a", attempt=1, key="k", state="compensating:a"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("notes", REPRS)
def test_it_tells_how_it_stands(notes: str) -> None:
    """State, residue, blocks and cause stand in one line."""
    assert f"<SagaInstance 'o-1' of 'order': {notes}>" == repr(told(*REPRS[notes]))


def test_an_abandoned_instance_says_by_whom_and_why() -> None:
    """Also once more has happened since; a decision of another kind is no reason."""
    assert "abandoned by eve: enough" == told(CAUSE, ABANDONED, ENDED).why
    retry = e.DecisionMade(decision="retry", step="a", by="eve", reason="again")
    assert "step 'b' failed: Refused: sold out" == told(CAUSE, retry).why
    assert told(retry).why is None


def test_only_a_failed_instance_fails() -> None:
    """`raise_for_failure` returns the instance unless it ended failed."""
    instance = told(started())
    assert instance is instance.raise_for_failure()
    ended = told(started(), ABANDONED, ENDED)
    with pytest.raises(SagaFailed) as caught:
        ended.raise_for_failure()
    assert ended is caught.value.instance


STATES = {
    "pending": ("pending", None, False),
    "running:a": ("running", "a", False),
    "compensating:b": ("compensating", "b", False),
    "completed": ("completed", None, True),
    "failed": ("failed", None, True),
}


@pytest.mark.parametrize("state", STATES)
def test_a_state_says_where_it_is(state: str) -> None:
    """Phase, step or group, and whether it has ended."""
    placed = HasState()
    placed.state = state
    assert STATES[state] == (placed.phase, placed.current, placed.is_at_rest)


CAUSES: dict[str, dict[str, Any]] = {
    "step 'a' failed: Refused: sold out": {"kind": "failure", "error": REFUSED},
    "step 'a' was in doubt: Silent": {"kind": "doubt", "error": SILENT, "reason": "unheard"},
    "step 'a' gave a result that cannot be stored": {"kind": "payload"},
    "cancelled by eve: late": {"kind": "cancel", "by": "eve", "reason": "late"},
    "cancelled": {"kind": "cancel"},
    "decided on step 'a' by eve": {"kind": "decision", "by": "eve"},
    "decided: so": {"kind": "decision", "step": None, "reason": "so"},
    "undone with its parent": {"kind": "parent"},
}


@pytest.mark.parametrize("text", CAUSES)
def test_a_cause_in_words(text: str) -> None:
    """What happened, by whom, and the error or else the reason."""
    assert text == str(Cause(**{"step": "a", "error": None, "by": None, "reason": None, "number": 1, **CAUSES[text]}))


def test_calls_count_deaths_apart() -> None:
    """A death uses no attempt; a failure ends the row of deaths; an operator's retry begins both anew."""
    third = CallCount(attempt=2, spent=2, deaths=1, wake_at=LATER).started(3, died=True)
    assert CallCount(attempt=3, spent=2, deaths=2) == third
    assert CallCount(attempt=3, spent=3, deaths=1) == CallCount(attempt=2, spent=2, deaths=1, wake_at=LATER).started(
        3, died=False
    )
    assert CallCount(attempt=3, spent=1, deaths=3) == third.died()
    assert CallCount(attempt=3, spent=2, wake_at=LATER) == third.failed(LATER)
    assert CallCount(attempt=3) == third.renewed()


def test_a_step_is_in_doubt_also_while_it_is_called_again() -> None:
    """Only an answer ends a doubt: a call that began in it is in doubt, one that has ended is not."""
    doubts = [("in_doubt", False), ("in_doubt", True), ("running", True)]
    for status in ("pending", "running", "waiting", "parked", "done", "skipped", "failed", "in_doubt", "unstorable"):
        for before in (False, True):
            record = StepState(name="a", status=status, doubt_before=before)
            assert ((status, before) in doubts) == record.is_in_doubt
            assert (status in ("running", "done", "in_doubt", "unstorable")) == record.may_have_effect


def test_whether_a_step_can_be_undone_and_whether_its_effect_may_remain() -> None:
    """They differ for a nested saga that is parked, which its parent cannot undo yet, and for a skipped compensation."""
    took_effect, none = ("running", "done", "in_doubt", "unstorable"), ("pending", "waiting", "skipped", "failed")
    for undo in (None, "running", "waiting", "parked", "failed"):
        assert {(True, True)} == facts_about(took_effect, undo)
        assert {(False, True)} == facts_about(("parked",), undo)
        assert {(False, False)} == facts_about(none, undo)
    assert {(False, True)} == facts_about((*took_effect, "parked"), "skipped")
    assert {(False, False)} == facts_about((*took_effect, "parked"), "undone")


def facts_about(statuses: tuple[Any, ...], undo: Any) -> set[tuple[bool, bool]]:
    records = [StepState(name="a", status=status, undo=undo) for status in statuses]
    return {(record.can_be_compensated, record.effect_may_remain) for record in records}


def test_a_renamed_step_keeps_what_its_keys_are_made_of() -> None:
    """The service knows the call by the first name, however often a migration gives another."""
    first = StepState(name="a")
    assert first is first.named("a")
    assert StepState(name="b", keyed="a") == first.named("b")
    assert StepState(name="c", keyed="a") == first.named("b").named("c")


# Residue --------------------------------------------------------------------------------------------------------------

PLAIN = {"compensation": False}
LEFTOVERS: dict[str, tuple[dict[str, Any], list[e.Event], list[tuple[str, Any]]]] = {
    "undone": ({}, [started(), done(), undoing(), undone()], []),
    "failed": ({}, [started(), failed()], []),
    "without effect": ({"effect": False, **PLAIN}, [started(), done()], []),
    "passed over": ({}, [started(), done(), e.DecisionMade(decision="skip", step="a")], [("skipped", "a!")]),
    "in doubt": ({}, [started(), doubted()], [("in_doubt", None)]),
    "called": ({}, [started()], [("in_doubt", None)]),
    "in doubt, without a compensation": (PLAIN, [started(), doubted()], [("in_doubt", None)]),
    "done, without a compensation": (PLAIN, [started(), done()], [("no_compensation", "a!")]),
    "done": ({}, [started(), done()], [("abandoned", "a!")]),
    "unstorable": ({}, [started(), e.ResultRefused(step="a", attempt=1, error=BROKEN)], [("abandoned", None)]),
}


@pytest.mark.parametrize("name", LEFTOVERS)
def test_what_remains_is_told(name: str) -> None:
    """One entry for a step that may have left an effect, with the reason; none where nothing can remain."""
    options, facts, expected = LEFTOVERS[name]
    steps = outlined("a", **options)
    instance = told(*facts, e.InstanceFailed(state="failed"), steps=steps)
    assert [("a", *entry) for entry in expected] == [tuple(left) for left in instance.residue]
    assert (not expected) == instance.compensated


def test_what_can_still_be_undone_remains_only_in_the_end() -> None:
    """Going back, a step that will be undone is no residue yet; forward, nothing is."""
    steps = (*outlined("a", compensation=False), *outlined("b"))
    facts = [started(), done(), started("b"), done("b", '"b!"')]
    assert () == told(*facts, steps=steps).residue
    back = e.CompensationStarted(step="b", attempt=1, key="k", state="compensating:b")
    assert (Residue("a", "no_compensation", "a!"),) == told(*facts, back, steps=steps).residue
    assert ["a", "b"] == [left.step for left in told(*facts, back, ENDED, steps=steps).residue]


INNER = (
    *outlined("fee"),
    *outlined("note", compensation=False),
    *outlined("look", effect=False),
    *outlined("late"),
    e.StepOutline(name="deep", kind="saga", steps=outlined("core")),
)
RESULTS = '{"fee":1,"note":2,"look":3,"deep":{"core":4}}'


def nested(*facts: e.Event, compensation: bool = True) -> list[tuple[Any, ...]]:
    steps = (e.StepOutline(name="pay", kind="saga", steps=INNER, compensation=compensation),)
    instance = told(started("pay"), *facts, steps=steps)
    return [tuple(left) for left in instance.residue]


def test_a_nested_saga_that_completed_leaves_all_that_it_did() -> None:
    """By the results that its parent has of it: those of steps with an effect, however deep, by their paths."""
    left = [
        ("pay/fee", "abandoned", 1),
        ("pay/note", "no_compensation", 2),
        ("pay/deep/core", "abandoned", 4),
    ]
    finished = done("pay", RESULTS, evidence="child")
    assert left == nested(finished, ENDED)
    assert left == nested(finished, ENDED, compensation=False)
    back = e.StepPassedOver(step="x", state="compensating:pay")
    assert [] == nested(finished, back)
    assert left == nested(finished, back, compensation=False)
    assert [] == nested(finished, undoing("pay"), undone("pay"), ENDED)


def test_a_nested_saga_that_failed_leaves_what_it_says() -> None:
    """Its own residue is its parent's, with the results that it gave."""
    residue = (
        e.RecordedResidue(step="fee", reason="skipped", result_json="7"),
        e.RecordedResidue(step="note", reason="in_doubt"),
    )
    expected = [("pay/fee", "skipped", 7), ("pay/note", "in_doubt", None)]
    assert expected == nested(failed("pay", evidence="child", residue=residue), ENDED)
    back = e.StepPassedOver(step="x", state="compensating:pay")
    assert expected == nested(done("pay", RESULTS), undoing("pay"), undone("pay", residue=residue), back)
