"""The contracts of single steps: done twice, undone twice, undone without being done, done after its undo."""

from __future__ import annotations

import attrs

from sagafsm.definition.definition import Definition
from sagafsm.verify.explore.trials import Counterexample, Scenario, Trials
from sagafsm.verify.report.hints import find_step
from sagafsm.verify.report.report import Contract
from sagafsm.verify.schedule import Fault, FaultPoint, Schedule
from sagafsm.verify.simulate.run import RunResult

CONTRACT_NAMES = ("do_twice", "undo_twice", "undo_without_do", "late_do")


@attrs.define(eq=False)
class ContractChecker:
    """Checks the contracts of all steps that a scenario calls. Each is a schedule, so a violation can be replayed."""

    definition: Definition
    trials: Trials
    _held: dict[str, dict[str, bool]] = attrs.field(factory=dict, init=False)

    def try_all(self, scenario: Scenario) -> None:
        """Check the contracts of the steps of one scenario."""
        assert scenario.reference is not None  # noqa: S101 - it has been run
        step_calls = scenario.reference.run.calls.step_calls
        for path in dict.fromkeys(call.path for call in step_calls if call.role == "action"):
            if self.trials.is_over:
                return
            self._try(scenario, path)

    def _try(self, scenario: Scenario, path: str) -> None:
        held = self._held.setdefault(path, {})
        for name, schedule in _make_schedules(path).items():
            outcome = self.trials.run(scenario, schedule)
            if len(outcome.fired) < len(schedule) or not _is_idempotence_conclusive(name, outcome, path):
                continue
            violations = scenario.oracle.find_violations(outcome)
            if violations and self._is_broken_anyway(scenario, name, schedule):
                continue
            held[name] = held.get(name, True) and not violations
            for violation in violations if self._is_mistake(name, path) else ():
                self.trials.keep(Counterexample(violation, schedule, scenario, outcome))

    def _is_broken_anyway(self, scenario: Scenario, name: str, schedule: Schedule) -> bool:
        """Whether the schedule breaks a law also without the second call."""
        if not name.endswith("_twice"):
            return False
        once = attrs.evolve(schedule, faults=tuple(fault for fault in schedule.faults if fault.kind != "twice"))
        return bool(scenario.oracle.find_violations(self.trials.run(scenario, once)))

    def _is_mistake(self, name: str, path: str) -> bool:
        """Whether a broken contract is a mistake: the saga relies on it."""
        step = find_step(self.definition, path)
        match name:
            case "do_twice":
                return step is not None and "retry" in step.in_doubt
            case "undo_without_do":
                # A single fault shows this already, if a policy or an operator undoes a step that is not done.
                return False
            case "late_do":
                return ("late", path) not in self.trials.found
            case _:
                return True

    def results(self) -> tuple[Contract, ...]:
        """Return the contracts of each step."""
        return tuple(Contract(step=path, **held) for path, held in self._held.items())


def _make_schedules(path: str) -> dict[str, Schedule]:
    action, undo = FaultPoint(f"{path}.action"), FaultPoint(f"{path}.compensation")
    return {
        "do_twice": Schedule((Fault(action, "twice"),)),
        "undo_twice": Schedule((Fault(action, "cancel"), Fault(undo, "twice"))),
        "undo_without_do": Schedule((Fault(action, "crash"),), operator="compensate"),
        "late_do": Schedule((Fault(action, "late"),), operator="compensate"),
    }


def _is_idempotence_conclusive(name: str, outcome: RunResult, path: str) -> bool:
    """Whether a run tests its contract: it completed, or called the compensation that the contract is about."""
    if name == "do_twice":
        return outcome.state == "completed"
    return bool(outcome.run.calls.select_step_calls(path, "compensation"))
