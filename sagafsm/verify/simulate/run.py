"""One simulated run from its beginning to rest, over as many processes as it takes, and its result."""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections.abc import Callable, Collection, Hashable
from contextlib import AbstractContextManager
from typing import Any, Literal

import attrs

from sagafsm.engine.operations import Operations
from sagafsm.errors import SagaError, StoreError
from sagafsm.history.instance import SagaInstance
from sagafsm.verify.schedule import Schedule
from sagafsm.verify.simulate.operator import OperatorDecision, SimulatedOperator
from sagafsm.verify.simulate.process import ENDS_OF_PROCESS, Crashed, Process, VisitedPoint
from sagafsm.verify.simulate.simulation import Simulation
from sagafsm.verify.simulate.world import WorldSnapshot

# Beyond one process for each fault: a run that needs more processes than these is taken to be endless.
MAX_RESTARTS = 6
# How long threads that a run left behind are waited for, in seconds.
STRAGGLER_SECONDS = 0.5

Ending = Literal["rested", "restless", "stopped", "unanswered", "hung"]


class TimeLimitExceeded(BaseException):
    """The time limit of a run has visited. No `Exception`, so that a step's own handling does not see it."""


@attrs.frozen
class RunResult:
    """The result of one run, as the oracle judges it.

    `ending`: how the run ended; "rested" is the only good ending, and `stop_reason` explains any other. `before` and
    `after` are snapshots of the world. `late_effects` names the calls that took effect after the end, and
    `after_without_late_calls` is the world without them. `state_reached` is all that persisted when the second process
    began, if all faults had been injected by then: two runs with equal states continue alike. `decided_at` counts the
    points before the operator's first decision.
    """

    schedule: Schedule
    ending: Ending
    instance: SagaInstance | None
    before: WorldSnapshot | None
    after: WorldSnapshot | None
    world: Any
    run: Simulation
    settled: tuple[OperatorDecision, ...] = ()
    late_effects: tuple[str, ...] = ()
    stop_reason: str = ""
    after_without_late_calls: WorldSnapshot | None = None
    state_reached: Hashable | None = None
    decided_at: int | None = None

    @property
    def state(self) -> str:
        """The instance's state at the end; "" where there is none."""
        return "" if self.instance is None else self.instance.state

    @property
    def trace(self) -> tuple[VisitedPoint, ...]:
        """The points that the run reached, in order."""
        return tuple(self.run.calls.visited_points)

    @property
    def fired(self) -> tuple[VisitedPoint, ...]:
        """The points where a fault was injected, in order."""
        return tuple(visited for visited in self.run.calls.visited_points if visited.kind is not None)

    @property
    def was_refused(self) -> bool:
        """Whether an injected fault refused a call, so that the call had no effect for sure."""
        return any(visited.kind in ("raise_before", "down") for visited in self.fired)

    @property
    def is_operator_needed(self) -> bool:
        """Whether a person had to decide."""
        return bool(self.settled)


def capture_state(run: Simulation) -> Hashable | None:
    """Return all that the next process finds; None if the world or the memory cannot be pickled."""
    try:
        world = pickle.dumps(run.world)
        memory = pickle.dumps(run.setup.memory.contents)
    except Exception:  # noqa: BLE001 - whatever a user's class raises: then runs are not compared
        return None
    stored = tuple((run.store.history(row.id), run.store.mail(row.id)) for row in run.store.find())
    waiting = (tuple(sorted(run.calls.outages)), tuple(name for name, _ in run.calls.late_calls), run.cancelled)
    return (stored, world, memory, waiting)


