"""Law 12: one owner: lease, fencing token and compare-and-set allow one writer per instance.

- Every claim has a new, higher token. A replaced owner stops: no write, no call, no compensation.
- `run` returns an instance owned elsewhere as stored. `resume`, `advance`, decisions and the drive of a replaced owner
  raise `StoreConflict`. A re-entrant drive is `IllegalTransition`.
- A thread renews leases. An owner releases on every exit, also by an exception. A claim is free when its drive in this
  process has ended or its process on this machine is dead; where this cannot be read, the lease runs out.
- Requests go to the mailbox and count once by id. The poster resumes an unowned instance if it has the definition.

Every store proves compare-and-set and fencing in `StoreContract`; test_two_orchestrators interleaves two processes.
"""

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
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import AsyncOrchestrator, IllegalTransition, Orchestrator, Saga, SagaNotFound
from sagafsm.engine.ownership import create_owner
from sagafsm.errors import StoreConflict
from sagafsm.history.events import CancelRequested
from sagafsm.store import Owner, Store, open_store
from support.bench import Bench, is_async, lines
from support.broken import Unfenced
from support.cases import Case, cases
from support.clock import FakeClock
from support.controls import expect_breach, quick
from support.exams import STRANGER, steal
from support.services import STEADY, Service, saga_of
from support.stores import FailingStore, Wrapped

HOUR = timedelta(hours=1)
MOMENT = timedelta(milliseconds=30)
BOTH: dict[str, dict[str, Any]] = {"a": {}, "b": {}}


def started(
    store: Store, way: str, script: dict[str, list[Any]] | None = None, *, id: str = "o-1", **steps: Any
) -> tuple[Bench, Service]:
    service = Service(script=script or {})
    bench = Bench(store, saga_of(service, is_async=is_async(way), **(steps or BOTH)), way)
    bench.ask("start", bench.saga, "mug", id=id)
    return bench, service


# Owned elsewhere ------------------------------------------------------------------------------------------------------


def test_an_instance_owned_elsewhere_is_left_alone(way: str, store: Store) -> None:
    """`run` returns the instance as stored. `resume`, `advance` and decisions raise `StoreConflict`, which names the owner."""
    bench, service = started(store, way)
    store.claim("o-1", owner=STRANGER, lease=HOUR)
    instance = bench.run()
    assert ("pending", "elsewhere") == (instance.state, instance.owner)
    for operation, words in (
        ("resume", {}),
        ("advance", {}),
        ("retry", {}),
        ("resolve", {"result": 1, "reason": "x"}),
        ("compensate", {}),
        ("skip", {"reason": "x"}),
        ("abandon", {"reason": "x"}),
    ):
        with pytest.raises(StoreConflict) as caught:
            bench.ask(operation, "o-1", **words)
        assert "instance 'o-1' is owned by 'elsewhere'" == str(caught.value)
    assert () == bench.ask("recover").resumed
    assert [] == service.calls
    assert ["InstanceCreated"] == lines(store.history("o-1"))


def test_an_unknown_owner_is_replaced_when_its_lease_has_run_out(way: str, store: Store) -> None:
    """Where the process of the owner cannot be looked up, its lease runs out."""
    bench, service = started(store, way)
    store.claim("o-1", owner=STRANGER, lease=MOMENT)
    threading.Event().wait(MOMENT.total_seconds())
    assert "completed" == bench.ask("resume", "o-1").state
    assert ["a 1", "b 1"] == service.calls


def test_only_a_dead_process_of_this_machine_is_replaced_before_its_lease_ends(memory: Store) -> None:
    """A living process is not replaced. One that only has the pid of the owner is, and so is a dead one, at once."""
    tell = (
        "from sagafsm.engine.ownership import create_owner; print(create_owner('child').process, flush=True); input()"
    )
    command = [sys.executable, "-c", tell]

    def claimed_by(process: str, id: str) -> Bench:
        bench, _ = started(memory, "sync", id=id)
        memory.claim(id, owner=Owner(name="child", process=process), lease=HOUR)
        return bench

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        process = child.stdout.readline().strip()
        bench = claimed_by(process, "o-1")
        with pytest.raises(StoreConflict) as caught:
            bench.ask("resume", "o-1")
        assert "instance 'o-1' is owned by 'child'" == str(caught.value)
        boot, namespace, pid, start, drive = process.split("/")
        reused = "/".join((boot, namespace, pid, str(int(start) - 1), drive))
        assert "completed" == claimed_by(reused, "o-2").ask("resume", "o-2").state
        child.communicate("")
    assert "completed" == bench.ask("resume", "o-1").state


