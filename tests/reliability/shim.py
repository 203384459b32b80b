"""The shim between SQLite and the kernel: compiled on demand, preloaded into the processes that sit an exam."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

HERE = Path(__file__).parent
ROOM = 65536
KINDS = {"c": "create", "w": "write", "t": "truncate", "s": "sync", "u": "unlink", "o": "open", "r": "read"}
MOMENTS = ("before", "torn", "after")


def compiler() -> str | None:
    """The C compiler of this machine, if it has one."""
    return shutil.which("cc") or shutil.which("gcc")


def lacking() -> str | None:
    """Why the shim cannot be had here, or None."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        return f"the shim makes system calls of 64-bit Linux, and this is {sys.platform} on {platform.machine()}"
    return None if compiler() else "no C compiler (install gcc and libc6-dev, or build-essential)"


def compiled(folder: Path) -> Path:
    """The shim as a library in that folder."""
    library = folder / "shim.so"
    command = [str(compiler()), "-O2", "-Wall", "-shared", "-fPIC", "-o", str(library), str(HERE / "shim.c")]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


def environment(library: Path | None) -> dict[str, str]:
    """The environment of a process that has the shim, and finds what we import."""
    preloaded = {} if library is None else {"LD_PRELOAD": str(library)}
    # The same hashes each time: what a seed finds, it finds again.
    return os.environ | preloaded | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "0"}


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for databases: in memory where there is such a place, as no exam here needs a disk."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="sagafsm-", dir=place) as name:
        yield Path(name)


@attrs.frozen
class Call:
    """One counted call: what it did, to which file."""

    kind: str
    role: str

    def __str__(self) -> str:
        return f"{KINDS[self.kind]} {self.role}"


class Shim:
    """The shim of this process, which was started with it."""

    def __init__(self) -> None:
        self._calls = ctypes.CDLL(None)
        if not hasattr(self._calls, "shim_watch"):
            raise RuntimeError("this process was started without the shim (see shim.environment)")

    def watch(self, database: Path, *, reads: bool = False) -> None:
        """Count the calls on this database from now on, beginning at 1; with `reads` those that read, too."""
        self._calls.shim_watch(str(database).encode())
        if reads:
            self._calls.shim_count_reads()

    def kill(self, number: int, moment: str, torn_at: int = 0) -> None:
        """Die before or after that call, or after `torn_at` bytes of what it writes."""
        self._calls.shim_kill(ctypes.c_long(number), MOMENTS.index(moment), ctypes.c_size_t(torn_at))

    def fail(self, number: int, error: int, *, lasting: bool) -> None:
        """Refuse that call, and with `lasting` every later one."""
        self._calls.shim_fail(ctypes.c_long(number), error, int(lasting))

    def record(self, descriptor: int) -> None:
        """Write down every change and every sync."""
        self._calls.shim_record(descriptor)

    def mark(self, text: str) -> None:
        """Write down that this happened between two calls."""
        self._calls.shim_mark(text.encode())

    def calls(self) -> list[Call]:
        """What was counted."""
        kinds, roles = ctypes.create_string_buffer(ROOM), ctypes.create_string_buffer(ROOM)
        count = min(self._calls.shim_calls(kinds, roles, ctypes.c_long(ROOM)), ROOM)
        return [
            Call(kind, role) for kind, role in zip(kinds.raw[:count].decode(), roles.raw[:count].decode(), strict=True)
        ]
