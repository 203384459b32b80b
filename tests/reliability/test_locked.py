"""A file that another process holds: told as what it is; when it is free again all goes on, and nothing is lost.

Files and folders without permission are in tests/adapters/test_sqlite.py.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reliability.judge import judge, tells
from reliability.process import Tell, begun
from reliability.workload import DATABASE, WORKLOADS, house
from sagafsm import StoreError
from sagafsm_adapters.sql import SqlStore


def hold(tell: Tell, folder: Path) -> None:
    """Lock the file, and keep it so."""
    connection = sqlite3.connect(folder / DATABASE, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    tell("locked")
    signal.pause()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The file, locked by another process until the block ends."""
    child, ear = begun(hold, folder)
    assert b"locked\n" == os.read(ear, 100)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ear)


@pytest.mark.parametrize("number", [1, 2, 5, 9])
def test_a_lock_in_the_middle_of_a_life(number: int, tmp_path: Path) -> None:
    """Locked by another process, beyond the timeout, after that event: a StoreError, and all in order afterwards."""
    SqlStore(f"sqlite:///{tmp_path}/{DATABASE}").close()
    workload, told = WORKLOADS[1], list[str]()
    lock = held(tmp_path)

    def listen(instance, event):
        tells(told.append)(instance, event)
        if event.number == number:
            lock.__enter__()

    query = "?timeout=0.05"
    with house(tmp_path, listen, query=query) as home:
        try:
            with pytest.raises(StoreError) as caught:
                workload.live(home)
        finally:
            lock.__exit__(None, None, None)
    assert (
        f"store 'sqlite:///{tmp_path}/{DATABASE}{query}' is locked: another process has held it for longer than "
        f"timeout=0.05 s (let it finish, or allow more in the URL)"
    ) == str(caught.value)
    judge(tmp_path, workload, told)
