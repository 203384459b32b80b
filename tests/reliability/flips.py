"""Single bits of a database file, flipped: what is then read is an error that names the damage, or what was written.

One kind is known to pass: the index by which `find` looks for what is due is SQLite's own, without a checksum. A bit of
it can hide an instance, or alter the id under which it is listed; only `PRAGMA integrity_check`, which reads the whole
file, tells. Those are counted apart, and nothing but what `find(due=)` answers may differ in them.
"""

from __future__ import annotations

import functools
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reliability.exam import Report, Sitting, main
from reliability.workload import DATABASE, SAGAS, house
from sagafsm.errors import SagaError
from sagafsm.history.events import SignalReceived
from sagafsm.store import Owner
from sagafsm_adapters.sql import SqlStore, rows
from support.sqlite_files import with_flipped_bit

LATER = datetime(2999, 1, 1, tzinfo=UTC)
WRITTEN = 0.9
ENOUGH = 10_000
INDEX = "in the index, told by integrity_check alone"
CLAIM = ("owner", "token", "lease_until")
IDS = ("letter-1", "letter-2", "order-1", "order-2", "order-3", "order-4", "order-5")


def written(folder: Path) -> bytes:
    """A database with an instance in each state of affairs: at rest, blocked, waiting, with mail, owned, not begun."""
    with house(folder) as home:
        home.begin("order-1", "mug")
        home.begin("order-2", "nothing")
        home.begin("order-3", "stuck")
        home.begin("letter-1", "hello")
        home.begin("letter-2", "hello")
        signal = SignalReceived(request_id="word", name="word", payload_json='"go"', at=datetime.now(UTC), number=0)
        home.store.post("letter-2", signal)
        home.orchestrator.start(SAGAS["order"], "mug", id="order-4")
        home.orchestrator.start(SAGAS["order"], "mug", id="order-5")
        owner = Owner(name="somebody", process="boot/pid:[1]/17/1234/0123456789abcdef0123456789abcdef")
        home.store.claim("order-5", owner=owner, lease=timedelta(hours=1))
    return (folder / DATABASE).read_bytes()


def questions(store: SqlStore) -> dict[str, Callable[[], Any]]:
    """All that is asked of a store."""
    asked: dict[str, Callable[[], Any]] = {"find": store.find, "find due": functools.partial(store.find, due=LATER)}
    for id in IDS:
        asked |= {f"{name} {id}": functools.partial(getattr(store, name), id) for name in ("load", "mail")}
    return asked | {"history": functools.partial(store.history, IDS[0])}


def read(url: str, chance: random.Random) -> dict[str, Any]:
    """What the store reads of that database, by what was asked, up to the first error; in any order."""
    try:
        store = SqlStore.from_url(url)
    except SagaError as error:
        return {"open": error}
    answers: dict[str, Any] = {}
    with closing(store):
        asked = list(questions(store).items())
        for question, call in chance.sample(asked, len(asked)):
            try:
                answers[question] = call()
            except SagaError as error:
                return {question: error}
    return answers


def verdict(expected: dict[str, Any], found: dict[str, Any], url: str) -> str:
    """What a reading says of a flip.

    An error that does not name the store is no answer to somebody who has several.
    """
    error = next(iter(found.values()))
    if isinstance(error, SagaError):
        return "named" if url in str(error) else f"not named: {error}"
    if expected == found:
        return "harmless"
    differing = {question for question in expected if expected[question] != found[question]}
    if differing == {"find due"} and not is_intact(url.removeprefix("sqlite:///").partition("?")[0]):
        return INDEX
    return f"silent: {differences(expected, found)}"


def is_intact(path: str) -> bool:
    """Whether SQLite's own check of a whole file has nothing to complain of; it may also raise what it finds."""
    with closing(sqlite3.connect(path)) as file:
        try:
            return [("ok",)] == file.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.DatabaseError:
            return False


def differences(expected: dict[str, Any], found: dict[str, Any]) -> str:
    """Where two readings differ, by question and attribute."""
    told = []
    for question, answer in expected.items():
        other = found[question]
        if question.startswith("load") and answer != other:
            attributes = [name for name in CLAIM if getattr(answer.summary, name) != getattr(other.summary, name)]
            told.append(f"{question}: {', '.join(attributes) or f'{answer!r} -> {other!r}'}")
        elif question.startswith("find") and answer != other:
            told.append(f"{question}: {[row.id for row in answer]} -> {[row.id for row in other]}")
        elif answer != other:
            told.append(f"{question}: {answer!r} -> {other!r}")
    return "; ".join(told)


def exam(sitting: Sitting, report: Report) -> None:
    """Flip one bit after another, anywhere in the file, as long as there is time."""
    folder = sitting.folder / "written"
    folder.mkdir()
    whole = written(folder)
    told = [byte for byte, value in enumerate(whole) if value]
    file = sitting.folder / "flipped.db"
    url = f"sqlite:///{file}?synchronous=OFF"
    chance = sitting.chance()
    if sitting.control == "checksums not looked at":
        rows._is_as_written = lambda *_: True  # type: ignore[assignment]
    file.write_bytes(whole)
    expected = read(url, chance)
    while sitting.goes_on(report) and report.counts["flips"] < ENOUGH // sitting.shares:
        # Most of them where something is written: half of the file is empty space.
        byte = chance.choice(told) if chance.random() < WRITTEN else chance.randrange(len(whole))
        bit = 8 * byte + chance.randrange(8)
        for left in file.parent.glob("flipped.db*"):
            left.unlink()
        file.write_bytes(with_flipped_bit(whole, bit))
        report.counts["flips"] += 1
        try:
            said = verdict(expected, read(url, chance), url)
        except Exception as error:
            said = f"escaped: {error!r}"
        report.counts[said.partition(":")[0]] += 1
        if said not in ("named", "harmless", INDEX):
            report.breaches.append(f"bit {bit % 8} of byte {byte} (page {byte // 4096 + 1}): {said}")


if __name__ == "__main__":
    main(exam)
