"""Users' values: stored as JSON by their annotation, and read back fresh, or refused with path and type."""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, NewType, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, computed_field
from sqlmodel import Field as Column
from sqlmodel import SQLModel

from sagafsm.errors import OutcomeUnknown, PayloadError
from sagafsm.history.payload import DEEPEST, MAX_PAYLOAD, decode, encode, is_same_json
from sagafsm.saga import Saga
from support.messages import message_of


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1


class Carrier(enum.StrEnum):
    POST = "post"


class Word(str):
    """A subclass of str."""


class Number(int):
    """A subclass of int."""


@attrs.frozen
class Line:
    sku: str
    quantity: int = 1


@attrs.define
class Order:
    lines: list[Line]
    at: datetime | None = None
    colours: dict[str, Colour] = attrs.Factory(dict)
    tags: frozenset[str] = frozenset()


@dataclasses.dataclass
class Node:
    value: Decimal
    below: Node | None = None


class Customer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    customer_id: UUID = Field(alias="customerId")
    since: date

    @computed_field
    def years(self) -> int:
        return 2026 - self.since.year


class Card(BaseModel):
    number: SecretStr


class Item(SQLModel):
    sku: str
    price: Decimal


class Row(SQLModel, table=True):
    id: int | None = Column(default=None, primary_key=True)
    sku: str


class City(TypedDict):
    city: str


class Address(City, total=False):
    since: datetime


class Opaque:
    """A type that nobody can write as JSON."""


Sku = NewType("Sku", str)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = UUID(int=17)


def there_and_back(value: Any, kind: Any = Any) -> Any:
    return decode(encode(value, kind, subject="S"), kind, subject="S")


def refusal(value: Any, kind: Any = Any, **options: Any) -> str:
    return message_of(PayloadError, lambda: encode(value, kind, subject="S", **options))


# What survives --------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=JSON)
@example(value={"": {"$": [-0.0, 1e308, 5e-324, 2**70]}, "\u2028": "\x00\ud7ff"})
def test_any_json_value_survives(value: Any) -> None:
    """Every JSON value comes back equal, of the same types, without an annotation."""
    again = there_and_back(value)

    assert value == again
    assert repr(value) == repr(again)


@given(value=JSON)
def test_a_decode_is_always_fresh(value: Any) -> None:
    """Two decodes share nothing that can be changed: what one reader does to its value, no other sees."""
    text = encode(value, Any, subject="S")
    one = decode(text, Any, subject="S")

    def spoil(part: Any) -> None:
        for inner in list(part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()):
            spoil(inner)
        if isinstance(part, (dict, list)):
            part.clear()

    spoil(one)
    assert value == decode(text, Any, subject="S")


def test_a_typed_decode_is_fresh() -> None:
    """Typed values are built anew at each decode, too."""
    text = encode(Order(lines=[Line("mug")]), Order, subject="S")
    one, other = decode(text, Order, subject="S"), decode(text, Order, subject="S")
    one.lines.clear()

    assert [Line("mug")] == other.lines


