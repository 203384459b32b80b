"""From the beginning to rest, over as many incarnations as it takes: what becomes of one saga under one schedule."""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections.abc import Callable, Collection, Hashable
from contextlib import AbstractContextManager
from typing import Any, Literal

import attrs

from sagafsm.errors import SagaError, StoreError
from sagafsm.instance import SagaInstance
from sagafsm.operations import Operations
from sagafsm.verify.life import ENDS_OF_PROCESS, Crashed, Life, Passed
from sagafsm.verify.operator import Settled, SimulatedOperator
from sagafsm.verify.schedule import Schedule
from sagafsm.verify.simulation import Simulation
from sagafsm.verify.world import Look

# Beyond one incarnation for each fault: more than these in a row without an end means that there is none.
RESTARTS = 6
# How long threads that a run left behind are waited for, in seconds.
STRAGGLERS = 0.5

Ending = Literal["rested", "restless", "stopped", "unanswered", "hung"]


class TimeIsUp(BaseException):
    """The time limit of a run has passed. No `Exception`, so that a step's own handling does not see it."""


@attrs.frozen
class Outcome:
    """What became of one run: all that is judged.

    `ending`: how it ended; "rested" is the only good one. `told`: what stopped it, otherwise. `before` and `after`
    are the world's, `landed` names the calls that took effect after the end, and `resting` is the world without them.
    `state_reached` is what persisted when the second incarnation began and all faults had been injected, where that can
    be told: two runs in which it is equal go on alike. `decided_at` counts the points before the operator's first
    decision.
    """

    schedule: Schedule
    ending: Ending
    instance: SagaInstance | None
    before: Look | None
    after: Look | None
    world: Any
    run: Simulation
    settled: tuple[Settled, ...] = ()
    landed: tuple[str, ...] = ()
    told: str = ""
    resting: Look | None = None
    state_reached: Hashable | None = None
    decided_at: int | None = None

    @property
    def state(self) -> str:
        """The instance's state at the end; "" where there is none."""
        return "" if self.instance is None else self.instance.state

    @property
    def trace(self) -> tuple[Passed, ...]:
        """The points that it came by, in order."""
        return tuple(self.run.passed)

    @property
    def fired(self) -> tuple[Passed, ...]:
        """Those of them where a fault was injected."""
        return tuple(passed for passed in self.run.passed if passed.kind is not None)

    @property
    def asked(self) -> bool:
        """Whether a person had to decide."""
        return bool(self.settled)


def persistent_state(run: Simulation) -> Hashable | None:
    """All that a new incarnation finds, exactly; None where the world cannot be put into bytes."""
    try:
        world = pickle.dumps(run.world)
        memory = pickle.dumps(run.setting.memory.contents)
    except Exception:  # noqa: BLE001 - whatever a user's class raises: then runs are not compared
        return None
    stored = tuple((run.store.history(row.id), run.store.mail(row.id)) for row in run.store.find())
    waiting = (tuple(sorted(run.outages)), tuple(name for name, _ in run.late), run.cancelled)
    return (stored, world, memory, waiting)


def _nothing() -> None:
    return


