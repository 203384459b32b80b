"""The schema of a database: created where there is none, migrated where it is older, refused where it is newer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy.schema import CreateIndex, CreateTable

from sagafsm.errors import StoreError
from sagafsm_adapters.sql.connections import Connections
from sagafsm_adapters.sql.tables import SCHEMA, SCHEMA_VERSION, Base

# `MIGRATIONS[n]` changes a database of schema n to schema n + 1, with the cursor that it is given. A change of rows or
# events raises SCHEMA_VERSION, adds a function here, and keeps a file of the older schema in the tests. A function
# writes its SQL out: the tables of today are not those of its day. None: nothing leads on from there. Schema 1 had
# several layouts under one number, and was never released.
Migration = Callable[[Any], None]
MIGRATIONS: tuple[Migration | None, ...] = (None, None)


def prepare(connections: Connections) -> None:
    """Create the tables where there are none, and migrate those of an older schema.

    One transaction does all of it or nothing; two processes may do it at once. A process that has the older schema
    open does not notice a migration: stop it first.

    Raises:
        StoreError: a newer sagafsm wrote the database, or one so old that no migration exists; the database is left
            as it is.
    """
    with connections.reading() as cursor:
        version = _version(connections, cursor)
    _check(connections, version)
    connections.database.prepare(connections.held().raw)
    if version != SCHEMA_VERSION:
        with connections.writing() as cursor:
            # Again: another process may have been faster.
            version = _version(connections, cursor)
            _check(connections, version)
            if version is None:
                _create(connections, cursor)
            else:
                _migrate(connections, cursor, version)


def _migrations_from(version: int) -> tuple[Migration | None, ...]:
    """Return the migrations that lead from this version to today's. None in it: there is no way."""
    return MIGRATIONS[version:] if 0 <= version <= SCHEMA_VERSION else (None,)


def _check(connections: Connections, version: int | None) -> None:
    if version is not None and None in _migrations_from(version):
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


def _migrate(connections: Connections, cursor: Any, version: int) -> None:
    for migration in _migrations_from(version):
        if migration is not None:
            migration(cursor)
    change = SCHEMA.update().values(version=bindparam("new_version")).compile(dialect=connections.database.dialect)
    cursor.execute(str(change), {"new_version": SCHEMA_VERSION})


def _create(connections: Connections, cursor: Any) -> None:
    dialect = connections.database.dialect
    for table in Base.metadata.sorted_tables:
        cursor.execute(str(CreateTable(table).compile(dialect=dialect)))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            cursor.execute(str(CreateIndex(index).compile(dialect=dialect)))
    cursor.execute(str(SCHEMA.insert().compile(dialect=dialect)), {"version": SCHEMA_VERSION})
