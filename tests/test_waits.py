"""Laws 13, 14 and 16: a wait parks the instance until a signal or its time comes; a signal is a request, kept and
counted once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sagafsm import (
    IllegalTransition,
    Orchestrator,
    Saga,
    SagaFailed,
    SagaNotFound,
    SagaUnfinished,
)
from sagafsm.errors import RequestError
from sagafsm.history import events as e
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.clock import NOON
from support.messages import message_of
from support.mortality import die
from support.services import Service, add
from support.stores import CountingStore
from support.trees import order_of

HOUR = timedelta(hours=1)
PARKED = ["InstanceCreated", "StepStarted a 1", "StepSucceeded a 1", "WaitStarted approval"]
APPROVED = ["SignalReceived", "StepSucceeded approval 0", "StepStarted z 1", "StepSucceeded z 1", "InstanceCompleted"]
UNDONE = ["CompensationStarted a 1", "CompensationSucceeded a 1", "InstanceFailed"]


def bench_of(
    store: Any,
    way: str,
    script: dict[str, list[Any]] | None = None,
    *,
    timeout: timedelta | None = None,
    deadline: timedelta | None = None,
) -> tuple[Bench, Service]:
    """An order that waits for its approval between a and z."""
    service, saga = Service(script=script or {}), Saga("order", deadline=deadline)
    add(saga, service, "a", is_async=is_async(way))
    saga.wait_for("approval", timeout=timeout)
    add(saga, service, "z", is_async=is_async(way))
    return Bench(store, saga, way), service


# Waiting --------------------------------------------------------------------------------------------------------------


def test_run_returns_the_parked_instance(way: str, store: Store) -> None:
    """A wait parks: nobody owns the instance, nothing sleeps, and no recovery touches it."""
    counting = CountingStore(store)
    bench, service = bench_of(counting, way)
    instance = bench.run()
    assert PARKED == lines(instance.history)
    assert ("running:approval", True, None, None) == (
        instance.state,
        instance.waiting,
        instance.owner,
        instance.wake_at,
    )
    assert ("approval",) == instance.awaited
    assert "<SagaInstance 'o-1' of 'order': running:approval; waiting for signal approval>" == repr(instance)
    assert (True, None, None) == (
        store.load("o-1").summary.waiting,
        store.load("o-1").summary.owner,
        store.load("o-1").summary.blocked,
    )
    # The outcome of a and the wait are one commit.
    assert ("StepSucceeded a", "WaitStarted approval") == counting.batches[-1]
    bench.clock.advance(1_000_000)
    assert () == bench.ask("recover").resumed
    assert instance.history == bench.run().history == bench.ask("resume", "o-1").history
    assert ["a 1"] == service.calls
    assert 0.0 == bench.clock.seconds


def test_a_signal_ends_the_wait(way: str, store: Store) -> None:
    """Its payload is the step's result; the poster drives the instance on, in the commit that absorbs the signal."""
    counting = CountingStore(store)
    bench, _ = bench_of(counting, way)
    bench.run()
    instance = bench.ask("signal", "o-1", "approval", {"by": "Zoë"}, request_id="r-1")
    assert [*PARKED, *APPROVED] == lines(instance.history)
    assert {"by": "Zoë"} == instance.results["approval"]
    assert ("SignalReceived approval", "StepSucceeded approval", "StepStarted z") == counting.batches[-2]
    signal = instance.history[4]
    assert isinstance(signal, e.SignalReceived)
    assert ("r-1", {"by": "Zoë"}) == (signal.request_id, signal.payload)
    assert () == instance.awaited


def test_a_later_step_is_given_the_payload() -> None:
    """The wait is a step like any other to those behind it."""
    saga = Saga("order")
    saga.wait_for("approval")
    saga.add_step("z", lambda approval: approval["by"])
    saga.run(None, id="o-1")
    assert "Zoë" == saga.orchestrator.signal("o-1", "approval", {"by": "Zoë"}).results["z"]
    saga.orchestrator.close()


