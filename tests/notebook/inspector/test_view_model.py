"""Time travel: as of each event everything is seen as it was, what is nested included, just as a fork would have it.

What the present or its owner does not allow, is told with its reason.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import Orchestrator, Saga
from sagafsm.history.instance import fold
from sagafsm.notebook.inspector.view_model import View, rewind
from sagafsm.notebook.orchestrators import load_nested
from support.clock import FakeClock
from support.shown import instance_of, lived


@given(st.data())
def test_any_event_is_seen_as_it_was(data):
    live, nested = lived(data.draw)
    at = data.draw(st.integers(1, len(live.history)))
    sight = View(live=live, nested=nested, at=at)
    seen, within = sight.seen
    assert fold(None, live.history[:at]) == seen
    assert at == sight.position
    moment = live.history[at - 1].at
    for path, child in within.items():
        assert nested[path].history[: len(child.history)] == child.history
        assert all(event.at <= moment for event in child.history)


@given(st.data())
def test_the_present_is_seen_as_it_is(data):
    live, nested = lived(data.draw)
    assert (live, nested) == View(live=live, nested=nested).seen
    assert len(live.history) == View(live=live).position


@pytest.mark.parametrize("at", [-1, 0, 1_000])
def test_no_event_that_is_not_there_is_seen(at):
    with pytest.raises(IndexError):
        rewind(instance_of("running"), at, {})


def nested_saga(clock):
    inner = Saga("papers")
    for name in ("draw", "sign"):
        inner.add_step(name, lambda clock=clock: clock.advance(1), lambda: None)

    def breaks():
        raise ValueError("no stamp")

    outer = Saga("outer")
    outer.add_step("reserve", lambda: 1, lambda: None)
    outer.add_saga("papers", inner)
    outer.add_step("stamp", breaks)
    return outer


def test_what_is_nested_is_seen_as_a_fork_at_that_event_has_it():
    clock = FakeClock()
    with Orchestrator("memory://", sagas=[nested_saga(clock)], clock=clock) as orchestrator:
        live = orchestrator.run(nested_saga(clock), None, id="o-1")
        nested = load_nested(orchestrator, live)
        assert {"papers"} == set(nested)
        for at in range(1, len(live.history) + 1):
            fork = orchestrator.fork("o-1", at=at)
            known = fork.get("o-1")
            seen, within = rewind(live, at, nested)
            assert known == seen
            assert load_nested(fork, known) == within


@pytest.mark.parametrize(
    ("course", "told", "allowed"),
    [
        ("pending", {}, {"drive", "decision", "cancel", "request"}),
        ("running", {}, {"drive", "decision", "cancel", "request"}),
        ("running", {"driving": True}, {"cancel", "request"}),
        ("running", {"owner": "ada@desk"}, {"cancel", "request"}),
        ("running", {"at": 1}, set()),
        ("running", {"obstacle": "closed"}, set()),
        ("running", {"definition_obstacle": "not registered"}, {"decision", "cancel", "request"}),
        ("blocked", {}, {"decision", "request"}),
        ("blocked", {"owner": "ada@desk"}, {"request"}),
        ("completed", {}, {"decision"}),
        ("failed", {}, {"decision"}),
    ],
)
def test_what_can_be_done(course, told, allowed):
    sight = View(live=instance_of(course), **told)
    reasons = {
        "drive": sight.drive_obstacle,
        "decision": sight.decision_obstacle,
        "cancel": sight.cancel_obstacle,
        "request": sight.request_obstacle,
    }
    assert allowed == {name for name, reason in reasons.items() if reason is None}


def test_why_not_names_the_owner():
    assert "ada@desk" in View(live=instance_of("running"), owner="ada@desk").drive_obstacle
