"""What is SQLite's own: URL options, pragmas, and errors that a person can act on."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from sagafsm.errors import StoreError
from sagafsm.testing.races import race
from sagafsm.testing.sample_histories import make_history, make_step_started, make_step_succeeded, number_events
from sagafsm.testing.store_contract.base import ALICE, LEASE
from sagafsm_adapters.sql import SqlStore
from sagafsm_adapters.sql.tables import SCHEMA_VERSION
from support.sqlite_files import behind, open_at, rows, url_of

NOBODY = 65534


@pytest.fixture
def sql_store(tmp_path):
    with closing(open_at(tmp_path)) as store:
        yield store


def refusal(call, *arguments, **named):
    with pytest.raises(StoreError) as caught:
        call(*arguments, **named)
    return str(caught.value)


def pragma(store, name):
    return store._connections.get_thread_connection().raw.execute(f"PRAGMA {name}").fetchone()[0]


# Options and pragmas --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", 2),
        ("synchronous=FULL", 2),
        ("synchronous=NORMAL", 1),
        ("synchronous=normal", 1),
        ("synchronous=OFF", 0),
        ("synchronous=EXTRA", 3),
    ],
)
def test_synchronous_reads_back_on_every_thread(tmp_path, query, expected):
    """Every connection has the `synchronous` of the URL, FULL unless it says otherwise, and is in WAL mode."""
    with closing(open_at(tmp_path, query)) as store:
        levels = race([lambda: (pragma(store, "synchronous"), pragma(store, "journal_mode"))] * 3)
        assert [(expected, "wal")] * 3 == levels
        assert expected == pragma(store, "synchronous")


@pytest.mark.parametrize(("query", "expected"), [("", 5000), ("timeout=0.25", 250), ("timeout=0", 0)])
def test_the_busy_timeout_is_five_seconds_or_what_the_url_says(tmp_path, query, expected):
    """`timeout=` is in seconds."""
    with closing(open_at(tmp_path, query)) as store:
        assert expected == pragma(store, "busy_timeout")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "store URL 'sqlite://' names no file, so nothing would survive (use 'memory://' for that)"),
        (
            "sqlite:///:memory:",
            "store URL 'sqlite:///:memory:' names no file, so nothing would survive (use 'memory://' for that)",
        ),
        (
            "sqlite:///file:x?mode=memory&uri=true",
            "store URL 'sqlite:///file:x?mode=memory&uri=true' names no file, so nothing would survive (use 'memory://' for that)",
        ),
        (
            "sqlite:///x.db?synchronus=FULL&colour=red",
            "store URL 'sqlite:///x.db?synchronus=FULL&colour=red' has unknown options: synchronus, colour (known: synchronous, timeout, uri, cache, immutable, mode, nolock, psow, vfs)",
        ),
        (
            "sqlite:///x.db?mode=ro",
            "store URL 'sqlite:///x.db?mode=ro' has options for SQLite itself: mode (write it as 'sqlite:///file:orders.db?mode=ro&uri=true')",
        ),
        (
            "sqlite:///x.db?synchronous=sometimes",
            "store URL 'sqlite:///x.db?synchronous=sometimes' takes synchronous=OFF, NORMAL, FULL, EXTRA, not 'SOMETIMES'",
        ),
        (
            "sqlite:///x.db?timeout=long",
            "store URL 'sqlite:///x.db?timeout=long' takes timeout= in seconds, not 'long'",
        ),
        ("sqlite:///x.db?timeout=-1", "store URL 'sqlite:///x.db?timeout=-1' takes timeout= in seconds, not '-1'"),
        (
            "sqlite://me:secret@host/x.db",
            "store URL 'sqlite://me:***@host/x.db' is none of SQLite's (write it as 'sqlite:///orders.db')",
        ),
        (
            "sqlite+pysqlcipher://:secret@/x.db",
            "store URL 'sqlite+pysqlcipher://:***@/x.db' is none of SQLite's (write it as 'sqlite:///orders.db')",
        ),
        ("sqlite", "store URL cannot be read (write it as 'sqlite:///orders.db')"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(url, message, tmp_path, monkeypatch):
    """What the URL asks for and cannot be had is refused by name; a password is never shown; no file is made."""
    monkeypatch.chdir(tmp_path)
    assert message == refusal(SqlStore.from_url, url)
    assert [] == list(tmp_path.iterdir())


def test_a_read_only_url_reads_and_does_not_write(tmp_path):
    """SQLite's own options pass through: `mode=ro` opens the file for reading."""
    with closing(open_at(tmp_path)) as store:
        store.create("o-1", make_history("o-1"))
        url = f"sqlite:///file:{tmp_path}/saga.db?mode=ro&uri=true"
        with closing(SqlStore.from_url(url)) as reader:
            assert make_history("o-1") == reader.history("o-1")
            assert (
                f"store {url!r} is read-only; nothing was written (check the permissions of the file and its folder)"
                == refusal(reader.create, "o-2", make_history("o-2"))
            )
        assert ["o-1"] == [row.id for row in store.find()]


