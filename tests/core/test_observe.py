"""What a call gave becomes one fact, whole: by evidence, without guessing."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import Any

import attrs
import pytest

from sagafsm import IN_DOUBT, NOT_DONE, OutcomeUnknown, PayloadError, PermanentFailure, Retry, Saga
from sagafsm.core.commands import Command, Prepare, Run, RunAction, RunChild, RunCompensation, RunProbe
from sagafsm.core.decide import build_process_died_error
from sagafsm.core.observe import (
    LONGEST_MESSAGE,
    LONGEST_TRACEBACK,
    Moment,
    observe,
    observe_nested_instance,
    record_error,
)
from sagafsm.core.outcomes import (
    AttemptTimedOut,
    NestedOutcome,
    NotDone,
    Outcome,
    Prepared,
    Raised,
    Returned,
    StillInDoubt,
    TimedOut,
    Unstorable,
)
from sagafsm.definition.definition import Definition
from sagafsm.history import events as e
from support.facts import BROKEN, LATER, NOON, REFUSED, done, doubted, failed, outlined, started, told, undoing
from support.messages import message_of

MOMENT = Moment(now=NOON, draw=0.5)
SECOND = timedelta(seconds=1)
TWICE = Retry(2, backoff=SECOND, jitter=False)
SOLD_OUT = ValueError("sold out")
LOST = OutcomeUnknown("no answer")
NEVER = PermanentFailure("never")
LATE = AttemptTimedOut("no answer within 1 s")
TOO_BIG = PayloadError("result of step 'a'", "$", "is too big")
AGAIN = NOON + SECOND
CAUSE = e.CauseRecorded(kind="failure", step="b", error=REFUSED)
CANCEL = e.CancelRequested(request_id="r")


def plain(result: Any) -> None:
    """Undo nothing."""


def defined(*, effect: bool = True) -> Definition:
    saga = Saga("order")
    compensation = {"compensation": plain, "compensation_retry": TWICE, "probe": lambda: None} if effect else {}
    saga.add_step("a", lambda: None, retry=TWICE, effect=effect, **compensation)
    saga.add_step("b", lambda: None, plain)
    return saga.definition


PLAIN, NO_EFFECT = defined(), defined(effect=False)
FIRST, SECOND_CALL = [started()], [started(), failed(retry_at=AGAIN), started(attempt=2)]
IN_DOUBT_BEFORE = [started(), doubted(retryable=True), started(attempt=2)]


def told_of(command: Run, outcome: Outcome, *facts: e.Event, definition: Definition = PLAIN) -> e.Event:
    return observe(definition, told(*facts, steps=definition.outline), command, outcome, MOMENT)


def run(kind: type[Run], **more: Any) -> Run:
    return kind(step="a", attempt=1, key="k", **more)


ACTION, PROBE, UNDO, PREPARE = (run(kind) for kind in (RunAction, RunProbe, RunCompensation, Prepare))
CHILD, CHILD_BACK = run(RunChild), run(RunChild, direction="compensation")


def failure(error: Exception, **more: Any) -> e.StepFailed:
    return e.StepFailed(**{"step": "a", "attempt": 1, "error": record_error(error), **more})


def doubt(error: Exception, reason: e.DoubtReason, **more: Any) -> e.StepInDoubt:
    return e.StepInDoubt(**{"step": "a", "attempt": 1, "error": record_error(error), "reason": reason, **more})


ACTIONS: dict[str, tuple[Outcome, list[e.Event], e.Event]] = {
    "returned": (Returned(result_json="1"), FIRST, e.StepSucceeded(step="a", attempt=1, result_json="1")),
    "unstorable": (
        Unstorable(error=TOO_BIG),
        SECOND_CALL,
        e.ResultRefused(step="a", attempt=2, error=record_error(TOO_BIG)),
    ),
    "raised": (Raised(error=SOLD_OUT), FIRST, failure(SOLD_OUT, retry_at=AGAIN)),
    "raised, last": (Raised(error=SOLD_OUT), SECOND_CALL, failure(SOLD_OUT, attempt=2)),
    "raised, cause": (Raised(error=SOLD_OUT), [*FIRST, CAUSE], failure(SOLD_OUT)),
    "raised, cancelled": (Raised(error=SOLD_OUT), [*FIRST, CANCEL], failure(SOLD_OUT)),
    "never": (Raised(error=NEVER), FIRST, failure(NEVER)),
    "never, after a doubt": (Raised(error=NEVER), IN_DOUBT_BEFORE, failure(NEVER, attempt=2)),
    "unknown": (Raised(error=LOST), FIRST, doubt(LOST, "outcome_unknown", retryable=True, retry_at=AGAIN)),
    "unknown, last": (Raised(error=LOST), SECOND_CALL, doubt(LOST, "outcome_unknown", attempt=2)),
    "raised after a doubt": (
        Raised(error=SOLD_OUT),
        IN_DOUBT_BEFORE,
        doubt(SOLD_OUT, "earlier_attempt", attempt=2),
    ),
    "timed out": (TimedOut(error=LATE), FIRST, doubt(LATE, "timeout", retryable=True, retry_at=AGAIN)),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_what_an_action_gave(name: str) -> None:
    """Done, failed, in doubt or refused: with the attempt, the error, and when it may be called again."""
    outcome, facts, expected = ACTIONS[name]
    assert expected == told_of(ACTION, outcome, *facts)


@pytest.mark.parametrize("outcome", [Raised(error=LOST), TimedOut(error=LATE)], ids=["unknown", "timed out"])
def test_a_step_without_effect_is_never_in_doubt(outcome: Raised | TimedOut) -> None:
    """Whatever happened, the attempt has failed."""
    assert failure(outcome.error, retry_at=AGAIN) == told_of(ACTION, outcome, *FIRST, definition=NO_EFFECT)


def test_what_the_caller_was_handling_is_no_evidence() -> None:
    """An error of the outside, met in the context chain, leaves no doubt about this call."""
    outer, error = ConnectionError("gone"), ValueError("sold out")
    error.__context__ = outer
    assert isinstance(told_of(ACTION, Raised(error=error), *FIRST), e.StepInDoubt)
    assert isinstance(told_of(ACTION, Raised(error=error, outer=outer), *FIRST), e.StepFailed)


DIED = doubted(reason="process_died", error=BROKEN, retryable=True)
DEAD = [started(), DIED]
SPENT = [started(), doubted(error=BROKEN)]
ASLEEP = [started(), doubted(error=BROKEN, retryable=True, retry_at=LATER)]


def not_done(error: e.RecordedError, **more: Any) -> e.StepFailed:
    return e.StepFailed(step="a", attempt=1, error=error, evidence="probe", **more)


PROBES: dict[str, tuple[Outcome, list[e.Event], e.Event]] = {
    "done": (Returned(result_json="1"), DEAD, e.StepSucceeded(step="a", attempt=1, result_json="1", evidence="probe")),
    "unstorable": (Unstorable(error=TOO_BIG), DEAD, e.ResultRefused(step="a", attempt=1, error=record_error(TOO_BIG))),
    "not done, died": (NotDone(), DEAD, not_done(BROKEN, retry_at=NOON)),
    "not done, asleep": (NotDone(), ASLEEP, not_done(BROKEN, retry_at=LATER)),
    "not done, spent": (NotDone(), SPENT, not_done(BROKEN)),
    "not done, cause": (NotDone(), [*DEAD, CAUSE], not_done(BROKEN)),
    "not done, cancelled": (NotDone(), [*DEAD, CANCEL], not_done(BROKEN)),
    "not done, and no error known": (
        NotDone(),
        [started(), doubted()],
        not_done(build_process_died_error(told(started()).steps["a"])),
    ),
    "doubt": (
        StillInDoubt(),
        ASLEEP,
        e.StepInDoubt(step="a", attempt=1, reason="probe", retryable=True, retry_at=LATER),
    ),
    "doubt, raised": (StillInDoubt(error=SOLD_OUT), SPENT, doubt(SOLD_OUT, "probe")),
}


@pytest.mark.parametrize("name", PROBES)
def test_what_a_probe_gave(name: str) -> None:
    """What it says of the attempt; an action that is not done may be called again if it died or has attempts left."""
    outcome, facts, expected = PROBES[name]
    assert expected == told_of(PROBE, outcome, *facts)


def not_undone(error: Exception, **more: Any) -> e.CompensationFailed:
    return e.CompensationFailed(**{"step": "a", "attempt": 1, "error": record_error(error), **more})


UNDONE = e.CompensationSucceeded(step="a", attempt=1)
OTHERS: dict[str, tuple[Run, Outcome, list[e.Event], e.Event]] = {
    "undone": (UNDO, Returned(result_json="1"), [undoing()], UNDONE),
    "undone, unstorable": (UNDO, Unstorable(error=TOO_BIG), [undoing()], UNDONE),
    "not undone": (UNDO, Raised(error=SOLD_OUT), [undoing()], not_undone(SOLD_OUT, retry_at=AGAIN)),
    "not undone in time": (UNDO, TimedOut(error=LATE), [undoing()], not_undone(LATE, retry_at=AGAIN)),
    "not undone, last": (
        UNDO,
        Raised(error=SOLD_OUT),
        [undoing(), e.CompensationFailed(step="a", attempt=1, error=BROKEN, retry_at=AGAIN), undoing(attempt=2)],
        not_undone(SOLD_OUT, attempt=2),
    ),
    "never undone": (UNDO, Raised(error=NEVER), [undoing()], not_undone(NEVER)),
    "skipped": (PREPARE, Prepared(holds=False), [], e.StepSkipped(step="a")),
    "prepared": (PREPARE, Prepared(input_json="1"), [], e.StepPrepared(step="a", input_json="1")),
    "not prepared": (PREPARE, Raised(error=SOLD_OUT), [], failure(SOLD_OUT, attempt=0)),
    "never begun": (
        CHILD,
        NestedOutcome(child=None),
        FIRST,
        e.StepFailed(
            step="a",
            attempt=1,
            error=e.RecordedError(type="sagafsm.NeverBegun", message="the nested saga was never created"),
            evidence="child",
        ),
    ),
    "not driven": (CHILD, Raised(error=SOLD_OUT), FIRST, failure(SOLD_OUT, evidence="child")),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_another_call_gave(name: str) -> None:
    """Of a compensation, a condition or a nested saga."""
    command, outcome, facts, expected = OTHERS[name]
    assert expected == told_of(command, outcome, *facts)


NESTED = (*outlined("fee"), *outlined("note", compensation=False))
FEE = [started("fee"), done("fee", "7")]
ENDED = e.InstanceFailed(state="failed")


def test_a_nested_saga_that_completed_gives_its_results() -> None:
    """By the names of its steps; those without one give nothing."""
    child = told(*FEE, e.StepSkipped(step="note"), e.InstanceCompleted(state="completed"), steps=NESTED)
    expected = e.StepSucceeded(step="a", attempt=1, result_json='{"fee":7}', evidence="child")
    assert expected == told_of(CHILD, NestedOutcome(child=child), *FIRST) == observe_nested_instance(CHILD, child)
    both = told(*FEE, started("note"), done("note", '"n"'), e.InstanceCompleted(state="completed"), steps=NESTED)
    assert {"fee": 7, "note": "n"} == observe_nested_instance(CHILD, both).result


def test_a_nested_saga_that_failed_says_why_and_what_remains() -> None:
    """Going forward it is a failure; going back it is undone as far as it could be."""
    cause = e.CauseRecorded(kind="failure", step="note", error=REFUSED)
    child = told(*FEE, started("note"), failed("note"), cause, ENDED, steps=NESTED)
    left = (e.RecordedResidue(step="fee", reason="abandoned", result_json="7"),)
    why = "nested saga 'o-1' failed: step 'note' failed: Refused: sold out"
    error = e.RecordedError(type="sagafsm.SagaFailed", message=why)
    expected = e.StepFailed(step="a", attempt=1, error=error, evidence="child", residue=left)
    assert expected == told_of(CHILD, NestedOutcome(child=child), *FIRST)
    undone = e.CompensationSucceeded(step="a", attempt=1, residue=left)
    assert undone == told_of(CHILD_BACK, NestedOutcome(child=child), *FIRST)


def test_a_nested_saga_that_parks_says_for_what() -> None:
    """Its blocks, whether it waits, and until when, also where its history does not tell."""
    block = e.RecordedBlock(step="fee", reason="in_doubt", decisions=("retry",))
    blocked = e.InstanceBlocked(step="fee", reason="in_doubt", decisions=("retry",), waiting=True)
    child = told(started("fee", state="running:fee"), blocked, steps=NESTED)
    parked = e.ChildParked(step="a", blocks=(block,), waits=True)
    assert parked == told_of(CHILD, NestedOutcome(child=child), *FIRST)
    assert _until(parked) == told_of(CHILD, NestedOutcome(child=child, until=LATER), *FIRST)
    asleep = told(started("fee", state="running:fee", wake_at=AGAIN), steps=NESTED)
    for until in (None, LATER):
        assert e.ChildParked(step="a", retry_at=AGAIN) == told_of(
            CHILD, NestedOutcome(child=asleep, until=until), *FIRST
        )


def _until(parked: e.ChildParked) -> e.ChildParked:
    return attrs.evolve(parked, retry_at=LATER)


WRONG = {
    "an action does not give NotDone()": (ACTION, NotDone()),
    "a probe does not give Prepared(holds=True, input_json=None)": (PROBE, Prepared()),
    "a compensation does not give NotDone()": (UNDO, NotDone()),
    "a preparation does not give NotDone()": (PREPARE, NotDone()),
    "a nested saga does not give NotDone()": (CHILD, NotDone()),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_a_call_cannot_give_is_refused(message: str) -> None:
    """A driver that mixes outcomes up is told which call cannot give what."""
    assert message == message_of(TypeError, lambda: told_of(*WRONG[message], *FIRST))


def test_only_calls_have_outcomes() -> None:
    """Another command is refused by its name."""
    command = run(Run)
    expected = f"no call is made for {command!r}"
    assert expected == message_of(TypeError, lambda: told_of(command, Returned(result_json="1"), *FIRST))
    assert isinstance(command, Command)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_is_recorded_bounded_and_storable() -> None:
    """Its type by qualified name, its text whatever that is, and the end of its traceback."""
    try:
        raise ValueError("x" * 20_000)
    except ValueError as error:
        long = record_error(error)
    assert ("builtins.ValueError", LONGEST_MESSAGE, LONGEST_TRACEBACK) == (
        long.type,
        len(long.message),
        len(long.traceback),
    )
    assert (10_000, 4_000) == (LONGEST_MESSAGE, LONGEST_TRACEBACK)
    assert long.traceback.endswith("xxx\n")
    assert "a\\udc00b" == record_error(ValueError("a\udc00b")).message
    unprintable = record_error(Unprintable())
    assert "(its text cannot be had: RuntimeError('no words'))" == unprintable.message
    assert f"{__name__}.Unprintable" == unprintable.type
    assert record_error(ValueError("plain")).traceback == "ValueError: plain\n"


def test_a_probes_answers_are_one_each() -> None:
    """Also after a pickle, and they say what they are."""
    for name, answer in (("NOT_DONE", NOT_DONE), ("IN_DOUBT", IN_DOUBT)):
        assert name == repr(answer)
        assert pickle.loads(pickle.dumps(answer)) is answer
