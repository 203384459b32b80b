"""A fork is a what-if: the instance as it was at one event, in a store and with resources of its own."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm import AsyncOrchestrator, IllegalTransition, Orchestrator, Saga, SagaNotFound
from sagafsm.errors import ResourceMissing
from sagafsm.store import Store
from support.bench import Bench, lines
from support.clock import FakeClock
from support.messages import message_of
from support.services import Service, saga_of
from support.trees import bench_of, of_pay, order_of

ABC: dict[str, Any] = {name: {"in_doubt": "retry"} for name in "abc"}


def forked(store: Store, saga: Saga, at: int, id: str = "o-1", **options: Any) -> Orchestrator:
    with Orchestrator(store, sagas=[saga], clock=FakeClock()) as orchestrator:
        return orchestrator.fork(id, at=at, **options)


def test_a_fork_at_each_event_goes_on_from_there(store: Store) -> None:
    """It is not driven; resumed, it does what was still to be done, and the original is untouched."""
    service = Service()
    saga = saga_of(service, **ABC)
    original = Bench(store, saga).run()
    # What is recorded as started is called again, as its policy says; what is recorded as done is not.
    calls = {1: "abc", 2: "abc", 3: "bc", 4: "bc", 5: "c", 6: "c", 7: "", 8: ""}
    assert len(calls) == len(original.history)
    for at, expected in calls.items():
        service.calls.clear()
        with forked(store, saga, at) as fork:
            assert original.at(at) == fork.get("o-1")
            assert [] == service.calls
            instance = fork.resume("o-1")
            assert ("completed", original.results) == (instance.state, instance.results)
            assert original.history[:at] == instance.history[:at]
        assert list(expected) == [call.split()[0] for call in service.calls]
        assert original == store.load("o-1").instance


def test_a_fork_of_an_instance_that_went_back(store: Store) -> None:
    """Before its failure the fork may succeed; behind it, it goes back too."""
    service = Service(script={"c": ["fail"]})
    saga = saga_of(service, **ABC)
    original = Bench(store, saga).run()
    ends = []
    for at in range(1, len(original.history) + 1):
        with forked(store, saga, at) as fork:
            ends.append(fork.resume("o-1").state)
    failed = lines(original.history).index("StepFailed c 1")
    assert ["completed"] * failed + ["failed"] * (len(original.history) - failed) == ends
    assert original == store.load("o-1").instance


def test_a_fork_has_resources_of_its_own(memory: Store) -> None:
    """Never the original's: without those that its steps need it does not go on."""
    saga, used = Saga("order", resources=["shop"]), []

    @saga.step(in_doubt="retry")
    def reserve(shop):
        used.append(shop)

    bench = Bench(memory, saga, options={"resources": {"shop": "the real one"}})
    bench.run()
    with bench.ask("fork", "o-1", at=1) as fork:
        assert (
            "saga 'order' needs resources that were not given: shop (given: none); pass resources={name: object}"
        ) == message_of(ResourceMissing, lambda: fork.resume("o-1"))
    with bench.ask("fork", "o-1", at=1, resources={"shop": "a fake"}) as fork:
        assert "completed" == fork.resume("o-1").state
    assert ["the real one", "a fake"] == used


@pytest.mark.parametrize("at", [0, 9, -1, 100])
def test_a_fork_at_no_event_is_refused(at: int, way: str, memory: Store) -> None:
    """The message says which events there are."""
    bench = Bench(memory, saga_of(Service(), **ABC), way)
    bench.run()
    assert f"instance 'o-1' has events 1 to 8, not {at}" == message_of(
        IndexError, lambda: bench.ask("fork", "o-1", at=at)
    )
    with pytest.raises(SagaNotFound):
        bench.ask("fork", "o-9", at=1)


def test_a_fork_is_of_one_instance_and_of_its_saga_alone(memory: Store) -> None:
    """It holds nothing else, and knows the sagas that the original's orchestrator knows."""
    saga = saga_of(Service(), **ABC)
    Bench(memory, saga).run()
    Bench(memory, saga).run(id="o-2")
    with forked(memory, saga, 3) as fork:
        assert ["o-1"] == [summary.id for summary in fork.find()]
        assert "memory://" == fork.store.url
        assert "completed" == fork.run(saga, "mug", id="o-2").state
    assert 2 == len(memory.find())


