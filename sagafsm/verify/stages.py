"""The stages of a verification: without a fault, one, two, any number of crashes, more at random. Enumerate first."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

from sagafsm.definition import Definition, StepDefinition
from sagafsm.verify.closure import Closure
from sagafsm.verify.contracts import CONTRACTS, Contracts
from sagafsm.verify.gaps import Gaps
from sagafsm.verify.ledger import Ledger
from sagafsm.verify.oracle import Violation, to_blame
from sagafsm.verify.randomised import Randomised
from sagafsm.verify.report import Finding, Row, Word
from sagafsm.verify.runs import Outcome
from sagafsm.verify.schedule import Beside, Fault, Kind, Point, Schedule, nearest
from sagafsm.verify.together import tried_beside
from sagafsm.verify.trials import Scenario, Trials, extensions
from sagafsm.verify.world import Factory, Look, can_be_copied, changes, made, places

RANDOM_SCHEDULES = 200
_GRAVITY: tuple[Word, ...] = ("never fired", "completed", "compensated", "undone", "asked", "late", "broken")


@attrs.define(eq=False)
class Stages:
    """One verification as it goes on, and what it has covered."""

    definition: Definition
    trials: Trials
    progress: Callable[[str, int, int | None], None] | None
    scenarios: list[Scenario] = attrs.field(factory=list, init=False)
    gaps: Gaps = attrs.field(init=False)
    contracts: Contracts = attrs.field(init=False)
    complete: int = attrs.field(default=0, init=False)
    skipped: int = attrs.field(default=0, init=False)
    equal: int = attrs.field(default=0, init=False)
    singles: int = attrs.field(default=0, init=False)
    states: int | None = attrs.field(default=None, init=False)
    fixpoint: bool = attrs.field(default=False, init=False)
    drawn: int = attrs.field(default=0, init=False)
    together: int = attrs.field(default=0, init=False)
    _cells: dict[tuple[str, Kind], Word] = attrs.field(factory=dict, init=False)
    _points: dict[str, Point] = attrs.field(factory=dict, init=False)
    _begun: bool = attrs.field(default=False, init=False)
    _copied: bool = attrs.field(default=False, init=False)
    _random: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.gaps, self.contracts = Gaps(self.definition), Contracts(self.definition, self.trials)

    # Without a fault --------------------------------------------------------------------------------------------------

    def prepare(self, scenarios: Sequence[tuple[int, Any, Factory]]) -> None:
        """Run each scenario twice without a fault: it has to be deterministic, and one has to complete."""
        self._begun = True
        for number, input, factory in scenarios:
            self._tell("no fault", None)
            scenario = self.trials.scenario(number, input, factory)
            outcome = self.trials.run(scenario, Schedule(), traces=True)
            again = self.trials.run(scenario, Schedule())
            self._compare(outcome, again, scenario)
            if (now := Look.at(made(factory))) != scenario.before:
                told = f"a new world is not as the first one was ({_difference(scenario.before, now)})"
                advice = "Keep what it holds in the instance, and return from snapshot() what compares by value."
                self.gaps.add("not_deterministic", "", told, advice)
            for step, place in outcome.run.unseen if self.trials.intercepted else ():
                told = f"step {step!r} changes {place} by no call of a resource, so that no fault was tried there"
                self.gaps.add("not_intercepted", step, told, "Have it call a method of what resources() returns.")
            changing = {change.answered.name for change in outcome.run.changes if change.places}
            called = {answer.name for called in outcome.run.calls for answer in called.answers}
            scenario.reads = frozenset(called - changing)
            scenario.reference = again
            if again.after is not None:
                again = attrs.evolve(again, after=Look.at(again.world))
            scenario.reference = scenario.oracle.reference = again
            self.trials.judge(scenario, again)
            self.scenarios.append(scenario)

    def _compare(self, first: Outcome, second: Outcome, scenario: Scenario) -> None:
        ones = [str(passed.point) for passed in first.trace]
        twos = [str(passed.point) for passed in second.trace]
        differing = [(a or "its end", b or "its end") for a, b in _paired(ones, twos) if a != b]
        step, results = "", (_results(first), _results(second))
        if differing:
            step, told = (
                _step_of(differing[0]),
                "differ: where one came by {}, the other came by {}".format(*differing[0]),
            )
        elif first.state != second.state:
            told = f"end {first.state!r} and {second.state!r}"
        elif results[0] != results[1]:
            step = next(name for name in results[0] if results[0][name] != results[1].get(name))
            told = f"give different results of step {step!r}"
        elif first.after is not None and second.after is not None and first.after != second.after:
            step = next(iter(to_blame(first, places(first.after.state, second.after.state))), "")
            told = "leave different worlds"
        else:
            return
        told = f"two runs of input {scenario.number} without a fault {told}"
        advice = "Derive ids from ctx.idempotency_key, and give the world a clock and counters of its own."
        self.gaps.add("not_deterministic", step, told, advice)

    @property
    def may_go_on(self) -> bool:
        """Whether faults would tell anything."""
        return not self.gaps.has("not_deterministic") and any(
            scenario.reference is not None and scenario.reference.ending == "rested" for scenario in self.scenarios
        )

    @property
    def usable(self) -> list[Scenario]:
        """Those that come to rest without a fault: only they tell anything with one."""
        return [s for s in self.scenarios if s.reference is not None and s.reference.ending == "rested"]

    # Faults -----------------------------------------------------------------------------------------------------------

    def explore(self, depth: int | Literal["auto"]) -> None:
        """Enumerate first, randomise last."""
        deepest = 2 if depth == "auto" else depth
        level = [(scenario, self._start(scenario)) for scenario in self.usable]
        reached = self._level(level, 1, keep=deepest > 1)
        for scenario in self.usable:
            self.contracts.try_all(scenario)
        self._close()
        for number in range(2, deepest + 1):
            if self.complete < number - 1:
                break
            reached = self._level(reached, number, keep=number < deepest)
        if depth == "auto":
            self._randomise()

    def _start(self, scenario: Scenario) -> list[Outcome]:
        """The runs without a fault that others extend: both turns of a group, where there is one."""
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

    def _level(
        self, begun: Sequence[tuple[Scenario, Sequence[Outcome]]], faults: int, *, keep: bool
    ) -> list[tuple[Scenario, list[Outcome]]]:
        """Try every schedule of one fault more than those given; return how they ended, where more are to come."""
        todo = [
            (scenario, schedule)
            for scenario, outcomes in begun
            for outcome in self._unlike(scenario, outcomes)
            for schedule in extensions(outcome, first=faults == 1)
        ]
        if faults == 1:
            self.singles = len(todo)
        reached: dict[int, tuple[Scenario, list[Outcome]]] = {}
        for number, (scenario, schedule) in enumerate(todo):
            if self.trials.is_over:
                self.skipped = len(todo) - number
                if faults == 1 and not self.trials.hangs:
                    told = f"{self.skipped} of {len(todo)} single faults were not tried for lack of time"
                    self.gaps.add("unfired", "", told, "Give a larger budget.")
                return list(reached.values())
            if not number % 50:
                self._tell(_faults(faults), len(todo), number)
            for outcome, violations in self.trials.variants(scenario, schedule):
                if faults == 1:
                    self._note_cell(outcome, violations)
                # One that is broken already would only be found again, with a fault too many.
                if keep and not violations:
                    reached.setdefault(id(scenario), (scenario, []))[1].append(outcome)
        self.complete = faults
        return list(reached.values())

    def _unlike(self, scenario: Scenario, outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
        """Those runs that others do not go on like: a process that died left the same behind in both."""
        seen: set[Hashable] = set()
        for outcome in outcomes:
            schedule = outcome.schedule
            key = (id(scenario), schedule.turns, schedule.operator, outcome.state_reached)
            if outcome.state_reached is None or not _is_behind(outcome):
                yield outcome
            elif key not in seen:
                seen.add(key)
                yield outcome
            else:
                self.equal += sum(1 for _ in extensions(outcome, first=False))

    def _note_cell(self, outcome: Outcome, violations: Sequence[Violation]) -> None:
        fault = outcome.schedule.faults[0]
        key = (str(fault.point), fault.kind)
        word = word_of(outcome, violations)
        known = self._cells.get(key, "never fired")
        self._points[str(fault.point)] = fault.point
        self._cells[key] = max(known, word, key=_GRAVITY.index)

    # Crashes, and chance ----------------------------------------------------------------------------------------------

    def _close(self) -> None:
        usable = self.usable
        if not usable or self.trials.is_over or not all(can_be_copied(made(each.factory)) for each in usable):
            return
        self._copied = True
        self._tell("any number of crashes", None)
        closures = [Closure(self.trials, scenario) for scenario in usable]
        for closure in closures:
            closure.explore()
        for (kind, step), found in tuple(self.trials.found.items()):
            if len(found.schedule) > 1 and kind not in CONTRACTS and not self.trials.is_over:
                self.trials.shrink(kind, step)
        self.states = sum(len(closure.states) for closure in closures)
        self.fixpoint = all(closure.is_fixpoint for closure in closures)

    def _randomise(self) -> None:
        if not self.usable or self.trials.is_over or importlib.util.find_spec("hypothesis") is None:
            return
        self._tell("at random", RANDOM_SCHEDULES)
        randomised = Randomised(self.trials, self.usable)
        ledger = isinstance(self.usable[0].reference and self.usable[0].reference.world, Ledger)
        randomised.explore(RANDOM_SCHEDULES, both=not ledger)
        self.drawn, self.together = randomised.drawn, randomised.together
        self._random = True

    # Replay -----------------------------------------------------------------------------------------------------------

    def replay(self, schedule: Schedule) -> None:
        """Run one schedule, for each scenario; a point that no run comes by is a finding, with the nearest one."""
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
        # One input is enough to come by a point.
        fired = {(passed.point, passed.kind) for _, outcome, _ in outcomes for passed in outcome.fired}
        if outcomes and not any(violations for _, _, violations in outcomes):
            for fault in schedule.faults:
                if (fault.point, fault.kind) not in fired:
                    self._unfired(fault, outcomes[0][1], outcomes[0][0])
        self.complete = 0

    def _replay_beside(self, how: Beside) -> None:
        ended = [tried_beside(self.trials, scenario, how) for scenario in self.usable]
        if not any(ended):
            told = f"two instances did not end alike under {str(how)!r}, so that nothing can be told of it"
            self.gaps.add("unfired", "", told, "Drop that schedule.")

    def _unfired(self, fault: Fault, outcome: Outcome, scenario: Scenario) -> None:
        assert scenario.reference is not None  # noqa: S101 - it is usable
        known = [passed.point for passed in (*outcome.trace, *scenario.reference.trace)]
        likely = nearest(fault.point, known)
        hint = "" if likely is None else f" (nearest: {likely})"
        told = f"the run came by no point {str(fault.point)!r}, so that {fault.kind!r} was not injected{hint}"
        self.gaps.add("unfired", fault.point.path, told, "Correct the schedule, or drop that fault.")

    # What was not tried -----------------------------------------------------------------------------------------------

    def gave_up(self) -> None:
        """A step could not be interrupted: its thread is left to itself, and nothing more is tried."""
        run = self.trials.current
        step = run.calls[-1].path if run is not None and run.calls else ""
        told = "did not return within the time limit, and could not be interrupted; nothing more was tried"
        self.gaps.add("hangs", step, f"step {step!r} {told}", f"Give the call in {step!r} a timeout.")

    def vacuous(self, *, without_world: bool) -> Iterator[Finding]:
        """Everything that kept the verification from meaning something."""
        if self._begun and not self.gaps.has("hangs"):
            self.gaps.look(self.scenarios, self.trials, without_world=without_world)
        return self.gaps.findings()

    def not_covered(self, *, without_world: bool) -> Iterator[str]:
        """What a reader might take for covered, and is not."""
        if without_world:
            yield "what calls within a step do"
        if not self._begun:
            yield "everything"
            return
        if not self._copied:
            yield "any number of crashes"
        if not self._random:
            yield "more faults at random"
        yield "calls within a step that run beside each other"
        yield "real timeouts"

    # Showing ----------------------------------------------------------------------------------------------------------

    def matrix(self) -> tuple[Row, ...]:
        """What became of each single fault at each point, in order of the points."""
        rows: Mapping[str, dict[str, Word]] = {point: {} for point in self._points}
        for (point, kind), word in self._cells.items():
            rows[point][kind] = word
        return tuple(
            Row(point=name, step=point.path, role=point.role, cells=rows[name]) for name, point in self._points.items()
        )

    def _tell(self, stage: str, total: int | None, done: int = 0) -> None:
        if self.progress is not None:
            self.progress(stage, done, total)


def _is_behind(outcome: Outcome) -> bool:
    """Whether all that a run came by after its last fault was in later incarnations."""
    trace = outcome.trace
    last = max(index for index, passed in enumerate(trace) if passed.kind is not None)
    return all(passed.point.life > 1 for passed in trace[last + 1 :])


def word_of(outcome: Outcome, violations: Sequence[Violation]) -> Word:
    """What became of a run, in one word."""
    if violations:
        return "late" if violations[0].kind in ("late", "late_do") else "broken"
    if not outcome.fired:
        return "never fired"
    if outcome.asked:
        return "asked"
    if outcome.state == "completed":
        return "completed"
    return "compensated" if outcome.instance is not None and outcome.instance.compensated else "undone"


def _paired(ones: Sequence[str], twos: Sequence[str]) -> Iterator[tuple[str, str]]:
    for index in range(max(len(ones), len(twos))):
        yield (ones[index] if index < len(ones) else "", twos[index] if index < len(twos) else "")


def _results(outcome: Outcome) -> dict[str, Any]:
    return {} if outcome.instance is None else outcome.instance.results


def _step_of(labels: Sequence[str]) -> str:
    return next((label.partition(".")[0] for label in labels if "." in label), "")


def _difference(before: Look, after: Look) -> str:
    return "; ".join(changes(before.state, after.state)[:2]) or "in what may only grow"


def _faults(number: int) -> str:
    return {1: "single faults", 2: "pairs of faults"}.get(number, f"{number} faults")
