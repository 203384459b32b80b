"""A report says what was found, within which bounds; it is stable, and never better than what was tried."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import Saga
from sagafsm.verify import Bounds, Finding, GradeResult, Report, VerificationFailed, verify
from sagafsm.verify.report.oracle import FINDING_KINDS, VACUOUS
from sagafsm.verify.report.report import make_grades, sort_findings
from sagafsm.verify.schedule import GRADES
from support.verifying import Bank, pay, paying, undo

counts = st.integers(0, 10_000)


def forgetful() -> Saga:
    saga = Saga("shop", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", pay, lambda bank: None)
    saga.add_step("two", pay, undo)
    return saga


def finding(**given_: Any) -> Finding:
    return Finding(**{"kind": "left_behind", "step": "a", "schedule": "s", "faults": 1, "message": "m", **given_})


def report_of(*findings: Finding, **given_: Any) -> Report:
    bounds = Bounds(schedules=2, faults=1, skipped=0, steps=1, inputs=1)
    values: dict[str, Any] = {"saga": "shop", "bounds": bounds, "grades": make_grades({}, {}), "matrix": (), **given_}
    return Report(findings=findings, **values)


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        (
            {"schedules": 2134, "faults": 2, "skipped": 0, "steps": 3, "inputs": 1, "states": 22, "fixpoint": True},
            "2,134 schedules: all of up to 2 faults; any number of crashes (22 states, fixpoint); 3 steps; 1 input",
        ),
        (
            {"schedules": 1, "faults": 0, "skipped": 0, "steps": 1, "inputs": 2, "not_covered": ("everything", "more")},
            "1 schedule: no faults; 1 step; 2 inputs; not covered: everything, more",
        ),
        (
            {"schedules": 99, "faults": 1, "skipped": 1234, "equal": 5, "steps": 2, "inputs": 1, "states": 7},
            (
                "99 schedules: all of up to 1 fault, 1,234 of 2 skipped for lack of time, 5 of them by a run that goes on "
                "alike; any number of crashes (7 states, not all); 2 steps; 1 input"
            ),
        ),
        (
            {"schedules": 5, "faults": 2, "skipped": 0, "steps": 1, "inputs": 1, "drawn": 1200, "together": 3},
            (
                "5 schedules: all of up to 2 faults; 1,200 of more faults at random; 3 of two instances at once; 1 step; "
                "1 input"
            ),
        ),
    ],
)
def test_bounds_are_told_whole(given_: Any, told: str) -> None:
    assert told == str(Bounds(**given_))


@given(st.lists(st.sampled_from(FINDING_KINDS)), st.lists(st.sampled_from(FINDING_KINDS)))
def test_a_report_is_ok_only_without_errors(errors: list[Any], warnings: list[Any]) -> None:
    """Whatever the findings: warnings do not count, any error does; vacuous is where all errors are of that kind."""
    found = [finding(kind=kind) for kind in errors] + [finding(kind=kind, severity="warning") for kind in warnings]
    report = report_of(*sort_findings(found))

    assert (not errors) == report.ok
    assert (bool(errors) and set(errors) <= VACUOUS) == report.is_vacuous
    assert (len(errors), len(warnings)) == (len(report.errors), len(report.warnings))


@given(st.lists(st.builds(finding, faults=st.integers(0, 5), severity=st.sampled_from(["error", "warning"]))))
def test_findings_are_in_order(found: list[Finding]) -> None:
    """Errors first, of the fewest faults first; none is lost, and equal ones stay as they came."""
    given_ = sort_findings(found)

    assert Counter(map(id, found)) == Counter(map(id, given_))
    assert [(f.severity, f.faults) for f in given_] == sorted((f.severity, f.faults) for f in found)


@pytest.mark.parametrize(
    ("tried", "broken", "word", "told"),
    [
        (0, 0, "not tried", "raise: not tried (0)"),
        (9, 0, "held", "raise: held (9)"),
        (9, 2, "broken", "raise: broken (2 of 9)"),
    ],
)
def test_a_grade_is_never_good_where_nothing_was_tried(tried: int, broken: int, word: str, told: str) -> None:
    grade = GradeResult(grade="raise", tried=tried, broken=broken)

    assert (word, told) == (grade.word, str(grade))


@given(st.dictionaries(st.sampled_from(GRADES), counts), st.dictionaries(st.sampled_from(GRADES), counts))
def test_every_class_has_a_grade(tried: dict[str, int], broken: dict[str, int]) -> None:
    """Also of which nothing was tried; in one order."""
    assert list(GRADES) == [grade.grade for grade in make_grades(tried, broken)]


def test_a_report_is_told_whole() -> None:
    """Verdict, bounds, each finding with its schedule, grades, notes."""
    warned = finding(
        kind="late", severity="warning", message="saga 'shop': late.", advice="Fence it.", schedule="x#1=late"
    )
    report = report_of(finding(message="saga 'shop': bad.", schedule="a#1=crash"), warned, notes=("a note",))

    grades = "; ".join(f"{grade}: not tried (0)" for grade in GRADES)
    assert (
        "saga 'shop': 1 finding, within 2 schedules: all of up to 1 fault; 1 step; 1 input\n"
        "- left_behind: saga 'shop': bad.\n"
        "  schedule: a#1=crash\n"
        "- warning: saga 'shop': late. Fence it.\n"
        "  schedule: x#1=late\n"
        f"{grades}\n"
        "note: a note"
    ) == str(report)
    assert "<Report on saga 'shop': 1 finding; 2 schedules: all of up to 1 fault; 1 step; 1 input>" == repr(report)
    assert "<Report on saga 'shop': ok; 2 schedules: all of up to 1 fault; 1 step; 1 input>" == repr(report_of(warned))


def test_assert_ok_raises_the_report() -> None:
    """An AssertionError whose message is the whole of it; nothing where all is well."""
    report = verify(forgetful(), Bank, depth=1)
    with pytest.raises(AssertionError) as caught:
        report.assert_ok()

    assert VerificationFailed is type(caught.value)
    assert str(report) == str(caught.value)
    assert report is caught.value.report
    assert "left_behind" in str(report)
    verify(paying(), Bank, depth=1).assert_ok()


def test_equal_verifications_give_equal_reports() -> None:
    """To the letter, but for how long they took."""
    one, other = (verify(forgetful(), Bank, depth=1) for _ in range(2))

    assert one == other
    assert one.to_json() == other.to_json()
    assert one.to_json() == attrs.evolve(one, seconds=99.0).to_json()
    assert "seconds" not in json.loads(one.to_json())


def test_the_json_is_the_report() -> None:
    """All of it, with the verdict and the bounds in words."""
    report = verify(forgetful(), Bank, depth=1)
    value = json.loads(report.to_json())

    assert (report.ok, str(report.bounds)) == (value["ok"], value["bounds_told"])
    assert [f.schedule for f in report.findings] == [f["schedule"] for f in value["findings"]]
    assert {row.point: dict(row.cells) for row in report.matrix} == {
        row["point"]: row["cells"] for row in value["matrix"]
    }
    assert [grade.tried for grade in report.grades] == [grade["tried"] for grade in value["grades"]]
    assert all(isinstance(moment["after"], float) for moment in value["findings"][0]["timeline"])
    assert sorted(value) == list(value)


def test_a_finding_is_its_message_and_its_advice() -> None:
    assert "what. how" == str(finding(message="what.", advice="how"))
    assert "what." == str(finding(message="what."))


def test_schedules_are_counted() -> None:
    """Each run that was made."""
    report = verify(paying(), Bank, depth=1, budget=timedelta(seconds=60))

    assert report.bounds.schedules == report.schedules > sum(len(row.cells) for row in report.matrix)
