"""Law 9: a nested saga is an instance of its own, driven, recovered, cancelled and decided as a part of its tree.

Its history is the evidence of what it did, so that as a step it is never in doubt.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest

from sagafsm import IllegalTransition, Orchestrator, Retry, Saga, SagaNotFound, StoreConflict
from sagafsm import events as e
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.clock import NOON, FakeClock
from support.messages import message_of
from support.mortality import die
from support.services import STEADY, Service, add, saga_of
from support.stores import MortalStore
from support.trees import PAYMENT, bench_of, of_pay, order_of

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


# There and back -------------------------------------------------------------------------------------------------------


def test_a_child_is_an_instance_of_its_own(way: str, store: Store) -> None:
    """It has the id "parent/step", its own saga, machine and history; its results by name are its step's result."""
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


def test_a_later_step_is_given_the_results_by_name() -> None:
    """What the child's steps returned is there by name, for actions and compensations behind it."""
    child, saga = Saga("payment"), Saga("order")
    child.add_step("charge", lambda input: {"id": input["amount"]})
    saga.add_saga("pay", child)
    saga.add_step("ship", lambda pay: pay["charge"]["id"] + 1)
    assert 8 == saga.run({"amount": 7}).results["ship"]
    saga.orchestrator.close()


def test_a_childs_failure_is_its_steps(way: str, store: Store) -> None:
    """The child has undone what it did; the parent's step has failed and left nothing."""
    bench, service = bench_of(store, way, {"fee": ["fail"]})
    instance = bench.run()
    assert ["StepFailed pay 1", "CauseRecorded failure pay", "CompensationStarted a 1"] == lines(instance.history)[4:7]
    why = "nested saga 'o-1/pay' failed: step 'fee' failed: Refused: refused"
    assert ("sagafsm.SagaFailed", why) == (instance.error.type, instance.error.message)
    assert ["a 1", "charge 1", "fee 1", "undo charge 1 of charge!", "undo a 1 of a!"] == service.calls
    assert instance.compensated


def test_a_completed_child_goes_back_with_its_parent(way: str, store: Store) -> None:
    """Its steps are undone in reverse, in its place in the order; the parent's cause is its cause."""
    bench, service = bench_of(store, way, {"z": ["fail"]})
    instance = bench.run()
    assert ["undo fee 1 of fee!", "undo charge 1 of charge!", "undo a 1 of a!"] == service.calls[4:]
    assert [*PAID, "CauseRecorded parent step 'z' failed: Refused: refused", *UNPAID] == of_pay(store)
    assert ["CompensationStarted pay 1", "CompensationSucceeded pay 1", "CompensationStarted a 1"] == lines(
        instance.history
    )[8:11]
    assert instance.compensated
    assert bench.get("o-1/pay").compensated


def test_two_levels(way: str, store: Store) -> None:
    """A child of a child: ids, results and undo at any depth."""
    service = Service(script={"z": ["fail"]})
    inner = saga_of(service, "bank", is_async=is_async(way), transfer={}, book={})
    payment = Saga("payment")
    payment.add_saga("bank", inner)
    add(payment, service, "fee", is_async=is_async(way))
    bench = Bench(store, order_of(service, way, payment=payment), way)
    instance = bench.run()
    assert {"bank": {"transfer": "transfer!", "book": "book!"}, "fee": "fee!"} == instance.results["pay"]
    assert ["o-1", "o-1/pay", "o-1/pay/bank"] == [summary.id for summary in store.find()]
    undone = ["undo fee 1 of fee!", "undo book 1 of book!", "undo transfer 1 of transfer!", "undo a 1 of a!"]
    assert undone == service.calls[-4:]
    assert instance.compensated


# Its input ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Payment:
    amount: int


def test_a_childs_input_is_its_parents(memory: Store) -> None:
    """Unless `input=` says otherwise; it is decoded by the child's own type."""
    child, saga, seen = Saga("payment"), Saga("order"), []

    @child.step
    def charge(input: Payment):
        seen.append(input)

    saga.add_saga("pay", child)
    assert "completed" == Bench(memory, saga).run({"amount": 7}).state
    assert [Payment(7)] == seen


