"""Creates and appends: their rows, made before a transaction begins, and what then runs inside it."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from sagafsm.errors import InstanceExists, MailWaits, SagaNotFound, StoreConflict
from sagafsm.history.event_codec import compute_checksum
from sagafsm.history.events import Event, Request
from sagafsm.history.instance import AT_REST
from sagafsm.store import Append, Changes, Create, Write, ancestors, changes, root_of
from sagafsm_adapters.sql.rows import (
    ColumnValues,
    EventValues,
    compute_claim_checksum,
    encode_body,
    encode_unfinished,
    make_claim_row,
    make_event_rows,
    make_history_row,
    name_columns,
    read_owner,
)
from sagafsm_adapters.sql.statements import PositionalStatement, Statements
from sagafsm_adapters.sql.tables import format_utc, format_utc_or_none
from sagafsm_adapters.validation import check_creation, check_numbers, make_appended_since_error, make_claim_lost_error

FIRST_TOKEN_BITS = 40


@attrs.frozen(slots=False)  # quicker to make, as each commit has one
class PreparedCreate:
    """A new instance, ready to be stored; `answer` is its token, `under` that of the root's claim."""

    instance_id: str
    events: Sequence[Event]
    values: tuple[Any, ...]
    rows: list[EventValues]
    answer: int
    absorbs: bool
    under: int | None


@attrs.frozen(slots=False)
class PreparedAppend:
    """An append, ready to be stored; `answer` is the new version."""

    append: Append
    changed: Changes
    named: dict[str, Any]
    rows: list[EventValues]
    answer: int
    absorbs: bool

    @property
    def instance_id(self) -> str:
        """Whose append it is."""
        return self.append.instance_id


PreparedWrite = PreparedCreate | PreparedAppend


@attrs.frozen
class SqlWriter:
    """Runs the statements of creates and appends, each within a transaction of the caller's."""

    sql: Statements
    mailbox: Mailbox
    duplicate_error: type[Exception]
    shown: str

    def prepare_write(self, write: Write) -> PreparedWrite:
        """The write with its rows.

        Raises:
            StoreError: its events do not fit.
        """
        match write:
            case Append():
                return self._prepare_append(write)
            case Create():
                check_creation(write.events, write.instance_id)
                return self.prepare_create(write)

    def prepare_create(self, create: Create) -> PreparedCreate:
        """A new instance with its rows."""
        instance_id, events, lease = create.instance_id, create.events, create.lease
        # Random, so that whoever held a deleted instance of the same id holds nothing of this one.
        token, changed = secrets.randbits(FIRST_TOKEN_BITS) + 1, changes(events)
        until = None if lease is None or changed.releases else compute_lease_end(lease)
        # In this order, so that the text of the events' moment is made once.
        rows = make_event_rows(instance_id, events)
        row = make_history_row(instance_id, events, changed) | make_claim_row(instance_id, token, create.owner, until)
        values = self.sql.insert_instance.values(row)
        return PreparedCreate(instance_id, events, values, rows, token, is_absorbing(events), create.under)

    def _prepare_append(self, append: Append) -> PreparedAppend:
        events, instance_id = append.events, append.instance_id
        check_numbers(instance_id, events, after=append.expected_version)
        changed, version = changes(events), append.expected_version + len(events)
        values = {
            "this": instance_id,
            "expected": append.expected_version,
            "claim": append.token,
            "absorbed": 0,
            "version": version,
            "updated_at": format_utc(events[-1].at),
            "state": changed.state,
            "unfinished": None if changed.state is None else encode_unfinished(instance_id, changed.state),
            "blocked": changed.blocked,
            "waiting": int(changed.waiting),
            "wake_at": format_utc_or_none(changed.wake_at),
            "saga_version": changed.version,
            "new_claim_checksum": compute_claim_checksum(instance_id, append.token) if changed.releases else None,
        }
        return PreparedAppend(
            append, changed, values, make_event_rows(instance_id, events), version, is_absorbing(events)
        )

    def put(self, cursor: Any, ready: PreparedWrite) -> int:
        """Store one write, and return its answer.

        Raises:
            SagaError: it is refused; what it has written until then is to be rolled back.
        """
        if isinstance(ready, PreparedAppend):
            self._append(cursor, ready)
        else:
            self._create(cursor, ready)
        return ready.answer

    def _create(self, cursor: Any, ready: PreparedCreate) -> None:
        if "/" in ready.instance_id:
            self.check_ancestors(cursor, ready)
        try:
            cursor.execute(self.sql.insert_instance.text, ready.values)
        except self.duplicate_error:
            raise InstanceExists(ready.instance_id) from None
        cursor.executemany(self.sql.insert_event.text, ready.rows)
        if ready.absorbs:
            self.mailbox.absorb(cursor, ready.instance_id, ready.events)

    def _append(self, cursor: Any, ready: PreparedAppend) -> None:
        if ready.absorbs:
            append = ready.append
            ready.named["absorbed"] = self.mailbox.absorb(cursor, append.instance_id, append.events)
        if "/" in ready.instance_id:
            self.check_ancestors(cursor, ready)
        if not self._update_row(cursor, ready):
            raise self._explain_refusal(cursor, ready.append)
        cursor.executemany(self.sql.insert_event.text, ready.rows)

    def check_ancestors(self, cursor: Any, ready: PreparedWrite) -> None:
        """Refuse a write in a nested instance while mail waits for one in which it is nested, and what is not owned.

        Raises:
            MailWaits: it does; the error names that one.
            StoreConflict: a creation comes from somebody who has lost the root.
        """
        if isinstance(ready, PreparedCreate) and ready.under is not None:
            lost = find_lost_claim(self.row(cursor, root_of(ready.instance_id)), ready.under)
            if lost is not None:
                raise lost
        for above in ancestors(ready.instance_id):
            row = cursor.execute(self.sql.row, {"this": above}).fetchone()
            if row is not None and name_columns(row)["mail"]:
                raise MailWaits(above)

    def choose_statement(self, ready: PreparedAppend) -> PositionalStatement:
        """The compare-and-set that nearly always is the right one."""
        return self.sql.append(ready.changed, any_rest=ready.changed.state in AT_REST)

    def _update_row(self, cursor: Any, ready: PreparedAppend) -> bool:
        """Move the row on, and say whether it was as expected."""
        moved = _execute(cursor, self.choose_statement(ready), ready.named)
        if not moved and ready.changed.state not in AT_REST:
            # A completed instance is sent back, or the append is refused.
            moved = _execute(cursor, self.sql.append(ready.changed, any_rest=True), ready.named)
        return moved == 1

    def _explain_refusal(self, cursor: Any, append: Append) -> Exception:
        """Why an append touched no row."""
        row = self.row(cursor, append.instance_id)
        lost = find_lost_claim(row, append.token)
        if lost is not None:
            return lost
        if row["version"] != append.expected_version:
            return make_appended_since_error(append.instance_id, row["version"], append.expected_version)
        return MailWaits(append.instance_id)

    def row(self, cursor: Any, instance_id: str) -> ColumnValues:
        """The instance's row.

        Raises:
            SagaNotFound: there is none.
        """
        row = cursor.execute(self.sql.row, {"this": instance_id}).fetchone()
        if row is None:
            raise SagaNotFound(instance_id, self.shown)
        return name_columns(row)


