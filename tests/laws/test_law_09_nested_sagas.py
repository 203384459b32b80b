"""Law 9, a nested saga is an instance of its own (`parent/step`); a tree is owned, recovered, cancelled as one.

- The child has its own machine and history. The history is the evidence, so a nested step is never in doubt.
- Its result: the child's results by name. Its input: the parent's, unless `input=` is given.
- The root's claim covers the tree.
- A cause of the parent is posted to an unfinished child's mailbox, and absorbed before anything else. That child goes
  back at once. A completed child waits for its turn in the reverse order. A child not yet created is never created.
- A nested saga has no pivot and comes before its parent's pivot, else `DefinitionError`.

`tests/test_nested_root.py` has the rest of the law: the root speaks for its tree. Crashes are in
`tests/exams/crash/test_crash_table_of_trees.py`, and a worker that lost the root in `tests/engine/test_lost_roots.py`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given

from sagafsm import DefinitionError, Saga, SagaError, SagaNotFound, StoreConflict
from sagafsm.history import events as e
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.controls import quick
from support.exams import STRANGER
from support.lived import check_singles, each, inject, lived, lives
from support.lives import Life
from support.messages import message_of
from support.mortality import die
from support.orders import cancelling
from support.services import Service, add, saga_of
from support.trees import bench_of, of_pay, order_of
from support.verdicts import check_nested, check_no_action_after

CHARGED = ["InstanceCreated", "StepStarted charge 1", "StepSucceeded charge 1"]
PAID = [*CHARGED, "StepStarted fee 1", "StepSucceeded fee 1", "InstanceCompleted"]
TO_PAY = ["InstanceCreated", "StepStarted a 1", "StepSucceeded a 1", "StepStarted pay 1"]
UNPAID = [
    "CompensationStarted fee 1",
    "CompensationSucceeded fee 1",
    "CompensationStarted charge 1",
    "CompensationSucceeded charge 1",
    "InstanceFailed",
]
SETTLED: dict[str, Any] = {"probe": True, "in_doubt": "retry"}


# There and back -------------------------------------------------------------------------------------------------------


def test_a_child_is_an_instance_of_its_own(way: str, store: Store) -> None:
    """The result of the step in the parent is the results of the child by name."""
    bench, service = bench_of(store, way)
    instance = bench.run()
    assert "completed" == instance.state
    assert {"a": "a!", "pay": {"charge": "charge!", "fee": "fee!"}, "z": "z!"} == instance.results
    forth = ["StepSucceeded pay 1", "StepStarted z 1", "StepSucceeded z 1", "InstanceCompleted"]
    assert [*TO_PAY, *forth] == lines(instance.history)
    assert PAID == of_pay(store)
    child = bench.get("o-1/pay")
    assert ("payment", 1, "completed", "mug", None) == (
        child.saga,
        child.version,
        child.state,
        child.input,
        child.owner,
    )
    assert ["a 1", "charge 1", "fee 1", "z 1"] == service.calls
    assert ["o-1", "o-1/pay"] == [summary.id for summary in store.find()]


def test_two_levels(way: str, memory: Store) -> None:
    """Ids, results and compensations of a child of a child."""
    service = Service(script={"z": ["fail"]})
    inner = saga_of(service, "bank", is_async=is_async(way), transfer={}, book={})
    payment = Saga("payment")
    payment.add_saga("bank", inner)
    add(payment, service, "fee", is_async=is_async(way))
    bench = Bench(memory, order_of(service, way, payment=payment), way)
    instance = bench.run()
    assert {"bank": {"transfer": "transfer!", "book": "book!"}, "fee": "fee!"} == instance.results["pay"]
    assert ["o-1", "o-1/pay", "o-1/pay/bank"] == [summary.id for summary in memory.find()]
    undone = ["undo fee 1 of fee!", "undo book 1 of book!", "undo transfer 1 of transfer!", "undo a 1 of a!"]
    assert undone == service.calls[-4:]
    assert instance.compensated


def test_a_later_step_is_given_the_results_by_name() -> None:
    """A later step of the parent reads the results of the child by name."""
    child, saga = Saga("payment"), Saga("order")
    child.add_step("charge", lambda input: {"id": input["amount"]})
    saga.add_saga("pay", child)
    saga.add_step("ship", lambda pay: pay["charge"]["id"] + 1)
    assert 8 == saga.run({"amount": 7}).results["ship"]
    saga.orchestrator.close()


def test_a_childs_failure_is_its_steps(way: str, memory: Store) -> None:
    """The child goes back by itself. Then its step in the parent has failed, without effect."""
    bench, service = bench_of(memory, way, {"fee": ["fail"]})
    instance = bench.run()
    assert ["StepFailed pay 1", "CauseRecorded failure pay", "CompensationStarted a 1"] == lines(instance.history)[4:7]
    why = "nested saga 'o-1/pay' failed: step 'fee' failed: Refused: refused"
    assert ("sagafsm.SagaFailed", why) == (instance.error.type, instance.error.message)
    assert ["a 1", "charge 1", "fee 1", "undo charge 1 of charge!", "undo a 1 of a!"] == service.calls
    assert instance.compensated


def test_a_completed_child_goes_back_with_its_parent(way: str, memory: Store) -> None:
    """The child goes back in its turn of the reverse order. The cause of the child is that of the parent."""
    bench, service = bench_of(memory, way, {"z": ["fail"]})
    instance = bench.run()
    assert ["undo fee 1 of fee!", "undo charge 1 of charge!", "undo a 1 of a!"] == service.calls[4:]
    assert [*PAID, "CauseRecorded parent step 'z' failed: Refused: refused", *UNPAID] == of_pay(memory)
    assert ["CompensationStarted pay 1", "CompensationSucceeded pay 1", "CompensationStarted a 1"] == lines(
        instance.history
    )[8:11]
    assert instance.compensated
    assert bench.get("o-1/pay").compensated


# The input ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Payment:
    amount: int


def test_a_childs_input_is_its_parents(memory: Store) -> None:
    """The child decodes the input of its parent by its own type."""
    child, saga, seen = Saga("payment"), Saga("order"), []

    @child.step
    def charge(input: Payment):
        seen.append(input)

    saga.add_saga("pay", child)
    assert "completed" == Bench(memory, saga).run({"amount": 7}).state
    assert [Payment(7)] == seen


def test_a_childs_input_can_be_computed(way: str, memory: Store) -> None:
    """`input=` reads the input and earlier results of the parent. Its result is stored as the input type of the child."""
    child, saga, seen = Saga("payment"), Saga("order"), []

    @child.step
    def charge(input: Payment):
        seen.append(input)

    saga.add_step("price", lambda input: 2 * len(input))
    saga.add_saga("pay", child, input=lambda input, price: Payment(amount=price + len(input)))
    instance = Bench(memory, saga, way).run("mug")
    assert "completed" == instance.state
    assert [Payment(9)] == seen
    assert {"amount": 9} == memory.load("o-1/pay").instance.input
    assert ["StepSucceeded price 1", "StepPrepared pay", "StepStarted pay 1"] == lines(instance.history)[2:5]
    assert '{"amount":9}' == instance.history[3].input_json


def test_a_child_is_resumed_where_it_stood(way: str, memory: Store) -> None:
    """After a crash the step of the child is in doubt, but the step in the parent is parked, never in doubt."""
    bench, service = bench_of(memory, way, {"charge": ["die after"]})
    die(bench, service, "", "run", bench.saga, "mug", id="o-1")
    assert {} == bench.ask("recover").errors
    assert [*CHARGED[:2], "StepInDoubt charge 1 process_died", "InstanceBlocked charge in_doubt"] == of_pay(memory)
    assert [*TO_PAY, "ChildParked pay", "InstanceBlocked pay/charge in_doubt"] == lines(memory.history("o-1"))
    instance = bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert {"charge": "seen", "fee": "fee!"} == instance.results["pay"]


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda input: {"amount": "much"}, "input of step 'pay' of instance 'o-1' at $.amount: str where int is declared"),
        (lambda input: [1],
         "input of step 'pay' of instance 'o-1' at $.amount: list indices must be integers or slices, not str"),
        (None, "input of instance 'o-1/pay' at $.amount: string indices must be integers, not 'str'"),
    ],
)  # fmt: skip
def test_an_input_that_does_not_fit_fails_the_step(compute: Any, message: str, way: str, memory: Store) -> None:
    """Without `input=` the input of the parent must fit the child. The child is never created."""
    child, saga = Saga("payment"), Saga("order")

    @child.step
    def charge(input: Payment): ...

    saga.add_saga("pay", child, input=compute)
    instance = Bench(memory, saga, way).run()
    assert ("failed", "failure", "pay") == (instance.state, instance.cause.kind, instance.cause.step)
    assert ("sagafsm.errors.PayloadError", message) == (instance.error.type, instance.error.message)
    with pytest.raises(SagaNotFound):
        memory.load("o-1/pay")


# A cause of the parent ------------------------------------------------------------------------------------------------


def test_a_cause_of_the_parent_is_posted_to_the_running_child(way: str, memory: Store) -> None:
    """The child absorbs the cause first and goes back, and the parent goes back after its child."""
    bench, service = bench_of(memory, way)
    service.script = {"charge": [cancelling(memory)]}
    instance = bench.run()
    why = "its parent 'o-1' goes back: cancelled by me: no"
    assert [
        *CHARGED[:2],
        f"CancelRequested {why}",
        f"CauseRecorded cancel {why}",
        "StepSucceeded charge 1",
        "CompensationStarted charge 1",
        "CompensationSucceeded charge 1",
        "InstanceFailed",
    ] == of_pay(memory)
    assert [*TO_PAY, "CancelRequested no", "CauseRecorded cancel no", "StepFailed pay 1"] == lines(instance.history)[:7]
    assert ["a 1", "charge 1", "undo charge 1 of charge!", "undo a 1 of a!"] == service.calls
    assert ("cancel", "me", "no") == (instance.cause.kind, instance.cause.by, instance.cause.reason)
    assert instance.compensated


def test_a_cause_is_posted_again_on_recovery_and_counts_once(way: str, memory: Store) -> None:
    """The child gets the cause again after each crash, and records one cancel."""
    for number in range(5, 10):
        # The fourth is refused: mail waits.
        service = Service()
        id = f"o-{number}"
        bench = Bench(memory, order_of(service, way, payment={"charge": SETTLED, "fee": SETTLED}), way)
        service.script = {"charge": [cancelling(memory, id=id)]}
        die(bench, service, f"after {number}", "run", bench.saga, "mug", id=id)
        assert {} == bench.ask("recover").errors
        child = memory.load(f"{id}/pay").instance
        assert 1 == sum(isinstance(event, e.CancelRequested) for event in child.history), number
        assert bench.get(id).compensated
        assert child.compensated
        assert {} == service.effects


def test_a_child_not_yet_created_is_never_created(way: str, memory: Store) -> None:
    """The cause came between the start of the step and the creation of the child, so the step has failed."""
    bench, service = bench_of(memory, way)
    die(bench, service, "before 3", "run", bench.saga, "mug", id="o-1")
    instance = bench.ask("cancel", "o-1", by="me", reason="no")
    with pytest.raises(SagaNotFound):
        bench.get("o-1/pay")
    assert ["CancelRequested no", "CauseRecorded cancel no", "StepFailed pay 1", "CompensationStarted a 1"] == lines(
        instance.history
    )[4:8]
    assert ["undo a 1 of a!"] == service.calls
    assert instance.compensated


# Residue, the claim, and definitions ----------------------------------------------------------------------------------


def test_residue_is_carried_up(way: str, memory: Store) -> None:
    """The parent shows the residue of a child by path, after a failure of the child and after going back."""
    payment = {"charge": {"undo": False}, "fee": {}}
    for script in ({"fee": ["fail"]}, {"z": ["fail"]}):
        id = f"o-{len(script)}-{next(iter(script))}"
        bench, _ = bench_of(memory, way, script, payment=payment)
        instance = bench.run(id=id)
        assert (("pay/charge", "no_compensation", "charge!"),) == instance.residue
        assert not instance.compensated
        assert (("charge", "no_compensation", "charge!"),) == bench.get(f"{id}/pay").residue


def test_a_child_that_nothing_undoes_leaves_all_that_it_did(way: str, memory: Store) -> None:
    """The parent passes a child without compensations over, and the effects of the child are residue."""
    payment = {"charge": {"undo": False}, "look": {"undo": False, "effect": False}}
    bench, service = bench_of(memory, way, {"z": ["fail"]}, payment=payment)
    instance = bench.run()
    assert (("pay/charge", "no_compensation", "charge!"),) == instance.residue
    assert "undo a 1 of a!" == service.calls[-1]
    assert "completed" == bench.get("o-1/pay").state


def test_the_root_is_claimed_for_the_whole_tree(way: str, memory: Store) -> None:
    """While an action of the child runs, root and child are owned. An owner that lost the root stops."""
    seen: list[Any] = []

    def steal() -> None:
        seen.append([summary.owner is not None for summary in memory.find()])
        for name in ("o-1", "o-1/pay"):
            token = memory.load(name).summary.token
            memory.claim(name, owner=STRANGER, lease=timedelta(hours=1), replacing=token)

    bench, service = bench_of(memory, way, {"charge": [steal]})
    with pytest.raises(StoreConflict):
        bench.run()
    assert [[True, True]] == seen
    assert ["a 1", "charge 1"] == service.calls


def test_a_nested_saga_has_no_pivot_and_comes_before_the_pivot() -> None:
    """The saga is refused, also when the pivot comes later, by a step defined again."""

    def ship() -> None: ...

    child, parent, behind, later = Saga("payment"), Saga("order"), Saga("order"), Saga("order")
    child.step(ship)
    parent.add_saga("pay", child)
    behind.step(ship, pivot=True)
    later.step(ship)
    later.add_saga("pay", child)
    later.step(ship, pivot=True)
    is_behind = "nested saga 'pay' stands behind pivot 'ship' (put it before the pivot)"
    assert is_behind == message_of(DefinitionError, lambda: behind.add_saga("pay", child))
    assert is_behind == message_of(DefinitionError, lambda: later.definition)
    child.step(ship, pivot=True)
    has_pivot = "nested saga 'pay' has a pivot, 'ship', from which its parent could not go back (run it on its own)"
    assert has_pivot == message_of(DefinitionError, lambda: parent.definition)
    assert has_pivot == message_of(DefinitionError, lambda: Saga("order").add_saga("pay", child))


# Any saga -------------------------------------------------------------------------------------------------------------


def check_tree(life: Life) -> None:
    """Check that each parent and its children agree, and that no child acts without or against its parent."""
    instances = {}

    def collect(_: Life, instance: Any) -> None:
        instances[instance.id] = instance

    each(collect)(life)
    for instance in instances.values():
        check_nested(life, instance, instances)
    check_no_action_after(life)
    assert [] == [breach for breach in life.world.breaches if " in o-1" in breach or "unowned" in breach]


@quick(30)
@given(life=lives().filter(lambda life: any(step.child for step in life.plan.steps)))
def test_any_tree_is_driven_as_one(life: Life) -> None:
    """Results, inputs and residue of parent and child agree, and each child is at rest in the end."""
    check_tree(lived(life))


# Positive controls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        "cause_not_posted_to_nested",
        "computed_input_not_recorded",
        "nested_claimed_without_their_parent",
        "nested_not_sent_back",
    ],
)
def test_a_broken_tree_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core or the drive breaks one bullet of the law."""
    inject(monkeypatch, fault)
    with pytest.raises((AssertionError, SagaError, KeyError)):
        check_singles(check_tree)


def test_residue_that_is_not_carried_up_is_noticed(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core drops the residue of each child."""
    inject(monkeypatch, "residue_of_nested_not_told")
    with pytest.raises(AssertionError):
        test_residue_is_carried_up("sync", memory)
