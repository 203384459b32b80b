"""Laws 2 and 3: an outcome goes by evidence, and a doubt outlives later attempts until something settles it."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm import OutcomeUnknown, PermanentFailure
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.mortality import die
from support.services import STEADY, Service, saga_of

BACK_A = ["CompensationStarted a 1", "CompensationSucceeded a 1", "InstanceFailed"]


def ran(store: Store, way: str, script: dict[str, list[Any]], **steps: Any) -> tuple[Bench, Service, list[str]]:
    """A saga of the step `a` with these options, or of these steps, after a run; its events but for the creation."""
    steps = steps if any(isinstance(value, dict) for value in steps.values()) else {"a": steps}
    service = Service(script=script)
    bench = Bench(store, saga_of(service, is_async=is_async(way), **steps), way)
    bench.run()
    service.check_keys()
    return bench, service, lines(store.history("o-1"))[1:]


def raising(error: BaseException) -> Any:
    def act() -> None:
        raise error

    return act


def chained(error: Exception, *, cause: Exception | None = None, context: Exception | None = None) -> Any:
    def act() -> None:
        try:
            if context is not None:
                raise context
        except Exception:
            raise error  # noqa: B904 - the context is the point
        raise error from cause

    return act


def test_what_returned_is_done(way: str, memory: Store) -> None:
    """Law 2: returned: done, with its result."""
    bench, service, events = ran(memory, way, {})
    assert ["StepStarted a 1", "StepSucceeded a 1", "InstanceCompleted"] == events
    assert {"a": "a!"} == bench.get().results
    assert ["a 1"] == service.calls


def test_what_raised_left_nothing(way: str, memory: Store) -> None:
    """Law 2: raised: failed, nothing to undo for this step (the classic rule)."""
    bench, service, events = ran(memory, way, {"a": ["fail"]})
    assert ["StepStarted a 1", "StepFailed a 1", "CauseRecorded failure a", "InstanceFailed"] == events
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
def test_what_may_have_left_is_in_doubt(act: Any, way: str, memory: Store) -> None:
    """Law 2: OutcomeUnknown or a network error, itself or in its cause or context chain: in doubt."""
    bench, service, events = ran(memory, way, {"a": [act]})
    assert ["StepStarted a 1", "StepInDoubt a 1 outcome_unknown", "InstanceBlocked a in_doubt"] == events
    assert ["a 1"] == service.calls
    assert (("a", "in_doubt"),) == tuple((block.step, block.reason) for block in bench.get().blocked)


@pytest.mark.parametrize("error", [ConnectionRefusedError("refused"), PermanentFailure("never"), ValueError("no")])
def test_what_never_left_has_failed(error: Exception, way: str, memory: Store) -> None:
    """Law 2: what never left, and what says that it is not done, is a definite failure."""
    _, _, events = ran(memory, way, {"a": [raising(error)]})
    assert ["StepStarted a 1", "StepFailed a 1", "CauseRecorded failure a", "InstanceFailed"] == events


def test_a_permanent_failure_is_not_retried(way: str, memory: Store) -> None:
    """Law 2: `PermanentFailure` ends the retries."""
    _, service, events = ran(memory, way, {"a": ["fail", "permanent"]}, retry=STEADY)
    assert ["a 1", "a 2"] == service.calls
    assert ["StepFailed a 1 again", "StepStarted a 2", "StepFailed a 2", "CauseRecorded failure a"] == events[1:5]


def test_a_permanent_failure_of_a_compensation_blocks_at_once(way: str, memory: Store) -> None:
    """Law 2: from a compensation it ends its retries and blocks at once."""
    script = {"b": ["fail"], "undo a": ["permanent"]}
    bench, service, events = ran(memory, way, script, a={"compensation_retry": STEADY}, b={})
    assert ["a 1", "b 1", "undo a 1 of a!"] == service.calls
    assert ["CompensationFailed a 1", "InstanceBlocked a compensation_failed"] == events[-2:]
    assert ("retry", "resolve(undone)", "skip", "abandon") == bench.get().blocked[0].decisions


def test_a_later_refusal_does_not_settle_an_earlier_doubt(way: str, memory: Store) -> None:
    """Law 3: an ordinary exception of a later attempt does not settle the doubt of an earlier one."""
    bench, service, events = ran(memory, way, {"a": ["lost", "fail", "fail"]}, retry=STEADY, in_doubt="retry")
    assert ["a 1", "a 2 in doubt", "a 3 in doubt"] == service.calls
    assert [
        "StepStarted a 1",
        "StepInDoubt a 1 outcome_unknown again",
        "StepStarted a 2",
        "StepInDoubt a 2 earlier_attempt again",
        "StepStarted a 3",
        "StepInDoubt a 3 earlier_attempt",
        "InstanceBlocked a in_doubt",
    ] == events
    assert 20.0 == bench.clock.seconds


@pytest.mark.parametrize(
    ("last", "settled"), [("ok", "StepSucceeded a 2"), ("permanent", "StepFailed a 2")], ids=["return", "permanent"]
)
def test_what_settles_a_doubt_in_a_later_attempt(last: str, settled: str, way: str, memory: Store) -> None:
    """Law 3: a return settles it, and so does `PermanentFailure`."""
    _, service, events = ran(memory, way, {"a": ["lost", last]}, retry=STEADY, in_doubt="retry")
    assert ["a 1", "a 2 in doubt"] == service.calls
    assert settled == events[3]


def test_attempts_used_up_with_the_doubt_open_ask_the_probe_then_a_person(way: str, memory: Store) -> None:
    """Law 3: attempts used up with the doubt open: the probe, then as "ask"."""
    script = {"a": ["lost", "fail", "lost"], "probe a": ["doubt"] * 3}
    _, service, events = ran(memory, way, script, retry=STEADY, in_doubt="retry", probe=True)
    assert [
        "a 1",
        "probe a 1 in doubt",
        "a 2 in doubt",
        "probe a 2 in doubt",
        "a 3 in doubt",
        "probe a 3 in doubt",
    ] == service.calls
    assert ["StepInDoubt a 3 outcome_unknown", "StepInDoubt a 3 probe", "InstanceBlocked a in_doubt"] == events[-3:]


def test_retry_then_compensate_undoes_when_attempts_are_used_up(way: str, memory: Store) -> None:
    """Law 3: ("retry", "compensate") retries, and compensates when attempts are used up."""
    bench, service, events = ran(memory, way, {"a": ["lost"] * 3}, retry=STEADY, in_doubt=("retry", "compensate"))
    assert ["a 1", "a 2 in doubt", "a 3 in doubt", "undo a 1 of None in doubt"] == service.calls
    assert ["StepInDoubt a 3 outcome_unknown", "CauseRecorded doubt a", *BACK_A] == events[-5:]
    assert bench.get().compensated
    assert {} == service.effects


def test_compensate_undoes_in_its_place_in_the_order(way: str, memory: Store) -> None:
    """Law 3: "compensate" goes back: the step is undone in its place in the order, with result=None."""
    _, service, _ = ran(memory, way, {"b": ["lost"]}, a={}, b={"in_doubt": "compensate"}, c={})
    assert ["a 1", "b 1", "undo b 1 of None in doubt", "undo a 1 of a!"] == service.calls
    assert {} == service.effects


@pytest.mark.parametrize(
    ("said", "events"),
    [
        ("done", ["StepSucceeded a 1 by probe", "InstanceCompleted"]),
        ("not done", ["StepFailed a 1 by probe", "CauseRecorded failure a", "InstanceFailed"]),
        ("doubt", ["StepInDoubt a 1 probe", "InstanceBlocked a in_doubt"]),
        ("fail", ["StepInDoubt a 1 probe", "InstanceBlocked a in_doubt"]),
        (raising(TimeoutError()), ["StepInDoubt a 1 probe", "InstanceBlocked a in_doubt"]),
        ("set", ["StepInDoubt a 1 probe", "InstanceBlocked a in_doubt"]),
    ],
    ids=["Done", "NOT_DONE", "IN_DOUBT", "raises", "times out", "something else"],
)
def test_the_probe_is_asked_first(said: Any, events: list[str], way: str, memory: Store) -> None:
    """Law 3: what the probe says; after an attempt that left a doubt, NOT_DONE means that it has failed."""
    _, service, told = ran(memory, way, {"a": ["lost"], "probe a": [said]}, probe=True)
    assert ["a 1", "probe a 1 in doubt"] == service.calls
    assert ["StepStarted a 1", "StepInDoubt a 1 outcome_unknown", *events] == told


def test_what_the_probe_says_is_the_result(way: str, memory: Store) -> None:
    """Law 3: `Done(result)`: done, with that result, which later steps and the compensation get."""
    bench, service, _ = ran(memory, way, {"a": ["lost"], "probe a": ["done"], "b": ["fail"]}, a={"probe": True}, b={})
    assert {"a": "a?"} == bench.get().results
    assert ["a 1", "probe a 1 in doubt", "b 1", "undo a 1 of a?"] == service.calls


def test_not_done_leaves_the_attempts_that_are_left(way: str, memory: Store) -> None:
    """Law 3: NOT_DONE: that attempt has failed; its retries go on by the budget."""
    script = {"a": ["unknown", "unknown", "ok"]}
    bench, service, events = ran(memory, way, script, probe=True, retry=STEADY, in_doubt="retry")
    assert ["a 1", "probe a 1 in doubt", "a 2", "probe a 2 in doubt", "a 3"] == service.calls
    assert ["StepFailed a 1 by probe again", "StepStarted a 2"] == events[2:4]
    assert "completed" == bench.get().state
    assert 20.0 == bench.clock.seconds


def test_a_step_without_effect_is_never_in_doubt(way: str, memory: Store) -> None:
    """Law 3: `effect=False`: lost answers are failures, which are retried and leave nothing."""
    bench, service, events = ran(memory, way, {"a": ["lost", "unknown"]}, effect=False, undo=False, retry=STEADY)
    assert ["a 1", "a 2", "a 3"] == service.calls
    assert ["StepFailed a 1 again", "StepStarted a 2", "StepFailed a 2 again", "StepStarted a 3"] == events[1:5]
    assert "completed" == bench.get().state


@pytest.mark.parametrize(
    ("options", "blocked"),
    [
        ({"in_doubt": "retry"}, "crash_loop"),
        ({"in_doubt": ("retry", "compensate")}, "crash_loop"),
        ({"probe": True}, "crash_loop"),
        ({"effect": False, "undo": False}, "crash_loop"),
    ],
    ids=["retry", "retry, compensate", "probe", "no effect"],
)
def test_the_fifth_death_in_a_row_blocks(options: dict[str, Any], blocked: str, way: str, store: Store) -> None:
    """Law 3: a process death uses no attempt, but the fifth in a row in one step blocks it."""
    service = Service(script={"a": ["die before"] * 5})
    saga = saga_of(service, is_async=is_async(way), a=options)
    bench = Bench(store, saga, way)
    called: list[str] = []
    for turn in range(5):
        if turn == 0:
            die(bench, service, "", "run", saga, "mug", id="o-1", calls=called)
        else:
            die(bench, service, "", "recover", calls=called)
    assert {} == bench.ask("recover").errors
    assert [blocked] == [block.reason for block in bench.get().blocked]
    assert [f"a {n}" for n in range(1, 6)] == [call.removesuffix(" in doubt") for call in called if call[0] == "a"]
    assert [] == [call for call in service.calls if call[0] == "a"]
    # An operator's retry begins the count anew.
    assert "completed" == bench.ask("retry", "o-1").state
    assert "a 6" == [call.removesuffix(" in doubt") for call in service.calls if call[0] == "a"][-1]
