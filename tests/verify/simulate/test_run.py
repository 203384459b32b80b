"""A run goes on over as many processes as it takes, to rest, or to what says why there is none."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from sagafsm import Retry, Saga
from sagafsm.verify import verify
from sagafsm.verify.schedule import FaultPoint, list_fault_kinds
from sagafsm.verify.simulate.run import MAX_RESTARTS, capture_state
from support.verifying import Bank, Bench, events_of, kinds, pay, paying, three, undo


def test_each_death_takes_a_life() -> None:
    """One process for each crash, and one to finish."""
    bench = Bench(paying("one", "two"), Bank)

    assert 1 == bench.usual.run.process_count
    for number in range(1, 4):
        text = "; ".join(f"one.compensation#1@{life}=crash" for life in range(2, number + 1))
        outcome = bench.run(f"one.action/bank.pay#1=crash; {text}")
        assert (number + 1, "failed", number) == (outcome.run.process_count, outcome.state, len(outcome.fired))


def test_the_fifth_death_in_a_row_is_for_a_person() -> None:
    """And the operator's decision ends it."""
    text = "; ".join(f"pay.action/bank.pay#1@{life}=crash" for life in range(1, 6)).replace("@1=", "=")
    outcome = Bench(paying(in_doubt="retry"), Bank).run(text)

    assert [("crash_loop", "resolve(not_done)")] == [(one.reason, one.decision) for one in outcome.settled]
    assert ("rested", 6) == (outcome.ending, outcome.run.process_count)


def test_a_saga_that_never_rests_is_restless() -> None:
    """A process that dies each time: after as many incarnations as there are faults, and some more, it is told."""

    @attrs.define
    class Always:
        def at(self, point: FaultPoint) -> Any:
            return "crash" if point.label == "commit/InstanceCreated" else None

    outcome = Bench(paying(), Bank).run(plan=Always())

    assert ("restless", MAX_RESTARTS + 5) == (outcome.ending, outcome.run.process_count)
    assert f"it did not come to rest within {MAX_RESTARTS + 5} incarnations" == outcome.stop_reason


def test_an_interrupt_of_a_users_own_is_raised() -> None:
    """A step that raises KeyboardInterrupt by itself was not hit by the schedule: whoever verifies hears of it."""

    def stop(bank: Any) -> None:
        raise KeyboardInterrupt("by itself")

    saga = Saga("stopping", resources=["bank"])
    saga.add_step("stop", stop)
    with pytest.raises(KeyboardInterrupt, match="by itself"):
        verify(saga, Bank, depth=1)


def test_a_decision_that_was_not_stored_is_made_again() -> None:
    """It is the same block, met again: what was down then was down, and nobody is accused of a needless block."""
    bench = Bench(paying("one", "two"), Bank)
    down = "two.action/bank.pay#1=down"
    for fault in ("store_fail", "crash", "crash_after", "store_ambiguous", "duplicate"):
        outcome = bench.run(f"{down}; commit/DecisionMade#1={fault}")
        assert (fault, 2, "failed") == (fault, len(outcome.fired), outcome.state)
        assert [] == bench.scenario.oracle.find_violations(outcome), fault
        assert 1 == events_of(outcome).count("InstanceBlocked"), fault


def test_a_block_without_an_outage_is_still_told() -> None:
    """The positive control: a compensation that is refused once and never again."""
    saga = paying("one")
    impatient = Saga("impatient", resources=["bank"], in_doubt="compensate")
    impatient.add_step("one", pay, undo, compensation_retry=Retry(1))
    text = "one.action/bank.pay#1=raise_after; one.compensation/bank.undo#1=raise_before"

    assert [] == kinds(verify(saga, Bank, schedule=text))
    assert [("stuck", "one")] == kinds(verify(impatient, Bank, schedule=text))
    again = f"{text}; commit/DecisionMade#1=store_fail"
    assert [("stuck", "one")] == kinds(verify(impatient, Bank, schedule=again))


def test_equal_states_are_those_that_a_new_process_cannot_tell_apart() -> None:
    """A death before an append is one after what came before it; another world, or another history, is another state."""
    bench = Bench(three())
    after_call = bench.run("reserve.action/shop.hold#1=crash_after")
    before_commit = bench.run("reserve.commit/StepSucceeded#1=crash")
    before_call = bench.run("reserve.action/shop.hold#1=crash")
    after_commit = bench.run("reserve.commit/StepSucceeded#1=crash_after")

    assert after_call.state_reached == before_commit.state_reached is not None
    states = {after_call.state_reached, before_call.state_reached, after_commit.state_reached}
    assert 3 == len(states)


def test_a_world_that_cannot_be_put_into_bytes_is_compared_with_none() -> None:
    class Odd(Bank):
        def __reduce__(self) -> Any:
            raise TypeError("no")

    outcome = Bench(paying(), Odd).run("pay.action/bank.pay#1=crash")

    assert outcome.state_reached is None
    assert capture_state(outcome.run) is None


def test_every_single_fault_ends_in_rest() -> None:
    """Of a saga that keeps every promise, at any point of it."""
    bench = Bench(paying("one", "two", in_doubt="ask"), Bank)
    for passed in bench.usual.trace:
        for kind in list_fault_kinds(
            passed.point, intercepted=passed.step_call is not None and bool(passed.step_call.resource_calls)
        ):
            if kind == "cancel" and str(passed.point) == "commit/InstanceCreated#1":
                continue
            outcome = bench.run(f"{passed.point}={kind}")
            assert ("rested", 1) == (outcome.ending, len(outcome.fired)), str(outcome.schedule)
