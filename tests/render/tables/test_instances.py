"""The listing: a row for each instance in the order given, with how it stands in a word, and counts of each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm.history.events import BlockReason
from sagafsm.render.tables.instances import (
    STATUS_ORDER,
    describe_waits,
    get_tone,
    label_summary,
    render_instance_table,
)
from sagafsm.store import Owner, Summary
from sagafsm.testing.sample_histories import START
from support.pages import Page
from support.shown import evil, harmless

NOW = START + timedelta(minutes=5)
REASONS: tuple[BlockReason, ...] = ("in_doubt", "crash_loop", "exhausted", "payload", "compensation_failed")


def row(id: str = "o-1", state: str = "running:charge", **changes: Any) -> Summary:
    given: dict[str, Any] = {"saga": "order", "version": 1, "length": 4, "created_at": START, "updated_at": START}
    return Summary(id=id, state=state, **{**given, **changes})


def test_a_row_for_each_in_the_order_given() -> None:
    """Id, saga, state, what it waits for, owner, events, when it changed."""
    found = [
        row("b", blocked="in_doubt"),
        row("a", "completed", length=1200),
        row("c", "running:approval", waiting=True, mail=2),
        row("d", owner=Owner(name="Zoë", process="p")),
        row("e", wake_at=NOW + timedelta(hours=1)),
    ]
    expected = [
        ["instance", "saga", "state", "waits for", "driven by", "events", "changed"],
        [
            "b",
            "order v1",
            "blocked running:charge",
            "a decision: it is not known whether it took effect",
            "",
            "4",
            "5 min ago",
        ],
        ["a", "order v1", "completed", "", "", "1,200", "5 min ago"],
        [
            "c",
            "order v1",
            "waits for a signal running:approval",
            "a signal; 2 requests to be read",
            "",
            "4",
            "5 min ago",
        ],
        ["d", "order v1", "running running:charge", "", "Zoë", "4", "5 min ago"],
        ["e", "order v1", "sleeps running:charge", "its time, 2026-03-01 13:05:00 UTC", "", "4", "5 min ago"],
    ]
    assert expected == Page(render_instance_table(found, now=NOW)).rows
    assert "2026-03-01 12:00:00 UTC" == Page(render_instance_table(found[:1])).rows[1][-1]
    assert "… and more than these 5" in Page(render_instance_table(found, more=True)).words
    assert "no instance" == Page(render_instance_table([])).words


def test_times_that_have_come() -> None:
    """They are not told as if they were still to come."""
    assert "its time, which has come" == describe_waits(row(wake_at=NOW), NOW)
    assert "" == describe_waits(row(state="completed", wake_at=NOW), NOW)


def test_rows_that_can_be_picked() -> None:
    """An id is a button that carries it."""
    buttons = [
        attributes
        for tag, attributes in Page(render_instance_table([row()], interactive=True)).elements
        if tag == "button"
    ]
    assert ["o-1"] == [one["data-id"] for one in buttons]
    assert "button" not in Page(render_instance_table([row()])).tags


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_a_block_is_told(reason: BlockReason) -> None:
    """In words."""
    assert describe_waits(row(blocked=reason)).startswith("a decision: it")


@given(
    rows=st.lists(
        st.builds(
            row,
            state=st.sampled_from(["pending", "running:a", "compensating:a", "completed", "failed"]),
            blocked=st.none() | st.sampled_from(REASONS),
            waiting=st.booleans(),
            wake_at=st.none() | st.just(NOW),
        )
    )
)
def test_every_status_has_a_place_and_a_tone(rows: list[Summary]) -> None:
    """The word of each instance is in `STATUS_ORDER`, and has the tone that the instance shows."""
    assert all(label_summary(one).word in STATUS_ORDER for one in rows)
    assert all(get_tone(label_summary(one).word) == label_summary(one).tone for one in rows)


@given(text=evil())
def test_nothing_given_is_markup(text: str) -> None:
    """Ids, saga names, owners."""

    def shape(text: str) -> list[str]:
        one = row(text, saga=text, state=f"running:{text}", owner=Owner(name=text, process=text))
        return [tag for tag, _ in Page(render_instance_table([one], interactive=True)).elements]

    assert shape(harmless(text)) == shape(text)
