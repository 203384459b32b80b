"""What each step bears by itself: done twice, undone twice, undone without having been done, done after its undo."""

from __future__ import annotations

import attrs

from sagafsm.definition import Definition
from sagafsm.verify.advice import step_at
from sagafsm.verify.report import Contract
from sagafsm.verify.runs import Outcome
from sagafsm.verify.schedule import Fault, Point, Schedule
from sagafsm.verify.trials import Found, Scenario, Trials

CONTRACTS = ("do_twice", "undo_twice", "undo_without_do", "late_do")


@attrs.define(eq=False)
class Contracts:
    """The contracts of all steps that a scenario calls. Each is a schedule, so that what breaks one can be replayed."""

    definition: Definition
    trials: Trials
    _held: dict[str, dict[str, bool]] = attrs.field(factory=dict, init=False)

    def try_all(self, scenario: Scenario) -> None:
        """Try those of one scenario."""
        assert scenario.reference is not None  # noqa: S101 - it has been run
        for path in dict.fromkeys(called.path for called in scenario.reference.run.calls if called.role == "action"):
            if self.trials.is_over:
                return
            self._try(scenario, path)

    def _try(self, scenario: Scenario, path: str) -> None:
        held = self._held.setdefault(path, {})
        for name, schedule in _schedules(path).items():
            outcome = self.trials.run(scenario, schedule)
            if len(outcome.fired) < len(schedule) or not _shows(name, outcome, path):
                continue
            violations = scenario.oracle.violations(outcome)
            if violations and self._is_broken_anyway(scenario, name, schedule):
                continue
            held[name] = held.get(name, True) and not violations
            for violation in violations if self._counts(name, path) else ():
                self.trials.keep(Found(violation, schedule, scenario, outcome))

    def _is_broken_anyway(self, scenario: Scenario, name: str, schedule: Schedule) -> bool:
        """Whether it is no matter of being called twice: it breaks also when that is left out."""
        if not name.endswith("_twice"):
            return False
        once = attrs.evolve(schedule, faults=tuple(fault for fault in schedule.faults if fault.kind != "twice"))
        return bool(scenario.oracle.violations(self.trials.run(scenario, once)))

    def _counts(self, name: str, path: str) -> bool:
        """Whether a broken contract is a mistake: the saga relies on it."""
        step = step_at(self.definition, path)
        match name:
            case "do_twice":
                return step is not None and "retry" in step.in_doubt
            case "undo_without_do":
                # Single faults say so, wherever a policy or an operator asks for it.
                return False
            case "late_do":
                return ("late", path) not in self.trials.found
            case _:
                return True

    def results(self) -> tuple[Contract, ...]:
        """What was found."""
        return tuple(Contract(step=path, **held) for path, held in self._held.items())


def _schedules(path: str) -> dict[str, Schedule]:
    action, undo = Point(f"{path}.action"), Point(f"{path}.compensation")
    return {
        "do_twice": Schedule((Fault(action, "twice"),)),
        "undo_twice": Schedule((Fault(action, "cancel"), Fault(undo, "twice"))),
        "undo_without_do": Schedule((Fault(action, "crash"),), operator="compensate"),
        "late_do": Schedule((Fault(action, "late"),), operator="compensate"),
    }


def _shows(name: str, outcome: Outcome, path: str) -> bool:
    """Whether a run shows what it was to show: an undo was called, where the contract is about one."""
    if name == "do_twice":
        return outcome.state == "completed"
    return any(called.path == path and called.role == "compensation" for called in outcome.run.calls)
