"""What each fact changes: of its step, of the instance, and of nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from sagafsm.history import events as e
from sagafsm.history.step_state import Block, CallCount, Cause, NestedState, StepState
from support.facts import (
    BROKEN,
    LATER,
    NOON,
    REFUSED,
    SILENT,
    done,
    doubted,
    failed,
    not_undone,
    outlined,
    started,
    told,
    undoing,
    undone,
)

LEFT = (e.RecordedResidue(step="fee", reason="skipped", result_json="7"),)
BLOCK = e.RecordedBlock(step="fee", reason="in_doubt", decisions=("retry", "abandon"))
PARKED = e.ChildParked(step="a", blocks=(BLOCK,), waits=True, retry_at=LATER)
CHILD = NestedState(blocks=(BLOCK,), waits=True, retry_at=LATER, parked=3)
DIED = doubted(reason="process_died", error=BROKEN, retryable=True)
ONCE = CallCount(attempt=1, spent=1)


def record_of(*facts: e.Event) -> StepState:
    """Of step a; what the facts tell of it changes no other."""
    instance = told(*facts)
    assert StepState(name="b") == instance.steps["b"]
    return instance.steps["a"]


RECORDS: dict[str, tuple[list[e.Event], dict[str, Any]]] = {
    "started": ([started()], {"status": "running", "action": ONCE}),
    "started again": (
        [started(), failed(retry_at=LATER), started(attempt=2)],
        {"status": "running", "action": CallCount(attempt=2, spent=2), "error": REFUSED},
    ),
    "started after a death": (
        [started(), started(attempt=2)],
        {"status": "running", "action": CallCount(attempt=2, spent=1, deaths=1)},
    ),
    "started in doubt": (
        [started(), doubted(error=REFUSED, retryable=True, retry_at=LATER), started(attempt=2)],
        {
            "status": "running",
            "action": CallCount(attempt=2, spent=2),
            "error": REFUSED,
            "retryable": True,
            "doubt_before": True,
        },
    ),
    "done": ([started(), done()], {"status": "done", "action": ONCE, "result_json": '"a!"'}),
    "done after a doubt": (
        [started(), doubted(), started(attempt=2), done()],
        {"status": "done", "action": CallCount(attempt=2, spent=2), "result_json": '"a!"'},
    ),
    "done, a nested saga": ([started(), PARKED, done()], {"status": "done", "action": ONCE, "result_json": '"a!"'}),
    "failed": ([started(), failed()], {"status": "failed", "action": ONCE, "error": REFUSED}),
    "failed after a doubt": (
        [started(), doubted(), started(attempt=2), failed()],
        {"status": "failed", "action": CallCount(attempt=2, spent=2), "error": REFUSED},
    ),
    "failed, to be called again": (
        [started(), failed(retry_at=LATER)],
        {"status": "waiting", "action": CallCount(attempt=1, spent=1, wake_at=LATER), "error": REFUSED},
    ),
    "failed, a nested saga": (
        [started(), failed(evidence="child", residue=LEFT)],
        {"status": "failed", "action": ONCE, "error": REFUSED, "child": NestedState(left=LEFT)},
    ),
    "failed, a nested saga that left nothing": (
        [started(), PARKED, failed(evidence="child")],
        {"status": "failed", "action": ONCE, "error": REFUSED},
    ),
    "in doubt": (
        [started(), doubted(error=REFUSED, retryable=True, retry_at=LATER)],
        {
            "status": "in_doubt",
            "action": CallCount(attempt=1, spent=1, wake_at=LATER),
            "error": REFUSED,
            "retryable": True,
        },
    ),
    "died": (
        [started(), DIED],
        {
            "status": "in_doubt",
            "action": CallCount(attempt=1, deaths=1),
            "error": BROKEN,
            "retryable": True,
            "died": True,
        },
    ),
    "in doubt, for a reason that is not told": (
        [started(), failed(retry_at=LATER), started(attempt=2), doubted()],
        {"status": "in_doubt", "action": CallCount(attempt=2, spent=2), "error": REFUSED},
    ),
    "in doubt after a death": (
        [started(), DIED, started(attempt=2), doubted()],
        {"status": "in_doubt", "action": CallCount(attempt=2, spent=1), "error": BROKEN, "doubt_before": True},
    ),
    "probed": (
        [started(), DIED, doubted(reason="probe")],
        {
            "status": "in_doubt",
            "action": CallCount(attempt=1, deaths=1),
            "error": BROKEN,
            "retryable": True,
            "died": True,
            "probed": True,
        },
    ),
    "probed, and raised": (
        [started(), DIED, doubted(reason="probe", error=SILENT)],
        {
            "status": "in_doubt",
            "action": CallCount(attempt=1, deaths=1),
            "error": SILENT,
            "retryable": True,
            "died": True,
            "probed": True,
        },
    ),
    "in doubt again, not yet probed": (
        [started(), doubted(), doubted(reason="probe"), started(attempt=2), doubted()],
        {"status": "in_doubt", "action": CallCount(attempt=2, spent=2), "doubt_before": True},
    ),
    "not done, says the probe; the row of deaths goes on": (
        [started(), DIED, failed(evidence="probe", retry_at=LATER)],
        {
            "status": "waiting",
            "action": CallCount(attempt=1, deaths=1, wake_at=LATER),
            "error": REFUSED,
            "retryable": True,
            "died": True,
        },
    ),
    "failed by itself; the row of deaths ends": (
        [started(), started(attempt=2), failed(retry_at=LATER)],
        {"status": "waiting", "action": CallCount(attempt=2, spent=1, wake_at=LATER), "error": REFUSED},
    ),
    "unstorable": (
        [started(), doubted(), started(attempt=2), e.ResultRefused(step="a", attempt=2, error=BROKEN)],
        {"status": "unstorable", "action": CallCount(attempt=2, spent=2), "error": BROKEN},
    ),
    "prepared": ([e.StepPrepared(step="a", input_json="7")], {"prepared": True, "input_json": "7"}),
    "skipped": ([e.StepSkipped(step="a")], {"status": "skipped"}),
    "waiting for a signal": (
        [e.WaitStarted(step="a", timeout=30.0)],
        {"status": "running", "until": NOON + timedelta(seconds=2 + 30)},
    ),
    "waiting for ever": ([e.WaitStarted(step="a")], {"status": "running"}),
    "a nested saga parked": ([started(), PARKED], {"status": "parked", "action": ONCE, "child": CHILD}),
    "a nested saga resumed": (
        [started(), PARKED, e.ChildResumed(step="a")],
        {"status": "running", "action": ONCE, "child": CHILD},
    ),
    "a nested saga parked going back": (
        [started(), undoing(), attrs.evolve(PARKED)],
        {
            "status": "running",
            "action": ONCE,
            "undo": "parked",
            "compensation": ONCE,
            "child": attrs.evolve(CHILD, parked=4),
        },
    ),
    "a nested saga resumed going back": (
        [started(), undoing(), PARKED, e.ChildResumed(step="a")],
        {
            "status": "running",
            "action": ONCE,
            "undo": "running",
            "compensation": ONCE,
            "child": attrs.evolve(CHILD, parked=4),
        },
    ),
    "a nested saga abandoned": (
        [started(), PARKED, e.ChildAbandoned(step="a", residue=LEFT)],
        {"status": "parked", "action": ONCE, "child": NestedState(left=LEFT)},
    ),
    "undoing": (
        [done(), undoing()],
        {"status": "done", "result_json": '"a!"', "undo": "running", "compensation": ONCE},
    ),
    "undoing after a death": (
        [undoing(), undoing(attempt=2)],
        {"undo": "running", "compensation": CallCount(attempt=2, spent=1, deaths=1)},
    ),
    "undoing again": (
        [undoing(), not_undone(retry_at=LATER), undoing(attempt=2)],
        {"undo": "running", "compensation": CallCount(attempt=2, spent=2)},
    ),
    "not undone": ([undoing(), not_undone()], {"undo": "failed", "compensation": ONCE}),
    "not undone, to be called again": (
        [undoing(), undoing(attempt=2), not_undone(retry_at=LATER)],
        {"undo": "waiting", "compensation": CallCount(attempt=2, spent=1, wake_at=LATER)},
    ),
    "undone": ([undoing(), undone()], {"undo": "undone", "compensation": ONCE}),
    "undone, a nested saga": (
        [undoing(), undone(residue=LEFT)],
        {"undo": "undone", "compensation": ONCE, "child": NestedState(left=LEFT)},
    ),
    "undone, a nested saga that left nothing": (
        [undoing(), PARKED, undone()],
        {"undo": "undone", "compensation": ONCE},
    ),
}


@pytest.mark.parametrize("name", RECORDS)
def test_what_a_fact_makes_of_its_step(name: str) -> None:
    """A step's record holds what its facts told, and what a later one takes back is gone."""
    facts, expected = RECORDS[name]
    assert StepState(name="a", **expected) == record_of(*facts)


