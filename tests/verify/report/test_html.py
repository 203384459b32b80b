"""A report as HTML: everything in words, everything escaped, the same for equal reports, nothing that runs or loads."""

from __future__ import annotations

import ast
import functools
from datetime import timedelta
from typing import Any, get_args

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm.definition.risks import Risk
from sagafsm.saga import Saga
from sagafsm.verify import Bounds, Contract, Finding, GradeResult, Report, verify
from sagafsm.verify.report.html import (
    MAX_FULL_FINDINGS,
    MAX_OPEN_POINTS,
    MEANINGS,
    describe_verdict,
    make_replay_code,
    render_report,
)
from sagafsm.verify.report.report import CellResult, PointResults, TimelineEntry
from sagafsm.verify.schedule import FAULT_KINDS, FAULT_LABELS, GRADES
from support.pages import Page

TAGS = {
    *("div", "style", "p", "b", "i", "span", "bdi", "code", "pre", "details", "summary", "ul", "li", "svg", "path"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {
    *("class", "role", "aria-label", "aria-hidden", "dir", "open", "title", "scope", "colspan"),
    *("width", "height", "viewbox", "d"),
}


def finding(**options: Any) -> Finding:
    given: dict[str, Any] = {
        "kind": "left_behind",
        "step": "hotel",
        "schedule": "hotel.action/hotels.book#1=raise_after",
        "faults": 1,
        "message": "saga 'trip', 1 fault of 33: step 'hotel' timed out.",
        "advice": "Give 'hotel' a probe.",
        "left": ("bookings['b-1']: nothing, now 1",),
        "again": 3,
        "timeline": (
            TimelineEntry(number=1, instance="", what="InstanceCreated"),
            TimelineEntry(number=None, instance="", what="step 'hotel' timed out", step="hotel", fault=True),
            TimelineEntry(number=2, instance="", what="StepInDoubt", step="hotel", after=timedelta(seconds=1)),
        ),
    }
    return Finding(**given | options)


def report_of(**options: Any) -> Report:
    given: dict[str, Any] = {
        "saga": "trip",
        "findings": (finding(),),
        "bounds": Bounds(
            schedules=2134, faults=2, skipped=0, steps=2, inputs=1, states=22, fixpoint=True, not_covered=("sleep",)
        ),
        "grades": tuple(GradeResult(grade=grade, tried=9, broken=int(grade == "doubt")) for grade in GRADES),
        "matrix": (
            PointResults(point="commit/InstanceCreated#1", step="", role="commit", cells={"crash": "completed"}),
            PointResults(
                point="hotel.action/hotels.book#1",
                step="hotel",
                role="action",
                cells={"crash": "asked", "late": "late"},
            ),
            PointResults(
                point="hotel.action/hotels.book#2@3", step="hotel", role="action", cells={"raise_after": "broken"}
            ),
        ),
        "contracts": (Contract(step="hotel", do_twice=True, undo_twice=False),),
        "risks": (Risk(step="hotel", kind="waits_for_a_person", message="a crash here waits for a person"),),
        "notes": ("a note",),
        "seconds": 1.5,
        "call": "verify(trip, world=Shop)",
    }
    return Report(**given | options)


def words(report: Report) -> str:
    return Page(render_report(report)).words


def test_it_reads_as_words_without_any_style() -> None:
    """Verdict, bounds, grades, finding with schedule and replay, timeline, matrix, contracts, notes and risks."""
    told = words(report_of())
    for part in (
        "saga trip 1 finding",
        "Within 2,134 schedules: all of up to 2 faults; any number of crashes (22 states, fixpoint); 2 steps; 1 input.",
        "Not covered: sleep.",
        "raise: held (9) doubt: broken (1 of 9) crash: held (9)",
        "left behind step hotel: 1 fault; 3 other schedules show the same",
        "saga 'trip', 1 fault of 33: step 'hotel' timed out.",
        "What would help: Give 'hotel' a probe.",
        "Schedule hotel.action/hotels.book#1=raise_after",
        'verify(trip, world=Shop, schedule="hotel.action/hotels.book#1=raise_after")',
        "1 0 s InstanceCreated 0 s fault: step 'hotel' timed out 2 1 s StepInDoubt hotel",
        "left at the end: bookings['b-1']: nothing, now 1",
        "hotel: 1 late, 1 broken of 3 action hotels.book",
        "Notes (1) a note",
        "Risks of the definition (1) a crash here waits for a person",
    ):
        assert part in told


def test_the_matrix_has_every_word_in_its_place() -> None:
    """Calls apart from writes; a row for each point, by step; a column for each fault tried there, as `FAULT_LABELS` has them."""
    rows = Page(render_report(report_of(findings=(), contracts=()))).rows
    expected = [
        ["where", "done, but times out", "times out, lands later", "process dies before"],
        ["hotel: 1 late, 1 broken of 3"],
        ["action hotels.book", "", "late", "asked"],
        ["action hotels.book, time 2, life 3", "broken", "", ""],
        ["where", "process dies before"],
        ["the instance"],
        ["storing InstanceCreated", "completed"],
    ]
    assert expected == rows


def test_the_points_of_a_step_stand_together() -> None:
    """Points of a group come by in turns; its members are shown one after the other."""
    steps = ("hotel", "flight", "hotel", "")
    matrix = tuple(
        PointResults(point=f"{step}.action/s.c{number}#1", step=step, role="action", cells={"crash": "asked"})
        for number, step in enumerate(steps)
    )
    names = [row[0] for row in Page(render_report(report_of(findings=(), contracts=(), matrix=matrix))).rows[1:]]
    assert ["hotel", "action s.c0", "action s.c2", "flight", "action s.c1", "the instance", "action s.c3"] == names


def test_each_broken_cell_tells_its_schedule() -> None:
    """A pointer over a cell that is wrong shows the text that replays it."""
    page = Page(render_report(report_of()))
    titles = [attributes["title"] for _, attributes in page.elements if "title" in attributes]
    assert ["hotel.action/hotels.book#1=late", "hotel.action/hotels.book#2@3=raise_after"] == titles


def test_contracts_say_yes_no_and_not_tried() -> None:
    """Nothing that was not tried looks held."""
    assert ["hotel", "yes", "no", "not tried", "not tried"] == Page(render_report(report_of())).rows[-1]


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ({"findings": ()}, ("holds, within the bounds below", "good")),
        ({"findings": (finding(severity="warning"),)}, ("holds, within the bounds below", "good")),
        ({}, ("1 finding", "bad")),
        ({"findings": (finding(), finding(step="flight"))}, ("2 findings", "bad")),
        ({"findings": (finding(kind="not_intercepted"),)}, ("not really tried", "late")),
        ({"findings": (), "replayed": "a#1=crash"}, ("clean with this schedule", "good")),
        ({"replayed": "a#1=crash"}, ("1 finding", "bad")),
    ],
)
def test_the_verdict_is_never_better_than_the_report(options: dict[str, Any], verdict: tuple[str, str]) -> None:
    """Green only where `ok`; what was not tried is called so."""
    report = report_of(**options)
    assert verdict == describe_verdict(report)
    assert report.ok == (verdict[1] == "good")
    assert verdict[0] in words(report)


