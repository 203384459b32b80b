"""Law 12: one owner; who loses an instance stops at once, and who leaves gives it up."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sagafsm import AsyncOrchestrator, IllegalTransition, Orchestrator, Saga
from sagafsm.drivers.lease import new_owner
from sagafsm.errors import StoreConflict
from sagafsm.events import CancelRequested
from sagafsm.store import Owner, Store
from support.bench import Bench, is_async, lines
from support.clock import FakeClock
from support.exams import STRANGER, check_mail, check_replaced_owner, steal
from support.services import STEADY, Service, saga_of
from support.stores import FailingStore, Wrapped

HOUR = timedelta(hours=1)
MOMENT = timedelta(milliseconds=30)
BOTH: dict[str, dict[str, Any]] = {"a": {}, "b": {}}


def started(store: Store, way: str, script: dict[str, list[Any]] | None = None, **steps: Any) -> tuple[Bench, Service]:
    service = Service(script=script or {})
    bench = Bench(store, saga_of(service, is_async=is_async(way), **(steps or BOTH)), way)
    bench.ask("start", bench.saga, "mug", id="o-1")
    return bench, service


def test_run_on_an_instance_owned_elsewhere_returns_it_as_it_stands(way: str, store: Store) -> None:
    """Law 12: `run` returns it; `resume`, `advance` and decisions raise `StoreConflict` naming the owner."""
    bench, service = started(store, way)
    store.claim("o-1", owner=STRANGER, lease=HOUR)
    instance = bench.run()
    assert ("pending", "elsewhere") == (instance.state, instance.owner)
    for operation, given in (
        ("resume", {}),
        ("advance", {}),
        ("retry", {}),
        ("resolve", {"result": 1, "reason": "x"}),
        ("compensate", {}),
        ("skip", {"reason": "x"}),
        ("abandon", {"reason": "x"}),
    ):
        with pytest.raises(StoreConflict) as caught:
            bench.ask(operation, "o-1", **given)
        assert "instance 'o-1' is owned by 'elsewhere'" == str(caught.value)
    assert () == bench.ask("recover").resumed
    assert [] == service.calls
    assert ["InstanceCreated"] == lines(store.history("o-1"))


def test_a_cancel_of_an_instance_owned_elsewhere_is_posted(way: str, store: Store) -> None:
    """Law 12: requests need no token: they wait in the mailbox for the owner."""
    bench, _ = started(store, way)
    store.claim("o-1", owner=STRANGER, lease=HOUR)
    assert "pending" == bench.ask("cancel", "o-1", by="me", reason="no").state
    assert [("me", "no")] == [(request.by, request.reason) for request in store.mail("o-1")]


def test_an_unknown_owner_is_replaced_when_its_lease_has_run_out(way: str, store: Store) -> None:
    """Law 12: where it cannot be told whether the owner lives, its lease runs out."""
    bench, service = started(store, way)
    store.claim("o-1", owner=STRANGER, lease=MOMENT)
    threading.Event().wait(MOMENT.total_seconds())
    assert "completed" == bench.ask("resume", "o-1").state
    assert ["a 1", "b 1"] == service.calls


def test_a_dead_process_of_this_machine_is_replaced_at_once(way: str, store: Store) -> None:
    """Law 12: boot, namespace, pid and start time tell that the owner is dead; its lease need not run out."""
    bench, _ = started(store, way)
    tell = "from sagafsm.drivers.lease import new_owner; print(new_owner('child').process)"
    process = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True).stdout.strip()
    store.claim("o-1", owner=Owner(name="child", process=process), lease=HOUR)
    assert "completed" == bench.ask("resume", "o-1").state


def test_a_living_process_of_this_machine_is_not_replaced(memory: Store) -> None:
    """Law 12: nor one whose pid was another's before; pid and start time are looked at together."""
    bench, _ = started(memory, "sync")
    tell = "from sagafsm.drivers.lease import new_owner; print(new_owner('child').process, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", tell], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        process = child.stdout.readline().strip()
        memory.claim("o-1", owner=Owner(name="child", process=process), lease=HOUR)
        with pytest.raises(StoreConflict) as caught:
            bench.ask("resume", "o-1")
        assert "instance 'o-1' is owned by 'child'" == str(caught.value)
        boot, namespace, pid, start, drive = process.split("/")
        reused = "/".join((boot, namespace, pid, str(int(start) - 1), drive))
        memory.release("o-1", token=memory.load("o-1").summary.token)
        memory.claim("o-1", owner=Owner(name="child", process=reused), lease=HOUR)
        assert "completed" == bench.ask("resume", "o-1").state
        child.communicate("")


def test_a_lease_of_this_process_without_a_drive_is_free(way: str, store: Store) -> None:
    """Law 12: a lease of this process without a running drive is free."""
    bench, _ = started(store, way)
    store.claim("o-1", owner=new_owner("me"), lease=HOUR)
    assert "completed" == bench.ask("resume", "o-1").state


