"""Owners and leases: name the process that drives an instance, and tell whether an owner is dead.

`runtime.lease_renewal` renews the leases.
"""

from __future__ import annotations

import functools
import getpass
import os
import socket
import uuid
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import attrs

from sagafsm.errors import StoreConflict
from sagafsm.store import Owner, Store, Summary

UNKNOWN = "?"
# The drives of this process that run now. A lease of this process that is not here belongs to nobody any more.
running_drives: set[str] = set()


@functools.cache
def _identify_process(pid: int) -> str:
    """Boot, pid namespace, pid and start time: together they name one process of one machine, for all time."""
    return "/".join((_read_boot_id(), _read_pid_namespace(), str(pid), _read_start_time(pid)))


def _read_boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return UNKNOWN


def _read_pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return UNKNOWN


def _read_start_time(pid: int) -> str:
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


def create_owner(name: str) -> Owner:
    """An owner for one drive of this process."""
    return Owner(name=name, process=f"{_identify_process(os.getpid())}/{uuid.uuid4().hex}")


def is_dead(owner: Owner) -> bool:
    """Whether that drive certainly runs no more: an ended drive of this process, or a dead process of this machine.

    Where the machine cannot tell, the answer is no, and the lease runs out by itself.
    """
    identity, _, drive = owner.process.rpartition("/")
    mine = _identify_process(os.getpid())
    if UNKNOWN not in mine.split("/"):
        if identity == mine:
            return drive not in running_drives
        boot, namespace, pid, start = identity.split("/") if identity.count("/") == 3 else ("", "", "", "")
        if [boot, namespace] == mine.split("/")[:2] and pid.isdigit():
            return _read_start_time(int(pid)) not in (start, UNKNOWN)
    return False


def is_running(drive: str) -> bool:
    """Whether that drive runs in this process."""
    return drive in running_drives


def is_owned(summary: Summary) -> bool:
    """Whether somebody owns the instance who may be alive, by a lease that has not run out."""
    owner, until = summary.owner, summary.lease_until
    return owner is not None and until is not None and until > datetime.now(UTC) and not is_dead(owner)


class LeaseKeeper(Protocol):
    """Keeps the leases of running drives from running out."""

    def running(self, lease: Lease) -> AbstractContextManager[None]:
        """Count the drive of the lease as running, and renew the lease, until the block ends."""

    def close(self) -> None:
        """Renew no lease any more."""


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


def read_login_name() -> str:
    """Who is logged in, as far as the machine tells."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def build_owner_name() -> str:
    """This process, as people would look for it."""
    return f"{read_login_name()}@{socket.gethostname()}:{os.getpid()}"