def test_warnings_are_told_beside_the_verdict() -> None:
    """A report that holds with warnings does not look as one without."""
    assert "holds, within the bounds below 1 warning" in words(report_of(findings=(finding(severity="warning"),)))
    assert "warning: left behind" in words(report_of(findings=(finding(severity="warning"),)))


def test_equal_reports_are_shown_equally() -> None:
    """How long it took is not shown, and nothing is numbered anew."""
    assert render_report(report_of()) == render_report(report_of(seconds=9.9))


def test_it_neither_runs_nor_loads_anything() -> None:
    """No script, no address, no handler, no id that another output could have too."""
    html = render_report(report_of())
    assert not [
        part
        for part in ("http", "<script", "url(", "@import", " src=", " href=", " id=", " on")
        if part in _attributes(html)
    ]
    page = Page(html)
    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES


def _attributes(html: str) -> str:
    """The HTML without the words between its tags, in which "on" is a word like any other."""
    return " ".join(part.partition(">")[0] for part in html.split("<")) + html.partition("</style>")[0]


ODD = {
    "markup": "</style></code></bdi><script>alert(1)</script><img src=x onerror=alert(1)>\" ' onclick=x &lt;",
    "emoji": "🧳 ✈️ 👩‍👩‍👧",
    "right to left": "\u202e\u05d4\u05d6\u05de\u05e0\u05d4 \u0645\u0637\u0627\u0631",
    "200 letters": "x" * 200,
    "a comment": "<!-- --> <![CDATA[ ]]> &amp;",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_whatever_a_user_gives_is_text(odd: str) -> None:
    """In every place where a word comes from a user: it is read as it was written, and makes no element of its own."""
    moment = TimelineEntry(number=1, instance=odd, what=odd, step=odd)
    odd_one = finding(
        step=odd,
        schedule=odd,
        message=odd,
        advice=odd,
        left=(odd,),
        timeline=(moment, attrs.evolve(moment, fault=True)),
    )
    report = report_of(
        saga=odd,
        findings=(odd_one,) * (MAX_FULL_FINDINGS + 1),
        bounds=attrs.evolve(report_of().bounds, not_covered=(odd,)),
        matrix=(PointResults(point=f"{odd}#1", step=odd, role="action", cells={"crash": "broken"}),),
        contracts=(Contract(step=odd),),
        risks=(Risk(step=odd, kind="irreversible", message=odd),),
        notes=(odd,),
        replayed=None,
        call=odd,
    )
    page, plain = (
        Page(render_report(report)),
        Page(render_report(report_of(findings=(finding(),) * (MAX_FULL_FINDINGS + 1)))),
    )
    assert page.tags == plain.tags
    assert page.attributes <= ATTRIBUTES
    assert page.styles == plain.styles
    assert page.words.count(" ".join(odd.split())) >= 8 * MAX_FULL_FINDINGS
    assert " ".join(odd.split()) in words(attrs.evolve(report, replayed=odd))


@given(schedule=st.text())
def test_the_replay_is_python_for_the_schedule(schedule: str) -> None:
    """Whatever a schedule holds, the line that replays it is one call, with exactly that text."""
    shown = make_replay_code(finding(schedule=schedule), report_of())
    call = ast.parse(shown, mode="eval").body
    assert isinstance(call, ast.Call)
    assert [("world", "Shop"), ("schedule", schedule)] == [
        (word.arg, word.value.id if isinstance(word.value, ast.Name) else ast.literal_eval(word.value))
        for word in call.keywords
    ]


def test_every_word_and_every_fault_has_a_meaning() -> None:
    """There is no word of the matrix without a colour and a meaning, nor a fault without a title."""
    assert set(get_args(CellResult)) == set(MEANINGS)
    assert set(FAULT_KINDS) == set(FAULT_LABELS)


def test_many_findings_are_folded() -> None:
    """The first ones in full, the others by what they say and what replays them."""
    many = tuple(finding(step=f"s{number}", schedule=f"s{number}#1=crash") for number in range(MAX_FULL_FINDINGS + 5))
    told = words(report_of(findings=many))
    assert "5 findings more" in told
    assert MAX_FULL_FINDINGS == told.count("event by event")
    assert f"s{MAX_FULL_FINDINGS + 4}#1=crash" in told


def test_a_large_matrix_is_folded_and_its_size_is_sensible() -> None:
    """Of a saga of six steps with some findings it is less than 80 kB; a matrix of many points waits for a click."""
    cells: dict[str, CellResult] = dict.fromkeys(FAULT_KINDS[:11], "broken")
    matrix = tuple(
        PointResults(
            point=f"step{step}.action/service{step}.method{call}#1", step=f"step{step}", role="action", cells=cells
        )
        for step in range(6)
        for call in range(4)
    )
    contracts = tuple(Contract(step=f"step{step}", do_twice=True) for step in range(6))
    timeline = tuple(
        TimelineEntry(number=number, instance="", what=f"Event{number}", step="hotel") for number in range(40)
    )
    report = report_of(matrix=matrix, contracts=contracts, findings=(finding(timeline=timeline),) * 5)
    assert len(render_report(report).encode()) < 80_000
    assert "Every single fault, at every point" in words(report)
    folded = words(attrs.evolve(report, matrix=matrix * 3))
    assert len(matrix * 3) > MAX_OPEN_POINTS
    assert "Every single fault, at 72 points" in folded


def test_a_notebook_gets_words_and_html() -> None:
    """A report as the last line of a cell shows itself; where there is no HTML it is its text."""
    report = report_of()
    assert {"text/plain": str(report), "text/html": render_report(report)} == report._repr_mimebundle_()


class Shelf:
    def __init__(self) -> None:
        self.goods: dict[str, int] = {}

    def put(self, key: str) -> None:
        self.goods[key] = 1


class Shop:
    def __init__(self) -> None:
        self.shelf = Shelf()

    def resources(self) -> dict[str, Any]:
        return {"shelf": self.shelf}

    def snapshot(self) -> Any:
        return self.shelf.goods


def saga(name: str = "stock") -> Saga:
    made = Saga(name, resources=["shelf"])

    @made.step
    def put(shelf: Shelf) -> None:
        shelf.put("mug")

    return made


CALLS: list[tuple[str, Any, dict[str, Any], str]] = [
    ("stock", Shop, {}, "verify(stock, world=Shop)"),
    ("my stock", Shop(), {"inputs": [1]}, "verify(saga, world=world, inputs=inputs)"),
    (
        "class",
        functools.partial(Shop),
        {"faults": "strict", "signals": {"a": 1}},
        'verify(saga, world=world, signals=signals, faults="strict")',
    ),
]


@pytest.mark.parametrize(("name", "world", "options", "call"), CALLS)
def test_a_report_knows_how_it_was_asked_for(name: str, world: Any, options: dict[str, Any], call: str) -> None:
    """What replays a finding is what was called, with the schedule; its saga's variable is taken to have its name."""
    report = verify(
        saga(name), world=world, schedule="put.action/shelf.put#1=raise_after; operator=compensate", **options
    )
    assert call == report.call
    assert ["left_behind"] == [found.kind for found in report.errors]
    assert "put: " in words(report) or "step put" in words(report)
