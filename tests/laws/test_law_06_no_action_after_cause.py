"""Law 6: after `CauseRecorded` no action is called: no first attempt, no retry, no operator's retry.

The probe settles open doubts, then the step's own compensation where `in_doubt` is or includes `"compensate"`, else a
decision. The state stays `running:` until every doubt is settled.

The decisions of such a block are in `test_decisions.py`, a group whose process dies after the cause in
`test_crash_table_of_trees.py`, and a nested saga whose parent goes back in law 9.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from sagafsm.store import Store
from support.bench import lines
from support.controls import quick
from support.lived import check_singles, inject, lived, lives
from support.lives import Life
from support.orders import bench_of, cancelling, lose
from support.services import STEADY
from support.verdicts import check_no_action_after

CANCELLED = ["CancelRequested no", "CauseRecorded cancel no", "StepInDoubt b 1 outcome_unknown"]


def test_a_doubt_that_is_open_blocks_for_a_decision(way: str, store: Store) -> None:
    """The step has attempts left, but neither time nor an operator's retry calls the action again."""
    bench, service = bench_of(store, way, {"b": [cancelling(store, lose)]}, a={}, b={"retry": STEADY}, c={})
    instance = bench.run()
    assert "running:b" == instance.state
    assert [*CANCELLED, "InstanceBlocked b in_doubt"] == lines(store.history("o-1"))[4:]
    assert ("resolve(result)", "resolve(not_done)", "compensate", "skip", "abandon") == instance.blocked[0].decisions
    bench.clock.advance(1_000_000)
    assert () == bench.ask("recover").resumed
    assert bench.ask("compensate", "o-1").compensated
    assert ["a 1", "b 1", "undo b 1 of None in doubt", "undo a 1 of a!"] == service.calls


@pytest.mark.parametrize(
    ("policy", "said", "then"),
    [
        ("retry", "done", ["undo b 1 of b?", "undo a 1 of a!"]),
        ("retry", "not done", ["undo a 1 of a!"]),
        ("retry", "doubt", []),
        ("compensate", "doubt", ["undo b 1 of None in doubt", "undo a 1 of a!"]),
        (("retry", "compensate"), "not done", ["undo a 1 of a!"]),
        (("retry", "compensate"), "doubt", ["undo b 1 of None in doubt", "undo a 1 of a!"]),
    ],
)
def test_the_probe_settles_a_doubt_then_the_policy(
    policy: Any, said: str, then: list[str], way: str, memory: Store
) -> None:
    """`"retry"` does not call again. Without an answer of the probe, only `"compensate"` goes on by itself."""
    script = {"b": [cancelling(memory, lose)], "probe b": [said]}
    bench, service = bench_of(memory, way, script, a={}, b={"retry": STEADY, "in_doubt": policy, "probe": True}, c={})
    instance = bench.run()
    assert ["a 1", "b 1", "probe b 1 in doubt", *then] == service.calls
    assert ("failed" if then else "running:b") == instance.state
    assert 0.0 == bench.clock.seconds


def test_members_of_a_group_are_settled_without_their_actions(way: str, memory: Store) -> None:
    """A member in doubt that waits for a retry blocks, and another one is undone by its policy."""
    script = {"a": ["lost"], "b": ["fail"], "c": ["lost"]}
    steps: dict[str, dict[str, Any]] = {
        "a": {"in_doubt": "retry", "retry": STEADY},
        "b": {"after": "StepInDoubt a 1 outcome_unknown"},
        "c": {"after": "CauseRecorded failure b", "in_doubt": ("retry", "compensate"), "retry": STEADY},
    }
    for options in steps.values():
        options["group"] = "g"
    bench, service = bench_of(memory, way, script, **steps)
    instance = bench.run()
    assert [("a", "in_doubt")] == [block[:2] for block in instance.blocked]
    assert ["a 1", "b 1", "c 1"] == sorted(service.calls)
    assert 0.0 == bench.clock.seconds
    instance = bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert ["undo c 1 of None in doubt", "undo a 1 of seen"] == service.calls[3:]
    assert instance.compensated


# Any saga -------------------------------------------------------------------------------------------------------------


@quick(30)
@given(life=lives())
def test_any_saga_calls_no_action_after_its_cause(life: Life) -> None:
    """Neither in the instance with the cause, nor in the sagas nested there."""
    check_no_action_after(lived(life))


# Positive controls ----------------------------------------------------------------------------------------------------


def test_an_action_after_the_cause_is_noticed(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core retries a doubt although there is a cause."""
    inject(monkeypatch, "an_action_is_called_after_the_cause")
    with pytest.raises(AssertionError):
        test_the_probe_settles_a_doubt_then_the_policy("retry", "doubt", [], "sync", memory)


def test_a_nested_saga_that_goes_on_after_the_cause_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core does not tell a nested saga that its parent goes back."""
    inject(monkeypatch, "cause_not_posted_to_nested")
    with pytest.raises(AssertionError, match="after a cause"):
        check_singles(check_no_action_after)
