"""The next command is a function of the definition, the facts and the calls under way, and of nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from sagafsm import Saga
from sagafsm.core.commands import (
    Command,
    Park,
    Prepare,
    Record,
    Rest,
    RunAction,
    RunChild,
    RunCompensation,
    RunProbe,
    WaitForCalls,
    WaitForSignal,
)
from sagafsm.core.decide import build_idempotency_key, build_process_died_error, decide, take_cancel
from sagafsm.definition.definition import Definition
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.step_state import CallCount, StepState
from support.facts import (
    BROKEN,
    LATER,
    NOON,
    REFUSED,
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

CAUSE = e.CauseRecorded(kind="failure", step="b", error=REFUSED)
CANCEL = e.CancelRequested(request_id="r-1", by="eve", reason="late")
RUNNING = started(state="running:a")
DIED = doubted(reason="process_died", error=BROKEN, retryable=True)
SOON = NOON + timedelta(minutes=1)


def plain(result: Any) -> None:
    """Undo nothing."""


def defined(names: str = "ab", *, undo: bool = True, **options: Any) -> Definition:
    """Steps of one letter; `options` are the first one's."""
    saga = Saga("order")
    for number, name in enumerate(names):
        saga.add_step(name, lambda: None, plain if undo else None, **({} if number else options))
    return saga.definition


def grouped(names: str = "abc", limit: int | None = None, **members: dict[str, Any]) -> Definition:
    saga = Saga("order")
    saga.group("both", max_concurrency=limit)
    for name in names:
        saga.add_step(name, lambda: None, plain, group="both", **members.get(name, {}))
    return saga.definition


def waiting(timeout: timedelta | None = None) -> Definition:
    saga = Saga("order")
    saga.add_step("a", lambda: None, plain)
    saga.wait_for("b", timeout=timeout)
    return saga.definition


def waiting_first() -> Definition:
    saga = Saga("order")
    saga.wait_for("a")
    return saga.definition


def nested() -> Definition:
    child = Saga("payment")
    child.add_step("fee", lambda: None, plain)
    saga = Saga("order")
    saga.add_saga("a", child)
    saga.add_step("b", lambda: None, plain)
    return saga.definition


PLAIN = defined()
PROBED = defined(probe=lambda: None)
PIVOT = defined(undo=False, pivot=True)
SIGNALLED = waiting(timedelta(seconds=90))


def of(definition: Definition, *facts: e.Event) -> SagaInstance:
    return told(*facts, steps=definition.outline)


def key(step: str = "a", direction: e.Direction = "action") -> str:
    return build_idempotency_key(told(steps=outlined("a", "b", "c")), step, direction)


def action(step: str = "a", attempt: int = 1, *, at: datetime | None = None, state: str | None = None) -> RunAction:
    begun = e.StepStarted(step=step, attempt=attempt, key=key(step), state=state)
    return RunAction(step=step, attempt=attempt, key=key(step), not_before=at, events=(begun,))


def undo(step: str = "a", attempt: int = 1, *, at: datetime | None = None, state: str | None = None) -> RunCompensation:
    begun = e.CompensationStarted(step=step, attempt=attempt, key=key(step, "compensation"), state=state)
    return RunCompensation(step=step, attempt=attempt, key=key(step, "compensation"), not_before=at, events=(begun,))


def recorded(*events: e.Event) -> Record:
    return Record(events=events)


def blocks(reason: e.BlockReason, *decisions: e.Decision, error: e.RecordedError | None = None) -> Record:
    return recorded(e.InstanceBlocked(step="a", reason=reason, decisions=decisions, error=error))


def deaths(number: int) -> list[e.Event]:
    return [fact for n in range(1, number + 1) for fact in (started(attempt=n, state="running:a"), DIED)]


ALL = ("retry", "resolve(result)", "resolve(not_done)", "compensate", "abandon")
UNDO_BLOCK = ("retry", "resolve(undone)", "skip", "abandon")
BLOCKED = e.InstanceBlocked(step="a", reason="in_doubt", decisions=("retry",))
BACK = [RUNNING, done(), CAUSE]
FAILED_TO = e.CauseRecorded(kind="failure", step="a", error=REFUSED)
DOUBT = e.CauseRecorded(kind="doubt", step="a", error=REFUSED)
LOST = doubted(error=REFUSED, retryable=True, retry_at=SOON)
SPENT = doubted(error=REFUSED)
PAYLOAD = e.ResultRefused(step="a", attempt=1, error=BROKEN)
PROBE = RunProbe(step="a", attempt=1, key=key())
SIGNAL = e.SignalReceived(request_id="r-2", name="b", payload_json="7")
ON_B = [RUNNING, done(state="running:b")]
IN_DOUBT = "the process ended during attempt 1"
UNHEARD = e.RecordedError(type="sagafsm.SignalTimedOut", message="no signal 'b' within 90 s")
NO_EFFECT = defined(undo=False, effect=False)

