"""The schema of a database: created where there is none, refused where it is not ours."""

from __future__ import annotations

from typing import Any

from sqlalchemy.schema import CreateIndex, CreateTable

from sagafsm.errors import StoreError
from sagafsm_adapters.sql.connections import Connections
from sagafsm_adapters.sql.tables import SCHEMA, SCHEMA_VERSION, Base


def prepare(connections: Connections) -> None:
    """Create the tables where there are none.

    All of them or none are created; two processes may do it at once.

    Raises:
        StoreError: another version of sagafsm wrote the database; it is left as it is.
    """
    with connections.reading() as cursor:
        version = _version(connections, cursor)
    _check(connections, version)
    connections.database.prepare(connections.held().raw)
    if version is None:
        with connections.writing() as cursor:
            _check(connections, _create(connections, cursor))


def _check(connections: Connections, version: int | None) -> None:
    if version not in (None, SCHEMA_VERSION):
        newer = version > SCHEMA_VERSION
        raise StoreError(
            f"store {connections.database.shown!r} has schema {version}, this sagafsm knows {SCHEMA_VERSION}: "
            f"{'a newer' if newer else 'an older'} sagafsm wrote it "
            f"({'upgrade sagafsm' if newer else 'finish with that one what is in it, or name another file'}; "
            f"nothing was changed)"
        )


def _version(connections: Connections, cursor: Any) -> int | None:
    if not connections.database.has_table(cursor, SCHEMA.name):
        return None
    row = cursor.execute(f"SELECT version FROM {SCHEMA.name}").fetchone()  # noqa: S608 -- a name of ours
    if row is not None and not isinstance(row[0], int):
        raise StoreError(
            f"store {connections.database.shown!r} is damaged: its schema has version {row[0]!r} (restore a backup)"
        )
    return None if row is None else row[0]


def _create(connections: Connections, cursor: Any) -> int:
    version = _version(connections, cursor)
    if version is not None:
        return version
    dialect = connections.database.dialect
    for table in Base.metadata.sorted_tables:
        cursor.execute(str(CreateTable(table).compile(dialect=dialect)))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            cursor.execute(str(CreateIndex(index).compile(dialect=dialect)))
    cursor.execute(str(SCHEMA.insert().compile(dialect=dialect)), {"version": SCHEMA_VERSION})
    return SCHEMA_VERSION
