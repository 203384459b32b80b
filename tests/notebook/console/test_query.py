"""What somebody sees of many instances: what is blocked first, then what changed last, and nothing that does not match.

The counts are those of all that match the text, whatever states are chosen.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm.notebook.console.query import MAX_SHOWN, PAGE, ConsoleQuery, StoreSample, build_overview
from sagafsm.render.tables.instances import STATUS_ORDER, label_summary
from sagafsm.store import Summary
from support.clock import NOON

STATES = ("pending", "running:charge", "compensating:charge", "completed", "failed")


def row(id: str = "o-1", *, state: str = "running:charge", after: float = 0, saga: str = "order", **told) -> Summary:
    at = NOON + timedelta(seconds=after)
    return Summary(id=id, saga=saga, version=1, state=state, length=3, created_at=NOON, updated_at=at, **told)


def found(*rows: Summary, cut: frozenset[str] = frozenset()) -> StoreSample:
    return StoreSample(summaries={one.id: one for one in rows}, incomplete=cut)


def ids(*rows: Summary, **asked) -> list[str]:
    return [one.id for one in build_overview(found(*rows), ConsoleQuery(**asked)).rows]


@st.composite
def rows(draw) -> list[Summary]:
    many = draw(st.lists(st.text("abc/-", min_size=1, max_size=4), unique=True, max_size=12))
    return [
        row(
            id,
            state=(state := draw(st.sampled_from(STATES))),
            after=draw(st.integers(0, 9)),
            saga=draw(st.sampled_from(("order", "Refund"))),
            blocked=draw(st.sampled_from((None, "in_doubt"))) if ":" in state else None,
        )
        for id in many
    ]


@given(rows(), st.sets(st.sampled_from(STATUS_ORDER)), st.sampled_from(("", "a", "order", "REFUND b")), st.booleans())
def test_what_is_shown_matches_and_is_in_order(many, chosen, text, nested):
    seen = build_overview(found(*many), ConsoleQuery(text=text, states=frozenset(chosen), nested=nested))
    matching = [
        one
        for one in many
        if (nested or "/" not in one.id)
        and all(
            part in f"{one.id} {one.saga} {one.state} {label_summary(one).word}".casefold()
            for part in text.casefold().split()
        )
    ]
    expected = [one for one in matching if not chosen or label_summary(one).word in chosen]
    assert {one.id for one in expected} == {one.id for one in seen.rows}
    places = [(one.blocked is None, -one.updated_at.timestamp()) for one in seen.rows]
    assert sorted(places) == places
    numbers = Counter(label_summary(one).word for one in matching)
    assert {word: numbers[word] for word in STATUS_ORDER if numbers[word] or word in chosen} == dict(seen.counts)
    assert len(expected) == seen.matching


def test_blocked_comes_first_however_old_it_is():
    assert ["old", "newer", "new"] == ids(row("new", after=5), row("newer", after=9), row("old", blocked="in_doubt"))


def test_every_word_of_the_text_has_to_be_found():
    many = row("o-17", saga="order"), row("o-18", saga="refund"), row("x", state="failed", saga="order")
    assert ["o-17"] == ids(*many, text="  ORDER o- ")
    assert ["x"] == ids(*many, text="failed")
    assert [] == ids(*many, text="nothing")


def test_nested_ones_are_shown_when_asked_for():
    many = row("o-1"), row("o-1/papers")
    assert ["o-1"] == ids(*many)
    assert ["o-1", "o-1/papers"] == ids(*many, nested=True)


def test_never_more_than_so_many_rows_however_often_more_are_asked_for():
    many, question, lengths = found(*(row(f"o-{number:04}") for number in range(1200))), ConsoleQuery(), []
    for _ in range(7):
        seen = build_overview(many, question)
        lengths.append(len(seen.rows))
        assert seen.is_more == (len(seen.rows) < MAX_SHOWN)
        question = question.with_more()
    assert [PAGE, 200, 300, 400, 500, 500, 500] == lengths
    assert 1200 == build_overview(many, question).matching


@given(st.sampled_from(STATUS_ORDER), st.sets(st.sampled_from(STATUS_ORDER)))
def test_choosing_twice_is_choosing_not(state, chosen):
    question = ConsoleQuery(states=frozenset(chosen))
    assert question == question.with_toggled(state).with_toggled(state)


@pytest.mark.parametrize("word", STATUS_ORDER)
def test_chosen_state_is_counted_where_there_is_none(word):
    assert {word: 0} == dict(build_overview(found(), ConsoleQuery(states=frozenset({word}))).counts)
