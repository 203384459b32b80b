"""`verify`: every failure point of a user's own saga is tried, and the worst is explained."""

from __future__ import annotations

import keyword
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import attrs

from sagafsm.definition.definition import Definition, HasDefinition
from sagafsm.definition.risks import find_risks
from sagafsm.errors import PayloadError, RequestError, ResourceMissing, format_list
from sagafsm.history.payload import encode
from sagafsm.store import Store
from sagafsm.verify.explore.random_faults import draw_examples, is_strategy
from sagafsm.verify.explore.stages import Stages
from sagafsm.verify.explore.trials import Counterexample, Trials, make_setup
from sagafsm.verify.report.explain import build_timeline, explain_violation
from sagafsm.verify.report.hints import find_advice
from sagafsm.verify.report.oracle import FindingKind
from sagafsm.verify.report.report import Bounds, Finding, Report, make_grades, sort_findings
from sagafsm.verify.schedule import Schedule
from sagafsm.verify.simulate.effect_ledger import EffectLedger
from sagafsm.verify.simulate.watchdog import Watchdog, WatchedThread
from sagafsm.verify.simulate.world import WorldFactory, make_world, make_world_factory

BUDGET = timedelta(seconds=30)
TIME_LIMIT = timedelta(seconds=5)
DRAWN_INPUTS = 5
FaultsMode = Literal["standard", "strict"]
# Told how many schedules were run, and how many there are in the present stage, as far as that is known.
Progress = Callable[[str, int, int | None], None]