def decided(decision: e.Decision, **more: Any) -> e.DecisionMade:
    return e.DecisionMade(decision=decision, step="a", by="eve", reason="seen", **more)


DECIDED: dict[str, tuple[list[e.Event], e.Decision, dict[str, Any]]] = {
    "an undo again": (
        [undoing(), not_undone()],
        "retry",
        {"undo": "waiting", "compensation": CallCount(attempt=1)},
    ),
    "a doubt again": (
        [started(), DIED],
        "retry",
        {
            "status": "in_doubt",
            "action": CallCount(attempt=1),
            "retry_ordered": True,
            "died": True,
            "error": BROKEN,
            "retryable": True,
        },
    ),
    "a failure again": (
        [started(), failed()],
        "retry",
        {"status": "waiting", "action": CallCount(attempt=1), "error": REFUSED},
    ),
    "not done": ([started()], "resolve(not_done)", {"status": "failed", "action": ONCE}),
    "undone": ([undoing()], "resolve(undone)", {"undo": "undone", "compensation": ONCE}),
    "compensate a doubt": (
        [started(), doubted()],
        "compensate",
        {"status": "in_doubt", "action": ONCE, "conceded": True},
    ),
    "compensate a crash loop": ([started()], "compensate", {"status": "failed", "action": ONCE}),
    "skip": ([undoing()], "skip", {"undo": "skipped", "compensation": ONCE}),
    "abandon": ([started()], "abandon", {"status": "running", "action": ONCE}),
}


