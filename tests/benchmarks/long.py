"""A saga of 1,000 steps: what a step costs, relative to a saga of 10."""

from __future__ import annotations

import itertools

from benchmarks.bench import Bench
from benchmarks.measuring import Figure, Measured, Spent, cpu_us, interleaved, median, ratio, spent, wall_us
from benchmarks.workload import INPUT, ids, saga_of
from sagafsm import Orchestrator

SHORT, LONG = 10, 1000


def measure(bench: Bench) -> Measured:
    """In memory by CPU, on SQLite (NORMAL, so that it is not the disk that is measured) by the clock on the wall."""
    return Measured(
        figures=(
            _figure(bench, "long.memory", "memory", "memory://"),
            _figure(bench, "long.sqlite", "SQLite, NORMAL", bench.url("long", "NORMAL")),
        )
    )


def _figure(bench: Bench, key: str, where: str, url: str) -> Figure:
    short, long, fresh = saga_of(SHORT), saga_of(LONG), ids("long")
    of = cpu_us if url == "memory://" else wall_us
    with Orchestrator(url, sagas=[short, long]) as orchestrator:

        def short_ones() -> Spent:
            return spent(
                LONG, lambda: [orchestrator.run(short, INPUT, id=i) for i in itertools.islice(fresh, LONG // SHORT)]
            )

        def long_one() -> Spent:
            return spent(LONG, lambda: orchestrator.run(long, INPUT, id=next(fresh)))

        costs = interleaved(bench.effort.rounds, {"short": short_ones, "long": long_one})
    return Figure(
        key=key,
        work=f"a step of {LONG:,}, {where}",
        unit=f"times a step of {SHORT}",
        measured=ratio(costs["long"], costs["short"], of),
        target=2,
        baselines={f"µs a step of {n:,}": median(costs[name], of) for n, name in ((SHORT, "short"), (LONG, "long"))},
    )
