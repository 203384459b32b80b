"""One held connection a thread, opened when it is first needed, closed with its thread or with the store."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from sagafsm.errors import StoreError
from sagafsm_adapters.sql import sqlite


class Held:
    """A connection that is closed when its thread ends, and is never used in another process than its own."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.process = sqlite.own_process()

    def close(self) -> None:
        """Close it, unless a fork left it to us: then it is its parent's."""
        if self.process == sqlite.own_process():
            self.connection.close()

    def __del__(self) -> None:
        self.close()


@attrs.define(eq=False)
class Connections:
    """The connections of one store."""

    engine: Engine
    settings: sqlite.Settings
    _local: threading.local = attrs.field(factory=threading.local, init=False)
    _held: weakref.WeakSet[Held] = attrs.field(factory=weakref.WeakSet, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def connection(self) -> Connection:
        """This thread's connection."""
        held: Held | None = getattr(self._local, "held", None)
        if held is None or held.process != sqlite.own_process():
            held = self._open()
        elif self._closed:
            raise self._is_closed()
        return held.connection

    def _open(self) -> Held:
        with self._lock:
            if self._closed:
                raise self._is_closed()
            held = Held(sqlite.connect(self.engine, self.settings))
            self._local.held = held
            self._held.add(held)
            return held

    def _is_closed(self) -> StoreError:
        return StoreError(f"store {self.settings.shown!r} is closed (open it again)")

    @contextmanager
    def transaction(self, begin: str) -> Iterator[Connection]:
        """All that is done in the block is one transaction: committed at its end, rolled back when it raises."""
        connection = self.connection()
        try:
            raw: Any = connection.connection.dbapi_connection
            if raw.in_transaction:
                # An interrupt came between the begin of a transaction and its end, and kept it from being rolled back.
                raw.rollback()
            connection.exec_driver_sql(begin)
            try:
                yield connection
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                raw.rollback()
                raise
        except DBAPIError as error:
            raise sqlite.translated(error, self.settings) from error

    def close(self) -> None:
        """Close every connection, of every thread; idempotent."""
        with self._lock:
            self._closed = True
            for held in tuple(self._held):
                held.close()
            self.engine.dispose()