@pytest.mark.parametrize("name", DECIDED)
def test_what_a_decision_makes_of_its_step(name: str) -> None:
    """A decision changes what it is about, and gives a retry a new budget while calls go on being counted."""
    facts, decision, expected = DECIDED[name]
    assert StepState(name="a", **expected) == record_of(*facts, decided(decision))


def test_an_ordered_retry_is_one() -> None:
    """The start that a decision ordered uses the order up."""
    record = record_of(started(), doubted(), decided("retry"), started(attempt=2))
    assert not record.retry_ordered


def test_a_result_that_is_told_is_the_result() -> None:
    """`resolve(result)` makes the step done with what the operator says."""
    told_by_eve = record_of(started(), doubted(), decided("resolve(result)", result_json='"seen"'))
    assert ("done", "seen") == (told_by_eve.status, told_by_eve.result)


def test_what_is_decided_within_a_nested_saga_waits_for_it() -> None:
    """The parent keeps decisions and signals for a nested saga, in order, and itself changes nothing."""
    instance = told(
        started(),
        PARKED,
        attrs.evolve(decided("retry"), step="a/fee"),
        e.SignalReceived(request_id="r-1", name="a/ok", payload_json="1"),
    )
    assert ["DecisionMade", "SignalReceived a/ok"] == [str(order) for order in instance.steps["a"].child.orders]
    assert ("parked", ()) == (instance.steps["a"].status, instance.signals)
    assert CHILD == attrs.evolve(instance.steps["a"].child, orders=())


def test_the_first_signal_counts() -> None:
    """A second one of the same name changes nothing; one of another name is kept beside it, in order."""
    signals = [e.SignalReceived(request_id=f"r-{n}", name=n[0], payload_json=f'"{n}"') for n in ("b1", "a1", "b2")]
    assert ["b1", "a1"] == [signal.payload for signal in told(*signals).signals]


def test_steps_are_known_in_order_of_first_start() -> None:
    """A retry starts nothing new, so it keeps its place."""
    instance = told(started("b"), started("a"), failed("b", retry_at=LATER), started("b", 2))
    assert ("b", "a") == instance.started


def test_each_failure_is_counted_once() -> None:
    """A cause, or a block, repeats the failure that it is about; the same error again later is another failure."""
    cause = e.CauseRecorded(kind="failure", step="b", error=REFUSED, by="eve", reason="so")
    instance = told(started("b"), failed("b"), cause, undoing(), not_undone(), undoing("b"), not_undone("b", REFUSED))
    assert (REFUSED, BROKEN, REFUSED) == instance.errors
    assert REFUSED == instance.error
    assert Cause(kind="failure", step="b", error=REFUSED, by="eve", reason="so", number=4) == instance.cause


def test_what_is_retried_is_no_failure_yet() -> None:
    """Only the last attempt's error counts among the failures, of an action as of a compensation."""
    assert () == told(started(), failed(retry_at=LATER), undoing("b"), not_undone("b", retry_at=LATER)).errors
    refused = e.ResultRefused(step="a", attempt=1, error=BROKEN)
    assert (BROKEN,) == told(started(), refused).errors


