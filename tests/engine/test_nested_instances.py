"""Law 9: what a nested saga is told it is told once, and whoever sends it back is named."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest

from sagafsm import DefinitionChanged, Orchestrator, Retry, Saga, SagaInstance
from sagafsm.core.commands import RunChild
from sagafsm.core.commit import NextCalls
from sagafsm.engine.driven_instance import DrivenInstance
from sagafsm.engine.effects import StoreCall
from sagafsm.engine.nested_instances import NestedInstances, _sending_back
from sagafsm.history import events as e
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.clock import NOON, FakeClock
from support.messages import message_of
from support.services import STEADY, Service, add, saga_of
from support.trees import PAYMENT, bench_of, order_of

NOTHING: Any = None


@attrs.frozen
class Standing:
    """A journal of which only the instance is asked."""

    instance: SagaInstance


def node_of(instance: SagaInstance, **options: Any) -> DrivenInstance:
    journal: Any = Standing(instance)
    return DrivenInstance(NOTHING, NOTHING, journal, NOTHING, {}, **options)


def request(request_id: str) -> e.CancelRequested:
    return e.CancelRequested(request_id=request_id)


def run_of(*requests: e.Request) -> RunChild:
    return RunChild(step="pay", attempt=1, key="k", requests=requests)


def going_back(memory: Store) -> tuple[SagaInstance, SagaInstance]:
    """An order that was cancelled while its payment was in doubt, and that payment."""
    bench, _ = bench_of(memory, "sync", {"fee": ["lost"]})
    bench.run()
    bench.ask("cancel", "o-1", by="me", reason="no")
    return bench.get(), bench.get("o-1/pay")


def test_what_it_was_opened_with_counts_as_told(memory: Store) -> None:
    """Beside what it was told before."""
    order, payment = going_back(memory)
    child = node_of(payment, parent=node_of(order), run=run_of(request("r-1"), request("r-2")))
    child.posted = {"r-0"}
    assert child is NestedInstances._heard(child)
    assert {"r-0", "r-1", "r-2"} == child.posted
    root = node_of(order)
    assert set() == NestedInstances._heard(root).posted


def told(tree: NestedInstances, child: DrivenInstance) -> tuple[int, bool]:
    """How many requests were posted to it, and whether there was something new."""
    steps, posts = tree.tell(child), 0
    try:
        effect = next(steps)
        while True:
            assert isinstance(effect, StoreCall)
            posts += 1
            effect = steps.send(None)
    except StopIteration as end:
        return posts, end.value


def test_a_cause_is_told_once(memory: Store) -> None:
    """However often a commit of its parent looks whether there is something to tell."""
    order, payment = going_back(memory)
    assert order.cause is not None
    tree = NestedInstances(memory, NOTHING, "me", {})
    child = node_of(payment, parent=node_of(order), run=run_of())
    assert [(1, True), (0, False), (0, False)] == [told(tree, child) for _ in range(3)]
    assert (0, False) == told(tree, node_of(order))


def test_who_sends_a_nested_saga_back_is_named_in_it(way: str, memory: Store) -> None:
    """Its cause is its parent, by whom and why that goes back."""
    bench, _ = bench_of(memory, way)
    bench.run()
    bench.ask("compensate", "o-1", by="me")
    cause = bench.get("o-1/pay").cause
    assert cause is not None
    assert ("parent", "me", "decided by me: compensated on request") == (cause.kind, cause.by, cause.reason)


def test_a_nested_saga_is_sent_back_without_a_cause(memory: Store) -> None:
    """Where its parent has none, nobody is named."""
    bench, _ = bench_of(memory, "sync")
    instance = bench.run()
    assert instance.cause is None
    (sent,) = _sending_back(node_of(instance))(instance)
    assert isinstance(sent, e.CauseRecorded)
    assert ("parent", None, "compensated with its parent") == (sent.kind, sent.by, sent.reason)


@attrs.frozen
class Payment:
    """What a payment takes: longer than what it is given, by a default."""

    order: str
    note: str = "n" * 200


def test_the_input_of_a_nested_saga_has_a_size_and_a_name(way: str, memory: Store) -> None:
    """Its parent's input, brought into its own form, is too large: its step fails, and says whose input it was."""
    payment = Saga("payment", input=Payment)
    payment.add_step("charge", lambda: None)
    saga = Saga("order")
    saga.add_saga("pay", payment)
    bench = Bench(memory, saga, way, options={"max_payload": 100})
    instance = bench.run({"order": "mug"})
    assert ["StepStarted pay 1", "StepFailed pay 1", "CauseRecorded failure pay", "InstanceFailed"] == lines(
        instance.history
    )[1:]
    assert instance.error is not None
    assert "sagafsm.errors.PayloadError" == instance.error.type
    assert instance.error.message.startswith("input of instance 'o-1/pay' ")


def test_what_a_nested_saga_waits_for_may_come_before_it_is_there(way: str, memory: Store) -> None:
    """A signal that its root has for it is in its mail when it is created."""
    payment = Saga("payment")
    payment.wait_for("ok")
    saga = Saga("order")
    saga.add_step("a", lambda: memory.post("o-1", e.SignalReceived(name="pay/ok", request_id="r-1", payload_json="1")))
    saga.add_saga("pay", payment)
    bench = Bench(memory, saga, way)
    assert "completed" == bench.run().state
    assert "SignalReceived" in [type(event).__name__ for event in memory.history("o-1/pay")]


