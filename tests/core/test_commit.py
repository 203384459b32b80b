"""The facts of one commit: numbered on, dated, moved along the table, and the last one says how the instance is left."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from sagafsm import Saga, SagaError
from sagafsm.core.commands import Park, Rest, RunAction, WaitForCalls, WaitForSignal
from sagafsm.core.commit import DEADLINE_REQUEST_ID, Commit, build_first_commit
from sagafsm.definition.definition import Definition
from sagafsm.history import events as e
from support.facts import LATER, NOON, REFUSED, done, doubted, failed, history, started, told
from support.messages import message_of

NOW = NOON + timedelta(minutes=5)
SOON = NOW + timedelta(minutes=1)
SIGNAL = e.SignalReceived(request_id="s-1", name="b", payload_json="1")
CANCEL = e.CancelRequested(request_id="r-1", by="eve", reason="late")
RUNNING = started(state="running:a")


def plain(result: Any) -> None:
    """Undo nothing."""


def defined(*, wait: bool = False, deadline: timedelta | None = None, **options: Any) -> Definition:
    saga = Saga("order", version=3, deadline=deadline)
    saga.add_step("a", lambda: None, plain, **options)
    if wait:
        saga.wait_for("b", timeout=timedelta(hours=2))
    else:
        saga.add_step("b", lambda: None, plain)
    return saga.definition


PLAIN = defined()


def batch(*facts: e.Event, definition: Definition | None = PLAIN, under_way: frozenset[str] = frozenset()) -> Commit:
    return Commit(definition, told(*facts, steps=PLAIN.outline), NOW, under_way)


def names(grown: Commit) -> list[str]:
    return [f"{event.number} {event}{f' to {event.state}' if event.state else ''}" for event in grown.events]


def test_facts_are_numbered_on_dated_and_moved() -> None:
    """Each leads where the table says, and the instance is there at once; the one before stays as it was."""
    grown = batch(RUNNING)
    grown.record((done(), started("b")))
    assert ["3 StepSucceeded a to running:b", "4 StepStarted b"] == names(grown)
    assert {NOW} == {event.at for event in grown.events}
    assert ("running:b", 4, tuple(grown.events)) == (
        grown.instance.state,
        len(grown.instance.history),
        grown.instance.history[2:],
    )
    assert ["running:b", "running:b"] == [instance.state for instance in grown.instances]
    assert [3, 4] == [len(instance.history) for instance in grown.instances]
    assert grown.instance == grown.instances[-1]


def test_facts_that_need_no_definition_are_recorded_without_one() -> None:
    """What follows from them is not decided."""
    grown = batch(RUNNING, definition=None)
    grown.absorb((CANCEL, SIGNAL))
    assert ["3 CancelRequested", "4 SignalReceived b"] == names(grown)
    expected = "what follows for instance 'o-1' cannot be decided without its definition"
    assert expected == message_of(SagaError, grown.proceed)


def test_a_cancel_is_taken_with_the_mail() -> None:
    """It is the cause in the same commit, unless it waits for a pivot."""
    grown = batch(RUNNING, under_way=frozenset("a"))
    grown.absorb((SIGNAL, CANCEL))
    assert ["3 SignalReceived b", "4 CancelRequested", "5 CauseRecorded cancel"] == names(grown)
    pivot = Saga("order")
    pivot.add_step("a", lambda: None, pivot=True)
    pivot.add_step("b", lambda: None)
    waits = Commit(pivot.definition, told(RUNNING, steps=pivot.definition.outline), NOW, {"a"})
    waits.absorb((CANCEL,))
    assert ["3 CancelRequested"] == names(waits)


def test_a_parents_decision_is_taken_or_comes_too_late() -> None:
    """What it was about may have ended since."""
    blocked = e.InstanceBlocked(step="a", reason="in_doubt", decisions=("retry",))
    retry = e.DecisionMade(decision="retry", step="a", by="eve", request_id="d-1")
    taken, late = batch(RUNNING, doubted(), blocked), batch(RUNNING)
    taken.absorb((retry,))
    late.absorb((retry,))
    assert (["DecisionMade"], ["DecisionCameTooLate"]) == (
        [str(event) for event in taken.events],
        [str(event) for event in late.events],
    )


def born(
    definition: Definition, *, now: datetime = NOON, begin: bool = False, deadline: datetime | None = None, **more: Any
) -> Commit:
    return build_first_commit(
        definition, "o-1", '"mug"', now=now, begin=begin, deadline=deadline, has_limits=True, **more
    )[0]


def test_a_passed_deadline_is_a_cancel_once() -> None:
    """By the clock, from its moment on, while there is something to cancel."""
    instance = born(PLAIN, deadline=NOW).instance
    reason = f"deadline {NOW.isoformat()} has passed"
    for now, expected in ((NOW - timedelta(seconds=1), []), (NOW, [reason]), (LATER, [reason])):
        grown = Commit(PLAIN, instance, now)
        grown.absorb(())
        assert expected == [event.reason for event in grown.events if isinstance(event, e.CancelRequested)]
    assert ["2 CancelRequested", "3 CauseRecorded cancel"] == names(grown)
    first = grown.events[0]
    assert (DEADLINE_REQUEST_ID, "deadline", "clock", LATER) == (first.request_id, "deadline", first.by, first.at)
    again = Commit(PLAIN, grown.instance, LATER)
    again.absorb(())
    assert [] == again.events
    pivot = Saga("order")
    pivot.add_step("a", lambda: None, pivot=True)
    waiting = Commit(pivot.definition, born(pivot.definition, deadline=NOW).instance, NOON)
    waiting.record((RUNNING,))
    late = Commit(pivot.definition, waiting.instance, LATER, {"a"})
    late.absorb(())
    late.absorb(())
    assert ["3 CancelRequested"] == names(late)
    failed_before = Commit(PLAIN, instance, NOON)
    failed_before.record((e.CauseRecorded(kind="failure", step="a"), e.InstanceFailed(state="failed")))
    ended = Commit(PLAIN, failed_before.instance, LATER)
    ended.absorb(())
    assert [] == ended.events


def test_what_follows_is_added_up_to_the_calls_that_may_start() -> None:
    """An end ends it; a call is written ahead and under way; without `start`, or past the limit, none is."""
    ended = batch(RUNNING, done(state="running:b"), started("b"))
    ended.record((done("b"),))
    todo = ended.proceed()
    assert ((), Rest()) == tuple(todo)
    assert ["5 StepSucceeded b", "6 InstanceCompleted to completed"] == names(ended)
    for options in ({"start": False}, {"limit": 0}, {"admits": lambda _: False}):
        held = batch(RUNNING)
        held.record((done(),))
        todo = held.proceed(**options)
        assert ((), RunAction, ["3 StepSucceeded a to running:b"]) == (todo.runs, type(todo.command), names(held))
    begun = batch(RUNNING)
    begun.record((done(),))
    todo = begun.proceed(limit=1)
    assert (["b"], WaitForCalls(), {"b"}) == ([run.step for run in todo.runs], todo.command, set(begun.under_way))
    assert ["3 StepSucceeded a to running:b", "4 StepStarted b"] == names(begun)


def test_a_group_starts_up_to_the_limit() -> None:
    """The first calls, in order of definition."""
    saga = Saga("order")
    for name in "abc":
        saga.add_step(name, lambda: None, plain, group="both")
    definition = saga.definition
    for limit, expected in ((None, "abc"), (1, "a"), (2, "ab"), (3, "abc")):
        grown = born(definition)
        todo = grown.proceed(limit=limit)
        assert list(expected) == [run.step for run in todo.runs]
        assert (limit in (None, 3)) == (todo.command == WaitForCalls())


def left(grown: Commit) -> tuple[datetime | None, bool]:
    last = grown.events[-1]
    assert (last.wake_at, last.waiting) == (grown.instance.wake_at, grown.instance.waiting)
    assert grown.events[-1] == grown.instance.history[-1]
    return last.wake_at, last.waiting


def test_the_last_fact_says_until_when_it_sleeps() -> None:
    """A backoff; the deadline where that is earlier; nothing while a call is under way, or when the time has come."""
    asleep = batch(RUNNING)
    asleep.record((failed(retry_at=SOON),))
    assert SOON == asleep.proceed().command.not_before
    assert (SOON, False) == left(asleep)
    for deadline, expected in ((LATER, SOON), (NOW + timedelta(seconds=1), NOW + timedelta(seconds=1)), (NOW, SOON)):
        instance = born(PLAIN, deadline=deadline).instance
        grown = Commit(PLAIN, instance, NOW)
        grown.record((RUNNING, failed(retry_at=SOON)))
        grown.proceed()
        assert (expected, False) == left(grown)
    due = batch(RUNNING)
    due.record((failed(retry_at=NOW),))
    assert ["a"] == [run.step for run in due.proceed().runs]
    held = batch(RUNNING)
    held.record((failed(retry_at=NOW),))
    held.proceed(start=False)
    assert (None, False) == left(held)


def test_the_last_fact_says_that_it_waits() -> None:
    """For a signal, until the timeout; blocked, it waits for a person, which is no waiting."""
    definition = defined(wait=True)
    grown = Commit(definition, told(RUNNING, steps=definition.outline), NOW)
    grown.record((done(),))
    todo = grown.proceed()
    assert isinstance(todo.command, WaitForSignal)
    assert (NOW + timedelta(hours=2), True) == left(grown)
    assert ["3 StepSucceeded a to running:b", "4 WaitStarted b"] == names(grown)
    unheard = Commit(definition, grown.instance, NOW + timedelta(hours=2))
    unheard.proceed(start=False)
    assert "5 StepFailed b" == names(unheard)[0]
    blocked = batch(RUNNING)
    blocked.record((doubted(error=REFUSED),))
    assert (Park(), (None, False)) == (blocked.proceed().command, left(blocked))
    assert ["3 StepInDoubt a", "4 InstanceBlocked a"] == names(blocked)


def test_mail_does_not_say_how_it_is_left() -> None:
    """The last fact that moves does, though mail was read after it."""
    definition = defined(wait=True)
    other = e.SignalReceived(request_id="s-2", name="c", payload_json="1")
    grown = Commit(definition, told(RUNNING, steps=definition.outline), NOW)
    grown.record((done(), e.WaitStarted(step="b", timeout=60.0), other))
    grown.proceed()
    assert [(None, False), (SOON, True), (None, False)] == [(event.wake_at, event.waiting) for event in grown.events]
    assert (SOON, True) == (grown.instance.wake_at, grown.instance.waiting)
    assert tuple(grown.events) == grown.instance.history[2:]


# Creation -------------------------------------------------------------------------------------------------------------


def test_a_creation_fixes_what_the_instance_is_of() -> None:
    """Saga, version, fingerprint, input and steps; it begins with the mail that came before it."""
    grown = born(PLAIN, mail=(SIGNAL,))
    creation = e.InstanceCreated(
        number=1,
        at=NOON,
        state="pending",
        id="o-1",
        saga="order",
        version=3,
        fingerprint=PLAIN.fingerprint,
        input_json='"mug"',
        steps=PLAIN.outline,
    )
    assert creation == grown.events[0]
    assert ["1 InstanceCreated to pending", "2 SignalReceived b"] == names(grown)
    assert {NOON} == {event.at for event in grown.events}
    assert [1, 2] == [len(instance.history) for instance in grown.instances]
    assert tuple(grown.events) == grown.instance.history
    assert history(steps=PLAIN.outline)[0].input == creation.input


@pytest.mark.parametrize("parents", [None, NOON + timedelta(minutes=1), LATER])
@pytest.mark.parametrize("own", [None, timedelta(minutes=2)])
def test_the_earlier_deadline_counts(own: timedelta | None, parents: datetime | None) -> None:
    """The saga's own, counted from creation, or its parent's."""
    ends = [] if own is None else [NOON + own]
    ends += [] if parents is None else [parents]
    assert min(ends, default=None) == born(defined(deadline=own), deadline=parents).instance.deadline


def test_an_instance_begins_in_the_commit_that_creates_it() -> None:
    """Its first calls are written ahead; but a limited call waits for its turn, and a mere start begins nothing."""
    grown, todo = build_first_commit(PLAIN, "o-1", '"mug"', now=NOON, begin=True, has_limits=True)
    assert ["1 InstanceCreated to pending", "2 StepStarted a to running:a"] == names(grown)
    assert ["a"] == [run.step for run in todo.runs]
    assert build_first_commit(PLAIN, "o-1", '"mug"', now=NOON, begin=False, has_limits=True)[1] is None
    limited, todo = build_first_commit(
        defined(max_concurrency=1), "o-1", '"mug"', now=NOON, begin=True, has_limits=True
    )
    assert (["1 InstanceCreated to pending"], ()) == (names(limited), todo.runs)