def test_an_answer_in_the_grace_takes_its_failure_back() -> None:
    """What a timeout had been taken for is no failure once the call has answered; the others stay, in order."""
    before = [started("b"), failed("b", SILENT)]
    assert (SILENT,) == told(*before, started(), failed(), done()).errors
    undo = [undoing("b"), not_undone("b", REFUSED), undoing(), not_undone()]
    assert (SILENT, REFUSED) == told(*before, *undo, undone()).errors
    assert (SILENT, REFUSED) == told(*before, *undo[:3], undone()).errors


def test_a_block_is_left_by_what_moves_and_not_by_mail() -> None:
    """Requests and late answers leave an instance as blocked, and as long asleep, as they found it."""
    blocked = e.InstanceBlocked(step="b", reason="in_doubt", decisions=("retry",), error=BROKEN)
    parked = (started(), blocked, attrs.evolve(blocked, step="a", wake_at=LATER, waiting=True))
    block = Block(step="b", reason="in_doubt", decisions=("retry",))
    for mail in (
        e.CancelRequested(request_id="r"),
        e.CancelCameTooLate(request_id="r"),
        e.SignalReceived(request_id="r", name="b", payload_json="1"),
        e.DecisionCameTooLate(request_id="r"),
        e.LateResult(step="a", attempt=1),
    ):
        instance = told(*parked, mail)
        assert (block, block._replace(step="a")) == instance.blocked
        assert (LATER, True) == (instance.wake_at, instance.waiting)
    assert (BROKEN,) == instance.errors
    moved = told(*parked, decided("retry"))
    assert ((), None, False) == (moved.blocked, moved.wake_at, moved.waiting)


def test_the_first_cancel_waits_until_it_is_the_cause_or_comes_too_late() -> None:
    """A cancel is kept until it is settled; a second one, or one after a cause, is recorded only."""
    first, second = (e.CancelRequested(request_id=f"r-{n}") for n in (1, 2))
    assert "r-1" == told(first, second).cancel.request_id
    assert told(first, e.CancelCameTooLate(request_id="r-1")).cancel is None
    cause = e.CauseRecorded(kind="cancel")
    assert told(first, cause).cancel is None
    assert told(cause, second).cancel is None


def test_a_fact_says_where_it_leads_and_when_it_was() -> None:
    """The state is the one that the last moving fact named; every fact is dated."""
    instance = told(started(state="running:a"), done())
    assert ("running:a", NOON + timedelta(seconds=3)) == (instance.state, instance.updated_at)
    assert NOON + timedelta(seconds=1) == instance.created_at


def test_a_migration_keeps_what_is_known() -> None:
    """Records, starts and signals follow their steps to new names; what is gone is forgotten; new steps ahead are pending."""
    migrated = e.InstanceMigrated(
        version=2, fingerprint="f-2", steps=outlined("new", "c", "b", "last"), renamed=(("a", "c"), ("gone", None))
    )
    signal = e.SignalReceived(request_id="r", name="b", payload_json="1")
    moved = attrs.evolve(signal, request_id="r-2", name="a")
    facts = (started("gone"), started(), done(), started("b", state="running:b"), signal, moved, migrated)
    instance = told(*facts, steps=outlined("gone", "a", "b"))

    assert (2, "f-2", migrated.steps) == (instance.version, instance.fingerprint, instance.outline)
    assert ("c", "b") == instance.started
    assert ["b", "c"] == [signal.name for signal in instance.signals]
    assert {
        "new": StepState(name="new", status="skipped", keyed="new@8"),
        "c": StepState(name="c", status="done", action=ONCE, result_json='"a!"', keyed="a"),
        "b": StepState(name="b", status="running", action=ONCE),
        "last": StepState(name="last", keyed="last@8"),
    } == instance.steps
    assert list(instance.steps) == ["new", "c", "b", "last"]


def test_a_migration_before_the_start_skips_nothing() -> None:
    """Nothing has been passed yet, so every new step is ahead; the state may be given another name."""
    migrated = e.InstanceMigrated(version=2, fingerprint="f-2", steps=outlined("new", "b"))
    assert "pending" == told(migrated).steps["new"].status
    in_group = e.StepOutline(name="new", group="both")
    moved = attrs.evolve(migrated, steps=(in_group, *outlined("b")), state="running:both")
    instance = told(started(state="running:a"), moved)
    assert ("pending", "running:both") == (instance.steps["new"].status, instance.state)
