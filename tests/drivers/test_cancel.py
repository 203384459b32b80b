"""Laws 7 and 10: a cancel is a request, which the pivot makes wait; and the deadline, which is a cancel by the clock."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm import IllegalTransition
from sagafsm.store import Store
from support.bench import Bench, is_async
from support.services import STEADY, Service, saga_of

PIVOT: dict[str, dict[str, Any]] = {"a": {}, "b": {"pivot": True}, "c": {"undo": False}}


def bench_of(
    store: Any, way: str, /, script: dict[str, list[Any]] | None = None, **steps: Any
) -> tuple[Bench, Service]:
    service = Service(script=script or {})
    return Bench(store, saga_of(service, is_async=is_async(way), **steps), way), service


# The pivot ------------------------------------------------------------------------------------------------------------


def test_a_cancel_on_a_pivot_that_succeeds_came_too_late(way: str, store: Store) -> None:
    """Laws 7 and 10: one posted while the pivot ran is recorded as `CancelCameTooLate`; the instance goes forward."""
    bench, service = bench_of(store, way, {"b": [posting(store)]}, **PIVOT)
    assert "completed" == bench.run().state
    assert ["CancelRequested no", "StepSucceeded b 1", "CancelCameTooLate", "StepStarted c 1"] == lines(
        store.history("o-1")
    )[4:8]
    assert ["a 1", "b 1", "c 1"] == service.calls


def test_a_cancel_on_a_pivot_that_is_the_last_step_came_too_late(way: str, memory: Store) -> None:
    """Laws 7 and 10: also where the pivot's success is the end: the history says what became of the request."""
    bench, _ = bench_of(memory, way, {"b": [posting(memory)]}, a={}, b={"pivot": True})
    assert "completed" == bench.run().state
    assert ["CancelRequested no", "StepSucceeded b 1", "CancelCameTooLate", "InstanceCompleted"] == lines(
        memory.history("o-1")
    )[4:]


def test_a_cancel_on_a_pivot_that_fails_is_the_cause(way: str, memory: Store) -> None:
    """Law 10: on the pivot it waits: no automatic attempt follows; settled as not done, it becomes the cause."""
    steps = {**PIVOT, "b": {"pivot": True, "retry": STEADY}}
    bench, service = bench_of(memory, way, {"b": [posting(memory, refuse)]}, **steps)
    assert bench.run().compensated
    assert ["CancelRequested no", "StepFailed b 1", "CauseRecorded cancel no", *UNDO_A] == lines(memory.history("o-1"))[
        4:
    ]
    assert ["a 1", "b 1", "undo a 1 of a!"] == service.calls


@pytest.mark.parametrize(
    ("said", "added"),
    [
        ("done", ["StepSucceeded b 1 by probe", "CancelCameTooLate", "StepStarted c 1"]),
        ("not done", ["StepFailed b 1 by probe", "CauseRecorded cancel no", *UNDO_A]),
    ],
)
def test_the_probe_settles_a_pivot_in_doubt_with_a_cancel(said: str, added: list[str], way: str, memory: Store) -> None:
    """Law 10: settled as not done the cancel becomes the cause, although attempts are left; as done it is too late."""
    steps = {**PIVOT, "b": {"pivot": True, "probe": True, "retry": STEADY, "in_doubt": "retry"}}
    bench, service = bench_of(memory, way, {"b": [posting(memory, lose)], "probe b": [said]}, **steps)
    bench.run()
    found = lines(memory.history("o-1"))[4:]
    assert ["CancelRequested no", "StepInDoubt b 1 outcome_unknown", *added] == found[: 2 + len(added)]
    assert "b 2" not in service.calls


@pytest.mark.parametrize(
    ("decision", "given", "state", "added"),
    [
        (
            "retry",
            {},
            "completed",
            ["DecisionMade retry b", "StepStarted b 2", "StepSucceeded b 2", "CancelCameTooLate"],
        ),
        (
            "resolve",
            {"result": 1, "reason": "seen"},
            "completed",
            ["DecisionMade resolve(result) b seen", "CancelCameTooLate", "StepStarted c 1"],
        ),
        (
            "resolve",
            {"not_done": True, "reason": "seen"},
            "failed",
            ["DecisionMade resolve(not_done) b seen", "CauseRecorded cancel no", *UNDO_A],
        ),
    ],
)
def test_a_pivot_in_doubt_is_not_gone_back_from_until_it_is_settled(
    decision: str, given: dict[str, Any], state: str, added: list[str], way: str, memory: Store
) -> None:
    """Laws 7 and 10: with a cancel waiting the decisions of "no cause" hold, `skip` never."""
    steps = {**PIVOT, "b": {"pivot": True, "retry": STEADY, "in_doubt": "retry"}}
    bench, service = bench_of(memory, way, {"b": [posting(memory, lose)]}, **steps)
    instance = bench.run()
    assert ["a 1", "b 1"] == service.calls, "no automatic attempt follows"
    assert (("retry", "resolve(result)", "resolve(not_done)", "abandon"),) == tuple(
        b.decisions for b in instance.blocked
    )
    with pytest.raises(IllegalTransition) as caught:
        bench.ask("skip", "o-1", reason="enough")
    assert (
        "instance 'o-1' is running:b (in_doubt), which does not allow 'skip' "
        "(allowed: retry, resolve(result), resolve(not_done), abandon)"
    ) == str(caught.value)
    before = len(memory.history("o-1"))
    assert state == bench.ask(decision, "o-1", **given).state
    assert added == lines(memory.history("o-1"))[before : before + len(added)]


def test_one_that_slips_in_behind_the_pivot_came_too_late(way: str, memory: Store) -> None:
    """Law 10: posted before the pivot's success was seen, read after it."""
    bench, _service = bench_of(memory, way, {"c": [posting(memory)]}, **PIVOT)
    assert "completed" == bench.run().state
    assert ["CancelRequested no", "CancelCameTooLate", "StepSucceeded c 1", "InstanceCompleted"] == lines(
        memory.history("o-1")
    )[6:]


# The deadline ---------------------------------------------------------------------------------------------------------