def test_nothing_begins_in_what_nothing_is_ordered_for() -> None:
    """A command that is to be done next is kept, what is under way counted."""
    node = node_of(NOTHING)
    run = run_of()
    node.begin(NextCalls((run,), run))
    assert {"pay": run} == node.under_way
    assert run is node.command


def test_a_nested_saga_has_the_listener_and_the_deadline_of_its_root(way: str, memory: Store) -> None:
    """What happens in it is told, and it goes back when its root must."""
    told: list[str] = []
    payment, saga = Saga("payment"), Saga("order", deadline=timedelta(hours=1))
    payment.add_step("charge", lambda: None)
    saga.add_saga("pay", payment)
    bench = Bench(memory, saga, way)
    bench.options = {"on_event": lambda instance, event: told.append(f"{instance.id} {event}")}
    instance = bench.run()
    assert "o-1/pay InstanceCompleted" in told
    assert instance.deadline is not None
    assert instance.deadline == bench.get("o-1/pay").deadline


class Hurried(FakeClock):
    """A clock on which time passes between any two looks."""

    def now(self) -> datetime:
        self.advance(0.01)
        return self.time


@pytest.mark.parametrize("milliseconds", range(2, 60, 4))
def test_a_retry_that_falls_due_at_once_is_never_forgotten(milliseconds: int) -> None:
    """A backoff that is over before the parent hears of it ends the drive no earlier than any other."""
    retry = Retry(3, backoff=timedelta(milliseconds=milliseconds), factor=1, jitter=False)
    child, saga = Saga("payment", retry=retry), Saga("order")
    attempts = []

    def charge() -> str:
        attempts.append(len(attempts))
        if len(attempts) < 3:
            raise ValueError("busy")
        return "charged"

    child.add_step("charge", charge)
    saga.add_saga("pay", child)
    with Orchestrator("memory://", clock=Hurried()) as orchestrator:
        assert {"pay": {"charge": "charged"}} == orchestrator.run(saga, None, check=True).results
    assert [0, 1, 2] == attempts


def test_the_deadline_of_the_parent_cuts_the_childs(way: str, store: Store) -> None:
    """A child has its own deadline, or its parent's, whichever comes first."""
    found = {}
    for hours, own in ((1, None), (1, 2), (2, 1)):
        service = Service()
        child = Saga("payment", deadline=None if own is None else timedelta(hours=own))
        add(child, service, "charge", is_async=is_async(way))
        saga = Saga("order", deadline=timedelta(hours=hours))
        saga.add_saga("pay", child)
        bench = Bench(store, saga, way)
        bench.run(id=f"o-{hours}-{own}")
        found[hours, own] = bench.get(f"o-{hours}-{own}/pay").deadline - NOON
    hour = timedelta(hours=1)
    assert {(1, None): hour, (1, 2): hour, (2, 1): hour} == found


def test_a_deadline_passes_in_the_child(way: str, memory: Store) -> None:
    """The clock's cancel reaches parent and child, wherever they stand; both go back, and it counts once."""
    service = Service(script={"charge": ["fail", "fail"]})
    saga = Saga("order", deadline=timedelta(seconds=15))
    add(saga, service, "a", is_async=is_async(way))
    saga.add_saga("pay", saga_of(service, "payment", is_async=is_async(way), charge={"retry": STEADY}))
    bench = Bench(memory, saga, way)
    instance = bench.run()
    assert 15.0 == bench.clock.seconds
    assert ("failed", "cancel", "clock") == (instance.state, instance.cause.kind, instance.cause.by)
    assert ["a 1", "charge 1", "charge 2", "undo a 1 of a!"] == service.calls
    assert ("failed", "cancel") == (bench.get("o-1/pay").state, bench.get("o-1/pay").cause.kind)


def test_a_childs_version_is_its_own(memory: Store) -> None:
    """A child has its saga's version; a changed child is a changed parent, and the difference names where."""
    service = Service(script={"fee": ["lost"]})
    child = Saga("payment", version=7)
    for name in PAYMENT:
        add(child, service, name)
    bench = Bench(memory, order_of(service, payment=child))
    bench.run()
    assert (1, 7) == (bench.get().version, bench.get("o-1/pay").version)
    bench.saga = order_of(service, payment={"charge": {}, "tip": {}, "fee": {}})
    assert (
        "instance 'o-1' was begun under another definition of saga 'order' version 1: in saga 'pay', step 'tip' is new "
        "(register the old definition under its version and give the new one another)"
    ) == message_of(DefinitionChanged, lambda: bench.ask("resume", "o-1"))


def test_advance_walks_through_a_tree(way: str, memory: Store) -> None:
    """`advance` does one call of the tree at a time."""
    bench, service = bench_of(memory, way)
    bench.ask("start", bench.saga, "mug", id="o-1")
    seen = []
    while not bench.get().is_at_rest and len(seen) < 9:
        bench.ask("advance", "o-1")
        seen.append(len(service.calls))
    assert [1, 2, 3, 4] == seen
