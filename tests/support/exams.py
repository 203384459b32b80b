"""Exams that are sat twice: over a store as it should be, and, as a positive control, over a broken one.

`store` is what really is; `through` is the store that the orchestrator is given.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sagafsm.store import Owner, Store
from support.bench import Bench, is_async, lines
from support.services import STEADY, Service, saga_of
from support.stores import LateStore

# Somebody of whom this machine cannot tell whether he lives.
STRANGER = Owner(name="elsewhere", process="?/?/1/?/1")


def steal(store: Store) -> Callable[[], None]:
    """An action during which somebody else takes the instance over."""

    def act() -> None:
        token = store.load("o-1").summary.token
        store.claim("o-1", owner=STRANGER, lease=timedelta(hours=1), replacing=token)

    return act


def check_write_ahead(store: Store, through: Any, way: str, *, probe: bool) -> None:
    """Law 1: whatever is called finds durable why it is called, and all that happened before."""
    seen: list[str] = []

    def look() -> None:
        seen.append(lines(store.history("o-1"))[-1])

    script: dict[str, list[Any]] = {
        "a": ["lost", look] if probe else [look],
        "probe a": [look],  # which, asked, cannot tell
        "b": ["fail", look],
        "c": [look],
        "d": ["fail"],
        "undo b": ["fail", look],
        "undo a": [look],
    }
    options: dict[str, Any] = {"in_doubt": "retry", "retry": STEADY, "compensation_retry": STEADY}
    service = Service(script=script)
    steps: dict[str, Any] = {"a": {**options, "probe": probe}, "b": options, "c": options, "d": {}}
    Bench(through, saga_of(service, is_async=is_async(way), **steps), way).run()
    first = ["StepInDoubt a 1 outcome_unknown", "StepStarted a 2"] if probe else ["StepStarted a 1"]
    then = ["StepStarted b 2", "StepStarted c 1", "CompensationStarted b 2", "CompensationStarted a 1"]
    assert [*first, *then] == seen
    service.check_keys()


def check_late_append(store: Store, through: Any, way: str) -> None:
    """Law 1: an append that seems to have failed, and takes place once it is repeated, takes place once."""
    late = LateStore(through)
    service = Service(script={"a": [lambda: setattr(late, "fault", "late")]})
    bench = Bench(late, saga_of(service, is_async=is_async(way), a={}, b={}), way)
    assert "completed" == bench.run().state
    assert ["a 1", "b 1"] == service.calls
    forth = ["StepStarted a 1", "StepSucceeded a 1", "StepStarted b 1", "StepSucceeded b 1"]
    assert ["InstanceCreated", *forth, "InstanceCompleted"] == lines(store.history("o-1"))
