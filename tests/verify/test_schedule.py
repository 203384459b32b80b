"""A schedule is text: it reads back as it was, says what it does not understand, and survives edits of the saga."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import Saga
from sagafsm.errors import RequestError
from sagafsm.verify.schedule import (
    FAULT_KINDS,
    GRADES,
    Fault,
    FaultKind,
    FaultPoint,
    OperatorPolicy,
    Schedule,
    Turns,
    find_nearest,
    list_fault_kinds,
)
from support.keyed import free, hold
from support.messages import message_of
from support.verifying import Bench, three

names = st.from_regex(r"[a-zäß_][a-z0-9_]{0,5}", fullmatch=True)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
roles = st.sampled_from(["action", "compensation", "probe"])
labels = st.one_of(
    st.builds("{}.{}".format, paths, roles),
    st.builds("{}.{}/{}.{}".format, paths, roles, names, names),
    st.builds("{}.commit/{}".format, paths, st.sampled_from(["StepStarted", "StepSucceeded"])),
    st.builds("commit/{}".format, st.sampled_from(["InstanceCreated", "InstanceFailed"])),
    st.builds("{}.signal".format, names),
)
points = st.builds(FaultPoint, labels, st.integers(1, 99), st.integers(1, 99))
faults = st.builds(Fault, points, st.sampled_from(FAULT_KINDS))
schedules = st.builds(
    Schedule,
    st.lists(faults, max_size=4).map(tuple),
    st.sampled_from(get_args(Turns)),
    st.sampled_from(get_args(OperatorPolicy)),
)


@given(schedules)
def test_a_schedule_reads_back_as_it_was(schedule: Schedule) -> None:
    """Whatever it holds, in its order; and the text of what is read is the same text."""
    assert schedule == Schedule.parse(str(schedule))
    assert str(schedule) == str(Schedule.parse(str(schedule)))


@given(schedules, st.text(" \t\n", max_size=3))
def test_spaces_make_no_difference(schedule: Schedule, space: str) -> None:
    """Around the parts; nor does a semicolon too many."""
    text = f"{space};{space}".join(str(schedule).split("; "))

    assert schedule == Schedule.parse(f"{space}{text}{space};")


@given(st.text())
def test_any_text_is_a_schedule_or_a_request_error(text: str) -> None:
    """Never another error, and what is read says itself again."""
    try:
        schedule = Schedule.parse(text)
    except RequestError:
        return
    assert schedule == Schedule.parse(str(schedule))


def test_what_is_usual_is_left_out() -> None:
    """The first occurrence is numbered, the first life is not; turns and operator are told where they differ."""
    schedule = Schedule((Fault(FaultPoint("a.action"), "crash"), Fault(FaultPoint("a.action", 2, 3), "cancel")))

    assert "a.action#1=crash; a.action#2@3=cancel" == str(schedule)
    assert "no fault" == str(Schedule())
    assert "turns=last; operator=compensate" == str(Schedule(turns="last", operator="compensate"))
    assert Schedule() == Schedule.parse("turns=first; operator=truth") == Schedule.parse("") == Schedule.parse(" ; ")


PART = (
    "{!r} is no part of a schedule (write label#number=fault, as 'charge.action/stripe.charge#1=crash', "
    "or turns=last, or operator=compensate)"
)


@pytest.mark.parametrize(
    "part",
    [
        "a.action",
        "a.action=crash",
        "a.action#0=crash",
        "a.action#01=crash",
        "a.action#1@0=crash",
        "a.action#1@=crash",
        "#1=crash",
        "a b.action#1=crash",
        "a.action#1",
        "a.action#1=",
        "a.action#1=raise before",
        "a.action#-1=crash",
        "turns=middle",
        "operator=",
        "crash",
    ],
)
def test_what_is_no_part_of_a_schedule_is_told(part: str) -> None:
    """By that part, with how to write one; also between parts that are well."""
    assert PART.format(part) == message_of(RequestError, lambda: Schedule.parse(part))
    assert PART.format(part) == message_of(
        RequestError, lambda: Schedule.parse(f"a.action#1=crash; {part}; turns=last")
    )


def test_a_fault_that_there_is_not_is_told() -> None:
    """With those that there are."""
    told = (
        "'a.action#1=explode' asks for a fault 'explode' that there is not (there are: raise_before, raise_after, "
        "down, late, crash, crash_after, interrupt, cancel, duplicate, store_fail, store_ambiguous, twice, withhold)"
    )

    assert told == message_of(RequestError, lambda: Schedule.parse("a.action#1=explode"))


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("charge.action/stripe.charge", ("charge", "action", "stripe.charge")),
        ("charge.action", ("charge", "action", "")),
        ("trip/hotel.compensation/hotels.cancel", ("trip/hotel", "compensation", "hotels.cancel")),
        ("charge.action/stripe.cards.add", ("charge", "action", "stripe.cards.add")),
        ("charge.commit/StepSucceeded", ("charge", "commit", "StepSucceeded")),
        ("trip.commit/InstanceCreated", ("trip", "commit", "InstanceCreated")),
        ("commit/InstanceCreated", ("", "commit", "InstanceCreated")),
        ("paid.signal", ("paid", "signal", "")),
    ],
)
def test_a_label_has_a_path_a_role_and_a_call(label: str, parts: tuple[str, str, str]) -> None:
    """Also of a nested step, and where a resource's part is called."""
    point = FaultPoint(label)

    assert parts == (point.path, point.role, point.call)


