"""The SQL store keeps the whole contract."""

from __future__ import annotations

import random
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime

import pytest
from adapters.sqlite_files import flip_body, open_at, rows, url_of
from sqlmodel import SQLModel

from sagafsm.errors import SagaError, StoreConflict, StoreError
from sagafsm.store import Store
from sagafsm.testing import StoreContract
from sagafsm.testing.contract.base import ALICE, LEASE
from sagafsm.testing.histories import cancel, completed, created, every_event, history, numbered, started
from sagafsm_adapters.sql import SqlStore
from sagafsm_adapters.sql import rows as reading
from sagafsm_adapters.sql.tables import Base


class TestSqlStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        # No exam of the contract pulls the plug, so it forgoes the fsync.
        self.stores = [SqlStore.from_url(url_of(tmp_path, "synchronous=NORMAL"))]
        yield self.stores[0]
        for store in self.stores:
            store.close()

    def reopen(self, store):
        self.stores.append(SqlStore.from_url(store.url))
        return self.stores[-1]


@pytest.fixture
def sql_store(tmp_path):
    with closing(open_at(tmp_path)) as store:
        yield store


def test_it_is_a_store(sql_store, tmp_path):
    """The class implements the protocol and names its URL."""
    assert isinstance(sql_store, Store)
    assert url_of(tmp_path) == sql_store.url


def test_what_is_stored_outlives_the_store(tmp_path):
    """A second process, or this one later, finds all of it."""
    with closing(open_at(tmp_path)) as store:
        store.import_(every_event("o-1"))
        before = store.load("o-1")
    with closing(open_at(tmp_path)) as store:
        assert before == store.load("o-1")


def test_the_global_metadata_has_none_of_our_tables():
    """An application that creates its SQLModel tables does not create ours in its database."""
    assert [] == [name for name in SQLModel.metadata.tables if name.startswith("sagafsm")]
    assert {"sagafsm_schema", "sagafsm_instances", "sagafsm_events", "sagafsm_mail"} == set(Base.metadata.tables)


def test_the_tables_hold_what_a_person_can_read(sql_store, tmp_path):
    """States are words, moments are fixed-width UTC text, bodies are JSON."""
    sql_store.create("o-1", history("o-1", started()))
    assert [("o-1", "order", "running:reserve", 2, "2026-03-01T12:00:02.123456+00:00")] == rows(
        tmp_path, "SELECT id, saga, state, version, updated_at FROM sagafsm_instances"
    )
    assert [
        ('{"type":"StepStarted","at":"2026-03-01T12:00:02.123456+00:00","state":"running:reserve","step":"reserve",'
         '"attempt":1,"key":"reserve-key"}',)
    ] == rows(tmp_path, "SELECT body FROM sagafsm_events WHERE number = 2")  # fmt: skip


def test_moments_are_of_one_width(sql_store, tmp_path):
    """Without microseconds or in another zone: the text has the same width, so that it sorts as time does."""
    sql_store.create("o-1", (created("o-1", at=datetime(2026, 1, 1, tzinfo=UTC)),))
    assert [("2026-01-01T00:00:00.000000+00:00",)] == rows(tmp_path, "SELECT created_at FROM sagafsm_instances")


def test_first_tokens_are_random(sql_store):
    """Instances begin with a token that nobody can guess from another, and go on by one."""
    tokens = [sql_store.create(f"o-{number}", history(f"o-{number}")) for number in range(50)]
    assert 50 == len(set(tokens))
    assert all(0 < token <= 2**40 for token in tokens)
    assert tokens[0] + 1 == sql_store.claim("o-0", owner=ALICE, lease=LEASE)


