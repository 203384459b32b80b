"""Every append is a point, named for its first event; a store that failed stores nothing, an ambiguous one all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import attrs
import pytest

from sagafsm import open_store
from sagafsm.errors import StoreError
from sagafsm.history.events import Event
from sagafsm.verify.schedule import FaultKind, FaultPoint, build_path, list_fault_kinds
from sagafsm.verify.simulate.calls import SimulatedCalls
from sagafsm.verify.simulate.crashing_store import CrashingStore, make_commit_label
from sagafsm.verify.simulate.process import Crashed, Process
from support.verifying import Bank, Bench, events_of, paying, points_of

BACK = ["CompensationStarted", "CompensationSucceeded"]
DOUBT_OF_ONE = ["StepInDoubt", "CauseRecorded", *BACK, "InstanceFailed"]
WENT_ON = ["StepSucceeded", "StepStarted", "StepSucceeded", "InstanceCompleted"]


@pytest.mark.parametrize(
    ("kind", "done", "lives", "events"),
    [
        ("crash", ["pay", "undo"], 2, DOUBT_OF_ONE),
        (
            "crash_after",
            ["pay", "undo", "undo"],
            2,
            ["StepSucceeded", "StepStarted", "StepInDoubt", "CauseRecorded", *BACK, *BACK, "InstanceFailed"],
        ),
        ("store_fail", ["pay", "undo"], 2, DOUBT_OF_ONE),
        ("store_ambiguous", ["pay", "pay"], 1, WENT_ON),
        ("cancel", ["pay", "undo"], 1, ["CancelRequested", "CauseRecorded", "StepSucceeded", *BACK, "InstanceFailed"]),
        ("duplicate", ["pay", "undo"], 3, DOUBT_OF_ONE),
    ],
)
def test_a_fault_at_an_append(kind: FaultKind, done: list[str], lives: int, events: list[str]) -> None:
    """Before it: the outcome is lost. After it: it is not. A second worker wins, and the first one stores nothing."""
    outcome = Bench(paying("one", "two"), Bank).run(f"one.commit/StepSucceeded#1={kind}")

    assert (done, lives) == (outcome.world.done, outcome.run.process_count)
    assert ["InstanceCreated", "StepStarted", *events] == events_of(outcome)


@pytest.mark.parametrize(
    ("kind", "lives", "state"),
    [
        ("crash", 2, "completed"),
        ("crash_after", 2, "failed"),
        ("store_fail", 2, "completed"),
        ("store_ambiguous", 1, "completed"),
        ("duplicate", 2, "completed"),
    ],
)
def test_a_fault_at_the_creation(kind: FaultKind, lives: int, state: str) -> None:
    """What was not created is created by the next; what was, is gone on with."""
    outcome = Bench(paying(), Bank).run(f"commit/InstanceCreated#1={kind}")

    assert (lives, state, "rested") == (outcome.run.process_count, outcome.state, outcome.ending)


def test_what_is_tried_at_an_append_is_what_is_tested_here() -> None:
    known = ["crash", "crash_after", "store_fail", "store_ambiguous", "cancel", "duplicate"]

    assert known == list(list_fault_kinds(FaultPoint("one.commit/StepSucceeded"), intercepted=False))


def test_appends_are_named_for_what_they_begin_with() -> None:
    """Of the way forward, of the way back, and of decisions; in the order of the history."""
    outcome = Bench(paying(in_doubt="ask"), Bank).run("pay.action/bank.pay#1=raise_after")

    assert [
        "commit/InstanceCreated#1",
        "pay.commit/StepInDoubt#1",
        "commit/DecisionMade#1",
    ] == [point for point in points_of(outcome) if "commit" in point]


def test_a_name_is_a_path() -> None:
    """The root has none; a nested instance has its own."""
    outcome = Bench(paying(), Bank).usual
    assert outcome.instance is not None
    created, started = outcome.instance.history[0], outcome.instance.history[1]

    assert ("", "pay", "trip", "trip/pay") == (
        *(build_path("run"), build_path("run", "pay")),
        *(build_path("run/trip"), build_path("run/trip", "pay")),
    )
    assert ("commit/InstanceCreated", "trip.commit/InstanceCreated") == (
        *(make_commit_label("run", [created, started]), make_commit_label("run/trip", [created])),
    )
    assert ("pay.commit/StepStarted", "trip/pay.commit/StepStarted") == (
        *(make_commit_label("run", [started]), make_commit_label("run/trip", [started])),
    )


@attrs.define
class FirstPoint:
    """A plan that injects one fault, at the first point."""

    kind: FaultKind | None = None

    def at(self, point: FaultPoint) -> FaultKind | None:
        kind, self.kind = self.kind, None
        return kind


def calls_with(kind: FaultKind | None = None, clients: list[FaultKind] | None = None) -> SimulatedCalls:
    """Calls with a fault at the first point; `clients` collects the faults that another client makes."""
    return SimulatedCalls(None, FirstPoint(kind), lambda value: value, [].append if clients is None else clients.append)


def labels_of(calls: SimulatedCalls) -> list[str]:
    return [visited.point.label for visited in calls.visited_points]


def created() -> Sequence[Event]:
    instance = Bench(paying(), Bank).usual.instance
    assert instance is not None
    return instance.history[:1]


@pytest.mark.parametrize(
    ("kind", "error", "stored", "told"),
    [
        (None, None, True, ""),
        ("crash", Crashed, False, ""),
        ("crash_after", Crashed, True, ""),
        ("store_fail", StoreError, False, "the store cannot be reached (injected)"),
        ("store_ambiguous", StoreError, True, "the store did not answer (injected)"),
        ("cancel", None, True, ""),
        ("duplicate", None, True, ""),
    ],
)
def test_whether_an_append_is_stored(
    kind: FaultKind | None, error: type[BaseException] | None, stored: bool, told: str
) -> None:
    """And what its caller sees; what was stored is noted, what was not is not."""
    clients: list[FaultKind] = []
    store, calls = open_store("memory://"), calls_with(kind, clients)
    connection = CrashingStore(store, Process(1), calls)
    if error is None:
        connection.create("run", created())
    else:
        with pytest.raises(error) as caught:
            connection.create("run", created())
        assert told == str(caught.value)

    written = [entry[1] for entry in calls.timeline if isinstance(entry, tuple)]
    assert (["commit/InstanceCreated"], [created()] * stored) == (labels_of(calls), written)
    assert stored == bool(store.find())
    assert [kind for kind in (kind,) if kind in ("cancel", "duplicate")] == clients


def test_a_store_that_failed_fails_for_as_long_as_the_process_lives() -> None:
    """Reading, too; the next process reaches it."""
    store = open_store("memory://")
    connection = CrashingStore(store, Process(1), calls_with("store_fail"))
    for ask in (lambda: connection.create("run", created()), lambda: connection.load("run"), connection.find):
        with pytest.raises(StoreError, match=r"the store cannot be reached \(injected\)"):
            ask()

    assert 1 == CrashingStore(store, Process(2), calls_with()).create("run", created())


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.create("run", created()),
        lambda c: c.append("run", created(), expected_version=1, token=1),
        lambda c: c.load("run"),
        lambda c: c.history("run"),
        lambda c: c.find(),
        lambda c: c.claim("run", owner="me", lease=timedelta(seconds=1)),
        lambda c: c.renew("run", token=1, lease=timedelta(seconds=1)),
        lambda c: c.release("run", token=1),
        lambda c: c.post("run", created()[0]),
        lambda c: c.mail("run"),
        lambda c: c.delete("run"),
        lambda c: c.import_(created()),
    ],
)
def test_who_is_dead_reaches_no_store(ask: Any) -> None:
    """By no method at all, and leaves nothing there."""
    store, calls = open_store("memory://"), calls_with()
    connection = CrashingStore(store, Process(1, is_dead=True), calls)

    with pytest.raises(Crashed):
        ask(connection)
    assert ([], []) == (list(store.find()), labels_of(calls))


def test_a_connection_that_is_closed_closes_no_store() -> None:
    store = open_store("memory://")
    connection = CrashingStore(store, Process(1), calls_with())
    connection.close()

    assert store.url == connection.url
    assert [] == list(store.find())
