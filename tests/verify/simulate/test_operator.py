"""The simulated operator knows the truth: done, with its result; not done; or done in part, and decides by it."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm import Saga
from sagafsm.verify import verify
from sagafsm.verify.simulate.operator import PATIENCE, Truth, find_truth
from sagafsm.verify.simulate.run import RunResult
from support.verifying import Bank, Bench, events_of, kinds, pay, paying, undo


class Desk(Bank):
    """Sells rooms, sync and async, each with a number that it makes up."""

    def book(self, key: str) -> dict[str, Any]:
        self.pay(f"{key} room")
        return {"number": 7, "tags": ["a"]}

    def breakfast(self, key: str) -> str:
        return self.pay(f"{key} breakfast")

    def look(self) -> int:
        return len(self.held)

    async def abook(self, key: str) -> dict[str, Any]:
        return self.book(key)

    async def abreakfast(self, key: str) -> str:
        return self.breakfast(key)

    async def alook(self) -> int:
        return self.look()

    def cancel(self, key: str) -> None:
        self.undo(f"{key} room")
        self.undo(f"{key} breakfast")


def stay(bank: Any, ctx: Any) -> Any:
    bank.look()
    room = bank.book(ctx.idempotency_key)
    bank.breakfast(ctx.idempotency_key)
    return {"room": room["number"], "with": "breakfast"}


async def astay(bank: Any, ctx: Any) -> Any:
    await bank.alook()
    room = await bank.abook(ctx.idempotency_key)
    await bank.abreakfast(ctx.idempotency_key)
    return {"room": room["number"], "with": "breakfast"}


def leave(bank: Any, ctx: Any) -> None:
    bank.cancel(ctx.action_key)


def staying(action: Any, **options: Any) -> Saga:
    saga = Saga("staying", resources=["bank"])
    saga.add_step("stay", action, leave, **options)
    return saga


RESULT = {"room": 7, "with": "breakfast"}
DONE, NOT_DONE, PARTIAL = Truth("done", RESULT), Truth("not_done"), Truth("partial")


@pytest.fixture(params=["sync", "async"])
def benches(request: pytest.FixtureRequest) -> tuple[Any, str]:
    """A bench for options, and what the calls' names begin with."""
    sync = request.param == "sync"

    def made(**options: Any) -> Bench:
        bench = Bench(staying(stay if sync else astay, **options), Desk)
        bench.scenario.reads = frozenset({"bank.look", "bank.alook"})
        return bench

    return made, "bank." if sync else "bank.a"


@pytest.mark.parametrize(
    ("fault", "known", "decision", "state"),
    [
        ("look#1=raise_after", NOT_DONE, "resolve(not_done)", "failed"),
        ("book#1=crash", NOT_DONE, "resolve(not_done)", "failed"),
        ("book#1=raise_after", PARTIAL, "compensate", "failed"),
        ("book#1=crash_after", PARTIAL, "compensate", "failed"),
        ("breakfast#1=crash", PARTIAL, "compensate", "failed"),
        ("breakfast#1=raise_after", DONE, "resolve(result)", "completed"),
        ("breakfast#1=crash_after", DONE, "resolve(result)", "completed"),
        ("breakfast#1=interrupt", DONE, "resolve(result)", "completed"),
        ("breakfast#1=late", PARTIAL, "compensate", "failed"),
    ],
)
def test_the_truth_is_what_became_of_the_calls(
    benches: Any, fault: str, known: Truth, decision: str, state: str
) -> None:
    """Done if its function would have come to its end with what it was really answered; a call that reads is none."""
    made, name = benches
    outcome = made().run(f"stay.action/{name}{fault}")

    assert [("in_doubt", decision, known)] == [(one.reason, one.decision, one.truth) for one in outcome.settled]
    assert state == outcome.state
    if state == "completed":
        assert outcome.instance is not None
        assert {"stay": RESULT} == outcome.instance.results


def test_a_death_after_the_function_returned_is_known_to_be_done(benches: Any) -> None:
    made, _ = benches
    outcome = made().run("stay.commit/StepSucceeded#1=crash")

    assert [DONE] == [one.truth for one in outcome.settled]


def test_finding_out_does_nothing_to_the_world(benches: Any) -> None:
    """The function is asked again of recorded answers: nothing reaches the world, and no point is passed."""
    made, name = benches
    bench = made()
    outcome: RunResult = bench.run(f"stay.action/{name}breakfast#1=raise_after")
    before, passed = list(outcome.world.done), len(outcome.trace)

    assert DONE == find_truth(outcome.run.calls, "stay", {"bank.look", "bank.alook"})
    bench.watch.close()
    assert (before, passed) == (outcome.world.done, len(outcome.trace))


