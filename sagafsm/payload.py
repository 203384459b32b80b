"""Users' values as canonical JSON text, by their annotation, and back: a fresh decode for every call."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, get_args, is_typeddict
from uuid import UUID

from cattrs import Converter
from cattrs.errors import BaseValidationError
from cattrs.preconf.json import make_converter

from sagafsm.errors import PayloadError

MAX_PAYLOAD = 1_048_576
dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _is_model(kind: Any) -> bool:
    # pydantic and SQLModel models are known by what they offer: importing pydantic here would cost every user 100 ms.
    return isinstance(kind, type) and hasattr(kind, "model_validate") and hasattr(kind, "model_dump")


def _model_reader(kind: Any) -> Callable[[Any, Any], Any]:
    return lambda value, _: value if isinstance(value, kind) else kind.model_validate(value)


def _duration(value: Any, _: Any) -> timedelta:
    return timedelta(microseconds=value)


def _converter() -> Converter:
    converter: Converter = make_converter(detailed_validation=True)
    converter.register_unstructure_hook(timedelta, lambda value: value // timedelta(microseconds=1))
    converter.register_structure_hook(timedelta, _duration)
    for kind in (Decimal, UUID):
        converter.register_unstructure_hook(kind, str)
        converter.register_structure_hook(kind, lambda value, to: value if isinstance(value, to) else to(value))
    converter.register_unstructure_hook_func(_is_model, lambda value: value.model_dump(mode="json"))
    converter.register_structure_hook_factory(_is_model, _model_reader)
    for plain in (str, int, float, bool):
        # cattrs would coerce: int("7"), bool("no"). A stored value that has another type is an error to be told.
        converter.register_structure_hook(plain, _strictly)
    return converter


def _strictly(value: Any, kind: type[Any]) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} where {kind.__name__} is declared")
    return value


@functools.cache
def _shared_converter() -> Converter:
    return _converter()


def _is_untyped(kind: Any) -> bool:
    """Whether the annotation says no more than "any JSON value"."""
    return kind is Any or kind is object or kind is None or kind in (dict, list)


def encode(value: Any, kind: Any, *, subject: str, max_payload: int = MAX_PAYLOAD) -> str:
    """The value as canonical JSON text, by its annotation `kind` where that says something.

    Raises:
        PayloadError: it is not JSON-able, a round trip changes it, or it is larger than `max_payload` bytes; the
            error says where in the value, and of which type it is.
    """
    try:
        plain = (
            value
            if _is_untyped(kind)
            else _shared_converter().unstructure(value, unstructure_as=_written_as(value, kind))
        )
        _check(plain, "$", subject)
        text = dumps(plain)
        size = len(text.encode())
        if size > max_payload:
            raise PayloadError(subject, "$", f"{size} bytes of JSON, more than max_payload={max_payload}")
        if not _is_untyped(kind):
            _check_round_trip(value, decode(text, kind, subject=subject), subject)
    except PayloadError:
        raise
    except (RecursionError, ValueError, TypeError, AttributeError) as error:
        raise PayloadError(subject, "$", f"{_type_name(value)} cannot be stored: {error}") from error
    return text


def _written_as(value: Any, kind: Any) -> Any:
    # A plain value for a declared class (a dict from JSON for an attrs class) goes through the reader instead.
    if is_typeddict(kind) or not isinstance(kind, type):
        return kind
    return kind if isinstance(value, kind) else type(value)


def _check_round_trip(value: Any, again: Any, subject: str) -> None:
    if again != value and not isinstance(value, (dict, list)):
        raise PayloadError(subject, "$", f"{_type_name(value)} is changed by a round trip: {value!r} became {again!r}")


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _check(value: Any, path: str, subject: str) -> None:
    """Refuse what JSON would change silently: other types, keys that are not text, NaN, lone surrogates."""
    kind = type(value)
    if kind is str:
        if not value.isascii():
            _check_text(value, path, subject)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise PayloadError(subject, path, f"the key {key!r} is {_type_name(key)}, JSON keys are str")
            _check_text(key, path, subject)
            _check(item, f"{path}.{key}", subject)
    elif kind is list or kind is tuple:
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", subject)
    elif kind is float and value - value != 0:
        raise PayloadError(subject, path, f"{value!r} has no JSON")
    elif kind is not float and kind is not int and kind is not bool and value is not None:
        raise PayloadError(
            subject, path, f"{_type_name(value)} is no JSON value (annotate its type, or return plain JSON)"
        )


def _check_text(value: str, path: str, subject: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise PayloadError(subject, path, f"a lone surrogate at character {error.start} has no UTF-8") from error


def decode(text: str, kind: Any, *, subject: str) -> Any:
    """A fresh value of type `kind` from JSON text; without an annotation, plain JSON.

    Raises:
        PayloadError: what is stored does not fit `kind`.
    """
    plain = json.loads(text)
    if _is_untyped(kind):
        return plain
    try:
        return _shared_converter().structure(plain, kind)
    except BaseValidationError as error:
        path, problem = _first_problem(error, "$")
        raise PayloadError(subject, path, problem) from error
    except Exception as error:
        raise PayloadError(subject, "$", f"does not fit {_annotation_name(kind)}: {error}") from error


def _annotation_name(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _first_problem(error: BaseException, path: str) -> tuple[str, str]:
    while isinstance(error, BaseValidationError):
        inner: BaseException = error.exceptions[0]
        for note in getattr(inner, "__notes__", ()):
            name = getattr(note, "name", None)
            index = getattr(note, "index", None)
            path += f".{name}" if name is not None else f"[{index}]" if index is not None else ""
        error = inner
    problem = f"missing {error}" if isinstance(error, KeyError) else str(error)
    return path, problem


def same_json(one: str, other: str) -> bool:
    """Whether two JSON texts hold the same value, whatever the order of their keys."""
    return one == other or json.loads(one) == json.loads(other)
