"""Law 3: a doubt outlives later attempts: an ordinary exception of a later attempt does not settle a doubt.

- Only a return, a probe, `PermanentFailure`, a decision, or an answer within the grace period settles a doubt.
- The engine asks the `probe` first. `Done(result)`: done. `NOT_DONE`: call again if the budget allows, else failed.
- `IN_DOUBT`, an exception, or no probe: the policy `in_doubt=` decides: block, call again, or go back.
- The fifth process death in a row in one step blocks the instance. A process death uses no attempt.
- A step with `effect=False` is never in doubt.

A process that dies in an action or a probe is in `tests/exams/crash/test_crash_table.py`, and an answer within the grace period in law 16.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from sagafsm import DefinitionError, OutcomeUnknown, Retry, Saga
from sagafsm.core import observe
from sagafsm.history import events as e
from sagafsm.store import Store
from sagafsm_adapters.memory import MemoryStore
from support.controls import quick
from support.lived import check_singles, inject, lived, lives
from support.lives import ROOT, Life
from support.messages import message_of
from support.mortality import die
from support.orders import bench_of, raising, ran
from support.plans import seeded
from support.services import STEADY

BACK_A = ["CompensationStarted a 1", "CompensationSucceeded a 1", "InstanceFailed"]


def test_a_later_refusal_does_not_settle_an_earlier_doubt(way: str, memory: Store) -> None:
    """Each refused retry records that the doubt of the earlier attempt is still open."""
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
def test_a_return_or_a_permanent_failure_of_a_later_attempt_settles_a_doubt(
    last: str, settled: str, way: str, memory: Store
) -> None:
    """A return settles the doubt, and so does `PermanentFailure`."""
    _, service, events = ran(memory, way, {"a": ["lost", last]}, retry=STEADY, in_doubt="retry")
    assert ["a 1", "a 2 in doubt"] == service.calls
    assert settled == events[3]


def test_attempts_used_up_with_the_doubt_open_ask_the_probe_then_a_person(way: str, memory: Store) -> None:
    """The engine asks the probe after each attempt. After the last attempt the instance blocks, as under "ask"."""
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
    """`("retry", "compensate")` calls again, and goes back when attempts are used up."""
    bench, service, events = ran(memory, way, {"a": ["lost"] * 3}, retry=STEADY, in_doubt=("retry", "compensate"))
    assert ["a 1", "a 2 in doubt", "a 3 in doubt", "undo a 1 of None in doubt"] == service.calls
    assert ["StepInDoubt a 3 outcome_unknown", "CauseRecorded doubt a", *BACK_A] == events[-5:]
    assert bench.get().compensated
    assert {} == service.effects


def test_compensate_undoes_in_its_place_in_the_order(way: str, memory: Store) -> None:
    """`"compensate"` goes back: the step is undone in its place in the order, with `result=None`."""
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
    """The answer of the probe decides. `NOT_DONE` with no attempt left means that the step has failed."""
    _, service, told = ran(memory, way, {"a": ["lost"], "probe a": [said]}, probe=True)
    assert ["a 1", "probe a 1 in doubt"] == service.calls
    assert ["StepStarted a 1", "StepInDoubt a 1 outcome_unknown", *events] == told


def test_the_result_of_a_probe_is_the_result_of_the_step(way: str, memory: Store) -> None:
    """Later steps and the compensation get the result of `Done(result)`."""
    bench, service, _ = ran(memory, way, {"a": ["lost"], "probe a": ["done"], "b": ["fail"]}, a={"probe": True}, b={})
    assert {"a": "a?"} == bench.get().results
    assert ["a 1", "probe a 1 in doubt", "b 1", "undo a 1 of a?"] == service.calls


def test_not_done_leaves_the_attempts_that_are_left(way: str, memory: Store) -> None:
    """After `NOT_DONE` the step is called again, as long as the retry budget allows."""
    script = {"a": ["unknown", "unknown", "ok"]}
    bench, service, events = ran(memory, way, script, probe=True, retry=STEADY, in_doubt="retry")
    assert ["a 1", "probe a 1 in doubt", "a 2", "probe a 2 in doubt", "a 3"] == service.calls
    assert ["StepFailed a 1 by probe again", "StepStarted a 2"] == events[2:4]
    assert "completed" == bench.get().state
    assert 20.0 == bench.clock.seconds


def test_a_step_without_effect_is_never_in_doubt(way: str, memory: Store) -> None:
    """A lost answer of a step with `effect=False` is a failure: it is retried, and leaves no residue."""
    bench, service, events = ran(memory, way, {"a": ["lost", "unknown"]}, effect=False, undo=False, retry=STEADY)
    assert ["a 1", "a 2", "a 3"] == service.calls
    assert ["StepFailed a 1 again", "StepStarted a 2", "StepFailed a 2 again", "StepStarted a 3"] == events[1:5]
    assert "completed" == bench.get().state


@pytest.mark.parametrize(
    "options",
    [{"in_doubt": "retry"}, {"in_doubt": ("retry", "compensate")}, {"probe": True}, {"effect": False, "undo": False}],
    ids=str,
)
def test_the_fifth_process_death_in_a_row_blocks(options: dict[str, Any], way: str, memory: Store) -> None:
    """A process death uses no attempt. After the fifth in a row, only an operator's retry calls the action again."""
    bench, service = bench_of(memory, way, {"a": ["die before"] * 5}, a=options)
    called: list[str] = []
    die(bench, service, "", "run", bench.saga, "mug", id="o-1", calls=called)
    for _ in range(4):
        die(bench, service, "", "recover", calls=called)
    assert {} == bench.ask("recover").errors
    assert ["crash_loop"] == [block.reason for block in bench.get().blocked]
    assert [f"a {n}" for n in range(1, 6)] == [call.removesuffix(" in doubt") for call in called if call[0] == "a"]
    assert [] == [call for call in service.calls if call[0] == "a"]
    assert "completed" == bench.ask("retry", "o-1").state
    assert "a 6" == [call.removesuffix(" in doubt") for call in service.calls if call[0] == "a"][-1]


