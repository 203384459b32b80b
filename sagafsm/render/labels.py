"""How the parts of an instance stand, in a word, a tone and a sign: the same wherever they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from sagafsm.history import events as e
from sagafsm.history.events import StepOutline
from sagafsm.history.instance import SagaInstance
from sagafsm.history.step_state import StepState, StepStatus, UndoStatus

# Each has a drawing of its own, so that colour is never all that tells.
IconName = Literal["empty", "play", "clock", "check", "dash", "cross", "question", "hand", "back", "flag", "none"]


@attrs.frozen
class StatusLabel:
    """How something stands: in a word, in a tone (see `sagafsm.render.theme.TONES`), and with a sign."""

    word: str
    tone: str
    icon: IconName


_ACTIONS: Mapping[StepStatus, StatusLabel] = {
    "pending": StatusLabel("not begun", "none", "empty"),
    "running": StatusLabel("running", "now", "play"),
    "waiting": StatusLabel("waits to be retried", "late", "clock"),
    "parked": StatusLabel("parked", "late", "clock"),
    "done": StatusLabel("done", "good", "check"),
    "skipped": StatusLabel("skipped", "quiet", "dash"),
    "failed": StatusLabel("failed", "bad", "cross"),
    "in_doubt": StatusLabel("in doubt", "asked", "question"),
    "unstorable": StatusLabel("done, result refused", "bad", "cross"),
}

_UNDOS: Mapping[UndoStatus, StatusLabel] = {
    "running": StatusLabel("undoing", "now", "play"),
    "waiting": StatusLabel("waits to be retried", "late", "clock"),
    "parked": StatusLabel("parked", "late", "clock"),
    "failed": StatusLabel("undo failed", "bad", "cross"),
    "undone": StatusLabel("undone", "back", "back"),
    "skipped": StatusLabel("left as it is", "quiet", "dash"),
}

# What a way back ends, and, once an instance is at rest, what was still under way: nothing goes on any more.
_ACTIONS_GOING_BACK: Mapping[StepStatus, StatusLabel] = {"waiting": _ACTIONS["failed"]}
_OUTCOME_UNKNOWN = StatusLabel("outcome unknown", "asked", "question")
_GIVEN_UP = StatusLabel("given up", "quiet", "dash")

_ACTIONS_AT_REST: Mapping[StepStatus, StatusLabel] = {
    "running": _OUTCOME_UNKNOWN,
    "waiting": _ACTIONS["failed"],
    "parked": _GIVEN_UP,
}

_UNDOS_AT_REST: Mapping[UndoStatus, StatusLabel] = {
    "running": StatusLabel("undo's outcome unknown", "asked", "question"),
    "waiting": _UNDOS["failed"],
    "parked": StatusLabel("undo given up", "quiet", "dash"),
}

_NO_SIGNAL = StatusLabel("no signal came", "quiet", "dash")
HAS_COMPENSATION = StatusLabel("compensation", "none", "empty")
COMPENSATION_DUE = StatusLabel("to be undone", "back", "clock")
# For a nested saga that is blocked while its parent goes back: only a decision about the nested saga leads on.
EFFECT_MAY_REMAIN = StatusLabel("effect may remain", "asked", "question")
NO_COMPENSATION = StatusLabel("no compensation", "quiet", "none")


def get_display_phase(instance: SagaInstance) -> str:
    """The phase of an instance as its steps stand in it: once there is a cause it goes back, whoever is awaited yet."""
    return "compensating" if instance.cause is not None and instance.phase == "running" else instance.phase


def label_action(outline: StepOutline, record: StepState | None, phase: str) -> StatusLabel:
    """Label a step's action; without a record, as of a definition that is not run. `phase`: of `get_display_phase`."""
    if record is None:
        return _ACTIONS["pending"]
    ends = {"compensating": _ACTIONS_GOING_BACK, "failed": _ACTIONS_AT_REST}.get(phase, {})
    if outline.kind == "wait" and record.status == "running":
        return _NO_SIGNAL if phase in ("compensating", "failed") else StatusLabel("waits for a signal", "late", "clock")
    if record.status in ends:
        # What has no effect leaves none, whatever came of it.
        return _GIVEN_UP if record.status == "running" and not outline.effect else ends[record.status]
    if record.status == "running" and record.doubt_before:
        return StatusLabel("in doubt, called again", "asked", "question")
    return _ACTIONS[record.status]


def label_compensation(outline: StepOutline, instance: SagaInstance | None) -> StatusLabel:
    """Label a step's compensation; without an instance, as for a definition that is not run."""
    record = None if instance is None else instance.steps.get(outline.name)
    phase = "pending" if instance is None else get_display_phase(instance)
    if record is not None and record.undo is not None:
        return _UNDOS_AT_REST.get(record.undo, _UNDOS[record.undo]) if phase == "failed" else _UNDOS[record.undo]
    if not outline.compensation:
        return NO_COMPENSATION
    if instance is None or record is None or phase != "compensating" or not record.effect_may_remain:
        return HAS_COMPENSATION
    return EFFECT_MAY_REMAIN if record.needs_decision(instance.cause) else COMPENSATION_DUE


def label_instance(instance: SagaInstance) -> StatusLabel:
    """How an instance stands as a whole; never greener than it is."""
    match instance.phase:
        case "completed":
            return StatusLabel("completed", "good", "check")
        case "failed" if instance.compensated:
            return StatusLabel("failed, compensated", "back", "back")
        case "failed":
            return StatusLabel(f"failed, {_label_effect_count(len(instance.residue))} may remain", "bad", "cross")
        case "pending":
            return StatusLabel("pending", "none", "empty")
        case _ if instance.blocked:
            return StatusLabel("blocked", "asked", "hand")
        case _ if instance.waiting:
            return StatusLabel(f"waits for {' or '.join(instance.awaited) or 'a signal'}", "late", "clock")
        case _ if instance.wake_at is not None:
            return StatusLabel("sleeps", "late", "clock")
        case "compensating":
            return StatusLabel("compensating", "back", "play")
        case _:
            return StatusLabel("running", "now", "play")


def _label_effect_count(number: int) -> str:
    return "1 effect" if number == 1 else f"{number} effects"


DECISION_LABELS: Mapping[e.Decision, str] = {
    "retry": "call it again, with a new budget",
    "resolve(result)": "it was done: record its result",
    "resolve(not_done)": "it was not done: go back without it",
    "resolve(undone)": "it is undone: go on",
    "compensate": "go back, and undo it in its place",
    "skip": "leave it as it is, and go on; it stays as residue",
    "abandon": "end here; all that is left is residue",
}

BLOCK_LABELS: Mapping[e.BlockReason, str] = {
    "in_doubt": "it is not known whether it took effect",
    "crash_loop": "its process died five times in a row",
    "exhausted": "its attempts are used up, and there is no way back",
    "payload": "it took effect, but its result cannot be stored",
    "compensation_failed": "its compensation failed for good",
}

RESIDUE_LABELS: Mapping[e.ResidueReason, str] = {
    "no_compensation": "nothing undoes it",
    "in_doubt": "it is not known whether it took effect",
    "skipped": "left as it is, by a decision",
    "abandoned": "not undone, as the instance was ended before",
}

DOUBT_LABELS: Mapping[e.DoubtReason, str] = {
    "timeout": "it timed out",
    "outcome_unknown": "the outcome is unknown",
    "process_died": "its process died",
    "earlier_attempt": "an earlier attempt is in doubt",
    "probe": "the probe cannot tell",
}
