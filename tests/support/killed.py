"""A process for the exam of SIGKILL: a small saga over SQLite, whose service has a file of its own, killed at a mark.

    python killed.py FOLDER WAY MARK

A mark is a place in the code, "before b", "after undo a" or "in append 3"; at MARK the process is killed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sagafsm import NOT_DONE, AsyncOrchestrator, Context, Done, Orchestrator, Retry, Saga, open_store
from sagafsm.store import Create, Write
from sagafsm_adapters.sql import writes

WAYS = ("sync", "async")


def reach(mark: str) -> None:
    """Die here, as a process does that is killed, when this is the mark."""
    if len(sys.argv) > 3 and mark == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)


class Service:
    """Idempotent by key, in a SQLite file of its own: `effects` has a row for each key, undone or not."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "service.db"
        with closing(self._open()) as db:
            db.execute("CREATE TABLE IF NOT EXISTS effects (key TEXT PRIMARY KEY, step TEXT, undone INTEGER DEFAULT 0)")
            db.execute("CREATE TABLE IF NOT EXISTS calls (call TEXT)")

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.file, isolation_level=None)

    def do(self, ctx: Context) -> str:
        reach(f"before {ctx.step}")
        if ctx.step == "c":
            raise ValueError("undeliverable")
        self.keep(ctx)
        reach(f"after {ctx.step}")
        return f"{ctx.step}!"

    def keep(self, ctx: Context) -> None:
        with closing(self._open()) as db:
            db.execute("INSERT INTO calls VALUES (?)", (ctx.step,))
            db.execute("INSERT OR IGNORE INTO effects (key, step) VALUES (?, ?)", (ctx.idempotency_key, ctx.step))

    def undo(self, ctx: Context, result: Any) -> None:
        reach(f"before undo {ctx.step}")
        with closing(self._open()) as db:
            db.execute("INSERT INTO calls VALUES (?)", (f"undo {ctx.step} of {result}",))
            db.execute("UPDATE effects SET undone = 1 WHERE key = ?", (ctx.action_key,))
        reach(f"after undo {ctx.step}")

    def probe(self, ctx: Context) -> Any:
        with closing(self._open()) as db:
            row = db.execute("SELECT step FROM effects WHERE key = ? AND NOT undone", (ctx.action_key,)).fetchone()
        return NOT_DONE if row is None else Done(f"{row[0]}!")

    def told(self, query: str) -> list[tuple[Any, ...]]:
        with closing(self._open()) as db:
            return db.execute(query).fetchall()


def saga(folder: Path) -> Saga:
    """A and b take effect; c fails, so that both are undone."""
    service = Service(folder)
    order = Saga("order")
    for name in "abc":
        order.add_step(
            name,
            service.do,
            None if name == "c" else service.undo,
            probe=service.probe,
            retry=Retry(1),
        )
    return order


class MarkedStore:
    """A store at which the process is killed before an append and after it; the creation counts as the first."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.url, self.appends = inner, inner.url, 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def append(self, *args: Any, **kwargs: Any) -> int:
        with self._marked():
            version: int = self.inner.append(*args, **kwargs)
        return version

    def write(self, writes: Sequence[Write]) -> Sequence[int | Exception]:
        # One instance alone: a group is a creation or an append.
        if isinstance(writes[0], Create):
            return self.inner.write(writes)  # type: ignore[no-any-return]
        with self._marked():
            answers: Sequence[int | Exception] = self.inner.write(writes)
        return answers

    @contextmanager
    def _marked(self) -> Iterator[None]:
        self.appends += 1
        reach(f"before append {self.appends}")
        yield
        reach(f"after append {self.appends}")


def kill_in_transactions() -> None:
    """Make "in append 3" a mark: within the third transaction, whose last row is not written yet (1 is the creation)."""
    transactions = itertools.count(1)
    make_event_rows = writes.make_event_rows

    def rows(*args: Any) -> Iterator[Any]:
        found, number = list(make_event_rows(*args)), next(transactions)
        for position, row in enumerate(found):
            if position == len(found) - 1:
                reach(f"in append {number}")
            yield row

    writes.make_event_rows = rows  # type: ignore[assignment]


def live(folder: Path, way: str) -> None:
    """Run one instance to its end, or to the mark."""
    order, store = saga(folder), MarkedStore(open_store(f"sqlite:///{folder}/saga.db"))
    if way == "sync":
        with Orchestrator(store, sagas=[order], owner="child") as orchestrator:
            orchestrator.run(order, "mug", id="o-1")
        return

    async def run() -> None:
        async with AsyncOrchestrator(store, sagas=[order], owner="child") as orchestrator:
            await orchestrator.run(order, "mug", id="o-1")

    asyncio.run(run())


def warm_up(folder: Path) -> None:
    """Do all once that a child does, so that it finds every module loaded and every cache filled."""
    for way in WAYS:
        (folder / way).mkdir()
        live(folder / way, way)


def main(arguments: Sequence[str]) -> None:
    folder, way, _ = arguments
    kill_in_transactions()
    live(Path(folder), way)


if __name__ == "__main__":
    main(sys.argv[1:])
