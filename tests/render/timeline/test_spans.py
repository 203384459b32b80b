"""Attempts: every start is one segment; those of a step follow each other; nothing ends before it began."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagafsm.history import events as e
from sagafsm.render.timeline.spans import Attempt, Span, Wait, read_spans
from sagafsm.testing.sample_histories import ERROR, make_history, make_step_started, make_step_succeeded, number_events
from sagafsm.value import replace
from support.shown import histories, instance_of, lived


def told(segments: tuple[Span, ...]) -> list[tuple[str, ...]]:
    return [
        (s.step, s.target, s.outcome if isinstance(s, Attempt) else f"waits: {s.kind}", "open" if s.is_open else "")
        for s in segments
    ]


def laws(events: tuple[e.Event, ...], segments: tuple[Span, ...]) -> None:
    """What holds of any history."""
    starts = [ev.number for ev in events if isinstance(ev, (e.StepStarted, e.CompensationStarted, e.ChildResumed))]
    assert sorted(starts) == sorted(s.began for s in segments if isinstance(s, Attempt))
    lanes: dict[str, list[Span]] = {}
    for segment in segments:
        assert segment.start <= segment.end
        assert segment.end <= max(event.at for event in events)
        assert segment.ended is None or segment.began <= segment.ended <= len(events)
        if not isinstance(segment, Wait) or segment.kind != "late":
            lanes.setdefault(segment.step, []).append(segment)
    for lane in lanes.values():
        assert all(one.end <= other.start for one, other in itertools.pairwise(lane))
        assert all(not segment.is_open for segment in lane[:-1])


@settings(deadline=None)
@given(events=histories(), data=st.data())
def test_any_history_and_any_beginning_of_one_can_be_read(events: tuple[e.Event, ...], data: st.DataObject) -> None:
    """One that makes no sense, by a clock that goes back, too: every start is one segment, and none overlap."""
    cut = events[: data.draw(st.integers(1, len(events)))]
    laws(cut, read_spans(cut))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_life_can_be_read_at_any_time(data: st.DataObject) -> None:
    """After any failures, deaths and decisions: at rest nothing is open, and what is open is what runs or waits."""
    root, nested = lived(data.draw)
    for instance in (root, *nested.values()):
        laws(instance.history, read_spans(instance.history))
        if instance.is_at_rest:
            assert [] == [s for s in read_spans(instance.history) if s.is_open]
        then = instance.at(data.draw(st.integers(1, len(instance.history))))
        running = {name for name, record in then.steps.items() if "running" in (record.status, record.undo)}
        segments = read_spans(then.history)
        laws(then.history, segments)
        calls = {s.step for s in segments if s.is_open and isinstance(s, Attempt)}
        waits = {s.step for s in segments if s.is_open and isinstance(s, Wait) and s.kind == "signal"}
        if not then.blocked and then.cause is None:
            assert running == calls | {name for name in waits if name in running}
    both = read_spans(root.history, nested=nested)
    assert Counter(s.step.rpartition("/")[0] for s in both) == Counter(
        {path: len(read_spans(one.history)) for path, one in (("", root), *nested.items()) if read_spans(one.history)}
    )


def test_attempts_and_the_waits_between_them() -> None:
    """A step that is retried and fails, then the way back: each attempt and each wait is a segment of its own."""
    instance = instance_of("failed", 3)
    expected = [
        ("reserve_stock", "action", "done", ""),
        ("charge_card", "action", "failed", ""),
        ("charge_card", "action", "waits: retry", ""),
        ("charge_card", "action", "failed", ""),
        ("charge_card", "action", "waits: retry", ""),
        ("charge_card", "action", "failed", ""),
        ("reserve_stock", "compensation", "done", ""),
    ]
    assert expected == told(read_spans(instance.history))


def test_what_is_not_over_is_open() -> None:
    """An attempt under way, a wait for a decision."""
    assert ("charge_card", "action", "running", "open") == told(read_spans(instance_of("running", 3).history))[-1]
    blocked = read_spans(instance_of("blocked", 3).history)[-1]
    assert ("reserve_stock", "compensation", "waits: decision", "open") == told((blocked,))[0]
    assert blocked.end == instance_of("blocked", 3).updated_at


def test_an_attempt_whose_process_died_ends_where_its_step_goes_on() -> None:
    """With effect it is in doubt then; without, the next start ends it."""
    died = e.StepInDoubt(step="reserve", attempt=1, reason="process_died")
    (only,) = read_spans(make_history("o-1", make_step_started(), died))
    assert isinstance(only, Attempt)
    assert ("in_doubt", "process_died", 2, 3) == (only.outcome, only.reason, only.began, only.ended)
    again = replace(make_step_started(), attempt=2)
    expected = [("reserve", "action", "died", ""), ("reserve", "action", "running", "open")]
    assert expected == told(read_spans(make_history("o-1", make_step_started(), again)))


@pytest.mark.parametrize(
    ("after", "settled"),
    [
        (e.StepSucceeded(step="reserve", attempt=1, result_json="1", evidence="probe"), "the probe says: done"),
        (e.StepFailed(step="reserve", attempt=1, error=ERROR, evidence="probe"), "the probe says: not done"),
        (e.StepInDoubt(step="reserve", attempt=1, reason="probe"), "the probe cannot tell"),
        (e.DecisionMade(step="reserve", decision="resolve(not_done)", by="Zoë"), "decided: resolve(not_done) by Zoë"),
    ],
)
def test_what_is_found_out_afterwards(after: e.Event, settled: str) -> None:
    """An attempt in doubt stays one, and tells what was found out about it."""
    doubt = e.StepInDoubt(step="reserve", attempt=1, reason="timeout")
    (only,) = read_spans(make_history("o-1", make_step_started(), doubt, after))
    assert isinstance(only, Attempt)
    assert ("in_doubt", settled) == (only.outcome, only.settled)


def test_late_answers_lie_over_what_came_since() -> None:
    """From the end of the attempt to the answer."""
    doubt = e.StepInDoubt(step="reserve", attempt=1, reason="timeout")
    events = make_history(
        "o-1",
        make_step_started(),
        doubt,
        replace(make_step_started(), attempt=2),
        e.LateResult(step="reserve", attempt=1),
    )
    late = [s for s in read_spans(events) if isinstance(s, Wait)]
    assert [("late", 5, 5)] == [(wait.kind, wait.began, wait.ended) for wait in late]


def test_nested_instances_have_paths_and_wait_with_their_parents() -> None:
    """A nested saga is parked while one of its own steps is blocked, and goes on with the same attempt."""
    block = e.RecordedBlock(step="pay", reason="in_doubt", decisions=("retry",))
    parent = make_history(
        "o-1",
        make_step_started(),
        e.ChildParked(step="reserve", blocks=(block,)),
        e.ChildResumed(step="reserve"),
        make_step_succeeded(),
    )
    expected = [
        ("reserve", "action", "parked", ""),
        ("reserve", "action", "waits: decision", ""),
        ("reserve", "action", "done", ""),
    ]
    assert expected == told(read_spans(parent))
    child = instance_of("running", 3)
    assert {"reserve/reserve_stock", "reserve/charge_card"} == {
        s.step for s in read_spans(parent, nested={"reserve": child}) if "/" in s.step
    }


def test_a_cause_ends_the_waits_for_an_action() -> None:
    """No action is called any more; a compensation's wait goes on."""
    wait = e.WaitStarted(step="charge", waiting=True)
    events = make_history(
        "o-1", wait, e.CauseRecorded(kind="cancel"), e.CompensationStarted(step="reserve", attempt=1, key="k")
    )
    assert [("charge", 2, 3), ("reserve", 4, None)] == [(s.step, s.began, s.ended) for s in read_spans(events)]


def test_a_migration_renames_lanes() -> None:
    """What happened under an old name is told under the new one."""
    outline = (e.StepOutline(name="book"),)
    migrated = e.InstanceMigrated(version=2, fingerprint="f", steps=outline, renamed=(("reserve", "book"),))
    events = make_history("o-1", make_step_started(), migrated, replace(make_step_succeeded(), step="book"))
    assert [("book", "action", "done", "")] == told(read_spans(events))
    # Two steps that become one: the one that was open is ended there.
    both = make_history(
        "o-1", make_step_started(), make_step_started("charge"), replace(migrated, renamed=(("charge", "reserve"),))
    )
    assert [("reserve", "action", "died", ""), ("reserve", "action", "running", "open")] in (
        told(read_spans(both)),
        told(read_spans(both))[::-1],
    )


def test_nothing_began_in_a_history_without_events_or_starts() -> None:
    """Totality at its ends."""
    assert () == read_spans(()) == read_spans(make_history("o-1"))
    assert 3 == len(number_events([make_step_started()] * 3, after=0))
