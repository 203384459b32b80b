"""A store in an SQL database."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from sagafsm.codec import checksum
from sagafsm.errors import IllegalTransition, InstanceExists, MailWaits, SagaNotFound
from sagafsm.events import BlockReason, Event, Request
from sagafsm.instance import AT_REST
from sagafsm.store import Changes, Owner, Stored, Summary, changes
from sagafsm.values import replace
from sagafsm_adapters.refusals import appended_since, check_creation, check_history, check_numbers, claim_lost, owned
from sagafsm_adapters.sql import schema
from sagafsm_adapters.sql.connections import Connections
from sagafsm_adapters.sql.finding import query
from sagafsm_adapters.sql.rows import (
    Row,
    body_of,
    claim_row,
    damaged,
    event_rows,
    folded,
    history_row,
    listed_summary,
    named,
    owner_of,
    read_events,
    read_mail,
    summary_of,
    unfinished,
)
from sagafsm_adapters.sql.sqlite import Sqlite
from sagafsm_adapters.sql.statements import Statements
from sagafsm_adapters.sql.tables import as_text, as_text_or_none

FIRST_TOKEN_BITS = 40


class SqlStore:
    """A `Store` on SQLite: write-ahead log, `synchronous=FULL`, one connection a thread.

    Several processes of one machine may use the same file. What a method has returned from is on the disk, and
    survives a crash of the process and of the machine; with "?synchronous=NORMAL" in the URL, of the process only.
    """

    def __init__(self, url: str) -> None:
        database = Sqlite.from_url(url)
        self.url = database.shown
        self._connections = Connections(database)
        self._sql = Statements.compiled(database.dialect)
        try:
            schema.prepare(self._connections)
        except BaseException:
            self.close()
            raise

    @classmethod
    def from_url(cls, url: str) -> SqlStore:
        """The store that a URL names; its tables are created where there are none."""
        return cls(url)

    def close(self) -> None:
        """See `Store.close`."""
        self._connections.close()

    # Writing ----------------------------------------------------------------------------------------------------------

    def create(
        self, instance_id: str, events: Sequence[Event], *, owner: Owner | None = None, lease: timedelta | None = None
    ) -> int:
        """See `Store.create`."""
        check_creation(events, instance_id)
        until = None if lease is None or changes(events).releases else _from_now(lease)
        return self._insert(instance_id, events, owner, until)

    def import_(self, events: Sequence[Event]) -> None:
        """See `Store.import_`."""
        self._insert(check_history(events).id, events, None, None)

    def _insert(
        self, instance_id: str, events: Sequence[Event], owner: Owner | None, lease_until: datetime | None
    ) -> int:
        # Random, so that whoever held a deleted instance of the same id holds nothing of this one.
        token = secrets.randbits(FIRST_TOKEN_BITS) + 1
        row = history_row(instance_id, events) | claim_row(token, owner, lease_until)
        rows = event_rows(instance_id, events)
        with self._connections.writing() as cursor:
            try:
                cursor.execute(self._sql.insert_instance, row)
            except self._connections.database.is_taken:
                raise InstanceExists(instance_id) from None
            cursor.executemany(self._sql.insert_event, rows)
            self._absorb(cursor, instance_id, events)
        return token

    def append(self, instance_id: str, events: Sequence[Event], *, expected_version: int, token: int) -> int:
        """See `Store.append`."""
        check_numbers(instance_id, events, after=expected_version)
        changed, version = changes(events), expected_version + len(events)
        rows = event_rows(instance_id, events)
        values = {
            "this": instance_id,
            "expected": expected_version,
            "claim": token,
            "version": version,
            "updated_at": as_text(events[-1].at),
            "state": changed.state,
            "unfinished": None if changed.state is None else unfinished(instance_id, changed.state),
            "blocked": changed.blocked,
            "waiting": int(changed.waiting),
            "wake_at": as_text_or_none(changed.wake_at),
            "saga_version": changed.version,
        }
        with self._connections.writing() as cursor:
            values["absorbed"] = self._absorb(cursor, instance_id, events)
            if not self._move(cursor, changed, values):
                self._refuse(cursor, instance_id, expected_version, token)
            cursor.executemany(self._sql.insert_event, rows)
        return version

    def _move(self, cursor: Any, changed: Changes, values: dict[str, Any]) -> bool:
        """Move the row on, and say whether it was as expected."""
        ends = changed.state in AT_REST
        moved: int = cursor.execute(self._sql.append(changed, any_rest=ends), values).rowcount
        if not moved and not ends:
            # A completed instance is sent back, or the append is refused.
            moved = cursor.execute(self._sql.append(changed, any_rest=True), values).rowcount
        return moved == 1

    def _absorb(self, cursor: Any, instance_id: str, events: Sequence[Event]) -> int:
        """Take the mail that these events absorb out of the mailbox, and return how much of it there was."""
        absorbed = 0
        for event in events:
            request_id = getattr(event, "request_id", None)
            if request_id is None:
                continue
            values = {"this": instance_id, "request": request_id, "number": event.number}
            taken = cursor.execute(self._sql.absorb, values).rowcount
            if not taken and isinstance(event, Request):
                # It was never posted: known from now on all the same, should somebody post it.
                self._insert_mail(cursor, instance_id, event, absorbed_by=event.number)
            absorbed += taken
        return absorbed

    def _refuse(self, cursor: Any, instance_id: str, expected: int, token: int) -> NoReturn:
        """Say why an append touched no row."""
        row = self._row(cursor, instance_id)
        _check_claim(row, token)
        if row["version"] != expected:
            raise appended_since(instance_id, row["version"], expected)
        raise MailWaits(instance_id)

    def delete(self, instance_id: str) -> None:
        """See `Store.delete`."""
        with self._connections.writing() as cursor:
            row = self._row(cursor, instance_id)
            if row["state"] not in AT_REST:
                raise IllegalTransition(instance_id, row["state"], "delete", ("abandon",))
            # '0' follows '/', so that between the two lie the instances nested in this one, and no others.
            values = {"this": instance_id, "first": f"{instance_id}/", "last": f"{instance_id}0"}
            for statement in self._sql.deletes:
                cursor.execute(statement, values)

    # Owning -----------------------------------------------------------------------------------------------------------

    def claim(self, instance_id: str, *, owner: Owner, lease: timedelta, replacing: int | None = None) -> int:
        """See `Store.claim`."""
        with self._connections.writing() as cursor:
            row = self._row(cursor, instance_id)
            holder, token = owner_of(row), row["token"]
            now = as_text(datetime.now(UTC))
            if holder is not None and (row["lease_until"] or "") > now and token != replacing:
                raise owned(instance_id, holder)
            values = {
                "this": instance_id,
                "new_owner": owner.name,
                "new_process": owner.process,
                "new_token": token + 1,
                "new_lease_until": as_text(_from_now(lease)),
            }
            cursor.execute(self._sql.claim, values)
        return int(token) + 1

    def renew(self, instance_id: str, *, token: int, lease: timedelta) -> None:
        """See `Store.renew`."""
        with self._connections.writing() as cursor:
            values = {"this": instance_id, "claim": token, "until": as_text(_from_now(lease))}
            if cursor.execute(self._sql.renew, values).rowcount != 1:
                _check_claim(self._row(cursor, instance_id), token)

    def release(self, instance_id: str, *, token: int) -> None:
        """See `Store.release`."""
        with self._connections.writing() as cursor:
            if cursor.execute(self._sql.release, {"this": instance_id, "claim": token}).rowcount != 1:
                self._row(cursor, instance_id)

    # Requests ---------------------------------------------------------------------------------------------------------

    def post(self, instance_id: str, request: Request) -> None:
        """See `Store.post`."""
        with self._connections.writing() as cursor:
            row = self._row(cursor, instance_id)
            if not self._insert_mail(cursor, instance_id, request, absorbed_by=None):
                return
            if row["state"] in AT_REST:
                raise IllegalTransition(instance_id, row["state"], "cancel", ())
            cursor.execute(self._sql.add_mail, {"this": instance_id})

    def _insert_mail(self, cursor: Any, instance_id: str, request: Request, *, absorbed_by: int | None) -> bool:
        """Keep a request, and say whether it was new."""
        asked = {"this": instance_id, "request": request.request_id}
        count, known = cursor.execute(self._sql.mail_known, asked).fetchone()
        if known:
            return False
        body = body_of(request)
        values = {
            "instance_id": instance_id,
            "position": count + 1,
            "request_id": request.request_id,
            "body": body,
            "checksum": checksum(instance_id, count + 1, body),
            "absorbed_by": absorbed_by,
        }
        cursor.execute(self._sql.insert_mail, values)
        return True

    def mail(self, instance_id: str) -> tuple[Request, ...]:
        """See `Store.mail`."""
        with self._connections.reading() as cursor:
            row = self._row(cursor, instance_id)
            rows = cursor.execute(self._sql.mail, {"this": instance_id}).fetchall()
        if len(rows) != row["mail"]:
            # An append would be refused for mail that nobody can read, and its driver would look again and again.
            raise damaged(instance_id, self.url, f"its row says {row['mail']!r} requests, its mailbox has {len(rows)}")
        return read_mail(instance_id, rows, self.url)

    # Reading ----------------------------------------------------------------------------------------------------------

    def _row(self, cursor: Any, instance_id: str) -> Row:
        row = cursor.execute(self._sql.row, {"this": instance_id}).fetchone()
        if row is None:
            raise SagaNotFound(instance_id, self.url)
        return named(row)

    def _read(self, instance_id: str) -> tuple[Row, tuple[Event, ...]]:
        with self._connections.reading() as cursor:
            row = self._row(cursor, instance_id)
            rows = cursor.execute(self._sql.events, {"this": instance_id}).fetchall()
        return row, read_events(instance_id, rows, row["version"], self.url)

    def load(self, instance_id: str) -> Stored:
        """See `Store.load`."""
        row, events = self._read(instance_id)
        instance = folded(instance_id, row, events, self.url)
        return Stored(instance=replace(instance, owner=row["owner"]), summary=summary_of(row, self.url))

    def history(self, instance_id: str) -> tuple[Event, ...]:
        """See `Store.history`."""
        return self._read(instance_id)[1]

    def find(
        self,
        *,
        saga: str | None = None,
        state: str | None = None,
        blocked: bool | BlockReason | None = None,
        updated_before: datetime | None = None,
        due: datetime | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[Summary]:
        """See `Store.find`."""
        page = query(
            saga=saga, state=state, blocked=blocked, updated_before=updated_before, due=due, after=after, limit=limit
        ).compile(dialect=self._connections.database.dialect)
        with self._connections.reading() as cursor:
            rows = cursor.execute(str(page), page.params).fetchall()
        return tuple(listed_summary(named(row), self.url) for row in rows)


def _check_claim(row: Row, token: int) -> None:
    if row["owner"] is None or row["token"] != token:
        raise claim_lost(row["id"], owner_of(row))


def _from_now(lease: timedelta) -> datetime:
    # Leases are real time: they bound how long a machine that has vanished keeps others waiting.
    return datetime.now(UTC) + lease