@pytest.mark.parametrize("call", ["create", "claim"])
def test_a_drive_owns_its_instance_from_before_its_claim_is_stored(call: str, way: str, memory: Store) -> None:
    """Law 12: nobody takes a claim that was just stored for that of a drive that has ended."""
    service = Service()
    saga = saga_of(service, is_async=is_async(way), **BOTH)
    found: list[Any] = []

    class Spied(Wrapped):
        def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            answer = method(*args, **kwargs)
            if name == call:
                found.append(Bench(memory, saga, "sync").ask("recover").resumed)
            return answer

    bench = Bench(Spied(memory), saga, way)
    if call == "claim":
        Bench(memory, saga, "sync").ask("start", saga, "mug", id="o-1")
    assert "completed" == bench.run().state
    assert [()] == found
    assert ["a 1", "b 1"] == service.calls


def test_every_claim_has_a_token_of_its_own(way: str, store: Store) -> None:
    """Law 12: the token is unique per claim, and rises."""
    bench, _ = started(store, way)
    tokens = [store.load("o-1").summary.token]
    for _ in BOTH:
        bench.ask("advance", "o-1")
        tokens.append(store.load("o-1").summary.token)
    assert sorted(set(tokens)) == tokens
    assert "completed" == bench.get().state


def test_a_replaced_owner_stops_and_writes_nothing(way: str, store: Store) -> None:
    """Law 12: who loses an instance stops at once: no write, no compensation, no next call."""
    check_replaced_owner(store, store, way)


def test_a_replaced_owner_does_not_compensate(way: str, memory: Store) -> None:
    """Law 12: a failure that cannot be recorded has no consequence."""

    def fail() -> None:
        steal(memory)()
        raise ValueError("refused")

    service = Service(script={"b": [fail]})
    bench = Bench(memory, saga_of(service, is_async=is_async(way), a={}, b={}), way)
    with pytest.raises(StoreConflict) as caught:
        bench.run()
    assert ["a 1", "b 1"] == service.calls
    assert "Raised(error=ValueError('refused'))" == repr(caught.value.outcome)


def test_a_replaced_owner_stops_sleeping(way: str, memory: Store) -> None:
    """Law 12: also one that sleeps through a backoff finds out, by its renewals."""
    service = Service(script={"a": ["fail"]})
    bench = Bench(memory, saga_of(service, a={"retry": STEADY}), way, options={"lease": 3 * MOMENT})
    done = threading.Event()

    def after_sleep() -> None:
        if not done.is_set():
            done.set()
            steal(memory)()
        threading.Event().wait(2 * MOMENT.total_seconds())

    bench.clock.after_sleep = after_sleep
    with pytest.raises(StoreConflict):
        bench.run()
    assert ["a 1"] == service.calls
    assert bench.clock.seconds < 10


def test_a_long_action_keeps_its_lease(way: str, store: Store) -> None:
    """Law 12: a lease is renewed on a thread of its own while a long action runs: here three leases long."""
    check_long_action(store, store, way)


def check_long_action(store: Store, through: Any, way: str) -> None:
    """`store` is what really is, `through` what the orchestrator is given."""
    lease = timedelta(milliseconds=150)
    seen: list[Any] = []
    taken: list[int] = []

    def long() -> None:
        for _ in range(9):
            threading.Event().wait(0.05)
            seen.append(store.load("o-1").summary.lease_until)
            with contextlib.suppress(StoreConflict):
                store.claim("o-1", owner=STRANGER, lease=HOUR)
                taken.append(len(seen))

    service = Service(script={"a": [long]})
    bench = Bench(through, saga_of(service, a={}, b={}), way, options={"lease": lease})
    with contextlib.suppress(StoreConflict):
        bench.run()
    assert [] == taken, "somebody else could claim the instance: its lease ran out under the action"
    assert "completed" == bench.get().state
    assert len(set(seen)) >= 3
    assert sorted(seen) == seen


def test_a_lease_that_is_not_renewed_is_noticed(way: str, memory: Store) -> None:
    """Positive control: a store whose `renew` does nothing."""

    class Unrenewed(Wrapped):
        def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            return None if name == "renew" else method(*args, **kwargs)

    with pytest.raises(AssertionError) as caught:
        check_long_action(memory, Unrenewed(memory), way)
    told = "somebody else could claim the instance: its lease ran out under the action"
    assert told == str(caught.value).splitlines()[0]


def test_a_failing_renewal_does_not_end_the_drive(way: str, memory: Store) -> None:
    """Law 12: the store may answer again before the lease runs out; every append checks the token anyway."""
    service = Service(script={"a": [lambda: threading.Event().wait(0.15)]})
    bench = Bench(FailingStore(memory, renew=["before"] * 2), saga_of(service, a={}), way)
    bench.options["lease"] = timedelta(milliseconds=150)
    assert "completed" == bench.run().state


