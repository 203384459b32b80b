"""The events of an instance as a table: number, time, what happened, where it leads, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Literal

from sagafsm import events as e
from sagafsm.view.because import because
from sagafsm.view.page import Html, filled, given, joined, tag
from sagafsm.view.payloads import CUT
from sagafsm.view.phrases import count
from sagafsm.view.times import seconds

STYLE = """
& .sgf-events{width:100%;border-spacing:0}
& .sgf-events th,& .sgf-events td{padding:3px 8px;border-bottom:1px solid var(--line)}
& .sgf-events td:nth-child(-n+2){color:var(--dim);text-align:right;white-space:nowrap;
font-variant-numeric:tabular-nums}
& .sgf-events td[colspan]{text-align:left}
& .sgf-events th{overflow-wrap:normal}
& .sgf-events td:nth-child(3){min-width:210px}
& .sgf-events td:nth-child(4){min-width:150px}
& .sgf-events td:last-child{width:60%;min-width:260px}
& .sgf-events td p,& .sgf-events details{margin:0}
& .sgf-events td>span{padding:1px 5px;margin-left:-5px;border-radius:3px}
& .sgf-go{padding:0 4px;border:0;border-radius:3px;background:none;color:inherit;font:inherit;cursor:pointer}
& .sgf-go:hover,& .sgf-go:focus-visible{text-decoration:underline;color:var(--now)}
"""
_ROW: Final = "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>"
_ACTIVE_ROW: Final = (
    '<tr data-number="{}" data-kind="{}"{}>'
    '<td><button type="button" class="sgf-go" aria-label="go to event {}">{}</button></td>'
    "<td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>"
)
Kind = Literal["action", "compensation", "doubt", "decision", "request", "instance"]
_KINDS: dict[type[e.Event], Kind] = {
    e.StepInDoubt: "doubt",
    e.InstanceBlocked: "doubt",
    e.DecisionMade: "decision",
    e.DecisionCameTooLate: "decision",
    e.CancelRequested: "request",
    e.CancelCameTooLate: "request",
    e.SignalReceived: "request",
    e.CompensationStarted: "compensation",
    e.CompensationSucceeded: "compensation",
    e.CompensationFailed: "compensation",
    e.StepPassedOver: "compensation",
}
_TONES: dict[type[e.Event], str] = {
    e.StepFailed: "late",
    e.CompensationFailed: "late",
    e.ResultRefused: "late",
    e.StepInDoubt: "asked",
    e.InstanceBlocked: "asked",
    e.DecisionMade: "asked",
    e.CauseRecorded: "back",
    e.CompensationSucceeded: "back",
    e.StepSucceeded: "good",
    e.InstanceCompleted: "good",
    e.InstanceFailed: "quiet",
}


def kind_of(event: e.Event) -> Kind:
    """What an event is about, for those who look for some of them only."""
    if isinstance(event, e.LateResult):
        return event.direction
    return _KINDS.get(type(event), "action" if isinstance(event, e.StepEvent) else "instance")


def event_table(
    history: Sequence[e.Event],
    *,
    created_at: datetime,
    limit: int | None = None,
    interactive: bool = False,
    cut: int = CUT,
) -> Html:
    """All events in order; with a `limit`, the first few and the last, with how many are left out between.

    Payloads are folded, and cut at `cut` characters with their whole size told.
    """
    titles = ("event", "time", "what happened", "leads to", "because")
    head = tag("tr", *(tag("th", title, scope="col") for title in titles))
    body = (
        _left_out(part)
        if isinstance(part, int)
        else event_rows(part, created_at=created_at, interactive=interactive, cut=cut)
        for part in _limited(history, limit)
    )
    table = tag("table", tag("thead", head), tag("tbody", *body), class_="sgf-events")
    return tag("div", table, class_="sgf-wide")


def _limited(history: Sequence[e.Event], limit: int | None) -> Iterator[Sequence[e.Event] | int]:
    if limit is None or len(history) <= limit:
        yield history
        return
    first = limit // 4
    last = limit - first
    yield history[:first]
    yield len(history) - limit
    yield history[-last:]


def _left_out(number: int) -> Html:
    return tag("tr", tag("td", f"… {count(number, 'event')} more", colspan="5", class_="sgf-dim"))


def event_rows(events: Sequence[e.Event], *, created_at: datetime, interactive: bool = False, cut: int = CUT) -> Html:
    """A row for each event.

    `interactive`: its number is a button, and it carries number, kind and step, so that a page can look for some.
    """
    return joined(*(_row(event, created_at, interactive=interactive, cut=cut) for event in events))


def _row(event: e.Event, created_at: datetime, *, interactive: bool, cut: int) -> Html:
    cells = (
        seconds(event.at - created_at),
        _what(event),
        "" if event.state is None else given(event.state),
        because(event, cut=cut),
    )
    number = str(event.number)
    if not interactive:
        return filled(_ROW, number, *cells)
    step = step_of(event)
    about = Html() if step is None else filled(' data-step="{}"', step)
    return filled(_ACTIVE_ROW, number, kind_of(event), about, number, number, *cells)


def step_of(event: e.Event) -> str | None:
    """The step that an event is about, by its path; None: it is about the instance."""
    return event.name if isinstance(event, e.SignalReceived) else getattr(event, "step", None)


def _what(event: e.Event) -> Html:
    tone = _TONES.get(type(event))
    kind, _, named = str(event).partition(" ")
    told = filled("{} <b><bdi>{}</bdi></b>", kind, named) if named else joined(kind)
    return told if tone is None else filled('<span class="sgf-{}">{}</span>', tone, told)
