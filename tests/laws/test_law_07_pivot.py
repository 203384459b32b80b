"""Law 7, pivot: after the success of the pivot there is no way back.

- Later steps are retried by their own policy; used-up attempts block (`exhausted`).
- At most one pivot. The pivot has no compensation, no `when=` and no group. Refused: a compensation behind the pivot,
  and `in_doubt` with `"compensate"` on or behind the pivot.
- A cancel after the pivot's success is `IllegalTransition`.
- A result of the pivot that cannot be stored counts as success.

A cancel while the pivot runs or is in doubt is in law 10, and `risks()` in `tests/definition/test_risks.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from sagafsm import DefinitionError, IllegalTransition, Saga
from sagafsm.history import events as e
from sagafsm.store import Store
from sagafsm_adapters.memory import MemoryStore
from support.controls import quick
from support.lived import inject, lived, lives
from support.lives import ROOT, Life
from support.messages import message_of
from support.orders import bench_of, ran
from support.plans import Plan, SagaPlan
from support.services import STEADY

PIVOT: dict[str, dict[str, Any]] = {"a": {}, "b": {"pivot": True}, "c": {"undo": False}}


# Behind the pivot -----------------------------------------------------------------------------------------------------


def test_behind_the_pivot_exhaustion_blocks(way: str, store: Store) -> None:
    """No step is undone, and an operator's retry completes the instance."""
    steps = {**PIVOT, "c": {"undo": False, "retry": STEADY}}
    bench, service = bench_of(store, way, {"c": ["fail"] * 3}, **steps)
    instance = bench.run()
    assert ["c 1", "c 2", "c 3"] == service.calls[2:]
    assert [("c", "exhausted", ("retry", "resolve(result)", "abandon"))] == list(instance.blocked)
    assert instance.cause is None
    assert () == instance.residue
    assert "completed" == bench.ask("retry", "o-1").state


def test_not_done_behind_the_pivot_is_exhausted(way: str, memory: Store) -> None:
    """The decision settles the doubt, but there is no way back."""
    bench, _ = bench_of(memory, way, {"c": ["lost"]}, **PIVOT)
    bench.run()
    instance = bench.ask("resolve", "o-1", not_done=True, reason="seen")
    assert ["exhausted"] == [block.reason for block in instance.blocked]
    assert "running:c" == instance.state


def test_behind_the_pivot_an_exception_in_a_condition_blocks(way: str, memory: Store) -> None:
    """An operator's retry asks the condition again."""
    answers = [False, True]
    steps = {"a": {"pivot": True}, "b": {"when": lambda: 1 / answers.pop(0), "undo": False}}
    bench, service = bench_of(memory, way, **steps)
    assert [("b", "exhausted", ("retry", "resolve(result)", "abandon"))] == list(bench.run().blocked)
    assert "completed" == bench.ask("retry", "o-1").state
    assert ["a 1", "b 1"] == service.calls


def test_behind_the_pivot_a_cancel_is_refused(way: str, memory: Store) -> None:
    """The message names the state and the operations that it allows, and no request is stored."""
    bench, _ = bench_of(memory, way, {"c": ["lost"]}, **PIVOT)
    bench.run()
    assert (
        "instance 'o-1' is running:c, which does not allow 'cancel' "
        "(allowed: resume, retry, resolve(result), resolve(not_done), abandon)"
    ) == message_of(IllegalTransition, lambda: bench.ask("cancel", "o-1", reason="no"))
    assert () == memory.mail("o-1")


def test_behind_the_pivot_a_completed_instance_is_not_compensated(way: str, memory: Store) -> None:
    """The message names the pivot."""
    bench, _ = bench_of(memory, way, **PIVOT)
    bench.run()
    assert (
        "instance 'o-1' is completed, behind its pivot 'b', which does not allow 'compensate' (allowed: nothing)"
    ) == message_of(IllegalTransition, lambda: bench.ask("compensate", "o-1"))


@pytest.mark.parametrize("step", ["b", "c"])
def test_from_the_pivot_on_an_unstorable_result_blocks(step: str, way: str, memory: Store) -> None:
    """The result of the pivot counts as success, so an operator tells the result and the instance goes forward."""
    steps = {**PIVOT, "c": {"undo": False, "retry": STEADY}, "d": {"undo": False}}
    bench, service, events = ran(memory, way, {step: ["set"]}, **steps)
    assert [f"ResultRefused {step} 1", f"InstanceBlocked {step} payload"] == events[-2:]
    assert [("resolve(result)", "abandon")] == [block.decisions for block in bench.get().blocked]
    instance = bench.ask("resolve", "o-1", result="told", reason="seen")
    assert ("completed", "told") == (instance.state, instance.results[step])
    assert ["a 1", "b 1", "c 1", "d 1"] == service.calls


