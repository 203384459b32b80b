"""The step table: every step in order with how it stands, or with its policies in words."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagafsm import Orchestrator, Retry, Saga
from sagafsm.render.labels import get_display_phase, label_action
from sagafsm.render.tables.steps import MAX_TITLE, describe_policy, describe_retries, list_traits, render_step_table
from support.clock import FakeClock
from support.pages import Page
from support.shown import evil, harmless, instance_of, lived, marked, order, parked_in_doubt


def act() -> None: ...


def undo(result: object) -> None: ...


def test_a_blocked_instance() -> None:
    """Action, compensation and result of each step; how often they were called where it was more than once."""
    instance = instance_of("blocked", 3)
    expected = [
        ["", "step", "kind", "action", "compensation", "result"],
        ["1", "reserve_stock", "", "done", "undo failed 2 attempts", '{"id":"r-1","amount":129.9,"of":4711}'],
        ["2", "charge_card", "", "failed 3 attempts", "not called", ""],
        ["3", "create_shipment Create the shipment", "", "not begun", "not called", ""],
    ]
    assert expected == Page(render_step_table(instance.outline, instance=instance)).rows
    assert [row[:5] for row in expected] == Page(render_step_table(instance.outline, instance=instance, cut=None)).rows


def test_a_nested_saga_that_is_parked_in_doubt_while_its_parent_goes_back() -> None:
    """Its row says that an effect may remain, with or without the rows of its own steps."""
    root, nested = parked_in_doubt()
    expected = [
        ["1", "reserve", "", "done", "to be undone", '"r-1"'],
        ["2", "pay", "nested saga of 1 step, in group fulfil", "parked", "effect may remain", ""],
        ["", "pay/charge", "", "in doubt", "to be undone", ""],
        ["3", "ship", "in group fulfil", "failed", "not called", ""],
    ]
    assert expected == Page(render_step_table(root.outline, instance=root, nested=nested)).rows[1:]
    assert [expected[n] for n in (0, 1, 3)] == Page(render_step_table(root.outline, instance=root)).rows[1:]


def test_a_definition() -> None:
    """What is special about each step, and its policies; the steps of a nested saga under it."""
    child = Saga("payment")
    child.add_step("charge", act, undo, probe=act, in_doubt=("retry", "compensate"), timeout=timedelta(seconds=2))
    saga = Saga("order")
    saga.add_step("reserve", act, undo, group="g", compensation_timeout=timedelta(minutes=3))
    saga.add_step("look", act, effect=False, group="g")
    saga.add_saga("pay", child)
    saga.wait_for("approval", timeout=timedelta(days=1))
    saga.wait_for("signature")
    saga.add_step("ship", act, pivot=True, in_doubt="retry")
    compensated = "compensation: up to 5 attempts, again after 0.2 s, then 2 times as long, 5 min at most"
    doubt = "in doubt: the probe is asked, then it is called again with the same key, and undone at the end"
    expected = [
        ["", "step", "kind", "policy"],
        [
            "1",
            "reserve",
            "in group g",
            f"called once; in doubt: a person is asked; {compensated}; compensation times out after 3 min",
        ],
        ["2", "look", "in group g, no effect", "called once"],
        ["3", "pay", "nested saga of 1 step", "runs saga payment"],
        [
            "",
            "pay/charge",
            "has a probe",
            f"called once; times out after 2 s; {doubt}; {compensated}",
        ],
        ["4", "approval", "wait for a signal", "waits 1 d at most"],
        ["5", "signature", "wait for a signal", "waits for ever"],
        ["6", "ship", "pivot", "called once; in doubt: it is called again with the same key"],
    ]
    assert expected == Page(render_step_table(saga.definition.outline, definition=saga.definition)).rows
    assert [[], ["in group g"]] == [
        list_traits(child.definition.outline[0])[1:],
        list_traits(saga.definition.outline[0]),
    ]
    assert ["runs saga payment"] == list(describe_policy(saga.definition.by_name["pay"]))


def test_the_steps_of_nested_instances_are_under_theirs() -> None:
    """Where they are known."""
    child = Saga("payment")
    child.add_step("charge", lambda: 7, undo)
    saga = Saga("order")
    saga.add_saga("pay", child)
    orchestrator = Orchestrator("memory://", sagas=[saga])
    root = orchestrator.run(saga, None, id="o-1")
    nested = {"pay": orchestrator.get("o-1/pay")}
    rows = Page(render_step_table(root.outline, instance=root, nested=nested)).rows
    assert ["", "pay/charge", "", "done", "not called", "7"] == rows[2]
    assert 2 == len(Page(render_step_table(root.outline, instance=root)).rows)


@pytest.mark.parametrize(
    ("retry", "told"),
    [
        (Retry(1), "called once"),
        (Retry(2), "up to 2 attempts, again after 0.2 s"),
        (Retry(3, factor=1), "up to 3 attempts, again after 0.2 s"),
        (Retry(3, backoff=timedelta(0)), "up to 3 attempts, again at once"),
    ],
)
def test_retries_in_words(retry: Retry, told: str) -> None:
    """Growth is told only where there is any."""
    assert told == describe_retries(retry)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_instance_has_a_row_for_each_step(data: st.DataObject) -> None:
    """In order of definition, with the word for how it stands."""
    root, nested = lived(data.draw)
    for instance in (root, *nested.values()):
        rows = Page(render_step_table(instance.outline, instance=instance)).rows[1:]
        assert [step.name for step in instance.outline] == [row[1] for row in rows]
        words = [
            label_action(step, instance.steps[step.name], get_display_phase(instance)).word for step in instance.outline
        ]
        assert [] == [row for row, word in zip(rows, words, strict=True) if not row[3].startswith(word)]


@given(text=evil())
def test_nothing_given_is_markup(text: str) -> None:
    """Names, titles, groups, results."""
    tables = [
        Page(render_step_table((i := marked(one)).outline, instance=i)).elements for one in (text, harmless(text))
    ]
    assert [tag for tag, _ in tables[0]] == [tag for tag, _ in tables[1]]


def test_long_titles_are_cut() -> None:
    """With an ellipsis."""
    saga = order(1, FakeClock())
    saga.add_step("long", act, title="t" * 500)
    assert "t" * (MAX_TITLE - 1) + "…" in Page(render_step_table(saga.definition.outline)).words
