"""One connection a thread: none is leaked, none crosses a fork, none is left in a transaction."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from sagafsm.errors import StoreError
from sagafsm.testing.races import race
from sagafsm.testing.sample_histories import make_history, make_instance_completed, make_step_started, number_events
from sagafsm.testing.store_contract.base import ALICE, LEASE
from sagafsm_adapters.sql import SqlStore
from support.sqlite_files import open_at, rows, url_of
from support.tracing import in_own_thread, interrupted_at


@pytest.fixture
def sql_store(tmp_path):
    with closing(open_at(tmp_path, "synchronous=OFF")) as store:
        yield store


def open_files(folder):
    return sum(str(folder) in str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())


def test_every_thread_has_a_connection_of_its_own(sql_store):
    """Two threads never share a connection, and one thread always has the same."""
    mine = sql_store._connections.get_thread_connection()
    theirs = race(
        [lambda: (sql_store._connections.get_thread_connection(), sql_store._connections.get_thread_connection())] * 2
    )
    assert all(first is second for first, second in theirs)
    assert 3 == len({id(mine), *(id(first) for first, _ in theirs)})
    assert mine is sql_store._connections.get_thread_connection()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
def test_threads_come_and_go_without_leaving_connections(sql_store, tmp_path):
    """A connection is closed when its thread ends, without waiting for a garbage collection."""
    sql_store.create("o-1", make_history("o-1"))
    race([lambda: sql_store.load("o-1")])
    before = open_files(tmp_path)
    gc.disable()
    try:
        for _ in range(10):
            race([lambda: sql_store.load("o-1")] * 3)
        assert 1 == len(sql_store._connections._held)
        # SQLite keeps some files of closed connections for those that open next; 30 threads would leave 60 files.
        assert open_files(tmp_path) <= before + 6
    finally:
        gc.enable()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
def test_close_closes_the_connections_of_all_threads(tmp_path):
    """After close no file is open, although threads that used the store still run; closing again does nothing."""
    store = open_at(tmp_path, "synchronous=OFF")
    opened, done = threading.Barrier(4), threading.Event()

    def stay():
        store.find()
        opened.wait()
        done.wait()

    threads = [threading.Thread(target=stay) for _ in range(3)]
    for thread in threads:
        thread.start()
    opened.wait()
    assert open_files(tmp_path) > 0
    store.close()
    store.close()
    assert 0 == open_files(tmp_path)
    done.set()
    for thread in threads:
        thread.join()


def test_a_closed_store_says_so(tmp_path):
    """Whatever is asked of a closed store, on whichever thread: it is closed."""
    store = open_at(tmp_path)
    store.close()
    message = f"store {url_of(tmp_path)!r} is closed (open it again)"
    with pytest.raises(StoreError) as caught:
        store.load("o-1")
    assert message == str(caught.value)
    assert [message] == [str(error) for error in race([lambda: store.create("o-1", make_history("o-1"))])]


def test_a_store_that_nobody_closes_leaves_no_warning(tmp_path):
    """A store that is forgotten closes its connections as it goes (a warning would fail this test)."""
    store = open_at(tmp_path)
    store.create("o-1", make_history("o-1"))
    del store
    gc.collect()


@in_own_thread
def test_an_interrupt_anywhere_leaves_all_or_nothing(sql_store, tmp_path):
    """Ctrl-C at any line of an append: all of it is stored or nothing, no lock is left behind, and work goes on."""
    line, interrupts = 0, 0
    while True:
        line += 1
        instance_id = f"o-{line}"
        token = sql_store.create(instance_id, make_history(instance_id), owner=ALICE, lease=LEASE)
        end = number_events((make_step_started(), make_instance_completed()), after=1)

        def append(instance_id=instance_id, end=end, token=token):
            return sql_store.append(instance_id, end, expected_version=1, token=token)

        hit = interrupted_at(line, append)
        interrupts += hit
        # What the driver does next, on the same thread: it reloads.
        stored = sql_store.load(instance_id)
        assert not sql_store._connections.get_thread_connection().raw.in_transaction
        with closing(open_at(tmp_path, "timeout=0&synchronous=OFF")) as other:
            other.create(f"beside-{line}", make_history(f"beside-{line}"))
        if stored.summary.length == 1:
            assert (make_history(instance_id), ALICE) == (stored.instance.history, stored.summary.owner)
            append()
        assert (*make_history(instance_id), *end) == sql_store.history(instance_id)
        if not hit:
            break
    assert interrupts > 40


@in_own_thread
def test_an_interrupt_while_a_connection_opens_leaves_none_open(tmp_path):
    """Ctrl-C at any line of opening: the next try works (a connection left open would warn and fail this test)."""
    line = 0
    while True:
        line += 1
        opened = []
        hit = interrupted_at(line, lambda opened=opened: opened.append(open_at(tmp_path, "synchronous=OFF")))
        for store in opened:
            store.close()
        if not hit:
            break
    gc.collect()
    assert line > 20
    with closing(open_at(tmp_path)) as store:
        store.create("o-1", make_history("o-1"))


def test_a_connection_never_crosses_a_fork(tmp_path):
    """The child of a fork opens its own connections, leaves its parent's alone, and both go on."""
    script = f"""
import os, sys, threading, warnings
warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
from sagafsm.testing.store_contract.base import ALICE, LEASE
from sagafsm.testing.sample_histories import make_history, make_instance_completed, make_step_started, number_events
from sagafsm_adapters.sql import SqlStore
store = SqlStore.from_url({url_of(tmp_path, "synchronous=OFF")!r})
token = store.create("o-1", make_history("o-1"), owner=ALICE, lease=LEASE)
ready, done = threading.Event(), threading.Event()
def hold():
    store.load("o-1")
    ready.set()
    done.wait()
thread = threading.Thread(target=hold)
thread.start()
ready.wait()
parents = id(store._connections.get_thread_connection().raw)
child = os.fork()
if child == 0:
    held = store._connections.get_thread_connection()
    assert id(held.raw) != parents and held.raw.process == os.getpid()
    store.append("o-1", number_events((make_step_started(),), after=1), expected_version=1, token=token)
    store.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert store.append("o-1", number_events((make_instance_completed(),), after=2), expected_version=2, token=token) == 3
done.set()
thread.join()
store.close()
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert [("ok",)] == rows(tmp_path, "PRAGMA integrity_check")
    with closing(open_at(tmp_path)) as store:
        assert make_history("o-1", make_step_started(), make_instance_completed()) == store.history("o-1")


def test_many_processes_append_to_one_file(tmp_path):
    """Processes that share a file keep its laws: each claim has one owner, every append is there."""
    script = f"""
import sys
from datetime import timedelta
from sagafsm.errors import StoreConflict
from sagafsm.store import Owner
from sagafsm.testing.sample_histories import make_step_succeeded, number_events
from sagafsm_adapters.sql import SqlStore
store = SqlStore.from_url({url_of(tmp_path, "synchronous=OFF&timeout=30")!r})
me, appended = Owner(name=sys.argv[1], process=sys.argv[1]), 0
while appended < 10:
    try:
        token = store.claim("o-1", owner=me, lease=timedelta(seconds=30))
    except StoreConflict:
        continue
    version = store.load("o-1").summary.length
    store.append("o-1", number_events((make_step_succeeded(),), after=version), expected_version=version, token=token)
    store.release("o-1", token=token)
    appended += 1
store.close()
"""
    with closing(SqlStore.from_url(url_of(tmp_path))) as store:
        store.create("o-1", make_history("o-1", make_step_started()))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    children = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", script, name], stderr=subprocess.PIPE, env=environment)
        for name in ("alice", "bob", "carol")
    ]
    assert [(b"", 0)] * 3 == [(child.communicate()[1], child.returncode) for child in children]
    with closing(open_at(tmp_path)) as store:
        assert 32 == store.load("o-1").summary.length
