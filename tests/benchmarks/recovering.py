"""recover(): its cost with as many unfinished, and with or without many instances at rest beside them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import attrs

from benchmarks.bench import Bench
from benchmarks.measuring import Figure, Measured, Spent, interleaved, median, ratio, spent, wall_us
from benchmarks.workload import INPUT, ids, saga_of
from sagafsm import Orchestrator, Saga, open_store
from sagafsm.history.events import InstanceCreated


def measure(bench: Bench) -> Measured:
    """The time of recover() on a file with many at rest, relative to one with none; and with nothing to do."""
    unfinished, saga = bench.effort.unfinished, saga_of(3)
    fill(bench.url("crowded", "OFF"), saga, bench.effort.at_rest)
    fresh = ids("unfinished")
    urls = {"alone": bench.url("alone", "NORMAL"), "crowded": bench.url("crowded", "NORMAL")}
    with (
        Orchestrator(urls["alone"], sagas=[saga]) as alone,
        Orchestrator(urls["crowded"], sagas=[saga]) as crowded,
    ):
        works = {
            "alone": lambda: _recovered(alone, saga, itertools.islice(fresh, unfinished)),
            "crowded": lambda: _recovered(crowded, saga, itertools.islice(fresh, unfinished)),
            "idle": lambda: spent(1, crowded.recover),
        }
        costs = interleaved(bench.effort.rounds, works)
    return _told(bench, costs)


def _told(bench: Bench, costs: Mapping[str, list[Spent]]) -> Measured:
    beside = f"{bench.effort.at_rest:,} at rest"
    return Measured(
        figures=(
            Figure(
                key="recover.ratio",
                work=f"recover() of {bench.effort.unfinished}, {beside} beside them",
                unit="times with none",
                measured=ratio(costs["crowded"], costs["alone"], wall_us),
                target=1.5,
                baselines={f"{name}, µs each": median(costs[name], wall_us) for name in ("alone", "crowded")},
                note='SQLite, NORMAL; the target is this benchmark\'s reading of "not with those at rest"',
            ),
            Figure(
                key="recover.idle",
                work=f"recover() of none, {beside}",
                unit="µs",
                measured=median(costs["idle"], wall_us),
            ),
        )
    )


def _recovered(orchestrator: Orchestrator, saga: Saga, instance_ids: Iterator[str]) -> Spent:
    started = [orchestrator.start(saga, INPUT, id=instance_id).id for instance_id in instance_ids]
    reports = []
    cost = spent(len(started), lambda: reports.append(orchestrator.recover()))
    assert reports[0].resumed == tuple(started), str(reports[0])
    return cost


def fill(url: str, saga: Saga, at_rest: int) -> None:
    """Put that many completed instances into a store: one is run, the others are its history under other ids."""
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        created, *others = orchestrator.run(saga, INPUT, check=True).history
    assert isinstance(created, InstanceCreated)
    store = open_store(url)
    try:
        for instance_id in itertools.islice(ids("rest"), at_rest):
            store.import_((attrs.evolve(created, id=instance_id), *others))
    finally:
        store.close()