def test_a_childs_input_can_be_computed(way: str, store: Store) -> None:
    """`input=` is given the parent's input and earlier results; what it returns is stored as the child's type."""
    child, saga, seen = Saga("payment"), Saga("order"), []

    @child.step
    def charge(input: Payment):
        seen.append(input)

    saga.add_step("price", lambda input: 2 * len(input))
    saga.add_saga("pay", child, input=lambda input, price: Payment(amount=price + len(input)))
    instance = Bench(store, saga, way).run("mug")
    assert "completed" == instance.state
    assert [Payment(9)] == seen
    assert {"amount": 9} == store.load("o-1/pay").instance.input
    assert ["StepSucceeded price 1", "StepPrepared pay", "StepStarted pay 1"] == lines(instance.history)[2:5]
    assert '{"amount":9}' == instance.history[3].input_json


@pytest.mark.parametrize(
    ("compute", "told"),
    [
        (lambda input: {"amount": "much"}, "$.amount: str where int is declared"),
        (lambda input: [1], "$.amount: list indices must be integers or slices, not str"),
    ],
)
def test_an_input_that_does_not_fit_fails_the_step(compute: Any, told: str, way: str, memory: Store) -> None:
    """A computed input that cannot be stored, or is of another type, is a definite failure; the child never is."""
    child, saga = Saga("payment"), Saga("order")

    @child.step
    def charge(input: Payment): ...

    saga.add_saga("pay", child, input=compute)
    instance = Bench(memory, saga, way).run()
    assert ("failed", "failure", "pay") == (instance.state, instance.cause.kind, instance.cause.step)
    assert f"input of step 'pay' of instance 'o-1' at {told}" == instance.error.message
    assert "sagafsm.errors.PayloadError" == instance.error.type
    with pytest.raises(SagaNotFound):
        memory.load("o-1/pay")


def test_a_parents_input_that_does_not_fit_the_child_fails_the_step(way: str, memory: Store) -> None:
    """Without `input=` too: the step fails before anything of the child exists."""
    child, saga = Saga("payment"), Saga("order")

    @child.step
    def charge(input: Payment): ...

    saga.add_saga("pay", child)
    instance = Bench(memory, saga, way).run("mug")
    assert ("failed", "pay") == (instance.state, instance.cause.step)
    told = "input of instance 'o-1/pay' at $.amount: string indices must be integers, not 'str'"
    assert told == instance.error.message
    with pytest.raises(SagaNotFound):
        memory.load("o-1/pay")


# Crashes --------------------------------------------------------------------------------------------------------------

SETTLED: dict[str, Any] = {"probe": True, "in_doubt": "retry"}
SCRIPTS: dict[str, dict[str, list[Any]]] = {
    "forth": {},
    "back from behind": {"z": ["fail", "fail"]},
    "back from within": {"fee": ["fail", "fail"]},
    "back from the child's first": {"charge": ["fail", "fail"]},
}


def settled(store: Any, way: str, script: dict[str, list[Any]]) -> tuple[Bench, Service]:
    return bench_of(store, way, script, steps={"a": SETTLED, "z": SETTLED}, payment={"charge": SETTLED, "fee": SETTLED})


def outcome_of(store: Store) -> tuple[Any, ...]:
    root, child = store.load("o-1").instance, store.load("o-1/pay").instance
    results = str((root.results, child.results)).replace("?", "!")
    return root.state, results, root.residue, child.state, child.residue, root.owner, child.owner


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_crash_at_any_commit_changes_nothing(script: str, way: str, memory: Store) -> None:
    """Whichever commit of parent or child is the last, recovery ends as if nothing had been: same ends, same effects."""
    bench, service = settled(memory, way, SCRIPTS[script])
    counted = MortalStore(memory)
    bench.store = counted
    bench.run()
    bench.store = memory
    expected, effects = outcome_of(memory), sorted(service.effects.values())
    assert counted.commits > 5
    for number in range(1, counted.commits + 1):
        for durable in ("before", "after"):
            if _exists(memory, "o-1"):
                memory.delete("o-1")
            bench, service = settled(memory, way, SCRIPTS[script])
            die(bench, service, f"{durable} {number}", "run", bench.saga, "mug", id="o-1")
            if not _exists(memory, "o-1"):
                assert "before 1" == f"{durable} {number}"
                bench.run()
            assert {} == bench.ask("recover").errors
            assert expected == outcome_of(memory), f"{durable} {number}"
            assert effects == sorted(service.effects.values()), f"{durable} {number}"
            service.check_keys()
            assert () == bench.ask("recover").resumed


