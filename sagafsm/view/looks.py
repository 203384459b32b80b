"""How the kinds of segments of a timeline look, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from sagafsm.view.segments import Attempt, Outcome, Segment, WaitKind

# Actions are whole, compensations in pieces, waits hatched: no two are told apart by their colour alone.
Shape = Literal["action", "undo", "wait"]


@attrs.frozen(order=True)
class Look:
    """A kind of segment: `rank` puts the gravest last; `short` is said where one of them is not over."""

    rank: int
    word: str
    tone: str
    shape: Shape
    short: str = ""


_ACTIONS: Mapping[Outcome, Look] = {
    "done": Look(1, "done", "good", "action"),
    "running": Look(2, "running", "now", "action", "running"),
    "parked": Look(3, "parked", "late", "action"),
    "abandoned": Look(4, "abandoned", "quiet", "action"),
    "died": Look(5, "ended with its process", "quiet", "action"),
    "in_doubt": Look(6, "in doubt", "asked", "action"),
    "refused": Look(7, "done, result refused", "bad", "action"),
    "failed": Look(8, "failed", "bad", "action"),
}
_UNDOS: Mapping[Outcome, Look] = {
    "done": Look(11, "undone", "back", "undo"),
    "running": Look(12, "undoing", "now", "undo", "undoing"),
    "parked": Look(13, "undoing, parked", "late", "undo"),
    "abandoned": Look(14, "undoing, abandoned", "quiet", "undo"),
    "died": Look(15, "undoing ended with its process", "quiet", "undo"),
    "in_doubt": Look(16, "undoing in doubt", "asked", "undo"),
    "refused": Look(17, "undoing, result refused", "bad", "undo"),
    "failed": Look(18, "undo failed", "bad", "undo"),
}
_WAITS: Mapping[WaitKind, Look] = {
    "retry": Look(-4, "waits to be called again", "late", "wait", "waits"),
    "signal": Look(-3, "waits for a signal", "now", "wait", "waits"),
    "decision": Look(-2, "blocked: waits for a decision", "asked", "wait", "blocked"),
    "late": Look(-1, "answered too late", "quiet", "wait"),
}


def look_of(segment: Segment) -> Look:
    """How a segment looks."""
    if not isinstance(segment, Attempt):
        return _WAITS[segment.kind]
    return (_ACTIONS if segment.target == "action" else _UNDOS)[segment.outcome]


def all_looks() -> tuple[Look, ...]:
    """Every look that a segment may have."""
    return (*_ACTIONS.values(), *_UNDOS.values(), *_WAITS.values())
