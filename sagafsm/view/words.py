"""How the parts of an instance stand, in a word, a tone and a sign: the same wherever they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from sagafsm.events import StepOutline
from sagafsm.instance import SagaInstance
from sagafsm.record import StepRecord, StepStatus, UndoStatus

# Each has a drawing of its own, so that colour is never all that tells.
Sign = Literal["empty", "play", "clock", "check", "dash", "cross", "question", "hand", "back", "flag", "none"]


@attrs.frozen
class Standing:
    """How something stands: in a word, in a tone (see `sagafsm.view.theme.TONES`), and with a sign."""

    word: str
    tone: str
    sign: Sign


_ACTIONS: Mapping[StepStatus, Standing] = {
    "pending": Standing("not begun", "none", "empty"),
    "running": Standing("running", "now", "play"),
    "waiting": Standing("waits to be retried", "late", "clock"),
    "parked": Standing("parked", "late", "clock"),
    "done": Standing("done", "good", "check"),
    "skipped": Standing("skipped", "quiet", "dash"),
    "failed": Standing("failed", "bad", "cross"),
    "in_doubt": Standing("in doubt", "asked", "question"),
    "unstorable": Standing("done, result refused", "bad", "cross"),
}
_UNDOS: Mapping[UndoStatus, Standing] = {
    "running": Standing("undoing", "now", "play"),
    "waiting": Standing("waits to be retried", "late", "clock"),
    "parked": Standing("parked", "late", "clock"),
    "failed": Standing("undo failed", "bad", "cross"),
    "undone": Standing("undone", "back", "back"),
    "skipped": Standing("left as it is", "quiet", "dash"),
}
# What a way back ends, and, once an instance is at rest, what was still under way: nothing goes on any more.
_GOING_BACK: Mapping[StepStatus, Standing] = {"waiting": _ACTIONS["failed"]}
_OUTCOME_UNKNOWN = Standing("outcome unknown", "asked", "question")
_GIVEN_UP = Standing("given up", "quiet", "dash")
_AT_REST: Mapping[StepStatus, Standing] = {
    "running": _OUTCOME_UNKNOWN,
    "waiting": _ACTIONS["failed"],
    "parked": _GIVEN_UP,
}
_UNDOS_AT_REST: Mapping[UndoStatus, Standing] = {
    "running": Standing("undo's outcome unknown", "asked", "question"),
    "waiting": _UNDOS["failed"],
    "parked": Standing("undo given up", "quiet", "dash"),
}
_NO_SIGNAL = Standing("no signal came", "quiet", "dash")
READY = Standing("compensation", "none", "empty")
OWED = Standing("to be undone", "back", "clock")
NO_WAY_BACK = Standing("no compensation", "quiet", "none")


def phase_of(instance: SagaInstance) -> str:
    """The phase of an instance as its steps stand in it: once there is a cause it goes back, whoever is awaited yet."""
    return "compensating" if instance.cause is not None and instance.phase == "running" else instance.phase


def action_standing(outline: StepOutline, record: StepRecord | None, phase: str) -> Standing:
    """How a step's action stands; without a record, as of a definition that is not run. `phase`: see `phase_of`."""
    if record is None:
        return _ACTIONS["pending"]
    ends = {"compensating": _GOING_BACK, "failed": _AT_REST}.get(phase, {})
    if outline.kind == "wait" and record.status == "running":
        return _NO_SIGNAL if phase in ("compensating", "failed") else Standing("waits for a signal", "late", "clock")
    if record.status in ends:
        # What has no effect leaves none, whatever came of it.
        return _GIVEN_UP if record.status == "running" and not outline.effect else ends[record.status]
    if record.status == "running" and record.doubt_before:
        return Standing("in doubt, called again", "asked", "question")
    return _ACTIONS[record.status]


def undo_standing(outline: StepOutline, record: StepRecord | None, phase: str) -> Standing:
    """How a step's compensation stands; `phase`: see `phase_of`."""
    if record is not None and record.undo is not None:
        return _UNDOS_AT_REST.get(record.undo, _UNDOS[record.undo]) if phase == "failed" else _UNDOS[record.undo]
    if not outline.compensation:
        return NO_WAY_BACK
    is_owed = phase == "compensating" and record is not None and record.may_have_effect
    return OWED if is_owed else READY


def instance_standing(instance: SagaInstance) -> Standing:
    """How an instance stands as a whole; never greener than it is."""
    match instance.phase:
        case "completed":
            return Standing("completed", "good", "check")
        case "failed" if instance.compensated:
            return Standing("failed, compensated", "back", "back")
        case "failed":
            return Standing(f"failed, {_count(len(instance.residue))} may remain", "bad", "cross")
        case "pending":
            return Standing("pending", "none", "empty")
        case _ if instance.blocked:
            return Standing("blocked", "asked", "hand")
        case _ if instance.waiting:
            return Standing(f"waits for {' or '.join(instance.awaited) or 'a signal'}", "late", "clock")
        case _ if instance.wake_at is not None:
            return Standing("sleeps", "late", "clock")
        case "compensating":
            return Standing("compensating", "back", "play")
        case _:
            return Standing("running", "now", "play")


def _count(number: int) -> str:
    return "1 effect" if number == 1 else f"{number} effects"