# Definitions ----------------------------------------------------------------------------------------------------------


def act() -> None: ...


def undo() -> None: ...


def with_pivot() -> Saga:
    saga = Saga("order")
    saga.add_step("ship", act, pivot=True)
    return saga


PIVOT_UNDONE = "step 'ship' is the pivot, which has no compensation (there is no way back from it)"
BEHIND_UNDONE = "step 'mail' stands behind pivot 'ship', so a compensation would never be called"
REFUSED: list[tuple[Callable[[Saga], Any], str]] = [
    (lambda saga: saga.add_step("mail", act, pivot=True),
     "step 'mail' cannot be a pivot too: 'ship' is (a saga has at most one)"),
    (lambda saga: Saga("order").add_step("ship", act, undo, pivot=True), PIVOT_UNDONE),
    (lambda saga: Saga("order").add_step("ship", act, pivot=True).compensation(undo), PIVOT_UNDONE),
    (lambda saga: saga.add_step("mail", act, undo), BEHIND_UNDONE),
    (lambda saga: saga.add_step("mail", act).compensation(undo), BEHIND_UNDONE),
    (lambda saga: Saga("order").add_step("ship", act, pivot=True, when=lambda: True),
     "step 'ship' is the pivot, which cannot be skipped: when= leaves no way forward or back"),
    (lambda saga: Saga("order").add_step("ship", act, pivot=True, group="g"),
     "step 'ship' is the pivot, which is in no group (it is in 'g')"),
    *(
        (define, f"step {where}, so in_doubt={policy!r} cannot hold (there is no way back from there)")
        for policy in ("compensate", ("retry", "compensate"))
        for where, define in (
            ("'ship' is the pivot",
             lambda saga, policy=policy: Saga("order").add_step("ship", act, pivot=True, in_doubt=policy)),
            ("'mail' stands behind pivot 'ship'",
             lambda saga, policy=policy: saga.add_step("mail", act, in_doubt=policy)),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("define", "message"), REFUSED)
def test_a_definition_with_a_way_back_from_the_pivot_is_refused(define: Callable[[Saga], Any], message: str) -> None:
    """The message names the step and the reason."""
    assert message == message_of(DefinitionError, lambda: define(with_pivot()))


def test_a_step_that_becomes_the_pivot_later_is_refused_likewise() -> None:
    """A step defined again as the pivot keeps its compensation, and those behind keep theirs."""
    saga = Saga("order")
    saga.step(act)
    saga.add_step("ship", undo, undo)
    expected = "step 'act' cannot be the pivot: 'ship' behind it has a compensation"
    assert expected == message_of(DefinitionError, lambda: saga.step(act, pivot=True))
    assert PIVOT_UNDONE == message_of(DefinitionError, lambda: saga.step(undo, name="ship", pivot=True))
    assert None is saga.definition.pivot


# Any saga -------------------------------------------------------------------------------------------------------------


def check_no_way_back(life: Life) -> None:
    """Check that after the success of the pivot the tree records no cause and no compensation."""
    pivots = {step.path for step in life.plan.steps if step.pivot}
    passed = False
    for id, event in life.ledger.entries:
        assert not (passed and isinstance(event, e.CauseRecorded | e.CompensationStarted)), f"{event} behind the pivot"
        told = isinstance(event, e.DecisionMade) and event.decision == "resolve(result)"
        succeeded = told or isinstance(event, e.StepSucceeded | e.ResultRefused)
        passed = passed or (succeeded and id == ROOT and event.step in pivots)


@quick(60)
@given(life=lives().filter(lambda life: any(step.pivot for step in life.plan.steps)))
def test_any_saga_goes_only_forward_from_its_pivot(life: Life) -> None:
    """With failures, doubts, cancels and process deaths on and behind the pivot."""
    check_no_way_back(lived(life))


# Positive controls ----------------------------------------------------------------------------------------------------


def test_a_way_back_from_the_pivot_is_noticed(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core and its table ignore the pivot."""
    inject(monkeypatch, "the_pivot_is_ignored_by_the_table_too")
    with pytest.raises(AssertionError):
        test_behind_the_pivot_exhaustion_blocks("sync", memory)
    plan = SagaPlan(
        path="",
        steps=(Plan(path="a"), Plan(path="b", pivot=True, compensation=False), Plan(path="c", compensation=False)),
    )
    with pytest.raises(AssertionError, match="behind the pivot"):
        check_no_way_back(lived(Life(MemoryStore(), plan, {"c": ("fail",)})))
