"""Two instances of one saga at once, over one world: their commands alternate."""

from __future__ import annotations

import itertools

import attrs

from sagafsm.engine.operations import Operations
from sagafsm.errors import SagaError
from sagafsm.history.instance import SagaInstance
from sagafsm.verify.explore.trials import Counterexample, Scenario, Trials
from sagafsm.verify.schedule import ConcurrentPair, FaultKind, FaultPoint, Schedule
from sagafsm.verify.simulate.process import Process
from sagafsm.verify.simulate.run import Runner, RunResult, TimeLimitExceeded
from sagafsm.verify.simulate.simulation import ROOT_ID, Simulation
from sagafsm.verify.simulate.world import WorldSnapshot, make_world

MAX_COMMANDS = 500


@attrs.define
class RefusalPlan:
    """A plan that refuses the n-th call of a resource by an action, and injects nothing else."""

    call: int
    _seen: int = 0

    def at(self, point: FaultPoint) -> FaultKind | None:
        """See `FaultPlan.at`."""
        if point.role != "action" or not point.call:
            return None
        self._seen += 1
        return "raise_before" if self._seen == self.call else None


@attrs.define(eq=False)
class _PairMember:
    """One of the two instances, with its run."""

    run: Simulation
    runner: Runner
    process: Process
    operations: Operations
    instance: SagaInstance

    def advance(self) -> None:
        """Do one command, or end the wait of the instance."""
        if self.instance.blocked or self.instance.awaited:
            self.instance = self.runner.continue_instance(self.process, self.operations, self.instance) or self.instance
            return
        self.instance = self.run.perform(
            self.process, self.operations.resume(self.run.instance_id, "one_command", "advance")
        )
        if self.instance.wake_at is not None:
            self.run.clock.advance_to(self.instance.wake_at)


def try_pair(trials: Trials, scenario: Scenario, how: ConcurrentPair) -> RunResult | None:
    """Run two instances at once, and keep the violations; None: not both rest, or they end differently.

    If both fail, the world must be as before. If one completes, no reference exists: the answers of a service may
    depend on the order of the instances.
    """
    outcome = run_pair(trials, scenario, how)
    if outcome is None or outcome.state != "failed":
        return outcome
    for violation in scenario.oracle.find_violations(outcome):
        if (violation.kind, violation.step) not in trials.found:
            message = f"{violation.message} (two instances at once, each refused once)".strip()
            trials.keep(Counterexample(attrs.evolve(violation, message=message), outcome.schedule, scenario, outcome))
    return outcome


def run_pair(trials: Trials, scenario: Scenario, how: ConcurrentPair) -> RunResult | None:
    """Return the result of the first of two instances; None: not both rest, or they end differently."""
    trials.setup.memory.reset()
    world, store = make_world(scenario.factory), trials.setup.store()
    both: list[_PairMember] = []
    trials.runs += 1
    with trials.watch:
        try:
            for instance_id, call in zip((ROOT_ID, f"{ROOT_ID}-2"), how.refused, strict=True):
                run = Simulation(
                    trials.setup, world, scenario.input, RefusalPlan(call), store=store, instance_id=instance_id
                )
                process = run.start_process()
                operations = run.make_operations(process)
                begun = run.perform(
                    process, operations.start(trials.setup.saga, run.input, id=instance_id, drive=False)
                )
                both.append(_PairMember(run, Runner(run, Schedule(), scenario.reads), process, operations, begun))
            for turn in itertools.islice(itertools.chain(map(int, how.order), itertools.cycle((0, 1))), MAX_COMMANDS):
                if not both[turn].instance.is_at_rest:
                    both[turn].advance()
                if all(driven.instance.is_at_rest for driven in both):
                    break
        except (SagaError, TimeLimitExceeded):
            return None
    first, second = both
    if not first.instance.is_at_rest or first.instance.state != second.instance.state:
        return None
    return RunResult(
        schedule=Schedule(beside=how),
        ending="rested",
        instance=first.instance,
        before=scenario.before,
        after=WorldSnapshot.take(world, kept=False),
        world=world,
        run=first.run,
    )