def _exists(store: Store, name: str) -> bool:
    try:
        store.load(name)
    except SagaNotFound:
        return False
    return True


def test_a_child_that_is_absent_is_created(way: str, store: Store) -> None:
    """Crash table: the parent started the child; it is absent: created, and driven."""
    bench, service = bench_of(store, way)
    die(bench, service, "before 3", "run", bench.saga, "mug", id="o-1")
    assert TO_PAY == lines(store.history("o-1"))
    assert not _exists(store, "o-1/pay")
    assert {} == bench.ask("recover").errors
    assert ["charge 1", "fee 1", "z 1"] == service.calls
    assert "completed" == bench.get().state


def test_a_child_that_has_ended_is_heard(way: str, store: Store) -> None:
    """Crash table: the child is at rest; its outcome is taken, nothing of it is called."""
    bench, service = bench_of(store, way)
    die(bench, service, "before 6", "run", bench.saga, "mug", id="o-1")
    assert PAID == of_pay(store)
    assert TO_PAY == lines(store.history("o-1"))
    assert {} == bench.ask("recover").errors
    assert ["z 1"] == service.calls
    assert "completed" == bench.get().state


def test_a_child_is_resumed_where_it_stood(way: str, store: Store) -> None:
    """Crash table: unfinished: its own doubt is settled by its own laws; as a step it is never in doubt."""
    bench, service = bench_of(store, way, {"charge": ["die after"]})
    die(bench, service, "", "run", bench.saga, "mug", id="o-1")
    assert {} == bench.ask("recover").errors
    assert [*CHARGED[:2], "StepInDoubt charge 1 process_died", "InstanceBlocked charge in_doubt"] == of_pay(store)
    assert [*TO_PAY, "ChildParked pay", "InstanceBlocked pay/charge in_doubt"] == lines(store.history("o-1"))
    instance = bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert {"charge": "seen", "fee": "fee!"} == instance.results["pay"]


@pytest.mark.parametrize("durable", ["after 4", "after 5", "after 6", "after 7"])
def test_a_child_that_was_sent_back_is_not_sent_twice(durable: str, way: str, store: Store) -> None:
    """Crash table: the parent undoes the child, which has completed, goes back or failed: it goes on; residue taken."""
    bench, service = bench_of(store, way, {"z": ["fail"]})
    number = int(durable.split()[1]) + 3
    die(bench, service, f"after {number}", "run", bench.saga, "mug", id="o-1")
    assert {} == bench.ask("recover").errors
    assert 1 == sum(isinstance(event, e.CauseRecorded) for event in store.history("o-1/pay"))
    assert 1 == lines(store.history("o-1")).count("CompensationSucceeded pay 1")
    assert bench.get().compensated
    assert {} == service.effects


# A cause of the parent ------------------------------------------------------------------------------------------------


def canceller(store: Store, id: str = "o-1") -> Callable[[], None]:
    def cancel() -> None:
        with Orchestrator(store) as stranger:
            stranger.cancel(id, by="me", reason="no")

    return cancel


def test_a_cause_of_the_parent_is_posted_to_the_running_child(way: str, store: Store) -> None:
    """It is absorbed before anything else happens in the child, which goes back; then its parent does."""
    bench, service = bench_of(store, way)
    service.script = {"charge": [canceller(store)]}
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
    ] == of_pay(store)
    assert [*TO_PAY, "CancelRequested no", "CauseRecorded cancel no", "StepFailed pay 1"] == lines(instance.history)[:7]
    assert ["a 1", "charge 1", "undo charge 1 of charge!", "undo a 1 of a!"] == service.calls
    assert ("cancel", "me", "no") == (instance.cause.kind, instance.cause.by, instance.cause.reason)
    assert instance.compensated