def test_a_wait_may_come_first_and_last(way: str, store: Store) -> None:
    """A wait needs no step before or behind it."""
    saga = Saga("order")
    saga.wait_for("go")
    saga.wait_for("stop")
    bench = Bench(store, saga, way)
    assert ["InstanceCreated", "InstanceStarted", "WaitStarted go"] == lines(bench.run().history)
    assert ("running:stop", ("stop",)) == (
        (instance := bench.ask("signal", "o-1", "go", 1)).state,
        instance.awaited,
    )
    instance = bench.ask("signal", "o-1", "stop")
    assert ("completed", {"go": 1, "stop": None}) == (instance.state, instance.results)


# Early, twice, too late -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["pending", "running"])
def test_an_early_signal_is_kept(when: str, way: str, store: Store) -> None:
    """One that comes before its wait is there when the wait begins, which then parks nobody."""
    bench, service = bench_of(store, way)

    def signal() -> None:
        with Orchestrator(store) as stranger:
            stranger.signal("o-1", "approval", "yes")

    if when == "pending":
        bench.ask("start", bench.saga, "mug", id="o-1")
        signal()
        assert {} == bench.ask("recover").errors
        instance = bench.get()
    else:
        service.script = {"a": [signal]}
        instance = bench.run()
    assert ("completed", "yes") == (instance.state, instance.results["approval"])
    assert "WaitStarted approval" not in lines(instance.history)


def test_a_duplicate_counts_once(way: str, store: Store) -> None:
    """The same request, and another one of the same name: the first counts, and nothing is posted."""
    bench, _ = bench_of(store, way)
    bench.ask("start", bench.saga, "mug", id="o-1")
    with Orchestrator(store) as stranger:
        for _ in range(2):
            stranger.signal("o-1", "approval", "yes", request_id="r-1")
        stranger.signal("o-1", "approval", "no", request_id="r-2")
        assert ["yes", "no"] == [request.payload for request in store.mail("o-1")]
    bench.ask("recover")
    assert "yes" == bench.get().results["approval"]
    history = store.history("o-1")
    for request in ("r-1", "r-2", None):
        assert history == bench.ask("signal", "o-1", "approval", "no", request_id=request).history
    assert () == store.mail("o-1")


def test_at_rest_a_signal_is_refused(way: str, memory: Store) -> None:
    """An instance that ended without it takes no signal any more."""
    bench, _ = bench_of(memory, way, {"a": ["fail"]})
    bench.run()
    assert "instance 'o-1' is failed, which does not allow 'signal approval' (allowed: nothing)" == message_of(
        IllegalTransition, lambda: bench.ask("signal", "o-1", "approval", "yes")
    )


def test_going_back_a_signal_is_refused(way: str, memory: Store) -> None:
    """Once a cause is recorded no wait is left."""
    bench, _ = bench_of(memory, way, {"undo a": ["permanent"]}, timeout=HOUR)
    bench.run()
    bench.ask("cancel", "o-1", reason="no")
    assert (
        "instance 'o-1' is compensating:a, which does not allow 'signal approval' "
        "(allowed: resume, cancel, retry, resolve(undone), skip, abandon)"
    ) == message_of(IllegalTransition, lambda: bench.ask("signal", "o-1", "approval", "yes"))


def test_a_signal_past_its_wait_is_refused(way: str, memory: Store) -> None:
    """A wait that a migration put behind the instance is past; the message says so."""
    bench, service = bench_of(memory, way, {"z": ["lost"]})
    saga = Saga("order")
    add(saga, service, "a", is_async=is_async(way))
    add(saga, service, "z", is_async=is_async(way))
    bench.saga = saga
    bench.run()
    bench.saga = newer = Saga("order", version=2)
    add(newer, service, "a", is_async=is_async(way))
    newer.wait_for("approval")
    add(newer, service, "z", is_async=is_async(way))
    newer.migrate_from(1)(dict)
    bench.ask("resume", "o-1")
    assert (
        "instance 'o-1' is running:z and past 'approval', which does not allow 'signal approval' (allowed: nothing)"
    ) == message_of(IllegalTransition, lambda: bench.ask("signal", "o-1", "approval", "yes"))