TYPED: list[tuple[Any, Any]] = [
    (Order([Line("mug", 2)], NOON, {"a": Colour.RED}, frozenset({"gift"})), Order),
    (Node(Decimal("1.10"), Node(Decimal("1E+3"))), Node),
    (Customer(customerId=KEY, since=date(2020, 2, 29)), Customer),
    (Item(sku="mug", price=Decimal("9.90")), Item),
    (Row(id=3, sku="mug"), Row),
    ({"city": "Berlin"}, Address),
    ({"city": "Berlin", "since": NOON}, Address),
    (Colour.RED, Colour),
    (Size.SMALL, Size),
    (Carrier.POST, Carrier),
    ({"a": [Carrier.POST]}, dict[str, list[Carrier]]),
    ({Carrier.POST: Size.SMALL}, dict[Carrier, Size]),
    (Carrier.POST, Carrier | None),
    (NOON, datetime),
    (datetime(2026, 1, 1, 12, 0, 0, 1), datetime),
    (datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))), datetime),
    (date(2026, 1, 1), date),
    (timedelta(days=-3, microseconds=1), timedelta),
    (timedelta.max, timedelta),
    (KEY, UUID),
    (Decimal("0.10"), Decimal),
    (b"\x00\xff", bytes),
    (Sku("mug"), Sku),
    ("express", Literal["express", "slow"]),
    (None, Order | None),
    (Line("mug"), Line | None),
    (Line("mug"), Line | Order),
    (7, int | str),
    ("7", int | str),
    (KEY, UUID | int),
    (3, float),
    ([Line("mug")], list[Line]),
    ({"a": [Line("mug")]}, dict[str, list[Line]]),
    ({KEY: Line("mug")}, dict[UUID, Line]),
    ({Colour.RED: 1}, dict[Colour, int]),
    ((1, "a"), tuple[int, str]),
    ((1, 2, 3), tuple[int, ...]),
    ((), tuple[int, ...]),
    ((1, 2), tuple),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    ([Customer(customerId=KEY, since=date(2020, 1, 1))], list[Customer]),
    ({"a": 1}, dict),
    ([1], list),
    (None, None),
    (None, type(None)),
]


@pytest.mark.parametrize(("value", "kind"), TYPED, ids=[f"{kind}-{n}" for n, (_, kind) in enumerate(TYPED)])
def test_annotated_values_survive(value: Any, kind: Any) -> None:
    """Values of the annotated type come back equal and of the same type."""
    again = there_and_back(value, kind)

    assert value == again
    assert type(again) is (type(value) if kind is not float else float)


