"""One held connection a thread, opened when it is first needed, closed with its thread or with the store."""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType
from typing import Any

import attrs

from sagafsm.errors import StoreError
from sagafsm_adapters.sql.sqlite import Connection, Sqlite


class ThreadConnection:
    """A thread's connection, closed when the thread ends, and the cursor that it works with."""

    def __init__(self, raw: Connection) -> None:
        self.raw = raw
        self.cursor: Any = raw.cursor()

    def __del__(self) -> None:
        # Ctrl-C may have come before there was anything to close.
        if "raw" in self.__dict__:
            self.raw.close()


@attrs.define(eq=False)
class Connections:
    """The connections of one store. It has no lock, so that a fork cannot leave one locked."""

    database: Sqlite
    _local: threading.local = attrs.field(factory=threading.local, init=False)
    # The threads hold their connections; these only know of them. A set is changed and listed in one step each.
    _held: set[weakref.ref[ThreadConnection]] = attrs.field(factory=set, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def get_thread_connection(self) -> ThreadConnection:
        """This thread's connection.

        Raises:
            StoreError: the store is closed, or cannot be opened any more.
        """
        held: ThreadConnection | None = getattr(self._local, "held", None)
        if held is None or held.raw.process != os.getpid():
            held = self._open()
        if self._closed:
            held.raw.close()
            raise self._make_closed_error()
        return held

    def _open(self) -> ThreadConnection:
        if self._closed:
            raise self._make_closed_error()
        held = self._local.held = ThreadConnection(self.database.connect())
        # No closure over the store: a cycle would keep connections open until a garbage collection.
        self._held.add(weakref.ref(held, self._held.discard))
        return held

    def _make_closed_error(self) -> StoreError:
        return StoreError(f"store {self.database.shown!r} is closed (open it again)")

    def reading(self) -> Transaction:
        """A transaction that sees one moment, and writes nothing."""
        return Transaction(self, self.get_thread_connection(), self.database.begin_read)

    def writing(self) -> Transaction:
        """A transaction that nobody else writes beside."""
        return Transaction(self, self.get_thread_connection(), self.database.begin_write)

    def translate_error(self, error: BaseException) -> StoreError:
        """What an error of the driver means for a person."""
        return self._make_closed_error() if self._closed else self.database.translate_error(error)

    def close(self) -> None:
        """Close every connection, of every thread; idempotent."""
        self._closed = True
        for reference in tuple(self._held):
            held = reference()
            if held is not None:
                held.raw.close()


class Transaction:
    """A block of which all is committed at its end, or nothing when it raises; it gives the cursor to work with.

    A class, not a generator: this is entered at every commit.
    """

    __slots__ = ("_begin", "_connections", "_held")

    def __init__(self, connections: Connections, held: ThreadConnection, begin: str) -> None:
        self._connections, self._held, self._begin = connections, held, begin

    def __enter__(self) -> Any:
        held = self._held
        try:
            if held.raw.in_transaction:
                # Ctrl-C came between the end of a transaction's block and its rollback.
                held.raw.rollback()
            return held.cursor.execute(self._begin)
        except self._connections.database.failures as error:
            raise self._connections.translate_error(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        failures = self._connections.database.failures
        try:
            try:
                if error is None:
                    self._held.cursor.execute("COMMIT")
            finally:
                if self._held.raw.in_transaction:
                    self._held.raw.rollback()
        except failures as failure:
            # A rollback fails where the block has failed already: that says what went wrong first.
            first = error if isinstance(error, failures) else failure
            raise self._connections.translate_error(first) from first
        if isinstance(error, failures):
            raise self._connections.translate_error(error) from error