def test_a_cause_is_posted_again_on_recovery_and_counts_once(way: str, memory: Store) -> None:
    """Crash table: cause in the parent, child running: it is posted, whatever came of the first time."""
    for number in range(5, 10):
        # The fourth is refused: mail waits.
        service = Service()
        id = f"o-{number}"
        bench = Bench(memory, order_of(service, way, payment={"charge": SETTLED, "fee": SETTLED}), way)
        service.script = {"charge": [canceller(memory, id)]}
        die(bench, service, f"after {number}", "run", bench.saga, "mug", id=id)
        assert {} == bench.ask("recover").errors
        child = memory.load(f"{id}/pay").instance
        assert 1 == sum(isinstance(event, e.CancelRequested) for event in child.history), number
        assert bench.get(id).compensated
        assert child.compensated
        assert {} == service.effects


def test_a_child_not_yet_created_is_never_created(way: str, store: Store) -> None:
    """A cause between the start of the child and its creation: it never begins, and its step has failed."""
    bench, service = bench_of(store, way)
    die(bench, service, "before 3", "run", bench.saga, "mug", id="o-1")
    instance = bench.ask("cancel", "o-1", by="me", reason="no")
    assert not _exists(store, "o-1/pay")
    assert ["CancelRequested no", "CauseRecorded cancel no", "StepFailed pay 1", "CompensationStarted a 1"] == lines(
        instance.history
    )[4:8]
    assert ["undo a 1 of a!"] == service.calls
    assert instance.compensated


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


# The root speaks for its tree -----------------------------------------------------------------------------------------


def test_a_childs_backoff_is_slept_by_the_root(way: str, store: Store) -> None:
    """`run` sleeps through a child's backoffs; after a crash the root's `wake_at` is that of its tree."""
    script = {"charge": ["fail"]}
    bench, service = bench_of(store, way, script, payment={"charge": {"retry": STEADY}})
    assert "completed" == bench.run().state
    assert 10.0 == bench.clock.seconds
    assert [*TO_PAY, "ChildParked pay", "ChildResumed pay", "StepSucceeded pay 1"] == lines(store.history("o-1"))[:7]

    bench, service = bench_of(store, way, script, payment={"charge": {"retry": STEADY}})
    die(bench, service, "after 5", "run", bench.saga, "mug", id="o-2")
    bench.clock.advance(1)
    due = bench.get("o-2").wake_at
    assert (due, due) == (NOON + timedelta(seconds=10), bench.get("o-2/pay").wake_at)
    assert () == bench.ask("recover").resumed
    bench.clock.advance(9)
    assert ("o-2",) == bench.ask("recover").resumed
    assert ["charge 2", "z 1"] == service.calls


def test_recover_takes_roots_alone(way: str, store: Store) -> None:
    """A child is recovered as a part of its tree, never by itself."""
    bench, service = bench_of(store, way, payment={"charge": {"in_doubt": "retry"}})
    service.script = {"charge": ["die after"]}
    die(bench, service, "", "run", bench.saga, "mug", id="o-1")
    assert ["o-1"] == [summary.id for summary in store.find(due=bench.clock.now())]
    assert ("o-1",) == bench.ask("recover").resumed
    assert "completed" == bench.get("o-1/pay").state
    assert () == bench.ask("recover").resumed


def test_the_blocks_of_the_root_are_those_of_its_tree(way: str, store: Store) -> None:
    """A block in a child shows in every ancestor, by its path from there; both are parked and unowned."""
    service = Service(script={"transfer": ["lost"]})
    payment = Saga("payment")
    payment.add_saga("bank", saga_of(service, "bank", is_async=is_async(way), transfer={}))
    bench = Bench(store, order_of(service, way, payment=payment), way)
    decisions = ("retry", "resolve(result)", "resolve(not_done)", "compensate", "abandon")
    assert (("pay/bank/transfer", "in_doubt", decisions),) == bench.run().blocked
    assert (("bank/transfer", "in_doubt", decisions),) == bench.get("o-1/pay").blocked
    assert (("transfer", "in_doubt", decisions),) == bench.get("o-1/pay/bank").blocked
    assert [None] * 3 == [summary.owner for summary in store.find()]
    assert () == bench.ask("recover").resumed
    instance = bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert {"transfer": "seen"} == instance.results["pay"]["bank"]


def test_blocks_beside_each_other_need_a_path(way: str, store: Store) -> None:
    """Two children in a group, both blocked: a decision names the path; the other stays blocked."""
    service = Service(script={"charge": ["lost"], "transfer": ["lost"]})
    saga = Saga("order")
    for name, step in (("pay", "charge"), ("bank", "transfer")):
        saga.add_saga(name, saga_of(service, f"{name}ment", is_async=is_async(way), **{step: {}}), group="g")
    bench = Bench(store, saga, way)
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