@given(
    value=st.builds(
        Order,
        lines=st.lists(st.builds(Line, sku=st.text(), quantity=st.integers())),
        at=st.none() | st.datetimes(timezones=st.just(UTC) | st.none()),
        colours=st.dictionaries(st.text(), st.sampled_from(Colour)),
        tags=st.frozensets(st.text()),
    )
)
def test_any_value_of_a_declared_class_survives(value: Order) -> None:
    """Whatever its fields hold, a value of the annotated class comes back equal."""
    assert value == there_and_back(value, Order)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (timedelta, st.timedeltas()),
        (Decimal, st.decimals(allow_nan=False)),
        (UUID, st.uuids()),
        (datetime, st.datetimes(timezones=st.timezones() | st.none())),
        (date, st.dates()),
        (bytes, st.binary()),
        (Colour | None, st.sampled_from(Colour) | st.none()),
    ],
)
@given(data=st.data())
def test_any_value_of_a_declared_scalar_survives(
    kind: Any, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """Durations to the microsecond, decimals to the digit, moments to the instant."""
    value = data.draw(values)

    again = there_and_back(value, kind)

    assert str(value) == str(again)
    assert type(value) is type(again)


@dataclasses.dataclass(eq=False)
class Visit:
    """Equal to nothing but itself."""

    at: datetime
    name: str = "a"


class Meeting(BaseModel):
    at: datetime
    _room: str = PrivateAttr(default="1")


@attrs.frozen
class Day:
    visits: list[datetime]


# On 25 October 2026 the clocks of Berlin go back at 3:00: this hour comes twice.
TWICE = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize("fold", [0, 1])
def test_the_repeated_hour_of_autumn_survives(fold: int) -> None:
    """A moment in the hour that comes twice is stored and comes back as the same instant, wherever it stands."""
    at = TWICE.replace(fold=fold)

    assert at.timestamp() == there_and_back(at, datetime).timestamp()
    assert at.timestamp() == there_and_back(Visit(at), Visit).at.timestamp()
    assert at.timestamp() == there_and_back(Meeting(at=at), Meeting).at.timestamp()
    assert at.timestamp() == there_and_back({"a": Day([at])}, dict[str, Day])["a"].visits[0].timestamp()


def test_a_private_part_of_a_model_is_not_lost_silently() -> None:
    """What a model does not write is missing when it is read: refused, unless nobody changed it."""
    meeting = Meeting(at=NOON)
    assert meeting == there_and_back(meeting, Meeting)
    meeting._room = "2"
    for at in (NOON, TWICE):
        meeting.at = at
        assert refusal(meeting, Meeting).startswith(f"S at $: {HERE}.Meeting is changed by a round trip: ")


def test_text_is_canonical() -> None:
    """No spaces, no escapes that UTF-8 does not need: what stands in the database can be read."""
    assert '{"product":"Größe","lines":[1,2.5,null,true]}' == encode(
        {"product": "Größe", "lines": [1, 2.5, None, True]}, Any, subject="S"
    )
    assert '{"customerId":"00000000-0000-0000-0000-000000000011","since":"2020-01-01"}' == encode(
        Customer(customerId=KEY, since=date(2020, 1, 1)), Customer, subject="S"
    )


def test_a_set_is_the_same_text_in_every_process() -> None:
    """The order of a set of text changes with the process; its stored text does not, so that a restart finds it same."""
    program = "from sagafsm.history.payload import encode; print(encode(set('abcdefgh'), set[str], subject=''))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert {'["a","b","c","d","e","f","g","h"]\n'} == texts


# Tuples, and plain JSON for a declared class --------------------------------------------------------------------------


def test_a_tuple_without_annotation_arrives_as_a_list() -> None:
    """Always, in memory as after a restart."""
    assert [1, [2, 3]] == there_and_back((1, (2, 3)))
    assert {"a": [1]} == there_and_back({"a": (1,)})


def test_a_tuple_annotated_as_a_list_is_refused() -> None:
    """What the annotation would change is refused, not changed silently."""
    assert "S at $: tuple is changed by a round trip: (1, 2) became [1, 2]" == refusal((1, 2), list[int])
    assert "S at $: does not fit list: tuple where list is declared" == refusal((1, 2), list)


def test_sequences_and_mappings_are_read_as_declared() -> None:
    """Abstract containers are annotations like any other."""
    assert [1, 2] == list(there_and_back([1, 2], Sequence[int]))
    assert {"a": 1} == there_and_back({"a": 1}, Mapping[str, int])


def test_plain_json_for_a_declared_class() -> None:
    """An input may be given as the JSON that its declared class is read from."""
    given_ = {"lines": [{"sku": "mug"}], "at": "2026-01-01T12:00:00+00:00", "colours": {"a": "red"}, "tags": []}

    assert Order([Line("mug")], NOON, {"a": Colour.RED}) == there_and_back(given_, Order)
    assert {"a": Line("mug")} == there_and_back({"a": {"sku": "mug"}}, dict[str, Line])
    customer = there_and_back({"customerId": str(KEY), "since": "2020-01-01"}, Customer)
    assert Customer(customerId=KEY, since=date(2020, 1, 1)) == customer


# What is refused ------------------------------------------------------------------------------------------------------

NO_JSON = "is no JSON value (annotate its type, or return plain JSON)"
HERE = __name__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({1: 2}, "S at $: the key 1 is int, JSON keys are str"),
        ({"a": [{None: 2}]}, "S at $.a[0]: the key None is NoneType, JSON keys are str"),
        ({Word("a"): 2}, f"S at $: the key 'a' is {HERE}.Word, JSON keys are str"),
        (float("nan"), "S at $: nan has no JSON"),
        ([1, {"x": float("inf")}], "S at $[1].x: inf has no JSON"),
        ([-float("inf")], "S at $[0]: -inf has no JSON"),
        ("a\ud800", "S at $: a lone surrogate at character 1 has no UTF-8"),
        ({"a": ["\udfff"]}, "S at $.a[0]: a lone surrogate at character 0 has no UTF-8"),
        ({"a": {"\ud800": 1}}, "S at $.a: a lone surrogate at character 0 has no UTF-8"),
        ({1, 2}, f"S at $: set {NO_JSON}"),
        ([b"a"], f"S at $[0]: bytes {NO_JSON}"),
        (Opaque(), f"S at $: {HERE}.Opaque {NO_JSON}"),
        ([Line("mug")], f"S at $[0]: {HERE}.Line {NO_JSON}"),
        (Customer(customerId=KEY, since=date(2020, 1, 1)), f"S at $: {HERE}.Customer {NO_JSON}"),
        (Word("a"), f"S at $: {HERE}.Word {NO_JSON}"),
        ({"n": Number(3)}, f"S at $.n: {HERE}.Number {NO_JSON}"),
        (Size.SMALL, f"S at $: {HERE}.Size {NO_JSON}"),
        (Colour.RED, f"S at $: {HERE}.Colour {NO_JSON}"),
        (collections.OrderedDict(a=1), f"S at $: collections.OrderedDict {NO_JSON}"),
        (Decimal(1), f"S at $: decimal.Decimal {NO_JSON}"),
        (NOON, f"S at $: datetime.datetime {NO_JSON}"),
        (len, f"S at $: builtin_function_or_method {NO_JSON}"),
        ({"a": [10**5000]}, "S at $.a[0]: an int of 16610 bits is longer than JSON readers take"),
    ],
)
def test_what_is_no_json_is_refused_without_an_annotation(value: Any, expected: str) -> None:
    """What JSON has no word for is refused, and the error says where it is and what."""
    assert expected == refusal(value)


