"""Between rows and values: summaries, events, requests, and the checks that find damage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sagafsm.errors import SagaError, StoreError
from sagafsm.history.event_codec import compute_checksum, decode_event, encode_event
from sagafsm.history.events import UNSTAMPED, Event, InstanceCreated, Request
from sagafsm.history.instance import AT_REST, SagaInstance, fold
from sagafsm.store import Changes, Owner, Summary, changes
from sagafsm_adapters.sql.tables import INSTANCES, format_utc, format_utc_or_none, parse_moment, parse_moment_or_none

COLUMNS = tuple(column.name for column in INSTANCES.c)
ColumnValues = Mapping[str, Any]
# In the order of the table's columns: instance, number, body, checksum.
EventValues = tuple[str, int, str, int]
_SURROGATE = re.compile("[\ud800-\udfff]")


def name_columns(row: Sequence[Any]) -> dict[str, Any]:
    """An instance's row by column."""
    return dict(zip(COLUMNS, row, strict=True))


def encode_body(event: Event) -> str:
    """The event's body as text that every database takes."""
    body = encode_event(event)
    return body if body.isascii() else _escape_surrogates(body)


def _escape_surrogates(body: str) -> str:
    # In an error's message: no UTF-8 has it, but JSON can say it (a string is the only place it can be in).
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", body)


def make_event_rows(instance_id: str, events: Sequence[Event]) -> list[EventValues]:
    """The rows of these events."""
    bodies = [(event.number, encode_body(event)) for event in events]
    return [(instance_id, number, body, compute_checksum(instance_id, number, body)) for number, body in bodies]


def _is_as_written(instance_id: str, number: Any, body: Any, check: Any) -> bool:
    if not isinstance(body, str) or _SURROGATE.search(body):
        return False
    return bool(check == compute_checksum(instance_id, number, body))


def read_events(instance_id: str, rows: Iterable[Sequence[Any]], version: int, shown: str) -> tuple[Event, ...]:
    """The events in these rows, of which there must be `version`.

    Raises:
        StoreError: one is missing, or is not as it was written; the message names it.
    """
    events: list[Event] = []
    for expected, (number, body, check) in enumerate(rows, start=1):
        if number != expected:
            what = f"event {number!r} is there twice" if number == expected - 1 else f"event {expected} is missing"
            raise make_damaged_error(instance_id, shown, what)
        if not _is_as_written(instance_id, number, body, check):
            raise make_damaged_error(instance_id, shown, f"event {number} is not as it was written")
        try:
            events.append(decode_event(body, number=number))
        except SagaError as error:
            raise StoreError(f"instance {instance_id!r} in store {shown!r}: {error}") from error
    if len(events) != version:
        raise make_damaged_error(instance_id, shown, f"its row says {version!r} events, its history has {len(events)}")
    return tuple(events)


def read_mail(instance_id: str, rows: Iterable[Sequence[Any]], shown: str) -> tuple[Request, ...]:
    """The requests in these rows.

    Raises:
        StoreError: one is not as it was written.
    """
    requests: list[Request] = []
    for position, body, check in rows:
        if not _is_as_written(instance_id, position, body, check):
            raise make_damaged_error(
                instance_id, shown, f"request {position!r} in its mailbox is not as it was written"
            )
        request = decode_event(body, number=0)
        if isinstance(request, Request):
            requests.append(request)
    return tuple(requests)


def make_damaged_error(instance_id: str, shown: str, what: str) -> StoreError:
    """The error that what is stored cannot be what was written."""
    return StoreError(
        f"instance {instance_id!r} in store {shown!r} is damaged: {what} (restore a backup; nothing was changed)"
    )


def fold_checked(instance_id: str, row: ColumnValues, events: Sequence[Event], shown: str) -> SagaInstance:
    """The instance, checked against its row.

    Raises:
        StoreError: row and history disagree.
    """
    try:
        instance = fold(None, events)
    except (SagaError, KeyError) as error:
        raise make_damaged_error(instance_id, shown, f"its history cannot be: {error!r}") from error
    told = make_history_row(instance_id, events, changes(events))
    for column, expected in told.items():
        if row[column] != expected:
            what = f"its row says {column} {row[column]!r}, its history {expected!r}"
            raise make_damaged_error(instance_id, shown, what)
    return instance


