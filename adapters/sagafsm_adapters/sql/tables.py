"""The tables, on a registry of their own: an application's SQLModel metadata must not create them in its database.

Moments are text, UTC, of fixed width: they sort as they read, in any database and in any viewer.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, Column, Index, String, Table, Text, UniqueConstraint
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from sagafsm.codec import moment_text

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


def table_of(model: type[Base]) -> Table:
    """The Core table behind a model."""
    table: Table = model.__table__  # type: ignore[attr-defined]  # SQLModel adds it to models that are tables
    return table


SCHEMA, INSTANCES, EVENTS, MAIL = (table_of(model) for model in (SchemaRow, InstanceRow, EventRow, MailRow))


def as_text(moment: datetime) -> str:
    """A moment as the tables hold it."""
    return moment_text(moment if moment.tzinfo is UTC else moment.astimezone(UTC))


def as_text_or_none(moment: datetime | None) -> str | None:
    """The same for a moment that may be absent."""
    return None if moment is None else as_text(moment)


def as_moment(text: str) -> datetime:
    """A moment as it was stored."""
    return datetime.fromisoformat(text)


def as_moment_or_none(text: str | None) -> datetime | None:
    """The same for a moment that may be absent."""
    return None if text is None else datetime.fromisoformat(text)
