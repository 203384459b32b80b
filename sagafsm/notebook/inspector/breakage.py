"""How a step is broken on purpose: the form in its panel, what is broken already, and the marks in the diagram."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sagafsm.notebook.inspector.controls import button, field
from sagafsm.notebook.inspector.icons import icon
from sagafsm.notebook.inspector.sight import Place, Sight, nested_hindrance
from sagafsm.verify.breaking import Break, BreakKind
from sagafsm.view.page import Html, heading, joined, tag
from sagafsm.view.panel import outlined

_KINDS: Mapping[BreakKind, tuple[str, str]] = {
    "raise_before": ("fails", "fails: it is refused, and does nothing"),
    "raise_after": ("times out", "times out, though it is done"),
    "crash": ("dies before", "the process dies before it"),
    "crash_after": ("dies after", "the process dies after it was done"),
}


def often(times: int | None) -> str:
    """How often, in words."""
    return {None: "always", 1: "once", 2: "twice"}.get(times, f"{times} times")


def marks(breaks: Mapping[Place, Break]) -> dict[Place, str]:
    """What the diagram says of what is broken, in two words each."""
    return {place: f"{_KINDS[fault.kind][0]} {often(fault.times)}" for place, fault in breaks.items()}


def breakage(sight: Sight) -> Html | None:
    """What is broken of the selected step, and a form to break it; None: nothing of it can be broken now."""
    hindered = sight.hindrance or sight.undrivable or nested_hindrance(sight.live.id)
    if sight.selected is None or sight.at is not None or hindered or sight.live.is_at_rest:
        return None
    step, target = sight.selected
    outline = outlined(sight.live.outline, step)
    if outline.kind != "step":
        return None
    targets = ["action", *(["compensation"] if outline.compensation else [])]
    return tag(
        "section",
        heading("Break it on purpose"),
        *_broken(step, sight),
        tag(
            "form",
            field("what", _choice("target", {name: name for name in targets}, target)),
            field("how", _choice("kind", {kind: words for kind, (_, words) in _KINDS.items()}, "raise_before")),
            field("times", tag("input", name_="times", type="number", min="1", value="1", class_="sgf-number")),
            tag("label", tag("input", name_="always", type="checkbox"), " always", class_="sgf-check"),
            tag("button", icon("bolt"), tag("span", "Break"), type="submit", class_="sgf-button"),
            class_="sgf-line",
            data_do="break",
            data_step=step,
        ),
        class_="sgf-breakage",
        aria_label=f"break {step}",
    )


def _broken(step: str, sight: Sight) -> Iterator[Html]:
    for (path, target), fault in sight.breaks.items():
        if path == step:
            told = f"The {target} {_KINDS[fault.kind][1]}, {often(fault.times)}. "
            mend = button("Mend", kind="sgf-button sgf-small", data_do="mend", data_step=step, data_target=target)
            yield tag("p", joined(told, mend), class_="sgf-broken")


def _choice(name: str, options: Mapping[str, str], chosen: str) -> Html:
    listed = (
        tag("option", words, value=value, selected="" if value == chosen else None) for value, words in options.items()
    )
    return tag("select", *listed, name_=name)
