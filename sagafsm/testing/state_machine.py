"""A user's saga as a state machine of Hypothesis: instances are started, driven, hit and decided in any order."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from sagafsm.definition.definition import HasDefinition
from sagafsm.errors import RequestError
from sagafsm.history.instance import SagaInstance
from sagafsm.testing.simulated_process import SimulatedInstance, SimulatedProcess
from sagafsm.verify.explore.random_faults import is_strategy
from sagafsm.verify.schedule import FaultKind
from sagafsm.verify.simulate.watchdog import Watchdog
from sagafsm.verify.simulate.world import make_world_factory

FAULTS: tuple[FaultKind, ...] = ("raise_before", "raise_after", "down")
SECONDS = (1, 60, 3_600, 86_400)
_points = st.integers(0, 12)


class SagaStateMachine(RuleBasedStateMachine):
    """Instances of your saga over your world, and all that can happen to them, in an order that Hypothesis draws.

        class Orders(SagaStateMachine):
            saga = order
            world = Shop
            inputs = [mug, saucer]  # or a strategy

        TestOrders = Orders.TestCase
        TestOrders.settings = settings(max_examples=50, deadline=None)

    What always holds: once all instances rest and none has completed, the world is as it was before, but for what its
    `residue()` declares; one that completes alone leaves what a run without faults leaves; requests are not lost, and
    what was begun is undone in reverse. At the end of each example everything comes to rest, with a simulated operator
    who decides what waits for a person. Rules and invariants of your own may be added: `get(id)` is an instance as it
    is stored, `self.process.world` the world, and `instances` the bundle of ids.

    Attributes:
        saga: The saga.
        world: A `World` class, a function that makes one, or an instance, which is copied for each example.
        inputs: A list of inputs, or a strategy.
        signals: The payloads of the signals that the saga waits for, by name, or by path for those of nested sagas.
        faults: What calls of resources may meet, apart from crashes: words of schedules, as "raise_before".
        most_instances: How many instances there are at most.
    """

    saga: ClassVar[HasDefinition]
    world: ClassVar[Any]
    inputs: ClassVar[Any] = (None,)
    signals: ClassVar[Mapping[str, Any]] = {}
    faults: ClassVar[Sequence[FaultKind]] = FAULTS
    most_instances: ClassVar[int] = 3

    instances = Bundle("instances")

    def __init__(self) -> None:
        super().__init__()
        kind = type(self)
        for name in ("saga", "world"):
            if not hasattr(kind, name):
                raise RequestError(f"{kind.__name__} has no {name!r}: set {name} = ... in its class")
        # For its loop alone: Hypothesis has time limits of its own.
        self._watch = Watchdog(timedelta(days=1))
        self._signals = 0
        self._outer = sys.exception()
        self.process = SimulatedProcess.of(
            kind.saga, make_world_factory(kind.world), kind.signals, self._watch.run_awaitable
        )

    def get(self, id: str) -> SagaInstance | None:
        """An instance as it is stored; None, when it could not be created yet."""
        return self._find_instance(id).instance

    def _find_instance(self, id: str) -> SimulatedInstance:
        return self.process.instances[id]

    def _make_input_strategy(self) -> st.SearchStrategy[Any]:
        given = type(self).inputs
        if is_strategy(given):
            return given  # type: ignore[no-any-return]  # seen to be one
        if not isinstance(given, Sequence) or isinstance(given, (str, bytes)) or not given:
            raise RequestError(f"{type(self).__name__} takes inputs as a list or a Hypothesis strategy, not {given!r}")
        return st.sampled_from(list(given))

    # What can happen --------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.process.instances) < self.most_instances)
    @rule(target=instances, input=st.runner().flatmap(lambda self: self._make_input_strategy()))
    def start(self, input: Any) -> str:
        """An instance is created."""
        id = f"i-{len(self.process.instances) + 1}"
        self._check_world_shows(input, id)
        self.process.start(id, input)
        return id

    @rule(id=instances)
    def advance(self, id: str) -> None:
        """An instance does one command."""
        self.process.advance(self._find_instance(id))

    @rule(id=instances)
    def run_on(self, id: str) -> None:
        """An instance is driven until it rests or parks."""
        self.process.drive(self._find_instance(id))

    @rule(id=instances, after=_points, kind=st.sampled_from(["crash", "crash_after"]))
    def crash(self, id: str, after: int, kind: FaultKind) -> None:
        """The process dies while it drives an instance, some points from now."""
        self._drive_into_fault(id, kind, after)
        self.process.die()

    @rule(id=instances, after=_points)
    def steal_lease(self, id: str, after: int) -> None:
        """Another worker takes an instance over, while this one drives it and is about to write."""
        self._drive_into_fault(id, "duplicate", after)

    def _drive_into_fault(self, id: str, kind: FaultKind, after: int) -> None:
        waiting = self.process.plan.waiting
        waiting.append((kind, after))
        self.process.drive(self._find_instance(id))
        waiting[:] = [one for one in waiting if one[0] != kind]

    @rule(kind=st.runner().flatmap(lambda self: st.sampled_from(list(self.faults))), after=st.integers(0, 6))
    def fail(self, kind: FaultKind, after: int) -> None:
        """A call of a resource is about to fail, some calls from now."""
        self.process.plan.waiting.append((kind, after))

    @rule(id=instances)
    def cancel(self, id: str) -> None:
        """Somebody asks an instance to go back."""
        self.process.cancel(self._find_instance(id))

    @precondition(lambda self: self.process.outages)
    @rule()
    def heal(self) -> None:
        """What is down is up again."""
        self.process.outages.clear()

    @precondition(lambda self: self.process.instances)
    @rule(seconds=st.sampled_from(SECONDS))
    def tick(self, seconds: int) -> None:
        """Time passes."""
        self.process.clock.sleep(timedelta(seconds=seconds))

    @precondition(lambda self: self._list_blocked())
    @rule(which=st.integers(0, 10))
    def decide(self, which: int) -> None:
        """An operator, who knows the world's truth, decides a block."""
        blocked = self._list_blocked()
        self.process.decide(blocked[which % len(blocked)])

    def _list_blocked(self) -> list[SimulatedInstance]:
        return [one for one in self.process.instances.values() if one.instance is not None and one.instance.blocked]

    @precondition(lambda self: self._list_awaited())
    @rule(which=st.integers(0, 10))
    def signal(self, which: int) -> None:
        """A signal comes that an instance waits for."""
        awaited = self._list_awaited()
        self._signals += 1
        self.process.signal(*awaited[which % len(awaited)], self._signals)

    def _list_awaited(self) -> list[tuple[SimulatedInstance, str]]:
        return [
            (one, name)
            for one in self.process.instances.values()
            for name in (() if one.instance is None else one.instance.awaited)
            if name in self.signals
        ]

    # What holds -------------------------------------------------------------------------------------------------------

    @invariant()
    def check_promises(self) -> None:
        """What has ended has ended as a saga promises."""
        violation = self.process.find_violation()
        if violation is not None:
            raise AssertionError(violation)

    def teardown(self) -> None:
        """Have everything come to rest, and look once more."""
        try:
            # What has failed already is not covered up by what follows from it. Whoever runs this may handle an error.
            if sys.exception() is self._outer:
                self.process.come_to_rest()
                self.check_promises()
        finally:
            self.process.setup.memory.reset()
            self._watch.close()

    def _check_world_shows(self, input: Any, id: str) -> None:
        """A world that no step calls, or that is always the same, would let everything pass."""
        kind = type(self)
        if "_shows" in kind.__dict__:
            return
        outcome = self.process.run_reference(input, id)
        if outcome.state != "completed":
            return
        name = self.process.setup.saga.definition.saga
        if not any(called.resource_calls for called in outcome.run.calls.step_calls):
            raise AssertionError(
                f"no resource of this world was ever called by saga {name!r}, so that nothing is tried"
            )
        if outcome.before == outcome.after:
            raise AssertionError(
                f"the world's snapshot is the same before and after saga {name!r}, so that nothing shows"
            )
        kind._shows = True  # of the subclass alone
