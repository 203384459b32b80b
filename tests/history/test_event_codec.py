"""Events as text and back, and the checksum that finds every flipped bit."""

from __future__ import annotations

import json
import typing
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sagafsm.errors import SagaError
from sagafsm.history import events as e
from sagafsm.history.event_codec import compute_checksum, decode_event, encode_event
from sagafsm.history.payload import encode
from support.messages import message_of

MOMENTS = st.datetimes(timezones=st.just(UTC))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PAYLOADS = JSON.map(lambda value: encode(value, Any, subject="S"))
ERRORS = st.builds(e.RecordedError, type=st.text(), message=st.text(), traceback=st.none() | st.text())
OUTLINES = st.builds(
    e.StepOutline,
    name=st.text(),
    title=st.none() | st.text(),
    effect=st.booleans(),
    compensation=st.booleans(),
    probe=st.booleans(),
    pivot=st.booleans(),
    kind=st.sampled_from(typing.get_args(e.StepKind)),
    group=st.none() | st.text(),
)


def event_classes() -> list[type[e.Event]]:
    """Every event there is, found independently of the codec."""
    found = [kind for kind in vars(e).values() if isinstance(kind, type) and issubclass(kind, e.Event)]
    return [kind for kind in found if kind not in (e.Event, e.StepEvent)]


def values_of(field: str, kind: Any) -> st.SearchStrategy[Any]:
    """Values for one field of an event, by its annotation."""
    if field in ("input_json", "result_json", "payload_json"):
        strategy: st.SearchStrategy[Any] = PAYLOADS
        return strategy | st.none() if kind == str | None else strategy
    nested = st.lists(OUTLINES, max_size=2).map(tuple)
    blocks = st.builds(
        e.RecordedBlock,
        step=st.text(),
        reason=st.sampled_from(typing.get_args(e.BlockReason)),
        decisions=st.lists(st.sampled_from(typing.get_args(e.Decision))).map(tuple),
    )
    residue = st.builds(
        e.RecordedResidue,
        step=st.text(),
        reason=st.sampled_from(typing.get_args(e.ResidueReason)),
        result_json=st.none() | PAYLOADS,
    )
    listed = {
        "blocks": st.lists(blocks, max_size=2).map(tuple),
        "residue": st.lists(residue, max_size=2).map(tuple),
        "renamed": st.lists(st.tuples(st.text(), st.none() | st.text()), max_size=2).map(tuple),
        "steps": st.lists(st.builds(attrs.evolve, OUTLINES, steps=nested), max_size=3).map(tuple),
    }
    if field in listed:
        return listed[field]
    named = {"error": ERRORS, "steps": st.lists(OUTLINES).map(tuple), "number": st.integers(1, 10**6)}
    if field in named:
        return named[field] | st.none() if type(None) in typing.get_args(kind) else named[field]
    if typing.get_origin(kind) is tuple:
        return st.lists(st.sampled_from(typing.get_args(typing.get_args(kind)[0]))).map(tuple)
    if typing.get_origin(kind) is typing.Literal:
        return st.sampled_from(typing.get_args(kind))
    simple = {
        int: st.integers(0, 10**9),
        float: st.floats(0, 1e9),
        str: st.text(),
        bool: st.booleans(),
        datetime: MOMENTS,
        type(None): st.none(),
    }
    members = typing.get_args(kind) or (kind,)
    return st.one_of([simple[member] for member in members])


def events_of(kind: type[e.Event]) -> st.SearchStrategy[e.Event]:
    hints = typing.get_type_hints(kind, vars(e))
    return st.builds(kind, **{field.name: values_of(field.name, hints[field.name]) for field in attrs.fields(kind)})


EVENTS = st.one_of([events_of(kind) for kind in event_classes()])


def test_every_event_is_examined() -> None:
    """The events of the design are all there."""
    assert {
        "InstanceCreated",
        "InstanceStarted",
        "InstanceMigrated",
        "StepPrepared",
        "StepSkipped",
        "StepPassedOver",
        "WaitStarted",
        "SignalReceived",
        "ChildParked",
        "ChildResumed",
        "ChildAbandoned",
        "DecisionCameTooLate",
        "StepStarted",
        "StepSucceeded",
        "StepFailed",
        "StepInDoubt",
        "ResultRefused",
        "CauseRecorded",
        "CompensationStarted",
        "CompensationSucceeded",
        "CompensationFailed",
        "InstanceBlocked",
        "DecisionMade",
        "CancelRequested",
        "CancelCameTooLate",
        "LateResult",
        "InstanceCompleted",
        "InstanceFailed",
    } == {kind.__name__ for kind in event_classes()}


@pytest.mark.parametrize("kind", event_classes(), ids=lambda kind: kind.__name__)
@settings(max_examples=40)
@given(data=st.data())
def test_every_event_survives(kind: type[e.Event], data: st.DataObject) -> None:
    """Any event comes back equal and of its class; its payload as the same text."""
    event = data.draw(events_of(kind))

    again = decode_event(encode_event(event), number=event.number)

    assert event == again
    assert type(event) is type(again)
    assert encode_event(event) == encode_event(again)


@given(event=EVENTS)
def test_a_body_is_json_and_can_be_read_by_people(event: e.Event) -> None:
    """A body is one JSON object with the event's name, and a user's value stands in it as JSON of its own."""
    body = json.loads(encode_event(event))

    assert type(event).__name__ == body["type"]
    assert "number" not in body
    for field in ("input_json", "result_json"):
        text = getattr(event, field, None)
        if text is not None:
            assert json.loads(text) == body[field.removesuffix("_json")]


