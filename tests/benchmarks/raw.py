"""The raw baseline: the very statements that the store runs for one saga, played again by bare sqlite3."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self
from unittest import mock

import attrs

from benchmarks.workload import INPUT, saga_of
from sagafsm import Orchestrator

MODEL = "the-model-0000000"


@attrs.frozen
class Call:
    """One call of the driver: the SQL, and its parameters, one set of them or several."""

    many: bool
    sql: str
    parameters: Any

    def renamed(self, instance_id: str) -> Call:
        """The same for another instance."""
        if self.many:
            return Call(self.many, self.sql, [_renamed(row, instance_id) for row in self.parameters])
        return Call(self.many, self.sql, _renamed(self.parameters, instance_id))


def _renamed(parameters: Any, instance_id: str) -> Any:
    if isinstance(parameters, dict):
        return {name: instance_id if value == MODEL else value for name, value in parameters.items()}
    return tuple(instance_id if value == MODEL else value for value in parameters)


class Recorder:
    """Has every connection that is opened meanwhile note what it is asked to do, in `calls`."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def connect(self, *args: Any, factory: type[sqlite3.Connection] = sqlite3.Connection, **kwargs: Any) -> Any:
        """`sqlite3.connect`, noting."""
        calls = self.calls

        class Cursor(sqlite3.Cursor):
            def execute(self, sql: str, parameters: Any = (), /) -> Self:
                calls.append(Call(False, sql, parameters))
                return super().execute(sql, parameters)

            def executemany(self, sql: str, parameters: Any, /) -> Self:
                calls.append(Call(True, sql, parameters))
                return super().executemany(sql, parameters)

        class Connection(factory):  # type: ignore[misc, valid-type]
            def cursor(self) -> Any:
                return super().cursor(Cursor)

        return _connect(*args, factory=Connection, **kwargs)


_connect = sqlite3.connect


def recorded(url: str) -> tuple[Call, ...]:
    """What the store asks of the driver to run the saga of three steps once: its transactions that write."""
    recorder, saga = Recorder(), saga_of(3)
    with mock.patch.object(sqlite3, "connect", recorder.connect), Orchestrator(url, sagas=[saga]) as orchestrator:
        recorder.calls.clear()
        orchestrator.run(saga, INPUT, id=MODEL, check=True)
        return tuple(_writing(recorder.calls))


def _writing(calls: Sequence[Call]) -> Iterator[Call]:
    transaction: list[Call] = []
    for call in calls:
        transaction.append(call)
        if call.sql in ("COMMIT", "ROLLBACK"):
            if call.sql == "COMMIT" and any(_is_write(each) for each in transaction):
                yield from (each for each in transaction if _is_write(each) or each.sql[:5] in ("BEGIN", "COMMI"))
            transaction = []


def _is_write(call: Call) -> bool:
    return call.sql.startswith(("INSERT", "UPDATE", "DELETE"))


@attrs.frozen
class Raw:
    """A connection of one's own to a file of the same tables and pragmas, and what to play on it."""

    connection: sqlite3.Connection
    calls: tuple[Call, ...]

    @classmethod
    def opened(cls, path: Path, synchronous: Literal["FULL", "NORMAL"]) -> Raw:
        """Record one saga on that file, which makes its tables, and open it for playing."""
        calls = recorded(f"sqlite:///{path}?synchronous={synchronous}")
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(f"PRAGMA synchronous={synchronous}")
        return cls(connection, calls)

    @property
    def commits(self) -> int:
        """How many commits one saga makes."""
        return sum(call.sql == "COMMIT" for call in self.calls)

    @property
    def statements(self) -> int:
        """How many rows one saga inserts or updates."""
        return sum(len(call.parameters) if call.many else _is_write(call) for call in self.calls)

    def prepared(self, instance_ids: Sequence[str]) -> list[Call]:
        """The calls of these instances, so that playing them is the driver's work alone."""
        return [call.renamed(instance_id) for instance_id in instance_ids for call in self.calls]

    def play(self, calls: Sequence[Call]) -> None:
        """Make the calls."""
        cursor = self.connection.cursor()
        execute, executemany = cursor.execute, cursor.executemany
        for call in calls:
            if call.many:
                executemany(call.sql, call.parameters)
            else:
                execute(call.sql, call.parameters)
