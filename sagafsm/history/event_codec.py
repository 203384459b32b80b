"""Events as JSON text and back, with a checksum that finds every flipped bit."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any

import attrs

from sagafsm.errors import SagaError
from sagafsm.history import events as e
from sagafsm.history.payload import dumps


def _find_event_classes() -> dict[str, type[e.Event]]:
    found: list[type[e.Event]] = [e.Event]
    for kind in found:
        found.extend(kind.__subclasses__())
    return {kind.__name__: kind for kind in found if kind not in (e.Event, e.StepEvent)}


_EVENTS = _find_event_classes()
_PAYLOADS = ("input_json", "result_json", "payload_json")
_PAYLOAD = {kind: next((f.name for f in attrs.fields(kind) if f.name in _PAYLOADS), None) for kind in _EVENTS.values()}


def _list_encoded_fields(kind: type[e.Event]) -> tuple[tuple[str, str, Any], ...]:
    # The number is a column of its own, checked against the body's place in the history.
    names = [field for field in attrs.fields(kind) if field.name not in ("number", *_PAYLOADS)]
    return tuple((field.name, f',"{field.name}":', field.default) for field in names)


_FIELDS = {kind: _list_encoded_fields(kind) for kind in _EVENTS.values()}
_HEADS = {kind: f'{{"type":"{name}"' for name, kind in _EVENTS.items()}


def encode_event(event: e.Event) -> str:
    """The event as one JSON object, without its number; a user's value stands in it as JSON of its own."""
    # By hand, as this runs at every commit: a JSON encoder is set up anew at each call, which takes longer than this.
    kind, values = type(event), event.__dict__
    text = _HEADS[kind]
    for name, label, default in _FIELDS[kind]:
        value = values[name]
        if value is not default:
            write = _WRITERS.get(type(value), _encode_other)
            text += label + write(value)
    payload = _PAYLOAD[kind]
    if payload is None or values[payload] is None:
        return text + "}"
    # Spliced, not nested: the value was encoded once already, and stays readable in the database.
    return f'{text},"{payload.removesuffix("_json")}":{values[payload]}}}'


def _remember_last_encoding(write: Callable[[Any], str]) -> Callable[[Any], str]:
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


def _write_isoformat(moment: datetime) -> str:
    # To say how precise it is to be takes a third of the time, and is needed for one in a million.
    return moment.isoformat() if moment.microsecond else moment.isoformat(timespec="microseconds")


write_moment = _remember_last_encoding(_write_isoformat)  # a moment as text of fixed width, in its own time zone


def _encode_moment(moment: datetime) -> str:
    return f'"{write_moment(moment)}"'


def _encode_list(items: tuple[Any, ...]) -> str:
    return f"[{','.join([_encode_value(item) for item in items])}]"


def _make_object_encoder(kind: type[Any]) -> Callable[[Any], str]:
    labels = [(field.name, f'"{field.name}":', field.default) for field in attrs.fields(kind)]

    def write(value: Any) -> str:
        # What is as it is by default says nothing: old histories have no place for what was added later.
        held = [(label, getattr(value, name), default) for name, label, default in labels]
        return f"{{{','.join([label + _encode_value(one) for label, one, default in held if one != default])}}}"

    return write


_WRITERS: dict[type[Any], Callable[[Any], str]] = {
    str: encode_basestring,
    int: str,
    float: repr,
    bool: {False: "false", True: "true"}.__getitem__,
    type(None): lambda _: "null",
    datetime: _encode_moment,
    # The list of steps is the same object in all instances of a saga.
    tuple: _remember_last_encoding(_encode_list),
    e.RecordedError: _make_object_encoder(e.RecordedError),
    e.StepOutline: _make_object_encoder(e.StepOutline),
    e.RecordedBlock: _make_object_encoder(e.RecordedBlock),
    e.RecordedResidue: _make_object_encoder(e.RecordedResidue),
}


def _encode_value(value: Any) -> str:
    return _WRITERS.get(type(value), _encode_other)(value)


def _encode_other(value: Any) -> str:
    # A subclass of one of them, as a clock of somebody's own may give.
    return _encode_moment(value) if isinstance(value, datetime) else dumps(value)


def _decode_error(raw: Any) -> Any:
    return None if raw is None else e.RecordedError(**raw)


def _decode_moment(raw: Any) -> Any:
    return None if raw is None else datetime.fromisoformat(raw)


def _decode_outline(raw: Any) -> tuple[e.StepOutline, ...]:
    return tuple(e.StepOutline(**{**step, "steps": _decode_outline(step.get("steps", ()))}) for step in raw)


_READERS: dict[str, Callable[[Any], Any]] = {
    "at": _decode_moment,
    "wake_at": _decode_moment,
    "retry_at": _decode_moment,
    "deadline": _decode_moment,
    "error": _decode_error,
    "decisions": tuple,
    "steps": _decode_outline,
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


def compute_checksum(instance_id: str, number: int, body: str) -> int:
    """CRC-32 over an event's place and body: it finds every single flipped bit (Peterson and Brown, 1961)."""
    return zlib.crc32(f"{instance_id}\0{number}\0{body}".encode(errors="surrogatepass"))