BACK = {"z": ["fail"]}
ROWS: list[tuple[str, dict[str, Any], dict[str, list[Any]], str, str, list[str]]] = [
    ("retry", {}, {"fee": ["lost"]}, "fee", "completed", ["fee 2 in doubt", "z 1"]),
    ("resolve", {"result": "seen", "reason": "w"}, {"fee": ["lost"]}, "fee", "completed", ["z 1"]),
    ("resolve", {"not_done": True, "reason": "w"}, {"fee": ["lost"]}, "fee", "failed",
     ["undo charge 1 of charge!", "undo a 1 of a!"]),
    ("compensate", {}, {"fee": ["lost"]}, "fee", "failed",
     ["undo fee 1 of None in doubt", "undo charge 1 of charge!", "undo a 1 of a!"]),
    ("retry", {}, {**BACK, "undo fee": ["permanent"]}, "fee", "failed",
     ["undo fee 2 of fee!", "undo charge 1 of charge!", "undo a 1 of a!"]),
    ("resolve", {"undone": True, "reason": "w"}, {**BACK, "undo fee": ["permanent"]}, "fee", "failed",
     ["undo charge 1 of charge!", "undo a 1 of a!"]),
    ("skip", {"reason": "w"}, {**BACK, "undo fee": ["permanent"]}, "fee", "failed",
     ["undo charge 1 of charge!", "undo a 1 of a!"]),
]  # fmt: skip


@pytest.mark.parametrize(("decision", "given", "script", "step", "state", "calls"), ROWS)
@pytest.mark.parametrize("named", [True, False])
def test_a_decision_by_path(
    decision: str, given: dict[str, Any], script: dict[str, list[Any]], step: str, state: str, calls: list[str],
    named: bool, way: str, store: Store,
) -> None:  # fmt: skip
    """It ends the root's block, is recorded in the root and then in the child, and drives the root."""
    bench, service = bench_of(store, way, script)
    block = bench.run().blocked[0]
    assert f"pay/{step}" == block.step
    service.calls.clear()
    path = {"step": f"pay/{step}"} if named else {}
    instance = bench.ask(decision, "o-1", **path, **given)
    assert state == instance.state
    assert calls == service.calls
    made = [event for event in store.history("o-1") if isinstance(event, e.DecisionMade)]
    (below,) = [event for event in store.history("o-1/pay") if isinstance(event, e.DecisionMade)]
    assert [f"pay/{step}"] == [event.step for event in made]
    assert (step, made[0].decision, made[0].by, made[0].reason, made[0].result_json) == (
        below.step,
        below.decision,
        below.by,
        below.reason,
        below.result_json,
    )
    assert f"\x1fo-1#{made[0].number}" == below.request_id
    assert () == store.mail("o-1/pay")
    if decision == "skip":
        assert (("pay/fee", "skipped", "fee!"),) == instance.residue


def test_decisions_once_a_cause_is_recorded(way: str, store: Store) -> None:
    """A child in doubt while its tree goes back is asked as a cause allows, also by path; `skip` leaves residue."""
    for decision, given, undone, left in (
        ("compensate", {}, ["undo fee 1 of None in doubt"], []),
        ("skip", {"reason": "w"}, [], [("pay/fee", "skipped", None)]),
        ("resolve", {"result": "seen", "reason": "w"}, ["undo fee 1 of seen"], []),
        ("resolve", {"not_done": True, "reason": "w"}, [], []),
    ):
        id = f"o-{decision}-{len(undone)}"
        bench, service = bench_of(store, way, {"fee": ["lost"]})
        bench.run(id=id)
        instance = bench.ask("cancel", id, by="me", reason="no")
        ((step, reason, decisions),) = instance.blocked
        assert ("pay/fee", "in_doubt") == (step, reason)
        assert ("resolve(result)", "resolve(not_done)", "compensate", "skip", "abandon") == decisions
        instance = bench.ask(decision, id, **given)
        assert [*undone, "undo charge 1 of charge!", "undo a 1 of a!"] == service.calls[3:]
        assert left == list(instance.residue)
        assert "failed" == instance.state


