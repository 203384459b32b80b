"""Who drives what: leases that are renewed on a thread of their own, and how to tell that an owner is dead."""

from __future__ import annotations

import functools
import logging
import os
import threading
import uuid
import weakref
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs

from sagafsm.drivers.workers import forget_at_fork
from sagafsm.errors import SagaError, StoreConflict
from sagafsm.store import Owner, Store, Summary

log = logging.getLogger("sagafsm")
UNKNOWN = "?"

# The drives of this process that run now. A lease of this process that is not here belongs to nobody any more.
_running: set[str] = set()


@functools.cache
def _identity(pid: int) -> str:
    """Boot, pid namespace, pid and start time: together they name one process of one machine, for all time."""
    return "/".join((_boot(), _namespace(), str(pid), _start_time(pid)))


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return UNKNOWN


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return UNKNOWN


def _start_time(pid: int) -> str:
    """In clock ticks since boot (proc_pid_stat(5), field 22); "" when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError:
        return UNKNOWN
    # The command's name, in parentheses, may itself hold spaces and parentheses. A zombie runs no more.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]


def new_owner(name: str) -> Owner:
    """An owner for one drive of this process."""
    return Owner(name=name, process=f"{_identity(os.getpid())}/{uuid.uuid4().hex}")


def is_dead(owner: Owner) -> bool:
    """Whether that drive certainly runs no more: an ended drive of this process, or a dead process of this machine.

    Where the machine cannot tell, the answer is no, and the lease runs out by itself.
    """
    identity, _, drive = owner.process.rpartition("/")
    mine = _identity(os.getpid())
    if UNKNOWN not in mine.split("/"):
        if identity == mine:
            return drive not in _running
        boot, namespace, pid, start = identity.split("/") if identity.count("/") == 3 else ("", "", "", "")
        if [boot, namespace] == mine.split("/")[:2] and pid.isdigit():
            return _start_time(int(pid)) not in (start, UNKNOWN)
    return False


def is_running(drive: str) -> bool:
    """Whether that drive runs in this process."""
    return drive in _running


def is_owned(summary: Summary) -> bool:
    """Whether somebody owns the instance who may be alive, by a lease that has not run out."""
    owner, until = summary.owner, summary.lease_until
    return owner is not None and until is not None and until > datetime.now(UTC) and not is_dead(owner)


@attrs.define(eq=False)
class Lease:
    """The claim of one running drive.

    `token` is None until the store has granted it; `lost` says how somebody else took the instance; `released`: the
    last append gave it up, as one that ends or blocks the instance does.
    """

    store: Store
    instance_id: str
    owner: Owner
    token: int | None = None
    released: bool = False
    lost: StoreConflict | None = None
    drive: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        # What tells this drive from every other.
        self.drive = self.owner.process.rpartition("/")[2]

    def check(self) -> None:
        """Raise the conflict that ended the claim, if one did."""
        if self.lost is not None:
            raise self.lost


@attrs.define(eq=False)
class LeaseKeeper:
    """Renews the leases of the drives that run, three times in each lease, on a thread that ends with it."""

    lease: timedelta
    _held: set[Lease] = attrs.field(factory=set, init=False)
    _closed: threading.Event = attrs.field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        forget_at_fork(self)

    def forget(self) -> None:
        """In the child of a fork there is no such thread, and the leases are the parent's."""
        closed = self._closed.is_set()
        self._held, self._thread, self._lock, self._closed = set(), None, threading.Lock(), threading.Event()
        if closed:
            self._closed.set()

    def running(self, lease: Lease) -> Running:
        """Count the drive as running, and renew its lease, until the block ends."""
        return Running(self, lease)

    def begin(self, lease: Lease) -> None:
        """Renew a lease from now on."""
        with self._lock:
            self._held.add(lease)
            self._begin()

    def end(self, lease: Lease) -> None:
        """Renew it no more."""
        with self._lock:
            self._held.discard(lease)

    def _begin(self) -> None:
        if self._thread is None and not self._closed.is_set():
            # The thread knows its keeper weakly: one that nobody closes ends when it is forgotten.
            arguments = (weakref.ref(self), self._closed, self.lease.total_seconds() / 3)
            self._thread = threading.Thread(target=_renew_all, args=arguments, name="sagafsm-leases", daemon=True)
            self._thread.start()

    def renew(self) -> None:
        """Renew every lease now; note those that are lost."""
        with self._lock:
            held = [(lease, lease.token) for lease in self._held if lease.token is not None and not lease.released]
        for lease, token in held:
            try:
                lease.store.renew(lease.instance_id, token=token, lease=self.lease)
            except StoreConflict as conflict:
                with self._lock:
                    # A drive that ended, or gave the instance up, meanwhile has lost nothing.
                    if lease in self._held and not lease.released:
                        lease.lost = conflict
            except SagaError:
                # The store may answer again before the lease runs out; every append checks the token anyway.
                log.warning("lease of instance %r could not be renewed", lease.instance_id, exc_info=True)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()


class Running:
    """A block during which a drive counts as running. A class, not a generator: every instance comes by here."""

    __slots__ = ("_keeper", "_lease")

    def __init__(self, keeper: LeaseKeeper, lease: Lease) -> None:
        self._keeper, self._lease = keeper, lease

    def __enter__(self) -> None:
        _running.add(self._lease.drive)
        try:
            self._keeper.begin(self._lease)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        _running.discard(self._lease.drive)
        self._keeper.end(self._lease)


def _renew_all(keeper: weakref.ref[LeaseKeeper], closed: threading.Event, every: float) -> None:
    while not closed.wait(every):
        alive = keeper()
        if alive is None:
            return
        alive.renew()
        del alive
