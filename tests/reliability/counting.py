"""One workload under the shim, for the cross-check: what it calls, and what is told by a life killed at a write.

python -m reliability.counting FOLDER WORKLOAD [WRITE]
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from reliability.process import Tell, forked
from reliability.shim import Shim, environment
from reliability.traced import BY_NAME
from reliability.workload import DATABASE, house, told


def live(tell: Tell, folder: Path, workload: str, write: int) -> None:
    """A life, killed before its n-th write (0: never)."""
    shim = Shim()
    shim.watch(folder / DATABASE)
    if write:
        shim.kill(write, "before")
    with house(folder, lambda instance, event: tell(told(instance, event))) as home:
        BY_NAME[workload].live(home)
    tell("calls " + "".join(call.kind for call in shim.calls()))


def ask(library: Path, folder: Path, workload: str, call: int = 0) -> list[str]:
    """The lines told by a life under the shim."""
    command = [sys.executable, "-m", "reliability.counting", str(folder), workload, str(call)]
    done = subprocess.run(command, env=environment(library), capture_output=True, text=True, timeout=60, check=True)
    answer: Any = json.loads(done.stdout)
    return list(answer)


if __name__ == "__main__":
    print(json.dumps(forked(live, Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])).told))