def test_conflicts_say_whole_sentences(sql_store):
    """A conflict names the instance, how it stands, and what was expected."""
    token = sql_store.create("o-1", history("o-1"), owner=ALICE, lease=LEASE)
    one, two = numbered((started(),), after=1), numbered((started(),), after=2)
    for call, message in (
        (
            lambda: sql_store.append("o-1", two, expected_version=2, token=token),
            "instance 'o-1' has 1 events, not 2: somebody else appended",
        ),
        (
            lambda: sql_store.append("o-1", one, expected_version=1, token=token + 1),
            "instance 'o-1' is owned by 'alice' now: this claim is over",
        ),
        (lambda: sql_store.claim("o-1", owner=ALICE, lease=LEASE), "instance 'o-1' is owned by 'alice'"),
    ):
        with pytest.raises(StoreConflict) as caught:
            call()
        assert message == str(caught.value)


def test_events_that_do_not_fit_are_refused(sql_store):
    """Numbers that do not go on, an empty batch, a strange beginning, an impossible history: nothing is stored."""
    token = sql_store.create("o-1", history("o-1"), owner=ALICE, lease=LEASE)
    for call, message in (
        (
            lambda: sql_store.append("o-1", numbered((completed(),), after=2), expected_version=1, token=token),
            "instance 'o-1' lacks event 2: InstanceCompleted numbered 3 follows instead",
        ),
        (
            lambda: sql_store.append("o-1", (), expected_version=1, token=token),
            "instance 'o-1' was given no events to store",
        ),
        (
            lambda: sql_store.create("o-2", (completed(),)),
            "a history begins with InstanceCreated, not with InstanceCompleted",
        ),
        (lambda: sql_store.import_(()), "a history begins with InstanceCreated, not with None"),
        (
            lambda: sql_store.import_(history("o-2", started("pack"))),
            "instance 'o-2' has a history that cannot be: KeyError('pack')",
        ),
    ):
        with pytest.raises(StoreError) as caught:
            call()
        assert message == str(caught.value)
    assert ["o-1"] == [row.id for row in sql_store.find()]
    assert history("o-1") == sql_store.history("o-1")


# Damage ---------------------------------------------------------------------------------------------------------------


def outcome(store, instance_id="o-1"):
    try:
        return store.load(instance_id)
    except SagaError as error:
        return error


def flips_that_pass_silently(folder, *, number, bits):
    """Which flipped bits of an event's body give another instance than was written, and no error."""
    silent = []
    with closing(open_at(folder)) as store:
        written = store.load("o-1")
        for bit in bits:
            undo = flip_body(folder, "o-1", number, bit)
            read = outcome(store)
            if isinstance(read, SagaError):
                assert f"event {number} is not as it was written" in str(read)
            elif read != written:
                silent.append(bit)
            undo()
        assert written == store.load("o-1")
    return silent


@pytest.fixture
def flippable(tmp_path):
    with closing(open_at(tmp_path)) as store:
        store.import_(history("o-1", started(), cancel("r-1"), completed()))
    return tmp_path


def bits_of(folder, number):
    return range(
        8 * rows(folder, f"SELECT length(CAST(body AS BLOB)) FROM sagafsm_events WHERE number = {number}")[0][0]
    )


@pytest.mark.parametrize("number", [2, 3])
def test_every_flipped_bit_of_an_event_is_noticed(flippable, number):
    """Whichever bit of a body is flipped, load says which event it is; none passes for what was written."""
    assert [] == flips_that_pass_silently(flippable, number=number, bits=bits_of(flippable, number))


def test_without_the_checksum_flipped_bits_pass_silently(flippable, monkeypatch):
    """The exam above can fail: with the checksum off, it does."""
    monkeypatch.setattr(reading, "_is_as_written", lambda *_: True)
    silent = []
    with closing(open_at(flippable)) as store:
        written = store.load("o-1")
        for bit in bits_of(flippable, 3):
            undo = flip_body(flippable, "o-1", 3, bit)
            try:
                read = store.load("o-1")
            except (SagaError, KeyError, UnicodeError):
                read = written
            if read != written:
                silent.append(bit)
            undo()
    assert silent


