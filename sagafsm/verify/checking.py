"""`verify`: every failure point of a user's own saga is tried, and the worst is explained."""

from __future__ import annotations

import functools
import keyword
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import attrs

from sagafsm.definition import Definition
from sagafsm.errors import PayloadError, RequestError, ResourceMissing, listed
from sagafsm.payload import encode
from sagafsm.risks import risks_of
from sagafsm.steps import Defined
from sagafsm.store import Store, open_store
from sagafsm.verify.advice import advice_of
from sagafsm.verify.explain import message_of, timeline_of
from sagafsm.verify.ledger import Ledger
from sagafsm.verify.oracle import FindingKind
from sagafsm.verify.randomised import examples_of, is_strategy
from sagafsm.verify.report import Bounds, Finding, Report, graded, ordered
from sagafsm.verify.schedule import Schedule
from sagafsm.verify.stages import Stages
from sagafsm.verify.trials import Found, Trials, budget_until, setting_of
from sagafsm.verify.watch import Watch, Watched
from sagafsm.verify.world import Factory, factory_of, made

BUDGET = timedelta(seconds=30)
TIME_LIMIT = timedelta(seconds=5)
DRAWN_INPUTS = 5
Faults = Literal["standard", "strict"]
# Told how many schedules were run, and how many there are in the present stage, as far as that is known.
Progress = Callable[[str, int, int | None], None]