def test_a_fork_can_be_decided_otherwise(memory: Store) -> None:
    """A blocked instance is forked to see what each decision would come to."""
    service = Service(script={"b": ["lost"]})
    saga = saga_of(service, a={}, b={}, c={})
    blocked = Bench(memory, saga).run()
    ends = {}
    for decision, given in (("retry", {}), ("compensate", {}), ("abandon", {"reason": "w"})):
        with forked(memory, saga, len(blocked.history)) as fork:
            assert blocked.blocked == fork.get("o-1").blocked
            ends[decision] = repr(getattr(fork, decision)("o-1", by="me", **given))
    assert {
        "retry": "<SagaInstance 'o-1' of 'order': completed>",
        "compensate": (
            "<SagaInstance 'o-1' of 'order': failed; compensated; decided on step 'b' by me: OutcomeUnknown: no answer>"
        ),
        "abandon": "<SagaInstance 'o-1' of 'order': failed; residue: a, b; abandoned by me: w>",
    } == ends
    assert blocked == memory.load("o-1").instance


# Nested ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [{}, {"z": ["fail"]}, {"fee": ["fail"]}], ids=["forth", "back", "from within"])
def test_a_fork_takes_those_nested_in_it(script: dict[str, list[Any]], store: Store) -> None:
    """As they were at that moment, as far as its own history knows of them; wherever it is forked, it ends well."""
    settled: dict[str, Any] = {"in_doubt": "retry"}
    bench, _ = bench_of(
        store, "sync", script, steps={"a": settled, "z": settled}, payment={"charge": settled, "fee": settled}
    )
    original = bench.run()
    histories = store.history("o-1"), store.history("o-1/pay")
    for at in range(1, len(original.history) + 1):
        known = original.at(at)
        with forked(store, bench.saga, at) as fork:
            if known.steps["pay"].status == "pending":
                assert ["o-1"] == [summary.id for summary in fork.find()]
            elif known.steps["pay"].status == "done" and known.steps["pay"].undo is None:
                assert "completed" == fork.get("o-1/pay").state
            instance = fork.resume("o-1")
            child = fork.get("o-1/pay") if instance.steps["pay"].status != "pending" else None
            assert instance.is_at_rest
            assert () == instance.residue
            if child is not None:
                assert (child.state == "completed") == (instance.state == "completed")
    assert histories == (store.history("o-1"), store.history("o-1/pay"))


def test_a_fork_of_a_blocked_tree_can_be_decided(store: Store) -> None:
    """Its nested instance has the block of which the root tells."""
    bench, _ = bench_of(store, "sync", {"fee": ["lost"]})
    blocked = bench.run()
    with forked(store, bench.saga, len(blocked.history)) as fork:
        instance = fork.resolve("o-1", step="pay/fee", result="seen", reason="looked")
        assert {"charge": "charge!", "fee": "seen"} == instance.results["pay"]
    assert "InstanceBlocked fee in_doubt" == of_pay(store)[-1]


def test_a_nested_instance_is_not_forked(way: str, memory: Store) -> None:
    """It is forked with its root."""
    bench = Bench(memory, order_of(Service(), way), way)
    bench.run()
    assert (
        "instance 'o-1/pay' is nested in instance 'o-1', which does not allow 'fork' "
        "(allowed: fork of 'o-1', get, signal)"
    ) == message_of(IllegalTransition, lambda: bench.ask("fork", "o-1/pay", at=1))


def test_a_fork_of_an_async_orchestrator(memory: Store) -> None:
    """It has the kind of its original's."""
    import asyncio

    saga = saga_of(Service(), is_async=True, **ABC)
    Bench(memory, saga, "async").run()

    async def main() -> str:
        async with (
            AsyncOrchestrator(memory, sagas=[saga]) as orchestrator,
            await orchestrator.fork("o-1", at=3) as fork,
        ):
            return (await fork.resume("o-1")).state

    assert "completed" == asyncio.run(main())
