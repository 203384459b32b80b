"""The tables, on a registry of their own: an application's SQLModel metadata must not create them in its database.

Moments are text, UTC, of fixed width: they sort as they read, in any database and in any viewer.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index, String, Table, Text, UniqueConstraint, bindparam
from sqlalchemy.orm import registry
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import Field, SQLModel

from sagafsm.errors import StoreError
from sagafsm.history.event_codec import write_moment
from sagafsm_adapters.sql.connections import Connections

SCHEMA_VERSION = 2
# In order of code points, as Python sorts: SQLite does so by itself, PostgreSQL by the language of its database.
ID = String(200).with_variant(String(200, collation="C"), "postgresql")


class Base(SQLModel, registry=registry()):
    """What all tables share: metadata of their own."""


class SchemaRow(Base, table=True):
    """The one row that says which version of these tables the database has."""

    __tablename__ = "sagafsm_schema"

    version: int = Field(primary_key=True)


class InstanceRow(Base, table=True):
    """An instance: its summary, its claim with a checksum, and how much mail waits for it.

    The rest of the row is checked against the history, and `mail` against the mailbox; nothing else tells of a claim.
    """

    __tablename__ = "sagafsm_instances"
    __table_args__ = (Index("sagafsm_unfinished", "unfinished", "id"),)

    id: str = Field(sa_column=Column(ID, primary_key=True))
    saga: str = Field(sa_column=Column(String(200), nullable=False))
    saga_version: int
    state: str = Field(sa_column=Column(Text, nullable=False))
    unfinished: int
    version: int
    created_at: str = Field(sa_column=Column(String(32), nullable=False))
    updated_at: str = Field(sa_column=Column(String(32), nullable=False))
    blocked: str | None = Field(sa_column=Column(String(32)))
    waiting: int
    wake_at: str | None = Field(sa_column=Column(String(32)))
    owner: str | None = Field(sa_column=Column(Text))
    process: str | None = Field(sa_column=Column(Text))
    token: int = Field(sa_column=Column(BigInteger, nullable=False))
    lease_until: str | None = Field(sa_column=Column(String(32)))
    claim_checksum: int = Field(sa_column=Column(BigInteger, nullable=False))
    mail: int


class EventRow(Base, table=True):
    """One event: its body as JSON text, and a checksum over its place and body."""

    __tablename__ = "sagafsm_events"
    # The option is SQLite's, and other databases pass it by: the rows lie in key order, without a second index.
    __table_args__ = ({"sqlite_with_rowid": False},)

    instance_id: str = Field(sa_column=Column(ID, primary_key=True))
    number: int = Field(primary_key=True)
    body: str = Field(sa_column=Column(Text, nullable=False))
    checksum: int = Field(sa_column=Column(BigInteger, nullable=False))


class MailRow(Base, table=True):
    """One request, with a checksum like an event's. Absorbed ones stay, so that one posted again is known."""

    __tablename__ = "sagafsm_mail"
    __table_args__ = (UniqueConstraint("instance_id", "request_id"),)

    instance_id: str = Field(sa_column=Column(ID, primary_key=True))
    position: int = Field(primary_key=True)
    request_id: str = Field(sa_column=Column(String(200), nullable=False))
    body: str = Field(sa_column=Column(Text, nullable=False))
    checksum: int = Field(sa_column=Column(BigInteger, nullable=False))
    absorbed_by: int | None = None


def get_table(model: type[Base]) -> Table:
    """The Core table behind a model."""
    table: Table = model.__table__  # type: ignore[attr-defined]  # SQLModel adds it to models that are tables
    return table


SCHEMA, INSTANCES, EVENTS, MAIL = (get_table(model) for model in (SchemaRow, InstanceRow, EventRow, MailRow))


def format_utc(moment: datetime) -> str:
    """A moment as the tables hold it."""
    return write_moment(moment if moment.tzinfo is UTC else moment.astimezone(UTC))


def format_utc_or_none(moment: datetime | None) -> str | None:
    """The same for a moment that may be absent."""
    return None if moment is None else format_utc(moment)


def parse_moment(text: str) -> datetime:
    """A moment as it was stored."""
    return datetime.fromisoformat(text)


def parse_moment_or_none(text: str | None) -> datetime | None:
    """The same for a moment that may be absent."""
    return None if text is None else datetime.fromisoformat(text)


# `MIGRATIONS[n]` changes a database of schema n to schema n + 1, with the cursor that it is given. A change of rows or
# events raises SCHEMA_VERSION, adds a function here, and keeps a file of the older schema in the tests. A function
# writes its SQL out: the tables of today are not those of its day. None: nothing leads on from there. Schema 1 had
# several layouts under one number, and was never released.
SchemaMigration = Callable[[Any], None]
MIGRATIONS: tuple[SchemaMigration | None, ...] = (None, None)


def prepare_schema(connections: Connections) -> None:
    """Create the tables where there are none, and migrate those of an older schema.

    One transaction does all of it or nothing; two processes may do it at once. A process that has the older schema
    open does not notice a migration: stop it first.

    Raises:
        StoreError: a newer sagafsm wrote the database, or one so old that no migration exists; the database is left
            as it is.
    """
    with connections.reading() as cursor:
        version = _read_version(connections, cursor)
    _check_version(connections, version)
    connections.database.prepare(connections.get_thread_connection().raw)
    if version != SCHEMA_VERSION:
        with connections.writing() as cursor:
            # Again: another process may have been faster.
            version = _read_version(connections, cursor)
            _check_version(connections, version)
            if version is None:
                _create_tables(connections, cursor)
            else:
                _migrate(connections, cursor, version)


def _migrations_from(version: int) -> tuple[SchemaMigration | None, ...]:
    """Return the migrations that lead from this version to today's. None in it: there is no way."""
    return MIGRATIONS[version:] if 0 <= version <= SCHEMA_VERSION else (None,)


def _check_version(connections: Connections, version: int | None) -> None:
    if version is not None and None in _migrations_from(version):
        newer = version > SCHEMA_VERSION
        raise StoreError(
            f"store {connections.database.shown!r} has schema {version}, this sagafsm knows {SCHEMA_VERSION}: "
            f"{'a newer' if newer else 'an older'} sagafsm wrote it "
            f"({'upgrade sagafsm' if newer else 'finish with that one what is in it, or name another file'}; "
            f"nothing was changed)"
        )


def _read_version(connections: Connections, cursor: Any) -> int | None:
    if not connections.database.has_table(cursor, SCHEMA.name):
        return None
    row = cursor.execute(f"SELECT version FROM {SCHEMA.name}").fetchone()  # noqa: S608 -- a name of ours
    if row is not None and not isinstance(row[0], int):
        raise StoreError(
            f"store {connections.database.shown!r} is damaged: its schema has version {row[0]!r} (restore a backup)"
        )
    return None if row is None else row[0]


def _migrate(connections: Connections, cursor: Any, version: int) -> None:
    for migration in _migrations_from(version):
        if migration is not None:
            migration(cursor)
    change = SCHEMA.update().values(version=bindparam("new_version")).compile(dialect=connections.database.dialect)
    cursor.execute(str(change), {"new_version": SCHEMA_VERSION})


def _create_tables(connections: Connections, cursor: Any) -> None:
    dialect = connections.database.dialect
    for table in Base.metadata.sorted_tables:
        cursor.execute(str(CreateTable(table).compile(dialect=dialect)))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            cursor.execute(str(CreateIndex(index).compile(dialect=dialect)))
    cursor.execute(str(SCHEMA.insert().compile(dialect=dialect)), {"version": SCHEMA_VERSION})