@pytest.mark.parametrize(
    ("name", "told"),
    [("approvl", "'approvl'"), ("a", "'a'"), ("pay/approval", "'pay/approval'"), ("", "''")],
)
def test_an_unknown_signal_is_refused(name: str, told: str, way: str, memory: Store) -> None:
    """The message lists those for which the saga waits."""
    bench, _ = bench_of(memory, way)
    bench.run()
    assert f"instance 'o-1' waits for no signal {told} (it waits for: approval)" == message_of(
        RequestError, lambda: bench.ask("signal", "o-1", name, "yes")
    )
    with pytest.raises(SagaNotFound):
        bench.ask("signal", "o-9", "approval")


# Time -----------------------------------------------------------------------------------------------------------------


def test_a_timeout_is_a_definite_failure(way: str, store: Store) -> None:
    """The wait leaves nothing to undo; the timeout counts from its beginning, and survives a restart."""
    bench, service = bench_of(store, way, timeout=HOUR)
    bench.clock.advance(60)
    assert bench.run().wake_at == NOON + HOUR + timedelta(seconds=60)
    bench.clock.advance(3599)
    assert () == bench.ask("recover").resumed
    bench.clock.advance(1)
    assert ("o-1",) == bench.ask("recover").resumed
    instance = bench.get()
    assert [*PARKED, "StepFailed approval 0", "CauseRecorded failure approval", *UNDONE] == lines(instance.history)
    assert ("sagafsm.SignalTimedOut", "no signal 'approval' within 3600 s") == (
        instance.error.type,
        instance.error.message,
    )
    assert ["a 1", "undo a 1 of a!"] == service.calls
    assert instance.compensated
    assert (
        "instance 'o-1' failed: step 'approval' failed: SignalTimedOut: no signal 'approval' within 3600 s; "
        "may remain: nothing"
    ) == message_of(SagaFailed, lambda: bench.ask("run", bench.saga, "mug", id="o-1", check=True))


def test_a_resume_when_it_is_due_times_out(way: str, memory: Store) -> None:
    """`resume` before its time changes nothing and does not sleep; after it, the wait has failed."""
    bench, _ = bench_of(memory, way, timeout=HOUR)
    bench.run()
    assert PARKED == lines(bench.ask("resume", "o-1").history)
    assert 0.0 == bench.clock.seconds
    bench.clock.advance(3600)
    assert "failed" == bench.ask("resume", "o-1").state


def test_a_signal_that_was_posted_in_time_counts(way: str, memory: Store) -> None:
    """Posted and not yet read when the time has come: no end overtakes a request."""
    bench, _ = bench_of(memory, way, timeout=HOUR)
    bench.run()
    with Orchestrator(memory) as stranger:
        stranger.signal("o-1", "approval", "yes")
    bench.clock.advance(3600)
    assert ("o-1",) == bench.ask("recover").resumed
    assert ("completed", "yes") == (bench.get().state, bench.get().results["approval"])


def test_abandon_ends_a_wait(way: str, memory: Store) -> None:
    """What was done before it is residue; the wait is none."""
    bench, _ = bench_of(memory, way)
    bench.run()
    assert (("a", "abandoned", "a!"),) == bench.ask("abandon", "o-1", reason="enough").residue


def test_what_a_waiting_instance_allows(way: str, memory: Store) -> None:
    """A decision is refused, and the message lists the signal among what is possible."""
    bench, _ = bench_of(memory, way)
    bench.run()
    assert (
        "instance 'o-1' is running:approval, which does not allow 'retry' (allowed: resume, cancel, signal, abandon)"
    ) == message_of(IllegalTransition, lambda: bench.ask("retry", "o-1"))


# Crashes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("durable", ["before", "after"])
def test_a_signal_survives_a_crash(durable: str, number: int, way: str, store: Store) -> None:
    """Posted, it is absorbed by whoever drives the instance next, and counts once."""
    bench, service = bench_of(store, way)
    bench.run()
    die(bench, service, f"{durable} {number}", "signal", "o-1", "approval", "yes")
    assert {} == bench.ask("recover").errors
    instance = bench.get()
    assert "yes" == instance.results["approval"]
    assert 1 == lines(instance.history).count("SignalReceived")
    # z was under way when the process died behind its start.
    assert ("running:z" if (durable, number) in (("after", 1), ("before", 2)) else "completed") == instance.state


