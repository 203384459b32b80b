"""The smallest schedule: no fault of it can be dropped, and none be of a simpler kind."""

from __future__ import annotations

import zlib

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import Saga
from sagafsm.verify.explore.shrink import shrink_schedule
from sagafsm.verify.schedule import FAULT_KINDS, Fault, FaultPoint, Schedule, list_fault_kinds
from support.verifying import Bank, Bench, pay, undo

LABELS = ("a.action/s.do", "a.compensation/s.undo", "a.commit/StepSucceeded", "b.action/s.do", "b.action")
faults = st.builds(
    Fault,
    st.builds(FaultPoint, st.sampled_from(LABELS), st.integers(1, 2), st.integers(1, 2)),
    st.sampled_from(FAULT_KINDS),
)
schedules = st.builds(
    Schedule,
    st.lists(faults, max_size=5, unique_by=lambda fault: fault.point).map(tuple),
    st.sampled_from(["first", "last"]),
    st.sampled_from(["truth", "compensate"]),
)


def smaller(schedule: Schedule) -> list[Schedule]:
    """What is simpler by one thing, told without the minimiser."""
    found = [
        attrs.evolve(schedule, faults=tuple(fault for fault in schedule.faults if fault != dropped))
        for dropped in schedule.faults
    ]
    found += [attrs.evolve(schedule, turns="first")] if schedule.turns == "last" else []
    found += [attrs.evolve(schedule, operator="truth")] if schedule.operator == "compensate" else []
    for index, fault in enumerate(schedule.faults):
        simpler = [kind for kind in FAULT_KINDS if FAULT_KINDS.index(kind) < FAULT_KINDS.index(fault.kind)]
        for kind in [] if fault.kind == "twice" else simpler:
            if kind in list_fault_kinds(fault.point, intercepted=False):
                before, after = schedule.faults[:index], schedule.faults[index + 1 :]
                found.append(attrs.evolve(schedule, faults=(*before, Fault(fault.point, kind), *after)))
    return found


@given(schedules, st.sets(st.integers(0, 4)))
def test_exactly_the_needed_faults_remain(schedule: Schedule, needed: set[int]) -> None:
    """Whichever they are: those at these points, in any kind, each in its simplest."""
    points = {fault.point for index, fault in enumerate(schedule.faults) if index in needed}

    def breaks(candidate: Schedule) -> bool:
        return points <= {fault.point for fault in candidate.faults}

    smallest = shrink_schedule(schedule, breaks)
    assert points == {fault.point for fault in smallest.faults}
    assert ("first", "truth") == (smallest.turns, smallest.operator)
    for fault in smallest.faults:
        offered = list_fault_kinds(fault.point, intercepted=False)
        before = next(old.kind for old in schedule.faults if old.point == fault.point)
        assert fault.kind == before or fault.kind == offered[0] or "twice" == before


@given(schedules, st.integers())
def test_nothing_can_be_dropped_from_what_remains(schedule: Schedule, seed: int) -> None:
    """Also where what breaks follows no rule: the result breaks, and nothing that is simpler by one thing does."""

    def breaks(candidate: Schedule) -> bool:
        return candidate == schedule or zlib.crc32(f"{seed} {candidate}".encode()) % 3 == 0

    smallest = shrink_schedule(schedule, breaks)
    assert breaks(smallest)
    assert [] == [str(candidate) for candidate in smaller(smallest) if breaks(candidate)]


def test_what_cannot_be_made_smaller_is_kept() -> None:
    schedule = Schedule((Fault(FaultPoint("a.action"), "twice"),), turns="last", operator="compensate")

    assert schedule == shrink_schedule(schedule, lambda candidate: candidate == schedule)


@pytest.mark.parametrize("inert", ["one.commit/StepSucceeded#1=store_ambiguous", "one.action/bank.pay#1=cancel"])
def test_an_inert_fault_is_left_out(inert: str) -> None:
    """Of a run that breaks without it."""
    saga = Saga("shop", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", pay, lambda bank: None)
    saga.add_step("two", pay, undo)
    bench = Bench(saga, Bank)

    def breaks(candidate: Schedule) -> bool:
        return any(violation.kind == "left_behind" for violation in bench.judge(str(candidate)))

    schedule = Schedule.parse(f"{inert}; two.action/bank.pay#1=interrupt; turns=last")
    smallest = shrink_schedule(schedule, breaks)
    assert 1 == len(smallest)
    assert "first" == smallest.turns
    assert breaks(smallest)
    assert not breaks(Schedule())
