"""What an event tells beyond its name: why, by whom, with what value."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sagafsm.history import events as e
from sagafsm.render.html import Html, join, tag, user_text
from sagafsm.render.labels import BLOCK_LABELS, DOUBT_LABELS, RESIDUE_LABELS
from sagafsm.render.payloads import (
    MAX_SHOWN_CHARS,
    render_error,
    render_long_text,
    render_short_payload,
    render_traceback,
)
from sagafsm.render.time_format import format_duration

_PAYLOADS = (("input", "input_json"), ("result", "result_json"), ("payload", "payload_json"))
_EVIDENCE = {"probe": "as the probe says", "child": "as the nested saga says"}


def render_details(event: e.Event, *, cut: int = MAX_SHOWN_CHARS) -> Html:
    """All of it, payloads and tracebacks folded; a payload is cut at `cut` characters, with its whole size told."""
    because = e.get_because(event)
    words = [*_describe_own_event_details(event), *_describe_attempt(event), *_describe_because(event, because, cut)]
    values = ((what, getattr(event, name, None)) for what, name in _PAYLOADS)
    return join(
        tag("p", join(*words, between="; ")) if words else None,
        *(render_short_payload(what, value, limit=cut) for what, value in values if value is not None),
        *(
            tag("p", "left: ", user_text(left.step), f" ({RESIDUE_LABELS[left.reason]})")
            for left in getattr(event, "residue", ())
        ),
        # A cause and a block repeat the error of the failure that led to them.
        None if isinstance(event, (e.CauseRecorded, e.InstanceBlocked)) else render_traceback(because.error, limit=cut),
    )


def _describe_own_event_details(event: e.Event) -> Iterator[Html]:
    """What events of one kind alone tell."""
    match event:
        case e.InstanceBlocked():
            yield join(BLOCK_LABELS[event.reason], "; decide: ", ", ".join(event.decisions))
        case e.StepInDoubt():
            yield join(DOUBT_LABELS[event.reason])
        case e.CauseRecorded() if event.step is not None:
            yield join("step ", user_text(event.step))
        case e.InstanceMigrated():
            yield join(f"version {event.version}")
        case e.ChildParked():
            yield from _describe_parked(event)
        case e.StepSucceeded() | e.StepFailed() if event.evidence in _EVIDENCE:
            yield join(_EVIDENCE[event.evidence])


def _describe_parked(event: e.ChildParked) -> Iterator[Html]:
    for block in event.blocks:
        yield join(user_text(block.step), ": ", BLOCK_LABELS[block.reason], "; decide: ", ", ".join(block.decisions))
    if event.waits:
        yield join("waits for a signal")


def _describe_attempt(event: e.Event) -> Iterator[Html]:
    """Say which call it was, unless it was the first, and when the next one begins."""
    attempt: int = getattr(event, "attempt", 0)
    retry_at: datetime | None = getattr(event, "retry_at", None)
    if attempt > 1:
        yield join(f"attempt {attempt}")
    if retry_at is not None:
        yield join(f"again in {format_duration(max(retry_at - event.at, timedelta(0)))}")


def _describe_because(event: e.Event, because: e.Because, limit: int) -> Iterator[Html]:
    if because.decision:
        yield join(because.decision)
    if because.by:
        yield join("by ", render_long_text(because.by, limit=limit))
    # The reasons of a block and of a doubt are names of ours: they are said in words above.
    if because.reason and not isinstance(event, (e.InstanceBlocked, e.StepInDoubt)):
        yield render_long_text(because.reason, limit=limit)
    if because.error is not None:
        yield render_error(because.error, limit=limit)
