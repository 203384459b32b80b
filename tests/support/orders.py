"""Orders of scripted services, to run in the examples of the laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sagafsm import OutcomeUnknown
from sagafsm.history.events import CancelRequested
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.services import Service, saga_of
from support.stage import Stage

Script = dict[str, list[Any]]


def bench_of(
    store: Any, way: str, /, script: Script | None = None, *, limit: int | None = None, **steps: dict[str, Any]
) -> tuple[Bench, Service]:
    """Return a bench for an order of these steps, and its services.

    A step with `after="StepSucceeded a 1"` goes on once that event is durable. `limit` is that of group `g`.
    """
    service, stage = Service(script=script or {}), Stage()
    for options in steps.values():
        if isinstance(options.get("after"), str):
            options["after"] = stage.once(options["after"])
    saga = saga_of(service, is_async=is_async(way), **steps)
    if limit is not None:
        saga.group("g", max_concurrency=limit)
    return Bench(store, saga, way, options={"on_event": stage.told}), service


def ran(store: Store, way: str, script: Script, /, **steps: Any) -> tuple[Bench, Service, list[str]]:
    """Run an order of these steps, or of one step `a` with these options. Return its events, too."""
    steps = steps if any(isinstance(value, dict) for value in steps.values()) else {"a": steps}
    bench, service = bench_of(store, way, script, **steps)
    bench.run()
    service.check_keys()
    return bench, service, lines(store.history("o-1"))[1:]


def raising(error: BaseException) -> Callable[[], None]:
    """Return an action that raises this."""

    def act() -> None:
        raise error

    return act


def cancelling(store: Store, then: Callable[[], None] = lambda: None, id: str = "o-1") -> Callable[[], None]:
    """Return an action during which a cancel comes in."""

    def act() -> None:
        store.post(id, CancelRequested(request_id="r-1", by="me", reason="no"))
        then()

    return act


lose = raising(OutcomeUnknown("no answer"))
