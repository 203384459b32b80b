"""Calls that are refused: each open, read, write, sync and removal, by each error, once or from then on.

The process goes on, or is told by a StoreError; no other error reaches it. When the disk is well again all comes to rest,
and nothing that was acknowledged is lost.
"""

from __future__ import annotations

import errno
import logging
import shutil
from pathlib import Path
from typing import Any

import attrs

from reliability.exam import WORST, Report, Sitting, main
from reliability.judge import judge, tells
from reliability.kills import prepared, warm_up
from reliability.process import ForkServer, Tell
from reliability.shim import Call, Shim
from reliability.workload import DATABASE, WORKLOADS, Workload, house
from sagafsm.errors import StoreError
from sagafsm_adapters.sql.sqlite import Sqlite
from support.broken import Lagging

ERRORS = ("ENOSPC", "EIO", "EROFS", "EAGAIN")
STORES: dict[str, Any] = {"outcome recorded too late": Lagging}


@attrs.frozen
class Refusal:
    """One call, or all from it on, refused with an error."""

    number: int
    error: str
    lasting: bool

    def __str__(self) -> str:
        return f"{self.error} at call {self.number}" + (" and after" if self.lasting else "")


def live(tell: Tell, folder: Path, workload: Workload, refusal: Refusal | None, control: str) -> None:
    """Drive the workload until the store gives up; the last line says how that was told."""
    logging.disable()
    shim = Shim()
    shim.watch(folder / DATABASE, reads=True)
    if refusal is not None:
        shim.fail(refusal.number, getattr(errno, refusal.error), lasting=refusal.lasting)
    if control == "errors as they come":
        Sqlite.translate_error = lambda _, error: error  # type: ignore[assignment,method-assign,return-value]
    try:
        with house(folder, tells(tell), store_of=STORES.get(control, lambda store: store)) as home:
            workload.live(home)
        tell("went on")
    except StoreError as error:
        tell(f"told: {error}")
    except Exception as error:
        tell(f"escaped: {error!r}")
    tell("".join(f"{call.kind}{call.role}" for call in shim.calls()))


@attrs.define
class Refusing:
    """Refuses, heals and judges."""

    sitting: Sitting
    report: Report
    template: Path
    server: ForkServer

    def life(self, folder: Path, workload: Workload, refusal: Refusal | None) -> list[str]:
        """The lines that a life told, of which the last two are how it ended and what it called."""
        if not workload.fresh:
            shutil.copy(self.template, folder / DATABASE)
        ended = self.server.run(live, folder, workload, refusal, self.sitting.control)
        assert ended.status == 0, f"a child ended with status {ended.status}: {ended.told[-1:]}"
        return ended.told

    def calls(self, folder: Path, workload: Workload) -> list[Call]:
        """The calls of a life in which none is refused."""
        coded = self.life(folder, workload, None)[-1]
        return [Call(kind, role) for kind, role in zip(coded[::2], coded[1::2], strict=True)]

    def refuse(self, folder: Path, workload: Workload, refusal: Refusal) -> None:
        """One life, and what became of it."""
        counts = self.report.counts
        try:
            *acknowledged, end, _ = self.life(folder, workload, refusal)
            verdict = end.partition(":")[0]
            counts[verdict] += 1
            counts["refusals"] += 1
            assert verdict != "escaped", end
            judge(folder, workload, acknowledged)
            counts["in order afterwards"] += 1
            if verdict == "told":
                counts[_told(end)] += 1
        except Exception as error:
            counts["broken"] += 1
            self.report.breaches.append(f"{workload.name}, {refusal}: {error!r}")


def _told(end: str) -> str:
    """What the message says of the store, without its name and the way out."""
    words = end.partition("saga.db' ")[2]
    return "told that it " + words.partition(" (")[0].partition(":")[0].partition(";")[0]


def exam(sitting: Sitting, report: Report) -> None:
    """Every error at every call, once and lasting, in an order of the seed's, as long as there is time."""
    folders, template = sitting.folders(), prepared(sitting.folder)
    with ForkServer(lambda: warm_up(template)) as server:
        refusing = Refusing(sitting, report, template, server)
        points = [
            (workload, Refusal(number, error, lasting))
            for workload in WORKLOADS
            for number, _ in enumerate(refusing.calls(next(folders), workload), start=1)
            for error in ERRORS
            for lasting in (False, True)
        ]
        report.counts["points of all"] = len(points)
        for workload, refusal in sitting.mine(points):
            if not sitting.has_time() or len(report.breaches) >= WORST:
                break
            refusing.refuse(next(folders), workload, refusal)


if __name__ == "__main__":
    main(exam)
