"""Enumerate first, randomise last: every point and every fault is tried, and what was not is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from sagafsm import Saga
from sagafsm.verify import verify
from sagafsm.verify.explore.idempotence import CONTRACT_NAMES
from sagafsm.verify.explore.trials import extend_schedule, may_compensate
from sagafsm.verify.schedule import Fault, Schedule
from support.keyed import Shop
from support.verifying import Bank, Bench, kinds, pay, paying, three, undo

# What is tried where, told apart from the verifier's own table.
COMMIT = ("crash", "crash_after", "store_fail", "store_ambiguous", "cancel", "duplicate")
OF_CALLS = {
    "action": ("raise_before", "raise_after", "down", "late", "crash", "crash_after", "interrupt", "cancel"),
    "compensation": ("raise_before", "raise_after", "down", "late", "crash", "crash_after", "interrupt"),
    "probe": ("raise_before", "down", "crash"),
}
CREATED = "commit/InstanceCreated#1"


def tried_at(passed: Any) -> tuple[str, ...]:
    point = passed.point
    if point.role == "commit":
        return tuple(kind for kind in COMMIT if str(point) != CREATED or kind != "cancel")
    return OF_CALLS[point.role] if point.call else ()


def naively(saga: Saga, world: Any, faults: int) -> dict[tuple[str, str], int]:
    """What is broken, with the fewest faults that show it: by a loop over points and kinds, and nothing else."""
    bench = Bench(saga, world)
    found: dict[tuple[str, str], int] = {}
    level = [Schedule()]
    for number in range(1, faults + 1):
        longer = []
        for schedule in level:
            trace = bench.run(str(schedule)).trace
            last = max((index for index, passed in enumerate(trace) if passed.kind is not None), default=-1)
            for passed in trace[last + 1 :]:
                for kind in tried_at(passed):
                    longer.append(schedule.with_fault(Fault(passed.point, kind)))  # type: ignore[arg-type]
        level = []
        for schedule in longer:
            outcome = bench.run(str(schedule))
            violations = bench.violations(outcome)
            if outcome.is_operator_needed:
                # Only then could anything be decided otherwise.
                violations += bench.judge(str(attrs.evolve(schedule, operator="compensate")))
            for violation in violations:
                found.setdefault((violation.kind, violation.step), number)
            level += [] if violations else [schedule]
    return found


def nothing(bank: Any) -> None: ...


def keyless(bank: Any, ctx: Any) -> None:
    bank.pay(f"{ctx.idempotency_key} {bank.done.count('pay')}")


def swallows(bank: Any, ctx: Any) -> Any:
    try:
        return bank.pay(ctx.idempotency_key)
    except BaseException:
        return "whatever"


def once(bank: Any, ctx: Any) -> None:
    """Undoes at its first call only."""
    if ctx.attempt == 1:
        bank.undo(ctx.action_key)
    elif bank.ask(ctx.action_key):
        raise LookupError("no more")


def saga_of(action: Any, compensation: Any, **options: Any) -> Saga:
    saga = Saga("shop", resources=["bank"])
    saga.add_step("one", action, compensation, **{"in_doubt": "compensate", **options})
    return saga


SAGAS = {
    "right": saga_of(pay, undo),
    "forgets": saga_of(pay, nothing),
    "keyless": saga_of(keyless, nothing, in_doubt="retry"),
    "swallows": saga_of(swallows, undo),
    "once": saga_of(pay, once),
    "bare": saga_of(pay, None, in_doubt="ask"),
}


@pytest.mark.parametrize("saga", SAGAS.values(), ids=SAGAS)
def test_a_loop_over_points_and_kinds_finds_the_same(saga: Saga) -> None:
    """The same cells of the matrix are broken, each by itself, and the same laws."""
    report = verify(saga, Bank, depth=1)
    bench = Bench(saga, Bank)
    expected = {}
    for passed in bench.usual.trace:
        for kind in tried_at(passed):
            texts = (f"{passed.point}={kind}", f"{passed.point}={kind}; operator=compensate")
            expected[str(passed.point), kind] = any(bench.judge(text) for text in texts)

    assert expected == {
        (row.point, kind): word in ("broken", "late") for row in report.matrix for kind, word in row.cells.items()
    }


@pytest.mark.parametrize("name", ["once", "forgets"])
def test_a_loop_over_pairs_finds_the_same(name: str) -> None:
    """The same laws are broken by the same steps, with as few faults."""
    report = verify(SAGAS[name], Bank, depth=2)
    found = {(f.kind, f.step): f.faults for f in report.findings if f.kind not in (*CONTRACT_NAMES, "late")}

    expected = naively(SAGAS[name], Bank, 2)
    # What is found without a late call as well is told once.
    assert found == {key: faults for key, faults in expected.items() if key[0] != "late"}
    assert 2 == report.bounds.faults
    assert {"once": 2, "forgets": 1}[name] == min(found.values())


def test_every_single_fault_of_three_steps_is_tried() -> None:
    """Four appends of which the creation is not cancelled, and three calls: 4 * 6 - 1 + 3 * 8."""
    report = verify(three(), Shop, depth=1)

    assert 47 == sum(len(row.cells) for row in report.matrix)
    assert [
        *("commit/InstanceCreated#1", "reserve.action/shop.hold#1", "reserve.commit/StepSucceeded#1"),
        *("charge.action/shop.hold#1", "charge.commit/StepSucceeded#1"),
        *("ship.action/shop.hold#1", "ship.commit/StepSucceeded#1"),
    ] == [row.point for row in report.matrix]
    assert (1, 0) == (report.bounds.faults, report.bounds.skipped)


def test_every_pair_of_a_step_is_tried() -> None:
    """As many as there are behind each first fault, less those that another run goes on like."""
    saga = paying()
    bench = Bench(saga, Bank)
    singles = list(extend_schedule(bench.usual, first=True))
    pairs = 0
    for schedule in singles:
        outcome = bench.run(str(schedule))
        pairs += sum(1 for _ in extend_schedule(outcome, first=False))
        if may_compensate(outcome):
            pairs += sum(1 for _ in extend_schedule(bench.run(f"{schedule}; operator=compensate"), first=False))
    seen: list[tuple[int, int | None]] = []
    report = verify(
        saga,
        Bank,
        depth=2,
        progress=lambda stage, done, total: seen.append((done, total)) if stage == "pairs of faults" else None,
    )

    report.assert_ok()
    assert len(singles) == sum(len(row.cells) for row in report.matrix)
    assert (2, 0) == (report.bounds.faults, report.bounds.skipped)
    (total,) = {total for _, total in seen}
    assert total is not None
    assert pairs == total + report.bounds.equal


def test_what_is_left_out_is_counted() -> None:
    """When the budget ends: the pairs that were not tried, and that only singles are complete."""
    report = verify(three(), Shop, depth=2, budget=timedelta(seconds=1))
    complete = verify(three(), Shop, depth=1)

    assert 1 == report.bounds.faults
    assert report.bounds.skipped > 0
    assert f"all of up to 1 fault, {report.bounds.skipped:,} of 2 skipped for lack of time" in str(report.bounds)
    assert complete.bounds.skipped == 0


def test_a_budget_that_ends_at_once_claims_nothing() -> None:
    """No faults are complete, and all singles are counted as skipped."""
    report = verify(three(), Shop, depth=1, budget=timedelta(microseconds=1))

    assert (0, 47) == (report.bounds.faults, report.bounds.skipped)
    assert "no faults, 47 of 1 skipped for lack of time" in str(report.bounds)
    assert {"not tried"} == {grade.word for grade in report.grades}


def test_a_schedule_is_extended_behind_its_last_fault() -> None:
    """At each point once, in order; never before, so that no pair is tried twice."""
    bench = Bench(three(), Shop)
    outcome = bench.run("charge.action/shop.hold#1=raise_after")
    longer = list(extend_schedule(outcome, first=False))
    order = [passed.point for passed in outcome.trace]

    begin = order.index(outcome.fired[0].point)
    assert all(schedule.faults[0] == Fault(outcome.fired[0].point, "raise_after") for schedule in longer)
    indices = [order.index(schedule.faults[1].point) for schedule in longer]
    assert sorted(indices) == indices
    assert min(indices) > begin
    assert len(set(longer)) == len(longer)


@pytest.mark.parametrize("name", [name for name in SAGAS if name != "right"])
def test_every_finding_replays(name: str) -> None:
    """To the same law, broken by the same step, also from its text alone."""
    report = verify(SAGAS[name], Bank, depth=1, faults="strict")
    assert report.errors
    for finding in report.errors:
        again = verify(SAGAS[name], Bank, schedule=finding.schedule, faults="strict")
        assert (finding.kind, finding.step) in kinds(again), finding.schedule
        assert finding.schedule == again.replayed
        assert finding.faults == len(Schedule.parse(finding.schedule))


def test_the_first_and_smallest_is_kept() -> None:
    """Of many schedules that show the same: the fewest faults, at a call that a reader knows, the simplest kind."""
    (found,) = verify(SAGAS["forgets"], Bank, depth=2).errors

    assert ("one.action/bank.pay#1=raise_after", 1) == (found.schedule, found.faults)
    assert found.again > 3
