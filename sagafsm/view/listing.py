"""The instances of a store in rows, as `find` lists them, and how many there are of each state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from sagafsm.store import Summary
from sagafsm.view.page import Html, chip, given, joined, tag
from sagafsm.view.phrases import BLOCKS, count
from sagafsm.view.times import age, moment
from sagafsm.view.words import Standing

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
    "pending": Standing("pending", "none", "empty"),
    "running": Standing("running", "now", "play"),
    "compensating": Standing("compensating", "back", "play"),
    "completed": Standing("completed", "good", "check"),
    # Whether anything remains is in the history, which a summary does not read.
    "failed": Standing("failed", "quiet", "cross"),
}
_BLOCKED = Standing("blocked", "asked", "hand")
_WAITING = Standing("waits for a signal", "late", "clock")
_SLEEPS = Standing("sleeps", "late", "clock")
ORDER = ("blocked", "running", "compensating", "waits for a signal", "sleeps", "pending", "failed", "completed")
_TONES = {one.word: one.tone for one in (_BLOCKED, _WAITING, _SLEEPS, *_PHASES.values())}


def summary_standing(summary: Summary) -> Standing:
    """How an instance stands, as far as its row tells."""
    if summary.blocked is not None:
        return _BLOCKED
    if summary.waiting:
        return _WAITING
    if summary.wake_at is not None and not summary.is_at_rest and summary.owner is None:
        return _SLEEPS
    return _PHASES[summary.state.partition(":")[0]]


def tone_of(word: str) -> str:
    """The tone of one of the words of `ORDER`."""
    return _TONES[word]


def listing(
    summaries: Sequence[Summary], *, now: datetime | None = None, more: bool = False, interactive: bool = False
) -> Html:
    """A row for each instance, in the order given.

    With `now`, times are told from then. `more`: there are others, which are not shown. `interactive`: an id is a
    button that carries it.
    """
    if not summaries:
        return tag("p", "no instance", class_="sgf-dim")
    titles = ("instance", "saga", "state", "waits for", "driven by", "events", "changed")
    head = tag("tr", *(tag("th", title, scope="col") for title in titles))
    rows = (_row(one, now, interactive=interactive) for one in summaries)
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="sgf-list")
    rest = tag("p", f"… and more than these {len(summaries):,}", class_="sgf-dim") if more else None
    return joined(tag("div", table, class_="sgf-wide"), rest)


def _row(one: Summary, now: datetime | None, *, interactive: bool) -> Html:
    standing = summary_standing(one)
    name = given(one.id)
    button = tag("button", name, type="button", class_="sgf-pick", data_id=one.id) if interactive else name
    return tag(
        "tr",
        tag("th", button, scope="row"),
        tag("td", given(one.saga), f" v{one.version}"),
        tag("td", chip(standing.word, standing.tone), *_where(one, standing)),
        tag("td", waits_for(one, now)),
        tag("td", "" if one.owner is None else given(one.owner.name)),
        tag("td", f"{one.length:,}"),
        tag("td", tag("span", age(one.updated_at, now), title=moment(one.updated_at))),
        data_id=one.id,
    )


def _where(one: Summary, standing: Standing) -> tuple[Html, ...]:
    """The state, where the chip does not say it."""
    return () if one.state == standing.word else (joined(" ", tag("span", given(one.state), class_="sgf-dim")),)


def waits_for(one: Summary, now: datetime | None = None) -> str:
    """What an instance waits for, in words; nothing where it does not."""
    told = [] if one.blocked is None else [f"a decision: {BLOCKS[one.blocked]}"]
    if one.waiting:
        told.append("a signal")
    if one.wake_at is not None and not one.is_at_rest:
        told.append(
            f"its time, {moment(one.wake_at)}" if now is None or one.wake_at > now else "its time, which has come"
        )
    if one.mail:
        told.append(f"{count(one.mail, 'request')} to be read")
    return "; ".join(told)


def counts(summaries: Iterable[Summary]) -> Html:
    """How many instances there are of each state, as words in their colours; those that wait for somebody first."""
    numbers = Counter(summary_standing(one).word for one in summaries)
    told = (joined(chip(f"{numbers[word]:,} {word}", tone_of(word)), " ") for word in ORDER if word in numbers)
    return tag("div", *told, class_="sgf-chips")
