"""Laws 7 and 10: a cancel is a request, which the pivot makes wait; and the deadline, which is a cancel by the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sagafsm import Context, IllegalTransition, Orchestrator, OutcomeUnknown, Saga
from sagafsm.errors import SagaNotFound
from sagafsm.events import CancelRequested
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.clock import NOON
from support.mortality import die
from support.services import STEADY, Service, add, saga_of

PLAIN: dict[str, dict[str, Any]] = {"a": {}, "b": {}, "c": {}}
PIVOT: dict[str, dict[str, Any]] = {"a": {}, "b": {"pivot": True}, "c": {"undo": False}}
CANCELLED = ["CancelRequested no", "CauseRecorded cancel no"]
UNDO_A = ["CompensationStarted a 1", "CompensationSucceeded a 1", "InstanceFailed"]
UNDO_B = ["CompensationStarted b 1", "CompensationSucceeded b 1", *UNDO_A]


def bench_of(
    store: Any, way: str, /, script: dict[str, list[Any]] | None = None, **steps: Any
) -> tuple[Bench, Service]:
    service = Service(script=script or {})
    return Bench(store, saga_of(service, is_async=is_async(way), **steps), way), service


def posting(store: Store, then: Callable[[], None] = lambda: None) -> Callable[[], None]:
    """An action during which somebody cancels."""

    def act() -> None:
        store.post("o-1", CancelRequested(request_id="r-1", by="me", reason="no"))
        then()

    return act


def lose() -> None:
    raise OutcomeUnknown("no answer")


def refuse() -> None:
    raise ValueError("refused")


def test_a_pending_instance_is_cancelled_at_once(way: str, store: Store) -> None:
    """Law 10: `pending`: failed at once, and nothing is called."""
    bench, service = bench_of(store, way, **PLAIN)
    bench.ask("start", bench.saga, "mug", id="o-1")
    instance = bench.ask("cancel", "o-1", by="me", reason="no")
    assert "failed" == instance.state
    assert instance.compensated
    assert ["InstanceCreated", *CANCELLED, "InstanceFailed"] == lines(store.history("o-1"))
    assert [] == service.calls
    assert "cancelled by me: no" == str(instance.cause)


def test_a_running_instance_goes_back_once_its_action_has_settled(way: str, store: Store) -> None:
    """Law 10: it is the cause at once; the running attempt settles; then backward, that step first."""
    bench, service = bench_of(store, way, {"b": [posting(store)]}, **PLAIN)
    instance = bench.run()
    assert ["a 1", "b 1", "undo b 1 of b!", "undo a 1 of a!"] == service.calls
    assert [*CANCELLED, "StepSucceeded b 1", *UNDO_B] == lines(store.history("o-1"))[4:]
    assert ("cancel", "me", "no") == (instance.cause.kind, instance.cause.by, instance.cause.reason)


def test_a_refused_action_is_not_retried_after_a_cancel(way: str, memory: Store) -> None:
    """Law 10: no automatic attempt follows; the cancel stays the cause, the failure is kept beside it."""
    bench, service = bench_of(memory, way, {"b": [posting(memory, refuse)]}, a={}, b={"retry": STEADY})
    instance = bench.run()
    assert ["a 1", "b 1", "undo a 1 of a!"] == service.calls
    assert [*CANCELLED, "StepFailed b 1", *UNDO_A] == lines(memory.history("o-1"))[4:]
    assert "cancel" == instance.cause.kind
    assert ["ValueError: refused"] == [str(error) for error in instance.errors]


def test_a_cancel_goes_back_even_out_of_the_last_step(way: str, memory: Store) -> None:
    """Law 10: also out of the last step, as long as the end is not durable."""
    bench, _service = bench_of(memory, way, {"b": [posting(memory)]}, a={}, b={})
    assert bench.run().compensated
    assert [*CANCELLED, "StepSucceeded b 1", *UNDO_B] == lines(memory.history("o-1"))[4:]


@pytest.mark.parametrize("then", [(), (3,)], ids=["at once", "by a sleeping owner"])
def test_a_cancel_ends_a_backoff(then: tuple[int, ...], way: str, memory: Store) -> None:
    """Laws 10 and 12: a backoff ends; a sleeping owner looks at its mail whenever it renews."""
    bench, service = bench_of(memory, way, {"b": ["fail"]}, a={}, b={"retry": STEADY})
    if then:
        clock = bench.clock
        clock.after_sleep = lambda: posting(memory)() if clock.seconds == 3 else None
        bench.run()
        assert 3.0 == clock.seconds
    else:
        die(bench, service, "after 3", "run", bench.saga, "mug", id="o-1")
        bench.ask("cancel", "o-1", by="me", reason="no")
        assert 0.0 == bench.clock.seconds
    assert ["StepFailed b 1 again", *CANCELLED, *UNDO_A] == lines(memory.history("o-1"))[4:]


def test_a_cancel_while_compensating_is_recorded_without_effect(way: str, memory: Store) -> None:
    """Law 10: `compensating`: recorded, no effect."""
    bench, service = bench_of(memory, way, {"b": ["fail"], "undo a": [posting(memory)]}, a={}, b={})
    instance = bench.run()
    assert ["CancelRequested no", "CompensationSucceeded a 1", "InstanceFailed"] == lines(memory.history("o-1"))[-3:]
    assert "failure" == instance.cause.kind
    assert ["a 1", "b 1", "undo a 1 of a!"] == service.calls


@pytest.mark.parametrize(("script", "state"), [({}, "completed"), ({"a": ["fail"]}, "failed")])
def test_at_rest_a_cancel_is_refused(script: dict[str, list[Any]], state: str, way: str, store: Store) -> None:
    """Law 10: at rest: refused, by the orchestrator and by the store."""
    bench, _ = bench_of(store, way, script, **PLAIN)
    bench.run()
    history = store.history("o-1")
    with pytest.raises(IllegalTransition) as caught:
        bench.ask("cancel", "o-1", reason="no")
    allowed = "compensate" if state == "completed" else "nothing"
    assert f"instance 'o-1' is {state}, which does not allow 'cancel' (allowed: {allowed})" == str(caught.value)
    with pytest.raises(IllegalTransition):
        posting(store)()
    assert history == store.history("o-1")
    with pytest.raises(SagaNotFound):
        bench.ask("cancel", "o-2", reason="no")


def test_a_cancel_of_a_blocked_instance_is_its_cause(way: str, memory: Store) -> None:
    """Law 10: blocked in doubt: the cancel is the cause, and other decisions are allowed then."""
    bench, service = bench_of(memory, way, {"b": ["lost"]}, **PLAIN)
    bench.run()
    instance = bench.ask("cancel", "o-1", by="me", reason="no")
    assert [*CANCELLED, "InstanceBlocked b in_doubt"] == lines(memory.history("o-1"))[6:]
    assert ("resolve(result)", "resolve(not_done)", "compensate", "skip", "abandon") == instance.blocked[0].decisions
    assert ["a 1", "b 1"] == service.calls


def test_a_cancel_without_the_definition_waits_for_who_has_it(memory: Store) -> None:
    """Law 12: mail to an unowned instance is handled by its poster if it has the definition, else by `recover()`."""
    bench, service = bench_of(memory, "sync", **PLAIN)
    bench.ask("start", bench.saga, "mug", id="o-1")
    with Orchestrator(memory) as stranger:
        assert "pending" == stranger.cancel("o-1", reason="no").state
    assert ["InstanceCreated"] == lines(memory.history("o-1"))
    assert ("o-1",) == bench.ask("recover").resumed
    assert "failed" == bench.get().state
    assert [] == service.calls


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


def test_the_deadline_is_a_cancel_by_the_clock(way: str, memory: Store) -> None:
    """Law 16: counted from creation; `ctx.deadline` tells it."""
    seen: list[Any] = []
    saga = Saga("order", deadline=timedelta(seconds=60))
    bench = Bench(memory, saga, way)

    def slow(ctx: Context) -> None:
        seen.append(ctx.deadline)
        bench.clock.advance(60)

    saga.add_step("a", slow, lambda: None)
    saga.add_step("b", lambda: None)
    instance = bench.run()
    assert [NOON + timedelta(seconds=60)] == seen
    assert instance.compensated
    reason = "deadline 2026-01-01T12:01:00+00:00 has passed"
    assert [f"CancelRequested {reason}", f"CauseRecorded cancel {reason}", "StepSucceeded a 1", *UNDO_A] == lines(
        memory.history("o-1")
    )[2:]
    assert f"cancelled by clock: {reason}" == str(instance.cause)


@pytest.mark.parametrize("sleeps", [True, False], ids=["run", "recover"])
def test_a_deadline_earlier_than_the_backoff_is_kept(sleeps: bool, way: str, memory: Store) -> None:
    """Law 16: deadlines are durable (`wake_at`): recovery acts on one although the backoff would end later."""
    saga = Saga("order", deadline=timedelta(seconds=4))
    service = Service(script={"a": ["fail"]})
    bench = Bench(memory, saga, way)
    add(saga, service, "a", is_async=is_async(way), retry=STEADY)
    if sleeps:
        bench.run()
        assert 4.0 == bench.clock.seconds
    else:
        die(bench, service, "after 2", "run", saga, "mug", id="o-1")
        bench.clock.advance(4)
        assert ("o-1",) == bench.ask("recover").resumed
        assert [] == service.calls
    assert "failed" == bench.get().state
    assert "cancel" == bench.get().cause.kind
