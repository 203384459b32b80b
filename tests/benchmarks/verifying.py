"""verify() of a saga of three steps: how long all single faults and pairs take, and how many runs that is a second."""

from __future__ import annotations

import statistics
import time
from datetime import timedelta
from typing import Any

from benchmarks.bench import Bench
from benchmarks.measuring import Figure, Measured
from sagafsm import Saga
from sagafsm.verify import verify

STEPS = ("reserve", "charge", "ship")


class Service:
    """Things under keys."""

    def __init__(self) -> None:
        self.things: dict[str, int] = {}

    def put(self, key: str) -> str:
        self.things[key] = 1
        return key

    def drop(self, key: str) -> None:
        self.things.pop(key, None)


class Town:
    """A world of three services."""

    def __init__(self) -> None:
        self.services = {f"{step}_service": Service() for step in STEPS}

    def resources(self) -> dict[str, Service]:
        return self.services

    def snapshot(self) -> dict[str, Any]:
        return {name: dict(service.things) for name, service in self.services.items()}


def saga_of_services() -> Saga:
    saga = Saga("order", resources=tuple(f"{step}_service" for step in STEPS), in_doubt="compensate")
    saga.add_step(
        "reserve",
        lambda reserve_service, ctx: reserve_service.put(ctx.idempotency_key),
        lambda reserve_service, ctx: reserve_service.drop(ctx.action_key),
    )
    saga.add_step(
        "charge",
        lambda charge_service, ctx: charge_service.put(ctx.idempotency_key),
        lambda charge_service, ctx: charge_service.drop(ctx.action_key),
    )
    saga.add_step(
        "ship",
        lambda ship_service, ctx: ship_service.put(ctx.idempotency_key),
        lambda ship_service, ctx: ship_service.drop(ctx.action_key),
    )
    return saga


def measure(bench: Bench) -> Measured:
    """By CPU, as all runs are made on one thread."""
    saga, costs, report = saga_of_services(), [], None
    for _ in range(bench.effort.rounds + 1):
        begun = time.process_time()
        report = verify(saga, Town, depth=2, budget=timedelta(minutes=5))
        costs.append(time.process_time() - begun)
    assert report is not None
    assert report.ok, str(report)
    # The first one warms up.
    cpu = statistics.median(costs[1:])
    note = str(report.bounds)
    return Measured(
        figures=(
            Figure(
                key="verify.pairs",
                work="verify(), three steps, all singles and pairs",
                unit="s CPU",
                measured=cpu,
                target=1,
                note=note,
            ),
            Figure(
                key="verify.rate",
                work="verify(), runs in memory",
                unit="runs/s of CPU",
                measured=report.schedules / cpu,
                target=4000,
                bound="at least",
            ),
        )
    )