@attrs.define(eq=False)
class Runner:
    """Drives one simulation to its end, process after process."""

    run: Simulation
    schedule: Schedule
    reads: Collection[str] = ()
    limit: AbstractContextManager[Any] = attrs.field(factory=contextlib.nullcontext)
    faults: int = attrs.field(default=attrs.Factory(lambda self: len(self.schedule), takes_self=True))
    finish: Callable[[], None] = lambda: None
    operator: SimulatedOperator = attrs.field(init=False)
    _withheld: set[str] = attrs.field(factory=set, init=False)
    stop_reason: str = attrs.field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        self.operator = SimulatedOperator(self.run, self.reads)

    def run_to_end(self, before: WorldSnapshot | None) -> RunResult:
        """Run until the instance rests; `before` is the snapshot of the new world, if it is known already."""
        run = self.run
        before = before or WorldSnapshot.take(run.world)
        threads = set(threading.enumerate())
        instance: SagaInstance | None = None
        ending: Ending = "restless"
        state: Hashable | None = None
        self.stop_reason = f"it did not come to rest within {self._max_processes} incarnations"
        after: WorldSnapshot | None = None
        resting: WorldSnapshot | None = None
        late_effects: list[str] = []
        try:
            with self.limit:
                while run.process_count < self._max_processes:
                    if run.process_count == 1 and self.faults and run.calls.faults_fired == self.faults:
                        state = capture_state(run)
                    process = run.start_process()
                    found = self._run_process(process)
                    if found is not None:
                        ending, instance = found
                        process.is_finished = True
                        break
            for straggler in set(threading.enumerate()) - threads:
                # A thread of other code may not have begun: it cannot be joined.
                with contextlib.suppress(RuntimeError):
                    straggler.join(STRAGGLER_SECONDS)
            self.finish()
            with self.limit:
                resting = WorldSnapshot.take(run.world) if ending == "rested" and run.calls.late_calls else None
                late_effects = run.calls.apply_late_calls() if ending == "rested" else []
                after = WorldSnapshot.take(run.world, kept=False)
        except TimeLimitExceeded:
            ending, self.stop_reason = "hung", "a call did not return within the time limit"
            self.finish()
        instance = instance or run.instance
        return RunResult(
            schedule=self.schedule,
            ending=ending,
            instance=instance,
            before=before,
            after=after,
            world=run.world,
            run=run,
            settled=tuple(self.operator.settled),
            late_effects=tuple(late_effects),
            after_without_late_calls=resting,
            stop_reason=self.stop_reason if ending != "rested" else "",
            state_reached=state,
            decided_at=self.operator.first_decided_at,
        )

    @property
    def _max_processes(self) -> int:
        return self.faults + MAX_RESTARTS

    def _run_process(self, process: Process) -> tuple[Ending, SagaInstance | None] | None:
        """Run one process, and return how the run ended; None: the process ended early, and another one continues."""
        run = self.run
        operations = run.make_operations(process)
        try:
            instance = run.start(process, operations)
            while not instance.is_at_rest:
                run.instance = instance
                moved = self.continue_instance(process, operations, instance)
                if moved is None:
                    return "unanswered", instance
                if len(moved.history) == len(instance.history) and moved.state == instance.state:
                    self.stop_reason = f"it stays in {instance.state!r}, whatever is done"
                    return "stopped", moved
                instance = moved
        except Crashed:
            self.run.setup.memory.reset()
            return None
        except KeyboardInterrupt:
            if not process.interrupted:
                raise
            return None
        except ENDS_OF_PROCESS as error:
            self.stop_reason = f"{self.stop_reason.partition(' (')[0]} ({type(error).__name__} came out of a step)"
            return None
        except StoreError:
            return None
        except SagaError as error:
            self.stop_reason = str(error)
            return "stopped", run.instance
        return "rested", instance

    def continue_instance(
        self, process: Process, operations: Operations, instance: SagaInstance
    ) -> SagaInstance | None:
        """Do what an instance waits for: a decision, a signal or time. Return None if no such signal is known."""
        run = self.run
        if instance.blocked:
            return self.operator.settle(process, operations, instance)
        for name in instance.awaited:
            if name in run.setup.signals and not self._is_withheld(process, name, ends=instance.wake_at is not None):
                steps = operations.signal(instance.id, name, run.setup.signals[name], request_id=None)
                moved: SagaInstance = run.perform(process, steps)
                return moved
        if instance.wake_at is None:
            waits = ", ".join(map(repr, instance.awaited))
            self.stop_reason = (
                f"it waits for signal {waits}, which nobody sends (pass signals={{{waits}: ...}} to verify)"
            )
            return None
        run.clock.advance_to(instance.wake_at)
        return run.start(process, operations)

    def _is_withheld(self, process: Process, name: str, *, ends: bool) -> bool:
        """Whether a signal does not come; it is a point only where the wait `ends` without it."""
        if not ends or name in self._withheld:
            return name in self._withheld
        kind = self.run.calls.visit_label(process, f"{name}.signal")
        if kind == "cancel":
            self.run.simulate_other_client(kind)
        elif kind == "withhold":
            self._withheld.add(name)
        return kind == "withhold"
