"""A store's file, looked at and damaged behind its back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sagafsm_adapters.sql import SqlStore

BODY_OF = "WHERE instance_id = ? AND number = ?"


def url_of(folder: Path, query: str = "") -> str:
    """The URL of the store in a folder."""
    return f"sqlite:///{folder}/saga.db" + (f"?{query}" if query else "")


def open_at(folder: Path, query: str = "") -> SqlStore:
    """The store in a folder."""
    return SqlStore.from_url(url_of(folder, query))


@contextmanager
def behind(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the file, past the store."""
    with closing(sqlite3.connect(folder / "saga.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        yield connection


def rows(folder: Path, statement: str) -> list[Any]:
    """Run a statement on the file, past the store."""
    with behind(folder) as connection:
        return connection.execute(statement).fetchall()


def body_of(connection: sqlite3.Connection, instance_id: str, number: int) -> bytes:
    """The bytes of an event's body."""
    query = f"SELECT CAST(body AS BLOB) FROM sagafsm_events {BODY_OF}"
    return bytes(connection.execute(query, (instance_id, number)).fetchone()[0])


@contextmanager
def flipped(connection: sqlite3.Connection, instance_id: str, number: int, bit: int) -> Iterator[None]:
    """One bit of an event's body flipped, until the block ends."""
    change = f"UPDATE sagafsm_events SET body = CAST(? AS TEXT) {BODY_OF}"
    before = body_of(connection, instance_id, number)
    connection.execute(change, (with_flipped_bit(before, bit), instance_id, number))
    yield
    connection.execute(change, (before, instance_id, number))


def with_flipped_bit(whole: bytes, bit: int) -> bytes:
    """The bytes with one bit flipped."""
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