def test_flipped_bits_in_the_file_are_noticed_or_harmless(flippable):
    """Bits flipped in the raw file: an error, or exactly what was written, never something else."""
    file = flippable / "saga.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = file.read_bytes()
    with closing(open_at(flippable)) as store:
        written = store.load("o-1")
    start = whole.index(b'{"type":"CancelRequested"', whole.index(b'{"type":"InstanceCreated"') - 2000)
    chance = random.Random(20260301)
    inside = [start * 8 + chance.randrange(8 * 150) for _ in range(100)]
    anywhere = [chance.randrange(8 * len(whole)) for _ in range(200)]
    noticed = 0
    for bit in inside + anywhere:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        for left in flippable.glob("saga.db*"):
            left.unlink()
        file.write_bytes(damaged)
        read = opened_outcome(flippable)
        noticed += isinstance(read, SagaError)
        if not isinstance(read, SagaError):
            assert (written.instance, written.summary.version) == (read.instance, read.summary.version), bit
    assert noticed > 60


def opened_outcome(folder):
    try:
        with closing(open_at(folder)) as store:
            return outcome(store)
    except SagaError as error:
        return error


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM sagafsm_events WHERE number = 2", "event 2 is missing"),
        ("DELETE FROM sagafsm_events WHERE number = 1", "event 1 is missing"),
        ("DELETE FROM sagafsm_events WHERE number = 3", "its row says 3 events, its history has 2"),
        ("DELETE FROM sagafsm_events", "its row says 3 events, its history has 0"),
        ("UPDATE sagafsm_events SET number = 4 WHERE number = 3", "event 3 is missing"),
        ("UPDATE sagafsm_events SET checksum = checksum + 1 WHERE number = 2", "event 2 is not as it was written"),
        ("UPDATE sagafsm_events SET body = NULLIF(body, 'x') || ' ' WHERE number = 2", "event 2 is not as it was written"),
        ("UPDATE sagafsm_events SET body = CAST(body AS BLOB) WHERE number = 2", "event 2 is not as it was written"),
        ("UPDATE sagafsm_instances SET version = 2", "its row says 2 events, its history has 3"),
    ],
)  # fmt: skip
def test_a_damaged_history_is_named(sql_store, tmp_path, statement, problem):
    """What is missing, doubled or changed in a history is named by load and by history; find still works."""
    sql_store.import_(history("o-1", started(), completed()))
    rows(tmp_path, statement)
    for read in (sql_store.load, sql_store.history):
        with pytest.raises(StoreError) as caught:
            read("o-1")
        assert (
            f"instance 'o-1' in store {url_of(tmp_path)!r} is damaged: {problem} (restore a backup; nothing was changed)"
            == str(caught.value)
        )
    assert ["o-1"] == [row.id for row in sql_store.find()]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("state = 'failed'", "its row says state 'failed', its history 'completed'"),
        ("unfinished = 1", "its row says unfinished 1, its history 0"),
        ("saga = 'refund'", "its row says saga 'refund', its history 'order'"),
        ("blocked = 'in_doubt'", "its row says blocked 'in_doubt', its history None"),
        (
            "wake_at = '2026-03-01T12:00:02.123456+00:00'",
            "its row says wake_at '2026-03-01T12:00:02.123456+00:00', its history None",
        ),
    ],
)
def test_a_row_that_its_history_contradicts_is_named(sql_store, tmp_path, change, problem):
    """The row is checked against the folded history: the history is the truth."""
    sql_store.import_(history("o-1", started(), completed()))
    rows(tmp_path, f"UPDATE sagafsm_instances SET {change}")
    with pytest.raises(StoreError) as caught:
        sql_store.load("o-1")
    assert (
        f"instance 'o-1' in store {url_of(tmp_path)!r} is damaged: {problem} (restore a backup; nothing was changed)"
        == str(caught.value)
    )


