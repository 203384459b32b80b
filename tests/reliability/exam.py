"""What all exams share: a report, and a process of its own for each share of an exam, with the shim in it."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from reliability import shim

WORST = 5  # breaches are alike: after so many there is nothing to learn from more


@attrs.define
class Report:
    """What an exam found: counts by verdict, and each breach in words."""

    counts: Counter[str] = attrs.Factory(Counter)
    breaches: list[str] = attrs.Factory(list)
    seconds: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Report) -> Report:
        """Both together, sat at the same time."""
        seconds = max(self.seconds, other.seconds)
        return Report(self.counts + other.counts, self.breaches + other.breaches, seconds, self.cpu + other.cpu)

    def cost(self, what: str) -> float:
        """How many milliseconds of CPU each of these took, all that is beside it included."""
        return 1000 * self.cpu / self.counts[what] if self.counts[what] else 0.0

    def a_second(self, what: str) -> float:
        """How many of these a second."""
        return self.counts[what] / self.seconds if self.seconds else 0.0


@attrs.frozen
class Sitting:
    """How an exam is sat: for how long, from which seed, which share of it, and with what broken on purpose."""

    folder: Path
    seconds: float
    seed: int
    share: int = 0
    shares: int = 1
    control: str = ""
    began: float = attrs.Factory(time.monotonic)

    def chance(self) -> random.Random:
        """The same for the same seed and share."""
        return random.Random(f"{self.seed}/{self.share}")

    def mine(self, things: list[Any]) -> list[Any]:
        """This share of the things, in an order of the seed's: whoever stops early has seen some of each kind."""
        shuffled = random.Random(self.seed).sample(things, len(things))
        return shuffled[self.share :: self.shares]

    def goes_on(self, report: Report) -> bool:
        """Whether there is time, and reason, for more."""
        return self.has_time() and len(report.breaches) < WORST

    def has_time(self) -> bool:
        """Whether there is time for more."""
        return time.monotonic() - self.began < self.seconds

    def folders(self) -> Iterator[Path]:
        """New, empty folders; each is removed when the next is asked for."""
        while True:
            with tempfile.TemporaryDirectory(dir=self.folder) as name:
                yield Path(name)


def sit(
    exam: str, *, seconds: float, seed: int = 1, shares: int = 1, share: int | None = None, control: str = ""
) -> Report:
    """Sit an exam in processes of their own, one a share (or one share alone); all of what they found."""
    mine = range(shares) if share is None else (share,)
    with tempfile.TemporaryDirectory(prefix="sagafsm-shim-") as name:
        env = shim.environment(shim.compiled(Path(name)))
        options = [f"--seconds={seconds}", f"--seed={seed}", f"--shares={shares}", f"--control={control}"]
        children = [
            subprocess.Popen(
                [sys.executable, "-m", f"reliability.{exam}", *options, f"--share={number}"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True,
            )
            for number in mine
        ]  # fmt: skip
        whole = Report()
        for child in children:
            answer, complaint = child.communicate()
            if child.returncode:
                raise RuntimeError(f"the exam {exam!r} could not be sat: {complaint[-3000:]}")
            told = json.loads(answer)
            whole += Report(**told | {"counts": Counter(told["counts"])})
    return whole


def main(exam: Callable[[Sitting, Report], None]) -> None:
    """Sit one share here, and print what it found as JSON."""
    parser = argparse.ArgumentParser()
    for name, kind in {"seconds": float, "seed": int, "share": int, "shares": int, "control": str}.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    report = Report()
    with shim.scratch() as folder:
        sitting = Sitting(folder=folder, **vars(parser.parse_args()))
        exam(sitting, report)
        report.seconds, report.cpu = time.monotonic() - sitting.began, sum(os.times()[:4])
    print(json.dumps(attrs.asdict(report)))
