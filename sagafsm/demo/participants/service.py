"""What the demo's participants have in common: one SQLite file each, and every request at most once by its key.

They stand for services of other companies: nothing here knows of sagas, and none shares anything with another.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

import attrs

PACE = timedelta(milliseconds=15)
_COMMON = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fences (action_key TEXT PRIMARY KEY, undone_under TEXT NOT NULL) WITHOUT ROWID;
"""
_NOTHING = json.dumps(None)


class Refused(Exception):
    """The service did not do it, and left nothing behind."""


class KeyFenced(Refused):
    """What was asked for under this key has been undone, so it is not done any more."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"key {key!r} is fenced: what it stands for has been undone")


@attrs.define(eq=False)
class Service:
    """A service with a file of its own at `path`; `pace` is how long a call takes on its way there and back.

    A request with a key takes effect once: the same key again gets the stored answer. Effect and answer are one
    commit, so after a crash of whoever called, either both are there or neither. Safe to call from any thread.
    """

    path: Path
    pace: timedelta = attrs.field(default=PACE, kw_only=True)
    _connection: sqlite3.Connection = attrs.field(init=False, repr=False)
    _lock: threading.Lock = attrs.field(init=False, repr=False, factory=threading.Lock)

    SCHEMA: ClassVar[str] = ""

    def __attrs_post_init__(self) -> None:
        self._connection = connection = sqlite3.connect(
            self.path, timeout=30, isolation_level=None, check_same_thread=False
        )
        # Whoever drops a service without closing it must not leave its connection to the garbage collector.
        weakref.finalize(self, connection.close)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        with self._transaction() as db:
            # One by one: executescript would commit what is begun.
            for statement in (_COMMON + self.SCHEMA).split(";"):
                db.execute(statement)
            self._furnish(db)

    def _furnish(self, db: sqlite3.Connection) -> None:
        """Put what the service begins with into its file; called at every opening, so it adds only what is missing."""

    def close(self) -> None:
        """Let go of the file; idempotent."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # A commit that fails for a full disk has rolled back by itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _call(self) -> Iterator[None]:
        # Half before and half after: a caller that is killed on the way back has an effect without an answer.
        half = self.pace.total_seconds() / 2
        time.sleep(half)
        yield
        time.sleep(half)

    def _once(self, key: str, work: Callable[[sqlite3.Connection], Any]) -> tuple[Any, bool]:
        """The answer to `work` under `key`, and whether it was done just now rather than before.

        Raises:
            KeyFenced: it was undone, or was to be undone before it was ever done.
        """
        with self._transaction() as db:
            if _is_fenced(db, key):
                raise KeyFenced(key)
            stored = _answer(db, key)
            if stored is not None:
                return json.loads(stored), False
            answer = work(db)
            db.execute("INSERT INTO answers VALUES (?, ?)", (key, json.dumps(answer)))
            return answer, True

    def _undo(self, key: str, action_key: str, work: Callable[[sqlite3.Connection], None]) -> None:
        """Undo, once, whatever was done under `action_key`; it cannot be done any more, even if it never was."""
        with self._transaction() as db:
            if _answer(db, key) is not None:
                return
            if _answer(db, action_key) is not None and not _is_fenced(db, action_key):
                work(db)
            db.execute("INSERT OR IGNORE INTO fences VALUES (?, ?)", (action_key, key))
            db.execute("INSERT INTO answers VALUES (?, ?)", (key, _NOTHING))

    def _find(self, key: str) -> Any | None:
        """The answer that was given under `key`; None when nothing was done, or it was undone."""
        with self._transaction() as db:
            stored = None if _is_fenced(db, key) else _answer(db, key)
        return None if stored is None else json.loads(stored)


def _is_fenced(db: sqlite3.Connection, key: str) -> bool:
    return db.execute("SELECT 1 FROM fences WHERE action_key = ?", (key,)).fetchone() is not None


def _answer(db: sqlite3.Connection, key: str) -> str | None:
    row = db.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def next_number(db: sqlite3.Connection, prefix: str, count: str) -> str:
    """A number for a new entry in the books, as in "ch-0017"; `count` is the query that counts those there are."""
    return f"{prefix}-{db.execute(count).fetchone()[0] + 1:04}"
