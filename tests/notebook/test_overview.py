"""What somebody sees of many instances: what is blocked first, then what changed last, and nothing that does not match.

The counts are those of all that match the text, whatever states are chosen.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm.notebook.store_console.overview import MOST_SHOWN, PAGE, Found, Question, overview
from sagafsm.store import Summary
from sagafsm.view.listing import ORDER, summary_standing
from support.clock import NOON

STATES = ("pending", "running:charge", "compensating:charge", "completed", "failed")


def row(id: str = "o-1", *, state: str = "running:charge", after: float = 0, saga: str = "order", **told) -> Summary:
    at = NOON + timedelta(seconds=after)
    return Summary(id=id, saga=saga, version=1, state=state, length=3, created_at=NOON, updated_at=at, **told)


def found(*rows: Summary, cut: frozenset[str] = frozenset()) -> Found:
    return Found(summaries={one.id: one for one in rows}, cut=cut)


def ids(*rows: Summary, **asked) -> list[str]:
    return [one.id for one in overview(found(*rows), Question(**asked)).rows]


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


@given(rows(), st.sets(st.sampled_from(ORDER)), st.sampled_from(("", "a", "order", "REFUND b")), st.booleans())
def test_what_is_shown_matches_and_is_in_order(many, chosen, text, nested):
    seen = overview(found(*many), Question(text=text, chosen=frozenset(chosen), nested=nested))
    matching = [
        one
        for one in many
        if (nested or "/" not in one.id)
        and all(
            part in f"{one.id} {one.saga} {one.state} {summary_standing(one).word}".casefold()
            for part in text.casefold().split()
        )
    ]
    expected = [one for one in matching if not chosen or summary_standing(one).word in chosen]
    assert {one.id for one in expected} == {one.id for one in seen.rows}
    places = [(one.blocked is None, -one.updated_at.timestamp()) for one in seen.rows]
    assert sorted(places) == places
    numbers = Counter(summary_standing(one).word for one in matching)
    assert {word: numbers[word] for word in ORDER if numbers[word] or word in chosen} == dict(seen.counts)
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
    many, question, lengths = found(*(row(f"o-{number:04}") for number in range(1200))), Question(), []
    for _ in range(7):
        seen = overview(many, question)
        lengths.append(len(seen.rows))
        assert seen.is_more == (len(seen.rows) < MOST_SHOWN)
        question = question.with_more()
    assert [PAGE, 200, 300, 400, 500, 500, 500] == lengths
    assert 1200 == overview(many, question).matching


@given(st.sampled_from(ORDER), st.sets(st.sampled_from(ORDER)))
def test_choosing_twice_is_choosing_not(state, chosen):
    question = Question(chosen=frozenset(chosen))
    assert question == question.toggled(state).toggled(state)


@pytest.mark.parametrize("word", ORDER)
def test_chosen_state_is_counted_where_there_is_none(word):
    assert {word: 0} == dict(overview(found(), Question(chosen=frozenset({word}))).counts)
