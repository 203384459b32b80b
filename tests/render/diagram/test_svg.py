"""A saga's diagram: every step once, nothing over anything else, nothing outside, and nothing given is markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any, get_args
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sagafsm import Retry, Saga
from sagafsm.history.events import StepOutline
from sagafsm.render.diagram.layout import HEAD, Layout, PlacedBox, Point, Rect, compute_layout
from sagafsm.render.diagram.nodes import Box, Target, build_columns
from sagafsm.render.diagram.svg import STYLE, draw_diagram
from sagafsm.render.icons import draw_status_icon
from sagafsm.render.labels import EFFECT_MAY_REMAIN, get_display_phase, label_action, label_compensation
from sagafsm.render.text_width import fit_text, measure_width, wrap_text
from support.pages import Page
from support.shown import Course, instance_of, parked_in_doubt

TITLES = (
    st.none() | st.text(max_size=200) | st.sampled_from(["<b>&", "مرحبا بالعالم", "漢字" * 60, "🧾🧾🧾", "a_" * 90])
)


@st.composite
def outlines(draw: st.DrawFn, depth: int = 0) -> tuple[StepOutline, ...]:
    """Steps in any shape that a diagram may meet, also such as no saga has."""
    found = []
    for number in range(draw(st.integers(1, 9 if depth == 0 else 3))):
        kind = draw(st.sampled_from(["step", "step", "step", "wait", "saga"] if depth < 3 else ["step"]))
        found.append(
            StepOutline(
                name=f"s{number}",
                title=draw(TITLES),
                kind=kind,
                compensation=draw(st.booleans()),
                effect=draw(st.booleans()),
                pivot=draw(st.integers(0, 9)) == 0,
                group=draw(st.none() | st.just(f"g{number // 3}")),
                steps=draw(outlines(depth=depth + 1)) if kind == "saga" else (),
            )
        )
    return tuple(found)


def rects(drawn: Layout) -> list[tuple[PlacedBox, Rect]]:
    """Every place that is taken, with the box that takes it."""
    return [(one, rect) for one in drawn.placed for rect in (one.rect, one.pill) if rect is not None]


def overlap(one: Rect, other: Rect) -> bool:
    return one.x < other.right and other.x < one.right and one.y < other.bottom and other.y < one.bottom


def holds(one: Rect, other: Rect) -> bool:
    return one.x <= other.x and one.y <= other.y and one.right >= other.right and one.bottom >= other.bottom


def breaches(drawn: Layout) -> list[str]:
    """What of a layout is not as it has to be."""
    found = []
    for (one, rect), (other, place) in combinations(rects(drawn), 2):
        inside = one.box.columns and other.box.path.startswith(f"{one.box.path}/") and rect == one.rect
        if inside and not holds(rect, place):
            found.append(f"{other.box.path} sticks out of {one.box.path}")
        if not inside and overlap(rect, place):
            found.append(f"{one.box.path} and {other.box.path} overlap")
    whole = Rect(0, 0, drawn.width, drawn.height)
    found += [f"{one.box.path} is outside" for one, rect in rects(drawn) if not holds(whole, rect)]
    for edge in drawn.edges:
        found += [
            "an edge leads outside" for x, y in edge.points if not (0 <= x <= drawn.width and 0 <= y <= drawn.height)
        ]
    return found


def paths(outline: tuple[StepOutline, ...], prefix: str = "", depth: int = 0) -> list[str]:
    found = []
    for step in outline:
        found.append(prefix + step.name)
        if step.kind == "saga" and depth < 2:
            found += paths(step.steps, f"{prefix}{step.name}/", depth + 1)
    return found


@settings(max_examples=150)
@given(outlines())
def test_nothing_ever_overlaps_or_leaves_the_picture(outline: tuple[StepOutline, ...]) -> None:
    """Whatever the shape and the titles: every step is there once, boxes keep apart, and all is inside."""
    drawn = compute_layout(build_columns(outline))
    assert [] == breaches(drawn)
    assert sorted(paths(outline)) == sorted(one.box.path for one in drawn.placed)


def test_the_control_sees_what_overlaps() -> None:
    """A layout with two boxes in one place, and one outside, is told."""
    drawn = compute_layout(build_columns((StepOutline(name="a"), StepOutline(name="b"))))
    first, second = drawn.placed
    moved = PlacedBox(second.box, first.rect.translate(5, 5), None)
    away = PlacedBox(second.box, first.rect.translate(-900, 0), None)
    broken = Layout(drawn.width, drawn.height, (first, moved, away), (), ())
    assert ["a and b overlap", "b is outside"] == breaches(broken)


@settings(max_examples=150)
@given(outlines())
def test_every_arrow_with_a_tip_ends_at_a_box(outline: tuple[StepOutline, ...]) -> None:
    """Forward at a box's left edge, or at the end; back at the right edge of a compensation."""
    drawn = compute_layout(build_columns(outline))
    lefts = {(one.rect.x, one.rect.middle) for one in drawn.placed}
    rights = {(one.pill.right, one.pill.middle) for one in drawn.placed if one.pill is not None}
    assert drawn.end is not None
    for edge in drawn.edges:
        if edge.has_tip:
            last = edge.points[-1]
            assert last in (lefts if edge.way == "forward" else rights) or last[0] == drawn.end[0] - 8


