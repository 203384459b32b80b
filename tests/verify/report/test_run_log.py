"""The sequence: every event by its number, what went wrong between, what is left; repetitions in one line."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from sagafsm.verify.report.run_log import MAX_LINES_EACH_END, RunLogLine, render_run_log
from support.pages import Page


def event(number: int, what: str, step: str = "hotel", at: float = 0, instance: str = "") -> RunLogLine:
    return RunLogLine(what=what, number=number, step=step, after=timedelta(seconds=at), instance=instance)


def rows(*beats: RunLogLine) -> list[list[str]]:
    return Page(render_run_log(beats)).rows[1:]


def test_events_faults_and_what_is_left() -> None:
    """Events have numbers; a fault and what is left say in words that they are."""
    fault = RunLogLine(kind="fault", what="the process died", after=timedelta(seconds=0.25))
    left = RunLogLine(kind="left", what="bookings['b-1']: nothing, now 1")
    expected = [
        ["1", "0 s", "InstanceCreated"],
        ["2", "0.25 s", "StepStarted hotel"],
        ["", "0.25 s", "fault: the process died"],
        ["", "", "left at the end: bookings['b-1']: nothing, now 1"],
    ]
    assert expected == rows(event(1, "InstanceCreated", ""), event(2, "StepStarted", at=0.25), fault, left)


def test_instances_are_named_where_there_are_several() -> None:
    """With a nested saga every line says whose it is."""
    left = RunLogLine(kind="left", what="a room")
    nested = rows(event(1, "InstanceCreated"), event(1, "InstanceCreated", "", instance="papers"), left)
    expected = [
        ["1", "0 s", "(root)", "InstanceCreated hotel"],
        ["1", "0 s", "papers", "InstanceCreated"],
        ["", "", "", "left at the end: a room"],
    ]
    assert expected == nested


def test_what_repeats_itself_is_told_once() -> None:
    """Five equal retries are the first, and one line for the others; three of a kind are the least."""
    tries = [event(2 * n + k, what, at=n) for n in range(5) for k, what in enumerate(("Started", "Failed"))]
    shown = rows(*tries, event(10, "Blocked", at=4))
    assert ["0", "1", "…", "10"] == [row[0] for row in shown]
    assert ["…", "to 4 s", "the same 4 times more, until event 9"] == shown[2]
    assert 4 == len(rows(*tries[:4]))


@given(kinds=st.lists(st.sampled_from("ab"), max_size=60))
def test_folding_loses_no_event(kinds: list[str]) -> None:
    """The lines shown and those told to be repeated make up all events, in order."""
    beats = [event(number, kind) for number, kind in enumerate(kinds)]
    told = 0
    for number, _, what in rows(*beats):
        if number == "…":
            times = int(what.split()[2])
            last = int(what.rpartition(" ")[2])
            assert 0 == (last + 1 - told) % times
            told = last + 1
        else:
            assert str(told) == number
            told += 1
    assert len(kinds) == told


def test_the_middle_of_a_long_run_is_counted() -> None:
    """Of a run of hundreds of events both ends are shown."""
    shown = rows(*(event(number, f"E{number}") for number in range(500)))
    assert 2 * MAX_LINES_EACH_END + 1 == len(shown)
    assert ["", "", f"… {500 - 2 * MAX_LINES_EACH_END} lines more"] == shown[MAX_LINES_EACH_END]
    assert "499" == shown[-1][0]
