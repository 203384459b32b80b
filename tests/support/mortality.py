"""Processes that die at a chosen moment."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm.store import Store
from support.bench import Bench
from support.services import Service
from support.stores import Crash, MortalStore


def mortal(store: Store, dies: str) -> MortalStore:
    when, _, number = dies.partition(" ")
    return MortalStore(store, dies_at=int(number) if number else None, durable=when == "after")


def die(
    bench: Bench, service: Service, dies: str, operation: str, *args: Any, calls: list[str] | None = None, **kwargs: Any
) -> None:
    """Let a process do this, and die as told; what the services did until then is forgotten, but for `calls`."""
    alive = bench.store
    bench.store = mortal(alive, dies)
    service.die = bench.store.die
    with pytest.raises(Crash):
        bench.ask(operation, *args, **kwargs)
    bench.store = alive
    if calls is not None:
        calls += service.calls
    service.calls.clear()