def test_the_way_back_passes_under_steps_without_a_compensation() -> None:
    """It keeps its height below them, and turns to the group only behind them."""
    group = (StepOutline(name="a", group="g", compensation=True), StepOutline(name="b", group="g", compensation=True))
    alone = (StepOutline(name="c"), StepOutline(name="d"), StepOutline(name="e", compensation=True))
    drawn = compute_layout(build_columns((*group, *alone)))
    passed = next(one.rect for one in drawn.placed if one.box.path == "c")
    back = [edge.points for edge in drawn.edges if edge.way == "back"]
    assert 2 == len(back)
    for start, turn, _ in back:
        assert start[1] == turn[1] > passed.bottom
        assert turn[0] <= passed.x


def straight(points: tuple[Point, ...]) -> Iterator[tuple[Point, Point]]:
    """The straight pieces of an edge."""
    if len(points) == 3 or (len(points) == 2 and abs(points[0][1] - points[1][1]) < 0.5):
        yield points[0], points[1]
    if len(points) > 3:
        yield from pairwise(points)


def crosses(piece: tuple[Point, Point], rect: Rect) -> bool:
    """Whether a horizontal or vertical piece runs through the inside of a place."""
    (x, y), (to_x, to_y) = piece
    return (
        min(x, to_x) < rect.right - 1
        and max(x, to_x) > rect.x + 1
        and min(y, to_y) < rect.bottom - 1
        and max(y, to_y) > rect.y + 1
    )


@settings(max_examples=150)
@given(outlines())
@example(
    (
        StepOutline(name="a", compensation=True),
        StepOutline(
            name="papers",
            kind="saga",
            steps=(
                StepOutline(name="b", group="g"),
                StepOutline(name="c", group="g"),
                StepOutline(name="d", group="g"),
            ),
        ),
        StepOutline(name="e", compensation=True),
    )
)
def test_no_way_back_runs_through_a_box(outline: tuple[StepOutline, ...]) -> None:
    """Whatever stands between a compensation and the one before it, as long as both stand in one row."""
    drawn = compute_layout(build_columns(outline), width=10_000)
    for edge in drawn.edges:
        if edge.way == "back":
            boxes = [one.rect for one in drawn.placed if not holds(one.rect, Rect(*edge.points[0], 0, 0))]
            crossed = [rect for piece in straight(edge.points) for rect in boxes if crosses(piece, rect)]
            assert [] == crossed


def test_badges_cover_nothing() -> None:
    """They have room above a box and below its compensation, also under a group's label and within a frame."""
    child = (StepOutline(name="x", group="g", compensation=True), StepOutline(name="y", group="g", compensation=True))
    outline = (StepOutline(name="papers", kind="saga", steps=child), StepOutline(name="z", compensation=True))
    places = {(path, target): "fails always" for path in ("papers/x", "papers/y", "z") for target in get_args(Target)}
    drawn = compute_layout(build_columns(outline, marks=places))
    svg = ET.fromstring(str(draw_diagram(outline, marks=places)).split(">", 1)[1].rsplit("</div>", 1)[0])
    badges = [
        Rect(*(float(rect.attrib[name]) for name in ("x", "y", "width", "height")))
        for one in svg.iter("g")
        if one.get("class") == "m"
        for rect in one.iter("rect")
    ]
    assert 6 == len(badges)
    frames = [one.rect for one in drawn.placed if one.box.columns]
    others = [rect for one, rect in rects(drawn) if rect not in frames] + [label.rect for label in drawn.labels]
    titles = [Rect(frame.x, frame.y, frame.width, HEAD) for frame in frames]
    assert not [pair for pair in combinations(badges, 2) if overlap(*pair)]
    assert not [(badge, rect) for badge in badges for rect in (*others, *titles) if overlap(badge, rect)]


@given(st.text(max_size=200), st.floats(30, 200), st.floats(8, 14))
def test_text_never_takes_more_room_than_there_is(text: str, room: float, size: float) -> None:
    """By the estimate that boxes are drawn by; and what fits is left whole."""
    lines = wrap_text(text, room, size)
    assert 1 <= len(lines) <= 2
    assert all(measure_width(line, size) <= room + 0.01 for line in lines)
    assert fit_text("ok", 40, size) == "ok"


