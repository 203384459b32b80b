"""A process for the exam of SIGKILL with many instances in flight: it dies at a chosen statement of its store.

    python killed_many.py FOLDER ROUND STATEMENT [keyless]

It finishes what the rounds before it left, and runs those of its own round, all at once over one SQLite file; at
STATEMENT (counted from 1; 0: never) it is killed, most probably with some of a group written and others not.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sagafsm import NOT_DONE, AsyncOrchestrator, Context, Done, Saga
from sagafsm_adapters.sql.sqlite import Connection, Sqlite

IN_FLIGHT = 64
STEPS = ("a", "b", "c")


def ids_of(round_: int) -> list[str]:
    """The instances of a round."""
    return [f"{round_:03}-{number:02}" for number in range(IN_FLIGHT)]


def fails(instance_id: str) -> bool:
    """Whether the last step of that instance is refused, so that the others are undone."""
    return int(instance_id[-2:]) % 3 == 0


class Service:
    """Idempotent by key, in a SQLite file of its own: `effects` has a row for each key, undone or not."""

    def __init__(self, folder: Path, *, keyless: bool = False) -> None:
        # SIGKILL takes nothing from the operating system: no fsync is needed.
        self.db = sqlite3.connect(folder / "service.db", isolation_level=None)
        self.db.executescript(
            "PRAGMA synchronous=OFF; CREATE TABLE IF NOT EXISTS effects "
            "(key TEXT PRIMARY KEY, instance TEXT, step TEXT, undone INTEGER DEFAULT 0)"
        )
        self.keyless = keyless

    async def do(self, ctx: Context) -> str:
        await asyncio.sleep(0)
        if ctx.step == "c" and fails(ctx.instance_id):
            raise ValueError("undeliverable")
        key = uuid.uuid4().hex if self.keyless else ctx.idempotency_key
        self.db.execute(
            "INSERT OR IGNORE INTO effects (key, instance, step) VALUES (?, ?, ?)", (key, ctx.instance_id, ctx.step)
        )
        await asyncio.sleep(0)
        return f"{ctx.step}!"

    async def undo(self, ctx: Context, result: Any) -> None:
        assert f"{ctx.step}!" == result
        self.db.execute(
            "UPDATE effects SET undone = 1 WHERE instance = ? AND step = ? AND (? OR key = ?)",
            (ctx.instance_id, ctx.step, self.keyless, ctx.action_key),
        )
        await asyncio.sleep(0)

    async def probe(self, ctx: Context) -> Any:
        row = self.db.execute("SELECT step FROM effects WHERE key = ? AND NOT undone", (ctx.action_key,)).fetchone()
        return NOT_DONE if row is None else Done(f"{row[0]}!")


def saga(service: Service) -> Saga:
    """A and b take effect; c does or is refused."""
    order = Saga("order")
    for name in STEPS:
        order.add_step(name, service.do, service.undo, probe=service.probe)
    return order


def die_at(statement: int) -> None:
    """Have the process killed when its store runs that statement; it says how far into a transaction that is."""
    count, since_begin = 0, 0

    def trace(sql: str) -> None:
        nonlocal count, since_begin
        count += 1
        since_begin = 0 if sql.startswith("BEGIN") else since_begin + 1
        if count == statement:
            os.write(2, f"{since_begin}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    connect: Callable[[Sqlite], Connection] = Sqlite.connect

    def traced(self: Sqlite) -> Connection:
        connection = connect(self)
        connection.set_trace_callback(trace)
        return connection

    Sqlite.connect = traced  # type: ignore[method-assign]


async def work(folder: Path, round_: int, *, keyless: bool) -> None:
    order = saga(Service(folder, keyless=keyless))
    ids = [name for earlier in range(round_ + 1) for name in ids_of(earlier)]
    async with AsyncOrchestrator(f"sqlite:///{folder}/saga.db?synchronous=OFF", sagas=[order]) as orchestrator:
        rests = {row.id async for row in orchestrator.find() if row.is_at_rest}
        await asyncio.gather(*(orchestrator.run(order, "mug", id=name) for name in ids if name not in rests))


def warm_up(folder: Path) -> None:
    """Do all once that a child does, so that it finds every module loaded and every cache filled."""
    asyncio.run(work(folder, 0, keyless=False))


def main(arguments: Sequence[str]) -> None:
    folder, round_, statement, *options = arguments
    if int(statement):
        die_at(int(statement))
    asyncio.run(work(Path(folder), int(round_), keyless="keyless" in options))


if __name__ == "__main__":
    main(sys.argv[1:])