def verify(
    saga: HasDefinition,
    world: Any = None,
    *,
    inputs: Any = None,
    signals: Mapping[str, Any] | None = None,
    faults: FaultsMode = "standard",
    depth: int | Literal["auto"] = "auto",
    budget: timedelta = BUDGET,
    time_limit: timedelta = TIME_LIMIT,
    schedule: str | None = None,
    store: Callable[[], Store] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Try every failure point of a saga against a fake world, and report what does not end as it should.

    Each run is made by the same core and drive as in production, over an empty store in memory, in virtual time, with
    a process that is killed in simulation. Nothing is ever called that is not in the saga or its world.

    Args:
        saga: The saga, sync or async.
        world: A `World` class, a function that makes one, an instance (which is copied), or a Hypothesis strategy of
            any of these. None: the steps are called as they are, and a ledger counts what was done and undone.
        inputs: A list of inputs, or a Hypothesis strategy; one None without it.
        signals: The payloads of the signals that the saga waits for, by name, or by path for those of nested sagas.
        faults: "strict" counts calls that land after their timeout, which only the remote can fence off.
        depth: Up to how many faults in one run are tried exhaustively: 1, 2, …; "auto" is 2, and more at random.
        budget: How long to go on trying, in real time; what is left out for it is counted.
        time_limit: How long one run may take, in real time, before it counts as hanging.
        schedule: Replay exactly this one instead, as a finding's `schedule` gives it.
        store: What makes an empty store for each run; in memory without it.
        progress: Told of each stage's name, how many schedules were run, and of how many.

    Raises:
        RequestError: an argument is none; the message says which, and what it may be.
    """
    _check_verify_arguments(faults=faults, depth=depth, budget=budget, time_limit=time_limit)
    task = _Verification(
        saga, world, inputs, dict(signals or {}), faults, depth, budget, time_limit, schedule, store, progress
    )
    return task.report()


def _check_verify_arguments(*, faults: object, depth: object, budget: object, time_limit: object) -> None:
    if faults not in ("standard", "strict"):
        raise RequestError(f"verify takes faults='standard' or 'strict', not {faults!r}")
    if depth != "auto" and (not isinstance(depth, int) or isinstance(depth, bool) or depth < 1):
        raise RequestError(f"verify takes depth='auto' or the largest number of faults, from 1, not {depth!r}")
    for name, value in (("budget", budget), ("time_limit", time_limit)):
        if not isinstance(value, timedelta) or value <= timedelta(0):
            raise RequestError(f"verify takes {name}= as a timedelta above zero, not {value!r}")


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


@attrs.define(eq=False)
class _Verification:
    """One verification, from its arguments to its report."""

    saga: HasDefinition
    world: Any
    inputs: Any
    signals: Mapping[str, Any]
    faults: FaultsMode
    depth: int | Literal["auto"]
    budget: timedelta
    time_limit: timedelta
    schedule: str | None
    store: Callable[[], Store] | None
    progress: Progress | None
    definition: Definition = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if isinstance(self.saga, type) or not hasattr(self.saga, "definition"):
            raise RequestError(f"verify takes a saga, not {self.saga!r}")
        self.definition = self.saga.definition

    def report(self) -> Report:
        """Verify, on a thread of its own."""
        begun = time.perf_counter()
        planned = None if self.schedule is None else Schedule.parse(self.schedule)
        factories, inputs = self._make_factories(), self._list_inputs()
        watch = Watchdog(self.time_limit)
        setup = make_setup(self.saga, self.signals, watch.run_awaitable, store=self.store)
        effectless = frozenset(step.name for step in self.definition.steps if not step.effect)
        trials = Trials(setup, watch, time.perf_counter() + self.budget.total_seconds(), effectless)
        refused, accepted = self._split_inputs(inputs)
        stages = Stages(self.definition, trials, self.progress)
        missing = self._find_missing_resource(factories)

        def work() -> None:
            if missing is None and accepted:
                stages.prepare([(number, value, factory) for factory in factories for number, value in accepted])
                if planned is not None:
                    stages.replay(planned)
                elif stages.can_explore:
                    stages.explore(self.depth)

        try:
            WatchedThread(watch, work).wait(stages.report_hang)
        finally:
            # Also when it was stopped: what a simulated process kept in memory is no business of this one.
            setup.memory.reset()
        findings = [
            *self._report_inputs(refused, missing),
            *self._make_findings(stages),
            *stages.find_vacuity(without_world=self.world is None),
        ]
        return Report(
            saga=self.definition.saga,
            findings=sort_findings(findings),
            bounds=self._make_bounds(stages, len({scenario.number for scenario in stages.usable})),
            grades=make_grades(trials.tried, trials.broken),
            matrix=stages.matrix(),
            contracts=stages.contracts.results(),
            risks=find_risks(self.definition),
            notes=tuple(self._make_notes()),
            seconds=time.perf_counter() - begun,
            replayed=None if planned is None else str(planned),
            call=self._format_call(),
        )

    def _format_call(self) -> str:
        """What to call, to verify or to replay the same."""
        name = getattr(self.world, "__name__", "")
        given = [self.definition.saga if _is_name(self.definition.saga) else "saga"]
        given += [f"world={name if _is_name(name) else 'world'}"] if self.world is not None else []
        given += ["inputs=inputs"] if self.inputs is not None else []
        given += ["signals=signals"] if self.signals else []
        given += ['faults="strict"'] if self.faults == "strict" else []
        given += ["store=store"] if self.store is not None else []
        return f"verify({', '.join(given)})"

    def _make_factories(self) -> list[WorldFactory]:
        if self.world is None:
            return [EffectLedger.make_factory(self.definition)]
        if is_strategy(self.world):
            return [make_world_factory(world) for world in draw_examples(self.world, DRAWN_INPUTS)]
        return [make_world_factory(self.world)]

    def _list_inputs(self) -> list[Any]:
        if self.inputs is None:
            return [None]
        if is_strategy(self.inputs):
            return draw_examples(self.inputs, DRAWN_INPUTS)
        if isinstance(self.inputs, (str, bytes, Mapping)) or not isinstance(self.inputs, Sequence):
            raise RequestError(f"verify takes inputs= as a list or a Hypothesis strategy, not {self.inputs!r}")
        if not self.inputs:
            raise RequestError("verify takes inputs= with at least one input; the list is empty")
        return list(self.inputs)

    def _split_inputs(self, inputs: Sequence[Any]) -> tuple[list[tuple[int, str]], list[tuple[int, Any]]]:
        """The inputs that the saga's input type refuses, with why, and the others, by their numbers."""
        refused, accepted = [], []
        for number, value in enumerate(inputs):
            try:
                encode(value, self.definition.input, subject=f"input {number}")
            except PayloadError as error:
                refused.append((number, str(error)))
            else:
                accepted.append((number, value))
        return refused, accepted

    def _find_missing_resource(self, factories: Sequence[WorldFactory]) -> str | None:
        """What the world does not give that the saga needs."""
        needed = self.definition.all_resources
        for factory in factories:
            given = make_world(factory).resources()
            if not isinstance(given, Mapping):
                raise RequestError(f"the world's resources() gave {given!r}, not a mapping of fakes by name")
            missing = [name for name in needed if name not in given]
            if missing and self.world is None:
                raise ResourceMissing(self.definition.saga, missing, {})
            if missing:
                names, have = format_list(map(repr, missing)), format_list(map(repr, given)) or "nothing"
                needs = f"which saga {self.definition.saga!r} asks for"
                return f"the world's resources() lacks {names}, {needs} (it gives {have})"
        return None

    def _report_inputs(self, refused: Sequence[tuple[int, str]], missing: str | None) -> Iterator[Finding]:
        for number, message in refused:
            yield self._make_input_finding(
                "refused_input", f"saga {self.definition.saga!r} refuses input {number}: {message}", number
            )
        if missing is not None:
            yield self._make_input_finding("missing_resource", missing, advice="Add it to what resources() returns.")

    @staticmethod
    def _make_input_finding(kind: FindingKind, message: str, number: int = 0, advice: str = "") -> Finding:
        return Finding(kind=kind, step="", schedule="no fault", faults=0, message=message, input=number, advice=advice)

    def _make_findings(self, stages: Stages) -> Iterator[Finding]:
        for key, found in stages.trials.found.items():
            if found.violation.instead in stages.trials.found and found.violation.kind != "undo_twice":
                # The same mistake shows without a call that lands late.
                continue
            yield self._make_finding(found, stages, again=stages.trials.again[key] - 1)

    def _make_finding(self, found: Counterexample, stages: Stages, *, again: int) -> Finding:
        violation, outcome = found.violation, found.outcome
        counts = violation.kind not in ("late", "late_do") or self.faults == "strict"
        return Finding(
            kind=violation.kind,
            step=violation.step,
            schedule=str(found.schedule),
            faults=len(found.schedule),
            message=explain_violation(self.definition.saga, violation, outcome, stages.singles),
            advice=find_advice(violation, outcome, self.definition),
            severity="error" if counts else "warning",
            input=found.scenario.number,
            left=violation.left,
            again=again,
            timeline=build_timeline(outcome),
        )

    def _make_bounds(self, stages: Stages, inputs: int) -> Bounds:
        trials = stages.trials
        return Bounds(
            schedules=trials.runs,
            faults=stages.complete,
            skipped=stages.skipped,
            equal=stages.equal,
            steps=len(self.definition.steps),
            inputs=inputs,
            states=stages.states,
            fixpoint=stages.fixpoint,
            drawn=stages.drawn,
            together=stages.together,
            not_covered=tuple(stages.list_not_covered(without_world=self.world is None)),
        )

    def _make_notes(self) -> Iterator[str]:
        if self.world is None:
            yield (
                "without a world the steps' functions were really called, and a ledger counted what was done and "
                "undone; it cannot see what an undo really undoes, nor two effects of one action"
            )
