"""Comparing two instances: by what happened, not by times and keys; the first difference is marked and told."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sagafsm.history import events as e
from sagafsm.history.comparison import compare_instances
from sagafsm.history.instance import fold
from sagafsm.render.tables.comparison import MAX_ROWS, render_comparison
from sagafsm.testing.sample_histories import ERROR, make_history, make_step_started, make_step_succeeded
from sagafsm.value import replace
from support.pages import Page
from support.shown import evil, harmless, instance_of, lived, marked


def test_where_two_first_differ() -> None:
    """The events are side by side, the first pair that differs is marked, and those long before it are counted."""
    one, other = instance_of("failed", 3), instance_of("blocked", 3)
    found = compare_instances(one, other)
    assert 11 == found.divergence
    expected = (
        "'order-4711' and 'order-4711' first differ at event 12: CompensationSucceeded reserve_stock, "
        "but CompensationFailed reserve_stock (RuntimeError: stock service: unknown reservation)"
    )
    assert expected == str(found)
    rows = Page(render_comparison(compare_instances(one, other))).rows
    assert ["5 events before, the same in both"] == rows[1]
    (marked_row,) = (row for row in rows if "first difference" in row)
    assert ["12", "CompensationSucceeded reserve_stock", "first difference"] == [
        marked_row[0],
        marked_row[1],
        marked_row[3],
    ]
    assert "nothing more" in rows[-1][1]
    assert found


def test_times_keys_ids_and_tracebacks_do_not_count() -> None:
    """Two runs of the same course went the same way."""
    failure = e.StepFailed(step="reserve", attempt=1, error=ERROR)
    one = fold(None, make_history("a", make_step_started(), failure))
    other = fold(
        None,
        make_history(
            "b", replace(make_step_started(), key="k2"), replace(failure, error=replace(ERROR, traceback="x"))
        ),
    )
    found = compare_instances(one, other)
    assert not found
    assert "'a' and 'b' went the same way, 3 events long" == str(found)


def test_what_failed_within_a_nested_saga_is_the_same_in_two_runs() -> None:
    """Its error tells the id of the nested instance, in which that of the root is."""
    failed = e.StepFailed(step="reserve", attempt=1, error=e.RecordedError(type="SagaFailed", message="'a/x' failed"))
    other = replace(failed, error=e.RecordedError(type="SagaFailed", message="'b/x' failed"))
    runs = (
        fold(None, make_history("a", make_step_started(), failed)),
        fold(None, make_history("b", make_step_started(), other)),
    )
    assert not compare_instances(*runs)


def test_what_differs_is_told_where_the_words_are_the_same() -> None:
    """By whom it was decided, say."""
    runs = (
        fold(
            None,
            make_history(
                "a", make_step_started(), e.DecisionMade(decision="abandon", by=by, reason="old", request_id="r")
            ),
        )
        for by in ("Ann", "Bob")
    )
    assert "'a' and 'a' first differ at event 3: DecisionMade (by Ann), but DecisionMade (by Bob)" == str(
        compare_instances(*runs)
    )


def test_results_errors_and_length_count() -> None:
    """Whatever happened otherwise is a difference."""
    base = make_history("a", make_step_started(), make_step_succeeded())
    for changed in (
        (*base[:2], replace(base[2], result_json='{"id":8}')),
        base[:2],
        (*base[:2], replace(base[2], state="completed")),
        (base[0], replace(base[1], step="charge"), base[2]),
    ):
        assert compare_instances(fold(None, base), fold(None, changed))
    assert "but nothing more" in str(compare_instances(fold(None, base), fold(None, base[:2])))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_instance_went_the_same_way_as_itself(data: st.DataObject) -> None:
    """And differs from its own past, from the first event that was not there."""
    root, _ = lived(data.draw)
    assert compare_instances(root, root).divergence is None
    at = data.draw(st.integers(1, len(root.history)))
    assert compare_instances(root, root.at(at)).divergence == (at if at < len(root.history) else None)


def test_long_histories_are_shown_around_the_difference() -> None:
    """So many rows at the most."""
    one = instance_of("failed", 50)
    assert MAX_ROWS + 3 >= len(Page(render_comparison(compare_instances(one, one.at(1)))).rows)


@given(text=evil())
def test_nothing_given_is_markup(text: str) -> None:
    """Whatever either instance holds."""
    shapes = [
        [tag for tag, _ in Page(render_comparison(compare_instances(marked(one), marked("plain")))).elements]
        for one in (text, harmless(text))
    ]
    assert shapes[0] == shapes[1]
