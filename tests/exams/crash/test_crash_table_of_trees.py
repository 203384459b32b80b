"""DESIGN's crash table: the rows of groups, nested sagas, conditions, waits and migrations."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sagafsm import Orchestrator, Saga, SagaNotFound
from sagafsm.history import events as e
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.mortality import die
from support.orders import bench_of
from support.services import Service, add, saga_of
from support.stage import PATIENCE
from support.trees import bench_of as tree_of
from support.trees import of_pay

STARTED = ["InstanceCreated", "StepStarted a 1", "StepStarted b 1", "StepStarted c 1"]
DEAD = [f"StepInDoubt {name} 1 process_died" for name in "abc"]


def group(
    store: Any, way: str, script: dict[str, list[Any]], limit: int | None = None, **steps: dict[str, Any]
) -> tuple[Bench, Service]:
    """Return a bench for an order in which these steps are the members of group g."""
    members = {name: {"group": "g", **options} for name, options in steps.items()}
    return bench_of(store, way, script, limit=limit, **members)


# Groups ---------------------------------------------------------------------------------------------------------------


def test_group_a_b_c_started(way: str, store: Store) -> None:
    """Three doubts, in order of start; nothing new starts before they are settled; then the rest of the group."""
    bench, service = group(store, way, {}, a={}, b={}, c={}, d={}, limit=3)
    die(bench, service, "after 1", "run", bench.saga, "mug", id="o-1")
    assert STARTED == lines(store.history("o-1"))
    assert {} == bench.ask("recover").errors
    blocks = [f"InstanceBlocked {name} in_doubt" for name in "abc"]
    assert [*STARTED, *DEAD, *blocks] == lines(store.history("o-1"))
    for name in "abc":
        assert [] == service.calls
        bench.ask("resolve", "o-1", step=name, result="seen", reason="looked")
    assert ["d 1"] == service.calls
    assert "completed" == bench.get().state


def test_group_a_b_c_started_and_probed(way: str, store: Store) -> None:
    """Each is settled by its probe: done, not done and called again, in doubt and by policy; one after the other."""
    bench, service = group(
        store,
        way,
        {"probe a": ["done"], "probe b": ["not done"], "probe c": ["doubt"]},
        a={"probe": True},
        b={"probe": True},
        c={"probe": True, "in_doubt": "compensate"},
    )
    die(bench, service, "after 1", "run", bench.saga, "mug", id="o-1")
    assert {} == bench.ask("recover").errors
    assert ["probe a 1 in doubt", "probe b 1 in doubt", "probe c 1 in doubt"] == [
        call for call in service.calls if call.startswith("probe")
    ]
    history = lines(store.history("o-1"))
    assert DEAD == history[4:7]
    assert ["StepSucceeded a 1 by probe", "StepFailed b 1 by probe again"] == history[7:9]
    assert "CauseRecorded doubt c" in history
    instance = bench.get()
    assert instance.compensated
    assert ["undo c 1 of None in doubt", "undo a 1 of a?"] == [
        call for call in service.calls if call.startswith(("undo a", "undo c"))
    ]


@pytest.mark.parametrize("policy", ["ask", "retry", "compensate", ("retry", "compensate")])
def test_group_a_done_b_failed_c_started(policy: Any, way: str, store: Store) -> None:
    """Cause b; c is settled without its action; then undo in reverse order of start."""
    bench, service = group(
        store,
        way,
        {"b": ["fail"], "c": ["die after"]},
        a={},
        b={"after": "StepSucceeded a 1"},
        c={"after": "CauseRecorded failure b", "in_doubt": policy},
    )
    die(bench, service, "", "run", bench.saga, "mug", id="o-1")
    durable = [*STARTED, "StepSucceeded a 1", "StepFailed b 1", "CauseRecorded failure b"]
    assert durable == lines(store.history("o-1"))
    assert {} == bench.ask("recover").errors
    assert [*durable, "StepInDoubt c 1 process_died"] == lines(store.history("o-1"))[:8]
    assert not any(call.startswith("c") for call in service.calls)
    if policy in ("ask", "retry"):
        assert "InstanceBlocked c in_doubt" == lines(store.history("o-1"))[-1]
        assert [] == service.calls
        bench.ask("compensate", "o-1")
    assert ["undo c 1 of None in doubt", "undo a 1 of a!"] == service.calls
    assert ("failure", "b") == (bench.get().cause.kind, bench.get().cause.step)
    assert bench.get().compensated


def test_group_b_failed_c_blocked_in_doubt(way: str, store: Store) -> None:
    """Parked; a decision on c; then undo."""
    bench, service = group(
        store,
        way,
        {"b": ["fail"], "c": ["lost"]},
        a={},
        b={"after": "StepSucceeded a 1"},
        c={"after": "CauseRecorded failure b"},
    )
    die(bench, service, "after 4", "run", bench.saga, "mug", id="o-1")
    history = store.history("o-1")
    assert ["StepInDoubt c 1 outcome_unknown", "InstanceBlocked c in_doubt"] == lines(history)[-2:]
    assert () == bench.ask("recover").resumed
    assert history == store.history("o-1")
    assert bench.ask("resolve", "o-1", not_done=True, reason="looked").compensated
    assert ["undo a 1 of a!"] == service.calls


def test_group_d_queued_cause_recorded(way: str, store: Store) -> None:
    """It never starts, whoever recovers."""

    def outlive_the_process() -> None:
        assert bench.store.died.wait(PATIENCE)

    bench, service = group(store, way, {"a": ["fail"]}, a={}, b={"after": outlive_the_process}, d={}, limit=2)
    die(bench, service, "after 2", "run", bench.saga, "mug", id="o-1")
    assert ["StepFailed a 1", "CauseRecorded failure a"] == lines(store.history("o-1"))[3:]
    bench.ask("recover")
    bench.ask("compensate", "o-1")
    assert ["undo b 1 of None in doubt"] == service.calls
    assert "pending" == bench.get().steps["d"].status
    assert bench.get().compensated


@pytest.mark.parametrize("dies", ["after 5", "after 6", "before 7"])
def test_group_undone_in_part(dies: str, way: str, store: Store) -> None:
    """The undo of a member is called again, the undone are not: in reverse order of start, in one state."""
    bench, service = group(store, way, {}, a={}, b={}, c={})
    add(bench.saga, service, "z", is_async=is_async(way))
    service.script = {"z": ["fail"]}
    undone: list[str] = []
    die(bench, service, dies, "run", bench.saga, "mug", id="o-1", calls=undone)
    assert "compensating:g" == bench.get().state
    assert {} == bench.ask("recover").errors
    order = [call.split()[1] for call in (*undone, *service.calls) if call.startswith("undo")]
    assert ["c", "b", "a"] == list(dict.fromkeys(order))
    assert bench.get().compensated
    assert {} == service.effects


# Nested sagas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dies", "stands", "calls"),
    [
        ("before 3", None, ["charge 1", "fee 1", "z 1"]),
        ("after 4", "running:fee", ["fee 2 in doubt", "z 1"]),
        ("before 6", "completed", ["z 1"]),
    ],
)
def test_parent_started_child(dies: str, stands: str | None, calls: list[str], way: str, store: Store) -> None:
    """Child absent, unfinished, at rest: create, resume, take its outcome."""
    settled: dict[str, Any] = {"in_doubt": "retry"}
    bench, service = tree_of(store, way, payment={"charge": settled, "fee": settled})
    die(bench, service, dies, "run", bench.saga, "mug", id="o-1")
    assert "StepStarted pay 1" == lines(store.history("o-1"))[-1]
    if stands is None:
        with pytest.raises(SagaNotFound):
            bench.get("o-1/pay")
    else:
        assert stands == bench.get("o-1/pay").state
    assert {} == bench.ask("recover").errors
    assert ("completed", calls) == (bench.get().state, service.calls)


def test_cause_in_parent_child_running(way: str, store: Store) -> None:
    """The cause is posted to the child, which is resumed, and goes back before its parent does."""
    bench, service = tree_of(store, way, {"fee": ["die before"]}, payment={"charge": {}, "fee": {"probe": True}})
    die(bench, service, "", "run", bench.saga, "mug", id="o-1")
    with Orchestrator(store) as stranger:
        stranger.cancel("o-1", reason="no")
    assert {} == bench.ask("recover").errors
    assert ["probe fee 1 in doubt", "undo charge 1 of charge!", "undo a 1 of a!"] == service.calls
    assert ["CancelRequested", "CauseRecorded", "StepInDoubt"] == [line.split()[0] for line in of_pay(store)[4:7]]
    assert bench.get().compensated


@pytest.mark.parametrize(
    ("dies", "stands", "calls"),
    [
        ("after 7", "completed", ["undo fee 1 of fee!", "undo charge 1 of charge!"]),
        ("after 8", "compensating:fee", ["undo fee 2 of fee!", "undo charge 1 of charge!"]),
        ("after 9", "compensating:charge", ["undo charge 2 of charge!"]),
        ("after 10", "failed", []),
    ],
)
def test_parent_undoing_child(dies: str, stands: str, calls: list[str], way: str, store: Store) -> None:
    """Child completed, compensating, failed: go back, resume, take its residue."""
    bench, service = tree_of(store, way, {"z": ["fail"]})
    die(bench, service, dies, "run", bench.saga, "mug", id="o-1")
    assert ("compensating:pay", "CompensationStarted pay 1") == (bench.get().state, lines(store.history("o-1"))[-1])
    assert stands == bench.get("o-1/pay").state
    assert {} == bench.ask("recover").errors
    assert [*calls, "undo a 1 of a!"] == service.calls
    assert bench.get().compensated
    assert 1 == sum(isinstance(event, e.CauseRecorded) for event in store.history("o-1/pay"))


# Conditions, waits, migrations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dies", "again"), [("after 2", 1), ("before 3", 1), ("after 3", 0)])
def test_when_or_input_not_recorded(dies: str, again: int, way: str, store: Store) -> None:
    """Both are evaluated again; once recorded, neither is."""
    asked: list[str] = []
    bench, service = tree_of(
        store, way, when=lambda: not asked.append("when"), input=lambda input: asked.append("input") or f"{input}s"
    )
    die(bench, service, dies, "run", bench.saga, "mug", id="o-1")
    asked.clear()
    assert {} == bench.ask("recover").errors
    assert ["when", "input"] * again == asked
    assert ("completed", "mugs") == (bench.get().state, bench.get("o-1/pay").input)


@pytest.mark.parametrize("dies", ["after 2", ""])
def test_waiting_for_a_signal_timeout_due(dies: str, way: str, store: Store) -> None:
    """A definite failure; before it is due, nobody touches it."""
    service, saga = Service(), Saga("order")
    add(saga, service, "a", is_async=is_async(way))
    saga.wait_for("approval", timeout=timedelta(hours=1))
    bench = Bench(store, saga, way)
    if dies:
        die(bench, service, dies, "run", saga, "mug", id="o-1")
    else:
        bench.run()
        service.calls.clear()
    bench.clock.advance(3599)
    assert () == bench.ask("recover").resumed
    bench.clock.advance(1)
    assert ("o-1",) == bench.ask("recover").resumed
    assert ["WaitStarted approval", "StepFailed approval 0", "CauseRecorded failure approval"] == lines(
        store.history("o-1")
    )[3:6]
    assert ["undo a 1 of a!"] == service.calls
    assert bench.get().compensated


def test_a_signal_posted_and_not_absorbed(way: str, store: Store) -> None:
    """It is absorbed first by the next owner, even when the wait's time has come meanwhile."""
    service, saga = Service(), Saga("order")
    saga.wait_for("approval", timeout=timedelta(hours=1))
    add(saga, service, "z", is_async=is_async(way))
    bench = Bench(store, saga, way)
    bench.run()
    die(bench, service, "before 1", "signal", "o-1", "approval", "yes")
    assert 1 == len(store.mail("o-1"))
    bench.clock.advance(3600)
    assert ("o-1",) == bench.ask("recover").resumed
    assert ["SignalReceived", "StepSucceeded approval 0", "StepStarted z 1"] == lines(store.history("o-1"))[3:6]
    assert "completed" == bench.get().state


