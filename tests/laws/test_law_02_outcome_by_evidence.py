"""Law 2, outcome by evidence: the evidence of the call decides: done, failed or in doubt.

- Returned: done. Raised any other `Exception`: failed, with nothing to undo for this step.
- In doubt: the exception, or one in its cause chain, context chain or group, is `OutcomeUnknown` or a network error.
- An exception that the caller was already handling is no evidence about the call.
- `PermanentFailure`: failed, never retried. From a compensation it ends the retries and blocks at once.

`tests/definition/test_unknown_outcome.py` has the table of network errors, each raised by its own library. A call that
times out is in law 16, and a process that dies in `tests/exams/crash/test_crash_table.py`.
"""

from __future__ import annotations

import concurrent.futures
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import Orchestrator, OutcomeUnknown, PermanentFailure, Saga
from sagafsm.store import Store
from support.bench import Bench, lines
from support.controls import quick
from support.lived import inject
from support.orders import raising, ran
from support.services import STEADY

DONE = ["StepStarted a 1", "StepSucceeded a 1", "InstanceCompleted"]
FAILED = ["StepStarted a 1", "StepFailed a 1", "CauseRecorded failure a", "InstanceFailed"]
IN_DOUBT = ["StepStarted a 1", "StepInDoubt a 1 outcome_unknown", "InstanceBlocked a in_doubt"]


def chained(error: Exception, *, cause: Exception | None = None, context: Exception | None = None) -> Any:
    def act() -> None:
        try:
            if context is not None:
                raise context
        except Exception:
            raise error  # noqa: B904 - the context is the point
        raise error from cause

    return act


def test_a_call_that_returned_is_done(way: str, store: Store) -> None:
    """The result is recorded."""
    bench, service, events = ran(store, way, {})
    assert DONE == events
    assert {"a": "a!"} == bench.get().results
    assert ["a 1"] == service.calls


def test_a_call_that_raised_has_failed(way: str, store: Store) -> None:
    """The step left no effect, so no compensation of this step is called, and the instance counts as compensated."""
    bench, service, events = ran(store, way, {"a": ["fail"]})
    assert FAILED == events
    assert ["a 1"] == service.calls
    instance = bench.get()
    assert instance.compensated
    assert "step 'a' failed: Refused: refused" == str(instance.cause)
    assert ["Refused: refused"] == [str(error) for error in instance.errors]
    assert "support.services.Refused" == instance.error.type


@pytest.mark.parametrize(
    "act",
    [
        raising(OutcomeUnknown("no answer")),
        raising(TimeoutError("read timed out")),
        raising(ConnectionResetError("reset by peer")),
        chained(ValueError("wrapped"), cause=ConnectionResetError("reset")),
        chained(ValueError("wrapped"), context=OutcomeUnknown("no answer")),
        chained(ConnectionRefusedError("refused"), context=TimeoutError("read timed out")),
        raising(ExceptionGroup("several", [ValueError("one"), TimeoutError("two")])),
    ],
    ids=["OutcomeUnknown", "TimeoutError", "ConnectionError", "cause", "context", "exempts only itself", "group"],
)
def test_a_lost_answer_is_in_doubt(act: Any, way: str, memory: Store) -> None:
    """The error itself, its cause, its context or a member of its group may be the lost answer."""
    bench, service, events = ran(memory, way, {"a": [act]})
    assert IN_DOUBT == events
    assert ["a 1"] == service.calls
    assert [("a", "in_doubt")] == [(block.step, block.reason) for block in bench.get().blocked]


@pytest.mark.parametrize(
    "act",
    [
        raising(ConnectionRefusedError("refused")),
        raising(PermanentFailure("never")),
        raising(ValueError("no")),
        raising(concurrent.futures.CancelledError()),
        chained(PermanentFailure("asked: it was not done"), context=TimeoutError()),
    ],
    ids=["never sent", "PermanentFailure", "any other", "CancelledError", "PermanentFailure settles"],
)
@pytest.mark.parametrize("timeout", [None, timedelta(seconds=5)])
def test_a_definite_error_is_a_failure(act: Any, timeout: timedelta | None, way: str, memory: Store) -> None:
    """A request that was never sent, and each exception without a lost answer, also on a thread of its own."""
    _, _, events = ran(memory, way, {"a": [act]}, timeout=timeout)
    assert FAILED == events


@pytest.mark.parametrize("timeout", [None, timedelta(seconds=5)])
def test_a_stop_iteration_of_a_sync_action_is_a_failure(timeout: timedelta | None, way: str, memory: Store) -> None:
    """Generators and futures give `StopIteration` a meaning of their own. Here it is an exception like any other."""
    saga = Saga("order")
    saga.add_step("a", raising(StopIteration()), timeout=timeout)
    assert FAILED == lines(Bench(memory, saga, way).run().history)[1:]


