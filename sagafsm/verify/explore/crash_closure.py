"""Any number of crashes: from every state that can persist, a process dies at every point, until no new state comes."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Hashable
from typing import Any

import attrs

from sagafsm.errors import SagaNotFound
from sagafsm.history import events as e
from sagafsm.history.instance import fold
from sagafsm.store import Store
from sagafsm.verify.explore.trials import Scenario, Trials
from sagafsm.verify.schedule import Fault, FaultPoint, Schedule
from sagafsm.verify.simulate.process import FixedPlan, Process, StepCall
from sagafsm.verify.simulate.run import Runner
from sagafsm.verify.simulate.simulation import ROOT_ID, Simulation
from sagafsm.verify.simulate.world import copy_world, make_world

MAX_STATES = 400
_FINAL_STATUSES = ("pending", "done", "skipped", "failed", "undone")


@attrs.frozen
class PersistentState:
    """All that outlives a process: the world, the histories, and the calls, from which an operator finds the truth."""

    world: Any
    histories: tuple[tuple[e.Event, ...], ...]
    calls: tuple[StepCall, ...]
    now: Any
    schedule: Schedule


@attrs.define(eq=False)
class CrashClosure:
    """Explores the persistent states of one scenario."""

    trials: Trials
    scenario: Scenario
    states: dict[Hashable, None] = attrs.field(factory=dict, init=False)
    is_fixpoint: bool = attrs.field(default=False, init=False)
    _waiting: deque[PersistentState] = attrs.field(factory=deque, init=False)

    def explore(self) -> None:
        """Find the violations by crashes alone; the schedule of a violation reaches its state."""
        self._run_from(PersistentState(make_world(self.scenario.factory), (), (), None, Schedule()))
        while self._waiting:
            if self.trials.is_over or len(self.states) > MAX_STATES:
                return
            self._run_from(self._waiting.popleft())
        self.is_fixpoint = True

    def _run_from(self, state: PersistentState) -> None:
        """Run from a state to rest, and note every new state on the way."""
        trials = self.trials
        trials.setup.memory.reset()
        simulation = Simulation(trials.setup, copy_world(state.world), self.scenario.input, FixedPlan({}))
        for history in state.histories:
            simulation.store.import_(history)
        simulation.calls.step_calls.extend(state.calls)
        if state.now is not None:
            simulation.clock.advance_to(state.now)
        simulation.calls.on_point = lambda process, point: self._note(simulation, state, process, point)
        trials.runs += 1
        runner = Runner(simulation, state.schedule, self.scenario.reads, trials.watch, finish=trials.watch.finish_tasks)
        outcome = runner.run_to_end(self.scenario.before)
        trials.judge(self.scenario, outcome)

    def _note(self, simulation: Simulation, state: PersistentState, process: Process, point: FaultPoint) -> None:
        if process.is_dead or simulation.calls.on_point is None:
            return
        histories = _read_histories(simulation.store)
        key = (_make_crash_closure_key(histories), _to_hashable_closure_key(simulation.world.snapshot()))
        if key in self.states or not histories:
            return
        self.states[key] = None
        # A crash at the present point reaches this state.
        schedule = state.schedule.with_fault(
            Fault(attrs.evolve(point, process_number=len(state.schedule) + 1), "crash")
        )
        reached = PersistentState(
            copy_world(simulation.world),
            histories,
            tuple(map(_copy_call, simulation.calls.step_calls)),
            simulation.clock.now(),
            schedule,
        )
        self._waiting.append(reached)


def _copy_call(step_call: StepCall) -> StepCall:
    # The run continues, and later answers are added to its calls: a process that dies here does not have those.
    return attrs.evolve(step_call, resource_calls=[attrs.evolve(call) for call in step_call.resource_calls])


def _read_histories(store: Store) -> tuple[tuple[e.Event, ...], ...]:
    try:
        store.load(ROOT_ID)
    except SagaNotFound:
        return ()
    return tuple(store.history(summary.id) for summary in store.find())


def _make_crash_closure_key(histories: tuple[tuple[e.Event, ...], ...]) -> Hashable:
    """Summarise the histories by all that the rest of a run depends on: not by times, nor by most counts."""
    return tuple(_summarise_history(history) for history in histories)


def _summarise_history(history: tuple[e.Event, ...]) -> Hashable:
    instance = fold(None, history)
    steps = tuple(
        (
            record.name,
            record.status,
            record.undo,
            # The number of attempts matters only while the step is under way.
            (record.action.spent, record.action.deaths) if record.status not in _FINAL_STATUSES else None,
            (record.compensation.spent, record.compensation.deaths)
            if record.undo not in (None, *_FINAL_STATUSES)
            else None,
            record.result_json,
            record.doubt_before,
            record.died,
            record.probed,
            record.conceded,
            record.prepared,
        )
        for record in instance.steps.values()
    )
    return (
        instance.id,
        instance.state,
        steps,
        instance.cause is not None,
        bool(instance.blocked),
        len(instance.signals),
    )


def _to_hashable_closure_key(value: Any) -> Hashable:
    return json.dumps(value, default=repr, sort_keys=True) if isinstance(value, (dict, list)) else repr(value)
