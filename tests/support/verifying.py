"""One run of the verifier, looked at closely; and what its tests share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sagafsm import NOT_DONE, Done, Saga
from sagafsm.definition.definition import HasDefinition
from sagafsm.verify import Finding, Report
from sagafsm.verify.explore.trials import Scenario, Trials, make_setup
from sagafsm.verify.report.oracle import Violation
from sagafsm.verify.schedule import Schedule
from sagafsm.verify.simulate.run import RunResult
from sagafsm.verify.simulate.watchdog import Watchdog
from sagafsm.verify.simulate.world import make_world_factory
from support.keyed import Shop, free, hold

LIMIT = timedelta(seconds=30)


class Bench:
    """Runs single schedules of a saga against a world, on the caller's thread, after one without a fault."""

    def __init__(
        self,
        saga: HasDefinition,
        world: Any = Shop,
        *,
        input: Any = None,
        signals: Mapping[str, Any] | None = None,
        store: Callable[[], Any] | None = None,
        effectless: Sequence[str] = (),
    ) -> None:
        self.watch = Watchdog(LIMIT)
        setup = make_setup(saga, dict(signals or {}), self.watch.run_awaitable, store=store)
        self.trials = Trials(setup, self.watch, float("inf"), frozenset(effectless))
        self.scenario: Scenario = self.trials.make_scenario(0, input, make_world_factory(world))
        self.usual = self.run()
        self.scenario.reference = self.scenario.oracle.reference = self.usual

    def run(self, text: str = "", **options: Any) -> RunResult:
        """How the run with these faults ends."""
        try:
            return self.trials.run(self.scenario, Schedule.parse(text), **options)
        finally:
            self.trials.setup.memory.reset()
            self.watch.close()

    def judge(self, text: str = "") -> list[Violation]:
        """What is wrong with how it ends."""
        return self.violations(self.run(text))

    def violations(self, outcome: RunResult) -> list[Violation]:
        """What is wrong with how a run ended."""
        try:
            return self.scenario.oracle.find_violations(outcome)
        finally:
            self.watch.close()


def three(name: str = "order", **options: Any) -> Saga:
    """Three steps that keep every promise."""
    saga = Saga(name, resources=["shop"], **{"in_doubt": "compensate", **options})
    for step in ("reserve", "charge", "ship"):
        saga.add_step(step, hold, free)
    return saga


def events_of(outcome: RunResult) -> list[str]:
    """The history of the root, by the names of the events."""
    assert outcome.instance is not None
    return [type(event).__name__ for event in outcome.instance.history]


def points_of(outcome: RunResult) -> list[str]:
    """What it came by, in order."""
    return [str(passed.point) for passed in outcome.trace]


def kinds(findings: Report | Sequence[Finding]) -> list[tuple[str, str]]:
    """The errors, each by what it is and which step."""
    given = findings.errors if isinstance(findings, Report) else findings
    return [(finding.kind, finding.step) for finding in given]


class Bank:
    """A world that remembers who asked for what, and what steps saw of it. A key that was taken back is refused."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.back: set[str] = set()
        self.done: list[str] = []
        self.seen: list[str] = []

    def resources(self) -> dict[str, Any]:
        return {"bank": self}

    def snapshot(self) -> Any:
        return dict.fromkeys(sorted(self.held), "paid")

    def pay(self, key: str) -> str:
        self.done.append("pay")
        if key in self.back:
            raise ValueError("taken back")
        if key not in self.held:
            self.held.append(key)
        return key

    def undo(self, key: str) -> None:
        self.done.append("undo")
        self.back.add(key)
        self.held = [held for held in self.held if held != key]

    def ask(self, key: str) -> bool:
        self.done.append("ask")
        return key in self.held


def seeing(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The same, but what is raised in it is remembered by the bank."""

    def seen(bank: Any, ctx: Any) -> Any:
        try:
            return function(bank, ctx)
        except BaseException as error:
            bank.seen.append(f"{type(error).__name__}: {error}")
            raise

    seen.__name__ = seen.__qualname__ = function.__name__
    return seen


@seeing
def pay(bank: Bank, ctx: Any) -> str:
    return bank.pay(ctx.idempotency_key)


@seeing
def undo(bank: Bank, ctx: Any) -> None:
    bank.undo(ctx.action_key)


@seeing
def ask(bank: Bank, ctx: Any) -> Any:
    return Done(None) if bank.ask(ctx.action_key) else NOT_DONE


def paying(*names: str, **options: Any) -> Saga:
    """Steps that pay, which keep every promise; `options` are those of each step."""
    saga = Saga("paying", resources=["bank"])
    for name in names or ("pay",):
        saga.add_step(name, pay, undo, **{"in_doubt": "compensate", **options})
    return saga
