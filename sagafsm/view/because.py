"""What an event tells beyond its name: why, by whom, with what value."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sagafsm import events as e
from sagafsm.view.page import Html, given, joined, tag
from sagafsm.view.payloads import CUT, message, short_payload, shortened, traceback
from sagafsm.view.phrases import BLOCKS, DOUBTS, RESIDUES
from sagafsm.view.times import seconds

_PAYLOADS = (("input", "input_json"), ("result", "result_json"), ("payload", "payload_json"))
_EVIDENCE = {"probe": "as the probe says", "child": "as the nested saga says"}


def because(event: e.Event, *, cut: int = CUT) -> Html:
    """All of it, payloads and tracebacks folded; a payload is cut at `cut` characters, with its whole size told."""
    error: e.RecordedError | None = getattr(event, "error", None)
    words = [*_own(event), *_shared(event, cut), *([] if error is None else [message(error, limit=cut)])]
    values = ((what, getattr(event, name, None)) for what, name in _PAYLOADS)
    return joined(
        tag("p", joined(*words, between="; ")) if words else None,
        *(short_payload(what, value, limit=cut) for what, value in values if value is not None),
        *(
            tag("p", "left: ", given(left.step), f" ({RESIDUES[left.reason]})")
            for left in getattr(event, "residue", ())
        ),
        # A cause and a block repeat the error of the failure that led to them.
        None if isinstance(event, (e.CauseRecorded, e.InstanceBlocked)) else traceback(error, limit=cut),
    )


def _own(event: e.Event) -> Iterator[Html]:
    """What events of one kind alone tell."""
    match event:
        case e.InstanceBlocked():
            yield joined(BLOCKS[event.reason], "; decide: ", ", ".join(event.decisions))
        case e.StepInDoubt():
            yield joined(DOUBTS[event.reason])
        case e.DecisionMade():
            yield joined(event.decision)
        case e.CauseRecorded() if event.step is not None:
            yield joined("step ", given(event.step))
        case e.InstanceMigrated():
            yield joined(f"version {event.version}")
        case e.ChildParked():
            yield from _parked(event)
        case e.StepSucceeded() | e.StepFailed() if event.evidence in _EVIDENCE:
            yield joined(_EVIDENCE[event.evidence])


def _parked(event: e.ChildParked) -> Iterator[Html]:
    for block in event.blocks:
        yield joined(given(block.step), ": ", BLOCKS[block.reason], "; decide: ", ", ".join(block.decisions))
    if event.waits:
        yield joined("waits for a signal")


def _shared(event: e.Event, limit: int) -> Iterator[Html]:
    """What events of several kinds tell."""
    told = event.__dict__
    if told.get("attempt", 0) > 1:
        yield joined(f"attempt {told['attempt']}")
    if told.get("retry_at") is not None:
        yield joined(f"again in {seconds(max(told['retry_at'] - event.at, timedelta(0)))}")
    if told.get("by"):
        yield joined("by ", shortened(told["by"], limit=limit))
    if told.get("reason") and not isinstance(event, (e.InstanceBlocked, e.StepInDoubt)):
        yield shortened(told["reason"], limit=limit)