def test_the_longest_ints() -> None:
    """Ints of thousands of digits are stored as they are."""
    assert 10**4000 == there_and_back(10**4000)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("7", int, "S at $: does not fit int: str where int is declared"),
        (True, int, "S at $: does not fit int: bool where int is declared"),
        (1, bool, "S at $: does not fit bool: int where bool is declared"),
        (1.5, int, "S at $: does not fit int: float where int is declared"),
        (1, str, "S at $: does not fit str: int where str is declared"),
        (None, str, "S at $: does not fit str: NoneType where str is declared"),
        ([1], dict, "S at $: does not fit dict: list where dict is declared"),
        (None, dict, "S at $: does not fit dict: NoneType where dict is declared"),
        ("red", Colour, "S at $: str is changed by a round trip: 'red' became <Colour.RED: 'red'>"),
        ("green", Colour, "S at $: does not fit Colour: 'green' is not a valid Colour"),
        ("y", Literal["x"], "S at $: does not fit typing.Literal['x']: y not in literal typing.Literal['x']"),
        ({"lines": [{"sku": 3}]}, Order, "S at $.lines[0].sku: int where str is declared"),
        ({"lines": [{"quantity": 3}]}, Order, "S at $.lines[0].sku: missing 'sku'"),
        ({"a": {"sku": "x", "quantity": "3"}}, dict[str, Line], "S at $.a.quantity: str where int is declared"),
        (
            Order([Line("mug")], colours={"x": "red"}),
            Order,
            f"S at $: {HERE}.Order cannot be stored: 'str' object has no attribute 'value'",
        ),  # type: ignore[dict-item]
        (Line("\ud800"), Line, "S at $.sku: a lone surrogate at character 0 has no UTF-8"),
        (Order([Line("a"), Line("b", Number(3))]), Order, f"S at $.lines[1].quantity: {HERE}.Number {NO_JSON}"),
        (Word("a"), str, f"S at $: {HERE}.Word {NO_JSON}"),
        (Opaque(), Opaque, f"S at $: {HERE}.Opaque {NO_JSON}"),
        (Opaque(), int, f"S at $: {HERE}.Opaque {NO_JSON}"),
        ({1: 2}, dict[int, int], "S at $: the key 1 is int, JSON keys are str"),
        ([1], Customer, "S at $: does not fit Customer: Input should be a valid dictionary or instance of Customer"),
        (
            {"customerId": str(KEY), "since": "soon"},
            Customer,
            "S at $.since: Input should be a valid date or datetime, ",
        ),
        ({"since": "2020-01-01"}, Customer, "S at $.customerId: Field required"),
        ({"a": [{"since": "2020-01-01"}]}, dict[str, list[Customer]], "S at $.a[0].customerId: Field required"),
    ],
)
def test_what_does_not_fit_its_annotation_is_refused(value: Any, kind: Any, expected: str) -> None:
    """A value of another type than the declared one is refused, never coerced, and the error says where it is."""
    message = refusal(value, kind)

    assert expected == message if not expected.endswith(" ") else message.startswith(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Decimal("NaN"), Decimal),
        ([Decimal("NaN")], list[Decimal]),
        (Card(number=SecretStr("4242")), Card),
        ([Card(number=SecretStr("4242"))], list[Card]),
        ({"a": Card(number=SecretStr("4242"))}, dict[str, Card]),
    ],
)
def test_what_a_round_trip_changes_is_refused(value: Any, kind: Any) -> None:
    """What would come back as something else is refused, also deep inside a container."""
    name = (
        type(value).__name__
        if type(value).__module__ == "builtins"
        else f"{type(value).__module__}.{type(value).__name__}"
    )
    assert f"S at $: {name} is changed by a round trip: {value!r} became {value!r}".startswith(
        refusal(value, kind).partition(" became ")[0]
    )