def test_a_relative_url_means_one_file(tmp_path, monkeypatch):
    """The file is the one meant when the store was opened, wherever the process goes and whichever thread asks."""
    monkeypatch.chdir(tmp_path)
    with closing(SqlStore.from_url("sqlite:///saga.db")) as store:
        store.create("o-1", make_history("o-1"))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert [make_history("o-1")] == race([lambda: store.history("o-1")])
        assert [] == list((tmp_path / "elsewhere").iterdir())


def test_a_database_of_the_users_own_keeps_its_tables(tmp_path):
    """The tables go beside what is there already."""
    rows_before = [("mug",)]
    with behind(tmp_path) as connection:
        connection.execute("CREATE TABLE product (name TEXT)")
        connection.execute("INSERT INTO product VALUES ('mug')")
    with closing(open_at(tmp_path)) as store:
        store.create("o-1", make_history("o-1"))
    assert rows_before == rows(tmp_path, "SELECT name FROM product")


def test_many_open_a_new_file_at_once(tmp_path):
    """Whoever comes first creates the tables; the others find them."""
    for turn in range(5):
        folder = tmp_path / str(turn)
        folder.mkdir()
        stores = race([lambda folder=folder: open_at(folder)] * 6)
        assert ["SqlStore"] * 6 == [type(store).__name__ for store in stores]
        for store in stores:
            store.close()
        assert [(SCHEMA_VERSION,)] == rows(folder, "SELECT version FROM sagafsm_schema")


# Errors ---------------------------------------------------------------------------------------------------------------


def test_a_directory_is_refused(tmp_path):
    """A folder is no file."""
    assert f"store 'sqlite:///{tmp_path}' is a directory (name a file in it)" == refusal(
        SqlStore.from_url, f"sqlite:///{tmp_path}"
    )


def test_a_missing_folder_is_named(tmp_path):
    """Folders are not created: a typing error would make one."""
    url = f"sqlite:///{tmp_path}/no/saga.db"
    assert f"store {url!r} is in a folder that does not exist: '{tmp_path}/no' (create it)" == refusal(
        SqlStore.from_url, url
    )


def test_what_is_no_database_is_left_alone(tmp_path):
    """A file of another kind is refused, and not touched."""
    file = tmp_path / "saga.db"
    file.write_text("Dear diary, " * 1000)
    assert (
        f"store {url_of(tmp_path)!r} is not an SQLite database (name another file; this one was not touched)"
        == refusal(open_at, tmp_path)
    )
    assert "Dear diary, " * 1000 == file.read_text()
    assert ["saga.db"] == [path.name for path in tmp_path.iterdir()]


def test_a_malformed_file_is_named(tmp_path):
    """A file that was cut off is refused."""
    with closing(open_at(tmp_path, "synchronous=OFF")) as store:
        for number in range(300):
            store.create(f"o-{number}", make_history(f"o-{number}"))
    file = tmp_path / "saga.db"
    file.write_bytes(file.read_bytes()[: 12 * 4096])

    def read_all():
        with closing(open_at(tmp_path)) as store:
            for number in range(300):
                store.history(f"o-{number}")

    assert (
        f"store {url_of(tmp_path)!r} is damaged, or its disk cannot be read: the database disk image is malformed "
        f"(check the disk; if it is well, restore a backup)"
    ) == refusal(read_all)


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (7, "a newer sagafsm wrote it (upgrade sagafsm; nothing was changed)"),
        (
            1,
            "an older sagafsm wrote it (finish with that one what is in it, or name another file; nothing was changed)",
        ),
        (
            -1,
            "an older sagafsm wrote it (finish with that one what is in it, or name another file; nothing was changed)",
        ),
    ],
)
def test_another_schema_is_refused_and_nothing_changes(tmp_path, version, told):
    """A database of another sagafsm is left byte for byte as it is."""
    open_at(tmp_path).close()
    rows(tmp_path, f"UPDATE sagafsm_schema SET version = {version}")
    rows(tmp_path, "PRAGMA journal_mode=DELETE")
    before = (tmp_path / "saga.db").read_bytes()
    assert f"store {url_of(tmp_path)!r} has schema {version}, this sagafsm knows {SCHEMA_VERSION}: {told}" == refusal(
        open_at, tmp_path
    )
    assert before == (tmp_path / "saga.db").read_bytes()
    assert ["saga.db"] == [path.name for path in tmp_path.iterdir()]


