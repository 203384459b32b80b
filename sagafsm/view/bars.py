"""The segments of a timeline as bars: their place, and the merging of those too small to be told apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from sagafsm.view.looks import Look, look_of
from sagafsm.view.page import Html, filled, joined
from sagafsm.view.phrases import DOUBTS, count
from sagafsm.view.segments import Attempt, Segment
from sagafsm.view.times import seconds

# A chart is about so wide; bars are placed by shares of it, so that it fits any width.
WIDTH = 900
# A word within a bar has to fit where the chart is narrow, too.
_NARROW = 560
_LEAST = 2.0 / WIDTH * 100
MOST_BARS = 160
_LONGEST = 160
_ACTION: Final = '<rect class="sgf-action sgf-{}" x="{}" width="{}"{}><title>{}</title></rect>'
_OTHER: Final = '<line class="sgf-{} sgf-{}" x1="{}" x2="{}"{}><title>{}</title></line>'
_SWATCH: Final = '<svg width="24" height="14" viewBox="0 -7 24 14" aria-hidden="true">{}</svg>'


@attrs.frozen(kw_only=True)
class Axis:
    """The piece of time that is shown, since `origin`."""

    start: timedelta
    end: timedelta
    origin: datetime

    def share(self, at: timedelta) -> float:
        """Where a time is, in hundredths of the width."""
        return 100 * ((at - self.start) / (self.end - self.start))


@attrs.frozen(kw_only=True)
class Bar:
    """A segment as it is drawn, or several too small to be told apart; `left` and `width` in hundredths.

    `number` is that of the event with which the first of them began.
    """

    look: Look
    left: float
    width: float
    told: str
    number: int
    is_open: bool
    alone: bool


def bars_of(steps: Sequence[str], segments: Sequence[Segment], axis: Axis) -> dict[str, list[Bar]]:
    """The bars of each step; merged, within a step, as far as it takes to be no more than `MOST_BARS` in all."""
    lanes: dict[str, list[Segment]] = {step: [] for step in steps}
    first, last = axis.origin + axis.start, axis.origin + axis.end
    for segment in segments:
        if segment.step in lanes and segment.end >= first and segment.start <= last:
            lanes[segment.step].append(segment)
    grain = 1
    while True:
        bars = {step: list(_merged(lane, axis, grain)) for step, lane in lanes.items()}
        if grain > WIDTH or sum(map(len, bars.values())) <= MOST_BARS:
            return bars
        grain *= 2


def _merged(lane: Sequence[Segment], axis: Axis, grain: int) -> Iterator[Bar]:
    """Neighbours that begin and end within the same cell of `grain` pixels become one bar."""

    def cell(segment: Segment) -> tuple[int, int]:
        left, right = (int(axis.share(at - axis.origin) * WIDTH / 100 / grain) for at in (segment.start, segment.end))
        return (left, -1) if left == right else (left, segment.began)

    for _, group in itertools.groupby(lane, key=cell):
        yield _bar(list(group), axis)


def _bar(segments: Sequence[Segment], axis: Axis) -> Bar:
    start, end = segments[0].start - axis.origin, segments[-1].end - axis.origin
    left, right = max(axis.share(start), 0), min(axis.share(end), 100)
    width = max(right - left, _LEAST)
    looks = [look_of(segment) for segment in segments]
    span = f"{seconds(start)} to {seconds(end)}"
    return Bar(
        look=max(looks),
        left=min(left, 100 - width),
        width=width,
        told=_told(segments[0], looks[0], span) if len(segments) == 1 else _told_all(segments[0].step, looks, span),
        number=segments[0].began,
        is_open=segments[-1].is_open,
        alone=len(segments) == 1,
    )


def _told(segment: Segment, look: Look, span: str) -> str:
    attempt = why = ""
    if isinstance(segment, Attempt):
        attempt = f", attempt {segment.number}" if segment.number > 1 else ""
        why = f" ({DOUBTS[segment.reason]})" if segment.reason else f" ({segment.error})" if segment.error else ""
    told = f"{segment.step}{attempt}: {look.word}{why}, {span}"
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - len(span) - 3]}…, {span}"


def _told_all(step: str, looks: Sequence[Look], span: str) -> str:
    counted: Mapping[str, int] = {look.word: sum(one is look for one in looks) for look in looks}
    told = ", ".join(f"{number} {word}" for word, number in counted.items())
    return f"{step[:_LONGEST]}: {count(len(looks), 'segment')}, {told}, {span}"


def drawn(bar: Bar, *, interactive: bool) -> Html:
    """A bar in its lane, whose middle is at height zero; with its word where there is room for it."""
    x, end = f"{bar.left:.2f}%", f"{bar.left + bar.width:.2f}%"
    look = f"{bar.look.tone} sgf-going" if bar.is_open else bar.look.tone
    number = filled(' data-number="{}"', str(bar.number)) if interactive else Html()
    width = f"{bar.width:.2f}%"
    if bar.look.shape == "action":
        shape = filled(_ACTION, look, x, width, number, bar.told)
    else:
        shape = filled(_OTHER, bar.look.shape, look, x, end, number, bar.told)
    return joined(shape, _word(bar, x, end))


def _word(bar: Bar, x: str, end: str) -> Html | None:
    if bar.is_open:
        return filled('<text x="{}" dx="5" y="4">{}</text>', end, bar.look.short)
    fits = bar.alone and bar.width * _NARROW / 100 >= len(bar.look.word) * 5.6 + 14
    if bar.look.shape != "action" or not fits:
        return None
    return filled('<text class="sgf-word sgf-on-{}" x="{}" dx="6" y="4">{}</text>', bar.look.tone, x, bar.look.word)


def swatch(look: Look) -> Html:
    """A small piece of a bar, for the key."""
    if look.shape == "action":
        return filled(_SWATCH, filled('<rect class="sgf-action sgf-{}" width="24"></rect>', look.tone))
    return filled(_SWATCH, filled('<line class="sgf-{} sgf-{}" x2="24"></line>', look.shape, look.tone))