def test_payloads_have_a_largest_size() -> None:
    """A value of `max_payload` bytes of UTF-8 is stored, one byte more is refused."""
    assert '"ä"' == encode("ä", str, subject="S", max_payload=4)
    assert "S at $: 4 bytes of JSON, more than max_payload=3" == refusal("ä", str, max_payload=3)
    assert 1_048_576 == MAX_PAYLOAD
    assert '"' + "a" * 1_048_574 + '"' == encode("a" * 1_048_574, Any, subject="S")
    assert "S at $: 1048577 bytes of JSON, more than max_payload=1048576" == refusal("a" * 1_048_575)


def nested(depth: int, innermost: Any = None) -> Any:
    value: Any = innermost
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize("kind", [Any, dict, dict[str, Any], Order])
def test_cycles_are_refused(kind: Any) -> None:
    """A value that contains itself has no JSON."""
    value: dict[str, Any] = {}
    value["self"] = [value]
    assert f"S at $: dict is nested more than {DEEPEST} deep, or contains itself" == refusal(value, kind)


def test_depth_is_bounded() -> None:
    """What is stored can be read back however deep the stack of the reader: very deep values are refused."""
    assert nested(DEEPEST) == there_and_back(nested(DEEPEST))
    for depth in (DEEPEST + 1, 100_000):
        value = nested(depth)
        name = type(value).__name__
        assert f"S at $: {name} is nested more than {DEEPEST} deep, or contains itself" == refusal(value)
        while isinstance(value, (dict, list)) and value:
            # Taken apart by hand: the interpreter's own recursion is not what is examined.
            value = value.pop("a") if isinstance(value, dict) else value.pop()


