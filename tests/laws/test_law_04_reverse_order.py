"""Law 4: compensations run in strict reverse of the order of first start, one at a time.

Of all results, a compensation gets only the result of its own step and those of earlier steps.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from sagafsm import Context, Orchestrator, Retry, Saga
from sagafsm.history.events import CompensationStarted, StepStarted
from sagafsm.store import Store
from support.bench import lines
from support.controls import quick
from support.lived import check_singles, each, inject, lived, lives
from support.lives import Life
from support.orders import bench_of, ran
from support.services import STEADY
from support.verdicts import check_way_back


def test_compensations_run_in_reverse_order_of_first_start(way: str, store: Store) -> None:
    """The order goes by event number. A step without compensation is passed over, and its effect is residue."""
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


def test_members_of_a_group_are_undone_in_reverse_order_of_start(way: str, memory: Store) -> None:
    """The order in which the members ended does not matter. The state is that of the group."""
    members = {"a": {"after": "StepSucceeded c 1"}, "b": {"after": "StepSucceeded a 1"}, "c": {}}
    steps = {name: {"group": "g", **options} for name, options in members.items()}
    bench, service = bench_of(memory, way, {"d": ["fail"]}, **steps, d={})
    history = lines(bench.run().history)
    undone = [f"{kind} {name} 1" for name in "cba" for kind in ("CompensationStarted", "CompensationSucceeded")]
    assert [*undone, "InstanceFailed"] == history[history.index("CauseRecorded failure d") + 1 :]
    assert ["undo c 1 of c!", "undo b 1 of b!", "undo a 1 of a!"] == service.calls[-3:]
    states = [event.state for event in bench.get().history if event.state]
    assert ["pending", "running:g", "running:d", "compensating:g", "failed"] == states


def test_the_order_of_start_is_not_the_order_of_definition(way: str, memory: Store) -> None:
    """A member with `when=` starts behind a member without, so the later start is undone first."""
    a, b = {"group": "g", "when": lambda: True}, {"group": "g", "after": "StepSucceeded a 1"}
    bench, service = bench_of(memory, way, {"d": ["fail"]}, a=a, b=b, d={})
    assert ("b", "a", "d") == bench.run().started
    assert ["undo a 1 of a!", "undo b 1 of b!"] == service.calls[-2:]


@pytest.mark.parametrize("group", [None, "g"])
def test_a_compensation_that_blocks_holds_the_others(group: str | None, way: str, memory: Store) -> None:
    """The next compensation waits for a decision, also within a group."""
    steps = {"a": {"group": group}, "b": {"group": group, "compensation_retry": Retry(1)}}
    bench, service = bench_of(memory, way, {"c": ["fail"], "undo b": ["fail"]}, **steps, c={})
    assert [("b", "compensation_failed")] == [block[:2] for block in bench.run().blocked]
    assert "undo b 1 of b!" == service.calls[-1]
    instance = bench.ask("skip", "o-1", reason="leave it")
    assert "undo a 1 of a!" == service.calls[-1]
    assert [("b", "skipped", "b!")] == list(instance.residue)


def test_a_compensation_gets_its_own_result_and_those_of_earlier_steps(memory: Store) -> None:
    """`result` is that of the step itself. Each call gets a fresh decode, so a change of a value reaches no other call."""
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
    assert [("refund", {"id": 42}, {"id": 41}, False), ("release", {"id": 1}, {"amount": 7})] == got


# Any saga -------------------------------------------------------------------------------------------------------------

check_order = each(check_way_back)


@quick(30)
@given(life=lives())
def test_any_saga_is_undone_in_reverse_order_of_start(life: Life) -> None:
    """With groups and nested sagas, failures, requests and process deaths, one compensation at a time."""
    check_order(lived(life))
    assert [] == [breach for breach in life.world.breaches if "undo" in breach]


# Positive controls ----------------------------------------------------------------------------------------------------


def test_a_wrong_order_within_a_group_is_noticed(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core undoes the members of a group in order of start."""
    inject(monkeypatch, "undone_in_order_of_start")
    with pytest.raises(AssertionError):
        test_members_of_a_group_are_undone_in_reverse_order_of_start("sync", memory)
    with pytest.raises(AssertionError):
        check_singles(check_order)


def test_a_wrong_order_of_the_table_is_noticed(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core goes back to the first step before the later ones."""
    inject(monkeypatch, "the_table_is_not_asked")
    with pytest.raises(AssertionError):
        test_a_compensation_that_blocks_holds_the_others(None, "sync", memory)
