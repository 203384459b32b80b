"""Running schedules one after the other, judging each, and keeping the first and smallest that breaks each law."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import attrs

from sagafsm.steps import Defined
from sagafsm.store import Store
from sagafsm.verify.life import Plan, Planned
from sagafsm.verify.memory import ProcessMemory
from sagafsm.verify.minimise import minimised
from sagafsm.verify.oracle import Oracle, Violation
from sagafsm.verify.runs import Outcome, Runner
from sagafsm.verify.schedule import KINDS, Fault, Kind, Schedule, faults_at
from sagafsm.verify.simulation import Pinned, Setting, Simulation
from sagafsm.verify.watch import Watch
from sagafsm.verify.world import Factory, Look, made


@attrs.define(eq=False)
class Scenario:
    """One input and one kind of world: what runs are compared within.

    `reads` names the resource calls that were seen to change nothing.
    """

    number: int
    input: Any
    factory: Factory
    before: Look
    oracle: Oracle
    reference: Outcome | None = None
    reads: frozenset[str] = frozenset()


@attrs.frozen
class Found:
    """A broken law with the schedule that breaks it."""

    violation: Violation
    schedule: Schedule
    scenario: Scenario
    outcome: Outcome


@attrs.define(eq=False)
class Trials:
    """What is shared by all stages of a verification, and what they found."""

    setting: Setting
    watch: Watch
    until: float
    effectless: frozenset[str]
    found: dict[tuple[str, str], Found] = attrs.field(factory=dict, init=False)
    again: Counter[tuple[str, str]] = attrs.field(factory=Counter, init=False)
    runs: int = attrs.field(default=0, init=False)
    tried: Counter[str] = attrs.field(factory=Counter, init=False)
    broken: Counter[str] = attrs.field(factory=Counter, init=False)
    reached: set[str] = attrs.field(factory=set, init=False)
    intercepted: bool = attrs.field(default=False, init=False)
    hangs: int = attrs.field(default=0, init=False)
    current: Simulation | None = attrs.field(default=None, init=False)

    @property
    def is_over(self) -> bool:
        """Whether the budget is spent, or runs have hung so often that more would only wait."""
        return time.perf_counter() >= self.until or self.hangs >= 2

    def scenario(self, number: int, input: Any, factory: Factory) -> Scenario:
        """A new scenario, whose reference is yet to be run."""
        before = Look.at(made(factory))
        oracle = Oracle(before, None, lambda outcome: outcome, self.effectless)
        scenario = Scenario(number, input, factory, before, oracle)
        oracle.tracer = lambda outcome: self.run(scenario, outcome.schedule, traces=True)
        return scenario

    def run(self, scenario: Scenario, schedule: Schedule, *, plan: Plan | None = None, traces: bool = False) -> Outcome:
        """Run one schedule; `plan` decides instead of its faults, where it is given."""
        self.setting.memory.lose()
        simulation = Simulation(
            self.setting,
            made(scenario.factory),
            scenario.input,
            plan or Planned({fault.point: fault.kind for fault in schedule.faults}),
            turns=schedule.turns,
            operator=schedule.operator,
            traces=traces,
        )
        self.current = simulation
        faults = 5 if plan else len(schedule)
        runner = Runner(simulation, schedule, scenario.reads, self.watch, faults, finish=self.watch.finish_tasks)
        self.runs += 1
        outcome = runner.outcome(scenario.before)
        self._note(outcome)
        return outcome

    def _note(self, outcome: Outcome) -> None:
        for called in outcome.run.calls:
            self.reached.add(called.path)
            self.intercepted = self.intercepted or bool(called.answers)
        self.hangs += outcome.ending == "hung"

    def judge(self, scenario: Scenario, outcome: Outcome) -> list[Violation]:
        """Judge a run and keep what it broke; its schedule is named by the faults that fired."""
        violations = scenario.oracle.violations(outcome)
        broken = {grade for violation in violations for grade in self._broken_by(violation, outcome.schedule)}
        for grade in outcome.schedule.grades:
            self.tried[grade] += 1
            self.broken[grade] += grade in broken
        for violation in violations:
            self.keep(Found(violation, outcome.schedule, scenario, outcome))
        return violations

    def _broken_by(self, violation: Violation, schedule: Schedule) -> Sequence[str]:
        """The classes of faults that a run's failure speaks against: those that are needed for it, as far as known."""
        if violation.kind in ("late", "late_do"):
            return ("late",)
        known = self.found.get((violation.kind, violation.step))
        return schedule.grades if known is None or len(known.schedule) >= len(schedule) else known.schedule.grades

    def keep(self, found: Found) -> None:
        """Keep a find, unless one is known that has fewer faults, or as many that are simpler to tell."""
        key = (found.violation.kind, found.violation.step)
        self.again[key] += 1
        known = self.found.get(key)
        if known is None or _simplicity(found.schedule) < _simplicity(known.schedule):
            self.found[key] = found

    def shrink(self, kind: str, step: str) -> None:
        """Keep the smallest schedule that shows a find, in place of the one that is known."""
        known = self.found[kind, step]
        smallest = [known]

        def breaks(candidate: Schedule) -> bool:
            outcome = self.run(known.scenario, candidate)
            for violation in known.scenario.oracle.violations(outcome):
                if (violation.kind, violation.step) == (kind, step):
                    smallest[0] = Found(violation, candidate, known.scenario, outcome)
                    return True
            return False

        minimised(known.schedule, breaks)
        self.found[kind, step] = smallest[0]

    def variants(self, scenario: Scenario, schedule: Schedule) -> Iterator[tuple[Outcome, list[Violation]]]:
        """Run and judge a schedule, and again with a doubt decided the other way where both may be."""
        outcome = self.run(scenario, schedule)
        yield outcome, self.judge(scenario, outcome)
        if schedule.operator == "truth" and may_compensate(outcome):
            other = self.run(scenario, attrs.evolve(schedule, operator="compensate"))
            yield other, self.judge(scenario, other)


