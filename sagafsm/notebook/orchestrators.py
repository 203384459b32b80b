"""Questions to the orchestrator behind a view, whether it is sync or async."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping

from sagafsm.async_orchestrator import AsyncOrchestrator
from sagafsm.core.nested import child_id
from sagafsm.definition.definition import Definition
from sagafsm.errors import RequestError, SagaError, SagaNotFound
from sagafsm.history.events import Event
from sagafsm.history.instance import SagaInstance
from sagafsm.orchestrator import Orchestrator

# Either orchestrator; the methods of an async one return awaitables.
AnyOrchestrator = Orchestrator | AsyncOrchestrator


def check_orchestrator(given: object) -> None:
    """Check that an object is an orchestrator.

    Raises:
        RequestError: it is none.
    """
    if not isinstance(given, AnyOrchestrator):
        raise RequestError(f"what shows instances needs the orchestrator that has them, not {given!r}")


def find_definition_obstacle(orchestrator: AnyOrchestrator, instance: SagaInstance) -> str | None:
    """Tell why no saga that the orchestrator knows can drive an instance; None if one can."""
    if not orchestrator.registry.has_definition_for(instance):
        return f"saga {instance.saga!r} version {instance.version} is not registered: pass it in sagas=[...]"
    try:
        orchestrator.registry.of(instance)
    except SagaError as error:
        return str(error)
    return None


def subscribe(orchestrator: AnyOrchestrator, heard: Callable[[SagaInstance, Event], None]) -> Callable[[], None]:
    """Call a method after every durable event of an orchestrator, until the returned function is called.

    The orchestrator outlives its views, so it keeps only a weak reference to the view that has the method.
    """
    method = weakref.WeakMethod(heard)

    def listener(instance: SagaInstance, event: Event) -> None:
        hear = method()
        if hear is not None:
            hear(instance, event)

    return orchestrator.listen(listener)


def find_definition(orchestrator: AnyOrchestrator | None, instance: SagaInstance) -> Definition | None:
    """Return the definition under which the orchestrator would drive an instance on; None without one."""
    if orchestrator is None:
        return None
    try:
        return orchestrator.registry.of(instance)[0]
    except SagaError:
        return None


def load_nested(orchestrator: AnyOrchestrator, instance: SagaInstance, prefix: str = "") -> Mapping[str, SagaInstance]:
    """Load the instances of the nested sagas of an instance, by path, as far as they exist."""
    found: dict[str, SagaInstance] = {}
    for step in instance.outline:
        if step.kind == "saga" and instance.steps[step.name].status != "pending":
            try:
                child = orchestrator.store.load(child_id(instance.id, step.name)).instance
            except SagaNotFound:
                continue
            path = prefix + step.name
            found |= {path: child, **load_nested(orchestrator, child, f"{path}/")}
    return found
