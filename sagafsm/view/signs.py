"""Signs as drawings, twelve pixels wide: no face has them all as letters."""

from __future__ import annotations

from collections.abc import Mapping

from sagafsm.view.words import Sign

# Strokes alone; the tone gives their colour.
PATHS: Mapping[Sign, str] = {
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


def sign(name: Sign, x: float, y: float) -> str:
    """A sign with its upper left corner there, for within an `<svg>`."""
    path = PATHS[name]
    return f'<path class="i" transform="translate({x:g} {y:g})" d="{path}"/>' if path else ""
