"""256 sagas in flight on one loop, SQLite FULL: throughput, CPU, and how late the loop is meanwhile."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import closing, suppress

from benchmarks.bench import Bench, fsync_us
from benchmarks.measuring import (
    Bar,
    Figure,
    Measured,
    Spent,
    cpu_us,
    interleaved,
    median,
    rate,
    ratio,
    spent,
    spent_async,
)
from benchmarks.raw import Raw
from benchmarks.sqlite import CHART
from benchmarks.workload import INPUT, act_async, ids, saga_of, undo_async
from sagafsm import AsyncOrchestrator

IN_FLIGHT = 256
SAGA = saga_of(3, action=act_async, compensation=undo_async)


def opened(url: str) -> AsyncOrchestrator:
    """The orchestrator that drives `IN_FLIGHT` sagas at once, and holds the others back."""
    return AsyncOrchestrator(url, sagas=[SAGA], max_in_flight=IN_FLIGHT)


def measure(bench: Bench) -> Measured:
    """Sagas a second with 256 in flight relative to raw one by one, in the same rounds."""
    sagas, alone = bench.effort.in_flight_sagas, bench.effort.sqlite_sagas
    url, raw_ids, ours_ids = bench.url("flight", "FULL"), ids("raw"), ids("ours")
    raw = Raw.opened(bench.folder / "flight-raw.db", "FULL")

    def fly() -> Spent:
        return asyncio.run(_fly(url, list(itertools.islice(ours_ids, sagas))))

    def play() -> Spent:
        calls = raw.prepared(list(itertools.islice(raw_ids, alone)))
        return spent(alone, lambda: raw.play(calls))

    with closing(raw.connection):
        costs = interleaved(bench.effort.rounds, {"ours": fly, "raw": play})
    lags = asyncio.run(_watched(url, list(itertools.islice(ours_ids, sagas))))
    return _told(bench, costs["ours"], costs["raw"], lags)


async def _fly(url: str, instance_ids: Sequence[str]) -> Spent:
    async with opened(url) as orchestrator:
        return await spent_async(len(instance_ids), _run_all(orchestrator, instance_ids))


async def _run_all(orchestrator: AsyncOrchestrator, instance_ids: Sequence[str]) -> None:
    room = asyncio.Semaphore(IN_FLIGHT)

    async def run(instance_id: str) -> None:
        async with room:
            await orchestrator.run(SAGA, INPUT, id=instance_id, check=True)

    await asyncio.gather(*(run(instance_id) for instance_id in instance_ids))


async def _watched(url: str, instance_ids: Sequence[str]) -> list[float]:
    """How late the loop was, in ms, each time that a task had slept for 1 ms; in order of size."""
    lags: list[float] = []

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while True:
            asleep = loop.time()
            await asyncio.sleep(0.001)
            lags.append((loop.time() - asleep - 0.001) * 1000)

    async with opened(url) as orchestrator:
        watcher = asyncio.create_task(watch())
        await _run_all(orchestrator, instance_ids)
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
    return sorted(lags)


def _told(bench: Bench, ours: list[Spent], raw: list[Spent], lags: list[float]) -> Measured:
    rates = {"sagafsm, sagas/s": median(ours, rate), "raw one by one, sagas/s": median(raw, rate)}
    work = f"SQLite, FULL, {IN_FLIGHT} in flight"
    figures = [
        Figure(
            key="flight.ratio",
            work=work,
            unit="times raw one by one",
            measured=ratio(ours, raw, rate),
            target=4,
            bound="at least",
            baselines=rates | {"one fsync, µs": fsync_us(bench.folder)},
            note="the target is for a disk whose fsync costs 200 µs",
        ),
        Figure(key="flight.cpu", work=work, unit="µs CPU a saga", measured=median(ours, cpu_us), target=300),
        Figure(
            key="flight.lag",
            work=f"the loop while {IN_FLIGHT} run",
            unit="ms late at most",
            measured=lags[-1],
            target=20,
            baselines={"99 in 100, ms": lags[int(len(lags) * 0.99)], "looks": len(lags)},
        ),
    ]
    name = f"sagafsm, FULL, {IN_FLIGHT} in flight"
    bars = (Bar(chart=CHART, name=name, value=rates["sagafsm, sagas/s"], whose="ours"),)
    return Measured(figures=(*figures, *_beside_dbos(bench, work, rates["sagafsm, sagas/s"])), bars=bars)


def _beside_dbos(bench: Bench, work: str, ours: float) -> tuple[Figure, ...]:
    return tuple(
        Figure(
            key="flight.dbos",
            work=work,
            unit="times DBOS one by one",
            measured=ours / cost.rate,
            target=30,
            bound="at least",
            baselines={"dbos, sagas/s": cost.rate},
        )
        for _, cost in bench.peers.costs(("dbos",))
    )
