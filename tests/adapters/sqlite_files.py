"""A store's file, looked at and damaged behind its back."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from sagafsm_adapters.sql import SqlStore


def url_of(folder, query=""):
    """The URL of the store in a folder."""
    return f"sqlite:///{folder}/saga.db" + (f"?{query}" if query else "")


def open_at(folder, query=""):
    """The store in a folder."""
    return SqlStore.from_url(url_of(folder, query))


def rows(folder, statement, parameters=()):
    """Run a statement on the file, past the store."""
    with closing(sqlite3.connect(folder / "saga.db", isolation_level=None)) as connection:
        return connection.execute(statement, parameters).fetchall()


def flip_body(folder, instance_id, number, bit):
    """Flip one bit of an event's body; the function that is returned flips it back."""
    where = "WHERE instance_id = ? AND number = ?"
    place = (instance_id, number)
    ((before,),) = rows(folder, f"SELECT CAST(body AS BLOB) FROM sagafsm_events {where}", place)
    damaged = bytearray(before)
    damaged[bit // 8] ^= 1 << bit % 8
    rows(folder, f"UPDATE sagafsm_events SET body = CAST(? AS TEXT) {where}", (bytes(damaged), *place))
    return lambda: rows(folder, f"UPDATE sagafsm_events SET body = CAST(? AS TEXT) {where}", (before, *place))
