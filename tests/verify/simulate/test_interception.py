"""Each fault at a call of a resource does what its name says: to the world, to the caller, and to the instance."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm import Saga
from sagafsm.verify.schedule import FaultKind, FaultPoint, list_fault_kinds
from support.verifying import Bank, Bench, ask, events_of, pay, paying, points_of, undo

CALL, UNDO, ASK = "pay.action/bank.pay#1", "pay.compensation/bank.undo#1", "pay.probe/bank.ask#1"
BACK = ["CompensationStarted", "CompensationSucceeded", "InstanceFailed"]
DOUBT = ["StepInDoubt", "CauseRecorded", *BACK]
FAILED = ["StepFailed", "CauseRecorded", "InstanceFailed"]


@pytest.mark.parametrize(
    ("kind", "done", "seen", "lives", "events"),
    [
        ("raise_before", [], ["InjectedRefusal: bank.pay was refused (injected)"], 1, FAILED),
        ("raise_after", ["pay", "undo"], ["InjectedTimeout: bank.pay timed out (injected)"], 1, DOUBT),
        ("down", [], ["InjectedOutage: bank is down (injected)"], 1, FAILED),
        ("late", ["undo", "pay"], ["InjectedTimeout: bank.pay timed out (injected)"], 1, DOUBT),
        ("crash", ["undo"], ["Crashed: "], 2, DOUBT),
        ("crash_after", ["pay", "undo"], ["Crashed: "], 2, DOUBT),
        ("interrupt", ["pay", "undo"], ["KeyboardInterrupt: "], 2, DOUBT),
        ("cancel", ["pay", "undo"], [], 1, ["CancelRequested", "CauseRecorded", "StepSucceeded", *BACK]),
    ],
)
def test_a_fault_at_a_call_of_an_action(
    kind: FaultKind, done: list[str], seen: list[str], lives: int, events: Any
) -> None:
    """Refused and down: no effect, a definite failure. Timed out: an effect, and a doubt. Late: the same, afterwards.

    A crash before a call leaves no effect, one after it does; nobody but a dead process sees it.
    """
    outcome = Bench(paying(), Bank).run(f"{CALL}={kind}")

    assert (done, seen) == (outcome.world.done, outcome.world.seen)
    assert lives == outcome.run.process_count
    assert ["InstanceCreated", "StepStarted", *events] == events_of(outcome)
    assert ("failed", "rested") == (outcome.state, outcome.ending)
    assert [kind] == [passed.kind for passed in outcome.fired]


AGAIN = ["CompensationStarted", "CompensationSucceeded", "InstanceFailed"]


@pytest.mark.parametrize(
    ("kind", "undone", "seen", "lives", "events"),
    [
        ("raise_before", 1, "InjectedRefusal: bank.undo was refused (injected)", 1, ["CompensationFailed"]),
        ("raise_after", 2, "InjectedTimeout: bank.undo timed out (injected)", 1, ["CompensationFailed"]),
        ("late", 2, "InjectedTimeout: bank.undo timed out (injected)", 1, ["CompensationFailed"]),
        ("crash", 1, "Crashed: ", 2, []),
        ("crash_after", 2, "Crashed: ", 2, []),
        ("interrupt", 2, "KeyboardInterrupt: ", 2, []),
    ],
)
def test_a_fault_at_a_call_of_a_compensation(
    kind: FaultKind, undone: int, seen: str, lives: int, events: list[str]
) -> None:
    """It is called again, in the same life or in the next; what took effect takes effect again."""
    outcome = Bench(paying(), Bank).run(f"{CALL}=raise_after; {UNDO}={kind}")

    assert ["pay", *["undo"] * undone] == outcome.world.done
    assert ["InjectedTimeout: bank.pay timed out (injected)", seen] == outcome.world.seen
    assert lives == outcome.run.process_count
    assert ["CompensationStarted", *events, *AGAIN] == events_of(outcome)[4:]


def test_what_is_down_stays_down_until_somebody_heals_it() -> None:
    """All attempts fail, whatever is called; the operator heals it, and decides."""
    outcome = Bench(paying(), Bank).run(f"{CALL}=raise_after; {UNDO}=down")

    assert ["InjectedOutage: bank is down (injected)"] * 5 == outcome.world.seen[1:]
    assert ["pay", "undo"] == outcome.world.done
    assert ["InstanceBlocked", "DecisionMade", *AGAIN] == events_of(outcome)[-5:]
    assert [("compensation_failed", "retry", True)] == [
        (settled.reason, settled.decision, settled.outage) for settled in outcome.settled
    ]


def test_only_what_is_down_is_down() -> None:
    """Another resource of the same world answers."""

    class Two(Bank):
        def resources(self) -> dict[str, Any]:
            return {"bank": self, "mail": self}

    saga = Saga("two", resources=["bank", "mail"], in_doubt="compensate")
    saga.add_step("pay", pay, undo)
    saga.add_step("tell", lambda mail, ctx: mail.pay(ctx.idempotency_key), lambda mail, ctx: mail.undo(ctx.action_key))
    outcome = Bench(saga, Two).run("tell.action/mail.pay#1=down")

    assert (["pay", "undo"], "failed", ()) == (outcome.world.done, outcome.state, outcome.settled)


@pytest.mark.parametrize(
    ("kind", "seen", "lives", "asked"),
    [
        ("raise_before", "InjectedRefusal: bank.ask was refused (injected)", 1, ["resolve(result)"]),
        ("down", "InjectedOutage: bank is down (injected)", 1, ["resolve(result)"]),
        ("crash", "Crashed: ", 2, []),
    ],
)
def test_a_fault_at_a_call_of_a_probe(kind: FaultKind, seen: str, lives: int, asked: list[str]) -> None:
    """A probe that fails leaves the doubt to a person; one that died is asked again."""
    outcome = Bench(paying(probe=ask, in_doubt="ask"), Bank).run(f"{CALL}=raise_after; {ASK}={kind}")

    assert seen == outcome.world.seen[1]
    assert (lives, asked) == (outcome.run.process_count, [settled.decision for settled in outcome.settled])
    assert ("completed", 1) == (outcome.state, len(outcome.world.held))
    assert ["pay", *["ask"] * (lives - 1)] == outcome.world.done


@pytest.mark.parametrize("role", ["action", "compensation", "probe"])
def test_what_is_tried_at_a_call_is_what_is_tested_here(role: str) -> None:
    """No kind is offered that this file says nothing about."""
    known = {
        "action": "raise_before raise_after down late crash crash_after interrupt cancel",
        "compensation": "raise_before raise_after down late crash crash_after interrupt",
        "probe": "raise_before down crash",
    }

    assert known[role].split() == list(list_fault_kinds(FaultPoint(f"pay.{role}/bank.call"), intercepted=True))


def test_a_step_with_two_effects_is_hit_between_them() -> None:
    """Each call is a point, in order; those before it have taken effect, those behind it have not."""

    def twice(bank: Any, ctx: Any) -> None:
        bank.pay(f"{ctx.idempotency_key}-1")
        bank.pay(f"{ctx.idempotency_key}-2")

    saga = Saga("twice", resources=["bank"])
    saga.add_step("pay", twice, lambda bank, ctx: None, in_doubt="compensate")
    bench = Bench(saga, Bank)

    assert ["pay.action#1", "pay.action/bank.pay#1", "pay.action/bank.pay#2"] == points_of(bench.usual)[1:4]
    for point, kind, effects in ((1, "crash", 0), (1, "crash_after", 1), (2, "crash", 1), (2, "crash_after", 2)):
        assert effects == len(bench.run(f"pay.action/bank.pay#{point}={kind}").world.held)


def test_what_a_resource_raises_itself_is_raised() -> None:
    """And is no fault of the schedule's."""

    class Poor(Bank):
        def pay(self, key: str) -> str:
            raise LookupError("no money")

    outcome = Bench(paying(), Poor).run()

    assert (["LookupError: no money"], "failed", ()) == (outcome.world.seen, outcome.state, outcome.fired)


