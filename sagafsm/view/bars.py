"""The segments of a timeline as bars: their place, and the merging of those too small to be told apart."""

from __future__ import annotations

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
# One that goes on is seen to do so, however short a time it has been going on.
_GOING_ON = 2.5
MOST_BARS = 160
_LONGEST = 160
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

    def share(self, at: timedelta) -> float:
        """Where a time is, in hundredths of the width."""
        return (at - self.start).total_seconds() * self.scale


@attrs.frozen
class Bar:
    """A segment as it is drawn, or several too small to be told apart; `left` and `width` in hundredths.

    `number` is that of the event with which the first of them began; `many`: how many they are.
    """

    look: Look
    left: float
    width: float
    told: str
    number: int
    is_open: bool
    many: int


@attrs.frozen
class _Piece:
    """A segment and where it begins and ends, in hundredths of the width."""

    segment: Segment
    left: float
    right: float


def bars_of(steps: Sequence[str], segments: Sequence[Segment], axis: Axis) -> dict[str, list[Bar]]:
    """The bars of each step; merged, within a step, as far as it takes to be no more than `MOST_BARS` in all."""
    lanes: dict[str, list[_Piece]] = {step: [] for step in steps}
    first, scale = axis.origin + axis.start, axis.scale
    for segment in segments:
        left = (segment.start - first).total_seconds() * scale
        right = (segment.end - first).total_seconds() * scale
        if segment.step in lanes and right >= 0 and left <= 100:
            lanes[segment.step].append(_Piece(segment, left, right))
    grain = 1
    if sum(map(len, lanes.values())) > MOST_BARS:
        while grain <= WIDTH and sum(_number(lane, grain) for lane in lanes.values()) > MOST_BARS:
            grain *= 2
    return {step: [_bar(group, axis) for group in _merged(lane, grain)] for step, lane in lanes.items()}


def _merged(lane: Sequence[_Piece], grain: int) -> Iterator[list[_Piece]]:
    """Neighbours that begin and end within the same cell of `grain` pixels are one."""
    group: list[_Piece] = []
    cell = -1
    for piece in lane:
        here = _cell(piece, grain)
        if group and (here is None or here != cell):
            yield group
            group = []
        group.append(piece)
        cell = -1 if here is None else here
    if group:
        yield group


def _number(lane: Sequence[_Piece], grain: int) -> int:
    return sum(1 for _ in _merged(lane, grain))


def _cell(piece: _Piece, grain: int) -> int | None:
    """The cell in which a piece lies as a whole; None: it lies in several."""
    size = 100 / WIDTH * grain
    first = piece.left // size
    return int(first) if first == piece.right // size else None


def _bar(pieces: Sequence[_Piece], axis: Axis) -> Bar:
    first, last = pieces[0], pieces[-1]
    is_open = last.segment.is_open
    left, right = max(first.left, 0), min(last.right, 100)
    width = max(right - left, _GOING_ON if is_open else _LEAST)
    span = f"{seconds(first.segment.start - axis.origin)} to {seconds(last.segment.end - axis.origin)}"
    if len(pieces) == 1:
        look = look_of(first.segment)
        told = _told(first.segment, look, span)
    else:
        looks = [look_of(piece.segment) for piece in pieces]
        look, told = max(looks), _told_all(first.segment.step, looks, span)
    return Bar(look, min(left, 100 - width), width, told, first.segment.began, is_open, len(pieces))


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
    look = f"{bar.look.tone} sgf-going" if bar.is_open else bar.look.tone
    number = filled(' data-number="{}"', bar.number) if interactive else Html()
    if bar.look.shape == "action":
        shape = filled(_ACTION, look, bar.left, bar.width, number, bar.told)
    else:
        shape = filled(_OTHER, bar.look.shape, look, bar.left, bar.left + bar.width, number, bar.told)
    word = _word(bar)
    return shape if word is None else joined(shape, word)


def _word(bar: Bar) -> Html | None:
    look = bar.look
    if bar.is_open:
        return filled('<text x="{:.2f}%" dx="5" y="4">{}</text> ', bar.left + bar.width, look.short)
    fits = bar.many == 1 and bar.width * _NARROW / 100 >= len(look.word) * 5.6 + 9
    if look.shape != "action" or not fits:
        return None
    return filled(
        '<text class="sgf-word sgf-on-{}" x="{:.2f}%" dx="6" y="4">{}</text> ', look.tone, bar.left, look.word
    )


def swatch(look: Look) -> Html:
    """A small piece of a bar, for the key."""
    if look.shape == "action":
        return filled(_SWATCH, filled('<rect class="sgf-a sgf-{}" width="24"></rect>', look.tone))
    return filled(_SWATCH, filled('<line class="sgf-{:.1} sgf-{}" x2="24"></line>', look.shape, look.tone))