def test_an_event_of_a_newer_sagafsm_is_named(sql_store, tmp_path):
    """A kind of event that is not known here is no damage, and the error says so."""
    sql_store.import_(history("o-1", started()))
    body = '{"type":"StepTeleported"}'
    check = reading.checksum("o-1", 2, body)
    rows(tmp_path, f"UPDATE sagafsm_events SET body = '{body}', checksum = {check} WHERE number = 2")
    with pytest.raises(StoreError) as caught:
        sql_store.load("o-1")
    assert (
        f"instance 'o-1' in store {url_of(tmp_path)!r}: event 2 cannot be read: KeyError('StepTeleported') "
        f"(written by a newer sagafsm?)"
    ) == str(caught.value)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE sagafsm_mail SET body = replace(body, 'mind', 'kind')", "request 1 in its mailbox is not as it was written"),
        ("DELETE FROM sagafsm_mail", "its row says 1 requests, its mailbox has 0"),
        ("UPDATE sagafsm_instances SET mail = 2", "its row says 2 requests, its mailbox has 1"),
    ],
)  # fmt: skip
def test_a_damaged_mailbox_is_named(sql_store, tmp_path, statement, problem):
    """Mail that was changed or lost is an error; otherwise its owner would look for it for ever."""
    sql_store.create("o-1", history("o-1"))
    sql_store.post("o-1", cancel("r-1"))
    rows(tmp_path, statement)
    with pytest.raises(StoreError) as caught:
        sql_store.mail("o-1")
    assert (
        f"instance 'o-1' in store {url_of(tmp_path)!r} is damaged: {problem} (restore a backup; nothing was changed)"
        == str(caught.value)
    )


def test_a_row_without_a_moment_is_named_by_find(sql_store, tmp_path):
    """A summary that cannot be read names its instance."""
    sql_store.create("o-1", history("o-1"))
    rows(tmp_path, "UPDATE sagafsm_instances SET updated_at = 'yesterday'")
    with pytest.raises(StoreError) as caught:
        sql_store.find()
    assert (
        f"instance 'o-1' in store {url_of(tmp_path)!r} is damaged: its row has a moment that is none: "
        f"Invalid isoformat string: 'yesterday' (restore a backup; nothing was changed)"
    ) == str(caught.value)


# Positive controls ----------------------------------------------------------------------------------------------------


class Careless(SqlStore):
    """A store without compare-and-set: it takes every append, as if it were the next one."""

    gate = threading.Barrier(8)

    def append(self, instance_id, events, *, expected_version, token):
        summary = self.load(instance_id).summary
        if summary.version == expected_version:
            self.gate.wait()
            with self._connections.writing() as cursor:
                version = self._row(cursor, instance_id)["version"]
                numbers = numbered(events, after=version)
                cursor.executemany(self._sql.insert_event, reading.event_rows(instance_id, numbers))
                cursor.execute(
                    "UPDATE sagafsm_instances SET version = ? WHERE id = ?", (version + len(events), instance_id)
                )
        return expected_version + len(events)


def test_the_contract_catches_a_store_without_compare_and_set(tmp_path):
    """The exam of racing appends can fail: a store that takes every append does not pass it."""
    with closing(Careless(url_of(tmp_path, "synchronous=OFF"))) as store, pytest.raises(AssertionError):
        TestSqlStore().test_appends_at_one_version_race_and_one_wins(store)


def test_the_contract_catches_a_store_that_ignores_tokens(tmp_path, monkeypatch):
    """The exam of the replaced owner can fail: a store whose append does not look at the token does not pass it."""
    with closing(open_at(tmp_path)) as store:
        statements = store._sql
        text = {
            key: value.replace("AND sagafsm_instances.token = :claim", "") for key, value in statements.appends.items()
        }
        assert text != statements.appends
        import attrs

        monkeypatch.setattr(store, "_sql", attrs.evolve(statements, appends=text))
        with pytest.raises(pytest.fail.Exception):
            TestSqlStore().test_append_refuses_a_replaced_owner(store)