NEXT: dict[str, tuple[Definition, list[e.Event], Command]] = {
    "pending": (PLAIN, [], action(state="running:a")),
    "pending, cancelled": (
        PLAIN,
        [CANCEL],
        recorded(e.CauseRecorded(kind="cancel", by="eve", reason="late")),
    ),
    "pending, cause": (PLAIN, [CAUSE], recorded(e.InstanceFailed(state="failed"))),
    "pending, before a condition": (defined(when=lambda: True), [], recorded(e.InstanceStarted(state="running:a"))),
    "pending, before a wait": (waiting_first(), [], recorded(e.InstanceStarted(state="running:a"))),
    "a condition": (
        defined(when=lambda: True),
        [e.InstanceStarted(state="running:a")],
        Prepare(step="a", attempt=0, key=key()),
    ),
    "a condition that held": (
        defined(when=lambda: True),
        [e.InstanceStarted(state="running:a"), e.StepPrepared(step="a")],
        action(),
    ),
    "the next step": (PLAIN, ON_B, action("b")),
    "called again": (PLAIN, [RUNNING, failed(retry_at=SOON)], action(attempt=2, at=SOON)),
    "all done": (defined("a"), [RUNNING, done()], recorded(e.InstanceCompleted(state="completed"))),
    "failed": (PLAIN, [RUNNING, failed()], recorded(FAILED_TO)),
    "failed, cause": (PLAIN, [RUNNING, failed(), CAUSE], recorded(e.InstanceFailed(state="failed"))),
    "failed behind the pivot": (
        PIVOT,
        [RUNNING, done(state="running:b"), started("b"), failed("b")],
        recorded(
            e.InstanceBlocked(
                step="b", reason="exhausted", decisions=("retry", "resolve(result)", "abandon"), error=REFUSED
            )
        ),
    ),
    "died": (
        PLAIN,
        [RUNNING],
        recorded(
            e.StepInDoubt(
                step="a",
                attempt=1,
                reason="process_died",
                error=e.RecordedError(type="sagafsm.ProcessDied", message=IN_DOUBT),
                retryable=True,
            )
        ),
    ),
    "died, without effect": (NO_EFFECT, [RUNNING], action(attempt=2)),
    "died, without effect, cause": (
        NO_EFFECT,
        [RUNNING, CAUSE],
        recorded(
            e.StepFailed(
                step="a", attempt=1, error=build_process_died_error(StepState(name="a", action=CallCount(attempt=1)))
            )
        ),
    ),
    "died for the fourth time, without effect": (
        NO_EFFECT,
        [started(attempt=n, state="running:a") for n in range(1, 5)],
        action(attempt=5),
    ),
    "died for the fifth time, without effect": (
        NO_EFFECT,
        [started(attempt=n, state="running:a") for n in range(1, 6)],
        blocks("crash_loop", *ALL),
    ),
    "in doubt, ask": (PLAIN, [RUNNING, LOST], blocks("in_doubt", *ALL, error=REFUSED)),
    "in doubt, asked": (PLAIN, [RUNNING, LOST, BLOCKED], Park()),
    "in doubt, probe": (PROBED, [RUNNING, LOST], PROBE),
    "in doubt, probed": (PROBED, [RUNNING, LOST, doubted(reason="probe")], blocks("in_doubt", *ALL, error=REFUSED)),
    "in doubt, retry": (defined(in_doubt="retry"), [RUNNING, LOST], action(attempt=2, at=SOON)),
    "in doubt, retry, spent": (defined(in_doubt="retry"), [RUNNING, SPENT], blocks("in_doubt", *ALL, error=REFUSED)),
    "in doubt, retry, cause": (
        defined(in_doubt="retry"),
        [RUNNING, LOST, CAUSE],
        blocks("in_doubt", "resolve(result)", "resolve(not_done)", "compensate", "skip", "abandon", error=REFUSED),
    ),
    "in doubt, ordered": (
        PLAIN,
        [RUNNING, LOST, e.DecisionMade(decision="retry", step="a")],
        action(attempt=2),
    ),
    "in doubt, retry, four deaths": (defined(in_doubt="retry"), deaths(4), action(attempt=5)),
    "in doubt, retry, five deaths": (
        defined(in_doubt="retry"),
        deaths(5),
        blocks("crash_loop", *ALL, error=BROKEN),
    ),
    "in doubt, compensate": (defined(in_doubt="compensate"), [RUNNING, LOST], recorded(DOUBT)),
    "in doubt, compensate, cause": (
        defined(in_doubt="compensate"),
        [RUNNING, LOST, CAUSE],
        undo(state="compensating:a"),
    ),
    "in doubt, compensate, probe first": (
        defined(in_doubt="compensate", probe=lambda: None),
        [RUNNING, LOST, CAUSE],
        PROBE,
    ),
    "in doubt, retry, then compensate": (
        defined(in_doubt=("retry", "compensate")),
        [RUNNING, LOST],
        action(attempt=2, at=SOON),
    ),
    "in doubt, retry, then compensate, spent": (
        defined(in_doubt=("retry", "compensate")),
        [RUNNING, SPENT],
        recorded(DOUBT),
    ),
    "unstorable": (PLAIN, [RUNNING, PAYLOAD], recorded(e.CauseRecorded(kind="payload", step="a", error=BROKEN))),
    "unstorable, cause": (PLAIN, [RUNNING, PAYLOAD, CAUSE], undo(state="compensating:a")),
    "unstorable from the pivot": (
        PIVOT,
        [RUNNING, PAYLOAD],
        blocks("payload", "resolve(result)", "abandon", error=BROKEN),
    ),
    "cancelled": (
        PLAIN,
        [RUNNING, done(), CANCEL],
        recorded(e.CauseRecorded(kind="cancel", by="eve", reason="late")),
    ),
    "cancelled behind the pivot": (
        PIVOT,
        [RUNNING, done(state="running:b"), CANCEL],
        recorded(e.CancelCameTooLate(request_id="r-1")),
    ),
    "cancelled on the pivot, in doubt": (
        defined(undo=False, pivot=True, in_doubt="retry"),
        [RUNNING, LOST, CANCEL],
        blocks("in_doubt", "retry", "resolve(result)", "resolve(not_done)", "abandon", error=REFUSED),
    ),
    "going back": (PLAIN, BACK, undo(state="compensating:a")),
    "going back over what left nothing": (
        PLAIN,
        [*ON_B, started("b"), failed("b"), CAUSE],
        undo(state="compensating:a"),
    ),
    "going back into what left nothing": (
        PLAIN,
        [e.StepSkipped(step="a", state="running:b"), started("b"), failed("b"), CAUSE],
        recorded(e.StepPassedOver(step="a", state="compensating:a")),
    ),
    "undoing, died": (
        PLAIN,
        [*BACK, e.CompensationStarted(step="a", attempt=1, key="k", state="compensating:a")],
        undo(attempt=2),
    ),
    "undoing, to be called again": (
        PLAIN,
        [*BACK, undoing(), not_undone(retry_at=SOON, state="compensating:a")],
        undo(attempt=2, at=SOON),
    ),
    "undoing, used up": (
        PLAIN,
        [*BACK, undoing(), not_undone(state="compensating:a")],
        blocks("compensation_failed", *UNDO_BLOCK),
    ),
    "undoing, used up, asked": (
        PLAIN,
        [*BACK, undoing(), not_undone(state="compensating:a"), BLOCKED],
        Park(),
    ),
    "undoing, four deaths": (
        PLAIN,
        [*BACK, *(e.CompensationStarted(step="a", attempt=n, key="k", state="compensating:a") for n in range(1, 5))],
        undo(attempt=5),
    ),
    "undoing, five deaths": (
        PLAIN,
        [*BACK, *(e.CompensationStarted(step="a", attempt=n, key="k", state="compensating:a") for n in range(1, 6))],
        blocks("compensation_failed", *UNDO_BLOCK),
    ),
    "undone": (PLAIN, [*BACK, undoing(), undone(state="compensating:a")], recorded(e.InstanceFailed(state="failed"))),
    "completed": (PLAIN, [e.InstanceCompleted(state="completed")], Rest()),
    "completed, sent back": (
        PLAIN,
        [*ON_B, started("b"), done("b"), e.InstanceCompleted(state="completed"), CAUSE],
        undo("b", state="compensating:b"),
    ),
    "ended": (PLAIN, [CAUSE, e.InstanceFailed(state="failed")], Rest()),
    "a wait": (SIGNALLED, ON_B, recorded(e.WaitStarted(step="b", timeout=90.0))),
    "a wait without end": (waiting(), ON_B, recorded(e.WaitStarted(step="b"))),
    "waiting": (
        SIGNALLED,
        [*ON_B, e.WaitStarted(step="b", timeout=90.0)],
        WaitForSignal(
            not_before=NOON + timedelta(seconds=4 + 90),
            events=(e.StepFailed(step="b", attempt=0, error=UNHEARD),),
        ),
    ),
    "a wait, heard": (
        SIGNALLED,
        [*ON_B, e.WaitStarted(step="b", timeout=90.0), SIGNAL],
        recorded(e.StepSucceeded(step="b", attempt=0, result_json="7")),
    ),
    "a wait, heard before": (
        SIGNALLED,
        [RUNNING, SIGNAL, done(state="running:b")],
        recorded(e.StepSucceeded(step="b", attempt=0, result_json="7")),
    ),
    "a wait, unheard": (
        SIGNALLED,
        [*ON_B, e.WaitStarted(step="b"), failed("b", BROKEN)],
        recorded(e.CauseRecorded(kind="failure", step="b", error=BROKEN)),
    ),
    "a nested saga": (
        nested(),
        [],
        RunChild(
            step="a", attempt=1, key=key(), events=(e.StepStarted(step="a", attempt=1, key=key(), state="running:a"),)
        ),
    ),
    "a nested saga, left in the middle": (nested(), [RUNNING], RunChild(step="a", attempt=1, key=key())),
    "a nested saga, asleep": (
        nested(),
        [RUNNING, e.ChildParked(step="a", retry_at=SOON)],
        RunChild(step="a", attempt=1, key=key(), not_before=SOON, events=(e.ChildResumed(step="a"),)),
    ),
    "a nested saga, waiting until": (
        nested(),
        [RUNNING, e.ChildParked(step="a", retry_at=SOON, waits=True)],
        RunChild(step="a", attempt=1, key=key(), not_before=SOON, parks=True, events=(e.ChildResumed(step="a"),)),
    ),
    "a nested saga, waiting": (nested(), [RUNNING, e.ChildParked(step="a", waits=True)], Park()),
    "a nested saga, going back": (
        nested(),
        BACK,
        RunChild(
            step="a",
            attempt=1,
            key=key("a", "compensation"),
            direction="compensation",
            events=(e.CompensationStarted(step="a", attempt=1, key=key("a", "compensation"), state="compensating:a"),),
        ),
    ),
    "a nested saga, going back, left in the middle": (
        nested(),
        [*BACK, e.CompensationStarted(step="a", attempt=1, key="k", state="compensating:a")],
        RunChild(step="a", attempt=1, key=key("a", "compensation"), direction="compensation"),
    ),
    "a nested saga, going back, waiting": (
        nested(),
        [
            *BACK,
            e.CompensationStarted(step="a", attempt=1, key="k", state="compensating:a"),
            e.ChildParked(step="a", waits=True),
        ],
        Park(),
    ),
    "a nested saga, going back, blocked": (
        nested(),
        [
            *BACK,
            e.CompensationStarted(step="a", attempt=1, key="k", state="compensating:a"),
            e.ChildParked(
                step="a", blocks=(e.RecordedBlock(step="fee", reason="compensation_failed", decisions=("skip",)),)
            ),
        ],
        recorded(e.InstanceBlocked(step="a/fee", reason="compensation_failed", decisions=("skip",))),
    ),
}


