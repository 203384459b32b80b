"""Law 9, the root of nested sagas: a tree is owned, recovered, cancelled as one.

- A decision names the root and the path: it ends the root's block, is recorded in the root and then in the child.
- By a child's id only `get` and `signal` work; else the error names the root. `find()` lists children too.
- A root's `wake_at` and blocks are those of its tree. `abandon` and `delete` include the children.
- `compensate` of a completed root without a pivot compensates its steps in reverse.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sagafsm import DefinitionError, IllegalTransition, Saga, SagaError, SagaNotFound
from sagafsm.history import events as e
from sagafsm.store import Store
from support.bench import Bench, is_async, line, lines
from support.clock import NOON
from support.lived import inject
from support.messages import message_of
from support.mortality import die
from support.services import STEADY, Service, add, saga_of
from support.trees import bench_of, order_of

TO_PAY = ["InstanceCreated", "StepStarted a 1", "StepSucceeded a 1", "StepStarted pay 1"]
SETTLED: dict[str, Any] = {"probe": True, "in_doubt": "retry"}


# Blocks and wake_at ---------------------------------------------------------------------------------------------------


def test_a_childs_backoff_is_slept_by_the_root(way: str, memory: Store) -> None:
    """`run` sleeps through the backoff of a child. After a crash the `wake_at` of the root is that of its tree."""
    script = {"charge": ["fail"]}
    bench, service = bench_of(memory, way, script, payment={"charge": {"retry": STEADY}})
    assert "completed" == bench.run().state
    assert 10.0 == bench.clock.seconds
    assert [*TO_PAY, "ChildParked pay", "ChildResumed pay", "StepSucceeded pay 1"] == lines(memory.history("o-1"))[:7]

    bench, service = bench_of(memory, way, script, payment={"charge": {"retry": STEADY}})
    die(bench, service, "after 5", "run", bench.saga, "mug", id="o-2")
    bench.clock.advance(1)
    due = bench.get("o-2").wake_at
    assert (due, due) == (NOON + timedelta(seconds=10), bench.get("o-2/pay").wake_at)
    assert () == bench.ask("recover").resumed
    bench.clock.advance(9)
    assert ("o-2",) == bench.ask("recover").resumed
    assert ["charge 2", "z 1"] == service.calls


def test_recover_takes_roots_alone(way: str, memory: Store) -> None:
    """A child is recovered with its tree, never alone."""
    bench, service = bench_of(memory, way, payment={"charge": {"in_doubt": "retry"}})
    service.script = {"charge": ["die after"]}
    die(bench, service, "", "run", bench.saga, "mug", id="o-1")
    assert ["o-1"] == [summary.id for summary in memory.find(due=bench.clock.now())]
    assert ("o-1",) == bench.ask("recover").resumed
    assert "completed" == bench.get("o-1/pay").state
    assert () == bench.ask("recover").resumed


def test_the_blocks_of_the_root_are_those_of_its_tree(way: str, memory: Store) -> None:
    """Each ancestor shows the block of a child by the path from there. All of them are parked and unowned."""
    service = Service(script={"transfer": ["lost"]})
    payment = Saga("payment")
    payment.add_saga("bank", saga_of(service, "bank", is_async=is_async(way), transfer={}))
    bench = Bench(memory, order_of(service, way, payment=payment), way)
    decisions = ("retry", "resolve(result)", "resolve(not_done)", "compensate", "abandon")
    assert (("pay/bank/transfer", "in_doubt", decisions),) == bench.run().blocked
    assert (("bank/transfer", "in_doubt", decisions),) == bench.get("o-1/pay").blocked
    assert (("transfer", "in_doubt", decisions),) == bench.get("o-1/pay/bank").blocked
    assert [None] * 3 == [summary.owner for summary in memory.find()]
    assert () == bench.ask("recover").resumed
    instance = bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert {"transfer": "seen"} == instance.results["pay"]["bank"]


def test_blocks_beside_each_other_need_a_path(way: str, memory: Store) -> None:
    """Two children of a group are blocked. A decision names one path, and the other child stays blocked."""
    service = Service(script={"charge": ["lost"], "transfer": ["lost"]})
    saga = Saga("order")
    for name, step in (("pay", "charge"), ("bank", "transfer")):
        saga.add_saga(name, saga_of(service, f"{name}ment", is_async=is_async(way), **{step: {}}), group="g")
    bench = Bench(memory, saga, way)
    instance = bench.run()
    assert ["pay/charge", "bank/transfer"] == [block.step for block in instance.blocked]
    assert (
        "instance 'o-1' is running:g, which does not allow 'retry without step=' "
        "(allowed: retry with step='pay/charge', retry with step='bank/transfer')"
    ) == message_of(IllegalTransition, lambda: bench.ask("retry", "o-1"))
    instance = bench.ask("resolve", "o-1", step="bank/transfer", result="seen", reason="looked")
    assert ["pay/charge"] == [block.step for block in instance.blocked]
    assert "completed" == bench.ask("resolve", "o-1", result="seen", reason="looked").state
    assert ["charge 1", "transfer 1"] == sorted(service.calls)


# Decisions by path ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"step": "pay/fee"}])
def test_a_decision_ends_the_block_of_the_root_and_drives_it(given: dict[str, Any], way: str, memory: Store) -> None:
    """The decision is recorded in the root and then in the child. `step=` may be left out when one step is blocked."""
    bench, service = bench_of(memory, way, {"fee": ["lost"]})
    bench.run()
    told: list[str] = []
    bench.options["on_event"] = lambda instance, event: told.append(f"{instance.id} {line(event)}")
    assert "completed" == bench.ask("retry", "o-1", **given).state
    assert ["fee 2 in doubt", "z 1"] == service.calls[3:]
    assert ["o-1 DecisionMade retry pay/fee", "o-1 ChildResumed pay", "o-1/pay DecisionMade retry fee"] == told[:3]


def test_a_decision_on_the_nested_saga_itself_is_refused(way: str, memory: Store) -> None:
    """The blocked step is in the child, so the decision needs the path, and nothing is recorded."""
    bench, _ = bench_of(memory, way, {"fee": ["lost"]})
    bench.run()
    history = memory.history("o-1"), memory.history("o-1/pay")
    assert (
        "instance 'o-1' is running:pay, which does not allow 'retry of step pay' "
        "(allowed: resume, cancel, retry, resolve(result), resolve(not_done), compensate, abandon)"
    ) == message_of(IllegalTransition, lambda: bench.ask("retry", "o-1", step="pay"))
    assert history == (memory.history("o-1"), memory.history("o-1/pay"))


def test_a_decision_by_path_survives_a_crash(way: str, memory: Store) -> None:
    """Recovery hands a decision of the root down to the child again, and the child records it once."""
    for number in range(1, 5):
        for durable in ("before", "after"):
            id = f"o-{number}-{durable}"
            bench, service = bench_of(memory, way, {"fee": ["lost"]}, payment={"charge": SETTLED, "fee": {}})
            bench.run(id=id)
            die(bench, service, f"{durable} {number}", "resolve", id, result="seen", reason="looked")
            if "before 1" == f"{durable} {number}":
                assert bench.get(id).blocked
                continue
            bench.ask("recover")
            if bench.get(id).blocked:
                # z was started when it died: in doubt by itself.
                assert ["z"] == [block.step for block in bench.get(id).blocked]
            child = memory.load(f"{id}/pay").instance
            assert "completed" == child.state
            assert 1 == sum(isinstance(event, e.DecisionMade) for event in child.history)
            assert "seen" == child.results["fee"]


@pytest.mark.parametrize(
    "ask",
    [
        ("resume", {}),
        ("advance", {}),
        ("cancel", {"reason": "w"}),
        ("retry", {}),
        ("compensate", {}),
        ("skip", {"reason": "w"}),
        ("abandon", {"reason": "w"}),
        ("resolve", {"not_done": True, "reason": "w"}),
        ("fork", {"at": 1}),
    ],
    ids=lambda ask: ask[0],
)
@pytest.mark.parametrize("state", ["blocked", "completed"])
def test_by_a_childs_id_one_can_only_read_and_signal(ask: Any, state: str, way: str, memory: Store) -> None:
    """Any other operation is refused. The message names the root, and nothing is recorded."""
    bench, _ = bench_of(memory, way, {"fee": ["lost"]} if state == "blocked" else {})
    bench.run()
    history = memory.history("o-1/pay")
    operation, given = ask
    called = "resolve(not_done)" if operation == "resolve" else operation
    assert (
        f"instance 'o-1/pay' is nested in instance 'o-1', which does not allow {called!r} "
        f"(allowed: {called} of 'o-1', get, signal)"
    ) == message_of(IllegalTransition, lambda: bench.ask(operation, "o-1/pay", **given))
    assert history == memory.history("o-1/pay") == bench.ask("get", "o-1/pay").history


def test_a_child_cannot_be_started_by_its_id(way: str, memory: Store) -> None:
    """An id of a user has no `/`."""
    bench, _ = bench_of(memory, way)
    assert ("an instance id takes 1 to 200 characters, none a control character or '/', not 'o-1/pay'") == message_of(
        DefinitionError, lambda: bench.run(id="o-1/pay")
    )


# Abandon, compensate and delete ---------------------------------------------------------------------------------------


def test_abandon_closes_children_first(way: str, memory: Store) -> None:
    """Each instance of the tree fails, the deepest first, also without a definition. The root has all residue."""
    service = Service(script={"transfer": ["lost"]})
    payment = Saga("payment")
    add(payment, service, "charge", is_async=is_async(way))
    payment.add_saga("bank", saga_of(service, "bank", is_async=is_async(way), transfer={}))
    bench = Bench(memory, order_of(service, way, payment=payment), way)
    bench.run()
    order: list[str] = []
    bench.saga = saga_of(service, "other", a={})  # the sagas of the tree are not registered
    bench.options = {"on_event": lambda instance, event: order.append(f"{instance.id} {event}")}
    instance = bench.ask("abandon", "o-1", by="me", reason="enough")
    assert [
        "o-1/pay/bank DecisionMade",
        "o-1/pay/bank InstanceFailed",
        "o-1/pay ChildAbandoned bank",
        "o-1/pay DecisionMade",
        "o-1/pay InstanceFailed",
        "o-1 ChildAbandoned pay",
        "o-1 DecisionMade",
        "o-1 InstanceFailed",
    ] == order
    assert (
        ("a", "abandoned", "a!"),
        ("pay/charge", "abandoned", "charge!"),
        ("pay/bank/transfer", "in_doubt", None),
    ) == instance.residue
    assert "abandoned by me: enough" == bench.get("o-1/pay/bank").why
    assert ["failed"] * 3 == [summary.state for summary in memory.find()]


@pytest.mark.parametrize(("script", "left"), [({}, True), ({"fee": ["fail"]}, False)])
def test_an_abandoned_parent_hears_a_child_that_had_ended(script: Any, left: bool, way: str, memory: Store) -> None:
    """A child that ended before its parent recorded that: the parent shows the residue of the child."""
    bench, service = bench_of(memory, way, script)
    die(bench, service, "before 6" if left else "before 7", "run", bench.saga, "mug", id="o-1")
    assert bench.get("o-1/pay").is_at_rest
    instance = bench.ask("abandon", "o-1", reason="enough")
    remains = [("pay/charge", "abandoned", "charge!"), ("pay/fee", "abandoned", "fee!")] if left else []
    assert [("a", "abandoned", "a!"), *remains] == list(instance.residue)


def test_abandon_while_a_child_is_undone(way: str, memory: Store) -> None:
    """Effects that the child had not undone are residue."""
    bench, _ = bench_of(memory, way, {"z": ["fail"], "undo charge": ["permanent"]})
    bench.run()
    instance = bench.ask("abandon", "o-1", reason="enough")
    assert [("a", "abandoned", "a!"), ("pay/charge", "abandoned", "charge!")] == list(instance.residue)
    assert "failed" == bench.get("o-1/pay").state


def test_a_completed_root_is_compensated_on_request(way: str, store: Store) -> None:
    """All steps are undone in reverse, also those of children. The decision is the cause."""
    bench, service = bench_of(store, way)
    bench.run()
    service.calls.clear()
    instance = bench.ask("compensate", "o-1", by="me")
    assert ["DecisionMade compensate", "CauseRecorded decision compensated on request"] == [
        line.removesuffix(" None") for line in lines(instance.history)[8:10]
    ]
    assert ["undo z 1 of z!", "undo fee 1 of fee!", "undo charge 1 of charge!", "undo a 1 of a!"] == service.calls
    assert "decided by me: compensated on request" == str(instance.cause)
    assert instance.compensated
    assert "parent" == bench.get("o-1/pay").cause.kind


@pytest.mark.parametrize("number", range(1, 8))
def test_a_compensation_on_request_survives_a_crash(number: int, way: str, memory: Store) -> None:
    """Recovery continues a compensation on request after a crash at any commit."""
    bench, service = bench_of(memory, way)
    bench.run()
    die(bench, service, f"after {number}", "compensate", "o-1", by="me")
    assert {} == bench.ask("recover").errors
    assert bench.get().compensated
    assert {} == service.effects


@pytest.mark.parametrize(
    ("script", "undo", "operation", "state"),
    [
        ({}, False, "compensate", "completed"),
        ({}, False, "retry", "completed"),
        ({"a": ["fail"]}, True, "compensate", "failed"),
    ],
)
def test_an_instance_without_a_way_back_is_not_compensated(
    script: dict[str, list[Any]], undo: bool, operation: str, state: str, way: str, memory: Store
) -> None:
    """No step has a compensation, or the instance has gone back already."""
    service = Service(script=script)
    bench = Bench(memory, saga_of(service, is_async=is_async(way), a={"undo": undo}), way)
    bench.run()
    assert f"instance 'o-1' is {state}, which does not allow {operation!r} (allowed: nothing)" == message_of(
        IllegalTransition, lambda: bench.ask(operation, "o-1")
    )


def test_delete_removes_children(store: Store) -> None:
    """A tree is deleted by its root, and only when the root is at rest."""
    bench, _ = bench_of(store, "sync", {"z": ["lost"]})
    bench.run()
    assert (
        "instance 'o-1/pay' is nested in instance 'o-1', which does not allow 'delete' (allowed: delete of 'o-1')"
        == (message_of(IllegalTransition, lambda: store.delete("o-1/pay")))
    )
    bench.ask("resolve", "o-1", result="seen", reason="looked")
    bench.run(id="o-1-other")
    bench.ask("abandon", "o-1-other", reason="w") if bench.get("o-1-other").blocked else None
    store.delete("o-1")
    assert ["o-1-other", "o-1-other/pay"] == [summary.id for summary in store.find()]
    with pytest.raises(SagaNotFound):
        store.history("o-1/pay")
    bench.saga = order_of(Service(), "sync")
    assert "completed" == bench.run().state


# Positive controls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "example", "arguments"),
    [
        ("a_childs_block_is_not_passed_on", test_the_blocks_of_the_root_are_those_of_its_tree, ()),
        ("a_childs_wake_at_is_forgotten", test_a_childs_backoff_is_slept_by_the_root, ()),
        ("decision_not_passed_on", test_a_decision_ends_the_block_of_the_root_and_drives_it, ({},)),
    ],
)
def test_a_broken_tree_is_noticed_by_its_example(
    fault: str, example: Callable[..., None], arguments: tuple[Any, ...], memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core breaks one bullet of the law."""
    inject(monkeypatch, fault)
    with pytest.raises((AssertionError, SagaError)):
        example(*arguments, "sync", memory)
