"""The saga that everybody runs: three steps that do nothing, each with a compensation; and longer ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from sagafsm import Saga

INPUT = {"product_id": "mug", "quantity": 2, "amount": 1800, "customer": "c-7"}
STEPS = ("reserve", "charge", "ship")


def act(input: Any) -> Any:
    """An action that does nothing, and has a small result; plain JSON, as in the smallest saga of README."""
    return {"id": "r-1"}


async def act_async(input: Any) -> Any:
    """The same on a loop."""
    return {"id": "r-1"}


def undo(result: Any) -> None:
    """A compensation that does nothing."""


async def undo_async(result: Any) -> None:
    """The same on a loop."""


def saga_of(steps: int, *, action: Callable[..., Any] = act, compensation: Callable[..., Any] = undo) -> Saga:
    """A saga of so many steps that do nothing."""
    saga = Saga(f"noop-{steps}")
    names = STEPS if steps == len(STEPS) else [f"step_{number}" for number in range(steps)]
    for name in names:
        saga.add_step(name, action, compensation)
    return saga


def ids(prefix: str) -> Iterator[str]:
    """Ids that never come twice."""
    return (f"{prefix}-{number:07d}" for number in itertools.count())
