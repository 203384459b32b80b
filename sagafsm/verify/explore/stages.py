"""The stages of a verification: no fault, one fault, two, any number of crashes, and more faults at random."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

from sagafsm.definition.definition import Definition, StepDefinition
from sagafsm.verify.explore.concurrent_pairs import try_pair
from sagafsm.verify.explore.crash_closure import CrashClosure
from sagafsm.verify.explore.idempotence import CONTRACT_NAMES, ContractChecker
from sagafsm.verify.explore.random_faults import RandomSearch
from sagafsm.verify.explore.trials import Scenario, Trials, extend_schedule
from sagafsm.verify.explore.vacuity import Gaps
from sagafsm.verify.report.oracle import Violation, find_blamed_steps
from sagafsm.verify.report.report import CellResult, Finding, PointResults
from sagafsm.verify.schedule import ConcurrentPair, Fault, FaultKind, FaultPoint, Schedule, find_nearest
from sagafsm.verify.simulate.effect_ledger import EffectLedger
from sagafsm.verify.simulate.run import RunResult
from sagafsm.verify.simulate.world import (
    WorldFactory,
    WorldSnapshot,
    describe_changes,
    find_changed_places,
    is_copyable,
    make_world,
)

RANDOM_SCHEDULES = 200
_BY_SEVERITY: tuple[CellResult, ...] = ("never fired", "completed", "compensated", "undone", "asked", "late", "broken")


@attrs.define(eq=False)
class Stages:
    """One verification in progress, with its coverage so far."""

    definition: Definition
    trials: Trials
    progress: Callable[[str, int, int | None], None] | None
    scenarios: list[Scenario] = attrs.field(factory=list, init=False)
    gaps: Gaps = attrs.field(init=False)
    contracts: ContractChecker = attrs.field(init=False)
    complete: int = attrs.field(default=0, init=False)
    skipped: int = attrs.field(default=0, init=False)
    equal: int = attrs.field(default=0, init=False)
    singles: int = attrs.field(default=0, init=False)
    states: int | None = attrs.field(default=None, init=False)
    fixpoint: bool = attrs.field(default=False, init=False)
    drawn: int = attrs.field(default=0, init=False)
    together: int = attrs.field(default=0, init=False)
    _cells: dict[tuple[str, FaultKind], CellResult] = attrs.field(factory=dict, init=False)
    _points: dict[str, FaultPoint] = attrs.field(factory=dict, init=False)
    _has_begun: bool = attrs.field(default=False, init=False)
    _has_explored_crashes: bool = attrs.field(default=False, init=False)
    _has_randomised: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.gaps, self.contracts = Gaps(self.definition), ContractChecker(self.definition, self.trials)

    # Without a fault --------------------------------------------------------------------------------------------------

    def prepare(self, scenarios: Sequence[tuple[int, Any, WorldFactory]]) -> None:
        """Run each scenario twice without a fault: both runs must be equal."""
        self._has_begun = True
        for number, input, factory in scenarios:
            self._report_progress("no fault", None)
            scenario = self.trials.make_scenario(number, input, factory)
            outcome = self.trials.run(scenario, Schedule(), traces=True)
            again = self.trials.run(scenario, Schedule())
            self._compare(outcome, again, scenario)
            if (now := WorldSnapshot.take(make_world(factory))) != scenario.before:
                message = (
                    f"a new world is not as the first one was ({_describe_stage_difference(scenario.before, now)})"
                )
                advice = "Keep what it holds in the instance, and return from snapshot() what compares by value."
                self.gaps.add("not_deterministic", "", message, advice)
            for step, place in outcome.run.calls.unintercepted if self.trials.intercepted else ():
                message = f"step {step!r} changes {place} by no call of a resource, so that no fault was tried there"
                self.gaps.add("not_intercepted", step, message, "Have it call a method of what resources() returns.")
            changing = {change.resource_call.name for change in outcome.run.calls.changes if change.places}
            called = {call.name for step_call in outcome.run.calls.step_calls for call in step_call.resource_calls}
            scenario.reads = frozenset(called - changing)
            scenario.reference = again
            if again.after is not None:
                again = attrs.evolve(again, after=WorldSnapshot.take(again.world))
            scenario.reference = scenario.oracle.reference = again
            self.trials.judge(scenario, again)
            self.scenarios.append(scenario)

    def _compare(self, first: RunResult, second: RunResult, scenario: Scenario) -> None:
        ones = [str(visited.point) for visited in first.trace]
        twos = [str(visited.point) for visited in second.trace]
        differing = [(a, b) for a, b in itertools.zip_longest(ones, twos, fillvalue="its end") if a != b]
        step, results = "", (_get_stage_results(first), _get_stage_results(second))
        if differing:
            step, message = (
                _find_stage_step_name(differing[0]),
                "differ: where one came by {}, the other came by {}".format(*differing[0]),
            )
        elif first.state != second.state:
            message = f"end {first.state!r} and {second.state!r}"
        elif results[0] != results[1]:
            step = next(name for name in results[0] if results[0][name] != results[1].get(name))
            message = f"give different results of step {step!r}"
        elif first.after is not None and second.after is not None and first.after != second.after:
            step = next(iter(find_blamed_steps(first, find_changed_places(first.after.state, second.after.state))), "")
            message = "leave different worlds"
        else:
            return
        message = f"two runs of input {scenario.number} without a fault {message}"
        advice = "Derive ids from ctx.idempotency_key, and give the world a clock and counters of its own."
        self.gaps.add("not_deterministic", step, message, advice)

    @property
    def can_explore(self) -> bool:
        """Whether runs with faults would mean anything."""
        return bool(self.usable) and not self.gaps.has("not_deterministic")

    @property
    def usable(self) -> list[Scenario]:
        """The scenarios that come to rest without a fault: only those are tried with faults."""
        return [s for s in self.scenarios if s.reference is not None and s.reference.ending == "rested"]

    # Faults -----------------------------------------------------------------------------------------------------------

    def explore(self, depth: int | Literal["auto"]) -> None:
        """Enumerate first, randomise last."""
        deepest = 2 if depth == "auto" else depth
        level = [(scenario, self._run_without_fault(scenario)) for scenario in self.usable]
        reached = self._run_level(level, 1, keep=deepest > 1)
        for scenario in self.usable:
            self.contracts.try_all(scenario)
        self._explore_crashes()
        for number in range(2, deepest + 1):
            if self.complete < number - 1:
                break
            reached = self._run_level(reached, number, keep=number < deepest)
        if depth == "auto":
            self._randomise()

    def _run_without_fault(self, scenario: Scenario) -> list[RunResult]:
        """Return the runs without a fault that others extend: one for each order of turns, if the saga has a group."""
        assert scenario.reference is not None  # noqa: S101 - it is usable
        begun = [scenario.reference]
        if any(step.group is not None for step in self._steps()):
            last = self.trials.run(scenario, Schedule(turns="last"))
            self.trials.judge(scenario, last)
            begun.append(last)
        return begun

    def _steps(self) -> Iterator[StepDefinition]:
        waiting = [self.definition]
        for definition in waiting:
            yield from definition.steps
            waiting.extend(step.child for step in definition.steps if step.child is not None)

    def _run_level(
        self, begun: Sequence[tuple[Scenario, Sequence[RunResult]]], faults: int, *, keep: bool
    ) -> list[tuple[Scenario, list[RunResult]]]:
        """Try every schedule of one fault more than the given runs; return the results, if a further level follows."""
        todo = [
            (scenario, schedule)
            for scenario, outcomes in begun
            for outcome in self._drop_equal_runs(scenario, outcomes)
            for schedule in extend_schedule(outcome, first=faults == 1)
        ]
        if faults == 1:
            self.singles = len(todo)
        reached: dict[int, tuple[Scenario, list[RunResult]]] = {}
        for number, (scenario, schedule) in enumerate(todo):
            if self.trials.is_over:
                self.skipped = len(todo) - number
                if faults == 1 and not self.trials.hangs:
                    message = f"{self.skipped} of {len(todo)} single faults were not tried for lack of time"
                    self.gaps.add("unfired", "", message, "Give a larger budget.")
                return list(reached.values())
            if not number % 50:
                self._report_progress(_describe_stage(faults), len(todo), number)
            for outcome, violations in self.trials.run_variants(scenario, schedule):
                if faults == 1:
                    self._note_cell(outcome, violations)
                # A further fault in a broken run would only show the same violation again.
                if keep and not violations:
                    reached.setdefault(id(scenario), (scenario, []))[1].append(outcome)
        self.complete = faults
        return list(reached.values())

    def _drop_equal_runs(self, scenario: Scenario, outcomes: Sequence[RunResult]) -> Iterator[RunResult]:
        """Yield one of all runs that continue alike, since a dead process left an equal state in each."""
        seen: set[Hashable] = set()
        for outcome in outcomes:
            schedule = outcome.schedule
            key = (id(scenario), schedule.turns, schedule.operator, outcome.state_reached)
            if outcome.state_reached is None or not _has_restarted_after_last_fault(outcome):
                yield outcome
            elif key not in seen:
                seen.add(key)
                yield outcome
            else:
                self.equal += sum(1 for _ in extend_schedule(outcome, first=False))

    def _note_cell(self, outcome: RunResult, violations: Sequence[Violation]) -> None:
        fault = outcome.schedule.faults[0]
        key = (str(fault.point), fault.kind)
        word = classify_run(outcome, violations)
        known = self._cells.get(key, "never fired")
        self._points[str(fault.point)] = fault.point
        self._cells[key] = max(known, word, key=_BY_SEVERITY.index)

    # Crashes, and chance ----------------------------------------------------------------------------------------------

    def _explore_crashes(self) -> None:
        usable = self.usable
        if not usable or self.trials.is_over or not all(is_copyable(make_world(each.factory)) for each in usable):
            return
        self._has_explored_crashes = True
        self._report_progress("any number of crashes", None)
        closures = [CrashClosure(self.trials, scenario) for scenario in usable]
        for closure in closures:
            closure.explore()
        for (kind, step), found in tuple(self.trials.found.items()):
            if len(found.schedule) > 1 and kind not in CONTRACT_NAMES and not self.trials.is_over:
                self.trials.shrink(kind, step)
        self.states = sum(len(closure.states) for closure in closures)
        self.fixpoint = all(closure.is_fixpoint for closure in closures)

    def _randomise(self) -> None:
        if not self.usable or self.trials.is_over or importlib.util.find_spec("hypothesis") is None:
            return
        self._report_progress("at random", RANDOM_SCHEDULES)
        randomised = RandomSearch(self.trials, self.usable)
        ledger = isinstance(self.usable[0].reference and self.usable[0].reference.world, EffectLedger)
        randomised.explore(RANDOM_SCHEDULES, both=not ledger)
        self.drawn, self.together = randomised.drawn, randomised.together
        self._has_randomised = True

    # Replay -----------------------------------------------------------------------------------------------------------

    def replay(self, schedule: Schedule) -> None:
        """Run one schedule for each scenario. A point that no run reaches is a finding, which names the nearest one."""
        if schedule.beside is not None:
            self._replay_beside(schedule.beside)
            return
        outcomes = []
        for scenario in self.usable:
            outcome = self.trials.run(scenario, schedule)
            violations = self.trials.judge(scenario, outcome)
            outcomes.append((scenario, outcome, violations))
            if len(schedule) == 1:
                self._note_cell(outcome, violations)
        # One input that reaches a point is enough.
        fired = {(visited.point, visited.kind) for _, outcome, _ in outcomes for visited in outcome.fired}
        if outcomes and not any(violations for _, _, violations in outcomes):
            for fault in schedule.faults:
                if (fault.point, fault.kind) not in fired:
                    self._note_unfired(fault, outcomes[0][1], outcomes[0][0])
        self.complete = 0

    def _replay_beside(self, how: ConcurrentPair) -> None:
        ended = [try_pair(self.trials, scenario, how) for scenario in self.usable]
        if not any(ended):
            message = f"two instances did not end alike under {str(how)!r}, so that nothing can be told of it"
            self.gaps.add("unfired", "", message, "Drop that schedule.")

    def _note_unfired(self, fault: Fault, outcome: RunResult, scenario: Scenario) -> None:
        assert scenario.reference is not None  # noqa: S101 - it is usable
        known = [visited.point for visited in (*outcome.trace, *scenario.reference.trace)]
        likely = find_nearest(fault.point, known)
        hint = "" if likely is None else f" (nearest: {likely})"
        message = f"the run came by no point {str(fault.point)!r}, so that {fault.kind!r} was not injected{hint}"
        self.gaps.add("unfired", fault.point.path, message, "Correct the schedule, or drop that fault.")

    # What was not tried -----------------------------------------------------------------------------------------------

    def report_hang(self) -> None:
        """Report a step that could not be interrupted. Its thread is given up, and nothing more is tried."""
        step = "" if self.trials.current is None else self.trials.current.calls.last_step
        message = "did not return within the time limit, and could not be interrupted; nothing more was tried"
        self.gaps.add("hangs", step, f"step {step!r} {message}", f"Give the call in {step!r} a timeout.")

    def find_vacuity(self, *, without_world: bool) -> Iterator[Finding]:
        """Return a finding for each gap that makes the verification mean less."""
        if self._has_begun and not self.gaps.has("hangs"):
            self.gaps.find_gaps(self.scenarios, self.trials, without_world=without_world)
        return self.gaps.findings()

    def list_not_covered(self, *, without_world: bool) -> Iterator[str]:
        """Yield the parts that a reader might think covered, and that are not."""
        if without_world:
            yield "what calls within a step do"
        if not self._has_begun:
            yield "everything"
            return
        if not self._has_explored_crashes:
            yield "any number of crashes"
        if not self._has_randomised:
            yield "more faults at random"
        yield "calls within a step that run beside each other"
        yield "real timeouts"

    # Showing ----------------------------------------------------------------------------------------------------------

    def matrix(self) -> tuple[PointResults, ...]:
        """Return the result of each single fault at each point, in the order of the points."""
        rows: Mapping[str, dict[str, CellResult]] = {point: {} for point in self._points}
        for (point, kind), word in self._cells.items():
            rows[point][kind] = word
        return tuple(
            PointResults(point=name, step=point.path, role=point.role, cells=rows[name])
            for name, point in self._points.items()
        )

    def _report_progress(self, stage: str, total: int | None, done: int = 0) -> None:
        if self.progress is not None:
            self.progress(stage, done, total)


def _has_restarted_after_last_fault(outcome: RunResult) -> bool:
    """Whether a run reached all points after its last fault in later processes."""
    trace = outcome.trace
    last = max(index for index, visited in enumerate(trace) if visited.kind is not None)
    return all(visited.point.process_number > 1 for visited in trace[last + 1 :])


def classify_run(outcome: RunResult, violations: Sequence[Violation]) -> CellResult:
    """Return the result of a run in one word."""
    if violations:
        return "late" if violations[0].kind in ("late", "late_do") else "broken"
    if not outcome.fired:
        return "never fired"
    if outcome.is_operator_needed:
        return "asked"
    if outcome.state == "completed":
        return "completed"
    return "compensated" if outcome.instance is not None and outcome.instance.compensated else "undone"


def _get_stage_results(outcome: RunResult) -> dict[str, Any]:
    return {} if outcome.instance is None else outcome.instance.results


def _find_stage_step_name(labels: Sequence[str]) -> str:
    return next((label.partition(".")[0] for label in labels if "." in label), "")


def _describe_stage_difference(before: WorldSnapshot, after: WorldSnapshot) -> str:
    return "; ".join(describe_changes(before.state, after.state)[:2]) or "in what may only grow"


def _describe_stage(number: int) -> str:
    return {1: "single faults", 2: "pairs of faults"}.get(number, f"{number} faults")
