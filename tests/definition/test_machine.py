"""The machine: DESIGN's table, restated here independently and compared over every shape of saga."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm.definition.machine import Transition, build_table, build_units, list_states, list_transitions
from sagafsm.history.events import StepOutline


@st.composite
def shapes(draw: st.DrawFn) -> tuple[StepOutline, ...]:
    """Sagas of 1 to 12 steps: any of them with a compensation, at most one pivot, none compensated from there on."""
    count = draw(st.integers(1, 12))
    pivot = draw(st.none() | st.integers(0, count - 1))
    outline = []
    for position in range(count):
        effect = draw(st.booleans())
        may = effect and (pivot is None or position < pivot)
        outline.append(
            StepOutline(
                name=f"step_{position}",
                effect=effect,
                compensation=may and draw(st.booleans()),
                probe=effect and draw(st.booleans()),
                pivot=position == pivot,
            )
        )
    return tuple(outline)


def restated(steps: tuple[StepOutline, ...]) -> dict[tuple[str, str], str]:
    """DESIGN section 3, row by row, as plainly as it can be said."""
    names = [step.name for step in steps]
    undoable = [step.name for step in steps if step.compensation]
    pivot = next((names.index(step.name) for step in steps if step.pivot), None)

    def back_from(position: int) -> str:
        """The nearest earlier step that has a compensation, or failed."""
        earlier = [name for name in undoable if names.index(name) < position]
        return f"compensating:{earlier[-1]}" if earlier else "failed"

    table = {
        ("start", "pending"): f"running:{names[0]}",
        ("cancel", "pending"): "failed",
        ("abandon", "pending"): "failed",
    }
    for position, name in enumerate(names):
        here, is_last = f"running:{name}", position == len(names) - 1
        table["succeed", here] = "completed" if is_last else f"running:{names[position + 1]}"
        if pivot is None or position <= pivot:
            table["fail", here] = back_from(position)
        if pivot is None or position < pivot:
            table["go_back", here] = f"compensating:{name}" if name in undoable else back_from(position)
        table["abandon", here] = "failed"
    for name in undoable:
        table["undo", f"compensating:{name}"] = back_from(names.index(name))
        table["abandon", f"compensating:{name}"] = "failed"
    if pivot is None and undoable:
        table["go_back", "completed"] = back_from(len(names))
    return table


def plain(name: str, *, compensation: bool = False, pivot: bool = False) -> StepOutline:
    return StepOutline(name=name, compensation=compensation, pivot=pivot)


@given(steps=shapes())
def test_every_table_is_the_one_of_the_design(steps: tuple[StepOutline, ...]) -> None:
    """Whatever the saga, its table is exactly the design's: no row more, none less, none elsewhere."""
    assert restated(steps) == dict(build_table(build_units(steps)))


@given(steps=shapes())
def test_no_table_is_larger_than_it_must_be(steps: tuple[StepOutline, ...]) -> None:
    """A saga of n steps has at most 6n+4 rows, each trigger and state with one target."""
    rows = list_transitions(build_units(steps))

    assert len(rows) <= 6 * len(steps) + 4
    assert {1} == set(Counter((row.trigger, row.source) for row in rows).values())
    assert len(rows) == len(build_table(build_units(steps)))


@given(steps=shapes())
def test_every_state_is_reached_and_left(steps: tuple[StepOutline, ...]) -> None:
    """Every state can be reached from `pending`, and from every one there is a way to rest."""
    table, states = build_table(build_units(steps)), list_states(build_units(steps))
    reached = {"pending"}
    while more := {target for (_, source), target in table.items() if source in reached} - reached:
        reached |= more
    resting = {"completed", "failed"}
    while more := {source for (_, source), target in table.items() if target in resting} - resting:
        resting |= more

    assert set(states) == reached == resting
    assert not any(source == "failed" for _, source in table)


@given(steps=shapes())
def test_there_is_no_way_back_behind_a_pivot(steps: tuple[StepOutline, ...]) -> None:
    """Behind the pivot only `succeed` and `abandon` lead on; out of the pivot also `fail`, which leaves nothing of it."""
    table = build_table(build_units(steps))
    names = [step.name for step in steps]
    pivots = [names.index(step.name) for step in steps if step.pivot]

    for position in pivots:
        allowed = {t for t, source in table if source == f"running:{names[position]}"}
        assert {"succeed", "fail", "abandon"} == allowed
        for name in names[position + 1 :]:
            assert {"succeed", "abandon"} == {t for t, source in table if source == f"running:{name}"}
        assert ("go_back", "completed") not in table


@given(steps=shapes())
def test_backward_is_the_strict_reverse(steps: tuple[StepOutline, ...]) -> None:
    """From any compensation `undo` passes every earlier compensation, nearest first, and ends failed."""
    table = build_table(build_units(steps))
    backward = [f"compensating:{step.name}" for step in reversed(steps) if step.compensation]

    walked = backward[:1]
    while walked and walked[-1] != "failed":
        walked.append(table["undo", walked[-1]])

    assert [*backward, "failed"][: len(walked)] == walked


def test_states_stand_in_the_order_in_which_they_are_met() -> None:
    """Forward, completed, backward, failed: as an instance that goes all the way and back would meet them."""
    steps = (plain("reserve", compensation=True), plain("check"), plain("charge", compensation=True))

    assert list_states(build_units(steps)) == (
        "pending",
        "running:reserve",
        "running:check",
        "running:charge",
        "completed",
        "compensating:charge",
        "compensating:reserve",
        "failed",
    )


def test_the_rows_of_a_small_saga() -> None:
    """The whole table of two steps, the first undone by a compensation, the second the pivot."""
    expected = (
        Transition("start", "pending", "running:reserve"),
        Transition("cancel", "pending", "failed"),
        Transition("succeed", "running:reserve", "running:ship"),
        Transition("fail", "running:reserve", "failed"),
        Transition("undo", "compensating:reserve", "failed"),
        Transition("go_back", "running:reserve", "compensating:reserve"),
        Transition("succeed", "running:ship", "completed"),
        Transition("fail", "running:ship", "compensating:reserve"),
        Transition("abandon", "pending", "failed"),
        Transition("abandon", "running:reserve", "failed"),
        Transition("abandon", "running:ship", "failed"),
        Transition("abandon", "compensating:reserve", "failed"),
    )
    assert expected == list_transitions(build_units((plain("reserve", compensation=True), plain("ship", pivot=True))))


def test_a_table_cannot_be_changed() -> None:
    """The table is the single truth: nobody writes into it."""
    table = build_table(build_units((plain("reserve"),)))

    with pytest.raises(TypeError):
        table["fail", "pending"] = "failed"  # type: ignore[index]