def verify(
    saga: Defined,
    world: Any = None,
    *,
    inputs: Any = None,
    signals: Mapping[str, Any] | None = None,
    faults: Faults = "standard",
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
    _check(faults=faults, depth=depth, budget=budget, time_limit=time_limit)
    task = _Task(saga, world, inputs, dict(signals or {}), faults, depth, budget, time_limit, schedule, store, progress)
    return task.report()


def _check(*, faults: object, depth: object, budget: object, time_limit: object) -> None:
    if faults not in ("standard", "strict"):
        raise RequestError(f"verify takes faults='standard' or 'strict', not {faults!r}")
    if depth != "auto" and (not isinstance(depth, int) or isinstance(depth, bool) or depth < 1):
        raise RequestError(f"verify takes depth='auto' or the largest number of faults, from 1, not {depth!r}")
    for name, value in (("budget", budget), ("time_limit", time_limit)):
        if not isinstance(value, timedelta) or value <= timedelta(0):
            raise RequestError(f"verify takes {name}= as a timedelta above zero, not {value!r}")


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


@functools.cache
def _memory() -> Callable[[], Store]:
    return type(open_store("memory://"))


@attrs.define(eq=False)
class _Task:
    """One verification, from its arguments to its report."""

    saga: Defined
    world: Any
    inputs: Any
    signals: Mapping[str, Any]
    faults: Faults
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
        factories, inputs = self._factories(), self._inputs()
        watch = Watch(self.time_limit)
        setting = setting_of(self.saga, self.store or _memory(), self.signals, watch.awaited)
        effectless = frozenset(step.name for step in self.definition.steps if not step.effect)
        trials = Trials(setting, watch, budget_until(self.budget), effectless)
        refused, accepted = self._refused(inputs)
        stages = Stages(self.definition, trials, self.progress)
        missing = self._missing(factories)

        def work() -> None:
            if missing is None and accepted:
                stages.prepare([(number, value, factory) for factory in factories for number, value in accepted])
                if planned is not None:
                    stages.replay(planned)
                elif stages.may_go_on:
                    stages.explore(self.depth)

        try:
            Watched(watch, work).wait(stages.gave_up)
        finally:
            # Also when it was stopped: what a simulated process kept in memory is no business of this one.
            setting.memory.lose()
        findings = [
            *self._of_inputs(refused, missing),
            *self._findings(stages),
            *stages.vacuous(without_world=self.world is None),
        ]
        return Report(
            saga=self.definition.saga,
            findings=ordered(findings),
            bounds=self._bounds(stages, len({scenario.number for scenario in stages.usable})),
            grades=graded(trials.tried, trials.broken),
            matrix=stages.matrix(),
            contracts=stages.contracts.results(),
            risks=risks_of(self.definition),
            notes=tuple(self._notes()),
            seconds=time.perf_counter() - begun,
            replayed=None if planned is None else str(planned),
            call=self._call(),
        )

    def _call(self) -> str:
        """What to call, to verify or to replay the same."""
        name = getattr(self.world, "__name__", "")
        given = [self.definition.saga if _is_name(self.definition.saga) else "saga"]
        given += [f"world={name if _is_name(name) else 'world'}"] if self.world is not None else []
        given += ["inputs=inputs"] if self.inputs is not None else []
        given += ["signals=signals"] if self.signals else []
        given += ['faults="strict"'] if self.faults == "strict" else []
        given += ["store=store"] if self.store is not None else []
        return f"verify({', '.join(given)})"

    def _factories(self) -> list[Factory]:
        if self.world is None:
            return [Ledger.of(self.definition)]
        if is_strategy(self.world):
            return [factory_of(world) for world in examples_of(self.world, DRAWN_INPUTS)]
        return [factory_of(self.world)]

    def _inputs(self) -> list[Any]:
        if self.inputs is None:
            return [None]
        if is_strategy(self.inputs):
            return examples_of(self.inputs, DRAWN_INPUTS)
        if isinstance(self.inputs, (str, bytes, Mapping)) or not isinstance(self.inputs, Sequence):
            raise RequestError(f"verify takes inputs= as a list or a Hypothesis strategy, not {self.inputs!r}")
        if not self.inputs:
            raise RequestError("verify takes inputs= with at least one input; the list is empty")
        return list(self.inputs)

    def _refused(self, inputs: Sequence[Any]) -> tuple[list[tuple[int, str]], list[tuple[int, Any]]]:
        """The inputs that the saga's input type refuses, with why, and the others, by their numbers."""
        refused, accepted = [], []
        for number, value in enumerate(inputs):
            try:
                encode(value, self.definition.input, subject=f"input {number}", max_payload=1_048_576)
            except PayloadError as error:
                refused.append((number, str(error)))
            else:
                accepted.append((number, value))
        return refused, accepted

    def _missing(self, factories: Sequence[Factory]) -> str | None:
        """What the world does not give that the saga needs."""
        needed = self.definition.every_resource
        for factory in factories:
            given = made(factory).resources()
            if not isinstance(given, Mapping):
                raise RequestError(f"the world's resources() gave {given!r}, not a mapping of fakes by name")
            missing = [name for name in needed if name not in given]
            if missing and self.world is None:
                raise ResourceMissing(self.definition.saga, missing, {})
            if missing:
                names, have = listed(map(repr, missing)), listed(map(repr, given)) or "nothing"
                needs = f"which saga {self.definition.saga!r} asks for"
                return f"the world's resources() lacks {names}, {needs} (it gives {have})"
        return None

    def _of_inputs(self, refused: Sequence[tuple[int, str]], missing: str | None) -> Iterator[Finding]:
        for number, told in refused:
            yield self._plain("refused_input", f"saga {self.definition.saga!r} refuses input {number}: {told}", number)
        if missing is not None:
            yield self._plain("missing_resource", missing, advice="Add it to what resources() returns.")

    @staticmethod
    def _plain(kind: FindingKind, message: str, number: int = 0, advice: str = "") -> Finding:
        return Finding(kind=kind, step="", schedule="no fault", faults=0, message=message, input=number, advice=advice)

    def _findings(self, stages: Stages) -> Iterator[Finding]:
        for key, found in stages.trials.found.items():
            if found.violation.instead in stages.trials.found and found.violation.kind != "undo_twice":
                # The same mistake shows without a call that lands late.
                continue
            yield self._finding(found, stages, again=stages.trials.again[key] - 1)

    def _finding(self, found: Found, stages: Stages, *, again: int) -> Finding:
        violation, outcome = found.violation, found.outcome
        counts = violation.kind not in ("late", "late_do") or self.faults == "strict"
        return Finding(
            kind=violation.kind,
            step=violation.step,
            schedule=str(found.schedule),
            faults=len(found.schedule),
            message=message_of(self.definition.saga, violation, outcome, stages.singles),
            advice=advice_of(violation, outcome, self.definition),
            severity="error" if counts else "warning",
            input=found.scenario.number,
            left=violation.left,
            again=again,
            timeline=timeline_of(outcome),
        )

    def _bounds(self, stages: Stages, inputs: int) -> Bounds:
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
            not_covered=tuple(stages.not_covered(without_world=self.world is None)),
        )

    def _notes(self) -> Iterator[str]:
        if self.world is None:
            yield (
                "without a world the steps' functions were really called, and a ledger counted what was done and "
                "undone; it cannot see what an undo really undoes, nor two effects of one action"
            )
