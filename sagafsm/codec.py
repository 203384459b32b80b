"""Events as JSON text and back, with a checksum that finds every flipped bit."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs

from sagafsm import events as e
from sagafsm.errors import SagaError
from sagafsm.payload import dumps


def _event_classes() -> dict[str, type[e.Event]]:
    found: list[type[e.Event]] = [e.Event]
    for kind in found:
        found.extend(kind.__subclasses__())
    return {kind.__name__: kind for kind in found if kind not in (e.Event, e.StepEvent)}


_EVENTS = _event_classes()
_PLAIN = (str, int, float, bool, type(None))
# A column of its own, checked against the body's place in the history.
_LEFT_OUT = "number"


def _plain(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    # What is as it is by default says nothing: old histories have no place for what was added later.
    fields = attrs.fields(type(value))
    return {f.name: _plain(held) for f in fields if (held := getattr(value, f.name)) != f.default}


def _fields(kind: type[e.Event]) -> tuple[tuple[str, Any], ...]:
    return tuple((f.name, f.default) for f in attrs.fields(kind) if f.name != _LEFT_OUT and f.name not in _PAYLOADS)


_PAYLOADS = ("input_json", "result_json", "payload_json")
_FIELDS = {kind: _fields(kind) for kind in _EVENTS.values()}
_PAYLOAD = {kind: next((f.name for f in attrs.fields(kind) if f.name in _PAYLOADS), None) for kind in _EVENTS.values()}


def encode_event(event: e.Event) -> str:
    """The event as one JSON object, without its number; a user's value stands in it as JSON of its own."""
    kind = type(event)
    body: dict[str, Any] = {"type": kind.__name__}
    for name, default in _FIELDS[kind]:
        value = getattr(event, name)
        if value is not default:
            body[name] = _plain(value)
    text = dumps(body)
    payload = _PAYLOAD[kind]
    if payload is None or getattr(event, payload) is None:
        return text
    # Spliced, not nested: the value was encoded once already, and stays readable in the database.
    return f'{text[:-1]},"{payload.removesuffix("_json")}":{getattr(event, payload)}}}'


def _error(raw: Any) -> Any:
    return None if raw is None else e.RecordedError(**raw)


def _moment(raw: Any) -> Any:
    return None if raw is None else datetime.fromisoformat(raw)


def _outline(raw: Any) -> tuple[e.StepOutline, ...]:
    return tuple(e.StepOutline(**{**step, "steps": _outline(step.get("steps", ()))}) for step in raw)


_READERS: dict[str, Callable[[Any], Any]] = {
    "at": _moment,
    "wake_at": _moment,
    "retry_at": _moment,
    "deadline": _moment,
    "error": _error,
    "decisions": tuple,
    "steps": _outline,
    "blocks": lambda raw: tuple(e.RecordedBlock(**{**block, "decisions": tuple(block["decisions"])}) for block in raw),
    "residue": lambda raw: tuple(e.RecordedResidue(**left) for left in raw),
    "renamed": lambda raw: tuple(tuple(pair) for pair in raw),
}


def decode_event(text: str, *, number: int) -> e.Event:
    """The event that `encode_event` wrote.

    Raises:
        SagaError: the text is no event that this version of sagafsm knows.
    """
    try:
        body = json.loads(text)
        kind = _EVENTS[body.pop("type")]
        payload = _PAYLOAD[kind]
        if payload is not None and (name := payload.removesuffix("_json")) in body:
            body[payload] = dumps(body.pop(name))
        values = {name: _READERS[name](value) if name in _READERS else value for name, value in body.items()}
        return kind(number=number, **values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SagaError(f"event {number} cannot be read: {error!r} (written by a newer sagafsm?)") from error


def checksum(instance_id: str, number: int, body: str) -> int:
    """CRC-32 over an event's place and body: it finds every single flipped bit (Peterson and Brown, 1961)."""
    return zlib.crc32(f"{instance_id}\0{number}\0{body}".encode("utf-8", "surrogatepass"))