def test_a_lease_of_this_process_without_a_drive_is_free(way: str, memory: Store) -> None:
    """A claim of this process is free when its drive has ended."""
    bench, _ = started(memory, way)
    memory.claim("o-1", owner=create_owner("me"), lease=HOUR)
    assert "completed" == bench.ask("resume", "o-1").state


@pytest.mark.parametrize("call", ["create", "claim"])
def test_a_drive_owns_its_instance_from_before_its_claim_is_stored(call: str, way: str, memory: Store) -> None:
    """A claim that was just stored never looks like that of a drive that has ended."""
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
    """Every claim has a new, higher token."""
    bench, _ = started(store, way)
    tokens = [store.load("o-1").summary.token]
    for _ in BOTH:
        bench.ask("advance", "o-1")
        tokens.append(store.load("o-1").summary.token)
    assert sorted(set(tokens)) == tokens
    assert "completed" == bench.get().state


# Replaced -------------------------------------------------------------------------------------------------------------


def test_a_replaced_owner_stops_sleeping(way: str, memory: Store) -> None:
    """An owner that sleeps through a backoff learns by its renewals that it is replaced."""
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


class Thief(Wrapped):
    """Takes the whole tree over just before the n-th append. `left` and `made` are what is recorded and called then."""

    def __init__(self, inner: Any, truth: Store, n: int) -> None:
        super().__init__(inner)
        self.truth, self.n = truth, n
        self.left: dict[str, int] = {}
        self.calls: list[str] = []
        self.made: list[str] = []

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.n -= name == "append"
        if name == "append" and self.n == 0:
            self.made = list(self.calls)
            for id in ("o-1", "o-1/pay"):
                with contextlib.suppress(SagaNotFound):
                    summary = self.truth.load(id).summary
                    self.left[id] = summary.length
                    self.truth.claim(id, owner=STRANGER, lease=HOUR, replacing=summary.token if summary.owner else None)
        return method(*args, **kwargs)


def check_theft(
    store: Store, case: Case, n: int, way: str = "sync", broken: Callable[[Store], Any] | None = None
) -> None:
    thief = Thief(broken(store) if broken else store, store, n)
    bench, service = case.bench(thief, way)
    thief.calls = service.calls
    told = ""
    try:
        bench.run()
    except StoreConflict as conflict:
        told = str(conflict)
    if thief.n <= 0:
        assert "owned by 'elsewhere'" in told, "the replaced owner goes on"
        assert thief.left == {id: len(store.history(id)) for id in thief.left}, "the replaced owner writes"
        assert thief.made == service.calls, "the replaced owner calls"


@quick(40)
@given(case=cases, n=st.integers(1, 8))
def test_a_replaced_owner_stops(case: Case, n: int) -> None:
    """Any saga, taken over before any append: the drive raises, writes nothing and calls nothing more."""
    with contextlib.closing(open_store("memory://")) as store:
        check_theft(store, case, n)


def test_a_replaced_owner_stops_on_every_store(way: str, store: Store) -> None:
    """The same with every store and both runtimes, for one saga."""
    check_theft(store, Case({"a": {}, "b": {}}, {}), 1, way)


def test_a_store_without_fencing_is_noticed() -> None:
    """Positive control: a store that takes appends under an old token."""

    def check(case: Case, n: int) -> None:
        with contextlib.closing(open_store("memory://")) as store:
            check_theft(store, case, n, broken=Unfenced)

    expect_breach(check, case=cases, n=st.integers(1, 8))


# Leases ---------------------------------------------------------------------------------------------------------------


def test_a_long_action_keeps_its_lease(way: str, memory: Store) -> None:
    """A thread renews the lease while a long action runs, here for three leases."""
    check_long_action(memory, memory, way)


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
    """The store may answer again before the lease runs out, so a renewal that fails does not end the drive."""
    service = Service(script={"a": [lambda: threading.Event().wait(0.15)]})
    bench = Bench(FailingStore(memory, renew=["before"] * 2), saga_of(service, a={}), way)
    bench.options["lease"] = timedelta(milliseconds=150)
    assert "completed" == bench.run().state


