"""The same exam for both orchestrators: each call is a process of its own, that opens one, asks it, and closes it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import attrs

from sagafsm import AsyncOrchestrator, Orchestrator, Saga, SagaInstance
from sagafsm.history import events as e
from sagafsm.store import Store
from support.clock import FakeClock

# How the orchestrator runs, and how the actions are defined.
WAYS = ("sync", "async", "async with sync actions", "sync with async actions")


@attrs.define(eq=False)
class Bench:
    """Asks an orchestrator of one way, over one store and with one saga."""

    store: Store | Any
    saga: Saga
    way: str = "sync"
    clock: FakeClock = attrs.Factory(FakeClock)
    options: dict[str, Any] = attrs.Factory(dict)

    def ask(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        """What the operation returns, on a new orchestrator."""
        options = {"sagas": [self.saga], "clock": self.clock, **self.options}
        if self.way.startswith("sync"):
            with Orchestrator(self.store, **options) as orchestrator:
                return getattr(orchestrator, operation)(*args, **kwargs)

        async def ask() -> Any:
            async with AsyncOrchestrator(self.store, **options) as orchestrator:
                return await getattr(orchestrator, operation)(*args, **kwargs)

        return asyncio.run(ask())

    def run(self, input: Any = "mug", id: str = "o-1") -> SagaInstance:
        return self.ask("run", self.saga, input, id=id)

    def get(self, id: str = "o-1") -> SagaInstance:
        return self.store.load(id).instance


def is_async(way: str) -> bool:
    """Whether the actions of this way are async functions."""
    return way in ("async", "sync with async actions")


def line(event: e.Event) -> str:
    """An event in one line: what happened, to which step, at which attempt, and what makes it special."""
    told = [type(event).__name__]
    told += [
        str(value)
        for name in ("kind", "decision", "step", "attempt", "reason")
        if (value := getattr(event, name, None)) is not None
    ]
    if getattr(event, "evidence", "action") == "probe":
        told.append("by probe")
    again = event.wake_at if isinstance(event, e.StepInDoubt) else getattr(event, "retry_at", None)
    if again is not None and isinstance(event, e.StepFailed | e.StepInDoubt | e.CompensationFailed):
        told.append("again")
    return " ".join(told)


def lines(history: Sequence[e.Event]) -> list[str]:
    """The events by line, in order, which their numbers must have, from 1 without gaps."""
    assert [event.number for event in history] == list(range(1, len(history) + 1))
    return [line(event) for event in history]
