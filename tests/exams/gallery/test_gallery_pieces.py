"""Each piece is what it says: every mistake shows under a schedule written by hand, and the correct ones hold.

No verifier is asked. The schedules are played by `gallery.trial`; a correct piece is swept with every fault at every
point, alone and, at the calls that follow, in pairs.
"""

from __future__ import annotations

import functools
import itertools
import logging
import threading
import time

import pytest

from exams.gallery.catalogue import CORRECT, MISTAKES
from exams.gallery.demonstrations import SHOWN
from exams.gallery.entry import Entry, names
from exams.gallery.trial import ON_A_LOOP, Trial, seconds, singles, usual
from sagafsm.errors import PayloadError, ResourceMissing

KINDS = {
    *("left_behind", "differs", "stuck", "swallowed_interrupt", "lost_cancel", "changed_result", "after_end"),
    *("misleading_residue", "late", "do_twice", "undo_twice", "undo_without_do", "late_do", "not_intercepted"),
    *("constant_snapshot", "not_deterministic", "never_completes", "refused_input", "missing_resource"),
    *("never_reached", "hangs"),
}
BY_NAME = {entry.name: entry for entry in (*MISTAKES, *CORRECT)}
# What cannot be run to its end here, or only with a thread that goes on behind the test.
REFUSED = {"refused_input": PayloadError, "missing_resource": ResourceMissing}
APART = {*REFUSED, "hangs", "thread_left_running", "task_left_running", "waits_for_nobody"}
RUNNABLE = [entry for entry in (*MISTAKES, *CORRECT) if entry.name not in APART]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Keeping what is logged takes longer than the trials do."""
    caplog.set_level(logging.CRITICAL, logger="sagafsm")


def of(entries: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", entries, ids=lambda entry: entry.name)


def run(name: str, schedule: dict[str, str] | None = None, input: int = 0) -> Trial:
    """A trial of a piece, beside its usual run."""
    entry = BY_NAME[name]
    calm = None if schedule is None else usual(entry, entry.inputs[input])
    return Trial(entry, entry.inputs[input], schedule or {}, usual=calm).run()


def test_names_are_unique_and_there_are_enough() -> None:
    assert len(BY_NAME) == len(MISTAKES) + len(CORRECT)
    assert len(MISTAKES) >= 44
    assert len(CORRECT) >= 24
    assert set(SHOWN) <= set(names(MISTAKES))


@of((*MISTAKES, *CORRECT))
def test_every_definition_builds_and_is_described(entry: Entry) -> None:
    steps = {step.name for step in entry.saga.definition.steps}
    assert entry.kinds <= KINDS
    assert bool(entry.kinds) == (entry.mistake is not None)
    assert entry.is_correct == (not entry.kinds)
    assert all(step in steps or "papers" in steps or "parcel" in steps for step in entry.steps)


@of(RUNNABLE)
def test_it_runs_and_some_input_completes(entry: Entry) -> None:
    states = [usual(entry, input).instance.state for input in entry.inputs]
    assert ("never_completes" in entry.kinds) == ("completed" not in states)


@of([entry for entry in RUNNABLE if "not_deterministic" not in entry.kinds])
def test_two_runs_change_the_world_alike(entry: Entry) -> None:
    for input in entry.inputs:
        once, again = usual(entry, input), usual(entry, input)
        assert once.before == again.before
        assert once.after == again.after
        blind = bool(entry.kinds & {"constant_snapshot", "not_intercepted", "never_completes"})
        if once.instance.state == "completed" and not blind:
            assert once.before != once.after


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_the_mistake_shows(name: str) -> None:
    schedule, kind, input = SHOWN[name]
    if kind == "not_deterministic":
        assert usual(BY_NAME[name], BY_NAME[name].inputs[0]).after != run(name).after
    else:
        trial = run(name, schedule, input)
        assert kind in trial.found
        assert set(schedule) == trial.fired
    assert kind in BY_NAME[name].kinds


# Those that no difference of two snapshots shows ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["swallows_an_interrupt", "tries_again_on_anything", "returns_in_finally"])
def test_an_interrupt_does_not_come_out(name: str) -> None:
    """The instance goes on in the life in which it was interrupted."""
    assert run(name, {"tickets.put#1": "interrupt"}).lives == 1
    assert run("lets_an_interrupt_through", {"tickets.put#1": "interrupt"}).lives > 1


def test_the_threads_work_on() -> None:
    """What prints the ticket is still at it when the instance is at rest."""
    trial = run("thread_left_running")
    assert trial.instance.state == "completed"
    for _ in range(200):
        if trial.world.snapshot() != trial.after:
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing came after the end; threads: {threading.enumerate()}")


def test_globals_are_not_the_worlds() -> None:
    trial = run("module_globals")
    assert not [point for point in trial.order if not point.startswith(("store.", "event#"))]


@pytest.mark.parametrize("name", ["constant_snapshot", "snapshot_of_another_service", "snapshot_is_alive"])
def test_the_snapshot_shows_nothing(name: str) -> None:
    trial = run(name)
    assert trial.instance.state == "completed"
    assert trial.before == trial.after


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_it_is_refused_at_the_start(name: str) -> None:
    entry = BY_NAME[name]
    with pytest.raises(REFUSED[name]):
        entry.saga.run(entry.inputs[0], resources=entry.world().resources())


def test_a_step_is_never_reached() -> None:
    entry = BY_NAME["never_reached"]
    assert {None} == {usual(entry, input).instance.results.get("pallet") for input in entry.inputs}


# The correct ones -----------------------------------------------------------------------------------------------------


def wrong(trial: Trial) -> bool:
    """Whether anything is found. A person cannot keep what is late from landing: with "ask", `late` only warns."""
    return bool(trial.found - ({"late"} if trial.entry.name == "asks_a_person" else set()))


def seeds(entry: Entry) -> range:
    """Where calls run beside each other, in several orders."""
    return range(3 if "group" in entry.name else 1)


def swept(entry: Entry, *, pairs: bool) -> list[Trial]:
    """Every trial in which something is found that must not be."""
    found: list[Trial] = []
    for input, seed in itertools.product(entry.inputs, seeds(entry)):
        calm = usual(entry, input, seed)
        play = functools.partial(Trial, entry, input, usual=calm, seed=seed)
        for schedule in singles(calm):
            (fault,) = schedule.values()
            # Ctrl-C on the loop's own thread ends that thread, whoever's loop it is.
            if entry.name in ON_A_LOOP and fault.startswith("interrupt"):
                continue
            trial = play(schedule=schedule).run()
            assert trial.fired == set(schedule)
            found.append(trial)
            if trial.asked:
                found += [play(schedule=schedule, decide=decide).run() for decide in ("compensate", "retry")]
            if pairs and fault not in ("duplicate", "down", "late"):
                found += [play(schedule=both).run() for both in seconds(trial)]
    return [trial for trial in found if wrong(trial)]


@of(CORRECT)
@pytest.mark.long
def test_a_correct_piece_bears_every_fault(entry: Entry) -> None:
    """Completed: the world of the run without faults. Failed: the world as before. Blocked: for doubt or outage alone.

    Where a doubt is asked, it is decided by the truth, and in runs of their own by `compensate` and by `retry`.
    """
    assert [] == [(trial.schedule, trial.found) for trial in swept(entry, pairs=False)]


@of(CORRECT)
@pytest.mark.long
def test_a_correct_piece_bears_every_pair_of_faults(entry: Entry) -> None:
    """The same with each second fault at each call that follows, so also of compensations and probes."""
    assert [] == [(trial.schedule, trial.found) for trial in swept(entry, pairs=True)]
