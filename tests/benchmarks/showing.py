"""What a cell's output costs: a card of 6 and of 50 steps, and, in a browser, the page of an inspector in a flood."""

from __future__ import annotations

import statistics
import time

from benchmarks.bench import Bench
from benchmarks.measuring import Figure, Measured
from sagafsm import Orchestrator, Saga, SagaInstance
from sagafsm.display import as_html
from support.browser import browsing, missing
from support.inspector_page import Bench as Page

SIZES = {6: 30, 50: 80}  # steps: KB at most
REPEATS = 20


def went_back(steps: int) -> SagaInstance:
    """An instance whose last step failed, and all before it were compensated."""

    def fail() -> None:
        raise ValueError("no van left")

    saga = Saga("order")
    for number in range(1, steps):
        saga.add_step(f"step_{number}", lambda input: {"id": input}, lambda result: None)
    saga.add_step("ship", fail)
    return Orchestrator("memory://", sagas=[saga]).run(saga, 7, id="o-1")


def measure(bench: Bench) -> Measured:
    """By CPU: the median of many; the first warms up."""
    figures = []
    for steps, most in SIZES.items():
        instance, costs = went_back(steps), []
        for _ in range(bench.effort.rounds * REPEATS + 1):
            began = time.process_time()
            shown = as_html(instance) or ""
            costs.append(time.process_time() - began)
        work, size = f"an instance of {steps} steps as HTML", len(shown.encode()) / 1000
        figures += [
            Figure(key=f"show.cpu.{steps}", work=work, unit="ms CPU", measured=_median_ms(costs), target=5),
            Figure(key=f"show.size.{steps}", work=work, unit="KB", measured=size, target=most),
        ]
    if missing("anywidget") is None:
        figures.append(_flood(bench))
    return Measured(figures=tuple(figures))


def _flood(bench: Bench) -> Figure:
    """The median of several floods, each of 600 frames on a page of its own, of the worst gap between two pictures."""
    gaps = []
    with browsing(bench.folder / "browser") as browser:
        for _ in range(bench.effort.rounds):
            page = browser.new_page()
            inspector = Page(page)
            inspector.begin()
            gaps.append(inspector.flood(600))
            page.close()
    return Figure(
        key="show.gap",
        work="an inspector's page in a flood of 600 frames: worst gap",
        unit="ms",
        measured=statistics.median(gaps),
        target=100,
    )


def _median_ms(costs: list[float]) -> float:
    return statistics.median(costs[1:]) * 1000
