"""`--crash`: the same orders in a process that is killed at a random moment, again and again, until it is through."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from sagafsm.demo.orders import Order
from sagafsm.demo.saga import order as order_saga
from sagafsm.demo.work import unsettled
from sagafsm.demo.worker import arguments
from sagafsm.errors import SagaError
from sagafsm.orchestrator import Orchestrator

# The longest life of the first worker, from the moment it begins its work, and by how much each next one's is longer.
# An idle machine is through after some eight kills; on a busy one, lives of one length might never see an order end.
FIRST_LIFE = timedelta(milliseconds=900)
LONGER = 1.1
MOST_KILLS = 200


def crash_through(
    path: Path | None,
    orders: Sequence[Order],
    url: str,
    *,
    seed: int | None,
    pace: timedelta,
    console: Console,
    first_life: timedelta = FIRST_LIFE,
) -> int:
    """Kill worker after worker until all `orders`, which are read from `path`, are settled; the number of kills.

    `first_life` is the longest life of the first worker: shorter ones make more kills of the same orders.

    Raises:
        SagaError: a worker failed by itself, or `MOST_KILLS` were not enough.
    """
    seed = random.SystemRandom().randrange(10_000) if seed is None else seed
    console.print(f"running {len(orders)} orders in a process that is killed at random (--seed {seed})")
    chance = random.Random(seed)  # noqa: S311 - moments of kills, not secrets
    for kills in range(MOST_KILLS):
        life = chance.uniform(0, first_life.total_seconds() * LONGER**kills)
        if _is_through(arguments(path, url, pace), life):
            console.print(f"through after {kills} kills")
            return kills
        left, standing = _standing(url, orders)
        console.print(f"kill {kills + 1:2} after {life:.2f} s: {standing}", highlight=False)
        if not left:
            console.print(f"through after {kills + 1} kills")
            return kills + 1
    raise SagaError(f"the orders are not through after {MOST_KILLS} kills: {standing}")


def _is_through(command: list[str], life: float) -> bool:
    """Whether the worker came to its end in `life` seconds; else it was killed."""
    # No shell, and SIGKILL: the worker gets no chance to put anything in order.
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:  # noqa: S603 - our own module
        try:
            assert worker.stdout is not None  # noqa: S101 - for the type checker
            begun = worker.stdout.readline()
            status = worker.wait(timeout=life if begun else None)
        except subprocess.TimeoutExpired:
            return False
        finally:
            worker.kill()
    if status != 0:
        raise SagaError(f"the worker failed by itself with status {status} (what it said stands above)")
    return True


def _standing(url: str, orders: Sequence[Order]) -> tuple[int, str]:
    """How many orders are not settled, and where the store stands, in words."""
    with Orchestrator(url, sagas=[order_saga]) as orchestrator:
        left = len(unsettled(orchestrator, orders))
        found = list(orchestrator.find(saga=order_saga.name))
    blocked = sum(1 for summary in found if summary.blocked)
    under_way = [f"{s.id} in {s.state}" for s in found if not (s.is_at_rest or s.blocked)]
    settled = f"{len(orders) - left} of {len(orders)} settled"
    return left, ", ".join((settled, *([f"{blocked} of them blocked"] if blocked else []), *under_way))
