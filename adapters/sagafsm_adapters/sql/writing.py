"""Creates and appends: their rows, made before a transaction begins, and what then runs inside it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from sagafsm.errors import InstanceExists, MailWaits, SagaNotFound, StoreConflict
from sagafsm.events import Event
from sagafsm.instance import AT_REST
from sagafsm.store import Append, Changes, Create, Write, ancestors, changes, root_of
from sagafsm_adapters.refusals import appended_since, check_creation, check_numbers, claim_lost
from sagafsm_adapters.sql.mailbox import Mailbox, is_absorbing
from sagafsm_adapters.sql.rows import (
    EventRow,
    Row,
    claim_checksum,
    claim_row,
    event_rows,
    history_row,
    named,
    owner_of,
    unfinished,
)
from sagafsm_adapters.sql.statements import Placed, Statements
from sagafsm_adapters.sql.tables import as_text, as_text_or_none

FIRST_TOKEN_BITS = 40


@attrs.frozen(slots=False)  # quicker to make, as each commit has one
class Creation:
    """A new instance, ready to be stored; `answer` is its token, `under` that of the root's claim."""

    instance_id: str
    events: Sequence[Event]
    values: tuple[Any, ...]
    rows: list[EventRow]
    answer: int
    absorbs: bool
    under: int | None


@attrs.frozen(slots=False)
class Growth:
    """An append, ready to be stored; `answer` is the new version."""

    append: Append
    changed: Changes
    named: dict[str, Any]
    rows: list[EventRow]
    answer: int
    absorbs: bool

    @property
    def instance_id(self) -> str:
        """Whose append it is."""
        return self.append.instance_id


Ready = Creation | Growth


@attrs.frozen
class Writing:
    """Runs the statements of creates and appends, each within a transaction of the caller's."""

    sql: Statements
    mailbox: Mailbox
    is_taken: type[Exception]
    shown: str

    def ready(self, write: Write) -> Ready:
        """The write with its rows.

        Raises:
            StoreError: its events do not fit.
        """
        match write:
            case Append():
                return self._growth(write)
            case Create():
                check_creation(write.events, write.instance_id)
                return self.creation(write)

    def creation(self, create: Create) -> Creation:
        """A new instance with its rows."""
        instance_id, events, lease = create.instance_id, create.events, create.lease
        # Random, so that whoever held a deleted instance of the same id holds nothing of this one.
        token, changed = secrets.randbits(FIRST_TOKEN_BITS) + 1, changes(events)
        until = None if lease is None or changed.releases else from_now(lease)
        # In this order, so that the text of the events' moment is made once.
        rows = event_rows(instance_id, events)
        row = history_row(instance_id, events, changed) | claim_row(instance_id, token, create.owner, until)
        values = self.sql.insert_instance.values(row)
        return Creation(instance_id, events, values, rows, token, is_absorbing(events), create.under)

    def _growth(self, append: Append) -> Growth:
        events, instance_id = append.events, append.instance_id
        check_numbers(instance_id, events, after=append.expected_version)
        changed, version = changes(events), append.expected_version + len(events)
        values = {
            "this": instance_id,
            "expected": append.expected_version,
            "claim": append.token,
            "absorbed": 0,
            "version": version,
            "updated_at": as_text(events[-1].at),
            "state": changed.state,
            "unfinished": None if changed.state is None else unfinished(instance_id, changed.state),
            "blocked": changed.blocked,
            "waiting": int(changed.waiting),
            "wake_at": as_text_or_none(changed.wake_at),
            "saga_version": changed.version,
            "new_claim_checksum": claim_checksum(instance_id, append.token) if changed.releases else None,
        }
        return Growth(append, changed, values, event_rows(instance_id, events), version, is_absorbing(events))

    def put(self, cursor: Any, ready: Ready) -> int:
        """Store one write, and return its answer.

        Raises:
            SagaError: it is refused; what it has written until then is to be rolled back.
        """
        if isinstance(ready, Growth):
            self._grow(cursor, ready)
        else:
            self._create(cursor, ready)
        return ready.answer

    def _create(self, cursor: Any, ready: Creation) -> None:
        if "/" in ready.instance_id:
            self.check_above(cursor, ready)
        try:
            cursor.execute(self.sql.insert_instance.text, ready.values)
        except self.is_taken:
            raise InstanceExists(ready.instance_id) from None
        cursor.executemany(self.sql.insert_event.text, ready.rows)
        if ready.absorbs:
            self.mailbox.absorb(cursor, ready.instance_id, ready.events)

    def _grow(self, cursor: Any, ready: Growth) -> None:
        if ready.absorbs:
            append = ready.append
            ready.named["absorbed"] = self.mailbox.absorb(cursor, append.instance_id, append.events)
        if "/" in ready.instance_id:
            self.check_above(cursor, ready)
        if not self._move(cursor, ready):
            raise self._refusal(cursor, ready.append)
        cursor.executemany(self.sql.insert_event.text, ready.rows)

    def check_above(self, cursor: Any, ready: Ready) -> None:
        """Refuse a write in a nested instance while mail waits for one in which it is nested, and what is not owned.

        Raises:
            MailWaits: it does; the error names that one.
            StoreConflict: a creation comes from somebody who has lost the root.
        """
        if isinstance(ready, Creation) and ready.under is not None:
            lost = lost_claim(self.row(cursor, root_of(ready.instance_id)), ready.under)
            if lost is not None:
                raise lost
        for above in ancestors(ready.instance_id):
            row = cursor.execute(self.sql.row, {"this": above}).fetchone()
            if row is not None and named(row)["mail"]:
                raise MailWaits(above)

    def statement(self, ready: Growth) -> Placed:
        """The compare-and-set that nearly always is the right one."""
        return self.sql.append(ready.changed, any_rest=ready.changed.state in AT_REST)

    def _move(self, cursor: Any, ready: Growth) -> bool:
        """Move the row on, and say whether it was as expected."""
        moved = _run(cursor, self.statement(ready), ready.named)
        if not moved and ready.changed.state not in AT_REST:
            # A completed instance is sent back, or the append is refused.
            moved = _run(cursor, self.sql.append(ready.changed, any_rest=True), ready.named)
        return moved == 1

    def _refusal(self, cursor: Any, append: Append) -> Exception:
        """Why an append touched no row."""
        row = self.row(cursor, append.instance_id)
        lost = lost_claim(row, append.token)
        if lost is not None:
            return lost
        if row["version"] != append.expected_version:
            return appended_since(append.instance_id, row["version"], append.expected_version)
        return MailWaits(append.instance_id)

    def row(self, cursor: Any, instance_id: str) -> Row:
        """The instance's row.

        Raises:
            SagaNotFound: there is none.
        """
        row = cursor.execute(self.sql.row, {"this": instance_id}).fetchone()
        if row is None:
            raise SagaNotFound(instance_id, self.shown)
        return named(row)


def _run(cursor: Any, statement: Placed, values: dict[str, Any]) -> int:
    touched: int = cursor.execute(statement.text, statement.values(values)).rowcount
    return touched


def lost_claim(row: Row, token: int) -> StoreConflict | None:
    """The conflict that ended the claim of `token`, if one did."""
    if row["owner"] is None or row["token"] != token:
        return claim_lost(row["id"], owner_of(row))
    return None


def from_now(lease: timedelta) -> datetime:
    """When a lease that begins now ends, in real time: it bounds how long a vanished machine keeps others waiting."""
    return datetime.now(UTC) + lease