@attrs.define(eq=False)
class Runner:
    """Drives one simulation to its end."""

    run: Simulation
    schedule: Schedule
    reads: Collection[str] = ()
    limit: AbstractContextManager[Any] = attrs.field(factory=contextlib.nullcontext)
    faults: int = attrs.field(default=attrs.Factory(lambda self: len(self.schedule), takes_self=True))
    finish: Callable[[], None] = _nothing
    operator: SimulatedOperator = attrs.field(init=False)
    _withheld: set[str] = attrs.field(factory=set, init=False)
    told: str = attrs.field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        self.operator = SimulatedOperator(self.run, self.reads)

    def outcome(self, before: Look | None) -> Outcome:
        """Run until it rests; `before` is the world's beginning, where that is known already."""
        run = self.run
        before = before or Look.at(run.world)
        threads = set(threading.enumerate())
        instance: SagaInstance | None = None
        ending: Ending = "restless"
        state: Hashable | None = None
        self.told = f"it did not come to rest within {self._limit} incarnations"
        after: Look | None = None
        resting: Look | None = None
        landed: list[str] = []
        try:
            with self.limit:
                while run.lives < self._limit:
                    if run.lives == 1 and self.faults and run.faults_fired == self.faults:
                        state = persistent_state(run)
                    life = run.born()
                    found = self._live(life)
                    if found is not None:
                        ending, instance = found
                        life.over = True
                        break
            for straggler in set(threading.enumerate()) - threads:
                # Somebody else's may not even have begun.
                with contextlib.suppress(RuntimeError):
                    straggler.join(STRAGGLERS)
            self.finish()
            with self.limit:
                resting = Look.at(run.world) if ending == "rested" and run.late else None
                landed = run.land() if ending == "rested" else []
                after = Look.at(run.world, kept=False)
        except TimeIsUp:
            ending, self.told = "hung", "a call did not return within the time limit"
            self.finish()
        instance = instance or run.instance
        return Outcome(
            schedule=self.schedule,
            ending=ending,
            instance=instance,
            before=before,
            after=after,
            world=run.world,
            run=run,
            settled=tuple(self.operator.settled),
            landed=tuple(landed),
            resting=resting,
            told=self.told if ending != "rested" else "",
            state_reached=state,
            decided_at=self.operator.first_at,
        )

    @property
    def _limit(self) -> int:
        return self.faults + RESTARTS

    def _live(self, life: Life) -> tuple[Ending, SagaInstance | None] | None:
        """One incarnation; None: it ended early, and another one goes on."""
        run = self.run
        operations = run.operations(life)
        try:
            instance = run.start(life, operations)
            while not instance.is_at_rest:
                run.instance = instance
                moved = self.go_on(life, operations, instance)
                if moved is None:
                    return "unanswered", instance
                if len(moved.history) == len(instance.history) and moved.state == instance.state:
                    self.told = f"it stays in {instance.state!r}, whatever is done"
                    return "stopped", moved
                instance = moved
        except Crashed:
            self.run.setting.memory.lose()
            return None
        except KeyboardInterrupt:
            if not life.interrupted:
                raise
            return None
        except ENDS_OF_PROCESS as error:
            self.told = f"{self.told.partition(' (')[0]} ({type(error).__name__} came out of a step)"
            return None
        except StoreError:
            return None
        except SagaError as error:
            self.told = str(error)
            return "stopped", run.instance
        return "rested", instance

    def go_on(self, life: Life, operations: Operations, instance: SagaInstance) -> SagaInstance | None:
        """Do what an instance waits for; None: nobody does."""
        run = self.run
        if instance.blocked:
            return self.operator.settle(life, operations, instance)
        for name in instance.awaited:
            if name in run.setting.signals and not self._is_withheld(life, name, ends=instance.wake_at is not None):
                steps = operations.signal(instance.id, name, run.setting.signals[name], request_id=None)
                moved: SagaInstance = run.perform(life, steps)
                return moved
        if instance.wake_at is None:
            waits = ", ".join(map(repr, instance.awaited))
            self.told = f"it waits for signal {waits}, which nobody sends (pass signals={{{waits}: ...}} to verify)"
            return None
        run.clock.until(instance.wake_at)
        return run.start(life, operations)

    def _is_withheld(self, life: Life, name: str, *, ends: bool) -> bool:
        """Whether a signal does not come; it is a point only where the wait `ends` without it."""
        if not ends or name in self._withheld:
            return name in self._withheld
        kind = self.run.hit(life, f"{name}.signal")
        if kind == "cancel":
            self.run.meanwhile(kind)
        elif kind == "withhold":
            self._withheld.add(name)
        return kind == "withhold"
