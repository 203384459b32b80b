"""The events of an instance as a table: number, time, what happened, where it leads, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Literal

from sagafsm.display import format_count
from sagafsm.history import events as e
from sagafsm.render.event_details import render_details
from sagafsm.render.html import Html, fill, join, render_table, tag, user_text
from sagafsm.render.payloads import MAX_SHOWN_CHARS
from sagafsm.render.time_format import format_duration

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
_INTERACTIVE_ROW: Final = (
    '<tr data-number="{}" data-kind="{}"{}>'
    '<td><button type="button" class="sgf-go" aria-label="go to event {}">{}</button></td>'
    "<td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>"
)
EventKind = Literal["action", "compensation", "doubt", "decision", "request", "instance"]
_KINDS: dict[type[e.Event], EventKind] = {
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


def classify_event(event: e.Event) -> EventKind:
    """What an event is about, for those who look for some of them only."""
    if isinstance(event, e.LateResult):
        return event.direction
    return _KINDS.get(type(event), "action" if isinstance(event, e.StepEvent) else "instance")


def render_event_table(
    history: Sequence[e.Event],
    *,
    created_at: datetime,
    limit: int | None = None,
    interactive: bool = False,
    cut: int = MAX_SHOWN_CHARS,
) -> Html:
    """All events in order; with a `limit`, the first few and the last, with how many are left out between.

    Payloads are folded, and cut at `cut` characters with their whole size told.
    """
    titles = ("event", "time", "what happened", "leads to", "because")
    body = (
        _render_event_gap(part)
        if isinstance(part, int)
        else render_event_rows(part, created_at=created_at, interactive=interactive, cut=cut)
        for part in _split_events_at_limit(history, limit)
    )
    return render_table(titles, body, class_="sgf-events")


def _split_events_at_limit(history: Sequence[e.Event], limit: int | None) -> Iterator[Sequence[e.Event] | int]:
    if limit is None or len(history) <= limit:
        yield history
        return
    first = limit // 4
    last = limit - first
    yield history[:first]
    yield len(history) - limit
    yield history[-last:]


def _render_event_gap(number: int) -> Html:
    return tag("tr", tag("td", f"… {format_count(number, 'event')} more", colspan="5", class_="sgf-dim"))


def render_event_rows(
    events: Sequence[e.Event], *, created_at: datetime, interactive: bool = False, cut: int = MAX_SHOWN_CHARS
) -> Html:
    """A row for each event.

    `interactive`: its number is a button, and it carries number, kind and step, so that a page can look for some.
    """
    return join(*(_render_event_row(event, created_at, interactive=interactive, cut=cut) for event in events))


def _render_event_row(event: e.Event, created_at: datetime, *, interactive: bool, cut: int) -> Html:
    cells = (
        format_duration(event.at - created_at),
        _render_event_name(event),
        "" if event.state is None else user_text(event.state),
        render_details(event, cut=cut),
    )
    number = str(event.number)
    if not interactive:
        return fill(_ROW, number, *cells)
    step = get_step_path(event)
    about = Html() if step is None else fill(' data-step="{}"', step)
    return fill(_INTERACTIVE_ROW, number, classify_event(event), about, number, number, *cells)


def get_step_path(event: e.Event) -> str | None:
    """The step that an event is about, by its path; None: it is about the instance."""
    return event.name if isinstance(event, e.SignalReceived) else getattr(event, "step", None)


def _render_event_name(event: e.Event) -> Html:
    tone = _TONES.get(type(event))
    kind, _, named = str(event).partition(" ")
    told = fill("{} <b><bdi>{}</bdi></b>", kind, named) if named else join(kind)
    return told if tone is None else fill('<span class="sgf-{}">{}</span>', tone, told)
