"""Renew the leases of the drives that run in this process, on one thread."""

from __future__ import annotations

import logging
import threading
import weakref
from datetime import timedelta

import attrs

from sagafsm.engine.ownership import Lease, running_drives
from sagafsm.errors import SagaError, StoreConflict
from sagafsm.runtime.fork_safety import reset_after_fork

log = logging.getLogger("sagafsm")


@attrs.define(eq=False)
class LeaseRenewer:
    """Renews the leases of the drives that run, three times in each lease, on a thread that ends with it."""

    lease: timedelta
    _held: set[Lease] = attrs.field(factory=set, init=False)
    _closed: threading.Event = attrs.field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        reset_after_fork(self)

    def forget(self) -> None:
        """In the child of a fork there is no such thread, and the leases are the parent's."""
        closed = self._closed.is_set()
        self._held, self._thread, self._lock, self._closed = set(), None, threading.Lock(), threading.Event()
        if closed:
            self._closed.set()

    def running(self, lease: Lease) -> RunningDrive:
        """Count the drive as running, and renew its lease, until the block ends."""
        return RunningDrive(self, lease)

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


class RunningDrive:
    """A block during which a drive counts as running. A class, not a generator: every instance comes by here."""

    __slots__ = ("_keeper", "_lease")

    def __init__(self, keeper: LeaseRenewer, lease: Lease) -> None:
        self._keeper, self._lease = keeper, lease

    def __enter__(self) -> None:
        running_drives.add(self._lease.drive)
        try:
            self._keeper.begin(self._lease)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        running_drives.discard(self._lease.drive)
        self._keeper.end(self._lease)


def _renew_all(keeper: weakref.ref[LeaseRenewer], closed: threading.Event, every: float) -> None:
    while not closed.wait(every):
        alive = keeper()
        if alive is None:
            return
        alive.renew()
        del alive
