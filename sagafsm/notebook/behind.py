"""What has to be known of the orchestrator behind what is shown, sync or async."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sagafsm.async_orchestrator import AsyncOrchestrator
from sagafsm.children import child_id
from sagafsm.definition import Definition
from sagafsm.errors import RequestError, SagaError, SagaNotFound
from sagafsm.events import Event
from sagafsm.instance import SagaInstance
from sagafsm.orchestrator import Orchestrator
from sagafsm.registry import Registry
from sagafsm.steps import Defined

# What drives instances; an async one answers with an awaitable.
Orchestrating = Orchestrator | AsyncOrchestrator


def check_orchestrator(given: object) -> None:
    """Refuse what drives no instances.

    Raises:
        RequestError: it is no orchestrator.
    """
    if not isinstance(given, Orchestrating):
        raise RequestError(f"what shows instances needs the orchestrator that has them, not {given!r}")


def _registry(orchestrator: Orchestrating) -> Registry:
    return orchestrator._operations.driving.registry


def sagas(orchestrator: Orchestrating) -> Sequence[Defined]:
    """The sagas whose instances it can drive."""
    return _registry(orchestrator).sagas


def undrivable(orchestrator: Orchestrating, instance: SagaInstance) -> str | None:
    """Why it cannot drive an instance, going by the sagas it knows; None: it can."""
    if not _registry(orchestrator).knows(instance):
        return f"saga {instance.saga!r} version {instance.version} is not registered: pass it in sagas=[...]"
    try:
        _registry(orchestrator).of(instance)
    except SagaError as error:
        return str(error)
    return None


def hearing(orchestrator: Orchestrating, heard: Callable[[SagaInstance, Event], None]) -> Callable[[], None]:
    """Have a method told what an orchestrator makes durable, until what is returned is called.

    The orchestrator outlives those who looked on, and does not keep them.
    """
    method = weakref.WeakMethod(heard)

    def listener(instance: SagaInstance, event: Event) -> None:
        hear = method()
        if hear is not None:
            hear(instance, event)

    return orchestrator.listen(listener)


def definition_of(orchestrator: Orchestrating | None, instance: SagaInstance) -> Definition | None:
    """The definition under which it would drive an instance on; None: it has none."""
    if orchestrator is None:
        return None
    try:
        return _registry(orchestrator).of(instance)[0]
    except SagaError:
        return None


def is_closed(orchestrator: Orchestrating) -> bool:
    """Whether it is closed, or closing: nothing new starts."""
    return orchestrator.is_closed


def nested_in(orchestrator: Orchestrating, instance: SagaInstance, prefix: str = "") -> Mapping[str, SagaInstance]:
    """The instances of its nested sagas, by path, as far as they exist."""
    found: dict[str, SagaInstance] = {}
    for step in instance.outline:
        if step.kind == "saga" and instance.steps[step.name].status != "pending":
            try:
                child = orchestrator.store.load(child_id(instance.id, step.name)).instance
            except SagaNotFound:
                continue
            path = prefix + step.name
            found |= {path: child, **nested_in(orchestrator, child, f"{path}/")}
    return found


def now(orchestrator: Orchestrating) -> datetime:
    """What time it is by its clock."""
    return orchestrator._operations.driving.settings.clock.now()
