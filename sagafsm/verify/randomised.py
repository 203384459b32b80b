"""What enumeration leaves, by Hypothesis: more faults, inputs and worlds from strategies, two instances at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from sagafsm.verify.schedule import Beside, Fault, Kind, Point, Schedule, faults_at
from sagafsm.verify.together import tried_beside
from sagafsm.verify.trials import Scenario, Trials

MOST_FAULTS = 5
LONGEST_GAP = 10


def is_strategy(value: Any) -> bool:
    """Whether a value is a Hypothesis strategy; Hypothesis is not imported for it."""
    return any(kind.__module__.startswith("hypothesis.") for kind in type(value).__mro__)


def examples_of(strategy: Any, number: int) -> list[Any]:
    """The first values of a strategy, the same ones each time."""
    from hypothesis import HealthCheck, Phase, given, settings  # noqa: PLC0415 - the base install does not have it

    drawn: list[Any] = []

    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        if not any(value == other for other in drawn):
            drawn.append(value)

    collect()
    return drawn[:number]


@attrs.define(eq=False)
class Drawn:
    """A plan that injects a fault each time that so many points have come by, of a kind that fits the point."""

    gaps: Sequence[tuple[int, int]]
    fired: list[Fault] = attrs.field(factory=list, init=False)
    _left: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._left = self.gaps[0][0] if self.gaps else -1

    def at(self, point: Point) -> Kind | None:
        """See `Plan.at`."""
        index = len(self.fired)
        if index >= len(self.gaps):
            return None
        if self._left > 0:
            self._left -= 1
            return None
        # A function that calls resources is hit there; whether this one does is not known yet.
        kinds = () if not point.call and point.role != "signal" else faults_at(point, intercepted=False)
        if not kinds:
            return None
        kind = kinds[self.gaps[index][1] % len(kinds)]
        self.fired.append(Fault(point, kind))
        self._left = self.gaps[index + 1][0] if index + 1 < len(self.gaps) else -1
        return kind


@attrs.define(eq=False)
class Randomised:
    """Draws schedules for one verification, and brings what they break down to the smallest that does."""

    trials: Trials
    scenarios: Sequence[Scenario]
    drawn: int = attrs.field(default=0, init=False)
    together: int = attrs.field(default=0, init=False)

    def explore(self, number: int, *, both: bool) -> None:
        """Try up to `number` schedules; `both`: also two instances at once."""
        from hypothesis import HealthCheck, Phase, given, settings  # noqa: PLC0415 - see above
        from hypothesis import strategies as st  # noqa: PLC0415

        gaps = st.lists(st.tuples(st.integers(0, LONGEST_GAP), st.integers(0, 1_000)), min_size=3, max_size=MOST_FAULTS)
        common = settings(
            max_examples=number,
            database=None,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        scenarios = st.sampled_from(self.scenarios)

        @common
        @given(scenarios, gaps, st.sampled_from(["truth", "compensate"]), st.sampled_from(["first", "last"]))
        def alone(scenario: Scenario, plan: list[tuple[int, int]], operator: Any, turns: Any) -> None:
            if not self.trials.is_over:
                self._alone(scenario, plan, Schedule(turns=turns, operator=operator))

        alone()
        if both:

            @common
            @given(scenarios, st.lists(st.booleans(), max_size=20), st.integers(1, 12), st.integers(1, 12))
            def two(scenario: Scenario, order: list[bool], first: int, second: int) -> None:
                if not self.trials.is_over:
                    self.together += 1
                    tried_beside(self.trials, scenario, Beside("".join(map(str, map(int, order))), (first, second)))

            two()

    def _alone(self, scenario: Scenario, gaps: list[tuple[int, int]], empty: Schedule) -> None:
        plan = Drawn(gaps)
        outcome = self.trials.run(scenario, empty, plan=plan)
        self.drawn += 1
        schedule = attrs.evolve(empty, faults=tuple(plan.fired))
        outcome = attrs.evolve(outcome, schedule=schedule)
        for violation in self.trials.judge(scenario, outcome):
            if self.trials.found[violation.kind, violation.step].schedule == schedule:
                self.trials.shrink(violation.kind, violation.step)