def test_an_action_that_was_tried_twice_is_done_by_either() -> None:
    """The latest attempt that came to its end is the one that is told."""
    saga = staying(stay, in_doubt="retry")
    bench = Bench(saga, Desk)
    text = "; ".join(f"stay.action/bank.breakfast#1{life}=crash_after" for life in ("", "@2", "@3", "@4", "@5"))
    outcome = bench.run(text)

    assert [("crash_loop", DONE)] == [(one.reason, one.truth) for one in outcome.settled]
    assert "completed" == outcome.state


def test_a_doubt_that_is_undone_on_request_is_undone(benches: Any) -> None:
    """Whatever the truth, where that is asked for and allowed; else the truth decides."""
    made, name = benches
    for fault in ("look#1=raise_after", "book#1=crash", "breakfast#1=raise_after"):
        outcome = made().run(f"stay.action/{name}{fault}; operator=compensate")
        assert ["compensate"] == [one.decision for one in outcome.settled]
        assert ("failed", []) == (outcome.state, outcome.world.held)


def test_who_may_not_undo_goes_by_the_truth() -> None:
    """Behind the pivot there is no way back, whatever is asked for."""
    saga = Saga("pivoting", resources=["bank"])
    saga.add_step("stay", stay, pivot=True)
    outcome = Bench(saga, Desk).run("stay.action/bank.breakfast#1=raise_after; operator=compensate")

    assert [("resolve(result)", DONE)] == [(one.decision, one.truth) for one in outcome.settled]
    assert ["compensate" in one.allowed for one in outcome.settled] == [False]


@pytest.mark.parametrize("operator", ["truth", "compensate"])
def test_any_doubt_ends_clean_either_way(operator: str) -> None:
    """A saga that asks is held, whatever is decided."""
    bench = Bench(paying("one", "two", in_doubt="ask"), Bank)
    for name in ("one", "two"):
        for fault in ("raise_after", "crash", "crash_after", "interrupt"):
            text = f"{name}.action/bank.pay#1={fault}; operator={operator}"
            assert [] == bench.judge(text), text


def test_an_operator_gives_up_after_a_while() -> None:
    """On a compensation that never works: it is tried again, and then abandoned, and that is told."""

    def burn(bank: Any) -> None:
        raise LookupError("no such thing")

    saga = Saga("burning", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", pay, burn)
    outcome = Bench(saga, Bank).run("one.action/bank.pay#1=raise_after")

    assert [*["retry"] * PATIENCE, "abandon"] == [one.decision for one in outcome.settled]
    assert ("failed", "rested") == (outcome.state, outcome.ending)
    assert ("stuck", "one") in kinds(verify(saga, Bank, schedule="one.action/bank.pay#1=raise_after"))


def test_a_result_that_cannot_be_stored_is_undone_or_given_up() -> None:
    """An operator cannot tell it either."""

    def odd(bank: Any, ctx: Any) -> Any:
        bank.pay(ctx.idempotency_key)
        return object()

    saga = Saga("odd", resources=["bank"])
    saga.add_step("one", odd, undo)
    outcome = Bench(saga, Bank).run("one.action/bank.pay#1=raise_after")

    assert ("failed", []) == (outcome.state, outcome.world.held)
    assert "CompensationSucceeded" in events_of(outcome)


def test_a_decision_is_signed() -> None:
    outcome = Bench(paying(in_doubt="ask"), Bank).run("pay.action/bank.pay#1=raise_after")
    assert outcome.instance is not None
    made = next(event for event in outcome.instance.history if type(event).__name__ == "DecisionMade")

    assert ("the verifier", "as it is in the simulated world") == (made.by, made.reason)  # type: ignore[attr-defined]


def test_a_nested_doubt_is_decided_by_its_path() -> None:
    inner = paying("hotel", in_doubt="ask")
    saga = Saga("outer", resources=["bank"])
    saga.add_saga("trip", inner)
    outcome = Bench(saga, Bank).run("trip/hotel.action/bank.pay#1=raise_after")

    assert [("trip/hotel", "resolve(result)")] == [(one.path, one.decision) for one in outcome.settled]
    assert "completed" == outcome.state
