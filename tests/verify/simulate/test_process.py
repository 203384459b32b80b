"""A process that has died reaches neither the world nor the store any more, whatever its code tries to tidy up."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm import Saga
from sagafsm.verify import verify
from sagafsm.verify.schedule import FaultPoint, list_fault_kinds
from sagafsm.verify.simulate.process import Crashed, FixedPlan, Process
from sagafsm.verify.simulate.simulation import ROOT_ID, Simulation
from support.verifying import Bank, Bench, events_of, kinds, undo


def test_points_are_counted_by_label_and_life() -> None:
    life = Process(2)

    assert [FaultPoint("a", 1, 2), FaultPoint("b", 1, 2), FaultPoint("a", 2, 2)] == [
        life.number_point(label) for label in ("a", "b", "a")
    ]


def test_who_is_dead_cannot_breathe() -> None:
    """Once it died, each time; before, never."""
    life = Process(1)
    life.check_alive()
    with pytest.raises(Crashed):
        life.die()
    for _ in range(2):
        with pytest.raises(Crashed):
            life.check_alive()


def test_a_death_is_no_exception() -> None:
    """A step that handles every `Exception` does not see it."""
    assert not issubclass(Crashed, Exception)


def test_a_plan_hits_exactly_what_it_names() -> None:
    """Not the same label in another life, nor another time."""
    plan = FixedPlan({FaultPoint("a", 2, 1): "crash"})

    assert [None, "crash", None, None] == [
        plan.at(point) for point in (FaultPoint("a"), FaultPoint("a", 2), FaultPoint("a", 2, 2), FaultPoint("b", 2))
    ]


# The fence --------------------------------------------------------------------------------------------------------


def tidy(bank: Any, ctx: Any) -> None:
    """Takes back in a `finally` what it paid, if it does not get to its end."""
    paid = False
    try:
        bank.pay(ctx.idempotency_key)
        bank.ask(ctx.idempotency_key)
        paid = True
    finally:
        if not paid:
            bank.undo(ctx.idempotency_key)


def tidying() -> Saga:
    saga = Saga("tidying", resources=["bank"])
    saga.add_step("pay", tidy)
    return saga


@pytest.mark.parametrize("kind", ["crash", "crash_after"])
@pytest.mark.parametrize("call", ["bank.pay", "bank.ask"])
def test_a_finally_in_a_step_tidies_nothing_up(call: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it died. With the fence off it does: the test can fail."""
    text = f"pay.action/{call}#1={kind}"
    assert "undo" not in Bench(tidying(), Bank).run(text).world.done

    monkeypatch.setattr(Process, "check_alive", lambda self: None)
    assert "undo" in Bench(tidying(), Bank).run(text).world.done


def test_what_such_a_finally_would_hide_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is paid stays paid when the process dies between two calls; with the fence off nobody would know."""
    schedule = "pay.action/bank.pay#1=crash_after"
    assert [("left_behind", "pay")] == kinds(verify(tidying(), Bank, schedule=schedule))

    monkeypatch.setattr(Process, "check_alive", lambda self: None)
    assert [] == kinds(verify(tidying(), Bank, schedule=schedule))


class Locked(Bank):
    """A bank that is unlocked when it is left."""

    def __enter__(self) -> Locked:
        self.done.append("lock")
        return self

    def __exit__(self, *error: object) -> None:
        self.done.append("unlock")

    async def __aenter__(self) -> Locked:
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.__exit__()


def with_lock(bank: Any, ctx: Any) -> None:
    with bank:
        bank.pay(ctx.idempotency_key)


async def with_async_lock(bank: Any, ctx: Any) -> None:
    async with bank:
        bank.pay(ctx.idempotency_key)


@pytest.mark.parametrize("action", [with_lock, with_async_lock])
def test_leaving_a_resource_tidies_nothing_up(action: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is dead unlocks nothing. With the fence off it would."""
    saga = Saga("locking", resources=["bank"], in_doubt="compensate")
    saga.add_step("pay", action, undo)
    text = "pay.action/bank.pay#1=crash_after"
    assert ["lock", "pay", "undo"] == Bench(saga, Locked).run(text).world.done

    monkeypatch.setattr(Process, "check_alive", lambda self: None)
    assert ["lock", "pay", "unlock", "undo"] == Bench(saga, Locked).run(text).world.done


def died_at(text: str) -> Simulation:
    """A simulation whose first process has just died there."""
    bench = Bench(tidying(), Bank)
    label, _, kind = text.partition("=")
    simulation = Simulation(bench.trials.setup, Bank(), None, FixedPlan({FaultPoint(label): kind}))  # type: ignore[dict-item]
    life = simulation.start_process()
    with pytest.raises(Crashed):
        simulation.start(life, simulation.make_operations(life))
    return simulation


def test_the_way_to_the_store_tidies_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drive lets go of its lease whenever it leaves; a dead one keeps it. With the fence off it would let go."""
    assert died_at("pay.action/bank.pay=crash").store.load(ROOT_ID).summary.owner is not None

    monkeypatch.setattr(Process, "check_alive", lambda self: None)
    assert died_at("pay.action/bank.pay=crash").store.load(ROOT_ID).summary.owner is None


def test_who_swallows_a_death_is_dead_all_the_same() -> None:
    """Whatever it catches: nothing of it is recorded, and nothing more is called."""

    def stubborn(bank: Any, ctx: Any) -> str:
        try:
            return bank.pay(ctx.idempotency_key)
        except BaseException:
            return "went on"

    saga = Saga("stubborn", resources=["bank"], in_doubt="compensate")
    saga.add_step("pay", stubborn, undo)
    outcome = Bench(saga, Bank).run("pay.action/bank.pay#1=crash")

    assert (2, ["undo"]) == (outcome.run.process_count, outcome.world.done)
    assert "StepSucceeded" not in events_of(outcome)


class Noting(Bank):
    def note(self, what: str) -> None:
        self.done.append(what)


def noted(bank: Any, ctx: Any) -> None:
    try:
        bank.pay(ctx.idempotency_key)
    finally:
        bank.note("left")


def survivors() -> list[str]:
    """For every point of a run and every death there: what the dead came by afterwards, with where they died."""
    saga = Saga("noted", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", noted, undo)
    saga.add_step("two", noted, undo)
    bench, found = Bench(saga, Noting), []
    for passed in bench.usual.trace:
        for kind in {"crash", "crash_after"} & set(list_fault_kinds(passed.point, intercepted=True)):
            trace = bench.run(f"{passed.point}={kind}").trace
            died = [other.kind for other in trace].index(kind)
            found += [
                f"{passed.point}={kind}: {other.point}"
                for other in trace[died + 1 :]
                if other.point.process_number == 1
            ]
    return found


def test_no_dead_process_comes_by_anything_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it died. With the fence off many would: the exam can fail."""
    assert [] == survivors()

    monkeypatch.setattr(Process, "check_alive", lambda self: None)
    assert "one.action/bank.pay#1=crash: one.action/bank.note#1" in survivors()