def _execute(cursor: Any, statement: PositionalStatement, values: dict[str, Any]) -> int:
    touched: int = cursor.execute(statement.text, statement.values(values)).rowcount
    return touched


def find_lost_claim(row: ColumnValues, token: int) -> StoreConflict | None:
    """The conflict that ended the claim of `token`, if one did."""
    if row["owner"] is None or row["token"] != token:
        return make_claim_lost_error(row["id"], read_owner(row))
    return None


def compute_lease_end(lease: timedelta) -> datetime:
    """When a lease that begins now ends, in real time: it bounds how long a vanished machine keeps others waiting."""
    return datetime.now(UTC) + lease


@functools.cache
def _has_request_id(kind: type[Event]) -> bool:
    return "request_id" in attrs.fields_dict(kind)


def is_absorbing(events: Sequence[Event]) -> bool:
    """Whether these events take mail out of the mailbox."""
    return any(map(_has_request_id, map(type, events)))


@attrs.frozen
class Mailbox:
    """Runs the statements of the mailbox, each within a transaction of the caller's."""

    sql: Statements

    def absorb(self, cursor: Any, instance_id: str, events: Sequence[Event]) -> int:
        """Take the mail that these events absorb out of the mailbox, and return how much of it there was."""
        absorbed = 0
        for event in events:
            request_id = getattr(event, "request_id", None)
            if request_id is None:
                continue
            values = {"this": instance_id, "request": request_id, "number": event.number}
            taken = cursor.execute(self.sql.absorb, values).rowcount
            if not taken and isinstance(event, Request):
                # It was never posted: known from now on all the same, should somebody post it.
                self.keep(cursor, instance_id, event, absorbed_by=event.number)
            absorbed += taken
        return absorbed

    def keep(self, cursor: Any, instance_id: str, request: Request, *, absorbed_by: int | None) -> bool:
        """Keep a request, and say whether it was new."""
        asked = {"this": instance_id, "request": request.request_id}
        count, known = cursor.execute(self.sql.mail_known, asked).fetchone()
        if known:
            return False
        body = encode_body(request)
        values = {
            "instance_id": instance_id,
            "position": count + 1,
            "request_id": request.request_id,
            "body": body,
            "checksum": compute_checksum(instance_id, count + 1, body),
            "absorbed_by": absorbed_by,
        }
        cursor.execute(self.sql.insert_mail, values)
        return True
