"""The SQL store keeps the whole contract."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime

import attrs
import pytest
from sqlmodel import SQLModel

from sagafsm.errors import StoreConflict, StoreError
from sagafsm.store import Store
from sagafsm.testing import StoreContract
from sagafsm.testing.sample_histories import (
    make_every_event,
    make_history,
    make_instance_completed,
    make_instance_created,
    make_step_started,
    number_events,
)
from sagafsm.testing.store_contract.base import ALICE, LEASE
from sagafsm_adapters.sql import SqlStore
from sagafsm_adapters.sql import rows as reading
from sagafsm_adapters.sql.tables import Base
from support.sqlite_files import open_at, rows, url_of


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
        store.import_(make_every_event("o-1"))
        before = store.load("o-1")
    with closing(open_at(tmp_path)) as store:
        assert before == store.load("o-1")


def test_the_global_metadata_has_none_of_our_tables():
    """An application that creates its SQLModel tables does not create ours in its database."""
    assert [] == [name for name in SQLModel.metadata.tables if name.startswith("sagafsm")]
    assert {"sagafsm_schema", "sagafsm_instances", "sagafsm_events", "sagafsm_mail"} == set(Base.metadata.tables)


def test_the_tables_hold_what_a_person_can_read(sql_store, tmp_path):
    """States are words, moments are fixed-width UTC text, bodies are JSON."""
    sql_store.create("o-1", make_history("o-1", make_step_started()))
    assert [("o-1", "order", "running:reserve", 2, "2026-03-01T12:00:02.123456+00:00")] == rows(
        tmp_path, "SELECT id, saga, state, version, updated_at FROM sagafsm_instances"
    )
    body = (
        '{"type":"StepStarted","at":"2026-03-01T12:00:02.123456+00:00","state":"running:reserve","step":"reserve",'
        '"attempt":1,"key":"reserve-key"}'
    )
    assert [(body,)] == rows(tmp_path, "SELECT body FROM sagafsm_events WHERE number = 2")


def test_moments_are_of_one_width(sql_store, tmp_path):
    """Without microseconds or in another zone: the text has the same width, so that it sorts as time does."""
    sql_store.create("o-1", (make_instance_created("o-1", at=datetime(2026, 1, 1, tzinfo=UTC)),))
    assert [("2026-01-01T00:00:00.000000+00:00",)] == rows(tmp_path, "SELECT created_at FROM sagafsm_instances")


def test_first_tokens_are_random(sql_store):
    """Instances begin with a token that nobody can guess from another, and go on by one."""
    tokens = [sql_store.create(f"o-{number}", make_history(f"o-{number}")) for number in range(50)]
    assert 50 == len(set(tokens))
    assert all(0 < token <= 2**40 for token in tokens)
    assert tokens[0] + 1 == sql_store.claim("o-0", owner=ALICE, lease=LEASE)


def test_conflicts_say_whole_sentences(sql_store):
    """A conflict names the instance, how it stands, and what was expected."""
    token = sql_store.create("o-1", make_history("o-1"), owner=ALICE, lease=LEASE)
    one, two = number_events((make_step_started(),), after=1), number_events((make_step_started(),), after=2)
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
    token = sql_store.create("o-1", make_history("o-1"), owner=ALICE, lease=LEASE)
    for call, message in (
        (
            lambda: sql_store.append(
                "o-1", number_events((make_instance_completed(),), after=2), expected_version=1, token=token
            ),
            "instance 'o-1' lacks event 2: InstanceCompleted numbered 3 follows instead",
        ),
        (
            lambda: sql_store.append("o-1", (), expected_version=1, token=token),
            "instance 'o-1' was given no events to store",
        ),
        (
            lambda: sql_store.create("o-2", (make_instance_completed(),)),
            "a history begins with InstanceCreated, not with InstanceCompleted",
        ),
        (lambda: sql_store.import_(()), "a history begins with InstanceCreated, not with None"),
        (
            lambda: sql_store.import_(make_history("o-2", make_step_started("pack"))),
            "instance 'o-2' has a history that cannot be: KeyError('pack')",
        ),
    ):
        with pytest.raises(StoreError) as caught:
            call()
        assert message == str(caught.value)
    assert ["o-1"] == [row.id for row in sql_store.find()]
    assert make_history("o-1") == sql_store.history("o-1")


# Positive controls ----------------------------------------------------------------------------------------------------


class Careless(SqlStore):
    """A store without compare-and-set: it takes every append, as if it were the next one."""

    gate = threading.Barrier(8)

    def append(self, instance_id, events, *, expected_version, token):
        summary = self.load(instance_id).summary
        if summary.length == expected_version:
            self.gate.wait()
            with self._connections.writing() as cursor:
                version = self._read_row(cursor, instance_id)["version"]
                numbers = number_events(events, after=version)
                cursor.executemany(self._sql.insert_event.text, reading.make_event_rows(instance_id, numbers))
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
            key: attrs.evolve(value, text=value.text.replace("sagafsm_instances.token = ?", "? IS NOT NULL"))
            for key, value in statements.appends.items()
        }
        assert text != statements.appends
        blind = attrs.evolve(store._writing, sql=attrs.evolve(statements, appends=text))
        monkeypatch.setattr(store, "_writing", blind)
        with pytest.raises(pytest.fail.Exception):
            TestSqlStore().test_append_refuses_a_replaced_owner(store)
