"""What is measured, how often, and what it cost: times of interleaved rounds, their medians and ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal

import attrs


@attrs.frozen(kw_only=True)
class Effort:
    """How much work a run does: rounds, and the sagas of one round (`imports`: fresh interpreters)."""

    rounds: int = 7
    memory_sagas: int = 1000
    sqlite_sagas: int = 200
    in_flight_sagas: int = 1024
    long_sagas: int = 1
    unfinished: int = 100
    at_rest: int = 100_000
    imports: int = 11
    peer_sagas: int = 100


QUICK = Effort(
    rounds=3,
    memory_sagas=200,
    sqlite_sagas=50,
    in_flight_sagas=512,
    unfinished=20,
    at_rest=2000,
    imports=3,
    peer_sagas=20,
)


@attrs.frozen
class Spent:
    """What a number of sagas cost together, in seconds: of the clock on the wall, and of CPU, over all threads."""

    sagas: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Sagas a second."""
        return self.sagas / self.seconds

    @property
    def microseconds(self) -> float:
        """µs on the wall a saga."""
        return self.seconds / self.sagas * 1e6

    @property
    def cpu_microseconds(self) -> float:
        """µs of CPU a saga."""
        return self.cpu / self.sagas * 1e6


def spent(sagas: int, work: Callable[[], object]) -> Spent:
    """What the work cost, which runs so many sagas."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(sagas, time.perf_counter() - began, time.process_time() - cpu)


async def spent_async(sagas: int, work: Coroutine[Any, Any, object]) -> Spent:
    """The same, awaited."""
    began, cpu = time.perf_counter(), time.process_time()
    await work
    return Spent(sagas, time.perf_counter() - began, time.process_time() - cpu)


def interleaved(rounds: int, works: Mapping[str, Callable[[], Spent]]) -> dict[str, list[Spent]]:
    """What each work cost in each round. Every other round goes backwards, so that a drift of the machine cancels out.

    One round before the first warms up, and is not counted.
    """
    found: dict[str, list[Spent]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name in list(works) if number % 2 else reversed(list(works)):
            cost = works[name]()
            if number:
                found[name].append(cost)
    return found


def median(costs: Sequence[Spent], of: Callable[[Spent], float]) -> float:
    """The median over the rounds."""
    return statistics.median(of(cost) for cost in costs)


def ratio(costs: Sequence[Spent], to: Sequence[Spent], of: Callable[[Spent], float]) -> float:
    """The median of the rounds' ratios: both works of one round met the same machine."""
    return statistics.median(of(one) / of(other) for one, other in zip(costs, to, strict=True))


def rate(cost: Spent) -> float:
    """Sagas a second."""
    return cost.rate


def cpu_us(cost: Spent) -> float:
    """µs of CPU a saga."""
    return cost.cpu_microseconds


def wall_us(cost: Spent) -> float:
    """µs on the wall a saga."""
    return cost.microseconds


@attrs.frozen(kw_only=True)
class Figure:
    """One line of the report: what was measured, in which unit, and the target where there is one.

    `baselines` is what it was measured against, in the units that their names tell. `note`: what else to know.
    """

    key: str
    work: str
    unit: str
    measured: float
    target: float | None = None
    bound: Literal["at most", "at least"] = "at most"
    baselines: Mapping[str, float] = attrs.field(factory=dict)
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.measured <= self.target if self.bound == "at most" else self.measured >= self.target


@attrs.frozen(kw_only=True)
class Bar:
    """One bar of the picture: whose it is, and how long, in its chart's unit."""

    chart: str
    name: str
    value: float
    whose: Literal["ours", "raw", "peer"]


@attrs.frozen(kw_only=True)
class Measured:
    """What a group of rows found."""

    figures: tuple[Figure, ...]
    bars: tuple[Bar, ...] = ()
