"""What every group of rows is given: how much to do, where files may lie, and what the peers cost."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import attrs

from benchmarks.measuring import Effort
from benchmarks.peers.asking import Peers


@attrs.frozen(kw_only=True)
class Bench:
    """One run of the benchmarks."""

    effort: Effort
    folder: Path
    peers: Peers

    def url(self, name: str, synchronous: str) -> str:
        """The URL of a store in the folder of this run."""
        return f"sqlite:///{self.folder / name}.db?synchronous={synchronous}"


def fsync_us(folder: Path, *, times: int = 200) -> float:
    """What one fsync of 4 KiB at the end of a file costs on the disk of this folder: the median, in µs."""
    found = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"\0" * 4096)
            began = time.perf_counter()
            os.fsync(file.fileno())
            found.append(time.perf_counter() - began)
    return statistics.median(found) * 1e6
