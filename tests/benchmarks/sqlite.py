"""Three steps on SQLite, one saga after the other: beside raw sqlite3 making the same commits, and peers."""

from __future__ import annotations

import itertools
from contextlib import closing
from typing import Literal

from benchmarks.bench import Bench
from benchmarks.measuring import Bar, Figure, Measured, Spent, cpu_us, interleaved, median, rate, ratio, spent
from benchmarks.raw import Raw
from benchmarks.workload import INPUT, ids, saga_of
from sagafsm import Orchestrator

CHART = "on SQLite, 3 steps: sagas/s (more is better)"
TARGETS: dict[Literal["FULL", "NORMAL"], float] = {"FULL": 0.7, "NORMAL": 0.35}
PEERS = ("dbos", "edda")


def measure(bench: Bench) -> Measured:
    """Sagas a second relative to raw, with an fsync at every commit and with none."""
    found = [_one_by_one(bench, synchronous, target) for synchronous, target in TARGETS.items()]
    peers = _peers(bench)
    return Measured(
        figures=tuple(figure for each in (*found, peers) for figure in each.figures),
        bars=tuple(bar for each in (*found, peers) for bar in each.bars),
    )


def _one_by_one(bench: Bench, synchronous: Literal["FULL", "NORMAL"], target: float) -> Measured:
    saga, sagas = saga_of(3), bench.effort.sqlite_sagas
    ours_ids, raw_ids = ids("ours"), ids("raw")
    raw = Raw.opened(bench.folder / f"raw-{synchronous}.db", synchronous)
    with closing(raw.connection), Orchestrator(bench.url(f"ours-{synchronous}", synchronous), sagas=[saga]) as ours:

        def run() -> None:
            for instance_id in itertools.islice(ours_ids, sagas):
                ours.run(saga, INPUT, id=instance_id, check=True)

        def play() -> Spent:
            calls = raw.prepared(list(itertools.islice(raw_ids, sagas)))
            return spent(sagas, lambda: raw.play(calls))

        costs = interleaved(bench.effort.rounds, {"ours": lambda: spent(sagas, run), "raw": play})
    note = f"{raw.commits} commits and {raw.statements} rows a saga, both"
    return _told(synchronous, target, costs["ours"], costs["raw"], note)


def _told(synchronous: str, target: float, ours: list[Spent], raw: list[Spent], note: str) -> Measured:
    rates = {"sagafsm, sagas/s": median(ours, rate), "raw, sagas/s": median(raw, rate)}
    cpu = {"sagafsm, µs CPU": median(ours, cpu_us), "raw, µs CPU": median(raw, cpu_us)}
    figure = Figure(
        key=f"sqlite.{synchronous.lower()}",
        work=f"SQLite, {synchronous}, one by one",
        unit="of raw sqlite3",
        measured=ratio(ours, raw, rate),
        target=target,
        bound="at least",
        baselines=rates | cpu,
        note=note,
    )
    bars = (
        Bar(chart=CHART, name=f"raw, {synchronous}", value=rates["raw, sagas/s"], whose="raw"),
        Bar(chart=CHART, name=f"sagafsm, {synchronous}", value=rates["sagafsm, sagas/s"], whose="ours"),
    )
    return Measured(figures=(figure,), bars=bars)


def _peers(bench: Bench) -> Measured:
    """The peers that keep what they do on SQLite, with the settings that they come with."""
    costs = {bench.peers.package(name): cost for name, cost in bench.peers.costs(PEERS)}
    figures = tuple(
        Figure(
            key=f"peer.{name}",
            work=f"{name} on SQLite, one by one",
            unit="sagas/s",
            measured=cost.rate,
            baselines={"µs CPU": cost.cpu_microseconds},
        )
        for name, cost in costs.items()
    )
    bars = tuple(Bar(chart=CHART, name=name, value=cost.rate, whose="peer") for name, cost in costs.items())
    return Measured(figures=figures, bars=bars)
