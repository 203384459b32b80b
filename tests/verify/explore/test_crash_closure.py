"""Any number of crashes: all states that can persist are visited, and what only many crashes show is found."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm import Saga
from sagafsm.verify import verify
from sagafsm.verify.explore import crash_closure
from sagafsm.verify.explore.crash_closure import CrashClosure
from sagafsm.verify.schedule import Schedule
from support.verifying import Bank, Bench, kinds, paying, undo


def impatient(crashes: int) -> Saga:
    """An action that loses patience with being called again after so many deaths."""

    def charge(bank: Any, ctx: Any) -> None:
        bank.pay(ctx.idempotency_key if ctx.attempt <= crashes else f"{ctx.idempotency_key} again")

    saga = Saga("impatient", resources=["bank"])
    saga.add_step("one", charge, undo, in_doubt="retry")
    return saga


@pytest.mark.parametrize("crashes", [1, 2, 3])
def test_a_mistake_that_needs_many_crashes_is_found(crashes: int) -> None:
    """With as many as it needs, and no more; each in a life of its own."""
    report = verify(impatient(crashes), Bank, depth=1)
    found = next(finding for finding in report.errors if finding.kind == "differs")

    assert ("one", crashes) == (found.step, found.faults)
    assert report.bounds.fixpoint
    assert ("differs", "one") in kinds(verify(impatient(crashes), Bank, schedule=found.schedule))
    lives = [fault.point.process_number for fault in Schedule.parse(found.schedule).faults]
    assert [*range(1, crashes + 1)] == lives


def test_without_it_such_a_mistake_is_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control: single faults alone do not show it."""
    monkeypatch.setattr(CrashClosure, "explore", lambda self: [])

    assert [] == [found for found in kinds(verify(impatient(3), Bank, depth=1)) if found[0] == "differs"]


@pytest.mark.parametrize("saga", [paying(), paying("one", "two", "three"), paying(in_doubt="ask"), impatient(9)])
def test_it_comes_to_an_end(saga: Saga) -> None:
    """Exploring again finds the same states; from none of them is another one reached."""
    bench = Bench(saga, Bank)
    first, second = (CrashClosure(bench.trials, bench.scenario) for _ in range(2))
    for explored in (first, second):
        explored.explore()
        assert explored.is_fixpoint

    assert list(first.states) == list(second.states)
    assert len(first.states) > len(saga.definition.steps)


def test_a_longer_saga_has_more_states() -> None:
    reached = []
    for names in (("one",), ("one", "two"), ("one", "two", "three")):
        bench = Bench(paying(*names), Bank)
        explored = CrashClosure(bench.trials, bench.scenario)
        explored.explore()
        assert {} == bench.trials.found
        reached.append(len(explored.states))

    assert sorted(set(reached)) == reached


def test_too_many_states_are_not_called_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds say so."""
    monkeypatch.setattr(crash_closure, "MAX_STATES", 3)
    bounds = verify(paying("one", "two"), Bank, depth=1).bounds

    assert not bounds.fixpoint
    assert f"any number of crashes ({bounds.states} states, not all)" in str(bounds)


def test_a_world_that_cannot_be_copied_is_not_explored() -> None:
    """And the bounds say that this was not covered."""

    class Single(Bank):
        def copy(self) -> Any:
            raise TypeError("there is one of me")

    bounds = verify(paying(), Single, depth=1).bounds

    assert (None, False) == (bounds.states, bounds.fixpoint)
    assert "any number of crashes" in bounds.not_covered


def test_exploring_leaves_no_trace_in_the_states() -> None:
    """A world that is explored from is the one that was reached: going on from it changes copies."""
    bench = Bench(paying("one"), Bank)
    before = bench.run().world.snapshot()
    CrashClosure(bench.trials, bench.scenario).explore()

    assert before == bench.run().world.snapshot()