def test_an_error_that_the_caller_was_handling_is_no_evidence(way: str, memory: Store) -> None:
    """Python puts the error of the caller into the context chain, but the lost answer was of another call."""
    try:
        raise ConnectionResetError("another call")
    except ConnectionResetError:
        _, _, events = ran(memory, way, {"a": ["fail"]})
    assert FAILED == events


def test_unknown_on_adds_exceptions_that_leave_a_doubt(way: str, memory: Store) -> None:
    """The listed exceptions and their subclasses leave a doubt, beside the network errors."""
    for error, state in ((KeyError("gone"), "running:a"), (TimeoutError(), "running:a"), (ValueError("no"), "failed")):
        saga = Saga("order", unknown_on=[LookupError])
        saga.add_step("a", raising(error), lambda result: None)
        assert state == Bench(memory, saga, way).run(id=f"o-{type(error).__name__}").state


def test_a_permanent_failure_is_not_retried(way: str, memory: Store) -> None:
    """`PermanentFailure` ends the retries."""
    _, service, events = ran(memory, way, {"a": ["fail", "permanent"]}, retry=STEADY)
    assert ["a 1", "a 2"] == service.calls
    assert ["StepFailed a 1 again", "StepStarted a 2", "StepFailed a 2", "CauseRecorded failure a"] == events[1:5]


def test_a_permanent_failure_of_a_compensation_blocks_at_once(way: str, memory: Store) -> None:
    """An operator decides, although the compensation has attempts left."""
    script = {"b": ["fail"], "undo a": ["permanent"]}
    bench, service, events = ran(memory, way, script, a={"compensation_retry": STEADY}, b={})
    assert ["a 1", "b 1", "undo a 1 of a!"] == service.calls
    assert ["CompensationFailed a 1", "InstanceBlocked a compensation_failed"] == events[-2:]
    assert ("retry", "resolve(undone)", "skip", "abandon") == bench.get().blocked[0].decisions


# Any error ------------------------------------------------------------------------------------------------------------


@st.composite
def chains(draw: st.DrawFn, ends: list[Exception], depth: int = 4) -> Exception:
    """Draw errors linked in every way, all of them definite; `ends` collects those without a cause."""
    error: Exception = draw(st.sampled_from([ValueError, KeyError, OSError]))("definite")
    link = draw(st.sampled_from(["end", "cause", "context", "group"])) if depth else "end"
    if link == "cause":
        error.__cause__ = draw(chains(ends, depth - 1))
        return error
    if link == "context":
        error.__context__ = draw(chains(ends, depth - 1))
        error.__suppress_context__ = draw(st.booleans())
    elif link == "group":
        error = ExceptionGroup("several", [draw(chains(ends, depth - 1)) for _ in range(draw(st.integers(1, 3)))])
    ends.append(error)
    return error


def check_chain(error: Exception, end: Exception) -> None:
    """Check that the error is a failure, and a doubt as soon as a lost answer is the cause of one of its parts."""
    saga = Saga("order")
    saga.add_step("a", raising(error), lambda result: None)
    with Orchestrator("memory://") as orchestrator:
        assert FAILED == lines(orchestrator.run(saga, None).history)[1:]
        end.__cause__ = TimeoutError()
        assert IN_DOUBT == lines(orchestrator.run(saga, None).history)[1:]


@quick(30)
@given(data=st.data())
def test_any_lost_answer_anywhere_in_a_chain_is_a_doubt(data: st.DataObject) -> None:
    """At any depth and by any link: cause, context, `from None`, or member of a group. Without one: never."""
    ends: list[Exception] = []
    error = data.draw(chains(ends))
    check_chain(error, data.draw(st.sampled_from(ends)))


# Positive controls ----------------------------------------------------------------------------------------------------


def test_a_doubt_that_is_taken_as_a_failure_is_noticed(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core ignores each lost answer."""
    inject(monkeypatch, "a_doubt_is_taken_as_a_failure")
    with pytest.raises(AssertionError):
        test_a_lost_answer_is_in_doubt(raising(TimeoutError()), "sync", memory)
    with pytest.raises(AssertionError):
        check_chain(error := ValueError(), error)


def test_a_failure_that_is_taken_as_a_doubt_is_noticed(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core takes each exception for a lost answer."""
    monkeypatch.setattr("sagafsm.core.observe.is_outcome_unknown", lambda *_, **__: True)
    with pytest.raises(AssertionError):
        test_a_call_that_raised_has_failed("sync", memory)
    with pytest.raises(AssertionError):
        check_chain(error := ValueError(), error)
