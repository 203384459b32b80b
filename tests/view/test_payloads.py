"""Payloads: indented where that is worth it, cut where they are long, their size always true."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sagafsm import events as e
from sagafsm.view.payloads import CUT, cut, indented, message, payload, short_payload, traceback
from support.pages import Page

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(value=values)
def test_indenting_changes_no_value(value: Any) -> None:
    """It is the same JSON."""
    assert value == json.loads(indented(json.dumps(value)))


def test_what_is_very_long_or_deep_or_no_json_is_left_as_it_is() -> None:
    """Reading it would take longer than all else, or cannot be done."""
    for text in ("[" * 30_000, json.dumps("x" * 30_000), "[" * 5_000 + "]" * 5_000, "no json"):
        assert text == indented(text)


@given(value=values, limit=st.integers(10, 200))
def test_the_size_is_that_of_what_is_stored(value: Any, limit: int) -> None:
    """In bytes; nothing is cut without it being said."""
    text = json.dumps(value, ensure_ascii=False)
    words = Page(payload("result", text, limit=limit)).words
    assert words.startswith(f"result, {len(text.encode(errors='surrogatepass')):,} bytes")
    assert (len(indented(text)) > limit) == (f"first {limit} shown" in words)


@given(text=st.text(), limit=st.integers(1, 50))
def test_cutting_leaves_an_ellipsis(text: str, limit: int) -> None:
    """Never longer than the limit, and whole where it fits."""
    shown = cut(text, limit)
    assert len(shown) <= limit
    assert shown == text if len(text) <= limit else shown == text[: limit - 1] + "…"


def test_short_values_stand_in_the_line() -> None:
    """Long ones are folded."""
    assert "details" not in Page(short_payload("result", '{"id":7}')).tags
    assert "details" in Page(short_payload("result", json.dumps("x" * 60))).tags


def test_errors_and_tracebacks() -> None:
    """Short ones are whole; without a traceback there is nothing to fold."""
    error = e.RecordedError(type="shop.Out", message="no mug", traceback="Traceback\n  here\n")
    assert "Out: no mug" == Page(message(error)).words
    assert "traceback Traceback here" == Page(traceback(error) or "").words
    assert traceback(None) is None is traceback(e.RecordedError(type="E", message=""))
    assert CUT == 2_000
