"""What happened in one run, from top to bottom: events by number, what went wrong between them, what is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Literal

import attrs

from sagafsm.render.html import Html, join, tag, user_text
from sagafsm.render.time_format import format_duration

STYLE = """
& .sgf-time{border-spacing:0}
& .sgf-time th,& .sgf-time td{padding:1px 10px}
& .sgf-time th{overflow-wrap:normal}
& .sgf-time .sgf-who>bdi{display:inline-block;min-width:60px;max-width:160px}
& .sgf-time td span{padding:1px 5px;margin-left:-5px;border-radius:3px}
& .sgf-time .sgf-n{color:var(--dim);text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
& .sgf-time .sgf-rail{border-left:2px solid var(--line);padding-left:14px}
& .sgf-time .sgf-dot::before{content:"";float:left;width:8px;height:8px;margin:4px 0 0 -19px;border-radius:50%;
background:var(--dim)}
& .sgf-time .sgf-dot.sgf-hit::before{width:10px;height:10px;margin:3px 0 0 -20px;background:var(--bad-bg)}
& .sgf-sign{width:11px;height:11px;margin-right:5px;vertical-align:-1px;fill:currentColor}
"""
# So many lines are shown from either end of a long run.
MAX_LINES_EACH_END = 40
_SIGN = Html(
    '<svg class="sgf-sign" width="11" height="11" viewBox="0 0 11 11" aria-hidden="true">'
    '<path d="M6.5 0 1.5 6.2h3L3.8 11l5.4-6.7H6z"/></svg>'
)
_RAIL = {"event": "sgf-rail sgf-dot", "fault": "sgf-rail sgf-dot sgf-hit", "left": "sgf-rail"}


@attrs.frozen(kw_only=True)
class RunLogLine:
    """One line: an event with its number, or, without one, a fault or what is left at the end.

    `instance` is a nested saga's path, "" for the root; `after` is the time since the beginning.
    """

    what: str
    number: int | None = None
    step: str = ""
    instance: str = ""
    after: timedelta = timedelta(0)
    kind: Literal["event", "fault", "left"] = "event"
    tone: str = ""


@attrs.frozen
class _RepeatedLines:
    """Beats that only repeat those before them."""

    beats: Sequence[RunLogLine]
    times: int


def render_run_log(beats: Sequence[RunLogLine]) -> Html:
    """A table with a line for each beat.

    What only repeats itself, as retries do, and the middle of a long run are shown in one line each.
    """
    nested = any(beat.instance for beat in beats)
    rows = [_render_run_log_row(beat, nested=nested) for beat in _drop_run_log_middle(_fold_repeats(beats))]
    titles = ("event", "time", *(("instance",) if nested else ()), "what happened")
    head = tag("tr", *(tag("th", title, scope="col") for title in titles))
    return tag("div", tag("table", tag("thead", head), tag("tbody", *rows), class_="sgf-time"), class_="sgf-wide")


def _fold_repeats(beats: Sequence[RunLogLine]) -> Iterator[RunLogLine | _RepeatedLines]:
    index = 0
    while index < len(beats):
        size, times = _find_run_log_cycle(beats, index)
        yield from beats[index : index + size]
        if times > 2:
            yield _RepeatedLines(beats[index + size : index + size * times], times - 1)
            size *= times
        index += size


def _find_run_log_cycle(beats: Sequence[RunLogLine], start: int) -> tuple[int, int]:
    """How many beats from here on form a cycle, and how often it goes round: (1, 1) when they do not."""
    for size in (1, 2, 3, 4):
        cycle = [_get_run_log_cycle_key(beat) for beat in beats[start : start + size]]
        times = 1
        while len(cycle) == size and cycle == [
            _get_run_log_cycle_key(b) for b in beats[start + size * times : start + size * (times + 1)]
        ]:
            times += 1
        if times > 2:
            return size, times
    return 1, 1


def _get_run_log_cycle_key(beat: RunLogLine) -> tuple[str, ...]:
    return beat.what, beat.step, beat.instance, beat.kind


def _drop_run_log_middle(lines: Iterator[RunLogLine | _RepeatedLines]) -> Iterator[RunLogLine | _RepeatedLines | int]:
    kept = list(lines)
    if len(kept) <= 2 * MAX_LINES_EACH_END:
        yield from kept
        return
    yield from kept[:MAX_LINES_EACH_END]
    yield len(kept) - 2 * MAX_LINES_EACH_END
    yield from kept[-MAX_LINES_EACH_END:]


def _render_run_log_row(line: RunLogLine | _RepeatedLines | int, *, nested: bool) -> Html:
    match line:
        case int():
            return _render_cells("", "", "" if nested else None, f"… {line} lines more")
        case _RepeatedLines(beats, times):
            numbers = [beat.number for beat in beats if beat.number is not None]
            text = f"the same {times} times more" + (f", until event {numbers[-1]}" if numbers else "")
            return _render_cells("…", f"to {format_duration(beats[-1].after)}", "" if nested else None, tag("i", text))
        case RunLogLine():
            number = "" if line.number is None else str(line.number)
            is_left = line.kind == "left"
            where = user_text("" if is_left else line.instance or "(root)") if nested else None
            time = "" if is_left else format_duration(line.after)
            return _render_cells(
                number, time, where, _render_run_log_entry(line), tone=line.tone, rail=_RAIL[line.kind]
            )


def _render_run_log_entry(beat: RunLogLine) -> Html:
    match beat.kind:
        case "fault":
            return join(_SIGN, tag("b", "fault: "), user_text(beat.what))
        case "left":
            return join(tag("b", "left at the end: "), user_text(beat.what))
        case "event":
            return join(beat.what, " " if beat.step else None, user_text(beat.step) if beat.step else None)


def _render_cells(
    number: str, time: str, where: str | None, text: str, *, tone: str = "", rail: str = "sgf-rail"
) -> Html:
    return tag(
        "tr",
        tag("td", number, class_="sgf-n"),
        tag("td", time, class_="sgf-n"),
        None if where is None else tag("td", where, class_="sgf-who"),
        tag("td", tag("span", text, class_=f"sgf-{tone}") if tone else text, class_=rail),
    )