@pytest.mark.parametrize(
    ("kind", "grade"),
    [
        ("raise_before", "raise"),
        ("raise_after", "doubt"),
        ("down", "raise"),
        ("late", "late"),
        ("crash", "crash"),
        ("crash_after", "crash"),
        ("interrupt", "crash"),
        ("cancel", "cancel"),
        ("duplicate", "duplicate"),
        ("store_fail", "store"),
        ("store_ambiguous", "store"),
        ("twice", "doubt"),
        ("withhold", "raise"),
    ],
)
def test_each_fault_has_a_grade(kind: FaultKind, grade: str) -> None:
    """Of its own kind; in a compensation it is always that one."""
    assert grade == Fault(FaultPoint("a.action/s.do"), kind).grade
    assert "compensation" == Fault(FaultPoint("a.compensation/s.undo"), kind).grade


@given(schedules)
def test_the_grades_of_a_schedule_are_those_of_its_faults(schedule: Schedule) -> None:
    """Each once, in order, and never one that there is not."""
    found = [fault.grade for fault in schedule.faults]

    assert sorted(set(found), key=found.index) == list(schedule.grades)
    assert set(found) <= set(GRADES)


ACTION = ("raise_before", "raise_after", "down", "late", "crash", "crash_after", "interrupt", "cancel")
FUNCTION = ("raise_before", "raise_after", "crash", "crash_after", "interrupt")


@pytest.mark.parametrize(
    ("label", "intercepted", "kinds"),
    [
        (
            "commit/InstanceCreated",
            False,
            ("crash", "crash_after", "store_fail", "store_ambiguous", "duplicate"),
        ),
        (
            "papers.commit/InstanceCreated",
            False,
            ("crash", "crash_after", "store_fail", "store_ambiguous", "cancel", "duplicate"),
        ),
        (
            "a.commit/StepSucceeded",
            True,
            ("crash", "crash_after", "store_fail", "store_ambiguous", "cancel", "duplicate"),
        ),
        ("paid.signal", False, ("withhold", "cancel")),
        ("a.probe/s.ask", True, ("raise_before", "down", "crash")),
        ("a.compensation/s.undo", True, ACTION[:-1]),
        ("a.action/s.do", True, ACTION),
        ("a.action", True, ()),
        ("a.compensation", True, ()),
        ("a.probe", True, ()),
        ("a.action", False, FUNCTION),
        ("a.compensation", False, FUNCTION),
        ("a.probe", False, ("raise_before",)),
    ],
)
def test_what_is_tried_depends_on_the_point(label: str, intercepted: bool, kinds: tuple[FaultKind, ...]) -> None:
    """A function is hit as a whole only where it calls no resource; a compensation, and what is not, is not cancelled."""
    assert kinds == tuple(list_fault_kinds(FaultPoint(label), intercepted=intercepted))


@given(st.lists(points, min_size=1, max_size=5, unique_by=str))
def test_the_nearest_of_those_known_is_itself(known: list[FaultPoint]) -> None:
    """A point that is there is its own nearest."""
    assert known == [find_nearest(point, known) for point in known]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("charge.action/stripe.charge", "charge.action/stripe.pay"),
        ("charge.action/bank.pay", "charge.action/stripe.pay"),
        ("refund.compensation", "charge.compensation"),
    ],
)
def test_the_nearest_is_the_most_alike(asked: str, found: str) -> None:
    known = [
        FaultPoint("reserve.action/stock.take"),
        FaultPoint("charge.action/stripe.pay"),
        FaultPoint("charge.compensation"),
    ]

    assert FaultPoint(found) == find_nearest(FaultPoint(asked), known)
    assert find_nearest(FaultPoint("zzz"), known) in known  # however little alike: some help is better than none


def test_nothing_is_nearest_where_nothing_is_known() -> None:
    assert find_nearest(FaultPoint("a.action"), []) is None


@pytest.mark.parametrize("steps", ["greet reserve charge ship", "reserve wrap charge", "charge ship thank"])
def test_a_schedule_survives_edits_of_the_saga(steps: str) -> None:
    """Steps added or left out before, behind and between change nothing: the same calls are hit, and end alike."""
    text = "charge.action/shop.hold#1=raise_after; charge.compensation/shop.free#1@1=crash"
    edited = Saga("edited", resources=["shop"], in_doubt="compensate")
    for step in steps.split():
        edited.add_step(step, hold, free)
    before, after = Bench(three()).run(text), Bench(edited).run(text)

    hit = ["charge.action/shop.hold#1", "charge.compensation/shop.free#1"]
    assert hit == [str(passed.point) for passed in before.fired] == [str(passed.point) for passed in after.fired]
    assert "failed" == before.state == after.state
