"""All that is SQLite's own: URL options, pragmas, how a transaction begins, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from sagafsm.errors import StoreError, listed

BEGIN_WRITE = "BEGIN IMMEDIATE"
BEGIN_READ = "BEGIN"
SYNCHRONOUS = {"OFF": 0, "NORMAL": 1, "FULL": 2, "EXTRA": 3}
# These go to SQLite as they are (https://www.sqlite.org/uri.html, section 3.3).
PASSED_ON = frozenset({"uri", "mode", "cache", "immutable", "nolock", "psow", "vfs"})
DEFAULT_TIMEOUT = 5.0


@attrs.frozen(kw_only=True)
class Settings:
    """What a store URL says. `timeout` is how long to wait for another process's lock, in seconds."""

    url: URL
    shown: str
    synchronous: str
    timeout: float

    @property
    def path(self) -> Path | None:
        """The file; None where the URL is one of SQLite's own."""
        database = self.url.database or ""
        return None if database.startswith("file:") else Path(database)


def parse(text: str) -> Settings:
    """The settings in a URL such as "sqlite:///orders.db?synchronous=NORMAL&timeout=10".

    Raises:
        StoreError: it names no file, or has an option that does not exist.
    """
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise StoreError(f"store URL {text!r} cannot be read (write it as 'sqlite:///orders.db')") from error
    shown = url.render_as_string(hide_password=True)
    if url.database in (None, "", ":memory:"):
        raise StoreError(f"store URL {shown!r} names no file, so nothing would survive (use 'memory://' for that)")
    query = {key: value if isinstance(value, str) else value[-1] for key, value in url.query.items()}
    unknown = [key for key in query if key not in PASSED_ON | {"synchronous", "timeout"}]
    if unknown:
        known = listed(sorted(PASSED_ON | {"synchronous", "timeout"}))
        raise StoreError(f"store URL {shown!r} has unknown options: {listed(unknown)} (known: {known})")
    synchronous = query.pop("synchronous", "FULL").upper()
    if synchronous not in SYNCHRONOUS:
        raise StoreError(f"store URL {shown!r} takes synchronous={listed(SYNCHRONOUS)}, not {synchronous!r}")
    return Settings(
        url=url.set(query=query),
        shown=shown,
        synchronous=synchronous,
        timeout=_timeout(query.pop("timeout", None), shown),
    )


def _timeout(text: str | None, shown: str) -> float:
    try:
        seconds = DEFAULT_TIMEOUT if text is None else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise StoreError(f"store URL {shown!r} takes timeout= in seconds, not {text!r}")
    return seconds


def engine_of(settings: Settings) -> Engine:
    """An engine whose connections are not pooled, belong to no thread, and begin no transaction by themselves."""
    query = {key: value for key, value in settings.url.query.items() if key != "timeout"}
    return create_engine(
        settings.url.set(query=query),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": settings.timeout, "check_same_thread": False},
    )


def connect(engine: Engine, settings: Settings) -> Connection:
    """An open connection with its pragmas set, and `synchronous` read back.

    Raises:
        StoreError: the file cannot be opened, or is no SQLite database.
    """
    _check_place(settings)
    try:
        connection = engine.connect()
        try:
            _prepare(connection, settings)
        except BaseException:
            connection.close()
            raise
    except DBAPIError as error:
        raise translated(error, settings) from error
    return connection


def _check_place(settings: Settings) -> None:
    path = settings.path
    if path is None:
        return
    if path.is_dir():
        raise StoreError(f"store {settings.shown!r} is a directory (name a file in it)")
    if not path.parent.is_dir():
        raise StoreError(
            f"store {settings.shown!r} is in a folder that does not exist: {str(path.parent)!r} (create it)"
        )


def _prepare(connection: Connection, settings: Settings) -> None:
    give_up = time.monotonic() + settings.timeout
    # Another process that opens the same new file at this moment has it locked, and SQLite does not wait for that.
    while _pragma(connection, "journal_mode") != "wal":
        try:
            if _pragma(connection, "journal_mode=WAL") == "wal":
                break
        except DBAPIError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
        if time.monotonic() > give_up:
            raise StoreError(f"store {settings.shown!r} cannot keep a write-ahead log there (is it a network drive?)")
        time.sleep(0.01)
    connection.exec_driver_sql(f"PRAGMA synchronous={settings.synchronous}")
    found = _pragma(connection, "synchronous")
    if found != SYNCHRONOUS[settings.synchronous]:
        raise StoreError(
            f"store {settings.shown!r} does not take synchronous={settings.synchronous}: it says {found!r}"
        )


def _pragma(connection: Connection, text: str) -> Any:
    return connection.exec_driver_sql(f"PRAGMA {text}").scalar()


def _code(error: DBAPIError) -> int:
    return int(getattr(error.orig, "sqlite_errorcode", 0)) & 0xFF


def translated(error: DBAPIError, settings: Settings) -> StoreError:
    """What an error of SQLite means for a person, by its primary result code (https://www.sqlite.org/rescode.html)."""
    code, shown = _code(error), settings.shown
    told: Mapping[int, str] = {
        sqlite3.SQLITE_BUSY: f"is locked: another process has held it for longer than timeout={settings.timeout:g} s "
        f"(let it finish, or allow more in the URL)",
        sqlite3.SQLITE_FULL: "is on a full disk; nothing was written (make room, then resume)",
        sqlite3.SQLITE_READONLY: "is read-only; nothing was written (check the permissions of the file and its folder)",
        sqlite3.SQLITE_NOTADB: "is not an SQLite database (name another file; this one was not touched)",
        sqlite3.SQLITE_CORRUPT: "is damaged: the database disk image is malformed (restore a backup)",
        sqlite3.SQLITE_CANTOPEN: "cannot be opened (check the permissions of the file and its folder)",
    }
    return StoreError(f"store {shown!r} {told.get(code, f'failed: {error.orig}')}")


def own_process() -> int:
    """The process whose connections may be used: SQLite's must not be carried across a fork."""
    return os.getpid()
