"""Real SIGKILL at every write call of SQLite's, and at those of the recovery that follows, once and again."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from reliability.exam import WORST, Report, Sitting, main
from reliability.judge import judge, tells
from reliability.process import ForkServer, Tell
from reliability.shim import Call, Shim
from reliability.workload import DATABASE, WORKLOADS, Workload, house
from sagafsm_adapters.sql import SqlStore
from support.broken import Lagging

TEARS = (1, 12, 512, 2048)  # a frame of the log is 24 bytes and a page of 4096; a sector has 512
STORES: dict[str, Any] = {"": lambda store: store, "outcome recorded too late": Lagging}
AT_LEAST = 50  # kills of recoveries, however slow the machine is
RECOVERY_AGAIN = 0.3  # the part of the chains whose second recovery is killed, too


@attrs.frozen
class Blow:
    """A SIGKILL at one call."""

    number: int
    moment: str
    torn_at: int = 0

    def __str__(self) -> str:
        return f"{self.moment} call {self.number}" + (f" after {self.torn_at} bytes" if self.torn_at else "")


def blows(calls: list[Call]) -> list[Blow]:
    """Every way to die at one of these calls."""
    found = []
    for number, call in enumerate(calls, start=1):
        found += [Blow(number, "before"), Blow(number, "after")]
        if call.kind == "w":
            found.append(Blow(number, "torn", TEARS[number % len(TEARS)]))
    return found


def live(tell: Tell, folder: Path, workload: Workload, blow: Blow | None, control: str, recover: bool) -> None:
    """A life that a blow ends: drives the workload, or recovers what an earlier life left."""
    shim = Shim()
    shim.watch(folder / DATABASE)
    if blow is not None:
        shim.kill(blow.number, blow.moment, blow.torn_at)
    with house(folder, tells(tell), store_of=STORES[control]) as home:
        if recover:
            home.orchestrator.recover()
        workload.live(home)


def prepared(folder: Path) -> Path:
    """A database with its tables, and nothing else, to be copied: making them is killed in one workload only."""
    template = folder / "template"
    template.mkdir()
    SqlStore(f"sqlite:///{template}/{DATABASE}").close()
    return template / DATABASE


@attrs.define
class Killing:
    """Kills, recovers and judges."""

    sitting: Sitting
    report: Report
    template: Path
    server: ForkServer
    shim: Shim = attrs.Factory(Shim)
    folders: Iterator[Path] = attrs.Factory(lambda self: self.sitting.folders(), takes_self=True)

    def dry(self, workload: Workload) -> list[Call]:
        """The calls of a life that nothing ends; made in this process, which lives as a child does."""
        folder = self._new(workload)
        self.shim.watch(folder / DATABASE)
        with house(folder) as home:
            workload.live(home)
        return self.shim.calls()

    def _new(self, workload: Workload) -> Path:
        folder = next(self.folders)
        if not workload.fresh:
            shutil.copy(self.template, folder / DATABASE)
        return folder

    def chain(self, workload: Workload, chain: list[Blow]) -> list[Call]:
        """Live and die by each blow in turn, then recover undisturbed; the calls that this last recovery made."""
        folder, told = self._new(workload), []
        counts = self.report.counts
        try:
            for number, blow in enumerate(chain):
                ended = self.server.run(live, folder, workload, blow, self.sitting.control, number > 0)
                told += ended.told
                if not ended.expect_killed():
                    counts["not reached"] += 1
                    break
                counts["kills"] += 1
                counts[f"kills {blow.moment} a call"] += 1
                counts["kills in a recovery"] += number > 0
            self.shim.watch(folder / DATABASE)
            judge(folder, workload, told)
            counts["chains in order"] += 1
        except Exception as error:
            self.report.breaches.append(f"{workload.name}, killed {', then '.join(map(str, chain))}: {error!r}")
            counts["chains broken"] += 1
        return self.shim.calls()


def exam(sitting: Sitting, report: Report) -> None:
    """Every single kill, however long it takes; then, as long as there is time, kills of the recoveries."""
    template = prepared(sitting.folder)
    with ForkServer(lambda: warm_up(template)) as server:
        killing = Killing(sitting, report, template, server)
        singles = [(workload, blow) for workload in WORKLOADS for blow in blows(killing.dry(workload))]
        recoveries: list[tuple[Workload, Blow, list[Call]]] = []
        for workload, blow in sitting.mine(singles):
            if len(report.breaches) >= WORST:
                return
            recoveries.append((workload, blow, killing.chain(workload, [blow])))
            report.counts["points of all"] += 1
        chance = sitting.chance()
        report.counts["points of recoveries"] = sum(len(blows(calls)) for *_, calls in recoveries)
        while sitting.goes_on(report) or report.counts["kills in a recovery"] < AT_LEAST <= len(recoveries):
            workload, first, calls = chance.choice(recoveries)
            killing.chain(workload, [first, *_further(chance, blows(calls))])


def _further(chance: random.Random, points: list[Blow]) -> list[Blow]:
    return [chance.choice(points) for _ in range(1 if chance.random() > RECOVERY_AGAIN else 2)]


def warm_up(template: Path) -> None:
    """Do all once that a child will do, so that it finds every module loaded and every cache filled."""
    for workload, number in zip(WORKLOADS, itertools.count()):
        folder = template.parent / f"warm-{number}"
        folder.mkdir()
        with house(folder) as home:
            workload.live(home)
        judge(folder, workload, ())


if __name__ == "__main__":
    main(exam)
