"""The event table: every event in order with its reason, payloads folded and cut, rows that can be looked for."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagafsm.history import events as e
from sagafsm.render.tables.events import EventKind, classify_event, get_step_path, render_event_rows, render_event_table
from sagafsm.testing.sample_histories import START, list_event_types, make_every_event, make_history, number_events
from support.pages import Page
from support.shown import evil, harmless, histories, instance_of, marked


def rows(events: tuple[e.Event, ...], **options: int | bool) -> list[list[str]]:
    return Page(render_event_table(events, created_at=START, **options)).rows[1:]


def test_a_row_for_each_event() -> None:
    """Number, time since the creation, what happened, where it leads, why."""
    instance = instance_of("failed", 3)
    shown = Page(render_event_table(instance.history, created_at=instance.created_at)).rows
    assert ["event", "time", "what happened", "leads to", "because"] == shown[0]
    assert ["1", "0 s", "InstanceCreated", "pending", 'input {"order_id":4711,"amount":129.9,"text":"a mug"}'] == shown[
        1
    ]
    assert ["2", "0 s", "StepStarted reserve_stock", "running:reserve_stock", ""] == shown[2]
    failure = next(row for row in shown if row[2] == "StepFailed charge_card")
    assert failure[4].startswith("again in 0.06 s; RuntimeError: gateway timeout (503)traceback")
    assert "attempt 2" in shown[shown.index(failure) + 1][4]


@settings(deadline=None)
@given(events=histories())
def test_any_event_has_its_row(events: tuple[e.Event, ...]) -> None:
    """In order, and none is left out."""
    assert [str(event.number) for event in events] == [row[0] for row in rows(events)]


@given(limit=st.integers(4, 30))
def test_of_a_long_history_the_ends_are_shown(limit: int) -> None:
    """With the number of those between them; the last weigh more than the first."""
    events = make_every_event("o-1")
    shown = rows(events, limit=limit)
    if len(events) <= limit:
        assert len(events) == len(shown)
        return
    (gap,) = (row for row in shown if len(row) == 1)
    numbers = [int(row[0]) for row in shown if len(row) > 1]
    left_out = len(events) - limit
    assert [f"… {left_out} event{'' if left_out == 1 else 's'} more"] == gap
    assert numbers == [*range(1, limit // 4 + 1), *range(len(events) - limit + limit // 4 + 1, len(events) + 1)]


def test_rows_can_be_looked_for() -> None:
    """Each carries its number, its kind, and its step where it has one; its number is a button."""
    page = Page(render_event_rows(make_every_event("o-1"), created_at=START, interactive=True))
    carried = [attributes for tag, attributes in page.elements if tag == "tr"]
    assert [str(n) for n in range(1, len(carried) + 1)] == [one["data-number"] for one in carried]
    assert {"step": "reserve", "kind": "action"} == {k: carried[1][f"data-{k}"] for k in ("step", "kind")}
    assert "data-step" not in carried[0]
    assert "button" not in Page(render_event_rows(make_every_event("o-1"), created_at=START)).tags


KINDS: dict[EventKind, list[str]] = {
    "doubt": ["InstanceBlocked", "StepInDoubt"],
    "decision": ["DecisionCameTooLate", "DecisionMade"],
    "request": ["CancelCameTooLate", "CancelRequested", "SignalReceived"],
    "compensation": ["CompensationFailed", "CompensationStarted", "CompensationSucceeded", "LateResult", "StepPassedOver"],
    "instance": [
        "CauseRecorded", "InstanceCompleted", "InstanceCreated", "InstanceFailed", "InstanceMigrated", "InstanceStarted"
    ],
}  # fmt: skip


def test_every_event_is_of_a_kind() -> None:
    """What is not named here is about an action."""
    found: dict[str, set[str]] = {}
    for event in make_every_event("o-1"):
        found.setdefault(classify_event(event), set()).add(type(event).__name__)
    named = {name for names in KINDS.values() for name in names}
    assert KINDS == {kind: sorted(names) for kind, names in found.items() if kind != "action"}
    assert {kind.__name__ for kind in list_event_types()} - named == found["action"]
    assert {None, "reserve", "charge"} == {get_step_path(event) for event in make_every_event("o-1")}


@pytest.mark.parametrize("size", [100, 3_000, 200_000])
def test_payloads_are_cut_and_tell_their_size(size: int) -> None:
    """What is cut says how much there is; what is not is whole."""
    value = json.dumps({"text": "ü" * size}, ensure_ascii=False)
    events = make_history("o-1", e.StepSucceeded(step="reserve", attempt=1, result_json=value))
    words = Page(render_event_table(events, created_at=START)).words
    cut = len(json.dumps(json.loads(value), indent=2, ensure_ascii=False)) > 2_000
    assert f"result, {len(value.encode()):,} bytes{', first 2,000 shown' if cut else ''}" in words
    assert cut == ("…" in words)
    assert len(words) < 3_000


def test_an_event_of_every_kind_tells_what_it_carries() -> None:
    """Who, why, what is left, what may be decided."""
    words = Page(render_event_table(make_every_event("o-1"), created_at=START)).words
    for told in (
        "it timed out", "as the probe says", "by Zoë; …", "left: pay (it is not known whether it took effect)",
        "its compensation failed for good; decide: retry, skip", "resolve(result); by Zoë; asked",
        "pay: it is not known whether it took effect; decide: retry, abandon; waits for a signal", "version 2",
        'payload ["yes"]', 'result {"id":"€"}',
    ):  # fmt: skip
        assert told in words, told


@given(text=evil())
def test_nothing_given_is_markup(text: str) -> None:
    """Errors, payloads, reasons, names."""
    shapes = [
        Counter(
            tag for tag, _ in Page(render_event_rows(marked(one).history, created_at=START, interactive=True)).elements
        )
        for one in (text, harmless(text))
    ]
    assert shapes[0] == shapes[1]


def test_long_errors_are_cut() -> None:
    """A message of ten thousand characters, and a traceback, of which the end is kept."""
    error = e.RecordedError(type="E", message="m" * 9_000, traceback="t" * 3_000 + "the end")
    words = Page(
        render_event_table(number_events([e.StepFailed(step="a", attempt=1, error=error)], after=0), created_at=START)
    ).words
    assert "(9,003 characters, first 2,000 shown)" in words
    assert "last 2,000 of 3,007 characters" in words
    assert words.endswith("the end")