def test_bodies_are_kept_for_ever() -> None:
    """What is written today is read by every later version: a change here needs a reader of the old form."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    created = e.InstanceCreated(
        number=1,
        at=at,
        state="pending",
        id="o-1",
        saga="order",
        version=1,
        fingerprint="f",
        input_json='{"a":[1,"ä"]}',
        steps=(e.StepOutline(name="charge", compensation=True),),
    )
    told = (
        '{"type":"InstanceCreated","at":"2026-01-02T03:04:05.000000+00:00","state":"pending","id":"o-1","saga":"order",'
        '"version":1,"fingerprint":"f","steps":[%s],"input":{"a":[1,"ä"]}}'
    )
    text = told % '{"name":"charge","compensation":true}'
    assert text == encode_event(created)
    in_full = '{"name":"charge","title":null,"effect":true,"compensation":true,"probe":false,"pivot":false}'
    assert created == decode_event(text, number=1) == decode_event(told % in_full, number=1)
    error = e.RecordedError(type="builtins.KeyError", message="'x'")
    doubt = e.StepInDoubt(number=7, at=at, step="charge", attempt=2, reason="timeout", error=error, wake_at=at)
    text = (
        '{"type":"StepInDoubt","at":"2026-01-02T03:04:05.000000+00:00","wake_at":"2026-01-02T03:04:05.000000+00:00",'
        '"step":"charge","attempt":2,"reason":"timeout","error":{"type":"builtins.KeyError","message":"\'x\'"}}'
    )
    assert text == encode_event(doubt)
    assert doubt == decode_event(text, number=7)


# What cannot be read --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"type":"StepTeleported","step":"a"}', "KeyError('StepTeleported')"),
        ('{"step":"a"}', "KeyError('type')"),
        ("", "JSONDecodeError('Expecting value: line 1 column 1 (char 0)')"),
        ('{"type":"InstanceFailed"', "JSONDecodeError(\"Expecting ',' delimiter: line 1 column 25 (char 24)\")"),
        ("[1]", "TypeError("),
        ("3", "AttributeError(\"'int' object has no attribute 'pop'\")"),
        ('{"type":["a"]}', "TypeError("),
        ('{"type":"InstanceFailed","at":"soon"}', "ValueError(\"Invalid isoformat string: 'soon'\")"),
        ('{"type":"InstanceFailed","colour":"red"}', "TypeError("),
        ('{"type":"StepStarted","step":"a","attempt":1}', "TypeError("),
        ('{"type":"StepFailed","step":"a","attempt":1,"error":{"kind":"x"}}', "TypeError("),
        ('{"type":"InstanceCreated","steps":3}', "TypeError("),
        ('{"type":"InstanceCreated"}', "TypeError("),
    ],
)
def test_what_is_no_event_is_told(text: str, problem: str) -> None:
    """Garbage, and events of another version, give one error that names the event and what is wrong."""
    message = message_of(SagaError, lambda: decode_event(text, number=3))

    assert message.startswith(f"event 3 cannot be read: {problem.removesuffix(')')}")
    assert message.endswith(" (written by a newer sagafsm?)")


@given(text=st.text() | JSON.map(json.dumps))
def test_any_garbage_is_one_error(text: str) -> None:
    """Whatever text stands where an event should, reading it gives an event or that error."""
    read = event_or_error(text)

    assert isinstance(read, e.Event) or str(read).startswith("event 1 cannot be read: ")


def event_or_error(text: str) -> e.Event | SagaError:
    try:
        return decode_event(text, number=1)
    except SagaError as error:
        return error


# Checksums ------------------------------------------------------------------------------------------------------------


@given(event=EVENTS, number=st.integers(1, 10**6))
@settings(max_examples=30, deadline=None)
def test_every_single_flipped_bit_is_found(event: e.Event, number: int) -> None:
    """Whichever bit of a body is flipped, it is no UTF-8 any more or the checksum is another."""
    body = encode_event(event)
    right, raw = compute_checksum("o-1", number, body), bytearray(body.encode())

    for position in range(len(raw)):
        for bit in range(8):
            raw[position] ^= 1 << bit
            try:
                flipped = raw.decode()
            except UnicodeDecodeError:
                pass
            else:
                assert right != compute_checksum("o-1", number, flipped)
            raw[position] ^= 1 << bit


@given(st.text(min_size=1), st.integers(1, 10**6), st.text(), st.text(min_size=1), st.integers(1, 10**6))
@example("o-1", 11, "", "o-11", 1)
def test_a_body_in_another_place_is_found(one: str, at: int, body: str, other: str, elsewhere: int) -> None:
    """The checksum covers instance and number: an event moved to another place is found."""
    if (one, at) != (other, elsewhere) and "\0" not in one + other:
        # CRC-32 gives no promise beyond short bursts: a chance hit is one in four billion.
        assert compute_checksum(one, at, body) != compute_checksum(other, elsewhere, body)


def test_checksums_are_kept_in_databases() -> None:
    """A checksum is stored beside its event, so it never changes between versions of sagafsm."""
    assert 3923754164 == compute_checksum("o-1", 3, '{"type":"InstanceFailed","reason":"Größe"}')
