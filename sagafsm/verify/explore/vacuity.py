"""Gaps that make a verification mean nothing: nothing was called, nothing changed, nothing completed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from sagafsm.definition.definition import Definition
from sagafsm.verify.explore.trials import Scenario, Trials
from sagafsm.verify.report.oracle import FindingKind
from sagafsm.verify.report.report import Finding
from sagafsm.verify.simulate.world import make_world


@attrs.frozen
class Gap:
    """One gap, with advice."""

    kind: FindingKind
    step: str
    message: str
    advice: str


@attrs.define(eq=False)
class Gaps:
    """All gaps of a verification, each once."""

    definition: Definition
    noticed: list[Gap] = attrs.field(factory=list, init=False)

    def add(self, kind: FindingKind, step: str, message: str, advice: str) -> None:
        """Record a gap."""
        gap = Gap(kind, step, message, advice)
        if gap not in self.noticed:
            self.noticed.append(gap)

    def has(self, kind: FindingKind) -> bool:
        """Whether a gap of this kind is recorded."""
        return any(gap.kind == kind for gap in self.noticed)

    def findings(self) -> Iterator[Finding]:
        """Convert the gaps to report findings."""
        for gap in self.noticed:
            message = f"saga {self.definition.saga!r}: {gap.message}."
            yield Finding(
                kind=gap.kind, step=gap.step, schedule="no fault", faults=0, message=message, advice=gap.advice
            )

    def find_gaps(self, scenarios: Sequence[Scenario], trials: Trials, *, without_world: bool) -> None:
        """Look for gaps after all runs."""
        completed = [s for s in scenarios if s.reference is not None and s.reference.state == "completed"]
        if not completed:
            if scenarios:
                self._add_never_completes(scenarios)
            return
        if not without_world and not trials.intercepted:
            self.add(
                "not_intercepted", "", "no resource of this world was ever called", self._advise_resource(completed[0])
            )
        elif not any(_has_changed(scenario) for scenario in completed):
            message = "the world's snapshot is the same before and after, so that nothing that is done or left shows"
            self.add("constant_snapshot", "", message, "Return from snapshot() what the fakes hold, by value.")
        for path in _find_unreached(self.definition, "", trials.reached):
            message = f"step {path!r} was never reached by any input"
            self.add("never_reached", path, message, "Give an input for which it is called.")

    def _add_never_completes(self, scenarios: Sequence[Scenario]) -> None:
        instance = next((s.reference.instance for s in scenarios if s.reference and s.reference.instance), None)
        error = None if instance is None else instance.error
        step = "" if instance is None else next((n for n, r in instance.steps.items() if r.status == "failed"), "")
        message = f"no input completes without a fault{'' if error is None else f' (step {step!r}: {error})'}"
        advice = "Pass inputs=[...] of which at least one completes in this world."
        if error is not None and error.type.endswith("SignalTimedOut"):
            advice = f"Pass signals={{{step!r}: ...}} to verify, so that it comes."
        self.add("never_completes", step, message, advice)

    def _advise_resource(self, scenario: Scenario) -> str:
        step = self.definition.steps[0].name
        name = next(iter(make_world(scenario.factory).resources()), "service")
        return (
            f"Let the steps get it as a resource: Saga({self.definition.saga!r}, resources=[{name!r}]) and "
            f"def {step}(input, {name}): ... instead of a global."
        )


def _find_unreached(definition: Definition, prefix: str, reached: set[str]) -> Iterator[str]:
    for step in definition.steps:
        path = f"{prefix}{step.name}"
        if step.child is not None:
            yield from _find_unreached(step.child, f"{path}/", reached)
        elif step.kind == "step" and path not in reached:
            yield path


def _has_changed(scenario: Scenario) -> bool:
    after = None if scenario.reference is None else scenario.reference.after
    return after is None or after != scenario.before
