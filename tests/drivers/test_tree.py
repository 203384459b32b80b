"""Law 9: what a nested saga is told it is told once, and whoever sends it back is named."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs

from sagafsm import Saga, SagaInstance
from sagafsm import events as e
from sagafsm.batch import Todo
from sagafsm.command import RunChild
from sagafsm.drivers.effects import StoreCall
from sagafsm.drivers.node import Node
from sagafsm.drivers.tree import Tree, _sending_back
from sagafsm.store import Store
from support.bench import Bench, lines
from support.trees import bench_of

NOTHING: Any = None


@attrs.frozen
class Standing:
    """A journal of which only the instance is asked."""

    instance: SagaInstance


def node_of(instance: SagaInstance, **options: Any) -> Node:
    journal: Any = Standing(instance)
    return Node(NOTHING, NOTHING, journal, NOTHING, {}, **options)


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
    assert child is Tree._heard(child)
    assert {"r-0", "r-1", "r-2"} == child.posted
    root = node_of(order)
    assert set() == Tree._heard(root).posted


def told(tree: Tree, child: Node) -> tuple[int, bool]:
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
    tree = Tree(memory, NOTHING, "me", {})
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
    node.begin(Todo((run,), run))
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
