"""Whether a house is in order after whatever happened to it: the laws, checked on histories, ledger and file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reliability.workload import House, Workload, house, told
from sagafsm import SagaInstance, SagaNotFound
from sagafsm.engine.ownership import is_dead
from sagafsm.history import events as e
from support.bench import lines

Called = tuple[str, str, int, str]
Calls = dict[str, list[Called]]
Histories = dict[str, tuple[e.Event, ...]]


def judge(folder: Path, workload: Workload, acknowledged: Sequence[str], **options: Any) -> None:
    """Bring everything to rest by a recovery that nothing disturbs, and check every law.

    Raises:
        AssertionError: one is broken; the message says which.
    """
    with house(folder, **options) as home:
        before = {id: history_of(home, id) for id in workload.instances}
        check_acknowledged(before, acknowledged)
        calls = calls_by_id(home)
        for id, history in before.items():
            check_calls(calls.get(id, []), history)
        assert {} == home.orchestrator.recover().errors, "recovery reports errors"
        after = {id: home.settle(home.begin(id, input)) for id, input in workload.instances.items()}
        calls = calls_by_id(home)
        for id, instance in after.items():
            assert before[id] == instance.history[: len(before[id])], f"recovery of {id} changed what was there"
            check_instance(instance, calls.get(id, []), workload.instances[id])
        check_rest(home, workload)


def history_of(home: House, id: str) -> tuple[e.Event, ...]:
    """What is stored of an instance, before anything is done about it."""
    try:
        return home.store.load(id).instance.history
    except SagaNotFound:
        return ()


def check_acknowledged(histories: Histories, acknowledged: Sequence[str]) -> None:
    """Nothing is lost of what a listener was told or a call returned."""
    for words in acknowledged:
        id, number, _ = words.split(" ", 2)
        history = histories[id]
        position = int(number) - 1
        assert position < len(history), f"acknowledged and lost: {words}"
        event = history[position]
        assert words == f"{id} {event.number} {lines(history)[position]}", f"acknowledged and changed: {words}"


def calls_by_id(home: House) -> Calls:
    """The calls that the services saw, in order: what was called, its step, the attempt and the key."""
    calls: Calls = {}
    for words in home.ledger.lines():
        if len(words) == 5:
            verb, id, step, attempt, key = words
            calls.setdefault(id, []).append((verb, step, int(attempt), key))
    return calls


def check_calls(calls: Sequence[Called], history: Sequence[e.Event]) -> None:
    """Every call that the services saw had its start in the history, in that order, and came at most once."""
    starts = [
        ("undo" if isinstance(event, e.CompensationStarted) else "do", event.step, event.attempt)
        for event in history
        if isinstance(event, e.StepStarted | e.CompensationStarted)
    ]
    called = [("undo" if verb == "undo" else "do", step, attempt) for verb, step, attempt, _ in calls]
    assert len(set(called)) == len(called), f"called twice as the same attempt: {called}"
    assert [call for call in starts if call in set(called)] == called, f"called without, or out of, its start: {called}"


def check_instance(instance: SagaInstance, calls: Sequence[Called], input: str) -> None:
    """It has ended as it should, with a valid history, and the ledger agrees."""
    history = instance.history
    lines(history)
    check_calls(calls, history)
    check_doubts(instance)
    held: dict[str, str] = {}
    for verb, step, _, key in calls:
        if verb == "do":
            held[key] = step
        elif verb == "undo":
            held.pop(key, None)
    if instance.state == "completed":
        assert input in ("mug", "hello"), f"{instance} should have failed"
        expected = [step.name for step in instance.outline if step.kind != "wait"]
        assert expected == list(held.values()), f"{instance} has effects {held}"
    else:
        assert instance.compensated, f"{instance} is neither completed nor compensated"
        assert {} == held, f"{instance} has left {held}"


def check_doubts(instance: SagaInstance) -> None:
    """Each attempt has one outcome; an action is called again only out of doubt; none after the cause."""
    going_back, last = False, dict[str, e.Event]()
    for event in instance.history:
        if isinstance(event, e.StepStarted):
            assert not going_back, f"{event} of {instance} after its cause"
            if event.attempt > 1:
                assert isinstance(last[event.step], e.StepInDoubt | e.StepFailed), (
                    f"{event} of {instance} out of no doubt"
                )
                assert event.step != "c" or instance.saga == "letter", f"{event} is never to be called again"
        going_back = going_back or isinstance(event, e.CauseRecorded)
        step = getattr(event, "step", None)
        if step is not None:
            last[step] = event
    done = [event.step for event in instance.history if isinstance(event, e.StepSucceeded)]
    undone = [event.step for event in instance.history if isinstance(event, e.CompensationSucceeded)]
    assert len(set(done)) == len(done), f"{instance} has done a step twice: {done}"
    assert len(set(undone)) == len(undone), f"{instance} has undone a step twice: {undone}"
    assert sorted(undone, reverse=True) == undone, f"{instance} was undone in another order: {undone}"


def check_rest(home: House, workload: Workload) -> None:
    """Nobody who lives owns anything, another recovery finds nothing to do, and SQLite finds its file whole.

    An owner that has died may stand on what ended while it was about to claim it; nothing is left to be done there.
    """
    raw = home.store._connections.get_thread_connection().raw
    ids = [id for (id,) in raw.execute("SELECT id FROM sagafsm_instances ORDER BY id")]
    assert sorted(workload.instances) == ids, "an instance is lost, or one too many"
    for id in workload.instances:
        owner = home.store.load(id).summary.owner
        assert owner is None or is_dead(owner), f"{id} is still owned by {owner}"
    assert () == home.orchestrator.recover().resumed, "a second recovery finds something to do"
    found = raw.execute("PRAGMA integrity_check").fetchall()
    assert [("ok",)] == found, f"the file is not whole: {found}"


def tells(tell: Any) -> Any:
    """A listener that tells every event through the pipe."""
    return lambda instance, event: tell(told(instance, event))