@pytest.mark.parametrize("name", NEXT)
def test_the_next_command(name: str) -> None:
    """Whole: what is called, with which number and key, not before when, and what must be durable first."""
    definition, facts, expected = NEXT[name]
    assert expected == decide(definition, of(definition, *facts))


def test_a_call_that_is_under_way_is_waited_for() -> None:
    """Nothing else starts in a state of one step, forward or back."""
    assert WaitForCalls() == decide(PLAIN, of(PLAIN, RUNNING), {"a"})
    assert WaitForCalls() == decide(PLAIN, of(PLAIN, RUNNING, failed()), {"a"})
    back = e.CompensationStarted(step="a", attempt=1, key="k", state="compensating:a")
    assert WaitForCalls() == decide(PLAIN, of(PLAIN, *BACK, back), {"a"})


BEGUN = started(state="running:both")


def test_members_start_in_order_up_to_the_limit() -> None:
    """Each that may start is ordered in turn; at the limit, and when all run, calls are waited for."""
    three = grouped()
    assert action("b") == decide(three, of(three, BEGUN), {"a"})
    assert action("c") == decide(three, of(three, BEGUN, started("b")), {"a", "b"})
    assert WaitForCalls() == decide(three, of(three, BEGUN, started("b"), started("c")), {"a", "b", "c"})
    two = grouped(limit=2)
    assert action("b") == decide(two, of(two, BEGUN), {"a"})
    assert WaitForCalls() == decide(two, of(two, BEGUN, started("b")), {"a", "b"})
    assert action("c") == decide(two, of(two, BEGUN, started("b"), done("b")), {"a"})


