"""Exams that are sat twice: over a store as it should be, and, as a positive control, over a broken one.

`store` is what really is; `through` is the store that the orchestrator is given.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sagafsm.store import Owner, Store
from support.bench import Bench, is_async, lines
from support.services import Service, saga_of
from support.stores import LateStore

# Somebody of whom this machine cannot tell whether he lives.
STRANGER = Owner(name="elsewhere", process="?/?/1/?/1")


def steal(store: Store) -> Callable[[], None]:
    """An action during which somebody else takes the instance over."""

    def act() -> None:
        token = store.load("o-1").summary.token
        store.claim("o-1", owner=STRANGER, lease=timedelta(hours=1), replacing=token)

    return act


def check_late_append(store: Store, through: Any, way: str) -> None:
    """Law 1: an append that seems to have failed, and takes place once it is repeated, takes place once."""
    late = LateStore(through)
    service = Service(script={"a": [lambda: setattr(late, "fault", "late")]})
    bench = Bench(late, saga_of(service, is_async=is_async(way), a={}, b={}), way)
    assert "completed" == bench.run().state
    assert ["a 1", "b 1"] == service.calls
    forth = ["StepStarted a 1", "StepSucceeded a 1", "StepStarted b 1", "StepSucceeded b 1"]
    assert ["InstanceCreated", *forth, "InstanceCompleted"] == lines(store.history("o-1"))
