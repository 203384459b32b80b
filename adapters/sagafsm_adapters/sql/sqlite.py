"""All that is SQLite's own: URL options, pragmas, how a transaction begins, and what its errors mean."""

from __future__ import annotations

import ctypes
import functools
import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import attrs
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError

from sagafsm.errors import StoreError, format_list

SYNCHRONOUS = {"OFF": 0, "NORMAL": 1, "FULL": 2, "EXTRA": 3}
# These go to SQLite as they are (https://www.sqlite.org/uri.html, section 3.3).
PASSED_ON = frozenset({"mode", "cache", "immutable", "nolock", "psow", "vfs"})
OPTIONS = ("synchronous", "timeout", "uri", *sorted(PASSED_ON))
DEFAULT_TIMEOUT = 5.0
# A flipped bit can make text that is no UTF-8. It must get as far as the checksum, which tells whose it is.
_decode_text = functools.partial(str, encoding="utf-8", errors="surrogateescape")
# Parameters by name: the same statements then serve every driver that has them.
_DIALECT = SQLiteDialect_pysqlite(paramstyle="named")


class Connection(sqlite3.Connection):
    """A connection that is never closed by another process than the one that opened it.

    One that nobody closes is closed by a garbage collection, without the warning that Python 3.13 gives: an interrupt
    can come between its opening and whoever would have closed it.
    """

    process = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.process = os.getpid()

    def close(self) -> None:
        """Close it, unless a fork left it to us: then it is its parent's."""
        if self.process == os.getpid():
            super().close()

    def __del__(self) -> None:
        if self.process not in (0, os.getpid()):
            # It may not even be closed here (https://www.sqlite.org/howtocorrupt.html, 2.6): a reference that nobody
            # gives back keeps Python from doing so.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))


