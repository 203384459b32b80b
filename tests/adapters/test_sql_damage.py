"""Damage to a store's file is noticed, and named; nothing that was not written is ever read."""

from __future__ import annotations

import functools
import random
from contextlib import closing

import pytest

from sagafsm.errors import SagaError, StoreError
from sagafsm.history.event_codec import compute_checksum
from sagafsm.orchestrator import Orchestrator
from sagafsm.testing.sample_histories import (
    make_cancel_requested,
    make_history,
    make_instance_completed,
    make_step_started,
)
from sagafsm.testing.store_contract.base import ALICE, LEASE
from sagafsm_adapters.sql import rows as reading
from support.sqlite_files import behind, body_of, flipped, open_at, rows, url_of, with_flipped_bit


@pytest.fixture
def sql_store(tmp_path):
    with closing(open_at(tmp_path)) as store:
        yield store


def is_damaged(folder, problem):
    return f"instance 'o-1' in store {url_of(folder)!r} is damaged: {problem} (restore a backup; nothing was changed)"


def outcome(store, instance_id="o-1"):
    try:
        return store.load(instance_id)
    except SagaError as error:
        return error


@pytest.fixture
def flippable(tmp_path):
    with closing(open_at(tmp_path)) as store:
        store.import_(make_history("o-1", make_step_started(), make_cancel_requested("r-1"), make_instance_completed()))
    return tmp_path


def answers_to_flips(folder, number):
    """What was written, and what load answers to each flipped bit of an event's body."""
    with closing(open_at(folder)) as store, behind(folder) as connection:
        written = store.load("o-1")
        answers = []
        for bit in range(8 * len(body_of(connection, "o-1", number))):
            with flipped(connection, "o-1", number, bit):
                answers.append(outcome(store))
        assert written == store.load("o-1")
        return written, answers


@pytest.mark.parametrize("number", [2, 3])
def test_every_flipped_bit_of_an_event_is_noticed(flippable, number):
    """Whichever bit of a body is flipped, load says which event it is; none passes for what was written."""
    _, answers = answers_to_flips(flippable, number)
    assert {is_damaged(flippable, f"event {number} is not as it was written")} == {str(answer) for answer in answers}
    assert len(answers) >= 1000


def test_without_the_checksum_flipped_bits_pass_silently(flippable, monkeypatch):
    """The exam above can fail: with the checksum off, it does."""
    monkeypatch.setattr(reading, "_is_as_written", lambda *_: True)
    written, answers = answers_to_flips(flippable, 3)
    assert [answer for answer in answers if not isinstance(answer, SagaError) and answer != written]


def test_flipped_bits_in_the_file_are_noticed_or_harmless(flippable):
    """Bits flipped in the raw file: an error, or exactly what was written, never something else."""
    rows(flippable, "PRAGMA wal_checkpoint(TRUNCATE)")
    file = flippable / "saga.db"
    whole = file.read_bytes()
    with closing(open_at(flippable)) as store:
        written = store.load("o-1")
    event = 8 * whole.index(b'{"type":"CancelRequested"')
    chance = random.Random(20260301)
    inside = [event + chance.randrange(8 * 150) for _ in range(100)]
    anywhere = [chance.randrange(8 * len(whole)) for _ in range(200)]
    noticed = 0
    for bit in inside + anywhere:
        for left in flippable.glob("saga.db*"):
            left.unlink()
        file.write_bytes(with_flipped_bit(whole, bit))
        read = opened_outcome(flippable)
        if isinstance(read, SagaError):
            noticed += 1
        else:
            assert (bit, written.instance) == (bit, read.instance)
    assert noticed >= len(inside)


def opened_outcome(folder):
    try:
        with closing(open_at(folder, "synchronous=OFF")) as store:
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
    sql_store.import_(make_history("o-1", make_step_started(), make_instance_completed()))
    rows(tmp_path, statement)
    for read in (sql_store.load, sql_store.history):
        with pytest.raises(StoreError) as caught:
            read("o-1")
        assert is_damaged(tmp_path, problem) == str(caught.value)
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
    sql_store.import_(make_history("o-1", make_step_started(), make_instance_completed()))
    rows(tmp_path, f"UPDATE sagafsm_instances SET {change}")
    with pytest.raises(StoreError) as caught:
        sql_store.load("o-1")
    assert is_damaged(tmp_path, problem) == str(caught.value)


@pytest.mark.parametrize(
    "change",
    ["owner = 'bob'", "process = 'x'", "token = token + 4", "lease_until = '2126-03-01T12:00:00.000000+00:00'",
     "owner = CAST(x'ff' AS TEXT)", "owner = NULL", "claim_checksum = 0"],
)  # fmt: skip
def test_a_claim_that_was_changed_is_named(sql_store, tmp_path, change):
    """Nothing else tells of a claim: a lease moved by a century would hide its instance, a token its owner."""
    token = sql_store.create("o-1", make_history("o-1"), owner=ALICE, lease=LEASE)
    rows(tmp_path, f"UPDATE sagafsm_instances SET {change}")
    for call in (sql_store.load, functools.partial(sql_store.claim, owner=ALICE, lease=LEASE, replacing=token)):
        with pytest.raises(StoreError) as caught:
            call("o-1")
        assert is_damaged(tmp_path, "its claim is not as it was written") == str(caught.value)
    assert ["o-1"] == [row.id for row in sql_store.find()]


def test_an_event_of_a_newer_sagafsm_is_named(sql_store, tmp_path):
    """A kind of event that is not known here is no damage, and the error says so."""
    sql_store.import_(make_history("o-1", make_step_started()))
    body = '{"type":"StepTeleported"}'
    check = compute_checksum("o-1", 2, body)
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
    sql_store.create("o-1", make_history("o-1"))
    sql_store.post("o-1", make_cancel_requested("r-1"))
    rows(tmp_path, statement)
    with pytest.raises(StoreError) as caught:
        sql_store.mail("o-1")
    assert is_damaged(tmp_path, problem) == str(caught.value)


def test_a_row_without_a_moment_hides_no_other(sql_store, tmp_path):
    """A damaged row is listed, tells of its damage when it is loaded, and stops nobody else's recovery (law 11)."""
    for name in ("o-1", "o-2", "o-3"):
        sql_store.create(name, make_history(name))
    rows(tmp_path, "UPDATE sagafsm_instances SET updated_at = 'yesterday' WHERE id = 'o-2'")
    assert ["o-1", "o-2", "o-3"] == [summary.id for summary in sql_store.find()]
    with pytest.raises(StoreError) as caught:
        sql_store.load("o-2")
    said = str(caught.value)
    assert said.startswith(
        f"instance 'o-2' in store {url_of(tmp_path)!r} is damaged: its row says updated_at 'yesterday', its history '"
    )
    assert said.endswith("' (restore a backup; nothing was changed)")
    with Orchestrator(sql_store) as orchestrator:
        report = orchestrator.recover()
    assert said == str(report.errors["o-2"])
    assert {"o-1", "o-2", "o-3"} == report.errors.keys()
