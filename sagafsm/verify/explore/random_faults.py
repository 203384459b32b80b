"""Random search with Hypothesis: more faults than enumeration tries, and two instances at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from sagafsm.verify.explore.concurrent_pairs import try_pair
from sagafsm.verify.explore.trials import Scenario, Trials
from sagafsm.verify.schedule import ConcurrentPair, Fault, FaultKind, FaultPoint, Schedule, list_fault_kinds

if TYPE_CHECKING:
    import hypothesis

MAX_FAULTS = 5
MAX_GAP = 10


def is_strategy(value: Any) -> bool:
    """Whether a value is a Hypothesis strategy, without importing Hypothesis."""
    return any(kind.__module__.startswith("hypothesis.") for kind in type(value).__mro__)


def draw_examples(strategy: Any, number: int) -> list[Any]:
    """Draw up to `number` different values of a strategy, the same ones each time."""
    from hypothesis import given  # noqa: PLC0415 - the base install does not have it

    drawn: list[Any] = []

    @_make_settings(number)
    @given(strategy)
    def collect(value: Any) -> None:
        if not any(value == other for other in drawn):
            drawn.append(value)

    collect()
    return drawn[:number]


def _make_settings(number: int) -> hypothesis.settings:
    """Return settings that draw the same examples each time, and neither store nor shrink them."""
    from hypothesis import HealthCheck, Phase, settings  # noqa: PLC0415 - see above

    return settings(
        max_examples=number,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@attrs.define(eq=False)
class RandomPlan:
    """A plan that injects a fault after each gap: a gap is a number of points, and the number of a fitting kind."""

    gaps: Sequence[tuple[int, int]]
    fired: list[Fault] = attrs.field(factory=list, init=False)
    _left: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._left = self.gaps[0][0] if self.gaps else -1

    def at(self, point: FaultPoint) -> FaultKind | None:
        """See `FaultPlan.at`."""
        index = len(self.fired)
        if index >= len(self.gaps):
            return None
        if self._left > 0:
            self._left -= 1
            return None
        # A function that calls resources gets its faults there, and this one may call some.
        kinds = () if not point.call and point.role != "signal" else list_fault_kinds(point, intercepted=False)
        if not kinds:
            return None
        kind = kinds[self.gaps[index][1] % len(kinds)]
        self.fired.append(Fault(point, kind))
        self._left = self.gaps[index + 1][0] if index + 1 < len(self.gaps) else -1
        return kind


@attrs.define(eq=False)
class RandomSearch:
    """Draws schedules for one verification, and shrinks those that break a law."""

    trials: Trials
    scenarios: Sequence[Scenario]
    drawn: int = attrs.field(default=0, init=False)
    together: int = attrs.field(default=0, init=False)

    def explore(self, number: int, *, both: bool) -> None:
        """Try up to `number` schedules; `both`: also two instances at once."""
        from hypothesis import given  # noqa: PLC0415 - see above
        from hypothesis import strategies as st  # noqa: PLC0415

        gaps = st.lists(st.tuples(st.integers(0, MAX_GAP), st.integers(0, 1_000)), min_size=3, max_size=MAX_FAULTS)
        common = _make_settings(number)
        scenarios = st.sampled_from(self.scenarios)

        @common
        @given(scenarios, gaps, st.sampled_from(["truth", "compensate"]), st.sampled_from(["first", "last"]))
        def alone(scenario: Scenario, plan: list[tuple[int, int]], operator: Any, turns: Any) -> None:
            if not self.trials.is_over:
                self._try_one(scenario, plan, Schedule(turns=turns, operator=operator))

        alone()
        if both:

            @common
            @given(scenarios, st.lists(st.booleans(), max_size=20), st.integers(1, 12), st.integers(1, 12))
            def two(scenario: Scenario, order: list[bool], first: int, second: int) -> None:
                if not self.trials.is_over:
                    self.together += 1
                    try_pair(self.trials, scenario, ConcurrentPair("".join(map(str, map(int, order))), (first, second)))

            two()

    def _try_one(self, scenario: Scenario, gaps: list[tuple[int, int]], empty: Schedule) -> None:
        plan = RandomPlan(gaps)
        outcome = self.trials.run(scenario, empty, plan=plan)
        self.drawn += 1
        schedule = attrs.evolve(empty, faults=tuple(plan.fired))
        outcome = attrs.evolve(outcome, schedule=schedule)
        for violation in self.trials.judge(scenario, outcome):
            if self.trials.found[violation.kind, violation.step].schedule == schedule:
                self.trials.shrink(violation.kind, violation.step)
