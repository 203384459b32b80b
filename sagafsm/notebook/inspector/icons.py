"""The drawings on the controls: inline, in the colour of their words, and silent for those who listen."""

from __future__ import annotations

from sagafsm.view.page import Html, tag

_PATHS = {
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


def icon(name: str) -> Html:
    """A drawing, where there is one of that name."""
    path = tag("path", d=_PATHS[name])
    return tag("svg", path, viewBox="0 0 16 16", class_="sgf-icon", aria_hidden="true", focusable="false")