def test_a_lease_is_released_whenever_the_driver_leaves(way: str, store: Store) -> None:
    """An owner releases on every exit, also by an exception of an action, a compensation or a listener."""

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


def test_a_blocked_instance_has_no_owner(way: str, memory: Store) -> None:
    """A blocked instance has no owner, so that the decision can claim it."""
    bench, _ = started(memory, way, {"a": ["lost"]})
    assert "in_doubt" == bench.ask("resume", "o-1").blocked[0].reason
    assert memory.load("o-1").summary.owner is None


# Re-entrance ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [("run", ()), ("resume", ()), ("advance", ()), ("retry", ()), ("abandon", ("enough",))],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_re_entrant_drive_is_refused(operation: str, arguments: tuple[str, ...], memory: Store) -> None:
    """An action that drives its own instance would wait for itself: `IllegalTransition`."""
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


def test_a_re_entrant_drive_is_refused_on_the_loop_too(memory: Store) -> None:
    """So would an async action, and a task that this action makes."""
    saga = Saga("order")
    asked: list[AsyncOrchestrator] = []

    async def act() -> list[str]:
        with pytest.raises(IllegalTransition) as direct:
            await asked[0].resume("o-1")
        with pytest.raises(IllegalTransition) as task:
            await asyncio.create_task(asked[0].resume("o-1"))
        assert str(direct.value) == str(task.value)
        return [str(direct.value)]

    saga.add_step("a", act)

    async def main() -> Any:
        async with AsyncOrchestrator(memory, sagas=[saga]) as orchestrator:
            asked.append(orchestrator)
            return await orchestrator.run(saga, 1, id="o-1")

    assert {
        "a": [
            (
                "instance 'o-1' is running:a and driven by the very code that asks, which does not allow 'resume' "
                "(allowed: cancel)"
            )
        ]
    } == asyncio.run(main()).results


def test_an_action_may_drive_another_instance(memory: Store) -> None:
    """An action may drive another instance."""
    saga, inner = Saga("order"), Saga("inner")
    inner.add_step("x", lambda: 1)
    saga.add_step("a", lambda: orchestrator.run(inner, None).state)
    with Orchestrator(memory) as orchestrator:
        assert {"a": "completed"} == orchestrator.run(saga, None).results


# Requests -------------------------------------------------------------------------------------------------------------


def test_a_cancel_of_an_instance_owned_elsewhere_is_posted(way: str, memory: Store) -> None:
    """A request needs no token: it waits in the mailbox for the owner."""
    bench, _ = started(memory, way)
    memory.claim("o-1", owner=STRANGER, lease=HOUR)
    assert "pending" == bench.ask("cancel", "o-1", by="me", reason="no").state
    assert [("me", "no")] == [(request.by, request.reason) for request in memory.mail("o-1")]


def test_a_request_without_the_definition_waits(memory: Store) -> None:
    """A poster without the definition leaves the request to the next `recover()`."""
    bench, service = started(memory, "sync")
    with Orchestrator(memory) as stranger:
        assert "pending" == stranger.cancel("o-1", reason="no").state
    assert ["InstanceCreated"] == lines(memory.history("o-1"))
    assert ("o-1",) == bench.ask("recover").resumed
    assert "failed" == bench.get().state
    assert [] == service.calls


def test_an_action_may_cancel_its_own_instance(way: str, memory: Store) -> None:
    """A cancel from inside an action is a request like any other. The drive reads it when the action has settled."""
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


def test_a_request_counts_once(way: str, memory: Store) -> None:
    """A request counts once by its id, also after it was absorbed."""

    def post() -> None:
        for _ in range(2):
            memory.post("o-1", CancelRequested(request_id="r-1", by="me", reason="no"))

    service = Service(script={"a": [post], "undo a": [post]})
    bench = Bench(memory, saga_of(service, is_async=is_async(way), a={}, b={}), way)
    assert bench.run().compensated
    assert 1 == lines(memory.history("o-1")).count("CancelRequested no")


def test_many_threads_and_one_instance(store: Store) -> None:
    """Of many threads that drive one instance at once, one does. The others get the instance as stored, or a conflict."""
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
