"""One run of a saga against a world: the real engine, with planned faults, simulated processes and virtual time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import attrs

from sagafsm.definition.definition import Definition, HasDefinition
from sagafsm.definition.registry import Registry
from sagafsm.engine.config import LEASE, Settings
from sagafsm.engine.effects import (
    Effect,
    Effects,
    EnterResources,
    PendingCall,
    Reply,
    Sleep,
    StoreCall,
    StoreWrite,
    WaitAll,
    WaitFirst,
    WaitForSlot,
)
from sagafsm.engine.engine import Engine
from sagafsm.engine.listeners import ignore
from sagafsm.engine.operations import Operations
from sagafsm.engine.ownership import Lease, running_drives
from sagafsm.errors import IllegalTransition, SagaError, SagaNotFound
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.payload import MAX_PAYLOAD
from sagafsm.store import Store
from sagafsm.verify.schedule import FaultKind, OperatorPolicy, Turns
from sagafsm.verify.simulate.calls import SimulatedCalls
from sagafsm.verify.simulate.crashing_store import CrashingStore
from sagafsm.verify.simulate.interception import FaultInjector
from sagafsm.verify.simulate.process import ENDS_OF_PROCESS, Crashed, FaultPlan, Process
from sagafsm.verify.simulate.process_memory import ProcessMemory
from sagafsm.verify.simulate.resource_proxies import wrap_resource
from sagafsm.verify.simulate.virtual_clock import VirtualClock

ROOT_ID = "run"
CANCEL_ID_PREFIX = "cancel"


@attrs.frozen(eq=False)
class _SimulatedLeaseKeeper:
    """Counts the drives of a run as running, and renews nothing: no time passes."""

    drives: set[str] = attrs.Factory(set)

    def close(self) -> None:
        """Nothing is renewed, so nothing has to end."""

    @contextmanager
    def running(self, lease: Lease) -> Iterator[None]:
        running_drives.add(lease.drive)
        self.drives.add(lease.drive)
        try:
            yield
        finally:
            running_drives.discard(lease.drive)
            self.drives.discard(lease.drive)


@attrs.frozen
class PinnedSaga:
    """A saga as it is now, whatever becomes of it meanwhile."""

    definition: Definition


@attrs.frozen
class SimulationSetup:
    """What all runs of one verification share."""

    saga: HasDefinition
    store: Callable[[], Store]
    memory: ProcessMemory
    signals: Mapping[str, Any]
    run_awaitable: Callable[[Any], Any]


@attrs.define(eq=False)
class Simulation:
    """One instance of a saga, with the world, the store and the processes that run the instance.

    `instance` is the last state that was read. `cancelled` counts the cancels that the store accepted.
    """

    setup: SimulationSetup
    world: Any
    input: Any
    plan: FaultPlan
    turns: Turns = "first"
    operator: OperatorPolicy = "truth"
    traces: bool = False
    store: Store = attrs.field(default=attrs.Factory(lambda self: self.setup.store(), takes_self=True))
    clock: VirtualClock = attrs.Factory(VirtualClock)
    instance_id: str = ROOT_ID
    instance: SagaInstance | None = attrs.field(default=None, init=False)
    process_count: int = attrs.field(default=0, init=False)
    cancelled: int = attrs.field(default=0, init=False)
    calls: SimulatedCalls = attrs.field(init=False)
    _resources: Mapping[str, Any] | None = attrs.field(default=None, init=False)
    _keeper: _SimulatedLeaseKeeper = attrs.field(factory=_SimulatedLeaseKeeper, init=False)

    def __attrs_post_init__(self) -> None:
        self.calls = SimulatedCalls(
            self.world, self.plan, self.setup.run_awaitable, self.simulate_other_client, traces=self.traces
        )

    def start_process(self) -> Process:
        """Start the next process."""
        self.process_count += 1
        return Process(self.process_count)

    def make_operations(self, process: Process) -> Operations:
        """Return the operations of an orchestrator in this process."""
        if self._resources is None:
            self._resources = self.world.resources()
        injector = FaultInjector(self.calls, process)
        given = {name: wrap_resource(name, resource, injector) for name, resource in self._resources.items()}
        settings = Settings(
            clock=self.clock,
            lease=LEASE,
            max_payload=MAX_PAYLOAD,
            on_event=ignore,
            stopping=lambda: False,
            draw=lambda: 0.5,
        )
        registry = Registry()
        registry.add(self.setup.saga)
        store = CrashingStore(self.store, process, self.calls)
        return Operations(Engine(store, registry, given, settings, self._keeper, f"worker {process.number}"))

    def start(self, process: Process, operations: Operations) -> SagaInstance:
        """Start the instance, or resume it, and drive it until it rests or parks."""
        steps = operations.start(self.setup.saga, self.input, id=self.instance_id, drive=True)
        started: SagaInstance = self.perform(process, steps)
        return started

    def perform(self, process: Process, steps: Effects[Any]) -> Any:
        """Carry out effects one after the other, and return the result."""
        try:
            effect = next(steps)
            while True:
                try:
                    reply = self._perform_effect(effect, process)
                except BaseException as error:  # noqa: BLE001 - thrown into the engine, which cleans up and raises it
                    effect = steps.throw(error)
                else:
                    effect = steps.send(reply)
        except StopIteration as end:
            return end.value

    def _perform_effect(self, effect: Effect, process: Process) -> Any:
        match effect:
            case StoreWrite(store=store, write=write):
                return write.alone(store)
            case WaitFirst(pending=pending):
                return self._run_first_call(process, pending)
            case StoreCall(call=call):
                return call()
            case Sleep(duration=duration):
                return self._sleep(duration)
            case EnterResources(given=given):
                return given
            case WaitAll():
                return None

    def _sleep(self, duration: timedelta) -> None:
        """Sleep until the instance is due. A drive wakes up earlier only to read mail, and no mail comes here."""
        instance = self.store.load(self.instance_id).instance
        now = self.clock.now()
        ends = [moment for moment in (instance.wake_at, instance.deadline) if moment is not None and moment > now]
        self.clock.advance_to(min(ends, default=now + duration))

    def _run_first_call(self, process: Process, pending: Sequence[PendingCall]) -> tuple[PendingCall, Reply]:
        """Run one of the pending calls to its end. The schedule chooses: the first or the last that was started."""
        chosen = pending[0 if self.turns == "first" else -1]
        if isinstance(chosen.call, WaitForSlot):
            raise TypeError("nothing is queued where one instance runs")
        return chosen, self.calls.run_step_call(process, chosen.call)

    def simulate_other_client(self, kind: FaultKind) -> None:
        """Post a cancel, or let a second worker drive the instance, while the current process is in a call."""
        if kind == "cancel":
            request = e.CancelRequested(
                request_id=f"{CANCEL_ID_PREFIX}{self.cancelled}", by="the verifier", reason="a test"
            )
            with contextlib.suppress(IllegalTransition, SagaNotFound):
                self.store.post(self.instance_id, request)
                self.cancelled += 1
            return
        # The first worker is stopped in its call, so its lease has run out: to the second worker it is dead.
        mine = set(self._keeper.drives)
        running_drives.difference_update(mine)
        try:
            other = self.start_process()
            self.start(other, self.make_operations(other))
        except (Crashed, SagaError, *ENDS_OF_PROCESS):
            # The second worker ends too: the next process goes on.
            pass
        except KeyboardInterrupt:
            if not other.interrupted:
                raise
        finally:
            running_drives.update(mine)
