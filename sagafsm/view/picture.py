"""A saga's diagram as a file of its own."""

from __future__ import annotations

import re

from sagafsm.definition import Definition
from sagafsm.view import diagram as diagrams
from sagafsm.view.theme import style

_SVG = re.compile(r"<svg(?P<attributes>[^>]*)>(?P<inside>.*)</svg>", re.DOTALL)


def svg_of(definition: Definition) -> str:
    """The way there and the way back as the text of an SVG file: nothing loaded, no script, in the theme of who looks.

    It has the colours of the page's style within it, as a file has no page around it.
    """
    found = _SVG.search(diagrams.diagram(definition.outline, uid=f"p{definition.fingerprint}"))
    assert found is not None, "a diagram is an SVG"  # noqa: S101 - what is drawn here is ours
    attributes = re.sub(r' (class|xmlns)="[^"]*"', "", found["attributes"])
    rules = style(diagrams.STYLE).replace("<", "&lt;")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="sgf"{attributes}>'
        f"<style>{rules}\n.sgf.sgf{{max-width:none;padding:0;border:0}}</style>{found['inside']}</svg>\n"
    )
