"""A store in an SQL database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sagafsm.history.events import BlockReason, Event, Request
from sagafsm.history.instance import AT_REST
from sagafsm.store import Append, Create, Owner, Stored, Summary, Write
from sagafsm.value import replace
from sagafsm_adapters.sql.connections import Connections
from sagafsm_adapters.sql.group_commit import GroupCommit
from sagafsm_adapters.sql.rows import (
    ColumnValues,
    check_claim,
    compute_claim_checksum,
    fold_checked,
    make_claim_row,
    make_damaged_error,
    name_columns,
    read_events,
    read_listed_summary,
    read_mail,
    read_owner,
    read_summary,
)
from sagafsm_adapters.sql.sqlite import Sqlite
from sagafsm_adapters.sql.statements import Statements, build_find_query
from sagafsm_adapters.sql.tables import format_utc, prepare_schema
from sagafsm_adapters.sql.writes import Mailbox, PreparedWrite, SqlWriter, compute_lease_end, find_lost_claim
from sagafsm_adapters.validation import check_deletable, check_history, make_owned_error, make_too_late_error


class SqlStore:
    """A `Store` on SQLite: write-ahead log, `synchronous=FULL`, one connection a thread.

    Several processes of one machine may use the same file. What a method has returned from is on the disk, and
    survives a crash of the process and of the machine; with "?synchronous=NORMAL" in the URL, of the process only.
    """

    def __init__(self, url: str) -> None:
        database = Sqlite.from_url(url)
        self.url = database.shown
        self._connections = Connections(database)
        self._sql = Statements.compile_for(database.dialect)
        self._writing = SqlWriter(self._sql, Mailbox(self._sql), database.duplicate_error, database.shown)
        self._group = GroupCommit(self._connections, self._writing)
        try:
            prepare_schema(self._connections)
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
        self,
        instance_id: str,
        events: Sequence[Event],
        *,
        owner: Owner | None = None,
        lease: timedelta | None = None,
        under: int | None = None,
    ) -> int:
        """See `Store.create`."""
        create = Create(instance_id=instance_id, events=events, owner=owner, lease=lease, under=under)
        return self._write_one(self._writing.prepare_write(create))

    def append(self, instance_id: str, events: Sequence[Event], *, expected_version: int, token: int) -> int:
        """See `Store.append`."""
        append = Append(instance_id=instance_id, events=events, expected_version=expected_version, token=token)
        return self._write_one(self._writing.prepare_write(append))

    def write(self, writes: Sequence[Write]) -> Sequence[int | Exception]:
        """See `Store.write`."""
        return self._group.write(writes)

    def import_(self, events: Sequence[Event]) -> None:
        """See `Store.import_`."""
        self._write_one(self._writing.prepare_create(Create(instance_id=check_history(events).id, events=events)))

    def _write_one(self, ready: PreparedWrite) -> int:
        with self._connections.writing() as cursor:
            return self._writing.put(cursor, ready)

    def delete(self, instance_id: str) -> None:
        """See `Store.delete`."""
        with self._connections.writing() as cursor:
            row = self._read_row(cursor, instance_id)
            check_deletable(instance_id, row["state"])
            # '0' follows '/', so that between the two lie the instances nested in this one, and no others.
            values = {"this": instance_id, "first": f"{instance_id}/", "last": f"{instance_id}0"}
            for statement in self._sql.deletes:
                cursor.execute(statement, values)

    # Owning -----------------------------------------------------------------------------------------------------------

    def claim(self, instance_id: str, *, owner: Owner, lease: timedelta, replacing: int | None = None) -> int:
        """See `Store.claim`."""
        with self._connections.writing() as cursor:
            row = self._read_row(cursor, instance_id)
            check_claim(row, self.url)
            holder, token = read_owner(row), row["token"]
            now = format_utc(datetime.now(UTC))
            if holder is not None and (row["lease_until"] or "") > now and token != replacing:
                raise make_owned_error(instance_id, holder)
            claim = make_claim_row(instance_id, token + 1, owner, compute_lease_end(lease))
            values = {f"new_{name}": value for name, value in claim.items() if name != "mail"}
            cursor.execute(self._sql.claim, values | {"this": instance_id})
        return int(token) + 1

    def renew(self, instance_id: str, *, token: int, lease: timedelta) -> None:
        """See `Store.renew`."""
        with self._connections.writing() as cursor:
            row = self._read_row(cursor, instance_id)
            lost = find_lost_claim(row, token)
            if lost is not None:
                raise lost
            check_claim(row, self.url)
            claim = make_claim_row(instance_id, token, read_owner(row), compute_lease_end(lease))
            values = {f"new_{name}": claim[name] for name in ("lease_until", "claim_checksum")}
            cursor.execute(self._sql.renew, values | {"this": instance_id, "claim": token})

    def release(self, instance_id: str, *, token: int) -> None:
        """See `Store.release`."""
        with self._connections.writing() as cursor:
            values = {
                "this": instance_id,
                "claim": token,
                "new_claim_checksum": compute_claim_checksum(instance_id, token),
            }
            if cursor.execute(self._sql.release, values).rowcount != 1:
                self._read_row(cursor, instance_id)

    # Requests ---------------------------------------------------------------------------------------------------------

    def post(self, instance_id: str, request: Request) -> None:
        """See `Store.post`."""
        with self._connections.writing() as cursor:
            row = self._read_row(cursor, instance_id)
            if not self._writing.mailbox.keep(cursor, instance_id, request, absorbed_by=None):
                return
            if row["state"] in AT_REST:
                raise make_too_late_error(instance_id, row["state"], request)
            cursor.execute(self._sql.add_mail, {"this": instance_id})

    def mail(self, instance_id: str) -> tuple[Request, ...]:
        """See `Store.mail`."""
        with self._connections.reading() as cursor:
            row = self._read_row(cursor, instance_id)
            rows = cursor.execute(self._sql.mail, {"this": instance_id}).fetchall()
        if len(rows) != row["mail"]:
            # An append would be refused for mail that nobody can read, and its driver would look again and again.
            raise make_damaged_error(
                instance_id, self.url, f"its row says {row['mail']!r} requests, its mailbox has {len(rows)}"
            )
        return read_mail(instance_id, rows, self.url)

    # Reading ----------------------------------------------------------------------------------------------------------

    def _read_row(self, cursor: Any, instance_id: str) -> ColumnValues:
        return self._writing.row(cursor, instance_id)

    def _read(self, instance_id: str) -> tuple[ColumnValues, tuple[Event, ...]]:
        with self._connections.reading() as cursor:
            row = self._read_row(cursor, instance_id)
            rows = cursor.execute(self._sql.events, {"this": instance_id}).fetchall()
        return row, read_events(instance_id, rows, row["version"], self.url)

    def load(self, instance_id: str) -> Stored:
        """See `Store.load`."""
        row, events = self._read(instance_id)
        instance = fold_checked(instance_id, row, events, self.url)
        return Stored(instance=replace(instance, owner=row["owner"]), summary=read_summary(row, self.url))

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
        page = build_find_query(
            saga=saga, state=state, blocked=blocked, updated_before=updated_before, due=due, after=after, limit=limit
        ).compile(dialect=self._connections.database.dialect)
        with self._connections.reading() as cursor:
            rows = cursor.execute(str(page), page.params).fetchall()
        return tuple(read_listed_summary(name_columns(row), self.url) for row in rows)