def test_a_lease_is_released_whenever_the_driver_leaves(way: str, store: Store) -> None:
    """Law 12: by any exception: of the action, the store, or the listener."""

    class Strange(BaseException):
        pass

    def strange(*_: Any) -> None:
        raise Strange

    rests = "instance {0!r} rests in {1!r}; resume({0!r}) or recover() goes on".format
    for id, script, options, state in (
        ("o-1", {"a": [strange]}, {}, "running:a"),
        ("o-2", {}, {"on_event": strange}, "running:a"),
        ("o-3", {"b": ["fail"], "undo a": [strange]}, {}, "compensating:a"),
    ):
        service = Service(script=script)
        bench = Bench(store, saga_of(service, is_async=is_async(way), **BOTH), way, options=options)
        with pytest.raises(Strange) as caught:
            bench.run(id=id)
        assert store.load(id).summary.owner is None
        assert [rests(id, state)] == caught.value.__notes__


def test_a_blocked_instance_has_no_owner(way: str, store: Store) -> None:
    """Law 12: parked instances have no owner: whoever decides can claim it."""
    bench, _ = started(store, way, {"a": ["lost"]})
    assert "in_doubt" == bench.ask("resume", "o-1").blocked[0].reason
    assert store.load("o-1").summary.owner is None


# Re-entrance ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [("run", ()), ("resume", ()), ("advance", ()), ("retry", ()), ("abandon", ("enough",))],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_re_entrant_drive_is_refused(operation: str, arguments: tuple[str, ...], memory: Store) -> None:
    """Law 12: a re-entrant drive is `IllegalTransition`: it would wait for itself."""
    saga = Saga("order")

    @saga.step
    def a() -> str:
        ask = getattr(orchestrator, operation)
        with pytest.raises(IllegalTransition) as caught:
            ask(saga, None, id="o-1") if operation == "run" else ask("o-1", **({"reason": "x"} if arguments else {}))
        return str(caught.value)

    with Orchestrator(memory, sagas=[saga], clock=FakeClock()) as orchestrator:
        instance = orchestrator.run(saga, None, id="o-1")
    assert "completed" == instance.state
    assert (
        f"instance 'o-1' is running:a and driven by the very code that asks, which does not allow {operation!r} "
        "(allowed: cancel)"
    ) == instance.results["a"]


def test_an_action_may_cancel_its_own_instance(way: str, memory: Store) -> None:
    """Laws 10 and 12: a cancel from inside is a request like any other, read when the action has settled."""
    saga = Saga("order")
    if way == "sync":
        saga.add_step("a", lambda: orchestrator.cancel("o-1", reason="no").state, lambda: None)
        with Orchestrator(memory, sagas=[saga]) as orchestrator:
            assert orchestrator.run(saga, None, id="o-1").compensated
    else:
        asked: list[AsyncOrchestrator] = []

        async def a() -> str:
            return (await asked[0].cancel("o-1", reason="no")).state

        async def run() -> bool:
            async with AsyncOrchestrator(memory, sagas=[saga]) as orchestrator:
                asked.append(orchestrator)
                return (await orchestrator.run(saga, None, id="o-1")).compensated

        saga.add_step("a", a, lambda: None)
        assert asyncio.run(run())
    assert ["CancelRequested no", "CauseRecorded cancel no", "StepSucceeded a 1"] == lines(memory.history("o-1"))[2:5]


def test_an_action_may_drive_another_instance(memory: Store) -> None:
    """Law 12: only the same instance is refused."""
    saga, inner = Saga("order"), Saga("inner")
    inner.add_step("x", lambda: 1)
    saga.add_step("a", lambda: orchestrator.run(inner, None).state)
    with Orchestrator(memory) as orchestrator:
        assert {"a": "completed"} == orchestrator.run(saga, None).results


# Mail -----------------------------------------------------------------------------------------------------------------


def test_no_start_overtakes_a_request(way: str, store: Store) -> None:
    """Law 12: outcome, mail and consequence are one commit: no start, end or parking overtakes a request."""
    check_mail(store, store, way)


def test_a_request_counts_once(way: str, store: Store) -> None:
    """Law 12: idempotent by request id, also after it was absorbed."""

    def post() -> None:
        for _ in range(2):
            store.post("o-1", CancelRequested(request_id="r-1", by="me", reason="no"))

    service = Service(script={"a": [post], "undo a": [post]})
    bench = Bench(store, saga_of(service, is_async=is_async(way), a={}, b={}), way)
    assert bench.run().compensated
    assert 1 == lines(store.history("o-1")).count("CancelRequested no")


def test_many_threads_and_one_instance(store: Store) -> None:
    """Law 12: of many that drive one instance at once, one does; the others get it as it stands, or a conflict."""
    service = Service()
    saga = saga_of(service, a={}, b={}, c={})
    barrier = threading.Barrier(6)
    states: list[str] = []

    def run(n: int) -> None:
        with Orchestrator(store, sagas=[saga], owner=f"worker-{n}") as orchestrator:
            barrier.wait()
            try:
                states.append(orchestrator.run(saga, "mug", id="o-1").state)
                orchestrator.recover()
            except StoreConflict as conflict:
                states.append(str(conflict))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert 6 == len(states)
    assert ["a 1", "b 1", "c 1"] == service.calls
    assert "completed" == store.load("o-1").instance.state
    assert 8 == len(lines(store.history("o-1")))
