"""A store in an SQL database."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from sqlalchemy import Connection, and_, delete, insert, or_, select
from sqlalchemy.exc import IntegrityError

from sagafsm.codec import decode_event, encode_event
from sagafsm.errors import (
    IllegalTransition,
    InstanceExists,
    MailWaits,
    SagaError,
    SagaNotFound,
    StoreConflict,
    StoreError,
)
from sagafsm.events import BlockReason, Event, InstanceCreated, Request
from sagafsm.instance import AT_REST, SagaInstance, fold
from sagafsm.store import Owner, Stored, Summary, changes
from sagafsm.values import replace
from sagafsm_adapters.sql import sqlite
from sagafsm_adapters.sql.connections import Connections
from sagafsm_adapters.sql.rows import event_rows, folded, instance_row, read_events, summary_of
from sagafsm_adapters.sql.statements import Statements
from sagafsm_adapters.sql.tables import EVENTS, INSTANCES, MAIL, SCHEMA, SCHEMA_VERSION, Base, as_text, as_text_or_none

FIRST_TOKEN_BITS = 40


class SqlStore:
    """A `Store` on SQLite: write-ahead log, `synchronous=FULL`, one connection a thread.

    Several processes of one machine may use the same file. What a method has returned from is on the disk, and
    survives a crash of the process and of the machine; with "?synchronous=NORMAL" in the URL, of the process only.
    """

    def __init__(self, url: str) -> None:
        self._settings = sqlite.parse(url)
        self.url = self._settings.shown
        self._connections = Connections(sqlite.engine_of(self._settings), self._settings)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise
        self._sql = Statements.compiled(self._connections.engine.dialect)  # type: ignore[arg-type]

    @classmethod
    def from_url(cls, url: str) -> SqlStore:
        """The store that a URL names; its tables are created where there are none."""
        return cls(url)

    def _prepare(self) -> None:
        if self._schema_version() is None:
            with self._connections.transaction(sqlite.BEGIN_WRITE) as connection:
                if not self._has_schema(connection):
                    Base.metadata.create_all(connection)
                    connection.execute(insert(SCHEMA).values(version=SCHEMA_VERSION))
        version = self._schema_version()
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"store {self.url!r} has schema {version}, this sagafsm knows {SCHEMA_VERSION}: "
                f"a newer sagafsm wrote it (upgrade sagafsm; nothing was changed)"
            )

    def _schema_version(self) -> int | None:
        with self._connections.transaction(sqlite.BEGIN_READ) as connection:
            return connection.execute(select(SCHEMA.c.version)).scalar() if self._has_schema(connection) else None

    def _has_schema(self, connection: Connection) -> bool:
        return self._connections.engine.dialect.has_table(connection, SCHEMA.name)

    def close(self) -> None:
        """See `Store.close`."""
        self._connections.close()

    # Writing ----------------------------------------------------------------------------------------------------------

    def create(
        self, instance_id: str, events: Sequence[Event], *, owner: Owner | None = None, lease: timedelta | None = None
    ) -> int:
        """See `Store.create`."""
        return self._insert(instance_id, fold(None, events), owner=owner, lease=lease)

    def import_(self, events: Sequence[Event]) -> None:
        """See `Store.import_`."""
        if not events or not isinstance(events[0], InstanceCreated):
            raise StoreError("a history to import begins with InstanceCreated")
        try:
            instance = fold(None, events)
        except SagaError as error:
            raise StoreError(f"a history to import has its numbers wrong: {error}") from error
        self._insert(instance.id, instance, owner=None, lease=None)

    def _insert(self, instance_id: str, instance: SagaInstance, *, owner: Owner | None, lease: timedelta | None) -> int:
        claimed = None if changes(instance.history).releases else owner
        # Random, so that whoever held a deleted instance of the same id holds nothing of this one.
        token = secrets.randbits(FIRST_TOKEN_BITS) + 1
        until = None if claimed is None or lease is None else _until(lease)
        row = instance_row(instance, token=token, owner=claimed, lease_until=until)
        with self._connections.transaction(sqlite.BEGIN_WRITE) as connection:
            try:
                self._sql.insert_instance.run(connection, **row)
            except IntegrityError:
                raise InstanceExists(instance_id) from None
            self._sql.insert_event.run_many(connection, event_rows(instance_id, instance.history))
        return token

    def append(self, instance_id: str, events: Sequence[Event], *, expected_version: int, token: int) -> int:
        """See `Store.append`."""
        changed, rows = changes(events), event_rows(instance_id, events)
        version, last = expected_version + len(events), events[-1]
        statement = self._sql.append[changed.parking, changed.releases]
        with self._connections.transaction(sqlite.BEGIN_WRITE) as connection:
            found = statement.run(
                connection,
                this=instance_id,
                expected=expected_version,
                claim=token,
                absorbed=self._absorb(connection, instance_id, events),
                version=version,
                updated_at=as_text(last.at),
                state=changed.state,
                unfinished=None if changed.state is None else int(changed.state not in AT_REST),
                blocked=changed.blocked,
                wake_at=as_text_or_none(changed.wake_at),
            )
            if found.rowcount != 1:
                self._refuse(connection, instance_id, expected_version, token)
            self._sql.insert_event.run_many(connection, rows)
        return version

    def _absorb(self, connection: Connection, instance_id: str, events: Sequence[Event]) -> int:
        absorbed = 0
        for event in events:
            request_id = getattr(event, "request_id", None)
            if request_id is not None:
                done = self._sql.absorb.run(connection, this=instance_id, request=request_id, number=event.number)
                absorbed += done.rowcount
        return absorbed

    def _refuse(self, connection: Connection, instance_id: str, expected: int, token: int) -> NoReturn:
        """Say why an append touched no row."""
        row = self._row(connection, instance_id)
        self._check_claim(row, token)
        if row.version != expected:
            raise StoreConflict(
                f"instance {instance_id!r} has {row.version} events, not {expected}: somebody else appended"
            )
        raise MailWaits(instance_id)

    def _check_claim(self, row: Any, token: int) -> None:
        if row.owner is None or row.token != token:
            holder = "nobody" if row.owner is None else repr(row.owner)
            raise StoreConflict(f"instance {row.id!r} is owned by {holder} now, the claim was lost")

    def delete(self, instance_id: str) -> None:
        """See `Store.delete`."""
        with self._connections.transaction(sqlite.BEGIN_WRITE) as connection:
            row = self._row(connection, instance_id)
            if row.state not in AT_REST:
                raise IllegalTransition(instance_id, row.state, "delete", ("abandon",))
            connection.execute(delete(MAIL).where(MAIL.c.instance_id == instance_id))
            connection.execute(delete(EVENTS).where(EVENTS.c.instance_id == instance_id))
            connection.execute(delete(INSTANCES).where(INSTANCES.c.id == instance_id))

    # Owning -----------------------------------------------------------------------------------------------------------

    def claim(self, instance_id: str, *, owner: Owner, lease: timedelta, replacing: int | None = None) -> int:
        """See `Store.claim`."""
        with self._connections.transaction(sqlite.BEGIN_WRITE) as connection:
            row = self._row(connection, instance_id)
            held = row.owner is not None and row.lease_until is not None and row.lease_until > _until(timedelta(0))
            if held and row.token != replacing:
                raise StoreConflict(f"instance {instance_id!r} is owned by {row.owner!r}")
            token = int(row.token) + 1
            self._sql.claim.run(
                connection,
                this=instance_id,
                new_owner=owner.name,
                new_process=owner.process,
                new_token=token,
                new_lease_until=_until(lease),
            )
        return token

    def renew(self, instance_id: str, *, token: int, lease: timedelta) -> None:
        """See `Store.renew`."""
        with self._connections.transaction(sqlite.BEGIN_WRITE) as connection:
            done = self._sql.renew.run(connection, this=instance_id, claim=token, until=_until(lease))
            if done.rowcount != 1:
                self._check_claim(self._row(connection, instance_id), token)

    def release(self, instance_id: str, *, token: int) -> None:
        """See `Store.release`."""
        with self._connections.transaction(sqlite.BEGIN_WRITE) as connection:
            done = self._sql.release.run(connection, this=instance_id, claim=token)
            if done.rowcount != 1:
                self._row(connection, instance_id)

    # Requests ---------------------------------------------------------------------------------------------------------

    def post(self, instance_id: str, request: Request) -> None:
        """See `Store.post`."""
        with self._connections.transaction(sqlite.BEGIN_WRITE) as connection:
            row = self._row(connection, instance_id)
            known = self._sql.mail_known.run(connection, this=instance_id, request=request.request_id).one()
            if known[1]:
                return
            if row.state in AT_REST:
                raise IllegalTransition(instance_id, row.state, "post", ())
            self._sql.insert_mail.run(
                connection,
                instance_id=instance_id,
                position=known[0] + 1,
                request_id=request.request_id,
                body=encode_event(request),
                absorbed_by=None,
            )
            self._sql.count_mail.run(connection, this=instance_id)

    def mail(self, instance_id: str) -> tuple[Request, ...]:
        """See `Store.mail`."""
        with self._connections.transaction(sqlite.BEGIN_READ) as connection:
            self._row(connection, instance_id)
            bodies = self._sql.mail.run(connection, this=instance_id).scalars().all()
        found = (decode_event(body, number=0) for body in bodies)
        return tuple(request for request in found if isinstance(request, Request))

    # Reading ----------------------------------------------------------------------------------------------------------

    def _row(self, connection: Connection, instance_id: str) -> Any:
        row = self._sql.row.run(connection, this=instance_id).first()
        if row is None:
            raise SagaNotFound(instance_id, self.url)
        return row

    def load(self, instance_id: str) -> Stored:
        """See `Store.load`."""
        with self._connections.transaction(sqlite.BEGIN_READ) as connection:
            row = self._row(connection, instance_id)
            rows = self._sql.events.run(connection, this=instance_id).all()
        instance = folded(instance_id, row, read_events(instance_id, rows, self.url), self.url)
        return Stored(instance=replace(instance, owner=row.owner), summary=summary_of(row))

    def history(self, instance_id: str) -> tuple[Event, ...]:
        """See `Store.history`."""
        return self.load(instance_id).instance.history

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
        this = INSTANCES.c
        conditions: list[Any] = [] if saga is None else [this.saga == saga]
        conditions += [] if after is None else [this.id > after]
        conditions += [] if updated_before is None else [this.updated_at < as_text(updated_before)]
        conditions += [] if state is None else _in_state(state)
        conditions += [] if blocked is None else _is_blocked(blocked)
        conditions += [] if due is None else _is_due(as_text(due))
        query = select(INSTANCES).where(*conditions).order_by(this.id).limit(limit)
        with self._connections.transaction(sqlite.BEGIN_READ) as connection:
            return [summary_of(row) for row in connection.execute(query)]


# `unfinished` stands in each condition that implies it: its index then keeps what is at rest out of the search.
def _in_state(state: str) -> list[Any]:
    matches = or_(INSTANCES.c.state == state, INSTANCES.c.state.startswith(f"{state}:", autoescape=True))
    return [matches, INSTANCES.c.unfinished == int(state not in AT_REST)]


def _is_blocked(blocked: bool | BlockReason) -> list[Any]:
    if blocked is False:
        return [INSTANCES.c.blocked.is_(None)]
    matches = INSTANCES.c.blocked.is_not(None) if blocked is True else INSTANCES.c.blocked == blocked
    return [matches, INSTANCES.c.unfinished == 1]


def _is_due(now: str) -> list[Any]:
    awake = or_(INSTANCES.c.wake_at.is_(None), INSTANCES.c.wake_at <= now)
    return [INSTANCES.c.unfinished == 1, or_(INSTANCES.c.mail > 0, and_(INSTANCES.c.blocked.is_(None), awake))]


def _until(lease: timedelta) -> str:
    # Leases are real time: they bound how long a machine that has vanished keeps others waiting.
    return as_text(datetime.now(UTC) + lease)