def test_a_decision_that_the_block_does_not_allow(way: str, memory: Store) -> None:
    """The message names the root, the state, and what is allowed there."""
    bench, _ = bench_of(memory, way, {"fee": ["lost"]})
    bench.run()
    history = memory.history("o-1"), memory.history("o-1/pay")
    assert (
        "instance 'o-1' is running:pay (in_doubt), which does not allow 'skip' "
        "(allowed: retry, resolve(result), resolve(not_done), compensate, abandon)"
    ) == message_of(IllegalTransition, lambda: bench.ask("skip", "o-1", step="pay/fee", reason="w"))
    assert (
        "instance 'o-1' is running:pay, which does not allow 'retry of step pay' "
        "(allowed: resume, cancel, retry, resolve(result), resolve(not_done), compensate, abandon)"
    ) == message_of(IllegalTransition, lambda: bench.ask("retry", "o-1", step="pay"))
    assert history == (memory.history("o-1"), memory.history("o-1/pay"))


def test_a_decision_by_path_survives_a_crash(way: str, memory: Store) -> None:
    """Recorded in the root and not yet in the child, it is handed down again by recovery, and counts once."""
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
    """Anything else is refused, naming the root."""
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
    """No id that is given has a "/" in it."""
    from sagafsm import DefinitionError

    bench, _ = bench_of(memory, way)
    assert ("an instance id takes 1 to 200 characters, none a control character or '/', not 'o-1/pay'") == message_of(
        DefinitionError, lambda: bench.run(id="o-1/pay")
    )


# Residue and abandon --------------------------------------------------------------------------------------------------


def test_residue_is_carried_up(way: str, store: Store) -> None:
    """What a child may have left is its parent's residue, by path, whether it failed or was undone."""
    payment = {"charge": {"undo": False}, "fee": {}}
    for script in ({"fee": ["fail"]}, {"z": ["fail"]}):
        id = f"o-{len(script)}-{next(iter(script))}"
        bench, _ = bench_of(store, way, script, payment=payment)
        instance = bench.run(id=id)
        assert (("pay/charge", "no_compensation", "charge!"),) == instance.residue
        assert not instance.compensated
        assert (("charge", "no_compensation", "charge!"),) == bench.get(f"{id}/pay").residue


def test_a_child_that_nothing_undoes_leaves_all_that_it_did(way: str, store: Store) -> None:
    """Without any compensation in it, it is passed over, and its effects are residue."""
    payment = {"charge": {"undo": False}, "look": {"undo": False, "effect": False}}
    bench, service = bench_of(store, way, {"z": ["fail"]}, payment=payment)
    instance = bench.run()
    assert (("pay/charge", "no_compensation", "charge!"),) == instance.residue
    assert "undo a 1 of a!" == service.calls[-1]
    assert "completed" == bench.get("o-1/pay").state


def test_abandon_closes_children_first(way: str, store: Store) -> None:
    """Every instance of the tree fails, from below; the residue of the root is that of its tree."""
    service = Service(script={"transfer": ["lost"]})
    payment = Saga("payment")
    add(payment, service, "charge", is_async=is_async(way))
    payment.add_saga("bank", saga_of(service, "bank", is_async=is_async(way), transfer={}))
    bench = Bench(store, order_of(service, way, payment=payment), way)
    bench.run()
    order: list[str] = []
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
    assert ["failed"] * 3 == [summary.state for summary in store.find()]


@pytest.mark.parametrize(("script", "left"), [({}, True), ({"fee": ["fail"]}, False)])
def test_an_abandoned_parent_hears_a_child_that_had_ended(script: Any, left: bool, way: str, memory: Store) -> None:
    """The child ended and nobody had told its parent: what it left is its parent's residue all the same."""
    bench, service = bench_of(memory, way, script)
    die(bench, service, "before 6" if left else "before 7", "run", bench.saga, "mug", id="o-1")
    assert bench.get("o-1/pay").is_at_rest
    instance = bench.ask("abandon", "o-1", reason="enough")
    remains = [("pay/charge", "abandoned", "charge!"), ("pay/fee", "abandoned", "fee!")] if left else []
    assert [("a", "abandoned", "a!"), *remains] == list(instance.residue)


