"""What is known of the steps of a state fires a trigger, or none."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm import Saga
from sagafsm.core.decisions import PendingDecision, build_block_event, collect_nested_blocks
from sagafsm.core.triggers import (
    due_trigger,
    find_next_undo,
    has_passed_pivot,
    is_cancellable,
    list_undo_owed,
    next_state,
)
from sagafsm.definition.definition import Definition
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.step_state import NestedState, StepState
from support.facts import BROKEN, LATER, REFUSED, done, doubted, failed, outlined, started, told, undoing, undone

CAUSE = e.CauseRecorded(kind="failure", step="b", error=REFUSED)
CANCEL = e.CancelRequested(request_id="r")


def plain(result: Any) -> None:
    """Undo nothing."""


def defined(*, group: str | None = None, effect: bool = True, **options: Any) -> Definition:
    saga = Saga("order")
    for name in ("a", "b"):
        compensation = {"compensation": plain} if effect and not options.get("pivot") else {}
        saga.add_step(name, lambda: None, group=group, effect=effect, **compensation, **options)
    return saga.definition


PLAIN, BOTH = defined(), defined(group="both")


def of(definition: Definition, *facts: e.Event) -> SagaInstance:
    return told(*facts, steps=definition.outline)


TRIGGERS: dict[str, tuple[list[e.Event], str | None]] = {
    "pending": ([], None),
    "pending, cause": ([CAUSE], "cancel"),
    "running": ([started(state="running:a")], None),
    "done": ([started(state="running:a"), done()], "succeed"),
    "skipped": ([e.StepSkipped(step="a", state="running:a")], "succeed"),
    "failed, no cause yet": ([started(state="running:a"), failed()], None),
    "failed": ([started(state="running:a"), failed(), CAUSE], "fail"),
    "not begun": ([e.InstanceStarted(state="running:a"), CAUSE], "fail"),
    "skipped, cause": ([e.StepSkipped(step="a", state="running:a"), CAUSE], "fail"),
    "done, cause": ([started(state="running:a"), CAUSE, done()], "go_back"),
    "unstorable": ([started(state="running:a"), e.ResultRefused(step="a", attempt=1, error=BROKEN), CAUSE], "go_back"),
    "running, cause": ([started(state="running:a"), CAUSE], None),
    "in doubt, cause": ([started(state="running:a"), doubted(), CAUSE], None),
    "conceded": (
        [started(state="running:a"), doubted(), CAUSE, e.DecisionMade(decision="compensate", step="a")],
        "go_back",
    ),
    "passed over": (
        [started(state="running:a"), doubted(), CAUSE, e.DecisionMade(decision="skip", step="a")],
        "fail",
    ),
    "undoing": ([started(), done(), CAUSE, e.StepPassedOver(step="b", state="compensating:a")], None),
    "undone": ([started(), done(), CAUSE, undoing(), undone(state="compensating:a")], "undo"),
    "completed": ([started(), done(), e.InstanceCompleted(state="completed")], None),
    "completed, cause": ([started(), done(), e.InstanceCompleted(state="completed"), CAUSE], "go_back"),
    "ended": ([CAUSE, e.InstanceFailed(state="failed")], None),
}


@pytest.mark.parametrize("name", TRIGGERS)
def test_what_is_known_fires_a_trigger(name: str) -> None:
    """Forward when all is done, back when a cause is recorded and all is settled, otherwise nothing."""
    facts, expected = TRIGGERS[name]
    assert expected == due_trigger(PLAIN, of(PLAIN, *facts))


def test_a_step_without_effect_is_not_gone_back_for() -> None:
    """Once it is done there is nothing to undo."""
    definition = defined(effect=False)
    assert "fail" == due_trigger(definition, of(definition, started(state="running:a"), CAUSE, done()))


def test_a_wait_ends_with_the_cause() -> None:
    """Nobody is called in it, so there is nothing to settle."""
    saga = Saga("order")
    saga.wait_for("a")
    assert "fail" == due_trigger(
        saga.definition, of(saga.definition, e.WaitStarted(step="a", state="running:a"), CAUSE)
    )


def test_a_call_under_way_may_still_answer() -> None:
    """What is recorded of it settles nothing before it has ended, in the group as alone."""
    alone = of(PLAIN, started(state="running:a"), failed(), CAUSE)
    assert (None, "fail") == (due_trigger(PLAIN, alone, ("a",)), due_trigger(PLAIN, alone, ("b",)))
    facts = (started(state="running:both"), started("b"), done("b"), failed())
    assert due_trigger(BOTH, of(BOTH, *facts)) is None
    group = of(BOTH, *facts, CAUSE)
    assert (None, None, "go_back") == (
        due_trigger(BOTH, group, ("a",)),
        due_trigger(BOTH, group, ("b",)),
        due_trigger(BOTH, group),
    )


def test_a_group_is_gone_back_for_when_one_member_asks_for_it() -> None:
    """Whichever that is; it succeeds when all have."""
    begun = (started(state="running:both"), started("b"))
    assert "go_back" == due_trigger(BOTH, of(BOTH, *begun, done(), failed("b"), CAUSE))
    assert "go_back" == due_trigger(BOTH, of(BOTH, *begun, failed(), done("b"), CAUSE))
    assert "fail" == due_trigger(BOTH, of(BOTH, *begun, failed(), failed("b"), CAUSE))
    assert "succeed" == due_trigger(BOTH, of(BOTH, *begun, done(), done("b")))
    assert due_trigger(BOTH, of(BOTH, *begun, done())) is None


def test_a_group_is_undone_from_the_last_start() -> None:
    """One member after the other; those that left nothing are passed over, and so are those of other states."""
    unit = BOTH.units["both"]
    begun = (started("b", state="running:both"), started(), done("b"), done(), CAUSE)
    assert "a" == find_next_undo(unit, of(BOTH, *begun)).name
    assert "b" == find_next_undo(unit, of(BOTH, *begun, undoing(), undone())).name
    assert find_next_undo(unit, of(BOTH, *begun, undoing(), undone(), undoing("b"), undone("b"))) is None
    skip = e.DecisionMade(decision="skip", step="a")
    assert "b" == find_next_undo(unit, of(BOTH, *begun, undoing(), skip)).name
    assert "b" == find_next_undo(PLAIN.units["b"], of(PLAIN, *begun)).name
    assert find_next_undo(PLAIN.units["b"], of(PLAIN, *begun, undoing("b"), undone("b"))) is None
    three = Saga("order")
    three.add_step("first", lambda: None, plain)
    for name in ("a", "b"):
        three.add_step(name, lambda: None, plain, group="both")
    instance = of(three.definition, started("b"), done("b"), started("first"), done("first"), CAUSE)
    assert "b" == find_next_undo(three.definition.units["both"], instance).name


LEADS: dict[str, tuple[list[e.Event], str | None]] = {
    "on": ([started(state="running:a"), done()], "running:b"),
    "nowhere yet": ([started(state="running:a")], None),
    "to the end, by an event of its own": ([started(), done(), started("b", state="running:b"), done("b")], None),
    "back, by what is called": ([started(state="running:a"), CAUSE, done()], None),
    "down to what is left to undo": (
        [started(), done(), started("b"), done("b"), CAUSE, undoing("b", 1), undone("b", state="compensating:b")],
        "compensating:a",
    ),
    "over what left nothing, by an event of its own": (
        [started("b"), done("b"), CAUSE, undoing("b"), undone("b", state="compensating:b")],
        None,
    ),
    "into the end of going back, by an event of its own": (
        [started(), done(), CAUSE, undoing(), undone(state="compensating:a")],
        None,
    ),
    "back out of the end": ([started("b"), done("b"), e.InstanceCompleted(state="completed"), CAUSE], "compensating:b"),
    "out of pending, by an event of its own": ([CAUSE], None),
}


@pytest.mark.parametrize("name", LEADS)
def test_where_a_fact_leads(name: str) -> None:
    """It carries the state when it leads on; ends and ways back are events of their own."""
    facts, expected = LEADS[name]
    assert expected == next_state(PLAIN, of(PLAIN, *facts))


def test_where_a_fact_leads_while_a_call_is_under_way() -> None:
    """A cause under which a call may still answer leads nowhere, also out of `completed`."""
    instance = of(PLAIN, started(state="running:a"), done(), CAUSE)
    assert next_state(PLAIN, instance, ("a",)) is None


def test_until_when_a_cancel_goes_back() -> None:
    """Before the pivot has succeeded, before a cause, and once."""
    pivot = outlined("a", pivot=True, compensation=False)
    assert is_cancellable(told())
    assert is_cancellable(told(started(state="running:a")))
    assert not is_cancellable(told(CANCEL))
    assert not is_cancellable(told(CAUSE))
    assert not is_cancellable(told(started(state="compensating:a")))
    assert not is_cancellable(told(e.InstanceCompleted(state="completed")))
    assert is_cancellable(told(started(state="running:a"), doubted(), steps=pivot))
    assert not is_cancellable(told(started(state="running:a"), done(), steps=pivot))
    refused = e.ResultRefused(step="a", attempt=1, error=BROKEN)
    assert has_passed_pivot(told(started(), refused, steps=pivot))
    assert not has_passed_pivot(told(started(), refused))


BLOCKS = (e.RecordedBlock(step="charge", reason="in_doubt", decisions=("retry",)),)
BLOCKED = e.ChildParked(step="a", blocks=BLOCKS)
DECIDED = e.DecisionMade(decision="resolve(not_done)", step="a/charge", state="running:a")
SIGNALLED = e.SignalReceived(request_id="r", name="a/ok", payload_json="1")

# What happens after the nested saga was started, and whether it is undone without a decision about it.
PARKED: dict[str, tuple[list[e.Event], bool]] = {
    "blocked, no cause": ([BLOCKED], True),
    "blocked, cause not read yet": ([BLOCKED, CAUSE], True),
    "blocked, cause read": ([CAUSE, BLOCKED], False),
    "blocked, cause read, another member due": ([CAUSE, e.ChildParked(step="a", blocks=BLOCKS, retry_at=LATER)], False),
    "blocked, a decision waits": ([CAUSE, BLOCKED, DECIDED], True),
    "blocked, a signal waits": ([CAUSE, BLOCKED, SIGNALLED], True),
    "waits for a signal, cause not read yet": ([e.ChildParked(step="a", waits=True), CAUSE], True),
    "sleeps in a backoff, no cause": ([e.ChildParked(step="a", retry_at=LATER)], True),
    "sleeps in a backoff, cause read": ([CAUSE, e.ChildParked(step="a", retry_at=LATER)], True),
    "abandoned": ([CAUSE, BLOCKED, e.ChildAbandoned(step="a"), e.InstanceFailed(state="failed")], False),
}


@pytest.mark.parametrize("name", PARKED)
def test_a_parked_nested_saga_is_owed_while_its_parent_can_lead_it_on(name: str) -> None:
    """Only a nested saga that is blocked, with nothing for it to read, waits for a decision."""
    facts, is_owed = PARKED[name]
    nested = outlined("a", kind="saga", steps=outlined("charge"))
    instance = told(started(state="running:a"), *facts, steps=nested)
    assert "parked" == instance.steps["a"].status
    assert (["a"] if is_owed else []) == list_undo_owed(instance)


def test_a_block_tells_the_error_that_it_is_about() -> None:
    """But that of a compensation was told when it failed."""
    instance = of(PLAIN, started(state="running:a"), doubted(error=REFUSED))
    record = instance.steps["a"]
    everything = ("retry", "resolve(result)", "resolve(not_done)", "compensate", "abandon")
    asked = e.InstanceBlocked(step="a", reason="in_doubt", decisions=everything, error=REFUSED)
    assert asked == build_block_event(PLAIN, instance, PendingDecision(record, "in_doubt"))
    undo = build_block_event(PLAIN, instance, PendingDecision(record, "compensation_failed"))
    assert (None, "compensation_failed") == (undo.error, undo.reason)


def test_blocks_of_a_nested_saga_are_told_by_their_paths() -> None:
    """In order, each with what may be decided there; none where there is no nested saga."""
    blocks = tuple(e.RecordedBlock(step=name, reason="payload", decisions=("abandon",)) for name in ("x", "y/z"))
    expected = [e.InstanceBlocked(step=f"a/{b.step}", reason="payload", decisions=("abandon",)) for b in blocks]
    assert expected == list(collect_nested_blocks(StepState(name="a", child=NestedState(blocks=blocks))))
    assert () == collect_nested_blocks(StepState(name="a"))
