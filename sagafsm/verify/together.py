"""Two instances of one saga at once, over one world: a command of one, then of the other."""

from __future__ import annotations

import itertools

import attrs

from sagafsm.errors import SagaError
from sagafsm.instance import SagaInstance
from sagafsm.operations import Operations
from sagafsm.verify.life import Life
from sagafsm.verify.runs import Outcome, Runner, TimeIsUp
from sagafsm.verify.schedule import Beside, Kind, Point, Schedule
from sagafsm.verify.simulation import Simulation
from sagafsm.verify.stores import ROOT
from sagafsm.verify.trials import Found, Scenario, Trials
from sagafsm.verify.world import Look, made

MOST_COMMANDS = 500


@attrs.define
class Refusing:
    """A plan that refuses the n-th call of a resource, and nothing else."""

    call: int
    _seen: int = 0

    def at(self, point: Point) -> Kind | None:
        """See `Plan.at`."""
        if point.role != "action" or not point.call:
            return None
        self._seen += 1
        return "raise_before" if self._seen == self.call else None


@attrs.define(eq=False)
class _Driven:
    """One of the two, with what drives it."""

    run: Simulation
    runner: Runner
    life: Life
    operations: Operations
    instance: SagaInstance

    def goes_on(self) -> None:
        """Do one command, or what it waits for."""
        if self.instance.blocked or self.instance.awaited:
            self.instance = self.runner.go_on(self.life, self.operations, self.instance) or self.instance
            return
        self.instance = self.run.perform(
            self.life, self.operations.resume(self.run.instance_id, "one_command", "advance")
        )
        if self.instance.wake_at is not None:
            self.run.clock.until(self.instance.wake_at)


def tried_beside(trials: Trials, scenario: Scenario, how: Beside) -> Outcome | None:
    """Run two instances at once, and keep what they break; None: not both rest, or they ended differently.

    Where both fail, the world is as before. Where one completes there is nothing to compare with: what a service gives
    to whom depends on who came first.
    """
    outcome = beside(trials, scenario, how)
    if outcome is None or outcome.state != "failed":
        return outcome
    for violation in scenario.oracle.violations(outcome):
        if (violation.kind, violation.step) not in trials.found:
            told = f"{violation.told} (two instances at once, each refused once)".strip()
            trials.keep(Found(attrs.evolve(violation, told=told), outcome.schedule, scenario, outcome))
    return outcome


def beside(trials: Trials, scenario: Scenario, how: Beside) -> Outcome | None:
    """How the first of two instances ended, beside a second one; None: not both rest, or they ended differently."""
    trials.setting.memory.lose()
    world, store = made(scenario.factory), trials.setting.store()
    both: list[_Driven] = []
    trials.runs += 1
    with trials.watch:
        try:
            for instance_id, call in zip((ROOT, f"{ROOT}-2"), how.refused, strict=True):
                run = Simulation(
                    trials.setting, world, scenario.input, Refusing(call), store=store, instance_id=instance_id
                )
                life = run.born()
                operations = run.operations(life)
                begun = run.perform(life, operations.start(trials.setting.saga, run.input, id=instance_id, drive=False))
                both.append(_Driven(run, Runner(run, Schedule(), scenario.reads), life, operations, begun))
            for turn in itertools.islice(itertools.chain(map(int, how.order), itertools.cycle((0, 1))), MOST_COMMANDS):
                if not both[turn].instance.is_at_rest:
                    both[turn].goes_on()
                if all(driven.instance.is_at_rest for driven in both):
                    break
        except (SagaError, TimeIsUp):
            return None
    first, second = both
    if not first.instance.is_at_rest or first.instance.state != second.instance.state:
        return None
    return Outcome(
        schedule=Schedule(beside=how),
        ending="rested",
        instance=first.instance,
        before=scenario.before,
        after=Look.at(world, kept=False),
        world=world,
        run=first.run,
    )
