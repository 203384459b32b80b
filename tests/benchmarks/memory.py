"""Three steps in memory: CPU a saga, beside a bare loop that calls the same functions, and peers."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.measuring import Bar, Figure, Measured, Spent, cpu_us, interleaved, median, spent
from benchmarks.workload import INPUT, STEPS, act, saga_of
from sagafsm import Orchestrator

CHART = "in memory, 3 steps: µs CPU a saga (less is better)"
PEERS = ("simple_saga", "sagaz")


def measure(bench: Bench) -> Measured:
    """CPU of one `run()`, history included, in one orchestrator that stays open for a round."""
    sagas = bench.effort.memory_sagas
    costs = interleaved(bench.effort.rounds, {"bare loop": lambda: _bare(sagas), "sagafsm": lambda: _ours(sagas)})
    bare, ours = (median(costs[name], cpu_us) for name in ("bare loop", "sagafsm"))
    peers = {bench.peers.package(name): cost.cpu_microseconds for name, cost in bench.peers.costs(PEERS)}
    figure = Figure(
        key="memory.cpu",
        work="memory, 3 no-op steps",
        unit="µs CPU a saga",
        measured=ours,
        target=100,
        baselines={"bare loop": bare, **peers},
    )
    bars = [
        Bar(chart=CHART, name="bare loop", value=bare, whose="raw"),
        Bar(chart=CHART, name="sagafsm", value=ours, whose="ours"),
        *(Bar(chart=CHART, name=name, value=value, whose="peer") for name, value in peers.items()),
    ]
    return Measured(figures=(figure,), bars=tuple(bars))


def _bare(sagas: int) -> Spent:
    def work() -> None:
        for _ in range(sagas):
            for _ in STEPS:
                act(INPUT)

    return spent(sagas, work)


def _ours(sagas: int) -> Spent:
    saga = saga_of(3)
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:

        def work() -> None:
            for _ in range(sagas):
                orchestrator.run(saga, INPUT)

        cost = spent(sagas, work)
        assert orchestrator.run(saga, INPUT, check=True).state == "completed"
    return cost
