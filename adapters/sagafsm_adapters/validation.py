"""What every store refuses, in the same words."""

from __future__ import annotations

from collections.abc import Sequence

from sagafsm.errors import IllegalTransition, SagaError, StoreConflict, StoreError
from sagafsm.history.events import CancelRequested, Event, InstanceCreated, Request, SignalReceived
from sagafsm.history.instance import AT_REST, fold
from sagafsm.store import Owner


def check_numbers(instance_id: str, events: Sequence[Event], *, after: int) -> None:
    """Refuse events that do not carry on a history of `after` events."""
    expected = after
    for event in events:
        expected += 1
        if event.number != expected:
            raise StoreError(
                f"instance {instance_id!r} lacks event {expected}: {event} numbered {event.number} follows instead"
            )
    if expected == after:
        raise StoreError(f"instance {instance_id!r} was given no events to store")


def check_creation(events: Sequence[Event], instance_id: str | None = None) -> InstanceCreated:
    """The first of these events, which begin a history: of that instance, where an id is given."""
    created = events[0] if events else None
    if not isinstance(created, InstanceCreated):
        raise StoreError(f"a history begins with InstanceCreated, not with {created}")
    if instance_id is not None and created.id != instance_id:
        raise StoreError(f"instance {instance_id!r} cannot begin with the history of instance {created.id!r}")
    check_numbers(created.id, events, after=0)
    return created


def check_history(events: Sequence[Event]) -> InstanceCreated:
    """The first event of this whole history, which must be one that can be folded."""
    created = check_creation(events)
    try:
        fold(None, events)
    except (SagaError, KeyError) as error:
        raise StoreError(f"instance {created.id!r} has a history that cannot be: {error!r}") from error
    return created


def make_owned_error(instance_id: str, owner: Owner) -> StoreConflict:
    """The error that a claim meets when somebody owns the instance."""
    return StoreConflict(f"instance {instance_id!r} is owned by {owner.name!r}")


def make_claim_lost_error(instance_id: str, owner: Owner | None) -> StoreConflict:
    """The error that a driver meets whose claim is over."""
    holder = "nobody" if owner is None else repr(owner.name)
    return StoreConflict(f"instance {instance_id!r} is owned by {holder} now: this claim is over")


def make_appended_since_error(instance_id: str, version: int, expected: int) -> StoreConflict:
    """The error that a driver meets whose picture of the history is not the present one."""
    return StoreConflict(f"instance {instance_id!r} has {version} events, not {expected}: somebody else appended")


def make_too_late_error(instance_id: str, state: str, request: Request) -> IllegalTransition:
    """The error of a request that comes to an instance at rest."""
    match request:
        case CancelRequested():
            operation = "cancel"
        case SignalReceived(name=name):
            operation = f"signal {name}"
        case _:
            operation = request.decision
    return IllegalTransition(instance_id, state, operation, ())


def check_deletable(instance_id: str, state: str) -> None:
    """Refuse to delete what is not at rest, and what is nested: its tree goes as a whole.

    A nested instance is the evidence of what was done there; without it, its parent could not undo that.
    """
    root, _, path = instance_id.partition("/")
    if path:
        raise IllegalTransition(instance_id, f"nested in instance {root!r}", "delete", (f"delete of {root!r}",))
    if state not in AT_REST:
        raise IllegalTransition(instance_id, state, "delete", ("abandon",))
