"""Strategies for Hypothesis: sagas that are correct, and what can go wrong with a saga of yours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import attrs
from hypothesis import strategies as st

from sagafsm.definition.definition import HasDefinition
from sagafsm.definition.validation import InDoubt
from sagafsm.errors import RequestError
from sagafsm.testing.generated_sagas import DrawnSaga, DrawnStep
from sagafsm.verify.explore.trials import Scenario, Trials, extend_schedule, make_setup
from sagafsm.verify.schedule import OperatorPolicy, Schedule, Turns
from sagafsm.verify.simulate.run import RunResult
from sagafsm.verify.simulate.watchdog import Watchdog, WatchedThread
from sagafsm.verify.simulate.world import make_world_factory

T = TypeVar("T")
TIME_LIMIT = timedelta(seconds=5)
_INPUTS: st.SearchStrategy[Any] = st.none() | st.integers(-9, 9) | st.text("abü", max_size=3)
_BACKWARD: Sequence[InDoubt] = ("ask", "compensate", "retry", ("retry", "compensate"))
_FORWARD: Sequence[InDoubt] = ("ask", "retry")


def sagas(*, min_steps: int = 1, max_steps: int = 4) -> st.SearchStrategy[DrawnSaga]:
    """Sagas that keep every promise, over a world of their own: for tests of stores, drivers and engines.

    Each `DrawnSaga` has a `saga`, the class of its `world`, and an `input` with which it completes when nothing goes
    wrong. Drawn are policies, probes, retries, conditions, steps without effect, a pivot and what follows it, groups
    and nested sagas; waits are not. Its repr can be pasted.

        @given(sagas())
        def test_my_store(drawn):
            report = verify(drawn.saga, drawn.world, inputs=[drawn.input], store=MyStore)
            report.assert_ok()

    Args:
        min_steps: How many steps there are at least, nested ones apart.
        max_steps: How many there are at most.
    """
    if not 1 <= min_steps <= max_steps:
        raise RequestError(f"sagas takes 1 <= min_steps <= max_steps, not {min_steps} and {max_steps}")
    return _sagas(min_steps, max_steps)


@st.composite
def _sagas(draw: st.DrawFn, min_steps: int, max_steps: int) -> DrawnSaga:
    number = draw(st.integers(min_steps, max_steps))
    # The pivot's place; behind the end there is none.
    pivot = draw(st.integers(0, number)) if draw(st.booleans()) else number
    steps: list[DrawnStep] = []
    for index in range(number):
        name = f"s{index + 1}"
        if index == pivot:
            steps.append(draw(_pivots(name)))
        elif index > pivot:
            steps.append(draw(_steps(name, final=True)))
        else:
            nests = draw(st.integers(0, 4)) == 4
            steps.append(draw(_nested(name) if nests else _steps(name, final=False, effect=not steps)))
    if pivot >= 2 and draw(st.booleans()):
        steps[:pivot] = [
            attrs.evolve(step, group="g") if index < 2 else step for index, step in enumerate(steps[:pivot])
        ]
    return DrawnSaga(steps=tuple(steps), input=draw(_INPUTS))


def _steps(name: str, *, final: bool, effect: bool = False) -> st.SearchStrategy[DrawnStep]:
    """A step; `effect`: with one for sure, as a saga without any shows nothing in its world."""
    # Behind the pivot a step that is refused once has to be called again, or a person is asked without need.
    fewest = 2 if final else 1
    effectless = st.just(DrawnStep(name=name, effect=False, final=final, attempts=fewest))
    effective = st.builds(
        DrawnStep,
        name=st.just(name),
        in_doubt=st.sampled_from(_FORWARD if final else _BACKWARD),
        attempts=st.integers(fewest, 3),
        probe=st.booleans(),
        final=st.just(final),
        condition=st.booleans(),
    )
    return effective if effect else effective | effectless


def _pivots(name: str) -> st.SearchStrategy[DrawnStep]:
    return st.builds(
        DrawnStep,
        name=st.just(name),
        in_doubt=st.sampled_from(_FORWARD),
        attempts=st.integers(1, 3),
        probe=st.booleans(),
        pivot=st.just(True),
    )


def _nested(name: str) -> st.SearchStrategy[DrawnStep]:
    first, second = _steps("n1", final=False, effect=True), _steps("n2", final=False)
    inner = st.tuples(first) | st.tuples(first, second)
    return inner.map(lambda steps: DrawnStep(name=name, steps=steps))


def fault_schedules(
    saga: HasDefinition,
    world: Any,
    *,
    inputs: Sequence[Any] | None = None,
    signals: Mapping[str, Any] | None = None,
    max_faults: int = 3,
) -> st.SearchStrategy[str]:
    """Texts of what goes wrong in one run of a saga, as `verify(saga, world, schedule=text)` replays them.

    Every point that a text names exists: the saga is run in simulation to draw the first one, and again with what was
    drawn so far for each further one. Where there are several inputs, all of them come by it.

        @given(fault_schedules(order, Shop, inputs=[mug]))
        def test_my_order(text):
            verify(order, Shop, inputs=[mug], schedule=text).assert_ok()

    Args:
        saga: The saga.
        world: Its world, as `verify` takes it, but no strategy.
        inputs: The inputs; one None without them.
        signals: The payloads of the signals that it waits for.
        max_faults: How many faults there are at most; at least one.
    """
    if max_faults < 1:
        raise RequestError(f"fault_schedules takes max_faults= from 1, not {max_faults}")
    given = [None] if inputs is None else list(inputs)
    if not given:
        raise RequestError("fault_schedules takes inputs= with at least one input; the list is empty")
    return _schedules(_Rehearsal(saga, world, given, dict(signals or {})), max_faults)


class _Rehearsal:
    """Runs a saga with what was drawn so far, to see what it comes by; each run on a thread of its own."""

    def __init__(self, saga: HasDefinition, world: Any, inputs: Sequence[Any], signals: Mapping[str, Any]) -> None:
        self.watch = Watchdog(TIME_LIMIT)
        setup = make_setup(saga, signals, self.watch.run_awaitable)
        self.trials = Trials(setup, self.watch, float("inf"), frozenset())
        self.factory, self.inputs = make_world_factory(world), inputs
        self.scenarios: list[Scenario] = []

    def list_extensions(self, schedule: Schedule) -> list[Schedule]:
        """The schedules of one fault more that every input comes by."""
        found = self._run_watched(lambda: self._run_inputs(schedule))
        first, *others = [list(extend_schedule(outcome, first=not schedule.faults)) for outcome in found]
        return [one for one in first if all(one in other for other in others)]

    def _run_inputs(self, schedule: Schedule) -> list[RunResult]:
        if not self.scenarios:
            self.scenarios = [
                self.trials.make_scenario(number, one, self.factory) for number, one in enumerate(self.inputs)
            ]
        outcomes = [self.trials.run(scenario, schedule) for scenario in self.scenarios]
        self.trials.setup.memory.reset()
        return outcomes

    def _run_watched(self, work: Callable[[], T]) -> T:
        def give_up() -> T:
            raise RequestError(
                f"a step did not return within {TIME_LIMIT.total_seconds():g} s; give its call a timeout"
            )

        return WatchedThread(self.watch, work).wait(give_up)


@st.composite
def _schedules(draw: st.DrawFn, rehearsal: _Rehearsal, max_faults: int) -> str:
    turns: Turns = draw(st.sampled_from(["first", "last"]))
    operator: OperatorPolicy = draw(st.sampled_from(["truth", "compensate"]))
    schedule = Schedule(turns=turns, operator=operator)
    for _ in range(draw(st.integers(1, max_faults))):
        longer = rehearsal.list_extensions(schedule)
        if not longer:
            break
        schedule = draw(st.sampled_from(longer))
    return str(schedule)
