"""The instances of a store in rows, as `find` lists them, each with its state and what it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sagafsm.display import format_count
from sagafsm.render.html import Html, chip, join, render_table, tag, user_text
from sagafsm.render.labels import BLOCK_LABELS, StatusLabel
from sagafsm.render.time_format import format_age, format_time
from sagafsm.store import Summary

STYLE = """
& .sgf-list{width:100%;border-spacing:0}
& .sgf-list th,& .sgf-list td{padding:4px 8px;border-bottom:1px solid var(--line)}
& .sgf-list thead th,& .sgf-list td{overflow-wrap:normal}
& .sgf-list tbody th{min-width:130px}
& .sgf-list td:nth-child(2){min-width:70px;overflow-wrap:anywhere}
& .sgf-list .sgf-chip{white-space:nowrap}
& .sgf-list td:nth-child(6){text-align:right}
& .sgf-list td:last-child{white-space:nowrap}
& .sgf-list .sgf-pick{padding:0;border:0;background:none;color:inherit;font:inherit;font-weight:600;text-align:left;
text-decoration:underline;cursor:pointer;overflow-wrap:anywhere}
& .sgf-list tr:hover td,& .sgf-list tr:hover th{background:var(--panel)}
"""
_PHASES = {
    "pending": StatusLabel("pending", "none", "empty"),
    "running": StatusLabel("running", "now", "play"),
    "compensating": StatusLabel("compensating", "back", "play"),
    "completed": StatusLabel("completed", "good", "check"),
    # Whether anything remains is in the history, which a summary does not read.
    "failed": StatusLabel("failed", "quiet", "cross"),
}
_BLOCKED = StatusLabel("blocked", "asked", "hand")
_WAITING = StatusLabel("waits for a signal", "late", "clock")
_SLEEPS = StatusLabel("sleeps", "late", "clock")
STATUS_ORDER = ("blocked", "running", "compensating", "waits for a signal", "sleeps", "pending", "failed", "completed")
_TONES = {one.word: one.tone for one in (_BLOCKED, _WAITING, _SLEEPS, *_PHASES.values())}


def label_summary(summary: Summary) -> StatusLabel:
    """How an instance stands, as far as its row tells."""
    if summary.blocked is not None:
        return _BLOCKED
    if summary.waiting:
        return _WAITING
    if summary.wake_at is not None and not summary.is_at_rest and summary.owner is None:
        return _SLEEPS
    return _PHASES[summary.state.partition(":")[0]]


def get_tone(word: str) -> str:
    """The tone of one of the words of `STATUS_ORDER`."""
    return _TONES[word]


def render_instance_table(
    summaries: Sequence[Summary], *, now: datetime | None = None, more: bool = False, interactive: bool = False
) -> Html:
    """A row for each instance, in the order given.

    With `now`, times are told from then. `more`: there are others, which are not shown. `interactive`: an id is a
    button that carries it.
    """
    if not summaries:
        return tag("p", "no instance", class_="sgf-dim")
    titles = ("instance", "saga", "state", "waits for", "driven by", "events", "changed")
    rows = (_render_instance_row(one, now, interactive=interactive) for one in summaries)
    rest = tag("p", f"… and more than these {len(summaries):,}", class_="sgf-dim") if more else None
    return join(render_table(titles, rows, class_="sgf-list"), rest)


def _render_instance_row(one: Summary, now: datetime | None, *, interactive: bool) -> Html:
    standing = label_summary(one)
    name = user_text(one.id)
    button = tag("button", name, type="button", class_="sgf-pick", data_id=one.id) if interactive else name
    return tag(
        "tr",
        tag("th", button, scope="row"),
        tag("td", user_text(one.saga), f" v{one.version}"),
        tag("td", chip(standing.word, standing.tone), *_render_instance_state(one, standing)),
        tag("td", describe_waits(one, now)),
        tag("td", "" if one.owner is None else user_text(one.owner.name)),
        tag("td", f"{one.length:,}"),
        tag("td", tag("span", format_age(one.updated_at, now), title=format_time(one.updated_at))),
        data_id=one.id,
    )


def _render_instance_state(one: Summary, standing: StatusLabel) -> tuple[Html, ...]:
    """The state, where the chip does not say it."""
    return () if one.state == standing.word else (join(" ", tag("span", user_text(one.state), class_="sgf-dim")),)


def describe_waits(one: Summary, now: datetime | None = None) -> str:
    """What an instance waits for, in words; nothing where it does not."""
    told = [] if one.blocked is None else [f"a decision: {BLOCK_LABELS[one.blocked]}"]
    if one.waiting:
        told.append("a signal")
    if one.wake_at is not None and not one.is_at_rest:
        told.append(
            f"its time, {format_time(one.wake_at)}" if now is None or one.wake_at > now else "its time, which has come"
        )
    if one.mail:
        told.append(f"{format_count(one.mail, 'request')} to be read")
    return "; ".join(told)