def test_the_member_whose_time_comes_first_is_called_first() -> None:
    """One that need not wait goes before those that back off."""
    three = grouped("ab")
    facts = [BEGUN, failed(retry_at=LATER), started("b"), failed("b", retry_at=SOON)]
    assert action("b", 2, at=SOON) == decide(three, of(three, *facts))
    facts = [BEGUN, failed(retry_at=LATER)]
    assert action("b") == decide(three, of(three, *facts))


def test_nothing_new_starts_beside_a_doubt_or_a_failure() -> None:
    """A doubt is settled first, the one of the earliest start before the others; a retry is nothing new."""
    two = grouped("abc", a={"probe": lambda: None}, b={"probe": lambda: None})
    probe = RunProbe(step="b", attempt=1, key=key("b"))
    facts = [started("b", state="running:both"), started(), doubted("b"), doubted()]
    assert probe == decide(two, of(two, *facts))
    assert WaitForCalls() == decide(two, of(two, *facts), {"b"})
    plain_one = [started("b", state="running:both"), started(), doubted("b")]
    assert probe == decide(two, of(two, *plain_one), {"a"})
    held = [BEGUN, e.ResultRefused(step="a", attempt=1, error=BROKEN)]
    assert recorded(e.CauseRecorded(kind="payload", step="a", error=BROKEN)) == decide(two, of(two, *held))