def test_a_schema_of_no_version_is_named(tmp_path):
    """A flipped bit can take the version out of the row that has it."""
    open_at(tmp_path).close()
    rows(tmp_path, "ALTER TABLE sagafsm_schema RENAME TO old")
    rows(tmp_path, "CREATE TABLE sagafsm_schema AS SELECT CAST(NULL AS INTEGER) AS version")
    assert f"store {url_of(tmp_path)!r} is damaged: its schema has version None (restore a backup)" == refusal(
        open_at, tmp_path
    )


def test_a_lock_is_waited_for_and_then_named(tmp_path):
    """Whoever holds the file longer than the timeout is blamed; reading goes on; nothing was written."""
    url = url_of(tmp_path, "timeout=0.05")
    with closing(SqlStore.from_url(url)) as store, behind(tmp_path) as other:
        token = store.create("o-1", make_history("o-1"), owner=ALICE, lease=LEASE)
        other.execute("BEGIN IMMEDIATE")
        assert (
            f"store {url!r} is locked: another process has held it for longer than timeout=0.05 s "
            f"(let it finish, or allow more in the URL)"
        ) == refusal(
            store.append, "o-1", number_events((make_step_started(),), after=1), expected_version=1, token=token
        )
        assert make_history("o-1") == store.history("o-1")
        other.execute("ROLLBACK")
        assert 2 == store.append("o-1", number_events((make_step_started(),), after=1), expected_version=1, token=token)


def test_a_full_disk_is_named_and_what_was_stored_stays(sql_store, tmp_path):
    """When there is no room nothing is written; when there is room again, all goes on."""
    token = sql_store.create("o-1", make_history("o-1"), owner=ALICE, lease=LEASE)
    sql_store._connections.get_thread_connection().raw.execute("PRAGMA max_page_count = 1")
    large = number_events((make_step_succeeded("reserve", f'"{"x" * 100_000}"'),), after=1)
    assert f"store {url_of(tmp_path)!r} is on a full disk; nothing was written (make room, then resume)" == refusal(
        sql_store.append, "o-1", large, expected_version=1, token=token
    )
    assert make_history("o-1") == sql_store.history("o-1")
    sql_store._connections.get_thread_connection().raw.execute("PRAGMA max_page_count = 1000000")
    assert 2 == sql_store.append("o-1", large, expected_version=1, token=token)


def test_a_file_that_cannot_grow_is_named(tmp_path, monkeypatch):
    """An error of input or output says which, and nothing was written."""
    code = """
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        store.create("o-2", (make_instance_created("o-2", input_json='"' + "x" * 200_000 + '"'),))
    """
    with closing(open_at(tmp_path)) as store:
        store.create("o-1", make_history("o-1"))
        assert (
            f"store {url_of(tmp_path)!r} cannot be read or written: disk I/O error, SQLITE_IOERR_WRITE "
            f"(check the disk, then resume)"
        ) == in_child(url_of(tmp_path), code)
        assert ["o-1"] == [row.id for row in store.find()]


def test_an_error_keeps_its_original(tmp_path):
    """What SQLite said is the cause of what we say."""
    (tmp_path / "saga.db").write_text("Dear diary, " * 1000)
    with pytest.raises(StoreError) as caught:
        open_at(tmp_path)
    assert "file is not a database" == str(caught.value.__cause__)
    assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "message"),
    [
        (None, 0o555, "cannot be opened (check the permissions of the file and its folder)"),
        (0o600, 0o777, "cannot be opened (check the permissions of the file and its folder)"),
        (0o444, 0o777, "is read-only; nothing was written (check the permissions of the file and its folder)"),
        (0o444, 0o555, "is read-only; nothing was written (check the permissions of the file and its folder)"),
    ],
    ids=["folder", "unreadable", "file", "file-and-folder"],
)
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who may not")
def test_missing_permissions_are_named(file_mode, folder_mode, message):
    """Who may not write the file or its folder is told so."""
    # Not below pytest's folder, which nobody else may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if file_mode is not None:
            open_at(folder).close()
            (folder / "saga.db").chmod(file_mode)
        folder.chmod(folder_mode)
        answer = in_child(url_of(folder), 'store.create("o-1", make_history("o-1"))', user=NOBODY)
        assert f"store {url_of(folder)!r} {message}" == answer


def in_child(url, code, user=None):
    """The StoreError that the code meets in a process of its own, which may become another user first."""
    body = "\n".join("    " + line.strip() for line in code.strip().splitlines())
    script = f"""
import os, resource, sys
from sagafsm.errors import StoreError
from sagafsm.testing.sample_histories import make_history, make_instance_created
from sagafsm_adapters.sql import SqlStore
from sagafsm_adapters.sql.tables import SCHEMA_VERSION
{"" if user is None else f"os.setgid({user}), os.setuid({user})"}
try:
    store = SqlStore.from_url({url!r})
{body}
except StoreError as error:
    print(error)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert "" == done.stderr
    return done.stdout.rstrip("\n")
