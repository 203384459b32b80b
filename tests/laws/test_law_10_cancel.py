"""Law 10: a cancel is a request to go back; a posted cancel is never lost and never overtaken.

- `pending`: the instance fails at once. `compensating`: the cancel is recorded and has no effect. At rest: refused.
- `running` before the pivot: the cancel is the cause at once. Running attempts settle, a wait or a backoff ends, and
  queued members never start.
- On the pivot the cancel waits, and no automatic attempt follows. If the pivot was not done, the cancel becomes the
  cause. If it was done, the cancel came too late. Until then the decisions of "no cause" hold, without `skip`.
- Ctrl-C, `CancelledError`, `SystemExit` and any other `BaseException` are no cancel: they propagate with a note, and
  the instance resumes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import AsyncOrchestrator, IllegalTransition, Saga
from sagafsm.errors import SagaNotFound
from sagafsm.history import events as e
from sagafsm.store import Store, open_store
from support.bench import Bench, is_async, lines
from support.broken import Mailless
from support.controls import expect_breach, quick
from support.mortality import die
from support.orders import bench_of, cancelling, lose
from support.services import STEADY, Service, add, saga_of
from support.stores import Wrapped

PLAIN: dict[str, dict[str, Any]] = {"a": {}, "b": {}, "c": {}}
PIVOT: dict[str, dict[str, Any]] = {"a": {}, "b": {"pivot": True}, "c": {"undo": False}}
CANCELLED = ["CancelRequested no", "CauseRecorded cancel no"]
UNDO_A = ["CompensationStarted a 1", "CompensationSucceeded a 1", "InstanceFailed"]
UNDO_B = ["CompensationStarted b 1", "CompensationSucceeded b 1", *UNDO_A]


def refuse() -> None:
    raise ValueError("refused")


# Before the pivot -----------------------------------------------------------------------------------------------------


def test_a_pending_instance_is_cancelled_at_once(way: str, store: Store) -> None:
    """A pending instance fails at once, and nothing is called."""
    bench, service = bench_of(store, way, **PLAIN)
    bench.ask("start", bench.saga, "mug", id="o-1")
    instance = bench.ask("cancel", "o-1", by="me", reason="no")
    assert "failed" == instance.state
    assert instance.compensated
    assert ["InstanceCreated", *CANCELLED, "InstanceFailed"] == lines(store.history("o-1"))
    assert [] == service.calls
    assert "cancelled by me: no" == str(instance.cause)


def test_a_running_instance_goes_back_once_its_action_has_settled(way: str, store: Store) -> None:
    """The cancel is the cause at once. The running attempt settles, then the instance goes back, that step first."""
    bench, service = bench_of(store, way, {"b": [cancelling(store)]}, **PLAIN)
    instance = bench.run()
    assert ["a 1", "b 1", "undo b 1 of b!", "undo a 1 of a!"] == service.calls
    assert [*CANCELLED, "StepSucceeded b 1", *UNDO_B] == lines(store.history("o-1"))[4:]
    assert ("cancel", "me", "no") == (instance.cause.kind, instance.cause.by, instance.cause.reason)


def test_a_refused_action_is_not_retried_after_a_cancel(way: str, memory: Store) -> None:
    """No automatic attempt follows. The cancel stays the cause, and the failure is kept beside it."""
    bench, service = bench_of(memory, way, {"b": [cancelling(memory, refuse)]}, a={}, b={"retry": STEADY})
    instance = bench.run()
    assert ["a 1", "b 1", "undo a 1 of a!"] == service.calls
    assert [*CANCELLED, "StepFailed b 1", *UNDO_A] == lines(memory.history("o-1"))[4:]
    assert "cancel" == instance.cause.kind
    assert ["ValueError: refused"] == [str(error) for error in instance.errors]


def test_a_cancel_goes_back_even_out_of_the_last_step(way: str, memory: Store) -> None:
    """A cancel works until the end is durable, also in the last step."""
    bench, _service = bench_of(memory, way, {"b": [cancelling(memory)]}, a={}, b={})
    assert bench.run().compensated
    assert [*CANCELLED, "StepSucceeded b 1", *UNDO_B] == lines(memory.history("o-1"))[4:]


@pytest.mark.parametrize("then", [(), (3,)], ids=["at once", "by a sleeping owner"])
def test_a_cancel_ends_a_backoff(then: tuple[int, ...], way: str, memory: Store) -> None:
    """A backoff ends. A sleeping owner looks at the mail once a second."""
    bench, service = bench_of(memory, way, {"b": ["fail"]}, a={}, b={"retry": STEADY})
    if then:
        clock = bench.clock
        clock.after_sleep = lambda: cancelling(memory)() if clock.seconds == 3 else None
        bench.run()
        assert 3.0 == clock.seconds
    else:
        die(bench, service, "after 3", "run", bench.saga, "mug", id="o-1")
        bench.ask("cancel", "o-1", by="me", reason="no")
        assert 0.0 == bench.clock.seconds
    assert ["StepFailed b 1 again", *CANCELLED, *UNDO_A] == lines(memory.history("o-1"))[4:]


@pytest.mark.parametrize("depth", [0, 1], ids=["flat", "nested"])
def test_a_cancel_ends_a_wait(depth: int, way: str, store: Store) -> None:
    """A wait ends at once and leaves nothing, at any depth."""
    service, saga, outer = Service(), Saga("order"), Saga("outer")
    add(saga, service, "a", is_async=is_async(way))
    saga.wait_for("approval")
    outer.add_saga("pay", saga)
    bench = Bench(store, outer if depth else saga, way)
    assert bench.run().waiting
    instance = bench.ask("cancel", "o-1", by="me", reason="no")
    assert (True, ()) == (instance.compensated, instance.residue)
    assert ["a 1", "undo a 1 of a!"] == service.calls
    why = "its parent 'o-1' goes back: cancelled by me: no" if depth else "no"
    parked = ["StepSucceeded a 1", "WaitStarted approval", f"CancelRequested {why}", f"CauseRecorded cancel {why}"]
    assert [*parked, *UNDO_A] == lines(store.history("o-1/pay" if depth else "o-1"))[2:]


def test_a_cancel_ends_a_group(way: str, memory: Store) -> None:
    """Members that run settle, a queued member never starts, and all are compensated."""
    b = {"group": "g", "after": CANCELLED[1]}
    script = {"a": [cancelling(memory)]}
    bench, service = bench_of(memory, way, script, limit=2, a={"group": "g"}, b=b, c={"group": "g"})
    assert bench.run().compensated
    settled = ["StepSucceeded a 1", "StepSucceeded b 1", "CompensationStarted b 1"]
    assert [*CANCELLED, *settled] == lines(memory.history("o-1"))[3:8]
    assert ["undo b 1 of b!", "undo a 1 of a!"] == service.calls[2:]


def test_a_cancel_while_compensating_is_recorded_without_effect(way: str, memory: Store) -> None:
    """While the instance compensates, a cancel is recorded and has no effect."""
    bench, service = bench_of(memory, way, {"b": ["fail"], "undo a": [cancelling(memory)]}, a={}, b={})
    instance = bench.run()
    assert ["CancelRequested no", "CompensationSucceeded a 1", "InstanceFailed"] == lines(memory.history("o-1"))[-3:]
    assert "failure" == instance.cause.kind
    assert ["a 1", "b 1", "undo a 1 of a!"] == service.calls


@pytest.mark.parametrize(("script", "state"), [({}, "completed"), ({"a": ["fail"]}, "failed")])
def test_at_rest_a_cancel_is_refused(script: dict[str, list[Any]], state: str, way: str, store: Store) -> None:
    """At rest the orchestrator and the store refuse a cancel."""
    bench, _ = bench_of(store, way, script, **PLAIN)
    bench.run()
    history = store.history("o-1")
    with pytest.raises(IllegalTransition) as caught:
        bench.ask("cancel", "o-1", reason="no")
    allowed = "compensate" if state == "completed" else "nothing"
    assert f"instance 'o-1' is {state}, which does not allow 'cancel' (allowed: {allowed})" == str(caught.value)
    with pytest.raises(IllegalTransition):
        cancelling(store)()
    assert history == store.history("o-1")
    with pytest.raises(SagaNotFound):
        bench.ask("cancel", "o-2", reason="no")


def test_a_cancel_of_a_blocked_instance_is_its_cause(way: str, memory: Store) -> None:
    """A cancel of an instance that is blocked in doubt is its cause. Then other decisions are allowed."""
    bench, service = bench_of(memory, way, {"b": ["lost"]}, **PLAIN)
    bench.run()
    instance = bench.ask("cancel", "o-1", by="me", reason="no")
    assert [*CANCELLED, "InstanceBlocked b in_doubt"] == lines(memory.history("o-1"))[6:]
    assert ("resolve(result)", "resolve(not_done)", "compensate", "skip", "abandon") == instance.blocked[0].decisions
    assert ["a 1", "b 1"] == service.calls


# On the pivot ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [False, True])
def test_a_cancel_on_a_pivot_that_succeeds_came_too_late(last: bool, way: str, store: Store) -> None:
    """The cancel came too late, and the instance goes forward. The history says so at the end, too."""
    steps = dict(list(PIVOT.items())[: 2 if last else 3])
    bench, service = bench_of(store, way, {"b": [cancelling(store)]}, **steps)
    assert "completed" == bench.run().state
    after = "InstanceCompleted" if last else "StepStarted c 1"
    assert ["CancelRequested no", "StepSucceeded b 1", "CancelCameTooLate", after] == lines(store.history("o-1"))[4:8]
    assert [f"{step} 1" for step in steps] == service.calls


def test_a_cancel_on_a_pivot_that_fails_is_the_cause(way: str, memory: Store) -> None:
    """No automatic attempt follows. The pivot was not done, so the cancel becomes the cause."""
    steps = {**PIVOT, "b": {"pivot": True, "retry": STEADY}}
    bench, service = bench_of(memory, way, {"b": [cancelling(memory, refuse)]}, **steps)
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
    """Not done: the cancel is the cause, although attempts are left. Done: the cancel came too late."""
    steps = {**PIVOT, "b": {"pivot": True, "probe": True, "retry": STEADY, "in_doubt": "retry"}}
    bench, service = bench_of(memory, way, {"b": [cancelling(memory, lose)], "probe b": [said]}, **steps)
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
def test_a_pivot_in_doubt_keeps_the_cancel_waiting(
    decision: str, given: dict[str, Any], state: str, added: list[str], way: str, memory: Store
) -> None:
    """While the doubt of the pivot is open, the decisions of "no cause" hold, and `skip` is refused."""
    steps = {**PIVOT, "b": {"pivot": True, "retry": STEADY, "in_doubt": "retry"}}
    bench, service = bench_of(memory, way, {"b": [cancelling(memory, lose)]}, **steps)
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


def test_a_cancel_posted_behind_the_pivot_came_too_late(way: str, memory: Store) -> None:
    """A cancel whose sender has not yet seen the success of the pivot came too late."""
    bench, _service = bench_of(memory, way, {"c": [cancelling(memory)]}, **PIVOT)
    assert "completed" == bench.run().state
    assert ["CancelRequested no", "CancelCameTooLate", "StepSucceeded c 1", "InstanceCompleted"] == lines(
        memory.history("o-1")
    )[6:]


# No cancel ------------------------------------------------------------------------------------------------------------


class Strange(BaseException):
    """An exception of no known kind, and no `Exception`."""


@pytest.mark.parametrize("error", [Strange, asyncio.CancelledError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("call", ["b", "undo a", "probe b"])
def test_what_is_no_exception_propagates(error: type[BaseException], call: str, way: str, memory: Store) -> None:
    """Any `BaseException` propagates with a note. The history stays as it is, and the instance resumes."""
    if way == "async" and error in (KeyboardInterrupt, SystemExit):
        # Raised in a task they would end the loop of the test, too.
        way = "async with sync actions"

    def interrupt() -> None:
        raise error

    scripts: dict[str, dict[str, list[Any]]] = {
        "b": {"b": [interrupt]},
        "undo a": {"b": ["fail"], "undo a": [interrupt]},
        "probe b": {"b": ["lost"], "probe b": [interrupt]},
    }
    service = Service(script=scripts[call])
    saga = saga_of(service, is_async=is_async(way), a={}, b={"probe": call == "probe b"})
    bench = Bench(memory, saga, way)
    with pytest.raises(error) as caught:
        bench.run()
    state = "compensating:a" if call == "undo a" else "running:b"
    assert [f"instance 'o-1' rests in {state!r}; resume('o-1') or recover() goes on"] == caught.value.__notes__
    instance = bench.get()
    assert (state, None) == (instance.state, instance.owner)
    assert instance.cause is None or call == "undo a"
    last = {"b": "StepStarted b 1", "undo a": "CompensationStarted a 1", "probe b": "StepInDoubt b 1 outcome_unknown"}
    assert last[call] == lines(instance.history)[-1]
    expected = {"b": "running:b", "undo a": "failed", "probe b": "completed"}
    assert expected[call] == bench.ask("resume", "o-1").state


def test_cancelling_the_task_is_no_cancel(memory: Store) -> None:
    """`CancelledError` reaches the action and propagates. The instance is free and resumes."""
    inside = asyncio.Event()
    seen: list[str] = []
    saga = Saga("order")

    async def act() -> None:
        inside.set()
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    saga.add_step("a", act)

    async def main() -> None:
        async with AsyncOrchestrator(memory, sagas=[saga]) as orchestrator:
            task = asyncio.create_task(orchestrator.run(saga, 1, id="o-1"))
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert ["instance 'o-1' rests in 'running:a'; resume('o-1') or recover() goes on"] == caught.value.__notes__
            assert memory.load("o-1").summary.owner is None
            assert "in_doubt" == (await orchestrator.resume("o-1")).blocked[0].reason

    asyncio.run(main())
    assert ["cancelled"] == seen


# Any cancel at any moment ---------------------------------------------------------------------------------------------


class Posting(Wrapped):
    """Posts a cancel to `box` just before the n-th append. `after` has the events that are appended from then on."""

    def __init__(self, inner: Store | Any, n: int) -> None:
        super().__init__(inner)
        self.n = n
        self.after: list[e.Event] = []

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.n -= name == "append"
        if name == "append" and self.n == 0:
            cancelling(self.inner)()
        answer = method(*args, **kwargs)
        if name == "append" and self.n <= 0:
            self.after += args[1]
        return answer


@attrs.frozen
class Cancelled:
    """A saga and a script of its services. The saga is cancelled at its n-th append."""

    steps: dict[str, dict[str, Any]]
    script: dict[str, list[str]]
    nested: bool
    n: int


OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"retry": STEADY},
    {"probe": True},
    {"in_doubt": "compensate"},
)
ANSWERS = st.lists(st.sampled_from(("ok", "fail", "lost", "permanent")), max_size=2)


@st.composite
def cancelled(draw: st.DrawFn) -> Cancelled:
    """Draw a saga of four steps, nested or with a pivot or neither, with a group of two or without."""
    nested = draw(st.booleans())
    steps = {name: dict(draw(st.sampled_from(OPTIONS))) for name in "abcd"}
    if draw(st.booleans()):
        steps |= {"b": {"group": "g"}, "c": {"group": "g"}}
    pivot = None if nested else draw(st.sampled_from((None, "a", "d")))
    if pivot is not None:
        behind = "abcd"["abcd".index(pivot) :]
        steps |= {name: {"undo": False, "pivot": name == pivot, "group": None} for name in behind}
    script = draw(st.dictionaries(st.sampled_from(("a", "b", "c", "d", "undo a", "undo b")), ANSWERS))
    return Cancelled(steps, script, nested, draw(st.integers(1, 12)))


def check_cancel(case: Cancelled, broken: Callable[[Store], Any] | None = None) -> None:
    outer, saga = Saga("outer"), saga_of(Service(script=case.script), **case.steps)
    outer.add_saga("pay", saga) if case.nested else None
    with contextlib.closing(open_store("memory://")) as inner:
        store = Posting(broken(inner) if broken else inner, case.n)
        instance = Bench(store, outer if case.nested else saga).run()
    if store.n > 0:
        return
    kinds = [type(event).__name__ for event in store.after]
    assert "CancelRequested" == kinds[0], "the cancel is overtaken"
    too_late = kinds.index("CancelCameTooLate") if "CancelCameTooLate" in kinds else len(kinds)
    assert "StepStarted" not in kinds[:too_late], "a start follows the cancel"
    assert instance.state != "completed" or too_late < len(kinds), "the cancel is lost"


@quick(40)
@given(case=cancelled())
def test_a_posted_cancel_is_never_lost_and_never_overtaken(case: Cancelled) -> None:
    """Any saga, flat or nested, cancelled at any commit: the next append absorbs the cancel, and no start follows."""
    check_cancel(case)


def test_a_store_that_hides_its_mail_is_noticed() -> None:
    """Positive control: a store that appends although mail waits."""
    assert "the cancel is overtaken" in expect_breach(lambda case: check_cancel(case, Mailless), case=cancelled())