def test_abandon_while_a_child_is_undone(way: str, memory: Store) -> None:
    """What the child had not undone yet is residue."""
    bench, _ = bench_of(memory, way, {"z": ["fail"], "undo charge": ["permanent"]})
    bench.run()
    instance = bench.ask("abandon", "o-1", reason="enough")
    assert [("a", "abandoned", "a!"), ("pay/charge", "abandoned", "charge!")] == list(instance.residue)
    assert "failed" == bench.get("o-1/pay").state


# Compensating on request ----------------------------------------------------------------------------------------------


def test_a_completed_root_is_compensated_on_request(way: str, store: Store) -> None:
    """`compensate` of a completed root undoes everything in reverse, children too; the decision is the cause."""
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
    """Recorded, it is what recovery goes on with."""
    bench, service = bench_of(memory, way)
    bench.run()
    die(bench, service, f"after {number}", "compensate", "o-1", by="me")
    assert {} == bench.ask("recover").errors
    assert bench.get().compensated
    assert {} == service.effects


def test_behind_a_pivot_nothing_is_compensated_on_request(way: str, memory: Store) -> None:
    """The message says why: the pivot."""
    bench, _ = bench_of(memory, way, steps={"z": {"pivot": True}})
    bench.run()
    assert (
        "instance 'o-1' is completed, behind its pivot 'z', which does not allow 'compensate' (allowed: nothing)"
    ) == message_of(IllegalTransition, lambda: bench.ask("compensate", "o-1"))


def test_where_nothing_can_be_undone_nothing_is_compensated_on_request(way: str, memory: Store) -> None:
    """Some step must have a compensation."""
    service = Service()
    bench = Bench(memory, saga_of(service, is_async=is_async(way), a={"undo": False}), way)
    bench.run()
    assert "instance 'o-1' is completed, which does not allow 'compensate' (allowed: nothing)" == message_of(
        IllegalTransition, lambda: bench.ask("compensate", "o-1")
    )
    assert "instance 'o-1' is completed, which does not allow 'retry' (allowed: nothing)" == message_of(
        IllegalTransition, lambda: bench.ask("retry", "o-1")
    )


def test_a_failed_root_is_not_compensated(way: str, memory: Store) -> None:
    """It has gone back already."""
    bench, _ = bench_of(memory, way, {"z": ["fail"]})
    bench.run()
    assert "instance 'o-1' is failed, which does not allow 'compensate' (allowed: nothing)" == message_of(
        IllegalTransition, lambda: bench.ask("compensate", "o-1")
    )


# One owner, one tree --------------------------------------------------------------------------------------------------


def test_the_root_is_claimed_for_the_whole_tree(way: str, memory: Store) -> None:
    """While a child's action runs, root and child are owned; who takes the root over takes its children, too."""
    from support.exams import STRANGER

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


def test_delete_removes_children(store: Store) -> None:
    """A tree goes as a whole: by its root, and only once it rests."""
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


def test_a_childs_version_is_its_own(memory: Store) -> None:
    """A child has its saga's version; a changed child is a changed parent, and the difference names where."""
    from sagafsm import DefinitionChanged

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


def test_children_in_a_group_run_at_once(way: str, memory: Store) -> None:
    """Two nested sagas in a group: their actions overlap, each in its own instance."""
    from support.stage import Meeting

    meeting, service = Meeting(2), Service()
    saga = Saga("order")
    for name, step in (("pay", "charge"), ("bank", "transfer")):
        child = saga_of(service, f"{name}ment", is_async=is_async(way), **{step: {"after": meeting}})
        saga.add_saga(name, child, group="g")
    instance = Bench(memory, saga, way).run()
    assert 2 == meeting.most
    assert {"pay": {"charge": "charge!"}, "bank": {"transfer": "transfer!"}} == instance.results


def test_advance_walks_through_a_tree(way: str, memory: Store) -> None:
    """`advance` does one call of the tree at a time."""
    bench, service = bench_of(memory, way)
    bench.ask("start", bench.saga, "mug", id="o-1")
    seen = []
    while not bench.get().is_at_rest and len(seen) < 9:
        bench.ask("advance", "o-1")
        seen.append(len(service.calls))
    assert [1, 2, 3, 4] == seen
