"""The segments of a timeline as bars: their place, and the merging of those too small to be told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

import attrs

from sagafsm.display import format_count
from sagafsm.render.html import Html, fill, join
from sagafsm.render.labels import DOUBT_LABELS
from sagafsm.render.time_format import format_duration
from sagafsm.render.timeline.spans import Attempt, AttemptOutcome, Span, WaitKind

# A chart is about so wide; bars are placed by shares of it, so that it fits any width.
WIDTH = 900
# A word within a bar has to fit where the chart is narrow, too.
_NARROW = 560
_MIN_WIDTH = 2.0 / WIDTH * 100
# One that goes on is seen to do so, however short a time it has been going on.
_MIN_OPEN_WIDTH = 2.5
MAX_BARS = 160
_MAX_TOOLTIP = 160
_ACTION: Final = '<rect class="sgf-a sgf-{}" x="{:.2f}%" width="{:.2f}%"{}><title>{}</title></rect>'
_OTHER: Final = '<line class="sgf-{:.1} sgf-{}" x1="{:.2f}%" x2="{:.2f}%"{}><title>{}</title></line>'
_SWATCH: Final = '<svg width="24" height="14" viewBox="0 -7 24 14" aria-hidden="true">{}</svg>'


@attrs.frozen(kw_only=True)
class Axis:
    """The piece of time that is shown, since `origin`."""

    start: timedelta
    end: timedelta
    origin: datetime

    @property
    def scale(self) -> float:
        """How many hundredths of the width a second takes."""
        return 100 / (self.end - self.start).total_seconds()

    def to_percent(self, at: timedelta) -> float:
        """Where a time is, in hundredths of the width."""
        return (at - self.start).total_seconds() * self.scale


@attrs.frozen
class Bar:
    """A segment as it is drawn, or several too small to be told apart; `left` and `width` in hundredths.

    `number` is that of the event with which the first of them began; `span_count`: how many they are.
    """

    style: SpanStyle
    left: float
    width: float
    tooltip: str
    number: int
    is_open: bool
    span_count: int


@attrs.frozen
class _PlacedSpan:
    """A segment and where it begins and ends, in hundredths of the width."""

    segment: Span
    left: float
    right: float


def make_bars(steps: Sequence[str], segments: Sequence[Span], axis: Axis) -> dict[str, list[Bar]]:
    """The bars of each step; merged, within a step, as far as it takes to be no more than `MAX_BARS` in all."""
    lanes: dict[str, list[_PlacedSpan]] = {step: [] for step in steps}
    first, scale = axis.origin + axis.start, axis.scale
    for segment in segments:
        left = (segment.start - first).total_seconds() * scale
        right = (segment.end - first).total_seconds() * scale
        if segment.step in lanes and right >= 0 and left <= 100:
            lanes[segment.step].append(_PlacedSpan(segment, left, right))
    grain = 1
    if sum(map(len, lanes.values())) > MAX_BARS:
        while grain <= WIDTH and sum(1 for lane in lanes.values() for _ in _merge_bars(lane, grain)) > MAX_BARS:
            grain *= 2
    return {step: [_make_bar(group, axis) for group in _merge_bars(lane, grain)] for step, lane in lanes.items()}


def _merge_bars(lane: Sequence[_PlacedSpan], grain: int) -> Iterator[list[_PlacedSpan]]:
    """Neighbours that begin and end within the same cell of `grain` pixels are one."""
    group: list[_PlacedSpan] = []
    cell = -1
    for piece in lane:
        here = _find_bar_cell(piece, grain)
        if group and (here is None or here != cell):
            yield group
            group = []
        group.append(piece)
        cell = -1 if here is None else here
    if group:
        yield group


def _find_bar_cell(piece: _PlacedSpan, grain: int) -> int | None:
    """The cell in which a piece lies as a whole; None: it lies in several."""
    size = 100 / WIDTH * grain
    first = piece.left // size
    return int(first) if first == piece.right // size else None


def _make_bar(pieces: Sequence[_PlacedSpan], axis: Axis) -> Bar:
    first, last = pieces[0], pieces[-1]
    is_open = last.segment.is_open
    left, right = max(first.left, 0), min(last.right, 100)
    width = max(right - left, _MIN_OPEN_WIDTH if is_open else _MIN_WIDTH)
    span = f"{format_duration(first.segment.start - axis.origin)} to {format_duration(last.segment.end - axis.origin)}"
    if len(pieces) == 1:
        look = choose_span_style(first.segment)
        told = _describe_span(first.segment, look, span)
    else:
        looks = [choose_span_style(piece.segment) for piece in pieces]
        look, told = max(looks), _describe_merged_bar(first.segment.step, looks, span)
    return Bar(look, min(left, 100 - width), width, told, first.segment.began, is_open, len(pieces))


def _describe_span(segment: Span, look: SpanStyle, span: str) -> str:
    attempt = why = ""
    if isinstance(segment, Attempt):
        attempt = f", attempt {segment.number}" if segment.number > 1 else ""
        why = f" ({DOUBT_LABELS[segment.reason]})" if segment.reason else f" ({segment.error})" if segment.error else ""
    told = f"{segment.step}{attempt}: {look.word}{why}, {span}"
    return told if len(told) <= _MAX_TOOLTIP else f"{told[: _MAX_TOOLTIP - len(span) - 3]}…, {span}"


def _describe_merged_bar(step: str, looks: Sequence[SpanStyle], span: str) -> str:
    counted: Mapping[str, int] = {look.word: sum(one is look for one in looks) for look in looks}
    told = ", ".join(f"{number} {word}" for word, number in counted.items())
    return f"{step[:_MAX_TOOLTIP]}: {format_count(len(looks), 'segment')}, {told}, {span}"


def draw_bar(bar: Bar, *, interactive: bool) -> Html:
    """A bar in its lane, whose middle is at height zero; with its word where there is room for it."""
    look = f"{bar.style.tone} sgf-going" if bar.is_open else bar.style.tone
    number = fill(' data-number="{}"', bar.number) if interactive else Html()
    if bar.style.shape == "action":
        shape = fill(_ACTION, look, bar.left, bar.width, number, bar.tooltip)
    else:
        shape = fill(_OTHER, bar.style.shape, look, bar.left, bar.left + bar.width, number, bar.tooltip)
    word = _draw_bar_word(bar)
    return shape if word is None else join(shape, word)


def _draw_bar_word(bar: Bar) -> Html | None:
    look = bar.style
    if bar.is_open:
        return fill('<text x="{:.2f}%" dx="5" y="4">{}</text> ', bar.left + bar.width, look.short)
    fits = bar.span_count == 1 and bar.width * _NARROW / 100 >= len(look.word) * 5.6 + 9
    if look.shape != "action" or not fits:
        return None
    return fill('<text class="sgf-word sgf-on-{}" x="{:.2f}%" dx="6" y="4">{}</text> ', look.tone, bar.left, look.word)


def draw_swatch(look: SpanStyle) -> Html:
    """A small piece of a bar, for the key."""
    if look.shape == "action":
        return fill(_SWATCH, fill('<rect class="sgf-a sgf-{}" width="24"></rect>', look.tone))
    return fill(_SWATCH, fill('<line class="sgf-{:.1} sgf-{}" x2="24"></line>', look.shape, look.tone))


# Actions are whole, compensations in pieces, waits hatched: no two are told apart by their colour alone.
Shape = Literal["action", "undo", "wait"]


@attrs.frozen(order=True)
class SpanStyle:
    """A kind of segment: `rank` puts the gravest last; `short` is said where one of them is not over."""

    rank: int
    word: str
    tone: str
    shape: Shape
    short: str = ""


_ACTIONS: Mapping[AttemptOutcome, SpanStyle] = {
    "done": SpanStyle(1, "done", "good", "action"),
    "running": SpanStyle(2, "running", "now", "action", "running"),
    "parked": SpanStyle(3, "parked", "late", "action"),
    "abandoned": SpanStyle(4, "abandoned", "quiet", "action"),
    "died": SpanStyle(5, "ended with its process", "quiet", "action"),
    "in_doubt": SpanStyle(6, "in doubt", "asked", "action"),
    "refused": SpanStyle(7, "done, result refused", "bad", "action"),
    "failed": SpanStyle(8, "failed", "bad", "action"),
}

_UNDOS: Mapping[AttemptOutcome, SpanStyle] = {
    "done": SpanStyle(11, "undone", "back", "undo"),
    "running": SpanStyle(12, "undoing", "now", "undo", "undoing"),
    "parked": SpanStyle(13, "undoing, parked", "late", "undo"),
    "abandoned": SpanStyle(14, "undoing, abandoned", "quiet", "undo"),
    "died": SpanStyle(15, "undoing ended with its process", "quiet", "undo"),
    "in_doubt": SpanStyle(16, "undoing in doubt", "asked", "undo"),
    "refused": SpanStyle(17, "undoing, result refused", "bad", "undo"),
    "failed": SpanStyle(18, "undo failed", "bad", "undo"),
}

_WAITS: Mapping[WaitKind, SpanStyle] = {
    "retry": SpanStyle(-4, "waits to be called again", "late", "wait", "waits"),
    "signal": SpanStyle(-3, "waits for a signal", "now", "wait", "waits"),
    "decision": SpanStyle(-2, "blocked: waits for a decision", "asked", "wait", "blocked"),
    "late": SpanStyle(-1, "answered too late", "quiet", "wait"),
}


def choose_span_style(segment: Span) -> SpanStyle:
    """How a segment looks."""
    if not isinstance(segment, Attempt):
        return _WAITS[segment.kind]
    return (_ACTIONS if segment.target == "action" else _UNDOS)[segment.outcome]
