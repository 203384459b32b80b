"""Law 12: an instance is somebody's while a lease runs that a living drive renews, well before it runs out."""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from sagafsm.engine.ownership import (
    UNKNOWN,
    Lease,
    _identify_process,
    _read_start_time,
    create_owner,
    is_dead,
    is_owned,
)
from sagafsm.errors import StoreConflict, StoreError
from sagafsm.runtime.lease_renewal import LeaseRenewer
from sagafsm.store import Owner, Summary

ELSEWHERE = Owner(name="other", process="another boot/0/1/2/drive")
NOW = datetime.now(UTC)
LATER, EARLIER = NOW + timedelta(hours=1), NOW - timedelta(hours=1)


def summary(owner: Owner | None, until: datetime | None) -> Summary:
    return Summary(
        id="o-1",
        saga="order",
        version=1,
        state="running:a",
        length=1,
        created_at=NOW,
        updated_at=NOW,
        owner=owner,
        lease_until=until,
    )


@attrs.define(eq=False)
class Renewals:
    """A store of which only renewals are asked; each is answered as `answers` says, and then with success."""

    answers: list[Exception] = attrs.Factory(list)
    seen: list[tuple[str, int, timedelta]] = attrs.Factory(list)
    came: threading.Event = attrs.Factory(threading.Event)

    def renew(self, instance_id: str, *, token: int, lease: timedelta) -> None:
        self.seen.append((instance_id, token, lease))
        self.came.set()
        if self.answers:
            raise self.answers.pop(0)


def lease_in(store: Any, token: int | None = 7) -> Lease:
    return Lease(store, "o-1", create_owner("me"), token)


@pytest.mark.parametrize(
    ("owner", "until", "owned"),
    [
        (None, None, False),
        (None, LATER, False),
        (ELSEWHERE, None, False),
        (ELSEWHERE, EARLIER, False),
        (ELSEWHERE, LATER, True),
    ],
)
def test_an_instance_is_owned_while_a_lease_runs(owner: Owner | None, until: datetime | None, owned: bool) -> None:
    """Without an owner, or a lease that still runs, it is nobody's."""
    assert owned == is_owned(summary(owner, until))


def test_a_lease_of_an_ended_drive_is_nobodys() -> None:
    """A drive of this process that has ended owns nothing, however long its lease would run."""
    lease, keeper = lease_in(Renewals()), LeaseRenewer(timedelta(hours=1))
    with keeper.running(lease):
        assert is_owned(summary(lease.owner, LATER))
    assert not is_owned(summary(lease.owner, LATER))
    keeper.close()


def test_a_lease_is_renewed_before_it_runs_out() -> None:
    """On a thread that keeps no process alive, and that ends with its keeper."""
    store, duration = Renewals(), timedelta(milliseconds=240)
    keeper = LeaseRenewer(duration)
    began = time.monotonic()
    with keeper.running(lease_in(store)):
        assert store.came.wait(2)
        took = time.monotonic() - began
        thread = keeper._thread
        assert thread is not None
        assert thread.daemon
    keeper.close()
    assert ("o-1", 7, duration) == store.seen[0]
    assert took < duration.total_seconds()
    assert not thread.is_alive()


def test_a_lease_is_renewed_again_and_again() -> None:
    """As long as its drive runs; afterwards no more."""
    store, keeper = Renewals(), LeaseRenewer(timedelta(milliseconds=6))
    with keeper.running(lease_in(store)):
        for _ in range(3):
            store.came.clear()
            assert store.came.wait(2)
    keeper.close()
    seen = len(store.seen)
    keeper.renew()
    assert seen == len(store.seen)


def test_what_is_not_granted_or_given_up_is_not_renewed() -> None:
    """There is nothing to renew."""
    store, keeper = Renewals(), LeaseRenewer(timedelta(hours=1))
    waiting, released, held = lease_in(store, None), lease_in(store, 1), lease_in(store, 2)
    released.released = True
    with keeper.running(waiting), keeper.running(released), keeper.running(held):
        keeper.renew()
    keeper.close()
    assert [("o-1", 2, timedelta(hours=1))] == store.seen


