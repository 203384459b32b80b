"""Schemas of a database: an older one is migrated in one transaction, any other is refused and left as it is."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from sagafsm.errors import StoreError
from sagafsm.testing.races import race
from sagafsm.testing.sample_histories import make_history
from sagafsm_adapters.sql import tables
from sagafsm_adapters.sql.tables import SCHEMA_VERSION
from support.sqlite_files import open_at, rows, url_of

NEXT, LAST = SCHEMA_VERSION + 1, SCHEMA_VERSION + 2


def add_colour(cursor: Any) -> None:
    cursor.execute("ALTER TABLE sagafsm_instances ADD COLUMN colour TEXT")


def paint(cursor: Any) -> None:
    # It fails where the one before has not run, and counts how often it has.
    cursor.execute("UPDATE sagafsm_instances SET colour = coalesce(colour, '') || 'red'")


def fail(cursor: Any) -> None:
    cursor.execute("UPDATE sagafsm_instances SET gone = 1")


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let sagafsm know more schemas than today, by these migrations."""

    def know(*migrations: tables.SchemaMigration | None) -> None:
        monkeypatch.setattr(tables, "SCHEMA_VERSION", SCHEMA_VERSION + len(migrations))
        monkeypatch.setattr(tables, "MIGRATIONS", (*(None,) * SCHEMA_VERSION, *migrations))

    return know


@pytest.fixture
def folder(tmp_path: Any) -> Any:
    """A folder with a file of today's tables, in which an instance is."""
    with closing(open_at(tmp_path)) as store:
        store.create("o-1", make_history("o-1"))
    return tmp_path


def version_in(folder: Any) -> list[Any]:
    return rows(folder, "SELECT version FROM sagafsm_schema")


def colours_in(folder: Any) -> list[Any]:
    return rows(folder, "SELECT colour FROM sagafsm_instances")


def test_each_older_schema_has_its_place() -> None:
    """The migration at index n leads from schema n, so that there is one place for each older tables."""
    assert SCHEMA_VERSION == len(tables.MIGRATIONS)


def test_an_older_file_is_migrated_in_order(folder: Any, newer: Any) -> None:
    """Opening it runs each migration from its version on, once; what was stored is still there."""
    newer(add_colour, paint)
    for _ in range(2):
        with closing(open_at(folder)) as store:
            assert make_history("o-1") == store.history("o-1")
    assert [(LAST,)] == version_in(folder)
    assert [("red",)] == colours_in(folder)


def test_a_file_in_the_middle_begins_in_the_middle(folder: Any, newer: Any) -> None:
    """Migrations that ran before a later upgrade do not run again."""
    newer(add_colour)
    open_at(folder).close()
    assert [(NEXT,)] == version_in(folder)
    newer(add_colour, paint)
    open_at(folder).close()
    assert [(LAST,)] == version_in(folder)
    assert [("red",)] == colours_in(folder)


def test_a_migration_that_fails_leaves_all_as_it_was(folder: Any, newer: Any) -> None:
    """All migrations share one transaction: the file stays at the version that it had, without half of a change."""
    newer(add_colour, fail)
    before = rows(folder, "SELECT sql FROM sqlite_master")
    with pytest.raises(StoreError) as caught:
        open_at(folder)
    assert f"store {url_of(folder)!r} failed: no such column: gone" == str(caught.value)
    assert [(SCHEMA_VERSION,)] == version_in(folder)
    assert before == rows(folder, "SELECT sql FROM sqlite_master")


def test_many_that_open_an_older_file_migrate_it_once(folder: Any, newer: Any) -> None:
    """The first one migrates, the others find it done."""
    newer(add_colour, paint)
    for store in race([lambda: open_at(folder)] * 6):
        store.close()
    assert [(LAST,)] == version_in(folder)
    assert [("red",)] == colours_in(folder)


@pytest.mark.parametrize("migrations", [(add_colour, None), (None, paint)])
def test_a_gap_on_the_way_refuses_the_file(migrations: Any, folder: Any, newer: Any) -> None:
    """Nothing runs unless the way leads to the end."""
    newer(*migrations)
    rows(folder, "PRAGMA journal_mode=DELETE")
    before = (folder / "saga.db").read_bytes()
    with pytest.raises(StoreError) as caught:
        open_at(folder)
    assert (
        f"store {url_of(folder)!r} has schema {SCHEMA_VERSION}, this sagafsm knows {LAST}: an older sagafsm wrote it "
        f"(finish with that one what is in it, or name another file; nothing was changed)"
    ) == str(caught.value)
    assert before == (folder / "saga.db").read_bytes()


def test_a_reader_of_before_refuses_a_migrated_file(folder: Any, newer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does not know it neither reads nor writes; the message names the way out."""
    newer(add_colour)
    open_at(folder).close()
    monkeypatch.undo()
    with pytest.raises(StoreError) as caught:
        open_at(folder)
    assert (
        f"store {url_of(folder)!r} has schema {NEXT}, this sagafsm knows {SCHEMA_VERSION}: a newer sagafsm wrote it "
        f"(upgrade sagafsm; nothing was changed)"
    ) == str(caught.value)
