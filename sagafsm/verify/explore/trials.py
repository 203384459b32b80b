"""Run schedules one after the other, judge each, and keep the smallest one that breaks each law."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from sagafsm.definition.definition import HasDefinition
from sagafsm.store import Store, open_store
from sagafsm.verify.explore.shrink import shrink_schedule
from sagafsm.verify.report.oracle import Oracle, Violation
from sagafsm.verify.schedule import FAULT_KINDS, Fault, FaultKind, Schedule, list_fault_kinds
from sagafsm.verify.simulate.process import FaultPlan, FixedPlan
from sagafsm.verify.simulate.process_memory import ProcessMemory
from sagafsm.verify.simulate.run import Runner, RunResult
from sagafsm.verify.simulate.simulation import PinnedSaga, Simulation, SimulationSetup
from sagafsm.verify.simulate.watchdog import Watchdog
from sagafsm.verify.simulate.world import WorldFactory, WorldSnapshot, make_world


@attrs.define(eq=False)
class Scenario:
    """One input and one kind of world. Only runs of one scenario are compared.

    `reads` names the resource calls that were seen to change nothing.
    """

    number: int
    input: Any
    factory: WorldFactory
    before: WorldSnapshot
    oracle: Oracle
    reference: RunResult | None = None
    reads: frozenset[str] = frozenset()


@attrs.frozen
class Counterexample:
    """A broken law with the schedule that breaks it."""

    violation: Violation
    schedule: Schedule
    scenario: Scenario
    outcome: RunResult


@attrs.define(eq=False)
class Trials:
    """The runs of one verification, shared by all its stages, with the counterexamples found."""

    setup: SimulationSetup
    watch: Watchdog
    until: float
    effectless: frozenset[str]
    found: dict[tuple[str, str], Counterexample] = attrs.field(factory=dict, init=False)
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
        """Whether the budget is spent, or two runs have hung: more runs would only wait."""
        return time.perf_counter() >= self.until or self.hangs >= 2

    def make_scenario(self, number: int, input: Any, factory: WorldFactory) -> Scenario:
        """Return a new scenario, without its reference."""
        before = WorldSnapshot.take(make_world(factory))
        oracle = Oracle(before, None, lambda outcome: outcome, self.effectless)
        scenario = Scenario(number, input, factory, before, oracle)
        oracle.tracer = lambda outcome: self.run(scenario, outcome.schedule, traces=True)
        return scenario

    def run(
        self, scenario: Scenario, schedule: Schedule, *, plan: FaultPlan | None = None, traces: bool = False
    ) -> RunResult:
        """Run one schedule; `plan`, if given, replaces the faults of the schedule."""
        self.setup.memory.reset()
        simulation = Simulation(
            self.setup,
            make_world(scenario.factory),
            scenario.input,
            plan or FixedPlan({fault.point: fault.kind for fault in schedule.faults}),
            turns=schedule.turns,
            operator=schedule.operator,
            traces=traces,
        )
        self.current = simulation
        faults = 5 if plan else len(schedule)
        runner = Runner(simulation, schedule, scenario.reads, self.watch, faults, finish=self.watch.finish_tasks)
        self.runs += 1
        outcome = runner.run_to_end(scenario.before)
        self._note(outcome)
        return outcome

    def _note(self, outcome: RunResult) -> None:
        for step_call in outcome.run.calls.step_calls:
            self.reached.add(step_call.path)
            self.intercepted = self.intercepted or bool(step_call.resource_calls)
        self.hangs += outcome.ending == "hung"

    def judge(self, scenario: Scenario, outcome: RunResult) -> list[Violation]:
        """Judge a run, keep its violations, and count its faults by grade."""
        violations = scenario.oracle.find_violations(outcome)
        broken = {grade for violation in violations for grade in self._list_broken_grades(violation, outcome.schedule)}
        for grade in outcome.schedule.grades:
            self.tried[grade] += 1
            self.broken[grade] += grade in broken
        for violation in violations:
            self.keep(Counterexample(violation, outcome.schedule, scenario, outcome))
        return violations

    def _list_broken_grades(self, violation: Violation, schedule: Schedule) -> Sequence[str]:
        """Return the grades of the faults that a violation needs, by the smallest schedule known for it."""
        if violation.kind in ("late", "late_do"):
            return ("late",)
        known = self.found.get((violation.kind, violation.step))
        return schedule.grades if known is None or len(known.schedule) >= len(schedule) else known.schedule.grades

    def keep(self, found: Counterexample) -> None:
        """Keep a counterexample, unless a simpler one is known."""
        key = (found.violation.kind, found.violation.step)
        self.again[key] += 1
        known = self.found.get(key)
        if known is None or _rank_simplicity(found.schedule) < _rank_simplicity(known.schedule):
            self.found[key] = found

    def shrink(self, kind: str, step: str) -> None:
        """Replace a counterexample by the smallest one that shows the same violation."""
        known = self.found[kind, step]
        smallest = [known]

        def breaks(candidate: Schedule) -> bool:
            outcome = self.run(known.scenario, candidate)
            for violation in known.scenario.oracle.find_violations(outcome):
                if (violation.kind, violation.step) == (kind, step):
                    smallest[0] = Counterexample(violation, candidate, known.scenario, outcome)
                    return True
            return False

        shrink_schedule(known.schedule, breaks)
        self.found[kind, step] = smallest[0]

    def run_variants(self, scenario: Scenario, schedule: Schedule) -> Iterator[tuple[RunResult, list[Violation]]]:
        """Run and judge a schedule; if a doubt may also be compensated, run it again with that decision."""
        outcome = self.run(scenario, schedule)
        yield outcome, self.judge(scenario, outcome)
        if schedule.operator == "truth" and may_compensate(outcome):
            other = self.run(scenario, attrs.evolve(schedule, operator="compensate"))
            yield other, self.judge(scenario, other)


def _rank_simplicity(schedule: Schedule) -> tuple[int, int, int]:
    """Rank by the number of faults, then by points at calls of resources, then by the simplest kinds."""
    places = sum(2 if fault.point.role == "commit" else not fault.point.call for fault in schedule.faults)
    kinds = sum(FAULT_KINDS.index(fault.kind) for fault in schedule.faults)
    return len(schedule), places, kinds


def may_compensate(outcome: RunResult) -> bool:
    """Whether the operator decided a block that allows `compensate` in another way."""
    return any("compensate" in settled.allowed and settled.decision != "compensate" for settled in outcome.settled)


def extend_schedule(outcome: RunResult, *, first: bool) -> Iterator[Schedule]:
    """Yield the schedules with one fault more than a run, at each point after its last fault.

    `first`: with every kind. Else without `crash`, as it equals `crash_after` at the point before.
    """
    trace = outcome.trace
    begin = max((index for index, visited in enumerate(trace) if visited.kind is not None), default=-1) + 1
    if outcome.schedule.operator != "truth":
        # Up to the first decision, the run equals the one that decides by the truth, which is extended too.
        begin = max(begin, outcome.decided_at or begin)
    for index in range(begin, len(trace)):
        visited = trace[index]
        kinds: Sequence[FaultKind] = list_fault_kinds(
            visited.point, intercepted=visited.step_call is not None and bool(visited.step_call.resource_calls)
        )
        for kind in kinds:
            if kind == "crash" and not first and index:
                continue
            yield outcome.schedule.with_fault(Fault(visited.point, kind))


def make_setup(
    saga: HasDefinition,
    signals: Mapping[str, Any],
    run_awaitable: Callable[[Any], Any],
    *,
    store: Callable[[], Store] | None = None,
) -> SimulationSetup:
    """Return what all runs of a verification share; without `store`, each run gets an empty store in memory."""
    definition = saga.definition
    store = store or type(open_store("memory://"))
    return SimulationSetup(PinnedSaga(definition), store, ProcessMemory.of(definition), signals, run_awaitable)
