"""Any number of crashes: from every state that can persist, a process dies at every point, until no new state comes."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Hashable
from typing import Any

import attrs

from sagafsm import events as e
from sagafsm.errors import SagaNotFound
from sagafsm.instance import fold
from sagafsm.store import Store
from sagafsm.verify.life import Called, Life, Planned
from sagafsm.verify.runs import Runner
from sagafsm.verify.schedule import Fault, Point, Schedule
from sagafsm.verify.simulation import Simulation
from sagafsm.verify.stores import ROOT
from sagafsm.verify.trials import Scenario, Trials
from sagafsm.verify.world import copied, made

MOST_STATES = 400
_OVER = ("pending", "done", "skipped", "failed", "undone")


@attrs.frozen
class Persistent:
    """What outlives a process: the world, the histories, the mail, and what an operator could find out of the calls."""

    world: Any
    histories: tuple[tuple[e.Event, ...], ...]
    calls: tuple[Called, ...]
    now: Any
    schedule: Schedule


@attrs.define(eq=False)
class Closure:
    """Explores the persistent states of one scenario."""

    trials: Trials
    scenario: Scenario
    states: dict[Hashable, None] = attrs.field(factory=dict, init=False)
    is_fixpoint: bool = attrs.field(default=False, init=False)
    _waiting: deque[Persistent] = attrs.field(factory=deque, init=False)

    def explore(self) -> None:
        """Find what is broken by crashes alone, with how the state was reached."""
        self._from(Persistent(made(self.scenario.factory), (), (), None, Schedule()))
        while self._waiting:
            if self.trials.is_over or len(self.states) > MOST_STATES:
                return
            self._from(self._waiting.popleft())
        self.is_fixpoint = True

    def _from(self, state: Persistent) -> None:
        """Go on from a state to rest, noting every state on the way."""
        trials = self.trials
        trials.setting.memory.lose()
        simulation = Simulation(trials.setting, copied(state.world), self.scenario.input, Planned({}))
        for history in state.histories:
            simulation.store.import_(history)
        simulation.calls.extend(state.calls)
        if state.now is not None:
            simulation.clock.until(state.now)
        simulation.at_point = lambda life, point: self._note(simulation, state, life, point)
        trials.runs += 1
        runner = Runner(simulation, state.schedule, self.scenario.reads, trials.watch, finish=trials.watch.finish_tasks)
        outcome = runner.outcome(self.scenario.before)
        trials.judge(self.scenario, outcome)

    def _note(self, simulation: Simulation, state: Persistent, life: Life, point: Point) -> None:
        if life.dead or simulation.at_point is None:
            return
        histories = _histories(simulation.store)
        key = (_key(histories), _frozen(simulation.world.snapshot()))
        if key in self.states or not histories:
            return
        self.states[key] = None
        # Where it is now: its process dies before what it is about to do.
        schedule = state.schedule.with_fault(Fault(attrs.evolve(point, life=len(state.schedule) + 1), "crash"))
        reached = Persistent(
            copied(simulation.world),
            histories,
            tuple(map(_until_now, simulation.calls)),
            simulation.clock.now(),
            schedule,
        )
        self._waiting.append(reached)


def _until_now(called: Called) -> Called:
    # The run goes on from here, and its calls with it: what they are answered later is not known to one who died here.
    return attrs.evolve(called, answers=[attrs.evolve(answered) for answered in called.answers])


def _histories(store: Store) -> tuple[tuple[e.Event, ...], ...]:
    try:
        store.load(ROOT)
    except SagaNotFound:
        return ()
    return tuple(store.history(summary.id) for summary in store.find())


def _key(histories: tuple[tuple[e.Event, ...], ...]) -> Hashable:
    """What of the histories makes a difference to what follows: not when, nor how often, things happened."""
    return tuple(_state_of(history) for history in histories)


def _state_of(history: tuple[e.Event, ...]) -> Hashable:
    instance = fold(None, history)
    steps = tuple(
        (
            record.name,
            record.status,
            record.undo,
            # How often it was tried counts while it is tried.
            (record.action.spent, record.action.deaths) if record.status not in _OVER else None,
            (record.compensation.spent, record.compensation.deaths) if record.undo not in (None, *_OVER) else None,
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


def _frozen(value: Any) -> Hashable:
    return json.dumps(value, default=repr, sort_keys=True) if isinstance(value, (dict, list)) else repr(value)