# Nested ---------------------------------------------------------------------------------------------------------------


def nested(store: Any, way: str, **options: Any) -> tuple[Bench, Service]:
    service, payment = Service(), Saga("payment")
    add(payment, service, "charge", is_async=is_async(way))
    payment.wait_for("approval", **options)
    return Bench(store, order_of(service, way, payment=payment), way), service


@pytest.mark.parametrize(("id", "name"), [("o-1", "pay/approval"), ("o-1/pay", "approval")])
def test_a_wait_in_a_nested_saga(id: str, name: str, way: str, store: Store) -> None:
    """The tree is parked; the signal is given to the root by its path, or to the child by its own id."""
    bench, _ = nested(store, way)
    instance = bench.run()
    assert ("running:pay", True, ("pay/approval",), None) == (
        instance.state,
        instance.waiting,
        instance.awaited,
        instance.owner,
    )
    assert ("running:approval", ("approval",), None) == (
        (child := bench.get("o-1/pay")).state,
        child.awaited,
        child.owner,
    )
    instance = bench.ask("signal", id, name, "yes", request_id="r-1")
    assert ("completed", {"charge": "charge!", "approval": "yes"}) == (instance.state, instance.results["pay"])
    for path in ("o-1", "o-1/pay"):
        assert 1 == lines(store.history(path)).count("SignalReceived")
    assert instance.history == bench.ask("signal", id, name, "no").history


def test_an_early_signal_for_a_nested_saga_is_kept(way: str, store: Store) -> None:
    """One that comes before the child exists is handed down when it does."""
    bench, service = nested(store, way)
    bench.ask("start", bench.saga, "mug", id="o-1")
    with Orchestrator(store) as stranger:
        stranger.signal("o-1", "pay/approval", "yes")
    bench.ask("recover")
    instance = bench.get()
    assert ("completed", "yes") == (instance.state, instance.results["pay"]["approval"])
    assert ["a 1", "charge 1", "z 1"] == service.calls


def test_a_nested_timeout_is_the_trees(way: str, store: Store) -> None:
    """The root's `wake_at` is the wait's; at that time the child fails, and so does its parent."""
    bench, service = nested(store, way, timeout=HOUR)
    instance = bench.run()
    assert (instance.wake_at, instance.wake_at) == (NOON + HOUR, bench.get("o-1/pay").wake_at)
    assert (
        "instance 'o-1' is running:pay and unfinished: "
        "it waits for signal 'pay/approval' until 2026-01-01T13:00:00+00:00"
    ) == message_of(SagaUnfinished, lambda: bench.ask("run", bench.saga, "mug", id="o-1", check=True))
    assert () == bench.ask("recover").resumed
    bench.clock.advance(3600)
    assert ("o-1",) == bench.ask("recover").resumed
    assert ["a 1", "charge 1", "undo charge 1 of charge!", "undo a 1 of a!"] == service.calls
    assert bench.get().compensated


def test_waits_beside_each_other(way: str, store: Store) -> None:
    """Two children of a group wait: each is signalled by itself, in any order; what still waits stays parked."""
    saga = Saga("order")
    for name in ("pay", "ship"):
        child = Saga(f"{name}ment")
        child.wait_for("ok")
        saga.add_saga(name, child, group="g")
    bench = Bench(store, saga, way)
    assert ("pay/ok", "ship/ok") == bench.run().awaited
    assert ("instance 'o-1' is running:g and unfinished: it waits for signal 'pay/ok' or 'ship/ok'") == message_of(
        SagaUnfinished, lambda: bench.ask("run", bench.saga, "mug", id="o-1", check=True)
    )
    instance = bench.ask("signal", "o-1", "ship/ok", 2)
    assert ("running:g", ("pay/ok",), True) == (instance.state, instance.awaited, instance.waiting)
    assert {"pay": {"ok": 1}, "ship": {"ok": 2}} == bench.ask("signal", "o-1/pay", "ok", 1).results
