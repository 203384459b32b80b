"""What an instance waits for from a person: decisions about what is blocked, and signals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sagafsm.core.triggers import list_undo_owed
from sagafsm.history.events import Decision
from sagafsm.history.instance import find_outline
from sagafsm.history.step_state import Block
from sagafsm.notebook.inspector.view_model import StepTarget, View, find_nested_obstacle
from sagafsm.render.html import Html, heading, join, tag, user_text
from sagafsm.render.icons import draw_button_icon
from sagafsm.render.labels import BLOCK_LABELS, DECISION_LABELS
from sagafsm.verify.faults import Break, BreakKind

_DECISION_BUTTONS: dict[Decision, str] = {
    "retry": "Retry",
    "resolve(result)": "It was done …",
    "resolve(not_done)": "It was not done",
    "resolve(undone)": "It is undone",
    "compensate": "Compensate",
    "skip": "Skip",
    "abandon": "Abandon",
}


def render_pending_input(sight: View) -> Html:
    """A piece for each block, with the decisions that it allows, and one for each signal that would be heard."""
    if sight.at is not None:
        return Html("")
    blocks = (_render_block_form(block, sight) for block in sight.live.blocked)
    return join(*blocks, *(_render_signal_form(name, sight) for name in sight.live.awaited))


def _render_block_form(block: Block, sight: View) -> Html:
    allowed = [(decision, sight.find_obstacle_to(decision)) for decision in block.decisions]
    buttons = (
        render_form_opener(
            _DECISION_BUTTONS[decision],
            _make_form_name(decision, block),
            no=no,
            data_decision=decision,
            data_step=block.step,
        )
        for decision, no in allowed
    )
    forms = (_render_decision_form(decision, block) for decision, no in allowed if no is None)
    no = sight.decision_obstacle
    return tag(
        "section",
        tag("p", join(tag("b", user_text(block.step)), f" is blocked: {BLOCK_LABELS[block.reason]}. Decide:")),
        tag("div", *buttons, class_="sgf-buttons"),
        None if no is None else tag("p", no, class_="sgf-why"),
        *forms,
        class_="sgf-ask sgf-ask-block",
        aria_label=f"{block.step} is blocked",
    )


def _make_form_name(decision: Decision, block: Block) -> str:
    return f"{decision} {block.step}"


def _render_decision_form(decision: Decision, block: Block) -> Html:
    required = decision in ("skip", "abandon") or decision.startswith("resolve")
    return render_form(
        _make_form_name(decision, block),
        f"{decision}: {DECISION_LABELS[decision]}",
        f"Confirm: {decision.partition('(')[0]}",
        render_json_field("result, as JSON", "result", "null") if decision == "resolve(result)" else None,
        render_reason_field(required=required),
        data_do="decide",
        data_decision=decision,
        data_step=None if decision == "abandon" else block.step,
    )


def _render_signal_form(name: str, sight: View) -> Html:
    no = sight.request_obstacle
    form_name = f"signal {name}"
    return tag(
        "section",
        tag("p", join("It waits for signal ", tag("b", user_text(name)), ".")),
        tag("div", *_render_signal_buttons(name, form_name, no), class_="sgf-buttons"),
        None if no is None else tag("p", no, class_="sgf-why"),
        render_form(
            form_name,
            f"Signal {name}, with a payload of your own",
            "Send",
            render_json_field("payload, as JSON", "payload", "null"),
            data_do="signal",
            data_name=name,
        )
        if no is None
        else None,
        class_="sgf-ask sgf-ask-signal",
        aria_label=f"it waits for signal {name}",
    )


def _render_signal_buttons(name: str, form_name: str, no: str | None) -> Iterator[Html]:
    primary = "sgf-button sgf-primary"
    yield render_button("Approve", kind=primary, no=no, data_do="signal", data_name=name, data_payload="true")
    yield render_button("Refuse", no=no, data_do="signal", data_name=name, data_payload="false")
    yield render_form_opener("Other payload …", form_name, no=no)


_BREAK_WORDS: Mapping[BreakKind, tuple[str, str]] = {
    "raise_before": ("fails", "fails: it is refused, and does nothing"),
    "raise_after": ("times out", "times out, though it is done"),
    "crash": ("dies before", "the process dies before it"),
    "crash_after": ("dies after", "the process dies after it was done"),
}


def format_times(times: int | None) -> str:
    """How often, in words."""
    return {None: "always", 1: "once", 2: "twice"}.get(times, f"{times} times")


def describe_breaks(breaks: Mapping[StepTarget, Break]) -> dict[StepTarget, str]:
    """What the diagram says of what is broken, in two words each."""
    return {place: f"{_BREAK_WORDS[fault.kind][0]} {format_times(fault.times)}" for place, fault in breaks.items()}


def render_break_form(sight: View) -> Html | None:
    """What is broken of the selected step, and a form to break it; None: nothing of it can be broken now."""
    hindered = sight.obstacle or sight.definition_obstacle or find_nested_obstacle(sight.live.id)
    if sight.selected is None or sight.at is not None or hindered or sight.live.is_at_rest:
        return None
    step, target = sight.selected
    outline = find_outline(sight.live.outline, step)
    if outline.kind != "step":
        return None
    targets = ["action", *(["compensation"] if outline.compensation else [])]
    return tag(
        "section",
        heading("Break it on purpose"),
        *_render_form_breaks(step, sight),
        tag(
            "form",
            render_field("what", _render_select("target", {name: name for name in targets}, target)),
            render_field(
                "how",
                _render_select("kind", {kind: words for kind, (_, words) in _BREAK_WORDS.items()}, "raise_before"),
            ),
            render_field("times", tag("input", name_="times", type="number", min="1", value="1", class_="sgf-number")),
            tag("label", tag("input", name_="always", type="checkbox"), " always", class_="sgf-check"),
            tag("button", draw_button_icon("bolt"), tag("span", "Break"), type="submit", class_="sgf-button"),
            class_="sgf-line",
            data_do="break",
            data_step=step,
        ),
        class_="sgf-breakage",
        aria_label=f"break {step}",
    )


def _render_form_breaks(step: str, sight: View) -> Iterator[Html]:
    for (path, target), fault in sight.breaks.items():
        if path == step:
            told = f"The {target} {_BREAK_WORDS[fault.kind][1]}, {format_times(fault.times)}. "
            mend = render_button(
                "Mend", kind="sgf-button sgf-small", data_do="mend", data_step=step, data_target=target
            )
            yield tag("p", join(told, mend), class_="sgf-broken")


def _render_select(name: str, options: Mapping[str, str], chosen: str) -> Html:
    listed = (
        tag("option", words, value=value, selected="" if value == chosen else None) for value, words in options.items()
    )
    return tag("select", *listed, name_=name)


def render_button(
    text: str, *, picture: str | None = None, no: str | None = None, kind: str = "sgf-button", **told: str | None
) -> Html:
    """A button that sends what it is told; `no` is why it cannot be pressed now."""
    return tag(
        "button",
        None if picture is None else draw_button_icon(picture),
        tag("span", text),
        type="button",
        class_=kind,
        title=no,
        disabled=None if no is None else "",
        **told,
    )


def render_form_opener(
    text: str, form: str, *, picture: str | None = None, no: str | None = None, **told: str | None
) -> Html:
    """A button that opens a form, by its name."""
    return render_button(text, picture=picture, no=no, data_open=form, aria_expanded="false", **told)  # type: ignore[arg-type]


def render_form(
    name: str, title: str, confirm: str, *fields: Html | None, cancels: bool = True, **told: str | None
) -> Html:
    """A form that stays closed until its button opens it; it sends what it is told, and what is written in it."""
    return tag(
        "form",
        tag("p", title, class_="sgf-form-title"),
        *fields,
        tag(
            "p",
            tag("button", tag("span", confirm), type="submit", class_="sgf-button sgf-primary"),
            render_button("Close", data_open=name) if cancels else None,
            class_="sgf-buttons",
        ),
        class_="sgf-form",
        data_form=name,
        hidden="",
        **told,
    )


def render_reason_field(*, required: bool) -> Html:
    """A line for why."""
    hint = "kept in the history" if required else "kept in the history; may be left out"
    return render_field(
        "reason", tag("input", name_="reason", type="text", placeholder=hint, required="" if required else None)
    )


def render_field(label: str, control: Html) -> Html:
    """Something to be written or chosen, with its name."""
    return tag("label", tag("span", label), control, class_="sgf-field")


def render_json_field(label: str, name: str, value: str) -> Html:
    """A piece of JSON to be written."""
    area = tag("textarea", value, name_=name, rows="2", spellcheck="false", class_="sgf-json", dir="ltr")
    return render_field(label, area)


def render_controls(sight: View) -> Html:
    """The row of buttons, the forms that they open, and why what is greyed cannot be done."""
    return join(
        tag("div", *_render_form_buttons(sight), class_="sgf-buttons", role="group", aria_label="what to do"),
        tag("p", explain_drive_obstacle(sight), class_="sgf-why") if explain_drive_obstacle(sight) else None,
        *_render_forms(sight),
    )


def explain_drive_obstacle(sight: View) -> str:
    """Why it cannot be driven on from here, in a line; empty: it can."""
    reason = None if sight.driving else sight.drive_obstacle
    return "" if reason is None else reason


def _render_form_buttons(sight: View) -> Iterator[Html]:
    no_drive = sight.drive_obstacle
    begun = len(sight.live.history) > 1
    yield render_button(
        "Resume" if begun and not sight.live.is_at_rest else "Run",
        picture="run",
        no=no_drive,
        kind="sgf-button sgf-primary",
        data_do="run",
    )
    yield render_button(
        "Pause", picture="pause", no=None if sight.driving else "it does not run from here", data_do="pause"
    )
    yield render_button("Step", picture="step", no=no_drive, data_do="step")
    if sight.live.state == "completed" and list_undo_owed(sight.live):
        yield render_form_opener(
            "Compensate", "compensate", picture="compensate", no=sight.find_obstacle_to("compensate")
        )
    elif not sight.live.is_at_rest:
        yield render_form_opener("Cancel", "cancel", picture="cancel", no=sight.cancel_obstacle)
        if not sight.live.blocked:
            yield render_form_opener("Abandon", "abandon", picture="abandon", no=sight.decision_obstacle)
    yield render_button("Fork from here", picture="fork", no=sight.fork_obstacle, data_do="fork")
    yield render_button("Export", picture="export", data_do="export")


def _render_forms(sight: View) -> Iterator[Html]:
    if sight.live.state == "completed" and list_undo_owed(sight.live) and sight.find_obstacle_to("compensate") is None:
        told = "Compensate: have the completed instance go back, and undo its steps"
        yield render_form(
            "compensate",
            told,
            "Confirm: compensate",
            render_reason_field(required=False),
            data_do="decide",
            data_decision="compensate",
        )
    if sight.cancel_obstacle is None:
        told = "Cancel: ask the instance to go back"
        yield render_form("cancel", told, "Confirm: cancel", render_reason_field(required=True), data_do="cancel")
    if not sight.live.is_at_rest and not sight.live.blocked and sight.decision_obstacle is None:
        told = "Abandon: end here; all that is left is residue"
        yield render_form(
            "abandon",
            told,
            "Confirm: abandon",
            render_reason_field(required=True),
            data_do="decide",
            data_decision="abandon",
        )


def render_trail(sight: View) -> Html:
    """Where a fork comes from, and the way back; nothing for what is no fork."""
    if sight.origin is None:
        return Html("")
    told = join(
        "fork of ", tag("b", user_text(sight.origin.instance_id)), f" at event {sight.origin.at}: a what-if, in memory"
    )
    return tag(
        "p",
        render_button("Back", picture="back", kind="sgf-button sgf-small", data_do="back"),
        told,
        class_="sgf-trail",
    )
