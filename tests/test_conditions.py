"""`when=` and `input=` are pure functions of the user: their results, their crashes and their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from sagafsm import DefinitionError, Saga
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.messages import message_of
from support.mortality import die
from support.services import STEADY, Service, add, saga_of
from support.stores import CountingStore

TO_B = ["InstanceCreated", "StepStarted a 1", "StepSucceeded a 1"]


def bench_of(
    store: Any, way: str, when: Callable[..., Any], script: dict[str, list[Any]] | None = None, **options: Any
) -> tuple[Bench, Service]:
    """An order of a, b and c, of which b has the condition."""
    service = Service(script=script or {})
    steps: dict[str, dict[str, Any]] = {"a": {}, "b": {"when": when, **options}, "c": {}}
    return Bench(store, saga_of(service, is_async=is_async(way), **steps), way), service


def test_a_skipped_step_gives_none(way: str, store: Store) -> None:
    """Its condition does not hold: it is never called, and those behind it are given None; the skip is one commit."""
    counting = CountingStore(store)
    bench, service = bench_of(counting, way, lambda: False)
    given: list[Any] = []

    @bench.saga.step
    def d(b):
        given.append(b)

    instance = bench.run()
    assert [*TO_B, "StepSkipped b", "StepStarted c 1"] == lines(instance.history)[:5]
    assert ("StepSkipped b", "StepStarted c") == counting.batches[2]
    assert ["a 1", "c 1"] == service.calls
    assert [None] == given
    assert "completed" == instance.state
    assert ["a", "c", "d"] == list(instance.results)
    assert "skipped" == instance.steps["b"].status


def test_a_skipped_step_is_never_compensated(way: str, store: Store) -> None:
    """It left nothing to undo, and no residue."""
    bench, service = bench_of(store, way, lambda: False, {"c": ["fail"]})
    instance = bench.run()
    assert ["a 1", "c 1", "undo a 1 of a!"] == service.calls
    assert ["CauseRecorded failure c", "StepPassedOver b", "CompensationStarted a 1"] == lines(instance.history)[6:9]
    assert instance.compensated


@pytest.mark.parametrize("holds", ["yes", 1, [0]])
@pytest.mark.parametrize("fails", ["", 0, None, []])
def test_a_condition_is_true_or_false_as_python_has_it(holds: Any, fails: Any, memory: Store) -> None:
    """Any value will do."""
    saga = Saga("order")
    saga.add_step("a", lambda: 1, when=lambda: holds)
    saga.add_step("b", lambda: 1, when=lambda: fails)
    assert {"a": 1} == Bench(memory, saga).run().results


def test_the_first_and_the_last_step_may_have_one(way: str, store: Store) -> None:
    """Before the first step the instance is started first; behind the last it ends."""
    service = Service()
    saga = saga_of(service, is_async=is_async(way), a={"when": lambda input: input == "mug"}, b={"when": lambda: False})
    instance = Bench(store, saga, way).run()
    assert [
        "InstanceCreated",
        "InstanceStarted",
        "StepPrepared a",
        "StepStarted a 1",
        "StepSucceeded a 1",
        "StepSkipped b",
        "InstanceCompleted",
    ] == lines(instance.history)


def test_a_saga_that_skips_everything_completes(way: str, memory: Store) -> None:
    """Nothing was called, and nothing can be undone of it."""
    service = Service()
    saga = saga_of(service, is_async=is_async(way), a={"when": lambda: False}, b={"when": lambda: False})
    bench = Bench(memory, saga, way)
    assert ("completed", {}) == ((instance := bench.run()).state, instance.results)
    assert "failed" == bench.ask("compensate", "o-1").state
    assert [] == service.calls


# Crashes --------------------------------------------------------------------------------------------------------------


def test_a_retried_step_is_not_asked_again(way: str, memory: Store) -> None:
    """That it held is recorded: later attempts rely on it."""
    count: list[int] = []
    bench, service = bench_of(memory, way, lambda: not count.append(1), {"b": ["fail", "fail"]}, retry=STEADY)
    assert "completed" == bench.run().state
    assert ["a 1", "b 1", "b 2", "b 3", "c 1"] == service.calls
    assert [1] == count


def test_an_interrupt_in_a_condition_propagates(way: str, memory: Store) -> None:
    """What is no `Exception` is no outcome: the history stays as it is, and it is asked again."""

    class Strange(BaseException): ...

    answers: list[Any] = [Strange(), True]

    def when() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    bench, service = bench_of(memory, way, when)
    with pytest.raises(Strange) as caught:
        bench.run()
    assert ["instance 'o-1' rests in 'running:b'; resume('o-1') or recover() goes on"] == caught.value.__notes__
    assert TO_B == lines(bench.get().history)
    assert None is bench.get().owner
    assert "completed" == bench.ask("resume", "o-1").state
    assert ["a 1", "b 1", "c 1"] == service.calls


def test_a_cancel_before_a_condition_is_asked(way: str, memory: Store) -> None:
    """A step that has not begun never begins: its condition is not asked."""
    count: list[int] = []
    bench, service = bench_of(memory, way, lambda: not count.append(1))
    die(bench, service, "after 2", "run", bench.saga, "mug", id="o-1")
    count.clear()
    assert bench.ask("cancel", "o-1", reason="no").compensated
    assert [] == count
    assert ["undo a 1 of a!"] == service.calls


# What it may ask for --------------------------------------------------------------------------------------------------


@attrs.frozen
class Order:
    amount: int


def test_a_condition_is_given_values_by_their_types(memory: Store) -> None:
    """As an action: the input and earlier results, decoded by their types, and `ctx`."""
    seen: list[Any] = []
    saga = Saga("order")

    def price(input: Order) -> Order:
        return input

    def when(input, price, ctx) -> bool:
        seen.extend((input, price, ctx.step, ctx.attempt, ctx.instance_id))
        return False

    saga.add_step("price", price)
    saga.add_step("b", lambda: 1, when=when)
    assert "completed" == Bench(memory, saga).run(Order(amount=7)).state
    assert [Order(7), Order(7), "b", 0, "o-1"] == seen


def act() -> int:
    return 1


def child() -> Saga:
    saga = Saga("payment")
    saga.add_step("charge", lambda: 1)
    return saga


REFUSED: list[tuple[Callable[[Saga], Any], str]] = [
    (lambda saga: saga.add_step("b", act, when=lambda shop: True),
     "when of step 'b' takes 'shop', which is nothing it can be given (available: input, ctx, a)"),
    (lambda saga: saga.add_step("b", act, when=lambda result: True),
     "when of step 'b' takes 'result', which is nothing it can be given (available: input, ctx, a)"),
    (lambda saga: saga.add_step("b", act, when=lambda b: True),
     "when of step 'b' takes 'b', which is nothing it can be given (available: input, ctx, a)"),
    (lambda saga: saga.add_step("b", act, when=True), "when= of step 'b' must be a function, not True"),
    (lambda saga: saga.add_saga("b", child(), input="mug"), "input= of step 'b' must be a function, not 'mug'"),
    (lambda saga: saga.add_saga("b", child(), input=lambda shop: 1),
     "input of step 'b' takes 'shop', which is nothing it can be given (available: input, ctx, a)"),
]  # fmt: skip


@pytest.mark.parametrize(("define", "told"), REFUSED)
def test_what_a_condition_cannot_be_given(define: Callable[[Saga], Any], told: str) -> None:
    """It is pure: no resources; and as always, nothing that is not there. The message lists what is."""
    saga = Saga("order", resources=["shop"])
    saga.add_step("a", lambda: 1)
    assert told == message_of(DefinitionError, lambda: define(saga))
    assert ["a"] == [step.name for step in saga.definition.steps]


def test_a_condition_is_not_async() -> None:
    """It may be asked again at any time, so it has nothing to wait for."""

    async def ask() -> bool:
        return True

    for role, define in (
        ("when", lambda saga: saga.add_step("b", lambda: 1, when=ask)),
        ("input", lambda saga: saga.add_saga("b", child(), input=ask)),
        ("when", lambda saga: saga.add_saga("b", child(), when=ask)),
    ):
        told = f"{role}= of step 'b' is async, but it is pure: it may be asked again at any time"
        assert told == message_of(DefinitionError, lambda define=define: define(Saga("order")))


def test_a_condition_that_returns_an_awaitable_fails_the_step(way: str, memory: Store) -> None:
    """A coroutine is always true, which nobody meant."""

    async def later() -> bool:
        return False

    bench, service = bench_of(memory, way, lambda input: later())
    instance = bench.run()
    assert ("failed", "b") == (instance.state, instance.cause.step)
    assert "TypeError: when= of step 'b' returned an awaitable, but it is pure: it is not awaited" == str(
        instance.error
    )
    assert ["a 1", "undo a 1 of a!"] == service.calls


# Groups and nested sagas ----------------------------------------------------------------------------------------------


def test_conditions_in_a_group(way: str, store: Store) -> None:
    """Each member has its own; those that are skipped neither run nor are undone."""
    service = Service(script={"z": ["fail"]})
    given: dict[str, Any] = {"group": "g"}
    steps = {"a": {**given, "when": lambda: True}, "b": {**given, "when": lambda: False}, "c": given, "z": {}}
    instance = Bench(store, saga_of(service, is_async=is_async(way), **steps), way).run()
    assert ["a 1", "c 1", "undo a 1 of a!", "undo c 1 of c!", "z 1"] == sorted(service.calls)
    assert ("failed", "skipped") == (instance.state, instance.steps["b"].status)
    assert ("c", "a", "z") == instance.started
    assert instance.compensated


def test_a_group_in_which_all_are_skipped(way: str, store: Store) -> None:
    """The group is left as if it had succeeded."""
    service = Service()
    given: dict[str, Any] = {"group": "g", "when": lambda: False}
    saga = saga_of(service, is_async=is_async(way), a=given, b=given, z={})
    instance = Bench(store, saga, way).run()
    assert ["z 1"] == service.calls
    assert ["InstanceCreated", "InstanceStarted", "StepSkipped a", "StepSkipped b", "StepStarted z 1"] == lines(
        instance.history
    )[:5]
    assert ["pending", "running:g", "running:z", "completed"] == [e.state for e in instance.history if e.state]


def test_a_raise_in_a_group_is_a_failure_of_its_member(way: str, memory: Store) -> None:
    """What was written ahead and has not begun is called off by the cause: no action is called any more."""
    service = Service()

    def when() -> bool:
        raise ValueError("no price")

    saga = saga_of(service, is_async=is_async(way), a={"group": "g"}, b={"group": "g", "when": when})
    instance = Bench(memory, saga, way).run()
    assert ("b", "ValueError: no price") == (instance.cause.step, str(instance.error))
    assert [
        "StepStarted a 1",
        "StepFailed b 0",
        "CauseRecorded failure b",
        "StepFailed a 1",
        "InstanceFailed",
    ] == lines(instance.history)[1:]
    assert [] == service.calls
    assert instance.compensated


def test_a_nested_saga_that_is_skipped_is_never_created(way: str, store: Store) -> None:
    """`when` of a nested saga: it gives None, and there is no instance of it."""
    service, saga = Service(script={"z": ["fail"]}), Saga("order")
    saga.add_saga("pay", saga_of(service, "payment", is_async=is_async(way), charge={}), when=lambda: False)
    add(saga, service, "z", is_async=is_async(way))
    instance = Bench(store, saga, way).run()
    assert ["z 1"] == service.calls
    assert ["o-1"] == [summary.id for summary in store.find()]
    assert instance.compensated