@settings(max_examples=100)
@given(outlines(), st.text(max_size=60))
def test_nothing_given_is_ever_markup(outline: tuple[StepOutline, ...], mark: str) -> None:
    """With markup in titles and marks the picture has the same elements as without."""
    marks = {("s0", "action"): f"<script>{mark}</script>"}
    drawn = draw_diagram(outline, marks=marks, interactive=True)
    parsed = ET.fromstring(drawn)
    allowed = {"div", "svg", "g", "rect", "path", "text", "title", "circle"}
    assert {element.tag for element in parsed.iter()} <= allowed
    assert drawn == draw_diagram(outline, marks=marks, interactive=True)


def order(last: Any = None) -> Saga:
    saga = Saga("order", retry=Retry(1))
    saga.add_step("reserve", lambda: 1, lambda result: None)
    saga.add_step("charge", lambda: 1, lambda result: None, title="Charge <the> card")
    saga.add_step("ship", last or (lambda: 1))
    return saga


def told(drawn: str) -> list[str]:
    """What its boxes say, in order."""
    return [element.findtext("title") or "" for element in ET.fromstring(drawn).iter("g")]


def test_it_tells_how_each_step_stands() -> None:
    """In words, of a saga that failed and went back."""

    def fail() -> None:
        raise ValueError("no")

    saga = order(fail)
    instance = saga.run(None)
    expected = [
        "reserve: done; compensation: undone",
        "compensation of reserve: undone",
        "Charge <the> card: done; compensation: undone",
        "compensation of Charge <the> card: undone",
        "ship: failed; no compensation",
    ]
    assert expected == told(draw_diagram(instance.outline, instance=instance))
    saga.orchestrator.close()


def test_a_blocked_step_says_so_where_it_is_blocked() -> None:
    """At the compensation that failed, which is the present place too."""

    def fail(result: Any = None) -> None:
        raise ValueError("no")

    saga = Saga("order")
    saga.add_step("reserve", lambda: 1, fail, compensation_retry=Retry(1))
    saga.add_step("ship", fail)
    instance = saga.run(None)
    drawn = draw_diagram(instance.outline, instance=instance)
    assert "compensation of reserve: blocked" in told(drawn)
    classes = {g.findtext("title"): g.get("class") for g in ET.fromstring(drawn).iter("g")}
    assert "asked here" == classes["compensation of reserve: blocked"]
    saga.orchestrator.close()


def test_nested_sagas_show_how_their_own_steps_stand() -> None:
    """By the child's instance, where it is given; without it nobody can say, and it is one box with their number."""
    child, saga = order(), Saga("outer")
    saga.add_saga("inner", child)
    instance = saga.run(None, id="o-1")
    nested = {"inner": saga.orchestrator.get("o-1/inner")}
    assert "reserve: done; has a compensation" in told(draw_diagram(instance.outline, instance=instance, nested=nested))
    folded = told(draw_diagram(instance.outline, instance=instance))
    assert "inner: done; a nested saga of 3 steps; has a compensation" in folded
    assert not any(words.startswith("reserve") for words in folded)
    # Before it has begun all of them are not begun.
    assert "reserve: not begun; has a compensation" in told(draw_diagram(instance.outline, instance=instance.at(1)))
    saga.orchestrator.close()


def test_an_interactive_one_is_made_of_buttons() -> None:
    """Each with its path and what of the step it is, to be reached by the keyboard; a static one has none."""
    outline = order().definition.outline
    page = Page(draw_diagram(outline, interactive=True))
    buttons = [(a["data-step"], a["data-target"]) for _, a in page.elements if a.get("role") == "button"]
    assert [(s, t) for s in ("reserve", "charge") for t in ("action", "compensation")] + [("ship", "action")] == buttons
    assert all(a["tabindex"] == "0" and a["aria-label"] for _, a in page.elements if a.get("role") == "button")
    assert "data-step" not in Page(draw_diagram(outline)).attributes


@pytest.mark.parametrize("scheme", ["http:", "https:", "url(", "<script", "@import"])
def test_it_loads_nothing(scheme: str) -> None:
    """A diagram needs nothing from anywhere."""
    assert scheme not in draw_diagram(order().definition.outline, interactive=True)


def test_a_long_saga_keeps_to_the_width_of_a_page() -> None:
    """Fifty steps stand in rows; the picture stays within the budget of a static repr."""
    saga = Saga("long")
    for number in range(50):
        saga.add_step(f"step_{number}", lambda: 1, lambda result: None)
    drawn = draw_diagram(saga.definition.outline)
    assert 1100 >= int(re.search(r'width="(\d+)"', drawn)[1])  # type: ignore[index]
    assert 40_000 >= len(drawn)


