"""All panes of an inspector, drawn from what is seen: a pure function, whose pieces are sent when they change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from sagafsm.definition import Definition
from sagafsm.events import InstanceBlocked
from sagafsm.instance import SagaInstance
from sagafsm.notebook.frames import Picture
from sagafsm.notebook.inspector.asks import asks
from sagafsm.notebook.inspector.breakage import breakage, marks
from sagafsm.notebook.inspector.controls import button, controls, trail
from sagafsm.notebook.inspector.sight import Sight
from sagafsm.view import diagram, event_table, head, panel, timeline
from sagafsm.view.attempts import attempts
from sagafsm.view.page import Html, joined, tag
from sagafsm.view.words import instance_standing

STYLES = (head.STYLE, diagram.STYLE, panel.STYLE, timeline.STYLE, event_table.STYLE)
_SMALL = "sgf-button sgf-small"


def picture(sight: Sight, definition: Definition | None, uid: str) -> Picture:
    """What a page shows of an instance; `uid` makes ids unique in it."""
    live = sight.live
    return Picture(
        panes=panes(sight, definition, uid),
        # A fork keeps its original's id: what tells them apart is where it comes from.
        story=f"{live.id} {live.created_at} {sight.origin}",
        total=len(live.history),
        rows=lambda first: event_table.event_rows(live.history[first:], created_at=live.created_at, interactive=True),
        facts={
            "at": sight.position,
            "live": sight.at is None,
            "state": instance_standing(sight.seen[0]).word,
            "message": sight.message.text,
            "tone": sight.message.tone,
            "errors": _errors(live),
            "driving": sight.driving,
        },
    )


def panes(sight: Sight, definition: Definition | None, uid: str) -> dict[str, str]:
    """The pieces of HTML, by name."""
    instance, nested = sight.seen
    return {
        "trail": trail(sight),
        "head": head.head(instance, note=_note(sight)),
        "asks": asks(sight),
        "diagram": diagram.diagram(
            instance.outline,
            instance=instance,
            nested=nested,
            marks=marks(sight.breaks),
            selected=sight.selected,
            interactive=True,
            uid=uid,
        ),
        "panel": _panel(sight, instance, nested, definition),
        "timeline": _timeline(sight, instance, nested),
        "controls": controls(sight),
    }


def _note(sight: Sight) -> str | None:
    """Who drives it, or why nothing can be asked of it from here."""
    if sight.hindrance is not None:
        return sight.hindrance
    if sight.owner is not None:
        return f"driven by {sight.owner}: it is followed from here, and a cancel or a signal can be asked for"
    return None if sight.live.is_at_rest else sight.undrivable


def _panel(
    sight: Sight, instance: SagaInstance, nested: Mapping[str, SagaInstance], definition: Definition | None
) -> Html:
    if sight.selected is None:
        return Html("")
    close = tag("p", button("Close", picture="close", kind=_SMALL, data_do="select"), class_="sgf-panel-close")
    step = panel.panel(instance, sight.selected[0], definition=definition, nested=nested)
    return joined(close, step, breakage(sight))


def _timeline(sight: Sight, instance: SagaInstance, nested: Mapping[str, SagaInstance]) -> Html:
    step = None if sight.selected is None else sight.selected[0]
    name = "Zoom to step" if step is None else f"Zoom to {step}"
    no = "select a step first" if step is None else None
    bar = tag(
        "div",
        button("Fit all", kind=_SMALL, data_do="fit", aria_pressed="false" if sight.zoomed else "true"),
        button(name, kind=_SMALL, no=no, data_do="zoom", aria_pressed="true" if sight.zoomed else "false"),
        class_="sgf-buttons sgf-fit",
        role="group",
        aria_label="timeline",
    )
    window = _window(sight, instance, nested)
    if window is None:
        return tag("p", "No step was called yet.", class_="sgf-dim")
    return joined(bar, timeline.timeline(instance, nested=nested, window=window, interactive=True))


def _window(
    sight: Sight, instance: SagaInstance, nested: Mapping[str, SagaInstance]
) -> tuple[timedelta, timedelta] | None:
    """The time in which its steps were called, or the selected one alone; None: none was."""
    found = attempts(instance.history, nested=nested)
    if sight.zoomed and sight.selected is not None:
        found = tuple(one for one in found if one.step == sight.selected[0]) or found
    return timeline.span(found, instance.created_at)


def _errors(instance: SagaInstance) -> list[int]:
    """The events that tell of an error; a block repeats that of the failure before it."""
    found = (
        event.number
        for event in instance.history
        if getattr(event, "error", None) is not None and not isinstance(event, InstanceBlocked)
    )
    return list(found)