@pytest.mark.parametrize("dies", ["before 1", "after 1", "before 2", "after 2"])
def test_migrated(dies: str, way: str, store: Store) -> None:
    """Folded under the new definition, and not asked again; not durable, it is asked as if nothing had been."""
    service, asked = Service(script={"b": ["lost"]}), list[int]()
    bench = Bench(store, saga_of(service, is_async=is_async(way), a={}, b={}), way)
    bench.run()
    new = bench.saga = Saga("order", version=2)
    for name in ("a", "bee", "c"):
        add(new, service, name, is_async=is_async(way), in_doubt="retry")

    @new.migrate_from(1)
    def renamed() -> dict[str, str | None]:
        asked.append(1)
        return {"b": "bee"}

    service.calls.clear()
    die(bench, service, dies, "resolve", "o-1", result="seen", reason="looked")
    if dies == "before 1":
        assert 1 == bench.get().version
        bench.ask("resolve", "o-1", result="seen", reason="looked")
    once = len(asked)
    assert {} == bench.ask("recover").errors
    instance = bench.get()
    assert ("completed", 2, {"a": "a!", "bee": "seen", "c": "c!"}) == (
        instance.state,
        instance.version,
        instance.results,
    )
    assert once == len(asked)
    assert 1 == lines(instance.history).count("InstanceMigrated")
