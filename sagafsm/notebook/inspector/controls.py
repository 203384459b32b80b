"""What can be done with an instance, as buttons and forms: what its state does not allow is greyed, and says why."""

from __future__ import annotations

from collections.abc import Iterator

from sagafsm.notebook.inspector.icons import icon
from sagafsm.notebook.inspector.sight import Sight
from sagafsm.view.page import Html, given, joined, tag
from sagafsm.view.panel import to_undo


def button(
    text: str, *, picture: str | None = None, no: str | None = None, kind: str = "sgf-button", **told: str | None
) -> Html:
    """A button that sends what it is told; `no` is why it cannot be pressed now."""
    return tag(
        "button",
        None if picture is None else icon(picture),
        tag("span", text),
        type="button",
        class_=kind,
        title=no,
        disabled=None if no is None else "",
        **told,
    )


def opener(text: str, form: str, *, picture: str | None = None, no: str | None = None, **told: str | None) -> Html:
    """A button that opens a form, by its name."""
    return button(text, picture=picture, no=no, data_open=form, aria_expanded="false", **told)  # type: ignore[arg-type]


def form(name: str, title: str, confirm: str, *fields: Html | None, cancels: bool = True, **told: str | None) -> Html:
    """A form that stays closed until its button opens it; it sends what it is told, and what is written in it."""
    return tag(
        "form",
        tag("p", title, class_="sgf-form-title"),
        *fields,
        tag(
            "p",
            tag("button", tag("span", confirm), type="submit", class_="sgf-button sgf-primary"),
            button("Close", data_open=name) if cancels else None,
            class_="sgf-buttons",
        ),
        class_="sgf-form",
        data_form=name,
        hidden="",
        **told,
    )


def reason(*, required: bool) -> Html:
    """A line for why."""
    hint = "kept in the history" if required else "kept in the history; may be left out"
    return field(
        "reason", tag("input", name_="reason", type="text", placeholder=hint, required="" if required else None)
    )


def field(label: str, control: Html) -> Html:
    """Something to be written or chosen, with its name."""
    return tag("label", tag("span", label), control, class_="sgf-field")


def json_field(label: str, name: str, value: str) -> Html:
    """A piece of JSON to be written."""
    area = tag("textarea", value, name_=name, rows="2", spellcheck="false", class_="sgf-json", dir="ltr")
    return field(label, area)


def controls(sight: Sight) -> Html:
    """The row of buttons, the forms that they open, and why what is greyed cannot be done."""
    return joined(
        tag("div", *_buttons(sight), class_="sgf-buttons", role="group", aria_label="what to do"),
        tag("p", why_not(sight), class_="sgf-why") if why_not(sight) else None,
        *_forms(sight),
    )


def why_not(sight: Sight) -> str:
    """Why it cannot be driven on from here, in a line; empty: it can."""
    reason = None if sight.driving else sight.no_drive
    return "" if reason is None else reason


def _buttons(sight: Sight) -> Iterator[Html]:
    no_drive = sight.no_drive
    begun = len(sight.live.history) > 1
    yield button(
        "Resume" if begun and not sight.live.is_at_rest else "Run",
        picture="run",
        no=no_drive,
        kind="sgf-button sgf-primary",
        data_do="run",
    )
    yield button("Pause", picture="pause", no=None if sight.driving else "it does not run from here", data_do="pause")
    yield button("Step", picture="step", no=no_drive, data_do="step")
    if sight.live.state == "completed" and to_undo(sight.live):
        yield opener("Compensate", "compensate", picture="compensate", no=sight.hindered("compensate"))
    elif not sight.live.is_at_rest:
        yield opener("Cancel", "cancel", picture="cancel", no=sight.no_cancel)
        if not sight.live.blocked:
            yield opener("Abandon", "abandon", picture="abandon", no=sight.no_decision)
    yield button("Fork from here", picture="fork", no=sight.no_fork, data_do="fork")
    yield button("Export", picture="export", data_do="export")


def _forms(sight: Sight) -> Iterator[Html]:
    if sight.live.state == "completed" and to_undo(sight.live) and sight.hindered("compensate") is None:
        told = "Compensate: have the completed instance go back, and undo its steps"
        yield form(
            "compensate",
            told,
            "Confirm: compensate",
            reason(required=False),
            data_do="decide",
            data_decision="compensate",
        )
    if sight.no_cancel is None:
        told = "Cancel: ask the instance to go back"
        yield form("cancel", told, "Confirm: cancel", reason(required=True), data_do="cancel")
    if not sight.live.is_at_rest and not sight.live.blocked and sight.no_decision is None:
        told = "Abandon: end here; all that is left is residue"
        yield form(
            "abandon", told, "Confirm: abandon", reason(required=True), data_do="decide", data_decision="abandon"
        )


def trail(sight: Sight) -> Html:
    """Where a fork comes from, and the way back; nothing for what is no fork."""
    if sight.origin is None:
        return Html("")
    told = joined(
        "fork of ", tag("b", given(sight.origin.instance_id)), f" at event {sight.origin.at}: a what-if, in memory"
    )
    return tag(
        "p", button("Back", picture="back", kind="sgf-button sgf-small", data_do="back"), told, class_="sgf-trail"
    )