def test_a_lost_lease_is_noted_and_a_failing_store_is_not_a_loss() -> None:
    """Somebody else owns it: the drive hears so. The store failed: it may answer in time."""
    conflict = StoreConflict("owned by other")
    store, keeper = Renewals([StoreError("gone"), conflict]), LeaseRenewer(timedelta(hours=1))
    lease = lease_in(store)
    with keeper.running(lease):
        keeper.renew()
        lease.check()
        keeper.renew()
        with pytest.raises(StoreConflict) as caught:
            lease.check()
    keeper.close()
    assert conflict is caught.value


@pytest.mark.parametrize("how", ["ended", "given up"])
def test_a_drive_that_let_go_meanwhile_has_lost_nothing(how: str) -> None:
    """It ended, or gave the instance up with its last commit, while the store was asked: the conflict is its own."""
    keeper = LeaseRenewer(timedelta(hours=1))

    class Store(Renewals):
        def renew(self, instance_id: str, *, token: int, lease: timedelta) -> None:
            if how == "ended":
                keeper.end(mine)
            mine.released = how == "given up"
            raise StoreConflict("owned by nobody")

    mine = lease_in(Store())
    with keeper.running(mine):
        keeper.renew()
        assert mine.lost is None
    keeper.close()


def test_a_renewal_that_failed_is_logged_with_its_error(caplog: pytest.LogCaptureFixture) -> None:
    """Which instance it was, and what the store said."""
    store, keeper = Renewals([StoreError("disk gone")]), LeaseRenewer(timedelta(hours=1))
    with keeper.running(lease_in(store)):
        keeper.renew()
    keeper.close()
    assert "lease of instance 'o-1' could not be renewed" in caplog.text
    assert "disk gone" in caplog.text


@pytest.mark.parametrize("closed", [False, True])
def test_the_child_of_a_fork_renews_nothing_of_its_parents(closed: bool) -> None:
    """It has no thread and no leases; a closed keeper stays closed."""
    store, keeper = Renewals(), LeaseRenewer(timedelta(hours=1))
    keeper.begin(lease_in(store))
    former = keeper._closed
    if closed:
        keeper.close()
    keeper.forget()
    keeper.renew()
    assert ([], None, closed) == (store.seen, keeper._thread, keeper._closed.is_set())
    former.set()
    keeper.close()


LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@LINUX
def test_a_process_is_named_for_all_time() -> None:
    """By boot, namespace, pid and start; one that is not there has no start, and neither has a zombie."""
    boot, namespace, pid, start = _identify_process(os.getpid()).split("/")
    assert str(os.getpid()) == pid
    assert start.isdigit()
    assert UNKNOWN not in (boot, namespace)
    assert "" == _read_start_time(2**22 + 1)
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert "" == _read_start_time(child)
    os.waitpid(child, 0)


@LINUX
def test_the_owner_in_a_dead_process_is_dead() -> None:
    """Of this machine and namespace: its pid is gone, or another process has it. Of others nobody can tell."""
    boot, namespace, _, _ = _identify_process(os.getpid()).split("/")
    parent = os.getppid()

    def dead(identity: str) -> bool:
        return is_dead(Owner(name="other", process=f"{identity}/drive"))

    assert dead(f"{boot}/{namespace}/{2**22 + 1}/1")
    assert dead(f"{boot}/{namespace}/{parent}/0")
    assert not dead(f"{boot}/{namespace}/{parent}/{_read_start_time(parent)}")
    for strange in (f"other/{namespace}/{2**22 + 1}/1", f"{boot}/{namespace}/x/1", f"{boot}/{namespace}/1", "", "a/b"):
        assert not dead(strange)
