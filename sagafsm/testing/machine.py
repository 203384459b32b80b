"""A user's saga as a state machine of Hypothesis: instances are started, driven, hit and decided in any order."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from sagafsm.errors import RequestError
from sagafsm.instance import SagaInstance
from sagafsm.steps import Defined
from sagafsm.testing.simulated import SimulatedProcess, Tried, is_list
from sagafsm.verify.randomised import is_strategy
from sagafsm.verify.schedule import Kind
from sagafsm.verify.watch import Watch
from sagafsm.verify.world import factory_of

FAULTS: tuple[Kind, ...] = ("raise_before", "raise_after", "down")
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

    saga: ClassVar[Defined]
    world: ClassVar[Any]
    inputs: ClassVar[Any] = (None,)
    signals: ClassVar[Mapping[str, Any]] = {}
    faults: ClassVar[Sequence[Kind]] = FAULTS
    most_instances: ClassVar[int] = 3

    instances = Bundle("instances")

    def __init__(self) -> None:
        super().__init__()
        kind = type(self)
        for name in ("saga", "world"):
            if not hasattr(kind, name):
                raise RequestError(f"{kind.__name__} has no {name!r}: set {name} = ... in its class")
        # For its loop alone: Hypothesis has time limits of its own.
        self._watch = Watch(timedelta(days=1))
        self._signals = 0
        self._outer = sys.exception()
        self.process = SimulatedProcess.of(kind.saga, factory_of(kind.world), kind.signals, self._watch.awaited)

    def get(self, id: str) -> SagaInstance | None:
        """An instance as it is stored; None, when it could not be created yet."""
        return self._tried(id).instance

    def _tried(self, id: str) -> Tried:
        return self.process.instances[id]

    def _drawn_inputs(self) -> st.SearchStrategy[Any]:
        given = type(self).inputs
        if is_strategy(given):
            return given  # type: ignore[no-any-return]  # seen to be one
        if not is_list(given) or not given:
            raise RequestError(f"{type(self).__name__} takes inputs as a list or a Hypothesis strategy, not {given!r}")
        return st.sampled_from(list(given))

    # What can happen --------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.process.instances) < self.most_instances)
    @rule(target=instances, input=st.runner().flatmap(lambda self: self._drawn_inputs()))
    def start(self, input: Any) -> str:
        """An instance is created."""
        id = f"i-{len(self.process.instances) + 1}"
        self._look_whether_it_shows(input, id)
        self.process.start(id, input)
        return id

    @rule(id=instances)
    def advance(self, id: str) -> None:
        """An instance does one command."""
        self.process.advance(self._tried(id))

    @rule(id=instances)
    def run_on(self, id: str) -> None:
        """An instance is driven until it rests or parks."""
        self.process.drive(self._tried(id))

    @rule(id=instances, after=_points, kind=st.sampled_from(["crash", "crash_after"]))
    def crash(self, id: str, after: int, kind: Kind) -> None:
        """The process dies while it drives an instance, some points from now."""
        self._hit(id, kind, after)
        self.process.die()

    @rule(id=instances, after=_points)
    def steal_lease(self, id: str, after: int) -> None:
        """Another worker takes an instance over, while this one drives it and is about to write."""
        self._hit(id, "duplicate", after)

    def _hit(self, id: str, kind: Kind, after: int) -> None:
        waiting = self.process.plan.waiting
        waiting.append((kind, after))
        self.process.drive(self._tried(id))
        waiting[:] = [one for one in waiting if one[0] != kind]

    @rule(kind=st.runner().flatmap(lambda self: st.sampled_from(list(self.faults))), after=st.integers(0, 6))
    def fail(self, kind: Kind, after: int) -> None:
        """A call of a resource is about to fail, some calls from now."""
        self.process.plan.waiting.append((kind, after))

    @rule(id=instances)
    def cancel(self, id: str) -> None:
        """Somebody asks an instance to go back."""
        self.process.cancel(self._tried(id))

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

    @precondition(lambda self: self._blocked())
    @rule(which=st.integers(0, 10))
    def decide(self, which: int) -> None:
        """An operator, who knows the world's truth, decides a block."""
        blocked = self._blocked()
        self.process.decide(blocked[which % len(blocked)])

    def _blocked(self) -> list[Tried]:
        return [one for one in self.process.instances.values() if one.instance is not None and one.instance.blocked]

    @precondition(lambda self: self._awaited())
    @rule(which=st.integers(0, 10))
    def signal(self, which: int) -> None:
        """A signal comes that an instance waits for."""
        awaited = self._awaited()
        self._signals += 1
        self.process.signal(*awaited[which % len(awaited)], self._signals)

    def _awaited(self) -> list[tuple[Tried, str]]:
        return [
            (one, name)
            for one in self.process.instances.values()
            for name in (() if one.instance is None else one.instance.awaited)
            if name in self.signals
        ]

    # What holds -------------------------------------------------------------------------------------------------------

    @invariant()
    def no_green_word_over_a_residue(self) -> None:
        """What has ended has ended as a saga promises."""
        told = self.process.wrong()
        if told is not None:
            raise AssertionError(told)

    def teardown(self) -> None:
        """Have everything come to rest, and look once more."""
        try:
            # What has failed already is not covered up by what follows from it. Whoever runs this may handle an error.
            if sys.exception() is self._outer:
                self.process.come_to_rest()
                self.no_green_word_over_a_residue()
        finally:
            self.process.setting.memory.lose()
            self._watch.close()

    def _look_whether_it_shows(self, input: Any, id: str) -> None:
        """A world that no step calls, or that is always the same, would let everything pass."""
        kind = type(self)
        if "_shows" in kind.__dict__:
            return
        outcome = self.process.reference(input, id)
        if outcome.state != "completed":
            return
        name = self.process.setting.saga.definition.saga
        if not any(called.answers for called in outcome.run.calls):
            raise AssertionError(
                f"no resource of this world was ever called by saga {name!r}, so that nothing is tried"
            )
        if outcome.before == outcome.after:
            raise AssertionError(
                f"the world's snapshot is the same before and after saga {name!r}, so that nothing shows"
            )
        kind._shows = True  # of the subclass alone
