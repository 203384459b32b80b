"""All panes of an inspector, drawn from what is seen: a pure function, whose pieces are sent when they change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from sagafsm.definition.definition import Definition
from sagafsm.history.events import InstanceBlocked
from sagafsm.history.instance import SagaInstance
from sagafsm.notebook.inspector.forms import (
    describe_breaks,
    render_break_form,
    render_button,
    render_controls,
    render_pending_input,
    render_trail,
)
from sagafsm.notebook.inspector.view_model import View
from sagafsm.notebook.page_updates import PageState
from sagafsm.render import step_panel
from sagafsm.render.card import STYLE, render_head
from sagafsm.render.diagram import svg
from sagafsm.render.html import Html, join, tag
from sagafsm.render.labels import label_instance
from sagafsm.render.tables import events
from sagafsm.render.timeline import chart
from sagafsm.render.timeline.spans import read_spans

STYLES = (STYLE, svg.STYLE, step_panel.STYLE, chart.STYLE, events.STYLE)
_SMALL = "sgf-button sgf-small"


def build_page_state(sight: View, definition: Definition | None, uid: str) -> PageState:
    """What a page shows of an instance; `uid` makes ids unique in it."""
    live = sight.live
    return PageState(
        panes=render_panes(sight, definition, uid),
        # A fork keeps its original's id: what tells them apart is where it comes from.
        history_key=f"{live.id} {live.created_at} {sight.origin}",
        total=len(live.history),
        rows=lambda first: events.render_event_rows(live.history[first:], created_at=live.created_at, interactive=True),
        facts={
            "at": sight.position,
            "live": sight.at is None,
            "state": label_instance(sight.seen[0]).word,
            "message": sight.message.text,
            "tone": sight.message.tone,
            "errors": _list_error_events(live),
            "driving": sight.driving,
        },
    )


def render_panes(sight: View, definition: Definition | None, uid: str) -> dict[str, str]:
    """The pieces of HTML, by name."""
    instance, nested = sight.seen
    return {
        "trail": render_trail(sight),
        "head": render_head(instance, note=_describe_owner_in_pane(sight)),
        "asks": render_pending_input(sight),
        "diagram": svg.draw_diagram(
            instance.outline,
            instance=instance,
            nested=nested,
            marks=describe_breaks(sight.breaks),
            selected=sight.selected,
            interactive=True,
            uid=uid,
        ),
        "panel": _render_panel(sight, instance, nested, definition),
        "timeline": _render_timeline_pane(sight, instance, nested),
        "controls": render_controls(sight),
    }


def _describe_owner_in_pane(sight: View) -> str | None:
    """Who drives it, or why nothing can be asked of it from here."""
    if sight.obstacle is not None:
        return sight.obstacle
    if sight.owner is not None:
        return f"driven by {sight.owner}: it is followed from here, and a cancel or a signal can be asked for"
    return None if sight.live.is_at_rest else sight.definition_obstacle


def _render_panel(
    sight: View, instance: SagaInstance, nested: Mapping[str, SagaInstance], definition: Definition | None
) -> Html:
    if sight.selected is None:
        return Html("")
    close = tag("p", render_button("Close", picture="close", kind=_SMALL, data_do="select"), class_="sgf-panel-close")
    step = step_panel.render_step_panel(instance, sight.selected[0], definition=definition, nested=nested)
    return join(close, step, render_break_form(sight))


def _render_timeline_pane(sight: View, instance: SagaInstance, nested: Mapping[str, SagaInstance]) -> Html:
    step = None if sight.selected is None else sight.selected[0]
    name = "Zoom to step" if step is None else f"Zoom to {step}"
    no = "select a step first" if step is None else None
    bar = tag(
        "div",
        render_button("Fit all", kind=_SMALL, data_do="fit", aria_pressed="false" if sight.is_zoomed else "true"),
        render_button(name, kind=_SMALL, no=no, data_do="zoom", aria_pressed="true" if sight.is_zoomed else "false"),
        class_="sgf-buttons sgf-fit",
        role="group",
        aria_label="timeline",
    )
    window = _find_pane_window(sight, instance, nested)
    if window is None:
        return tag("p", "No step was called yet.", class_="sgf-dim")
    return join(bar, chart.render_timeline(instance, nested=nested, window=window, interactive=True))


def _find_pane_window(
    sight: View, instance: SagaInstance, nested: Mapping[str, SagaInstance]
) -> tuple[timedelta, timedelta] | None:
    """The time in which its steps were called, or the selected one alone; None: none was."""
    found = read_spans(instance.history, nested=nested)
    if sight.is_zoomed and sight.selected is not None:
        found = tuple(one for one in found if one.step == sight.selected[0]) or found
    return chart.find_time_range(found, instance.created_at)


def _list_error_events(instance: SagaInstance) -> list[int]:
    """The events that tell of an error; a block repeats that of the failure before it."""
    found = (
        event.number
        for event in instance.history
        if getattr(event, "error", None) is not None and not isinstance(event, InstanceBlocked)
    )
    return list(found)