def test_a_group_blocks_when_no_member_runs() -> None:
    """All that is asked is told in one commit; then it is parked."""
    two = grouped("ab")
    facts = [BEGUN, started("b"), doubted(error=REFUSED), doubted("b", error=BROKEN)]
    assert WaitForCalls() == decide(two, of(two, *facts[:3]), {"b"})
    asked = [
        e.InstanceBlocked(step=step, reason="in_doubt", decisions=ALL, error=error)
        for step, error in (("a", REFUSED), ("b", BROKEN))
    ]
    assert recorded(*asked) == decide(two, of(two, *facts))
    assert Park() == decide(two, of(two, *facts, *asked))


def test_a_cancel_waits_while_the_pivot_may_have_succeeded() -> None:
    """Its doubt, and its call, are settled first; what has failed is settled."""
    cause = e.CauseRecorded(kind="cancel", by="eve", reason="late")
    assert take_cancel(PIVOT, of(PIVOT)) is None
    for facts, under_way in (([RUNNING], {"a"}), ([RUNNING, LOST], ()), ([RUNNING, failed(retry_at=SOON)], {"a"})):
        assert take_cancel(PIVOT, of(PIVOT, *facts, CANCEL), under_way) is None
    assert cause == take_cancel(PIVOT, of(PIVOT, RUNNING, failed(retry_at=SOON), CANCEL))
    assert cause == take_cancel(PLAIN, of(PLAIN, RUNNING, CANCEL), {"a"})


def test_a_key_is_of_an_instance_a_step_and_a_direction() -> None:
    """The same at each attempt; readable, bounded, and another as soon as anything of it differs."""
    assert "a-action-" == key()[:9]
    assert 9 + 32 == len(key())
    assert key() == build_idempotency_key(told(started(), failed(retry_at=SOON)), "a", "action")
    renamed = e.InstanceMigrated(
        version=2, fingerprint="f", steps=(e.StepOutline(name="z"),), renamed=(("a", "z"), ("b", None))
    )
    assert key() == build_idempotency_key(told(renamed), "z", "action")
    assert 4 == len({key(), key("b"), key("a", "compensation"), key("b", "compensation")})
    long = "n" * 60
    assert f"{'n' * 40}-action-" == build_idempotency_key(told(steps=(e.StepOutline(name=long),)), long, "action")[:48]