@given(
    value=st.recursive(
        JSON | st.binary() | st.sampled_from([Opaque(), Colour.RED, Word("a"), float("nan"), "\ud800"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    )
)
def test_any_value_survives_or_is_refused(value: Any) -> None:
    """Whatever a step returns is stored and comes back as it was, or is refused; never stored as something else."""
    stored = text_or_refusal(value)

    assert stored.startswith("S at $") if isinstance(stored, Refusal) else value == json.loads(stored)


class Refusal(str):
    """Why a value was refused."""


def text_or_refusal(value: Any) -> str:
    try:
        return encode(value, Any, subject="S")
    except PayloadError as error:
        return Refusal(error)


# What is stored and does not fit any more -----------------------------------------------------------------------------


def test_a_stored_value_that_does_not_fit_is_told() -> None:
    """A value stored under another annotation is an error that names path and type, when it is read."""
    text = '{"lines":[{"sku":"mug","quantity":"two"}]}'
    expected = "result of step 'a' at $.lines[0].quantity: str where int is declared"
    assert expected == message_of(PayloadError, lambda: decode(text, Order, subject="result of step 'a'"))
    expected = "S at $: does not fit dict: list where dict is declared"
    assert expected == message_of(PayloadError, lambda: decode("[]", dict, subject="S"))


def test_the_error_keeps_its_parts() -> None:
    """Subject, path and problem can be had one by one."""
    with pytest.raises(PayloadError) as caught:
        encode({"a": [1, Opaque()]}, Any, subject="S")
    assert ("S", "$.a[1]", f"{HERE}.Opaque {NO_JSON}") == (
        caught.value.subject,
        caught.value.path,
        caught.value.problem,
    )


# Comparing inputs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a":1,"b":[2]}', '{"b":[2],"a":1}', True),
        ("1", "true", False),
        ("1", "1.0", False),
        ("[1,2]", "[2,1]", False),
        ("null", "0", False),
        ('"a"', '"\\u0061"', True),
    ],
)
def test_stored_values_are_compared_as_stored(one: str, other: str, same: bool) -> None:
    """The order of keys makes no difference; types do: 1 is neither true nor 1.0."""
    assert same == is_same_json(one, other)


@given(one=JSON, other=JSON)
def test_the_same_text_is_the_same_value(one: Any, other: Any) -> None:
    """Values are the same exactly when their canonical texts are, keys in order."""
    texts = [json.dumps(value, sort_keys=True) for value in (one, other)]

    assert (texts[0] == texts[1]) == is_same_json(*(encode(value, Any, subject="S") for value in (one, other)))


# In a saga ------------------------------------------------------------------------------------------------------------


def test_every_call_gets_a_fresh_decode() -> None:
    """What a step does to its input or to an earlier result changes nothing stored, and no other step sees it."""
    saga, seen = Saga("order"), []

    @saga.step
    def reserve(input):
        input.clear()
        return {"lines": [1]}

    @saga.step
    def charge(input, reserve):
        seen.append((dict(input), reserve["lines"][:]))
        reserve["lines"].append(2)

    @saga.step
    def ship(input, reserve):
        seen.append((dict(input), reserve["lines"][:]))

    given_ = {"a": 1}
    instance = saga.run(given_)

    assert [({"a": 1}, [1])] * 2 == seen
    assert {"a": 1} == given_ == instance.input
    instance.results["reserve"]["lines"].clear()
    assert {"lines": [1]} == instance.results["reserve"]
    saga.orchestrator.close()


def test_values_arrive_by_their_annotations() -> None:
    """An annotated result is read as that type by every step that asks for it; a reader's own annotation wins."""
    saga, seen = Saga("order"), []

    @saga.step
    def reserve(input: Order) -> Line:
        return input.lines[0]

    @saga.step
    def charge(input, reserve):
        seen.extend([input, reserve])

    @saga.step
    def ship(reserve: dict[str, Any]):
        seen.append(reserve)

    order = Order([Line("mug")], NOON)
    saga.run(order, check=True)

    assert [order, Line("mug"), {"sku": "mug", "quantity": 1}] == seen
    saga.orchestrator.close()


def test_a_doubt_is_no_payload() -> None:
    """An action that returns nothing because it raised has no result to be stored."""
    saga = Saga("order")

    @saga.step
    def charge():
        raise OutcomeUnknown("no answer")

    instance = saga.run(None)
    assert ({}, "in_doubt") == (instance.results, instance.blocked[0].reason)
    saga.orchestrator.close()
