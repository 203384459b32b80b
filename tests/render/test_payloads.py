"""Payloads: indented where that is worth it, cut where they are long, their size always true."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sagafsm.display import truncate
from sagafsm.history import events as e
from sagafsm.render.payloads import (
    MAX_SHOWN_CHARS,
    indent_json,
    render_error,
    render_payload,
    render_short_payload,
    render_traceback,
)
from support.pages import Page

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(value=values)
def test_indenting_changes_no_value(value: Any) -> None:
    """It is the same JSON."""
    assert value == json.loads(indent_json(json.dumps(value)))


def test_what_is_very_long_or_deep_or_no_json_is_left_as_it_is() -> None:
    """Reading it would take longer than all else, or cannot be done."""
    for text in ("[" * 30_000, json.dumps("x" * 30_000), "[" * 5_000 + "]" * 5_000, "no json"):
        assert text == indent_json(text)


@given(value=values, limit=st.integers(10, 200))
def test_the_size_is_that_of_what_is_stored(value: Any, limit: int) -> None:
    """In bytes; nothing is cut without it being said."""
    text = json.dumps(value, ensure_ascii=False)
    words = Page(render_payload("result", text, limit=limit)).words
    assert words.startswith(f"result, {len(text.encode(errors='surrogatepass')):,} bytes")
    assert (len(indent_json(text)) > limit) == (f"first {limit} shown" in words)


@given(text=st.text(), limit=st.integers(1, 50))
def test_cutting_leaves_an_ellipsis(text: str, limit: int) -> None:
    """Never longer than the limit, and whole where it fits."""
    shown = truncate(text, limit)
    assert len(shown) <= limit
    assert shown == text if len(text) <= limit else shown == text[: limit - 1] + "…"


def test_short_values_stand_in_the_line() -> None:
    """Long ones are folded."""
    assert "details" not in Page(render_short_payload("result", '{"id":7}')).tags
    assert "details" in Page(render_short_payload("result", json.dumps("x" * 60))).tags


def test_errors_and_tracebacks() -> None:
    """Short ones are whole; without a traceback there is nothing to fold."""
    error = e.RecordedError(type="shop.Out", message="no mug", traceback="Traceback\n  here\n")
    assert "Out: no mug" == Page(render_error(error)).words
    assert "traceback Traceback here" == Page(render_traceback(error) or "").words
    assert render_traceback(None) is None is render_traceback(e.RecordedError(type="E", message=""))
    assert MAX_SHOWN_CHARS == 2_000