@attrs.frozen(kw_only=True)
class Sqlite:
    """A database file and how to use it. `timeout` is how long to wait for another's lock, in seconds."""

    url: URL
    shown: str
    synchronous: str
    timeout: float
    dialect: Dialect = attrs.field(default=_DIALECT, init=False)
    begin_read: str = "BEGIN"
    # Without it a transaction that reads first can fail for good when another one has written meanwhile.
    begin_write: str = "BEGIN IMMEDIATE"
    failures: tuple[type[Exception], ...] = (sqlite3.Error, UnicodeError, OverflowError)
    duplicate_error: type[Exception] = sqlite3.IntegrityError
    # What concerns the values of one statement, and leaves its transaction as it was before that statement.
    value_errors: tuple[type[Exception], ...] = (
        sqlite3.IntegrityError,
        sqlite3.DataError,
        sqlite3.InterfaceError,
        sqlite3.ProgrammingError,
        UnicodeError,
        OverflowError,
    )

    @classmethod
    def from_url(cls, text: str) -> Self:
        """What a URL such as "sqlite:///orders.db?synchronous=NORMAL&timeout=10" says.

        Raises:
            StoreError: it names no file, or has an option that does not exist.
        """
        url = _parse_url(text)
        # As it was written, where that gives nothing away.
        shown = text if url.password is None else url.render_as_string(hide_password=True)
        query = {key: value if isinstance(value, str) else value[-1] for key, value in url.query.items()}
        _check_options(query, shown)
        synchronous = query.pop("synchronous", "FULL").upper()
        if synchronous not in SYNCHRONOUS:
            raise StoreError(f"store URL {shown!r} takes synchronous={format_list(SYNCHRONOUS)}, not {synchronous!r}")
        timeout = _parse_timeout(query.pop("timeout", None), shown)
        database = url.database or ""
        if url.host or url.username or url.drivername not in ("sqlite", "sqlite+pysqlite"):
            raise StoreError(f"store URL {shown!r} is none of SQLite's (write it as 'sqlite:///orders.db')")
        if database in ("", ":memory:", "file::memory:") or query.get("mode") == "memory":
            raise StoreError(f"store URL {shown!r} names no file, so nothing would survive (use 'memory://' for that)")
        prefix, path = ("file:", database[5:]) if database.startswith("file:") else ("", database)
        # Absolute from now on: connections are opened later, too, and the process may have gone elsewhere.
        absolute = url.set(database=f"{prefix}{Path(path).absolute()}", query=query)
        _check_path(Path(path), shown)
        return cls(url=absolute, shown=shown, synchronous=synchronous, timeout=timeout)

    def connect(self) -> Connection:
        """An open connection of the driver, with `synchronous` set and read back.

        Raises:
            StoreError: the file cannot be opened, or is no SQLite database.
        """
        names, options = self.dialect.create_connect_args(self.url)
        try:
            connection = sqlite3.connect(
                names[0],
                timeout=self.timeout,
                # A connection is used by one thread, and closed by whoever closes the store.
                check_same_thread=False,
                isolation_level=None,
                factory=Connection,
                uri=bool(options.get("uri", False)),
            )
            try:
                connection.text_factory = _decode_text
                self._set_synchronous(connection)
            except BaseException:
                connection.close()
                raise
        except self.failures as error:
            raise self.translate_error(error) from error
        return connection

    def _set_synchronous(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA synchronous={self.synchronous}")
        (found,) = connection.execute("PRAGMA synchronous").fetchone()
        if found != SYNCHRONOUS[self.synchronous]:
            raise StoreError(f"store {self.shown!r} does not take synchronous={self.synchronous}: it says {found!r}")

    def has_table(self, cursor: Any, name: str) -> bool:
        """Whether the database has that table."""
        found = cursor.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)).fetchone()
        return found is not None

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Switch the file to the write-ahead log, where it stays.

        Raises:
            StoreError: it does not take it.
        """
        give_up = time.monotonic() + self.timeout
        try:
            while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                self._switch(connection, give_up)
        except self.failures as error:
            raise self.translate_error(error) from error

    def _switch(self, connection: sqlite3.Connection, give_up: float) -> None:
        try:
            if connection.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",):
                return
        except sqlite3.OperationalError as error:
            # Another process that opens the new file at this moment has it locked, and SQLite does not wait for that.
            if _get_error_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
        else:
            raise StoreError(f"store {self.shown!r} cannot keep a write-ahead log there (is it a network drive?)")
        time.sleep(0.01)

    def translate_error(self, error: BaseException) -> StoreError:
        """What an error means for a person, by its primary result code (https://www.sqlite.org/rescode.html)."""
        told: Mapping[int, str] = {
            sqlite3.SQLITE_BUSY: f"is locked: another process has held it for longer than timeout={self.timeout:g} s "
            f"(let it finish, or allow more in the URL)",
            sqlite3.SQLITE_FULL: "is on a full disk; nothing was written (make room, then resume)",
            sqlite3.SQLITE_READONLY: "is read-only; nothing was written "
            "(check the permissions of the file and its folder)",
            sqlite3.SQLITE_NOTADB: "is not an SQLite database (name another file; this one was not touched)",
            # SQLite says the same of a page that is wrong and of one that the disk does not give (EIO).
            sqlite3.SQLITE_CORRUPT: "is damaged, or its disk cannot be read: the database disk image is malformed "
            "(check the disk; if it is well, restore a backup)",
            sqlite3.SQLITE_CANTOPEN: "cannot be opened (check the permissions of the file and its folder)",
            sqlite3.SQLITE_IOERR: f"cannot be read or written: {error}, {getattr(error, 'sqlite_errorname', None)} "
            f"(check the disk, then resume)",
        }
        return StoreError(f"store {self.shown!r} {told.get(_get_error_code(error), f'failed: {error}')}")


def _get_error_code(error: BaseException) -> int:
    if isinstance(error, UnicodeDecodeError):
        # The driver could not even read SQLite's complaint about the schema, for it quotes the damage.
        return sqlite3.SQLITE_CORRUPT
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _parse_url(text: str) -> URL:
    try:
        return make_url(text)
    except (ArgumentError, ValueError) as error:
        # Not the text itself: a URL that cannot be parsed may well have a password somewhere.
        raise StoreError("store URL cannot be read (write it as 'sqlite:///orders.db')") from error


def _check_options(query: Mapping[str, str], shown: str) -> None:
    unknown = [key for key in query if key not in OPTIONS]
    if unknown:
        raise StoreError(
            f"store URL {shown!r} has unknown options: {format_list(unknown)} (known: {format_list(OPTIONS)})"
        )
    passed = [key for key in query if key in PASSED_ON]
    if passed and query.get("uri") != "true":
        raise StoreError(
            f"store URL {shown!r} has options for SQLite itself: {format_list(passed)} "
            f"(write it as 'sqlite:///file:orders.db?mode=ro&uri=true')"
        )


def _check_path(path: Path, shown: str) -> None:
    if path.is_dir():
        raise StoreError(f"store {shown!r} is a directory (name a file in it)")
    if not path.parent.is_dir():
        raise StoreError(f"store {shown!r} is in a folder that does not exist: {str(path.parent)!r} (create it)")


def _parse_timeout(text: str | None, shown: str) -> float:
    try:
        seconds = DEFAULT_TIMEOUT if text is None else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise StoreError(f"store URL {shown!r} takes timeout= in seconds, not {text!r}")
    return seconds