def read_summary(row: ColumnValues, shown: str) -> Summary:
    """The summary in a row.

    Raises:
        StoreError: a moment in it is none, or its claim is not as it was written.
    """
    check_claim(row, shown)
    try:
        return Summary(
            id=row["id"],
            saga=row["saga"],
            version=row["saga_version"],
            state=row["state"],
            length=row["version"],
            created_at=parse_moment(row["created_at"]),
            updated_at=parse_moment(row["updated_at"]),
            blocked=row["blocked"],
            waiting=bool(row["waiting"]),
            wake_at=parse_moment_or_none(row["wake_at"]),
            owner=read_owner(row),
            token=row["token"],
            lease_until=parse_moment_or_none(row["lease_until"]),
            mail=row["mail"],
        )
    except (ValueError, TypeError) as error:
        raise make_damaged_error(row["id"], shown, f"its row has a moment that is none: {error}") from error


def read_listed_summary(row: ColumnValues, shown: str) -> Summary:
    """The summary for a list: a damaged row does not hide the others, and tells of itself when it is loaded."""
    try:
        return read_summary(row, shown)
    except StoreError:
        known = {name: row[name] for name in ("id", "saga", "state", "blocked", "token", "mail")}
        return Summary(
            **known, version=row["saga_version"], length=row["version"], created_at=UNSTAMPED, updated_at=UNSTAMPED
        )


def read_owner(row: ColumnValues) -> Owner | None:
    """Who owns the instance."""
    return None if row["owner"] is None else Owner(name=row["owner"], process=row["process"] or "")


def make_history_row(instance_id: str, events: Sequence[Event], changed: Changes) -> dict[str, Any]:
    """What a history, and what it changes, say about its instance's row."""
    created = events[0]
    if not isinstance(created, InstanceCreated):
        raise StoreError(f"a history begins with InstanceCreated, not with {created}")
    state = changed.state or "pending"
    return {
        "id": instance_id,
        "saga": created.saga,
        "saga_version": created.version if changed.version is None else changed.version,
        "state": state,
        "unfinished": encode_unfinished(instance_id, state),
        "version": len(events),
        "created_at": format_utc(created.at),
        "updated_at": format_utc(events[-1].at),
        "blocked": changed.blocked,
        "waiting": int(changed.waiting),
        "wake_at": format_utc_or_none(changed.wake_at),
    }


def encode_unfinished(instance_id: str, state: str) -> int:
    """0 at rest, 1 for roots that are not, 2 for nested instances that are not: recovery looks at the roots alone."""
    return 0 if state in AT_REST else 1 + int("/" in instance_id)


def make_claim_row(instance_id: str, token: int, owner: Owner | None, until: datetime | None) -> dict[str, Any]:
    """The rest of the row of a new instance."""
    claim = (None, None, None) if owner is None or until is None else (owner.name, owner.process, format_utc(until))
    named_claim = dict(zip(("owner", "process", "lease_until"), claim, strict=True))
    return {
        **named_claim,
        "token": token,
        "claim_checksum": compute_claim_checksum(instance_id, token, *claim),
        "mail": 0,
    }


def compute_claim_checksum(
    instance_id: str, token: int, owner: str | None = None, process: str | None = None, until: str | None = None
) -> int:
    """The checksum of a claim, or of there being none."""
    return compute_checksum(instance_id, token, "" if owner is None else f"{owner}\0{process}\0{until}")


def check_claim(row: ColumnValues, shown: str) -> None:
    """Make sure that the claim in a row is as it was written.

    Raises:
        StoreError: it is not.
    """
    owner, process, until = (row[name] for name in ("owner", "process", "lease_until"))
    whole = all(
        value is None or (isinstance(value, str) and not _SURROGATE.search(value)) for value in (owner, process)
    )
    if not whole or row["claim_checksum"] != compute_claim_checksum(row["id"], row["token"], owner, process, until):
        raise make_damaged_error(row["id"], shown, "its claim is not as it was written")
