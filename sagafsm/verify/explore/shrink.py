"""The smallest schedule that still breaks the same law: drop one fault, then simplify what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from sagafsm.verify.schedule import FAULT_KINDS, Fault, Schedule, list_fault_kinds

FailureCheck = Callable[[Schedule], bool]


def shrink_schedule(schedule: Schedule, breaks: FailureCheck) -> Schedule:
    """A schedule none of whose faults can be left out, and none be of a simpler kind; `breaks` judges a candidate."""
    changed = True
    while changed:
        changed = False
        for candidate in (*_drop_one_part(schedule), *_simplify_one_fault(schedule)):
            if breaks(candidate):
                schedule, changed = candidate, True
                break
    return schedule


def _drop_one_part(schedule: Schedule) -> Iterator[Schedule]:
    for index in range(len(schedule.faults)):
        yield attrs.evolve(schedule, faults=schedule.faults[:index] + schedule.faults[index + 1 :])
    if schedule.turns != "first":
        yield attrs.evolve(schedule, turns="first")
    if schedule.operator != "truth":
        yield attrs.evolve(schedule, operator="truth")


def _simplify_one_fault(schedule: Schedule) -> Iterator[Schedule]:
    for index, fault in enumerate(schedule.faults):
        if fault.kind == "twice":
            continue
        offered = list_fault_kinds(fault.point, intercepted=False)
        for kind in FAULT_KINDS[: FAULT_KINDS.index(fault.kind)]:
            if kind in offered:
                simpler = Fault(fault.point, kind)
                yield attrs.evolve(schedule, faults=(*schedule.faults[:index], simpler, *schedule.faults[index + 1 :]))
