"""The diagram: Mermaid text, drawn from the table."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm.render.diagram.mermaid import render_mermaid
from sagafsm.saga import Saga


def act() -> None: ...


def undo(result: Any) -> None: ...


def saga_of(titles: list[str | None], undone: list[bool], pivot: int | None, grouped: tuple[int, int] = (0, 0)) -> Saga:
    saga = Saga("drawn")
    for position, title in enumerate(titles):
        before = pivot is None or position < pivot
        compensation = undo if undone[position] and before else None
        group = "g" if grouped[0] <= position < grouped[1] and position != pivot and before else None
        saga.add_step(f"s{position}", act, compensation, title=title, pivot=position == pivot, group=group)
    return saga


@st.composite
def drawn_sagas(draw: st.DrawFn) -> Saga:
    titles = draw(st.lists(st.none() | st.text(max_size=20), min_size=1, max_size=6))
    undone = draw(st.lists(st.booleans(), min_size=len(titles), max_size=len(titles)))
    pivot = draw(st.none() | st.integers(0, len(titles) - 1))
    return saga_of(titles, undone, pivot, draw(st.tuples(st.integers(0, 5), st.integers(0, 5))))


STATE = re.compile(r'    state "([^"\n]*)" as (\w+)')
ARROW = re.compile(r"    (\w+) --> (\w+): (\w+)")


@given(saga=drawn_sagas())
def test_every_row_is_drawn_and_nothing_else(saga: Saga) -> None:
    """An arrow for every row of the table but `abandon`, which leaves every state; no arrow that the table lacks."""
    lines = render_mermaid(saga.definition).split("\n")
    names = [match.group(2) for line in lines if (match := STATE.fullmatch(line))]
    arrows = [match.groups() for line in lines if (match := ARROW.fullmatch(line))]
    state_of = dict(zip(names, saga.states, strict=True))

    drawn = {(trigger, state_of[source]): state_of[target] for source, target, trigger in arrows}

    assert {row: target for row, target in saga.table.items() if row[0] != "abandon"} == drawn
    ends = ["    [*] --> s_pending", "    s_completed --> [*]", "    s_failed --> [*]"]
    assert len(lines) == 1 + len(names) + len(arrows) + len(ends)
    assert set(ends) < set(lines)


def test_groups_and_nested_sagas_are_one_box_each() -> None:
    """A group tells its members, a nested saga whose it is, a wait that it is one; each is one state on the way."""
    payment = Saga("card payment")
    payment.add_step("charge", act, undo)
    saga = Saga("order")
    saga.add_step("reserve", act, undo, group="stock")
    saga.add_step("pack", act, undo, group="stock", title="Pack; wrap")
    saga.add_saga("pay", payment, title="Payment")
    saga.wait_for("approval")

    assert (
        saga.diagram()
        == """\
stateDiagram-v2
    state "pending" as s_pending
    state "running stock (reserve, Pack#59; wrap)" as s_running_stock
    state "running Payment (saga card payment)" as s_running_pay
    state "running approval (signal)" as s_running_approval
    state "completed" as s_completed
    state "compensating Payment (saga card payment)" as s_compensating_pay
    state "compensating stock (reserve, Pack#59; wrap)" as s_compensating_stock
    state "failed" as s_failed
    [*] --> s_pending
    s_pending --> s_running_stock: start
    s_running_stock --> s_running_pay: succeed
    s_running_pay --> s_running_approval: succeed
    s_running_approval --> s_completed: succeed
    s_running_stock --> s_failed: fail
    s_running_pay --> s_compensating_stock: fail
    s_running_approval --> s_compensating_pay: fail
    s_running_stock --> s_compensating_stock: go_back
    s_running_pay --> s_compensating_pay: go_back
    s_running_approval --> s_compensating_pay: go_back
    s_completed --> s_compensating_pay: go_back
    s_compensating_stock --> s_failed: undo
    s_compensating_pay --> s_compensating_stock: undo
    s_pending --> s_failed: cancel
    s_completed --> [*]
    s_failed --> [*]"""
    )


TEXTS = {
    'say "hi"': "say #34;hi#34;",
    "a; b --> c": "a#59; b --#62; c",
    "two\nlines": "two#10;lines",
    "#35;": "#35;35#59;",
    "<b>[*]": "#60;b#62;#91;#42;#93;",
    "Größe 2": "Größe 2",
    "run: {x}": "run#58; #123;x#125;",
    "%% no comment": "#37;#37; no comment",
}


@pytest.mark.parametrize("title", TEXTS)
def test_odd_titles_are_escaped(title: str) -> None:
    """Whatever a title holds, it is text in the picture and never syntax."""
    lines = render_mermaid(saga_of([title], [False], None).definition).split("\n")

    assert f'    state "running {TEXTS[title]}" as s_running_s0' in lines


@pytest.mark.parametrize("name", ["end", "state", "note", "class_", "direction"])
def test_words_of_mermaid_are_step_names_like_any_other(name: str) -> None:
    """A step may have a name that Mermaid reserves."""
    saga = Saga("drawn")
    saga.add_step(name, act)

    assert f'    state "running {name}" as s_running_{name}' in saga.diagram().split("\n")


def test_a_whole_diagram() -> None:
    """The diagram of an order, as it is."""
    saga = Saga("order")
    saga.add_step("reserve", act, undo, title="Reserve stock")
    saga.add_step("charge", act, undo)
    saga.add_step("ship", act, pivot=True)

    assert (
        saga.diagram()
        == """\
stateDiagram-v2
    state "pending" as s_pending
    state "running Reserve stock" as s_running_reserve
    state "running charge" as s_running_charge
    state "running ship" as s_running_ship
    state "completed" as s_completed
    state "compensating charge" as s_compensating_charge
    state "compensating Reserve stock" as s_compensating_reserve
    state "failed" as s_failed
    [*] --> s_pending
    s_pending --> s_running_reserve: start
    s_running_reserve --> s_running_charge: succeed
    s_running_charge --> s_running_ship: succeed
    s_running_ship --> s_completed: succeed
    s_running_reserve --> s_failed: fail
    s_running_charge --> s_compensating_reserve: fail
    s_running_ship --> s_compensating_charge: fail
    s_running_reserve --> s_compensating_reserve: go_back
    s_running_charge --> s_compensating_charge: go_back
    s_compensating_reserve --> s_failed: undo
    s_compensating_charge --> s_compensating_reserve: undo
    s_pending --> s_failed: cancel
    s_completed --> [*]
    s_failed --> [*]"""
    )
