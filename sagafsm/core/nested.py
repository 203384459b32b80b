"""How a parent drives a nested saga: an instance of its own, whose history is the evidence. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import attrs

from sagafsm.core.commands import Command, Park, RunChild
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.step_state import AT_REST, NestedState, StepState
from sagafsm.value import replace

# No request of a user's own can have an id that begins so.
PARENT_REQUEST_PREFIX = "\x1f"


def child_id(instance_id: str, step: str) -> str:
    """The id of the instance of a nested saga."""
    return f"{instance_id}/{step}"


def count_events_at(record: StepState, history: Sequence[e.Event], moment: datetime) -> int:
    """How many events a nested instance had at a moment, when its parent knew this of it."""
    length = sum(event.at <= moment for event in history)
    if record.undo is None:
        # Two events may have one moment: one that was not sent back yet has not gone back, whatever the clock says.
        return min(length, next((event.number for event in history if event.state in AT_REST), length))
    return length


def start_nested(instance: SagaInstance, record: StepState, key: str) -> RunChild:
    """Create the nested instance, with the signals that came for it before, and drive it."""
    started = e.StepStarted(step=record.name, attempt=1, key=key)
    requests = list_parent_requests(instance, record.name, "action")
    return RunChild(step=record.name, attempt=1, key=key, requests=requests, events=(started,))


def resume_nested(instance: SagaInstance, record: StepState, direction: e.Direction, key: str) -> RunChild | None:
    """Drive it on when it was left in the middle, when something came for it, or when its time has come."""
    status = record.status if direction == "action" else record.undo
    run = RunChild(
        step=record.name,
        attempt=1,
        key=key,
        direction=direction,
        requests=list_parent_requests(instance, record.name, direction),
    )
    if status == "running":
        return run
    child = record.child or NestedState()
    resumed = attrs.evolve(run, events=(e.ChildResumed(step=record.name),))
    if child.orders or (direction == "action" and instance.cause is not None and instance.cause.number > child.parked):
        return resumed
    if child.retry_at is None:
        return None
    return attrs.evolve(resumed, not_before=child.retry_at, parks=bool(child.blocks) or child.waits)


def undo_nested(instance: SagaInstance, record: StepState, key: str) -> Command:
    """Send a nested saga that completed back, and drive it until it has undone what it can."""
    if record.undo is None:
        started = e.CompensationStarted(step=record.name, attempt=1, key=key)
        return RunChild(step=record.name, attempt=1, key=key, direction="compensation", events=(started,))
    return resume_nested(instance, record, "compensation", key) or Park()


def list_parked_nested(instance: SagaInstance) -> Iterator[RunChild]:
    """What drives those nested sagas on that are parked."""
    for record in instance.steps.values():
        directions: dict[e.Direction, bool] = {
            "action": record.status == "parked",
            "compensation": record.undo == "parked",
        }
        for direction in (direction for direction, is_parked in directions.items() if is_parked):
            yield RunChild(step=record.name, attempt=1, key="", direction=direction)


def list_parent_requests(instance: SagaInstance, step: str, direction: e.Direction) -> tuple[e.Request, ...]:
    """What the nested saga has to be told; posted again after a crash, it counts once."""
    return tuple(_build_parent_requests(instance, instance.steps[step], direction))


def has_unread_requests(instance: SagaInstance, step: str, direction: e.Direction, child: SagaInstance) -> bool:
    """Whether a nested saga that parked has parked before it heard all that its parent has for it by now."""
    known = {getattr(event, "request_id", None) for event in child.history}
    return any(request.request_id not in known for request in list_parent_requests(instance, step, direction))


def _build_parent_requests(instance: SagaInstance, record: StepState, direction: e.Direction) -> Iterator[e.Request]:
    cause = instance.cause
    if cause is not None and direction == "action":
        reason = f"its parent {instance.id!r} goes back: {cause}"
        yield e.CancelRequested(
            request_id=f"{PARENT_REQUEST_PREFIX}{instance.id}#{cause.number}", by=cause.by, reason=reason
        )
    for order in record.child.orders if record.child is not None else ():
        if isinstance(order, e.DecisionMade):
            path = (order.step or "").partition("/")[2]
            request_id = order.request_id or f"{PARENT_REQUEST_PREFIX}{instance.id}#{order.number}"
            yield replace(order, number=0, at=e.UNSTAMPED, state=None, step=path, request_id=request_id)
        else:
            yield replace(order, number=0, at=e.UNSTAMPED, state=None, name=order.name.partition("/")[2])
