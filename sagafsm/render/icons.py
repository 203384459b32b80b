"""Signs as drawings, twelve pixels wide: no face has them all as letters."""

from __future__ import annotations

from collections.abc import Mapping

from sagafsm.render.html import Html, tag
from sagafsm.render.labels import IconName

# Strokes alone; the tone gives their colour.
STATUS_PATHS: Mapping[IconName, str] = {
    "empty": "M6 2.5a3.5 3.5 0 1 0 .01 0z",
    "play": "M3.5 2l6 4-6 4z",
    "clock": "M6 1.5a4.5 4.5 0 1 0 .01 0zM6 3.5V6l2 1.5",
    "check": "M2 6.5l3 3 5-7",
    "dash": "M2.5 6h7",
    "cross": "M2.5 2.5l7 7m0-7l-7 7",
    "question": "M4 4.2a2 2 0 1 1 2.9 1.8q-.9.5-.9 1.6M6 10v.1",
    "hand": "M3.5 7V3.2m2-.2V6m0-4v4m2-3.5V6m2-2v3.5q0 3-3 3-2 0-3-1.5L1.7 6.6",
    "back": "M10 9.5q0-4.5-4.5-4.5H2m3-3l-3 3 3 3",
    "flag": "M3 11V1.5h6.5L7.7 4l1.8 2.5H3",
    "none": "",
}


def draw_status_icon(name: IconName, x: float, y: float) -> str:
    """A sign with its upper left corner there, for within an `<svg>`."""
    path = STATUS_PATHS[name]
    return f'<path class="i" transform="translate({x:g} {y:g})" d="{path}"/>' if path else ""


_BUTTON_PATHS = {
    "run": "M4 2.5v11l9-5.5z",
    "pause": "M4 2.5h3v11H4zM9 2.5h3v11H9z",
    "step": "M3 2.5v11l7-5.5zM11 2.5h2v11h-2z",
    "cancel": "M6.5 3 2 7.5 6.5 12V9H10a2 2 0 0 1 0 4H8v2h2a4 4 0 0 0 0-8H6.5z",
    "abandon": "M4 3h8v10H4z",
    "fork": "M5 2a2 2 0 0 0-1 3.7v4.6a2 2 0 1 0 2 0V9h3a3 3 0 0 0 3-3v-.3a2 2 0 1 0-2 0V6a1 1 0 0 1-1 1H6V5.7"
    "A2 2 0 0 0 5 2z",
    "export": "M7 2h2v6h3l-4 4-4-4h3zM3 13h10v1.5H3z",
    "back": "M7 3 2 8l5 5V9h7V7H7z",
    "compensate": "M6.5 3 2 7.5 6.5 12V9H10a2 2 0 0 1 0 4H8v2h2a4 4 0 0 0 0-8H6.5z",
    "bolt": "M9 1 3 9h4l-1 6 7-9H9z",
    "close": "m3.5 2.4 4.5 4.5 4.5-4.5 1.1 1.1L9.1 8l4.5 4.5-1.1 1.1L8 9.1l-4.5 4.5-1.1-1.1L6.9 8 2.4 3.5z",
}


def draw_button_icon(name: str) -> Html:
    """A drawing, where there is one of that name."""
    path = tag("path", d=_BUTTON_PATHS[name])
    return tag("svg", path, viewBox="0 0 16 16", class_="sgf-icon", aria_hidden="true", focusable="false")
