"""Instances of one saga in a simulated process that can be hit anywhere, and what is wrong with how they end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from sagafsm.drivers.effects import Steps
from sagafsm.errors import SagaNotFound, StoreError, listed
from sagafsm.instance import SagaInstance
from sagafsm.operations import Operations
from sagafsm.steps import Defined
from sagafsm.store import Store, open_store
from sagafsm.verify.advice import advice_of
from sagafsm.verify.clock import BEGIN, VirtualClock
from sagafsm.verify.explain import message_of
from sagafsm.verify.life import Change, Crashed, Life, Planned
from sagafsm.verify.memory import ProcessMemory
from sagafsm.verify.operator import SimulatedOperator
from sagafsm.verify.oracle import Oracle, Violation
from sagafsm.verify.runs import Outcome, Runner
from sagafsm.verify.schedule import Fault, Kind, Point, Schedule, faults_at
from sagafsm.verify.simulation import Setting, Simulation
from sagafsm.verify.world import Factory, Look, changes, made

# So often an instance may be driven on, and its process die, before it counts as one that never comes to rest.
PATIENCE = 50


@attrs.define(eq=False)
class Armed:
    """A plan of faults that wait, each for the n-th of the points to come at which it can be injected."""

    waiting: list[tuple[Kind, int]] = attrs.Factory(list)

    def at(self, point: Point) -> Kind | None:
        """See `Plan.at`."""
        # A function that calls resources is hit there; whether this one does is not known yet.
        kinds = faults_at(point, intercepted=not point.call and point.role != "signal")
        fits = [index for index, (kind, _) in enumerate(self.waiting) if kind in kinds]
        due: Kind | None = None
        for index in fits:
            kind, left = self.waiting[index]
            due = kind if left <= 0 and due is None else due
            self.waiting[index] = (kind, left - 1)
        if due is not None:
            self.waiting.remove(next(one for one in self.waiting if one[0] == due and one[1] < 0))
        return due


@attrs.define(eq=False)
class Tried:
    """One instance, and what it has come by; `instance` is what is stored of it, None before it is created."""

    run: Simulation
    operator: SimulatedOperator
    life: Life
    operations: Operations
    instance: SagaInstance | None = None

    @property
    def fired(self) -> tuple[Fault, ...]:
        """The faults that were injected, in order."""
        return tuple(Fault(passed.point, passed.kind) for passed in self.run.passed if passed.kind is not None)

    @property
    def is_at_rest(self) -> bool:
        """Whether it has ended."""
        return self.instance is not None and self.instance.is_at_rest


@attrs.define(eq=False)
class SimulatedProcess:
    """A process that runs instances of a saga between a world and a store, and begins anew when it dies.

    Nothing of a dead one reaches world or store any more, not even from a `finally`.
    """

    setting: Setting
    factory: Factory
    plan: Armed = attrs.Factory(Armed)
    clock: VirtualClock = attrs.Factory(VirtualClock)
    instances: dict[str, Tried] = attrs.Factory(dict)
    outages: set[str] = attrs.Factory(set)
    world: Any = attrs.field(init=False)
    store: Store = attrs.field(init=False)
    before: Look = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.setting.memory.lose()
        self.world, self.store = made(self.factory), self.setting.store()
        self.before = Look.at(self.world)

    @classmethod
    def of(
        cls, saga: Defined, factory: Factory, signals: Mapping[str, Any], awaited: Callable[[Any], Any]
    ) -> SimulatedProcess:
        """A process that has done nothing yet."""
        memory = ProcessMemory.of(saga.definition)
        return cls(Setting(saga, type(open_store("memory://")), memory, signals, awaited), factory)

    # What it does -----------------------------------------------------------------------------------------------------

    def start(self, instance_id: str, input: Any) -> Tried:
        """Create an instance, and drive nothing."""
        run = Simulation(
            self.setting,
            self.world,
            input,
            self.plan,
            traces=True,
            store=self.store,
            clock=self.clock,
            instance_id=instance_id,
        )
        run.outages = self.outages
        life = run.born()
        tried = Tried(run, SimulatedOperator(run, ()), life, run.operations(life))
        self.instances[instance_id] = tried
        self._create(tried)
        return tried

    def _create(self, tried: Tried) -> None:
        self._do(tried, lambda do: do.start(self.setting.saga, tried.run.input, id=tried.run.instance_id, drive=False))

    def advance(self, tried: Tried) -> None:
        """Have an instance do exactly one command; create it, if that is what it has come to."""
        if tried.instance is None:
            self._create(tried)
        else:
            self._do(tried, lambda do: do.resume(tried.run.instance_id, "one_command", "advance"))

    def drive(self, tried: Tried) -> None:
        """Drive an instance until it rests or parks."""
        self._do(tried, lambda do: do.start(self.setting.saga, tried.run.input, id=tried.run.instance_id, drive=True))

    def signal(self, tried: Tried, name: str, number: int) -> None:
        """Send a signal that an instance waits for."""
        payload, request = self.setting.signals[name], f"signal {number}"
        self._do(tried, lambda do: do.signal(tried.run.instance_id, name, payload, request_id=request))

    def cancel(self, tried: Tried) -> None:
        """Post a cancel, which is read when the instance is next driven."""
        tried.run.meanwhile("cancel")

    def decide(self, tried: Tried, *, patient: bool = True) -> None:
        """Decide what an instance is blocked on, as it is true of the world; `patient`: never give it up."""
        assert tried.instance is not None  # noqa: S101 - what is not there is not blocked
        instance, operator = tried.instance, tried.operator
        operator.reads = self._reads()
        if patient:
            # Faults are injected as long as the test goes on, so that a block says nothing of what retries are worth.
            operator = SimulatedOperator(tried.run, operator.reads)
        try:
            with self._in_life(tried):
                operator.settle(tried.life, tried.operations, instance)
        finally:
            if operator is not tried.operator:
                tried.operator.settled += operator.settled
        self._look(tried)

    def die(self) -> None:
        """Be killed: the memory is lost, and every instance is in the hands of a new process."""
        self.setting.memory.lose()
        for tried in self.instances.values():
            self._renew(tried)

    def _renew(self, tried: Tried) -> None:
        tried.life.dead = True
        tried.life = tried.run.born()
        tried.operations = tried.run.operations(tried.life)

    def _do(self, tried: Tried, what: Callable[[Operations], Steps[SagaInstance]]) -> None:
        with self._in_life(tried):
            tried.run.perform(tried.life, what(tried.operations))
        self._look(tried)

    @contextlib.contextmanager
    def _in_life(self, tried: Tried) -> Iterator[None]:
        """What a fault ends is gone on with by a new process, or by a new worker."""
        try:
            yield
        except Crashed:
            self.die()
        except KeyboardInterrupt:
            if not tried.life.interrupted:
                raise
            self._renew(tried)
        except StoreError:
            self._renew(tried)

    def _look(self, tried: Tried) -> None:
        with contextlib.suppress(SagaNotFound):
            tried.instance = self.store.load(tried.run.instance_id).instance

    def _reads(self) -> Collection[str]:
        """The calls of resources that were never seen to change anything."""
        changes = self._changes()
        changing = {change.answered.name for change in changes if change.places}
        return {change.answered.name for change in changes} - changing

    def _changes(self) -> list[Change]:
        return [change for tried in self.instances.values() for change in tried.run.changes]

    # The end ----------------------------------------------------------------------------------------------------------

    def come_to_rest(self) -> None:
        """With no more faults, drive every instance to its end, sending signals and deciding what is blocked.

        Raises:
            AssertionError: one never gets there.
        """
        self.plan.waiting.clear()
        self.outages.clear()
        for tried in self.instances.values():
            if tried.instance is None:
                continue
            runner = Runner(tried.run, Schedule())
            for _ in range(PATIENCE):
                if tried.is_at_rest:
                    break
                self._go_on(tried, runner)
            else:
                raise AssertionError(
                    f"{self._named(tried)} does not come to rest: it is still {tried.instance.state!r}"
                )
            tried.life.over = True

    def _go_on(self, tried: Tried, runner: Runner) -> None:
        self.drive(tried)
        if tried.is_at_rest or tried.instance is None:
            return
        if tried.instance.blocked:
            self.decide(tried, patient=False)
            return
        with self._in_life(tried):
            if runner.go_on(tried.life, tried.operations, tried.instance) is None:
                waits = listed(map(repr, tried.instance.awaited))
                told = f"it waits for signal {waits}, which nobody sends (set signals = {{{waits}: ...}})"
                raise AssertionError(f"{self._named(tried)} does not come to rest: {told}")
        self._look(tried)

    # What is wrong ----------------------------------------------------------------------------------------------------

    def wrong(self) -> str | None:
        """What is wrong with the instances that rest, in words; the world is looked at once all of them do."""
        for tried in self.instances.values():
            if tried.is_at_rest:
                told = self._wrong_with(tried, None)
                if told is not None:
                    return told
        if all(tried.is_at_rest or tried.instance is None for tried in self.instances.values()):
            return self._wrong_with_world()
        return None

    def _wrong_with_world(self) -> str | None:
        created = [tried for tried in self.instances.values() if tried.instance is not None]
        after = Look.at(self.world)
        states = [tried.instance.state for tried in created if tried.instance is not None]
        if states == ["completed"]:
            return self._wrong_with(created[0], after)
        told = (self._left_by(tried, after) for tried in created if tried.instance and tried.instance.state == "failed")
        found = next((one for one in told if one is not None), None)
        if found is not None or "completed" in states:
            return found
        return next((one for one in (self._wrong_with(tried, after) for tried in created) if one is not None), None)

    def _left_by(self, tried: Tried, after: Look) -> str | None:
        """What is left in those places of the world that no other instance has ever changed."""
        if callable(getattr(self.world, "equivalent", None)):
            # What is as good as equal is asked of the world as a whole.
            return None
        others = [other.run.changes for other in self.instances.values() if other is not tried]
        shared = {place for changes in others for change in changes for place in change.places}
        mine = {place: change.called.path for change in tried.run.changes for place in change.places - shared}
        now = {change.partition(": ")[0]: change for change in changes(self.before.strict, after.strict)}
        left = [place for place in mine if place in now]
        if not left:
            return None
        violation = Violation("left_behind", mine[left[0]], "", tuple(now[place] for place in left))
        return self._told(tried, violation, self._outcome(tried, after))

    def _wrong_with(self, tried: Tried, after: Look | None) -> str | None:
        reference = None
        if after is not None and tried.instance is not None and tried.fired:
            reference = self.reference(tried.run.input, tried.run.instance_id, tried.instance.created_at)
        outcome = self._outcome(tried, after)
        violations = Oracle(self.before, reference, lambda outcome: outcome).violations(outcome)
        return self._told(tried, violations[0], outcome) if violations else None

    def _outcome(self, tried: Tried, after: Look | None) -> Outcome:
        return Outcome(
            schedule=Schedule(tried.fired),
            ending="rested",
            instance=tried.instance,
            before=self.before,
            after=after,
            world=self.world,
            run=tried.run,
            settled=tuple(tried.operator.settled),
        )

    def _told(self, tried: Tried, violation: Violation, outcome: Outcome) -> str:
        definition = self.setting.saga.definition
        told = message_of(definition.saga, violation, outcome, 0)
        history = () if tried.instance is None else tried.instance.history
        lines = [
            f"{violation.kind} by {self._named(tried)}: {told} {advice_of(violation, outcome, definition)}".strip()
        ]
        return "\n".join([*lines, "its history:", *(f"  {event.number} {event}" for event in history)])

    def _named(self, tried: Tried) -> str:
        return f"instance {tried.run.instance_id!r} of saga {self.setting.saga.definition.saga!r}"

    def reference(self, input: Any, instance_id: str, begun: datetime = BEGIN) -> Outcome:
        """How an instance of this input that begins then ends by itself, with no faults, in a world of its own."""
        self.setting.memory.lose()
        # Keys depend on when an instance was created.
        clock = VirtualClock(begun)
        run = Simulation(self.setting, made(self.factory), input, Planned({}), clock=clock, instance_id=instance_id)
        outcome = Runner(run, Schedule()).outcome(None)
        return attrs.evolve(outcome, after=Look.at(outcome.world))


def is_list(value: object) -> bool:
    """Whether a value is a sequence of values to choose from, and not text."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
