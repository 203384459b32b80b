"""The timeline: a lane for each step in order of definition, every segment in its place, words beside colours."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sagafsm.history import events as e
from sagafsm.history.instance import fold
from sagafsm.render.timeline.bars import MAX_BARS
from sagafsm.render.timeline.chart import MAX_LANES, find_time_range, render_timeline
from sagafsm.render.timeline.spans import Attempt
from sagafsm.testing.sample_histories import ERROR, make_instance_created, number_events
from sagafsm.value import replace
from support.pages import Page
from support.shown import Course, evil, harmless, histories, instance_of, lived, marked

SECOND = timedelta(seconds=1)
BAR = re.compile(r"sgf-([auw]) sgf-(\w+)")


def bars(html: str) -> list[tuple[str, str, float, float]]:
    """Shape, tone, left and right of every bar of a chart."""
    found = []
    for tag, attributes in Page(html.partition('class="sgf-key"')[0]).elements:
        match = BAR.match(attributes.get("class") or "")
        if match is not None and tag == "rect":
            left = float((attributes["x"] or "").rstrip("%"))
            found.append((*match.groups(), left, left + float((attributes["width"] or "").rstrip("%"))))
        elif match is not None:
            found.append((*match.groups(), *(float((attributes[x] or "").rstrip("%")) for x in ("x1", "x2"))))
    return found


def test_every_attempt_is_a_bar_in_the_lane_of_its_step() -> None:
    """Actions and compensations of a step share a lane, and differ in shape and tone; waits lie between."""
    html = render_timeline(instance_of("failed", 3), interactive=True)
    lanes = [attributes["data-step"] for tag, attributes in Page(html).elements if "data-step" in attributes]
    assert ["reserve_stock", "charge_card"] == lanes
    shapes = [(shape, tone) for shape, tone, _, _ in bars(html)]
    failed = [("a", "bad"), ("w", "late")]
    assert [("a", "good"), ("u", "back"), *failed, *failed, ("a", "bad")] == shapes
    assert "reserve_stock charge_card Create the shipment" in Page(html).words


@pytest.mark.parametrize("course", ["running", "blocked", "doubt"])
def test_what_goes_on_says_so(course: Course) -> None:
    """In words beside it, for which there is room."""
    html = render_timeline(instance_of(course))
    word = {"running": "running", "blocked": "blocked", "doubt": "blocked"}[course]
    assert f">{word}</text>" in html
    assert "sgf-going" in html
    assert max(right for *_, right in bars(html)) < 95


@given(st.timedeltas(timedelta(0), timedelta(days=400)), st.timedeltas(timedelta(milliseconds=1), timedelta(days=9)))
@example(lead=timedelta(seconds=1), took=timedelta(seconds=8))
@example(lead=timedelta(hours=1), took=timedelta(seconds=1))
def test_what_was_begun_late_is_seen_from_its_first_call_on(lead: timedelta, took: timedelta) -> None:
    """An instance may have lain there for an hour before it ran for a second: the second is what is shown."""
    created_at = datetime(2026, 1, 1, tzinfo=UTC)
    begun = created_at + lead
    one = Attempt(step="a", target="action", number=1, start=begun, end=begun + took, began=2, ended=3, outcome="done")
    assert find_time_range([], created_at) is None
    start, end = find_time_range([one], created_at) or (None, None)
    assert start is not None
    assert end == lead + took
    assert timedelta(0) <= start <= lead
    assert (end - start) * 0.75 <= took


def test_a_chart_is_not_colour_alone() -> None:
    """Each bar has its words, and what the bars look like is told below them."""
    page = Page(render_timeline(instance_of("blocked")))
    titles = [tag for tag, _ in page.elements if tag == "title"]
    assert len(titles) == len(bars(render_timeline(instance_of("blocked"))))
    for told in ("undo failed", "waits to be called again", "blocked: waits for a decision", "attempt 3: failed"):
        assert told in page.words


@settings(deadline=None)
@given(events=histories())
def test_no_bar_is_outside_its_chart_or_too_small_to_be_seen(events: tuple[e.Event, ...]) -> None:
    """Whatever clocks did."""
    for _, _, left, right in bars(render_timeline(fold(None, events))):
        assert 0 <= left < right <= 100.01
        assert right - left >= 0.2


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_tree_is_drawn_lane_by_lane(data: st.DataObject) -> None:
    """Lanes are the steps in order, those of a nested saga under it."""
    root, nested = lived(data.draw)
    html = render_timeline(root, nested=nested)
    lanes = re.findall(r"<bdi>(.*?)</bdi></div>", html)
    expected: list[str] = []

    def walk(prefix: str, outline: tuple[e.StepOutline, ...]) -> None:
        for step in outline:
            expected.append(step.title or step.name)
            if prefix + step.name in nested:
                walk(f"{prefix}{step.name}/", nested[prefix + step.name].outline)

    walk("", root.outline)
    assert expected == lanes


@given(start=st.floats(0, 3), size=st.floats(0, 3))
@example(start=0, size=0)
def test_a_window_shows_what_is_in_it(start: float, size: float) -> None:
    """Bars beyond it are left out or cut; all that overlap it are there."""
    instance = instance_of("failed")
    window = (start * SECOND, (start + size) * SECOND)
    shown = bars(render_timeline(instance, window=window))
    assert all(-0.01 <= left and right <= 100.01 for *_, left, right in shown)
    assert len(shown) <= len(bars(render_timeline(instance)))
    assert bars(render_timeline(instance, window=(0 * SECOND, instance.updated_at - instance.created_at))) == bars(
        render_timeline(instance)
    )


def test_hundreds_of_attempts_are_merged_and_counted() -> None:
    """What falls together is one bar that says how many it is, the gravest outcome first in its look."""
    tries: list[e.Event] = []
    for number in range(1, 301):
        tries.append(e.StepStarted(step="reserve", attempt=number, key="k"))
        tries.append(e.StepFailed(step="reserve", attempt=number, error=ERROR))
    html = render_timeline(fold(None, (make_instance_created("o-1"), *number_events(tries, after=1))))
    assert 10 < len(bars(html)) <= MAX_BARS
    counted = [int(number) for number in re.findall(r"reserve: (\d+) segments", html)]
    alone = len(bars(html)) - len(counted)
    assert 300 == sum(counted) + alone
    assert len(html) < 40_000


def test_very_many_lanes_are_counted() -> None:
    """Those in which something is come first."""
    outline = tuple(e.StepOutline(name=f"s{n}") for n in range(200))
    first = replace(make_instance_created("o-1"), steps=outline)
    start = number_events([e.StepStarted(step="s150", attempt=1, key="k")], after=1)
    words = Page(render_timeline(fold(None, (first, *start)))).words
    assert words.startswith("s150")
    assert "199 steps more" in words
    assert MAX_LANES == 60


@given(text=evil())
def test_nothing_given_is_markup(text: str) -> None:
    """Names and titles of steps."""
    shapes = [[tag for tag, _ in Page(render_timeline(marked(one))).elements] for one in (text, harmless(text))]
    assert shapes[0] == shapes[1]


def test_long_titles_end_in_an_ellipsis_and_are_whole_where_pointed_at() -> None:
    """The label is cut by the page where there is no room; its title is not."""
    title = "ü" * 120
    first = replace(make_instance_created("o-1"), steps=(e.StepOutline(name="a", title=title),))
    html = render_timeline(fold(None, (first,)))
    assert [title] == [a["title"] for tag, a in Page(html).elements if "title" in a]
