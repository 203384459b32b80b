"""Instances of one saga in a simulated process with faults, and the check of how they end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

import attrs

from sagafsm.definition.definition import HasDefinition
from sagafsm.engine.effects import Effects
from sagafsm.engine.operations import Operations
from sagafsm.errors import SagaNotFound, StoreError, format_list
from sagafsm.history.instance import SagaInstance
from sagafsm.store import Store
from sagafsm.verify.explore.trials import make_setup
from sagafsm.verify.report.explain import explain_violation
from sagafsm.verify.report.hints import find_advice
from sagafsm.verify.report.oracle import Oracle, Violation
from sagafsm.verify.schedule import Fault, FaultKind, FaultPoint, Schedule, list_fault_kinds
from sagafsm.verify.simulate.operator import SimulatedOperator
from sagafsm.verify.simulate.process import Crashed, FixedPlan, Process
from sagafsm.verify.simulate.run import Runner, RunResult
from sagafsm.verify.simulate.simulation import Simulation, SimulationSetup
from sagafsm.verify.simulate.virtual_clock import BEGIN, VirtualClock
from sagafsm.verify.simulate.world import WorldFactory, WorldSnapshot, describe_changes, make_world

# An instance that does not rest after this many drives counts as one that never rests.
MAX_DRIVES = 50


@attrs.define(eq=False)
class ArmedPlan:
    """A plan of waiting faults: each waits for the n-th of the coming points that it fits."""

    waiting: list[tuple[FaultKind, int]] = attrs.Factory(list)

    def at(self, point: FaultPoint) -> FaultKind | None:
        """See `FaultPlan.at`."""
        # A function that calls resources gets its faults there, and this one may call some.
        kinds = list_fault_kinds(point, intercepted=not point.call and point.role != "signal")
        fits = [index for index, (kind, _) in enumerate(self.waiting) if kind in kinds]
        due: FaultKind | None = None
        for index in fits:
            kind, left = self.waiting[index]
            due = kind if left <= 0 and due is None else due
            self.waiting[index] = (kind, left - 1)
        if due is not None:
            self.waiting.remove(next(one for one in self.waiting if one[0] == due and one[1] < 0))
        return due


@attrs.define(eq=False)
class SimulatedInstance:
    """One instance with its run; `instance` is its stored state, None before it is created."""

    run: Simulation
    operator: SimulatedOperator
    process: Process
    operations: Operations
    instance: SagaInstance | None = None

    @property
    def fired(self) -> tuple[Fault, ...]:
        """The faults that were injected, in order."""
        return tuple(
            Fault(visited.point, visited.kind) for visited in self.run.calls.visited_points if visited.kind is not None
        )

    @property
    def state(self) -> str:
        """The state of the instance; "" before it is created."""
        return "" if self.instance is None else self.instance.state

    @property
    def is_at_rest(self) -> bool:
        """Whether the instance has ended."""
        return self.instance is not None and self.instance.is_at_rest


@attrs.define(eq=False)
class SimulatedProcess:
    """A process that runs instances of a saga over a world and a store. A new one takes its place when it dies.

    A dead process reaches neither world nor store, not even from a `finally`.
    """

    setup: SimulationSetup
    factory: WorldFactory
    plan: ArmedPlan = attrs.Factory(ArmedPlan)
    clock: VirtualClock = attrs.Factory(VirtualClock)
    instances: dict[str, SimulatedInstance] = attrs.Factory(dict)
    outages: set[str] = attrs.Factory(set)
    world: Any = attrs.field(init=False)
    store: Store = attrs.field(init=False)
    before: WorldSnapshot = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.setup.memory.reset()
        self.world, self.store = make_world(self.factory), self.setup.store()
        self.before = WorldSnapshot.take(self.world)

    @classmethod
    def of(
        cls, saga: HasDefinition, factory: WorldFactory, signals: Mapping[str, Any], run_awaitable: Callable[[Any], Any]
    ) -> SimulatedProcess:
        """Return a process without instances, over a new world and an empty store."""
        return cls(make_setup(saga, signals, run_awaitable), factory)

    # What it does -----------------------------------------------------------------------------------------------------

    def start(self, instance_id: str, input: Any) -> SimulatedInstance:
        """Create an instance without driving it."""
        run = Simulation(
            self.setup,
            self.world,
            input,
            self.plan,
            traces=True,
            store=self.store,
            clock=self.clock,
            instance_id=instance_id,
        )
        run.calls.outages = self.outages
        process = run.start_process()
        target = SimulatedInstance(run, SimulatedOperator(run, ()), process, run.make_operations(process))
        self.instances[instance_id] = target
        self._create(target)
        return target

    def _create(self, target: SimulatedInstance) -> None:
        self._perform(
            target,
            lambda do: do.start(self.setup.saga, target.run.input, id=target.run.instance_id, drive=False),
        )

    def advance(self, target: SimulatedInstance) -> None:
        """Let an instance do exactly one command: its creation, if it is not created yet."""
        if target.instance is None:
            self._create(target)
        else:
            self._perform(target, lambda do: do.resume(target.run.instance_id, "one_command", "advance"))

    def drive(self, target: SimulatedInstance) -> None:
        """Drive an instance until it rests or parks."""
        self._perform(
            target,
            lambda do: do.start(self.setup.saga, target.run.input, id=target.run.instance_id, drive=True),
        )

    def signal(self, target: SimulatedInstance, name: str, number: int) -> None:
        """Send a signal that an instance waits for."""
        payload, request = self.setup.signals[name], f"signal {number}"
        self._perform(target, lambda do: do.signal(target.run.instance_id, name, payload, request_id=request))

    def cancel(self, target: SimulatedInstance) -> None:
        """Post a cancel. The next drive of the instance reads it."""
        target.run.simulate_other_client("cancel")

    def decide(self, target: SimulatedInstance, *, patient: bool = True) -> None:
        """Decide the block of an instance by the truth of the world; `patient`: never abandon the instance."""
        assert target.instance is not None  # noqa: S101 - only a created instance is blocked
        instance, operator = target.instance, target.operator
        operator.reads = self._list_reads()
        if patient:
            # Faults go on during the test, so a failed retry is no reason to give up: use an operator without a memory.
            operator = SimulatedOperator(target.run, operator.reads)
        try:
            with self._in_process(target):
                operator.settle(target.process, target.operations, instance)
        finally:
            if operator is not target.operator:
                target.operator.settled += operator.settled
        self._reload(target)

    def die(self) -> None:
        """Die: the memory is lost, and a new process takes over every instance."""
        self.setup.memory.reset()
        for target in self.instances.values():
            self._restart_process(target)

    def _restart_process(self, target: SimulatedInstance) -> None:
        target.process.is_dead = True
        target.process = target.run.start_process()
        target.operations = target.run.make_operations(target.process)

    def _perform(self, target: SimulatedInstance, what: Callable[[Operations], Effects[SagaInstance]]) -> None:
        with self._in_process(target):
            target.run.perform(target.process, what(target.operations))
        self._reload(target)

    @contextlib.contextmanager
    def _in_process(self, target: SimulatedInstance) -> Iterator[None]:
        """Start a new process, or a new worker, if a fault ends this one."""
        try:
            yield
        except Crashed:
            self.die()
        except KeyboardInterrupt:
            if not target.process.interrupted:
                raise
            self._restart_process(target)
        except StoreError:
            self._restart_process(target)

    def _reload(self, target: SimulatedInstance) -> None:
        with contextlib.suppress(SagaNotFound):
            target.instance = self.store.load(target.run.instance_id).instance

    def _list_reads(self) -> Collection[str]:
        """Return the names of the resource calls that never changed the world."""
        changes = [change for target in self.instances.values() for change in target.run.calls.changes]
        changing = {change.resource_call.name for change in changes if change.places}
        return {change.resource_call.name for change in changes} - changing

    # The end ----------------------------------------------------------------------------------------------------------

    def come_to_rest(self) -> None:
        """Drive every instance to its end without further faults; send signals, and decide blocks.

        Raises:
            AssertionError: an instance does not come to rest.
        """
        self.plan.waiting.clear()
        self.outages.clear()
        for target in self.instances.values():
            if target.instance is None:
                continue
            runner = Runner(target.run, Schedule())
            for _ in range(MAX_DRIVES):
                if target.is_at_rest:
                    break
                self._continue_instance(target, runner)
            else:
                raise AssertionError(
                    f"{self._describe_instance(target)} does not come to rest: it is still {target.instance.state!r}"
                )
            target.process.is_finished = True

    def _continue_instance(self, target: SimulatedInstance, runner: Runner) -> None:
        self.drive(target)
        if target.is_at_rest or target.instance is None:
            return
        if target.instance.blocked:
            self.decide(target, patient=False)
            return
        with self._in_process(target):
            if runner.continue_instance(target.process, target.operations, target.instance) is None:
                waits = format_list(map(repr, target.instance.awaited))
                reason = f"it waits for signal {waits}, which nobody sends (set signals = {{{waits}: ...}})"
                raise AssertionError(f"{self._describe_instance(target)} does not come to rest: {reason}")
        self._reload(target)

    # What is wrong ----------------------------------------------------------------------------------------------------

    def find_violation(self) -> str | None:
        """Describe what is wrong with the instances at rest, or return None. The world is checked once all rest."""
        for target in self.instances.values():
            if target.is_at_rest:
                violation = self._find_instance_violation(target, None)
                if violation is not None:
                    return violation
        if all(target.is_at_rest or target.instance is None for target in self.instances.values()):
            return self._find_world_violation()
        return None

    def _find_world_violation(self) -> str | None:
        created = [target for target in self.instances.values() if target.instance is not None]
        after = WorldSnapshot.take(self.world)
        states = [target.state for target in created]
        if states == ["completed"]:
            return self._find_instance_violation(created[0], after)
        remains = (self._find_remains(target, after) for target in created if target.state == "failed")
        found = next(filter(None, remains), None)
        if found is not None or "completed" in states:
            return found
        return next(filter(None, (self._find_instance_violation(target, after) for target in created)), None)

    def _find_remains(self, target: SimulatedInstance, after: WorldSnapshot) -> str | None:
        """Describe the remains in those places of the world that no other instance has changed."""
        if callable(getattr(self.world, "equivalent", None)):
            # `equivalent` compares whole worlds only.
            return None
        others = [other.run.calls.changes for other in self.instances.values() if other is not target]
        shared = {place for changes in others for change in changes for place in change.places}
        mine = {place: change.step_call.path for change in target.run.calls.changes for place in change.places - shared}
        now = {change.partition(": ")[0]: change for change in describe_changes(self.before.strict, after.strict)}
        left = [place for place in mine if place in now]
        if not left:
            return None
        violation = Violation("left_behind", mine[left[0]], "", tuple(now[place] for place in left))
        return self._explain_violation(target, violation, self._make_result(target, after))

    def _find_instance_violation(self, target: SimulatedInstance, after: WorldSnapshot | None) -> str | None:
        reference = None
        if after is not None and target.instance is not None and target.fired:
            reference = self.run_reference(target.run.input, target.run.instance_id, target.instance.created_at)
        outcome = self._make_result(target, after)
        violations = Oracle(self.before, reference, lambda outcome: outcome).find_violations(outcome)
        return self._explain_violation(target, violations[0], outcome) if violations else None

    def _make_result(self, target: SimulatedInstance, after: WorldSnapshot | None) -> RunResult:
        return RunResult(
            schedule=Schedule(target.fired),
            ending="rested",
            instance=target.instance,
            before=self.before,
            after=after,
            world=self.world,
            run=target.run,
            settled=tuple(target.operator.settled),
        )

    def _explain_violation(self, target: SimulatedInstance, violation: Violation, outcome: RunResult) -> str:
        definition = self.setup.saga.definition
        message = explain_violation(definition.saga, violation, outcome, 0)
        history = () if target.instance is None else target.instance.history
        advice = find_advice(violation, outcome, definition)
        summary = f"{violation.kind} by {self._describe_instance(target)}: {message} {advice}".strip()
        return "\n".join([summary, "its history:", *(f"  {event.number} {event}" for event in history)])

    def _describe_instance(self, target: SimulatedInstance) -> str:
        return f"instance {target.run.instance_id!r} of saga {self.setup.saga.definition.saga!r}"

    def run_reference(self, input: Any, instance_id: str, begun: datetime = BEGIN) -> RunResult:
        """Run an instance with this input without faults, in a new world; `begun` is when it is created."""
        self.setup.memory.reset()
        # Keys depend on when an instance is created.
        clock = VirtualClock(begun)
        run = Simulation(
            self.setup, make_world(self.factory), input, FixedPlan({}), clock=clock, instance_id=instance_id
        )
        outcome = Runner(run, Schedule()).run_to_end(None)
        return attrs.evolve(outcome, after=WorldSnapshot.take(outcome.world))
