"""Events as JSON text and back, with a checksum that finds every flipped bit."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from datetime import datetime
from json.encoder import encode_basestring
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
_PAYLOADS = ("input_json", "result_json", "payload_json")
_PAYLOAD = {kind: next((f.name for f in attrs.fields(kind) if f.name in _PAYLOADS), None) for kind in _EVENTS.values()}


def _fields(kind: type[e.Event]) -> tuple[tuple[str, str, Any], ...]:
    # The number is a column of its own, checked against the body's place in the history.
    names = [field for field in attrs.fields(kind) if field.name not in ("number", *_PAYLOADS)]
    return tuple((field.name, f',"{field.name}":', field.default) for field in names)


_FIELDS = {kind: _fields(kind) for kind in _EVENTS.values()}
_HEADS = {kind: f'{{"type":"{name}"' for name, kind in _EVENTS.items()}


def encode_event(event: e.Event) -> str:
    """The event as one JSON object, without its number; a user's value stands in it as JSON of its own."""
    # By hand, as this runs at every commit: a JSON encoder is set up anew at each call, which takes longer than this.
    kind, values = type(event), event.__dict__
    text = _HEADS[kind]
    for name, label, default in _FIELDS[kind]:
        value = values[name]
        if value is not default:
            write = _WRITERS.get(type(value), _other_json)
            text += label + write(value)
    payload = _PAYLOAD[kind]
    if payload is None or values[payload] is None:
        return text + "}"
    # Spliced, not nested: the value was encoded once already, and stays readable in the database.
    return f'{text},"{payload.removesuffix("_json")}":{values[payload]}}}'


def _remembered(write: Callable[[Any], str]) -> Callable[[Any], str]:
    """The same, without writing the value anew that was written last: events of a commit share much."""
    last: tuple[Any, str] = (None, "")

    def text(value: Any) -> str:
        nonlocal last
        # Kept and looked at as a pair, so that no thread gets the text of another's value.
        pair = last
        if pair[0] is not value:
            pair = last = (value, write(value))
        return pair[1]

    return text


def _isoformat(moment: datetime) -> str:
    # To say how precise it is to be takes a third of the time, and is needed for one in a million.
    return moment.isoformat() if moment.microsecond else moment.isoformat(timespec="microseconds")


moment_text = _remembered(_isoformat)  # a moment as text of fixed width, in its own time zone


def _moment_json(moment: datetime) -> str:
    return f'"{moment_text(moment)}"'


def _list_json(items: tuple[Any, ...]) -> str:
    return f"[{','.join([_json(item) for item in items])}]"


def _object_json(kind: type[Any]) -> Callable[[Any], str]:
    labels = [(field.name, f'"{field.name}":', field.default) for field in attrs.fields(kind)]

    def write(value: Any) -> str:
        # What is as it is by default says nothing: old histories have no place for what was added later.
        held = [(label, getattr(value, name), default) for name, label, default in labels]
        return f"{{{','.join([label + _json(one) for label, one, default in held if one != default])}}}"

    return write


_WRITERS: dict[type[Any], Callable[[Any], str]] = {
    str: encode_basestring,
    int: str,
    float: repr,
    bool: {False: "false", True: "true"}.__getitem__,
    type(None): lambda _: "null",
    datetime: _moment_json,
    # The list of steps is the same object in all instances of a saga.
    tuple: _remembered(_list_json),
    e.RecordedError: _object_json(e.RecordedError),
    e.StepOutline: _object_json(e.StepOutline),
    e.RecordedBlock: _object_json(e.RecordedBlock),
    e.RecordedResidue: _object_json(e.RecordedResidue),
}


def _json(value: Any) -> str:
    return _WRITERS.get(type(value), _other_json)(value)


def _other_json(value: Any) -> str:
    # A subclass of one of them, as a clock of somebody's own may give.
    return _moment_json(value) if isinstance(value, datetime) else dumps(value)


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
    return zlib.crc32(f"{instance_id}\0{number}\0{body}".encode(errors="surrogatepass"))