# Definitions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["compensate", ("retry", "compensate")])
def test_a_policy_that_undoes_needs_a_compensation(policy: Any) -> None:
    """The definition is refused until the step has a compensation."""
    saga = Saga("order")
    step = saga.add_step("charge", lambda: None, in_doubt=policy)
    expected = f"step 'charge' has in_doubt={policy!r} but no compensation (give it one, or another policy)"
    assert expected == message_of(DefinitionError, lambda: saga.definition)
    assert expected == message_of(DefinitionError, lambda: saga.run(None))
    step.compensation(lambda: None)
    assert saga.definition.steps[0].compensation is not None


@pytest.mark.parametrize("kind", [TimeoutError, ConnectionError, BrokenPipeError, OutcomeUnknown, LookupError])
def test_retrying_on_a_doubt_needs_the_policy(kind: type[Exception]) -> None:
    """`Retry(on=...)` with a type that leaves a doubt is refused without `"retry"`, on a step or for a whole saga."""
    expected = (
        f"step 'charge' retries on {kind.__qualname__}, which leaves it in doubt "
        "(say in_doubt='retry' if the action is idempotent under its key)"
    )
    retry = Retry(3, on=(ValueError, kind))

    def define(policy: Any, **options: Any) -> None:
        saga = Saga("order", unknown_on=[LookupError], in_doubt=policy, **options)
        saga.add_step("charge", lambda: None, lambda: None, **({} if options else {"retry": retry}))

    for policy in ("ask", "compensate"):
        assert expected == message_of(DefinitionError, lambda policy=policy: define(policy))
        assert expected == message_of(DefinitionError, lambda policy=policy: define(policy, retry=retry))
    for policy in ("retry", ("retry", "compensate")):
        define(policy)


def test_retrying_on_any_exception_needs_no_policy() -> None:
    """`Exception` and `OSError` name no doubt in particular, and a refused connection was never sent."""
    retry = Retry(3, on=(Exception, OSError, ConnectionRefusedError, LookupError))
    Saga("order").add_step("charge", lambda: None, retry=retry)


# Any saga -------------------------------------------------------------------------------------------------------------


def check_doubts(life: Life) -> None:
    """Check that evidence alone settles each doubt, and that only a policy or an operator calls again in doubt."""
    open: set[str] = set()
    ordered: set[str] = set()
    for id, event in life.ledger.entries:
        path = f"{id}/{getattr(event, 'step', None)}".removeprefix(f"{ROOT}/")
        match event:
            case e.StepInDoubt():
                plan = life.world.steps[path]
                assert plan.child is None, f"nested saga {path} is in doubt"
                assert plan.effect, f"{path} has no effect, but is in doubt"
                open.add(path)
            case e.StepFailed() if path in open:
                assert event.evidence == "probe" or event.error.type.endswith("PermanentFailure"), f"{event} settles"
                open.remove(path)
            case e.StepStarted() if path in open:
                assert "retry" in life.world.steps[path].in_doubt or path in ordered, f"{path} is called blindly"
            case e.StepSucceeded() | e.ResultRefused():
                open.discard(path)
            case e.DecisionMade(decision="retry"):
                ordered.add(path)
            case e.DecisionMade():
                open.discard(path)


@quick(30)
@given(life=lives())
def test_any_doubt_is_settled_by_evidence(life: Life) -> None:
    """With groups, nested sagas and process deaths: no failure of a later attempt, and no blind call."""
    check_doubts(lived(life))


# Positive controls ----------------------------------------------------------------------------------------------------


def test_a_doubt_that_is_called_again_is_noticed(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core treats each policy as `"retry"`."""
    inject(monkeypatch, "a_doubt_is_called_again")
    with pytest.raises(AssertionError):
        test_compensate_undoes_in_its_place_in_the_order("sync", memory)
    with pytest.raises(AssertionError, match="is called blindly"):
        check_singles(check_doubts)


def test_a_later_refusal_that_settles_is_noticed(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core forgets that an earlier attempt left a doubt."""
    doubt = observe._find_doubt_reason
    monkeypatch.setattr(
        observe, "_find_doubt_reason", lambda *call: None if doubt(*call) == "earlier_attempt" else doubt(*call)
    )
    with pytest.raises(AssertionError):
        test_a_later_refusal_does_not_settle_an_earlier_doubt("sync", memory)
    plans = [(plan, step) for plan in map(seeded, range(20)) for step in plan.leaves()]
    lost_then_refused = [
        Life(MemoryStore(), plan, {step.path: ("lost", "fail")})
        for plan, step in plans
        if step.attempts > 1 and "retry" in step.in_doubt
    ]
    with pytest.raises(AssertionError, match="settles"):
        _ = [check_doubts(lived(life)) for life in lost_then_refused]