def test_a_coroutine_of_a_resource_is_hit_once_it_is_awaited() -> None:
    """Whatever the fault, an async resource is hit as a sync one is."""

    class AsyncBank(Bank):
        async def pay(self, key: str) -> str:
            return Bank.pay(self, key)

        async def undo(self, key: str) -> None:
            Bank.undo(self, key)

    async def apay(bank: Any, ctx: Any) -> str:
        return await bank.pay(ctx.idempotency_key)

    async def aundo(bank: Any, ctx: Any) -> None:
        await bank.undo(ctx.action_key)

    saga = Saga("paying", resources=["bank"])
    saga.add_step("pay", apay, aundo, in_doubt="compensate")
    bench, plain = Bench(saga, AsyncBank), Bench(paying(), Bank)

    assert points_of(plain.usual) == points_of(bench.usual)
    for point, role in ((CALL, "action"), (UNDO, "compensation")):
        for kind in list_fault_kinds(FaultPoint(f"pay.{role}/bank.call"), intercepted=True):
            text = f"{point}={kind}" if role == "action" else f"{CALL}=raise_after; {point}={kind}"
            mine, other = bench.run(text), plain.run(text)
            assert (text, other.world.done, events_of(other)) == (text, mine.world.done, events_of(mine))


def test_a_plain_function_that_returns_a_coroutine_is_hit_alike() -> None:
    """As of a client that wraps another one."""

    class Wrapping(Bank):
        def pay(self, key: str) -> Any:
            async def later() -> str:
                return Bank.pay(self, key)

            return later()

    async def apay(bank: Any, ctx: Any) -> str:
        return await bank.pay(ctx.idempotency_key)

    saga = Saga("paying", resources=["bank"])
    saga.add_step("pay", apay, undo, in_doubt="compensate")
    outcome = Bench(saga, Wrapping).run(f"{CALL}=raise_after")

    assert (["pay", "undo"], "failed") == (outcome.world.done, outcome.state)