def test_a_nested_saga_with_another_end_is_not_slept_for() -> None:
    """Beside a member that runs, a nested saga that parks until a moment is driven on when that has come."""
    child = Saga("payment")
    child.wait_for("ok", timeout=timedelta(seconds=90))
    saga = Saga("order")
    saga.add_saga("a", child, group="both")
    saga.add_step("b", lambda: None, plain, group="both")
    definition = saga.definition
    facts = [BEGUN, started("b"), e.ChildParked(step="a", retry_at=SOON, waits=True)]
    run = RunChild(step="a", attempt=1, key=key(), not_before=SOON, events=(e.ChildResumed(step="a"),))
    assert run == decide(definition, of(definition, *facts), {"b"})
    parked = decide(definition, of(definition, *facts, done("b")))
    assert (True, SOON) == (parked.parks, parked.not_before)


PARKED_CHILD = (e.RecordedBlock(step="fee", reason="compensation_failed", decisions=("skip",)),)
PASSED_ON = e.InstanceBlocked(step="a/fee", reason="compensation_failed", decisions=("skip",))


def test_a_nested_saga_that_is_blocked_until_a_moment_is_told_of_first() -> None:
    """Somebody must know of the block, though time will end it; in either direction, and once."""
    definition = nested()
    parked = e.ChildParked(step="a", blocks=PARKED_CHILD, retry_at=SOON)
    back = e.CompensationStarted(step="a", attempt=1, key="k", state="compensating:a")
    for facts in ([RUNNING], [*BACK, back]):
        assert recorded(PASSED_ON) == decide(definition, of(definition, *facts, parked))
        later = decide(definition, of(definition, *facts, parked, PASSED_ON))
        assert (RunChild, True, SOON) == (type(later), later.parks, later.not_before)


def nested_beside(limit: int | None = None) -> Definition:
    child = Saga("payment")
    child.wait_for("ok", timeout=timedelta(seconds=90))
    saga = Saga("order")
    saga.group("both", max_concurrency=limit)
    saga.add_saga("a", child, group="both")
    saga.add_step("b", lambda: None, plain, group="both")
    return saga.definition


def test_a_nested_saga_that_parks_holds_nobody_up() -> None:
    """The others start; but at the limit nothing does, whatever moment has come."""
    parked = e.ChildParked(step="a", retry_at=SOON, waits=True)
    free, full = nested_beside(), nested_beside(limit=1)
    assert action("b") == decide(free, of(free, BEGUN, parked))
    assert WaitForCalls() == decide(full, of(full, BEGUN, started("b"), parked), {"b"})


def test_in_a_group_of_two_a_doubt_holds_the_other() -> None:
    """As in any group: its probe is asked, and until that has answered nothing starts."""
    definition = grouped("ab", a={"probe": lambda: None})
    instance = of(definition, BEGUN, doubted())
    assert PROBE == decide(definition, instance)
    assert WaitForCalls() == decide(definition, instance, {"a"})


def test_a_queued_member_never_starts_once_there_is_a_cause() -> None:
    """Those that run are awaited, and nobody else is called."""
    definition = grouped("abc")
    assert WaitForCalls() == decide(definition, of(definition, BEGUN, started("b"), CAUSE), {"a", "b"})
    retrying = of(definition, BEGUN, failed(retry_at=SOON), started("b"), CAUSE)
    assert WaitForCalls() == decide(definition, retrying, {"b"})


def test_doubts_are_settled_in_order_of_start_whatever_their_times() -> None:
    """The first one's retry is slept for, though the second's probe could be asked at once."""
    definition = grouped("ab", a={"in_doubt": "retry"}, b={"probe": lambda: None})
    facts = [BEGUN, started("b"), LOST, doubted("b")]
    assert action(attempt=2, at=SOON) == decide(definition, of(definition, *facts))


def test_a_nested_saga_that_was_resumed_on_the_way_back_is_driven() -> None:
    """What it was blocked for before is told no more."""
    definition = nested()
    back = e.CompensationStarted(step="a", attempt=1, key="k", state="compensating:a")
    parked = e.ChildParked(step="a", blocks=PARKED_CHILD)
    instance = of(definition, *BACK, back, parked, e.ChildResumed(step="a"))
    expected = RunChild(step="a", attempt=1, key=key("a", "compensation"), direction="compensation")
    assert expected == decide(definition, instance)
