"""Laws 4, 5, 6 and 15: the way back."""

from __future__ import annotations

from typing import Any

from sagafsm import Context, Orchestrator, OutcomeUnknown, Saga
from sagafsm.events import CancelRequested, CompensationStarted, InstanceBlocked, StepStarted
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.clock import FakeClock
from support.mortality import die
from support.services import STEADY, Service, saga_of


def ran(store: Store, way: str, script: dict[str, list[Any]], **steps: Any) -> tuple[Bench, Service, list[str]]:
    service = Service(script=script)
    bench = Bench(store, saga_of(service, is_async=is_async(way), **steps), way)
    bench.run()
    service.check_keys()
    return bench, service, lines(store.history("o-1"))[1:]


def test_compensations_run_in_reverse_order_of_start(way: str, store: Store) -> None:
    """Law 4: strict reverse of the order of first start, by event number; steps without compensation are passed over."""
    steps: dict[str, Any] = {"a": {}, "b": {"undo": False}, "c": {"retry": STEADY}, "d": {}, "e": {}}
    bench, service, _ = ran(store, way, {"c": ["fail"], "e": ["fail"]}, **steps)
    instance = bench.get()
    started = {e.step: e.number for e in instance.history if isinstance(e, StepStarted) and e.attempt == 1}
    undone = [(e.number, started[e.step]) for e in instance.history if isinstance(e, CompensationStarted)]
    assert sorted(undone) == undone
    assert sorted((order for _, order in undone), reverse=True) == [order for _, order in undone]
    assert ["undo d 1 of d!", "undo c 1 of c!", "undo a 1 of a!"] == service.calls[-3:]
    assert [("b", "no_compensation", "b!")] == [(r.step, r.reason, r.result) for r in instance.residue]
    assert not instance.compensated


def test_a_compensation_gets_its_own_result_and_those_of_earlier_steps(memory: Store) -> None:
    """Law 4: `result` is its own step's; earlier steps by name; the input; never a later step's."""
    got: list[Any] = []
    saga = Saga("order")

    @saga.step
    def reserve(input: Any) -> Any:
        return {"id": 1}

    @reserve.compensation
    def release(result: Any, input: Any) -> None:
        got.append(("release", result, input))

    @saga.step
    def charge(reserve: Any) -> Any:
        return {"id": reserve["id"] + 1}

    @charge.compensation
    def refund(input: Any, reserve: Any, result: Any, ctx: Context) -> None:
        result["id"] += 40
        reserve["id"] += 40
        got.append(("refund", result, reserve, ctx.in_doubt))

    @saga.step
    def ship() -> None:
        raise ValueError("no")

    with Orchestrator(memory) as orchestrator:
        assert orchestrator.run(saga, {"amount": 7}).compensated
    # What one call changes of its values reaches no other: every call gets a fresh decode of what is stored.
    assert [("refund", {"id": 42}, {"id": 41}, False), ("release", {"id": 1}, {"amount": 7})] == got


def test_a_compensation_has_a_budget_of_its_own_then_blocks(way: str, memory: Store) -> None:
    """Law 5: compensations are retried with their own budget, then the instance blocks; nothing else is undone."""
    script = {"c": ["fail"], "undo b": ["fail", "lost", "fail"]}
    bench, service, events = ran(memory, way, script, a={}, b={"compensation_retry": STEADY}, c={})
    assert ["c 1", "undo b 1 of b!", "undo b 2 of b!", "undo b 3 of b!"] == service.calls[2:]
    assert [
        "CompensationFailed b 1 again",
        "CompensationStarted b 2",
        "CompensationFailed b 2 again",
        "CompensationStarted b 3",
        "CompensationFailed b 3",
        "InstanceBlocked b compensation_failed",
    ] == events[-6:]
    instance = bench.get()
    assert "compensating:b" == instance.state
    assert 20.0 == bench.clock.seconds
    # The first failure stays the cause; later ones are kept beside it.
    assert "step 'c' failed: Refused: refused" == str(instance.cause)
    assert instance.errors[0] == instance.error
    assert ["support.services.Refused"] * 2 == [error.type for error in instance.errors]


def test_the_fifth_death_in_a_compensation_blocks_it(way: str, store: Store) -> None:
    """Law 5: the fifth process death in a row in one compensation blocks it, and uses no attempt before."""
    service = Service(script={"b": ["fail"], "undo a": ["die before"] * 5})
    saga = saga_of(service, is_async=is_async(way), a={}, b={})
    bench = Bench(store, saga, way)
    called: list[str] = []
    die(bench, service, "", "run", saga, "mug", id="o-1", calls=called)
    for _ in range(4):
        die(bench, service, "", "recover", calls=called)
    assert {} == bench.ask("recover").errors
    assert ["compensation_failed"] == [block.reason for block in bench.get().blocked]
    assert [f"undo a {n} of a!" for n in range(1, 6)] == called[2:]
    assert "failed" == bench.ask("retry", "o-1").state
    assert ["undo a 6 of a!"] == service.calls


def test_once_a_cause_is_recorded_no_action_is_called(way: str, memory: Store) -> None:
    """Law 6: not even an operator's retry; a doubt still open is asked about, in state `running:`."""
    service = Service()
    bench = Bench(memory, saga_of(service, is_async=is_async(way), a={}, b={"retry": STEADY}, c={}), way)
    service.script = {"b": [_cancel_and_lose(memory)]}
    instance = bench.run()
    assert "running:b" == instance.state
    assert [
        "CancelRequested no",
        "CauseRecorded cancel no",
        "StepInDoubt b 1 outcome_unknown",
        "InstanceBlocked b in_doubt",
    ] == lines(memory.history("o-1"))[4:]
    assert ("resolve(result)", "resolve(not_done)", "compensate", "skip", "abandon") == instance.blocked[0].decisions
    bench.clock.advance(1_000_000)
    assert () == bench.ask("recover").resumed
    assert bench.ask("compensate", "o-1").compensated
    assert ["a 1", "b 1", "undo b 1 of None in doubt", "undo a 1 of a!"] == service.calls


def _cancel_and_lose(store: Store) -> Any:
    def act() -> None:
        store.post("o-1", CancelRequested(request_id="r-1", by="me", reason="no"))
        raise OutcomeUnknown("no answer")

    return act


def test_what_a_compensation_returns_need_not_be_storable(memory: Store) -> None:
    """Law 5: what a compensation returns is not kept."""
    saga = Saga("order")
    saga.add_step("a", lambda: 1, lambda: {"not JSON"})
    saga.add_step("b", lambda: 1 / 0)
    with Orchestrator(memory, clock=FakeClock()) as orchestrator:
        assert orchestrator.run(saga, None).compensated


def test_blocked_instances_name_what_may_be_decided(way: str, memory: Store) -> None:
    """Law 6: the block tells the reason, the step and the decisions allowed, and why."""
    ran(memory, way, {"a": ["lost"]}, a={})
    block = memory.history("o-1")[-1]
    assert isinstance(block, InstanceBlocked)
    assert ("retry", "resolve(result)", "resolve(not_done)", "compensate", "abandon") == block.decisions
    assert "OutcomeUnknown: no answer" == str(block.error)
