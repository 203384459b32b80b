"""Between rows and values: summaries, events, and the checks that find damage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sagafsm.codec import checksum, decode_event, encode_event
from sagafsm.errors import SagaError, StoreError
from sagafsm.events import Event
from sagafsm.instance import SagaInstance, fold
from sagafsm.store import Owner, Summary
from sagafsm_adapters.sql.tables import INSTANCES, as_moment, as_text, as_text_or_none

COLUMNS = tuple(column.name for column in INSTANCES.c)


def event_rows(instance_id: str, events: Sequence[Event]) -> list[tuple[str, int, str, int]]:
    """The rows of these events."""
    bodies = [(event.number, encode_event(event)) for event in events]
    return [(instance_id, number, body, checksum(instance_id, number, body)) for number, body in bodies]


def read_events(instance_id: str, rows: Iterable[Any], shown: str) -> tuple[Event, ...]:
    """The events in these rows.

    Raises:
        StoreError: one is missing, or is not as it was written; the message names it.
    """
    events: list[Event] = []
    for expected, (number, body, check) in enumerate(rows, start=1):
        if number != expected:
            raise damaged(instance_id, shown, f"event {expected} is missing")
        if not isinstance(body, str) or check != checksum(instance_id, number, body):
            raise damaged(instance_id, shown, f"event {number} is not as it was written")
        try:
            events.append(decode_event(body, number=number))
        except SagaError as error:
            raise StoreError(f"instance {instance_id!r} in store {shown!r}: {error}") from error
    return tuple(events)


def damaged(instance_id: str, shown: str, what: str) -> StoreError:
    """The error that what is stored cannot be what was written."""
    return StoreError(
        f"instance {instance_id!r} in store {shown!r} is damaged: {what} (restore a backup; nothing was changed)"
    )


def folded(instance_id: str, row: Any, events: tuple[Event, ...], shown: str) -> SagaInstance:
    """The instance, checked against its row.

    Raises:
        StoreError: row and history disagree.
    """
    if len(events) != row.version:
        raise damaged(instance_id, shown, f"its row says {row.version} events, its history has {len(events)}")
    try:
        instance = fold(None, events)
    except (SagaError, KeyError) as error:
        raise damaged(instance_id, shown, str(error)) from error
    if instance.id != instance_id or instance.state != row.state:
        raise damaged(instance_id, shown, f"its row says {row.state!r}, its history {instance.state!r}")
    return instance


def summary_of(row: Any) -> Summary:
    """The summary in a row."""
    created, updated = as_moment(row.created_at), as_moment(row.updated_at)
    if created is None or updated is None:
        raise StoreError(f"instance {row.id!r} has no time of creation or change")
    return Summary(
        id=row.id,
        saga=row.saga,
        saga_version=row.saga_version,
        state=row.state,
        version=row.version,
        created_at=created,
        updated_at=updated,
        blocked=row.blocked,
        wake_at=as_moment(row.wake_at),
        owner=None if row.owner is None else Owner(name=row.owner, process=row.process or ""),
        token=row.token,
        lease_until=as_moment(row.lease_until),
        mail=row.mail,
    )


def instance_row(instance: SagaInstance, *, token: int, owner: Owner | None, lease_until: str | None) -> dict[str, Any]:
    """The row of a new instance."""
    return {
        "id": instance.id,
        "saga": instance.saga,
        "saga_version": instance.version,
        "state": instance.state,
        "unfinished": int(not instance.is_at_rest),
        "version": len(instance.history),
        "created_at": as_text(instance.created_at),
        "updated_at": as_text(instance.updated_at),
        "blocked": instance.blocked[0].reason if instance.blocked else None,
        "wake_at": as_text_or_none(instance.wake_at),
        "owner": None if owner is None else owner.name,
        "process": None if owner is None else owner.process,
        "token": token,
        "lease_until": lease_until,
        "mail": 0,
    }