def test_where_there_is_less_room_it_is_drawn_smaller_as_long_as_it_can_be_read() -> None:
    """A notebook's column is narrower than a page: down to four fifths nothing is cut off."""
    svg = next(a for name, a in Page(draw_diagram(order().definition.outline)).elements if name == "svg")
    assert f"min-width:{round(int(svg['width']) * 0.8)}px" == svg["style"]
    assert ".sgf-d{display:block;max-width:100%;height:auto;" in STYLE


COURSES = ("pending", "running", "completed", "blocked", "doubt", "failed")


@pytest.mark.parametrize("course", COURSES)
def test_how_each_part_stands_is_told_by_word_and_sign(course: Course) -> None:
    """Never by colour alone: each action and each compensation has the sign of how it stands, and its words."""
    instance = instance_of(course)
    drawn, html = (
        compute_layout(build_columns(instance.outline, instance=instance)),
        str(draw_diagram(instance.outline, instance=instance)),
    )
    for one in drawn.placed:
        record, step = (
            instance.steps[one.box.path],
            instance.outline[[s.name for s in instance.outline].index(one.box.path)],
        )
        standing = label_action(step, record, get_display_phase(instance))
        calls = f" · attempt {record.attempt}" if record.attempt > 1 else ""
        if not any(block.step == step.name for block in instance.blocked):
            assert draw_status_icon(standing.icon, one.rect.right - 19, one.rect.y + 6) in html
            assert f">{standing.word}{calls}</text>" in html
        undo = label_compensation(step, instance)
        if one.pill is not None and one.box.undo == undo:
            name = "back" if undo.icon == "empty" else undo.icon
            assert draw_status_icon(name, one.pill.x + 8, one.pill.y + 5) in html
            assert f">{undo.word}</text>" in html


@pytest.mark.parametrize("course", COURSES)
def test_what_has_come_by_is_drawn_so(course: Course) -> None:
    """The beginning once a step was called, the end once it is complete; a way back between two that were undone."""
    instance = instance_of(course)
    page = Page(draw_diagram(instance.outline, instance=instance))
    dots = [a.get("class") for name, a in page.elements if name == "circle"]
    begun, complete = bool(instance.started), instance.state == "completed"
    assert ["t g" if begun else "t", "e g" if complete else "e", "t g" if complete else "t"] == dots
    drawn = compute_layout(build_columns(instance.outline, instance=instance))
    first = [edge.is_taken for edge in drawn.edges if drawn.start and edge.points[0][0] == drawn.start[0] + 5]
    assert [begun] == first
    undone = {one.pill.x: one.box.has_gone_back for one in drawn.placed if one.pill is not None}
    backs = [edge for edge in drawn.edges if edge.way == "back"]
    assert not [edge for edge in backs if edge.is_taken and not undone[edge.points[0][0]]]


def test_there_is_no_way_back_over_a_pivot() -> None:
    """Law: behind it an instance only goes forward."""
    steps = (StepOutline(name="a", compensation=True), StepOutline(name="p", pivot=True))
    drawn = compute_layout(build_columns((*steps, StepOutline(name="c", compensation=True))))
    assert [] == [edge for edge in drawn.edges if edge.way == "back"]


def test_marks_are_shown_at_their_box() -> None:
    """What breaks on purpose is a badge, in words for those who listen too."""
    drawn = draw_diagram(order().definition.outline, marks={("charge", "compensation"): "refused, once"})
    assert "refused, once" in told(drawn)
    assert any("its compensation breaks on purpose: refused, once" in words for words in told(drawn))


def test_a_box_says_all_of_it() -> None:
    """Attempts and pivots, too."""
    columns = build_columns((StepOutline(name="pay", pivot=True),))
    box: Box = columns[0].boxes[0]
    assert "pay: not begun; pivot: no way back after it" == box.description


@pytest.mark.parametrize("is_known", [True, False])
def test_a_nested_saga_that_is_parked_in_doubt_while_its_parent_goes_back(is_known: bool) -> None:
    """Its compensation says in full that an effect may remain, whether its own steps are drawn or not."""
    root, nested = parked_in_doubt()
    known = nested if is_known else {}
    boxes = {
        box.path: box for column in build_columns(root.outline, instance=root, nested=known) for box in column.boxes
    }
    assert EFFECT_MAY_REMAIN == boxes["pay"].undo
    assert "parked; " in boxes["pay"].description
    assert boxes["pay"].description.endswith("compensation: effect may remain")
    drawn = draw_diagram(root.outline, instance=root, nested=known)
    assert ">effect may remain</text>" in drawn
    assert "<title>compensation of pay: effect may remain</title>" in drawn
