"""One run of the verifier, looked at closely; and what its tests share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sagafsm import Saga, open_store
from sagafsm.steps import Defined
from sagafsm.verify import Finding, Report
from sagafsm.verify.oracle import Violation
from sagafsm.verify.runs import Outcome
from sagafsm.verify.schedule import Schedule
from sagafsm.verify.trials import Scenario, Trials, setting_of
from sagafsm.verify.watch import Watch
from sagafsm.verify.world import factory_of
from support.keyed import Shop, free, hold

LIMIT = timedelta(seconds=30)


class Bench:
    """Runs single schedules of a saga against a world, on the caller's thread, after one without a fault."""

    def __init__(
        self,
        saga: Defined,
        world: Any = Shop,
        *,
        input: Any = None,
        signals: Mapping[str, Any] | None = None,
        store: Callable[[], Any] | None = None,
        effectless: Sequence[str] = (),
    ) -> None:
        self.watch = Watch(LIMIT)
        setting = setting_of(saga, store or type(open_store("memory://")), dict(signals or {}), self.watch.loop)
        self.trials = Trials(setting, self.watch, float("inf"), frozenset(effectless))
        self.scenario: Scenario = self.trials.scenario(0, input, factory_of(world))
        self.usual = self.trials.run(self.scenario, Schedule())
        self.scenario.reference = self.scenario.oracle.reference = self.usual

    def run(self, text: str = "", **options: Any) -> Outcome:
        """How the run with these faults ends."""
        try:
            return self.trials.run(self.scenario, Schedule.parse(text), **options)
        finally:
            self.trials.setting.memory.lose()
            self.watch.close()

    def judge(self, text: str = "") -> list[Violation]:
        """What is wrong with how it ends."""
        outcome = self.run(text)
        try:
            return self.scenario.oracle.violations(outcome)
        finally:
            self.watch.close()


def three(name: str = "order", **options: Any) -> Saga:
    """Three steps that keep every promise."""
    saga = Saga(name, resources=["shop"], **{"in_doubt": "compensate", **options})
    for step in ("reserve", "charge", "ship"):
        saga.add_step(step, hold, free)
    return saga


def events_of(outcome: Outcome) -> list[str]:
    """The history of the root, by the names of the events."""
    assert outcome.instance is not None
    return [type(event).__name__ for event in outcome.instance.history]


def points_of(outcome: Outcome) -> list[str]:
    """What it came by, in order."""
    return [str(passed.point) for passed in outcome.trace]


def kinds(findings: Report | Sequence[Finding]) -> list[tuple[str, str]]:
    """The errors, each by what it is and which step."""
    given = findings.errors if isinstance(findings, Report) else findings
    return [(finding.kind, finding.step) for finding in given]
