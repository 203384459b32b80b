"""The independent cross-check: strace, which knows nothing of the shim, counts the same calls and kills at them, too.

    python -m reliability.traced FOLDER WORKLOAD

drives a workload in that folder, without the shim, and prints each event when it is durable.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from reliability.shim import environment
from reliability.workload import DATABASE, WORKLOADS, house, told

CALLS = {"pwrite64": "w", "ftruncate": "t", "fsync": "s", "fdatasync": "s", "unlink": "u", "unlinkat": "u"}
BY_NAME = {workload.name: workload for workload in WORKLOADS}


def lacking() -> str | None:
    """Why strace cannot be used here, or None."""
    if shutil.which("strace") is None:
        return "no strace (install it)"
    tried = subprocess.run(
        ["strace", "-f", "-e", "trace=write", "-o", os.devnull, "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"strace may not trace here: {tried.stderr.strip()}" if tried.returncode else None


def counted(folder: Path, workload: str) -> Counter[str]:
    """The calls of a life that nothing ends, by kind, as strace sees them."""
    log = folder / "strace"
    _live(folder, workload, "-y", "-o", str(log), "-e", f"trace={','.join(CALLS)}")
    place = re.escape(str(folder))
    # A descriptor of the database, or of its folder; or a path in it.
    line = re.compile(rf"^\d+ +(\w+)\((?:\d+<{place}(?:/{DATABASE}[^>]*)?>|(?:AT_FDCWD<[^>]*>, )?\"{place}/{DATABASE})")
    found = (line.match(text) for text in log.read_text().splitlines())
    return Counter(CALLS[match[1]] for match in found if match)


def killed(folder: Path, workload: str, write: int) -> list[str]:
    """The events told by a life that strace killed at its n-th write."""
    inject = f"inject=pwrite64:signal=SIGKILL:when={write}"
    return _live(folder, workload, "-o", os.devnull, "-e", "trace=pwrite64", "-e", inject, status=-signal.SIGKILL)


def _live(folder: Path, workload: str, *options: str, status: int = 0) -> list[str]:
    command = [
        "strace",
        "-f",
        "-qq",
        *options,
        sys.executable,
        "-m",
        "reliability.traced",
        str(folder),
        workload,
    ]
    done = subprocess.run(command, env=environment(None), capture_output=True, text=True, timeout=120, check=False)
    # strace ends as what it traced did. (With --seccomp-bpf it would be quicker, but then it injects no signal.)
    assert done.returncode in (status, 128 - status), done.stderr
    return done.stdout.splitlines()


def main(folder: Path, workload: str) -> None:
    with house(folder, lambda instance, event: os.write(1, f"{told(instance, event)}\n".encode())) as home:
        BY_NAME[workload].live(home)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
