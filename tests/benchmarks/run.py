"""Measures the figures that sagafsm is to reach, and prints them beside their targets, raw baselines and peers.

    python tests/benchmarks/run.py [--quick] [--only GROUP] [--json] [--svg FILE] [--folder FOLDER]

Ratios hold between works of one run, taken in turns; every number is a median. Run it on an idle machine, with the
extra `bench` installed for the peers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    # In place of this script's folder, whose modules are a package.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.bench import Bench, fsync_us
from benchmarks.measuring import QUICK, Effort
from benchmarks.peers.asking import Peers
from benchmarks.picture import svg
from benchmarks.report import Report
from benchmarks.rows import GROUPS, measure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the table, or JSON."""
    asked = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        report = _measured(Path(folder), QUICK if asked.quick else Effort(), asked.only or list(GROUPS))
    if asked.json:
        print(report.to_json())
    else:
        report.print()
    if asked.svg is not None:
        asked.svg.write_text(svg(report.measured.bars), encoding="utf-8")


def _measured(folder: Path, effort: Effort, groups: Sequence[str]) -> Report:
    peers = Peers(effort.peer_sagas, folder)
    bench = Bench(effort=effort, folder=folder, peers=peers)
    # Before the files of the stores are there: writing those back would count, too.
    fsync = fsync_us(folder)
    measured = measure(bench, groups, lambda name: print(f"measuring {name} ...", file=sys.stderr, flush=True))
    return Report(measured=measured, skipped=peers.skipped, fsync_us=fsync)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything, for a first look")
    parser.add_argument("--only", action="append", choices=list(GROUPS), help="this group of rows (repeatable)")
    parser.add_argument("--json", action="store_true", help="JSON instead of the table")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the bars into this file")
    parser.add_argument("--folder", type=Path, help="the disk to measure; default: the temporary folder's")
    return parser


if __name__ == "__main__":
    main()