def _simplicity(schedule: Schedule) -> tuple[int, int, int]:
    """The fewest faults first, then those at calls that a reader knows, then the simplest kinds."""
    places = sum(2 if fault.point.role == "commit" else not fault.point.call for fault in schedule.faults)
    kinds = sum(KINDS.index(fault.kind) for fault in schedule.faults)
    return len(schedule), places, kinds


def may_compensate(outcome: Outcome) -> bool:
    """Whether the operator met a doubt that may also be undone."""
    return any("compensate" in settled.allowed and settled.decision != "compensate" for settled in outcome.settled)


def extensions(outcome: Outcome, *, first: bool) -> Iterator[Schedule]:
    """The schedule of a run with one fault more, at each point behind its last one.

    `first`: with every kind. Else not with those that are the same as another: a process that dies before a point has
    died after the one before it.
    """
    trace = outcome.trace
    begin = max((index for index, passed in enumerate(trace) if passed.kind is not None), default=-1) + 1
    if outcome.schedule.operator != "truth":
        # Before its first decision it went as the run that decides by the truth, whose extensions are tried both ways.
        begin = max(begin, outcome.decided_at or begin)
    for index in range(begin, len(trace)):
        passed = trace[index]
        kinds: Sequence[Kind] = faults_at(
            passed.point, intercepted=passed.called is not None and bool(passed.called.answers)
        )
        for kind in kinds:
            if kind == "crash" and not first and index:
                continue
            yield outcome.schedule.with_fault(Fault(passed.point, kind))


def setting_of(saga: Defined, store: Callable[[], Store], signals: Any, awaited: Callable[[Any], Any]) -> Setting:
    """What all runs of a verification share."""
    definition = saga.definition
    return Setting(Pinned(definition), store, ProcessMemory.of(definition), signals, awaited)


def budget_until(budget: timedelta) -> float:
    """When a budget that begins now is spent."""
    return time.perf_counter() + budget.total_seconds()
