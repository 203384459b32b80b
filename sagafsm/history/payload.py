"""Users' values as canonical JSON text, by their annotation, and back: a fresh decode for every call."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Set
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, get_args, is_typeddict
from uuid import UUID

import attrs
from cattrs import Converter
from cattrs.errors import BaseValidationError
from cattrs.preconf.json import make_converter

from sagafsm.errors import PayloadError

MAX_PAYLOAD = 1_048_576
# Far below what a stack can read back, so that what was stored can be read from wherever it is asked for.
DEEPEST = 200
# Python refuses to write ints of more than 4,300 digits (sys.int_info.default_max_str_digits).
LONGEST_INT_BITS = 14_000
_read = json.JSONDecoder().raw_decode
dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _is_payload_model(kind: Any) -> bool:
    # pydantic and SQLModel models are known by what they offer: importing pydantic here would cost every user 100 ms.
    return isinstance(kind, type) and hasattr(kind, "model_validate") and hasattr(kind, "model_dump")


def _make_model_reader(kind: Any) -> Callable[[Any, Any], Any]:
    return lambda value, _: value if isinstance(value, kind) else kind.model_validate(value)


def _read_duration(value: Any, _: Any) -> timedelta:
    return timedelta(microseconds=value)


def _is_payload_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _unwrap_enum(value: str) -> Any:
    return value.value if isinstance(value, Enum) else value


def _write_model(value: Any) -> Any:
    # By alias and without computed fields: that is what `model_validate` reads.
    return value.model_dump(mode="json", by_alias=True, round_trip=True)


def _sort_payload_items(items: Iterable[Any]) -> list[Any]:
    # A set of text has another order in every process, but the same input must be the same text in all of them.
    return sorted(items, key=dumps)


def _build_converter() -> Converter:
    converter: Converter = make_converter(
        detailed_validation=True, unstruct_collection_overrides={Set: _sort_payload_items}
    )
    converter.register_unstructure_hook(timedelta, lambda value: value // timedelta(microseconds=1))
    converter.register_structure_hook(timedelta, _read_duration)
    for kind in (Decimal, UUID):
        converter.register_unstructure_hook(kind, str)
        converter.register_structure_hook(kind, lambda value, to: value if isinstance(value, to) else to(value))
    # cattrs leaves enums that are int or str to json, which writes them; here only the plain value is JSON.
    converter.register_unstructure_hook_func(_is_payload_enum, lambda member: member.value)
    converter.register_unstructure_hook(str, _unwrap_enum)
    converter.register_unstructure_hook_func(_is_payload_model, _write_model)
    converter.register_structure_hook_factory(_is_payload_model, _make_model_reader)
    for plain in (str, int, float, bool):
        # cattrs would coerce: int("7"), bool("no"). A stored value that has another type is an error to be told.
        converter.register_structure_hook(plain, _read_payload_strictly)
    return converter


def _read_payload_strictly(value: Any, kind: type[Any]) -> Any:
    if type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    if issubclass(kind, Enum):
        return kind(value)
    raise TypeError(f"{type(value).__name__} where {kind.__name__} is declared")


@functools.cache
def _get_converter() -> Converter:
    return _build_converter()


def _is_untyped(kind: Any) -> bool:
    """Whether the annotation says no more than "any JSON value"."""
    return kind is Any or kind is object or kind is None or kind in (dict, list, NoneType)


def encode(value: Any, kind: Any, *, subject: str, max_payload: int = MAX_PAYLOAD) -> str:
    """The value as canonical JSON text, by its annotation `kind` where that says something.

    Raises:
        PayloadError: it is not JSON-able, a round trip changes it, or it is larger than `max_payload` bytes; the
            error says where in the value, and of which type it is.
    """
    if value is None and kind in (Any, None):
        return "null"
    try:
        typed = not _is_untyped(kind)
        # Plain JSON for a declared class is already what the class is read from.
        converted = typed and not (isinstance(value, (dict, list)) and _is_plain_payload(value))
        plain = (
            _get_converter().unstructure(value, unstructure_as=_choose_written_type(value, kind))
            if converted
            else value
        )
        _check(plain, "$", subject)
        _check_bare_payload(plain, kind, subject)
        text = dumps(plain)
        size = len(text.encode())
        if size > max_payload:
            raise PayloadError(subject, "$", f"{size} bytes of JSON, more than max_payload={max_payload}")
        again = decode(text, kind, subject=subject) if typed else value
        if converted and not _is_same_payload(value, again):
            changed = f"{_format_payload_type(value)} is changed by a round trip: {value!r} became {again!r}"
            raise PayloadError(subject, "$", changed)
    except PayloadError:
        raise
    except RecursionError as error:
        raise PayloadError(subject, "$", _describe_depth(value)) from error
    except Exception as error:
        raise PayloadError(subject, "$", f"{_format_payload_type(value)} cannot be stored: {error}") from error
    return text


def _choose_written_type(value: Any, kind: Any) -> Any:
    # A value of another class than the declared one is written as what it is; reading it tells that it does not fit.
    if is_typeddict(kind) or not isinstance(kind, type):
        return kind
    return kind if isinstance(value, kind) else type(value)


def _is_plain_payload(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return all(type(key) is str for key in value) and all(map(_is_plain_payload, value.values()))
    if kind is list:
        return all(map(_is_plain_payload, value))
    return value is None or kind in (str, int, float, bool)


def _check_bare_payload(plain: Any, kind: Any, subject: str) -> None:
    if kind in (dict, list) and type(plain) is not kind:
        problem = f"does not fit {kind.__name__}: {type(plain).__name__} where {kind.__name__} is declared"
        raise PayloadError(subject, "$", problem)


def _describe_depth(value: Any) -> str:
    return f"{_format_payload_type(value)} is nested more than {DEEPEST} deep, or contains itself"


def _is_same_payload(one: Any, other: Any) -> bool:
    """Whether a value came back as it was.

    Moments count by what they say: in the hour that is repeated in autumn, a datetime of a named zone equals none of
    another zone (PEP 495), so classes that hold one are compared part by part.
    """
    if one == other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, datetime):
        return str(one) == str(other)
    parts, others = _split_payload_parts(one), _split_payload_parts(other)
    return (
        bool(parts)
        and parts.keys() == others.keys()
        and all(_is_same_payload(parts[key], others[key]) for key in parts)
    )


def _split_payload_parts(value: Any) -> dict[Any, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    if attrs.has(type(value)):
        return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    if _is_payload_model(type(value)):
        return {**vars(value), "": (value.__pydantic_private__, value.__pydantic_extra__)}
    return {field.name: getattr(value, field.name) for field in fields(value)} if is_dataclass(value) else {}


def _format_payload_type(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _check(value: Any, path: str, subject: str, depth: int = 0) -> None:
    """Refuse what JSON would change silently: other types, keys that are not text, NaN, lone surrogates."""
    kind = type(value)
    if depth > DEEPEST:
        raise RecursionError
    if kind is str:
        _check_payload_text(value, path, subject)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise PayloadError(subject, path, f"the key {key!r} is {_format_payload_type(key)}, JSON keys are str")
            _check_payload_text(key, path, subject)
            _check(item, f"{path}.{key}", subject, depth + 1)
    elif kind is list or kind is tuple:
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", subject, depth + 1)
    elif kind is float or kind is int:
        _check_payload_number(value, path, subject)
    elif kind is not bool and value is not None:
        raise PayloadError(
            subject, path, f"{_format_payload_type(value)} is no JSON value (annotate its type, or return plain JSON)"
        )


def _check_payload_number(value: int | float, path: str, subject: str) -> None:
    if value - value != 0:
        raise PayloadError(subject, path, f"{value!r} has no JSON")
    if type(value) is int and value.bit_length() > LONGEST_INT_BITS:
        raise PayloadError(subject, path, f"an int of {value.bit_length()} bits is longer than JSON readers take")


def _check_payload_text(value: str, path: str, subject: str) -> None:
    try:
        # Most text is ASCII, and knows it without a look at its characters.
        _ = value.isascii() or value.encode()
    except UnicodeEncodeError as error:
        raise PayloadError(subject, path, f"a lone surrogate at character {error.start} has no UTF-8") from error


def decode(text: str, kind: Any, *, subject: str) -> Any:
    """A fresh value of type `kind` from JSON text; without an annotation, plain JSON.

    Raises:
        PayloadError: what is stored does not fit `kind`.
    """
    plain = _read(text)[0]
    if _is_untyped(kind):
        _check_bare_payload(plain, kind, subject)
        return plain
    try:
        return _get_converter().structure(plain, kind)
    except Exception as error:
        path, problem = _find_payload_problem(error, "$")
        if path == "$":
            problem = f"does not fit {_format_annotation(kind)}: {problem}"
        raise PayloadError(subject, path, problem) from error


def _format_annotation(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _find_payload_problem(error: BaseException, path: str) -> tuple[str, str]:
    while isinstance(error, BaseValidationError):
        inner: BaseException = error.exceptions[0]
        for note in getattr(inner, "__notes__", ()):
            name = getattr(note, "name", None)
            index = getattr(note, "index", None)
            path += _format_payload_path_part(name if name is not None else index)
        error = inner
    told = getattr(error, "errors", None)
    if callable(told):
        # A model's own error, known by what it offers, as the model is.
        first = told()[0]
        return path + "".join(map(_format_payload_path_part, first["loc"])), first["msg"]
    problem = f"missing {error}" if isinstance(error, KeyError) else str(error)
    return path, problem


def _format_payload_path_part(of: object) -> str:
    return "" if of is None else f"[{of}]" if isinstance(of, int) else f".{of}"


def is_same_json(one: str, other: str) -> bool:
    """Whether two JSON texts hold the same value, whatever the order of their keys; 1 is neither 1.0 nor true."""
    return one == other or _sort_payload_keys(one) == _sort_payload_keys(other)


def _sort_payload_keys(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True)
