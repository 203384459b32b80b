"""Groups of writes in SQLite: one transaction, of which a medium that fails leaves nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import attrs
import pytest

from sagafsm.errors import InstanceExists, StoreConflict, StoreError
from sagafsm.store import Append
from sagafsm.testing.sample_histories import (
    make_cancel_requested,
    make_history,
    make_instance_completed,
    make_step_started,
    make_step_succeeded,
    number_events,
)
from sagafsm.testing.store_contract.base import ALICE, LEASE
from sagafsm.testing.store_contract.group_commit import WritingContract, make_append, make_create
from sagafsm_adapters.sql import SqlStore
from sagafsm_adapters.sql.group_commit import GroupCommit
from sagafsm_adapters.sql.writes import SqlWriter
from support.sqlite_files import behind, open_at, rows, url_of
from support.tracing import in_own_thread, interrupted_at


@pytest.fixture
def sql_store(tmp_path):
    with closing(open_at(tmp_path, "synchronous=OFF&timeout=0")) as store:
        yield store


def statements_of(store, call):
    """What SQLite is told during the call."""
    told, raw = [], store._connections.get_thread_connection().raw
    raw.set_trace_callback(told.append)
    try:
        call()
    finally:
        raw.set_trace_callback(None)
    return [statement.partition(" ")[0] for statement in told]


def begun(store, *names):
    """Instances of Alice: their tokens."""
    return [store.create(name, make_history(name, make_step_started()), owner=ALICE, lease=LEASE) for name in names]


def test_a_group_is_one_transaction_without_savepoints(sql_store):
    """Law 1: many writes, one commit; where none is refused nothing is done that one alone does not need."""
    names = [f"o-{number}" for number in range(10)]
    writes = [make_append(name, token) for name, token in zip(names, begun(sql_store, *names), strict=True)]
    told = statements_of(sql_store, lambda: sql_store.write([*writes, make_create("new")]))
    assert ["BEGIN", "COMMIT"] == [told[0], told[-1]]
    assert {"UPDATE": 10, "INSERT": 13} == {word: told.count(word) for word in told[1:-1]}


def test_a_refused_write_costs_a_second_transaction(sql_store):
    """The first is undone as a whole; in the second a savepoint stands before each."""
    one, two = begun(sql_store, "one", "two")
    told = statements_of(sql_store, lambda: sql_store.write([make_append("one", one), make_append("two", two + 1)]))
    around = [word for word in told if word in ("BEGIN", "ROLLBACK", "COMMIT")]
    # The ROLLBACK within the second is to a savepoint.
    assert ["BEGIN", "ROLLBACK", "BEGIN", "ROLLBACK", "COMMIT"] == around
    assert (2, 2) == (told.count("SAVEPOINT"), told.count("RELEASE"))
    assert 3 == len(sql_store.history("one"))


def test_a_locked_file_fails_all(sql_store, tmp_path):
    """Another process holds the file: nothing of the group is written, and it can be tried again."""
    (token,) = begun(sql_store, "one")
    group = [make_append("one", token), make_create("new")]
    with behind(tmp_path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="is locked"):
            sql_store.write(group)
        other.execute("ROLLBACK")
    assert ["one"] == [row.id for row in sql_store.find()]
    assert [3] == [*sql_store.write(group)][:1]


@pytest.mark.parametrize("refused", [False, True])
def test_a_full_disk_fails_all(sql_store, tmp_path, refused):
    """However far it got: nothing of the group is written, also where each has a savepoint."""
    (token,) = begun(sql_store, "one")
    raw = sql_store._connections.get_thread_connection().raw
    (pages,) = raw.execute("PRAGMA page_count").fetchone()
    raw.execute(f"PRAGMA max_page_count={pages + 1}")
    large = Append(
        instance_id="one",
        events=number_events((make_step_succeeded(result_json=f'"{"x" * 50_000}"'),), after=2),
        expected_version=2,
        token=token,
    )
    with pytest.raises(StoreError, match="is on a full disk; nothing was written"):
        sql_store.write([make_create("one"), make_create("new"), large] if refused else [make_create("new"), large])
    assert not raw.in_transaction
    assert ["one"] == [row.id for row in sql_store.find()]
    raw.execute("PRAGMA max_page_count=1000000")
    assert 3 == sql_store.write([make_create("new"), large])[1]


def test_a_commit_that_fails_fails_all(sql_store, tmp_path):
    """What was answered before the commit counts for nothing."""
    (token,) = begun(sql_store, "one")
    raw = sql_store._connections.get_thread_connection().raw
    # A deferred foreign key is looked at when the transaction commits, and not before.
    raw.executescript(
        "PRAGMA foreign_keys=ON; CREATE TABLE parent (id PRIMARY KEY);"
        "CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED);"
        "CREATE TRIGGER late AFTER INSERT ON sagafsm_instances BEGIN INSERT INTO child VALUES (NEW.id); END;"
    )
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        sql_store.write([make_append("one", token), make_create("new")])
    assert (2, ["one"]) == (len(sql_store.history("one")), [row.id for row in sql_store.find()])


def test_what_a_database_cannot_take_is_refused_alone(sql_store, tmp_path):
    """Text that is no UTF-8, a number too large, an event that is there already: each its own error, others stored."""
    good, damaged, large = begun(sql_store, "good", "damaged", "large")
    rows(tmp_path, "INSERT INTO sagafsm_events VALUES ('damaged', 3, '{}', 0)")
    answers = sql_store.write(
        [
            make_append("\ud800", good),
            make_append("large", 2**70),
            make_append("damaged", damaged, make_step_succeeded(), make_instance_completed()),
            make_append("good", good),
            make_append("large", large, make_cancel_requested("\ud800")),
            make_create("good"),
        ]
    )
    assert [StoreError] * 3 == [type(answer) for answer in answers[:3]]
    assert [3, StoreError, InstanceExists] == [answers[3], type(answers[4]), type(answers[5])]
    assert "UNIQUE constraint failed" in str(answers[2])
    assert 3 == len(sql_store.history("good"))
    assert ("running:reserve", 2) == (
        sql_store.find(after="c", limit=1)[0].state,
        sql_store.find(after="c", limit=1)[0].length,
    )


def test_a_write_that_is_none_is_refused_alone(sql_store):
    """A bug in one caller is no business of the others."""
    one, two = begun(sql_store, "one", "two")
    answers = sql_store.write(
        [make_append("one", one), attrs.evolve(make_append("two", two), events=[None]), make_append(frozenset(), two)]
    )
    assert (3, AttributeError, StoreError) == (answers[0], *map(type, answers[1:]))


def test_a_closed_store_fails_all(tmp_path):
    """It says so."""
    store = open_at(tmp_path)
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.write([make_create("new")])


@pytest.mark.parametrize("refused", [False, True])
@in_own_thread
def test_an_interrupt_anywhere_leaves_all_or_nothing(sql_store, tmp_path, refused):
    """Ctrl-C at any line of a group: all of it is stored or nothing, no lock is left behind, and work goes on."""
    line, interrupts = 0, 0
    while True:
        line += 1
        names = [f"{line}-{number}" for number in range(3)]
        tokens = begun(sql_store, *names)
        group = [make_append(name, token) for name, token in zip(names, tokens, strict=True)]
        if refused:
            group[1] = make_append(names[1], tokens[1] + 1)
        hit = interrupted_at(
            line,
            lambda group=group: sql_store.write(group),
            modules=("group_commit", "writes", "connections", "sqlite"),
        )
        interrupts += hit
        lengths = [len(sql_store.history(name)) for name in names]
        assert lengths in ([2, 2, 2], [3, 2, 3] if refused else [3, 3, 3])
        assert not sql_store._connections.get_thread_connection().raw.in_transaction
        with closing(open_at(tmp_path, "timeout=0&synchronous=OFF")) as other:
            other.create(f"beside-{line}", make_history(f"beside-{line}"))
        if not hit:
            break
    assert interrupts > 60
    assert [3, 2, 3] == lengths if refused else [3, 3, 3] == lengths


# Positive controls ----------------------------------------------------------------------------------------------------


class Uncounted(GroupCommit):
    """Does not look at how many rows the appends of a group touched."""

    def _commit_together(self, ready):
        with self.connections.writing() as cursor:
            for statement, values in self._list_statements(ready):
                cursor.executemany(statement, values)
        return [each.answer for each in ready]


class Unsaved(GroupCommit):
    """Leaves what a refused write had done until then."""

    def _commit_in_savepoint(self, cursor, ready):
        return self._try_write(cursor, ready)


class Late(SqlWriter):
    """Compares after it has written."""

    def _append(self, cursor, ready):
        cursor.executemany(self.sql.insert_event.text, ready.rows)
        super()._append(cursor, attrs.evolve(ready, rows=[]))


@pytest.mark.parametrize(
    ("broken", "why"),
    [(Uncounted, "another version"), (Uncounted, "replaced"), (Unsaved, "past mail")],
)
def test_the_contract_catches_a_group_without_its_guards(broken, why, sql_store):
    """Neither the count of rows nor the savepoints can be left out."""
    sql_store._group = broken(sql_store._connections, sql_store._writing)
    with pytest.raises((AssertionError, sqlite3.Error, StoreError)):
        WritingContract().test_a_refused_write_leaves_nothing_and_its_neighbours_alone(sql_store, why, 1)


def test_the_contract_does_not_care_when_an_append_compares(sql_store):
    """What a refused append has written until then is undone with it."""
    late = Late(**attrs.asdict(sql_store._writing, recurse=False))
    sql_store._writing, sql_store._group = late, GroupCommit(sql_store._connections, late)
    WritingContract().test_a_refused_write_leaves_nothing_and_its_neighbours_alone(sql_store, "another version", 1)


def test_a_group_survives_the_process(tmp_path):
    """A second process, or this one later, finds all of it."""
    with closing(SqlStore.from_url(url_of(tmp_path))) as store:
        answers = store.write([make_create("one"), make_create("two"), make_create("one")])
        assert StoreConflict in type(answers[2]).__mro__
    with closing(open_at(tmp_path)) as store:
        assert ["one", "two"] == [row.id for row in store.find()]
