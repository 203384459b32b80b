"""When each step ran: a lane for each, a segment for every attempt and every wait, over one axis of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import attrs

from sagafsm.display import format_count, truncate
from sagafsm.history.events import StepOutline
from sagafsm.history.instance import SagaInstance
from sagafsm.render.html import Html, fill, join, tag
from sagafsm.render.time_format import format_duration, make_ticks
from sagafsm.render.timeline.bars import Axis, Bar, draw_bar, draw_swatch, make_bars
from sagafsm.render.timeline.spans import Span, read_spans

STYLE = """
& .sgf-chart{display:flex;margin:8px 0 0;font-size:12px}
& .sgf-lanes{flex:none;width:clamp(72px,17%,190px);margin-top:22px}
& .sgf-lanes div{height:20px;padding:0 10px 0 6px;overflow:hidden;line-height:20px;text-overflow:ellipsis;
white-space:nowrap;overflow-wrap:normal}
& .sgf-lanes div:nth-child(odd){background:var(--panel)}
& .sgf-plot{direction:ltr;flex:1;min-width:0;overflow:visible;background:repeating-linear-gradient(var(--panel) 0 20px,
transparent 20px 40px) 0 22px no-repeat}
& .sgf-plot text{fill:var(--text);font-size:11px}
& .sgf-axis text{fill:var(--dim);font-variant-numeric:tabular-nums}
& .sgf-axis line{stroke:var(--line)}
& .sgf-a{y:-6px;height:12px;rx:2px;fill:currentColor}
& .sgf-u{stroke:currentColor;stroke-width:12;stroke-dasharray:5 1.5}
& .sgf-w{stroke:currentColor;stroke-width:6;stroke-dasharray:1.5 2}
& .sgf-a.sgf-bad,& .sgf-u.sgf-bad{color:var(--bad-bg)}
& .sgf-a.sgf-bad{stroke:var(--dim);stroke-width:.8}
& .sgf-a.sgf-going{fill-opacity:.3;stroke:currentColor;stroke-dasharray:4 2}
& .sgf-u.sgf-going{stroke-opacity:.6}
& .sgf-plot .sgf-word{fill:var(--page);font-size:10px}
& .sgf-plot .sgf-on-bad{fill:#fff}
& .sgf-plot [data-number]{cursor:pointer}
& .sgf-key{display:flex;flex-wrap:wrap;gap:2px 14px;margin:6px 0 0;padding:0;list-style:none;color:var(--dim);
font-size:11px}
& .sgf-key svg{margin-right:5px;vertical-align:-3px}
"""
LANE = 20
TOP = 22
# More lanes than these are told by their number: nobody reads them, and each takes its place.
MAX_LANES = 60
_LEAST = timedelta(microseconds=10)
# Of a lane's title so many letters are there to be seen, and so many where it is pointed at.
_SEEN, _LONGEST = 40, 120
_SURELY_FITS = 10
# Shares of the time that is shown: the room before a late beginning, what is late, and the room for a word at the end.
_ROOM, _LATE, _WORD = 0.02, 0.25, 0.12


@attrs.frozen(kw_only=True)
class _Lane:
    step: str
    title: str
    depth: int


def render_timeline(
    instance: SagaInstance,
    *,
    nested: Mapping[str, SagaInstance] | None = None,
    window: tuple[timedelta, timedelta] | None = None,
    uid: str | None = None,
    interactive: bool = False,
) -> Html:
    """A chart with a lane for each step in order of definition, those of `nested` instances under their own.

    `window` is the piece of time to show, from and to, since the creation; without it that of all calls. `uid` is its
    id in the page, if it is to have one. `interactive`: a segment carries the number of the event with which it began.
    """
    found = read_spans(instance.history, nested=nested)
    axis = _make_axis(instance, found, window)
    lanes, more = _select_lanes(list(_list_chart_lanes(instance, nested or {}, found)), found)
    bars = make_bars([lane.step for lane in lanes], found, axis)
    return join(
        tag(
            "div",
            tag("div", *(_render_lane_title(lane) for lane in lanes), class_="sgf-lanes"),
            _draw_plot(bars, axis, uid, interactive=interactive),
            class_="sgf-chart",
        ),
        _render_chart_legend(bars),
        tag("p", f"… {format_count(more, 'step')} more, which are not drawn", class_="sgf-dim") if more else None,
    )


def _make_axis(instance: SagaInstance, found: Sequence[Span], window: tuple[timedelta, timedelta] | None) -> Axis:
    start, end = window or find_time_range(found, instance.created_at) or (timedelta(0), _LEAST)
    return Axis(start=start, end=max(end, start + _LEAST), origin=instance.created_at)


def find_time_range(found: Sequence[Span], created_at: datetime) -> tuple[timedelta, timedelta] | None:
    """The time that calls and waits took, since the creation; None: there was none.

    Not from its creation on, where the first came late: whoever made it in a cell took their time before they ran it.
    """
    if not found:
        return None
    start = min(one.start for one in found) - created_at
    end = max(one.end for one in found) - created_at
    took = end - start
    # What goes on has a word behind it, for which there is to be room.
    behind = took * _WORD if any(one.is_open for one in found) else timedelta(0)
    return (start - took * _ROOM if start > took * _LATE else timedelta(0)), end + behind


def _render_lane_title(lane: _Lane) -> Html:
    title = truncate(lane.title, _LONGEST)
    if len(title) <= _SURELY_FITS and not lane.depth:
        return fill("<div><bdi>{}</bdi></div>", title)
    return fill('<div title="{}">{}<bdi>{}</bdi></div>', title, "\u2003" * lane.depth, truncate(title, _SEEN))


def _list_chart_lanes(
    instance: SagaInstance, nested: Mapping[str, SagaInstance], found: Sequence[Span], prefix: str = ""
) -> Iterator[_Lane]:
    outlined = {step.name for step in instance.outline}
    gone = dict.fromkeys(s.step for s in found if prefix == "" and "/" not in s.step and s.step not in outlined)
    for step in (*instance.outline, *(StepOutline(name=name) for name in gone)):
        path = prefix + step.name
        yield _Lane(step=path, title=step.title or step.name, depth=prefix.count("/"))
        if path in nested:
            yield from _list_chart_lanes(nested[path], nested, found, f"{path}/")


def _select_lanes(lanes: Sequence[_Lane], found: Sequence[Span]) -> tuple[Sequence[_Lane], int]:
    """The lanes to draw, and how many are left out: first those in which nothing is."""
    if len(lanes) > MAX_LANES:
        begun = {segment.step for segment in found}
        kept = [lane for lane in lanes if lane.step in begun][:MAX_LANES]
        return kept, len(lanes) - len(kept)
    return lanes, 0


def _draw_plot(bars: Mapping[str, Sequence[Bar]], axis: Axis, uid: str | None, *, interactive: bool) -> Html:
    height = TOP + LANE * len(bars)
    told = (
        f"timeline of {format_count(len(bars), 'step')}, {format_duration(axis.start)} to {format_duration(axis.end)}"
    )
    lanes = (
        _draw_lane(step, lane, row, interactive=interactive) for row, (step, lane) in enumerate(bars.items()) if lane
    )
    return tag(
        "svg",
        tag("g", *_draw_ticks(axis, height), class_="sgf-axis"),
        *lanes,
        class_="sgf-plot",
        width="100%",
        height=str(height),
        role="img",
        aria_label=told,
        id=uid,
    )


def _draw_lane(step: str, bars: Sequence[Bar], row: int, *, interactive: bool) -> Html:
    middle = TOP + LANE * row + LANE // 2
    about = fill(' data-step="{}"', step) if interactive else Html()
    inside = join(*(draw_bar(bar, interactive=interactive) for bar in bars))
    return fill('<g transform="translate(0 {})"{}>{}</g>', middle, about, inside)


def _draw_ticks(axis: Axis, height: int) -> Iterator[Html]:
    for at, told in make_ticks(axis.start, axis.end, at_most=7):
        share = axis.to_percent(at)
        x = f"{share:.2f}%"
        anchor = "start" if share < 3 else "end" if share > 96 else "middle"
        yield fill('<line x1="{}" x2="{}" y1="17" y2="{}"></line>', x, x, str(height))
        yield fill('<text x="{}" y="12" text-anchor="{}">{}</text> ', x, anchor, told)


def _render_chart_legend(bars: Mapping[str, Sequence[Bar]]) -> Html | None:
    """What the bars that are there look like, in words."""
    looks = {bar.style.rank: bar.style for lane in bars.values() for bar in lane}
    if not looks:
        return None
    return tag(
        "ul", *(tag("li", draw_swatch(looks[rank]), looks[rank].word) for rank in sorted(looks)), class_="sgf-key"
    )
