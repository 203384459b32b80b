"""Eight processes recover and run sagas over one file, while a killer ends one after another and begins others."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs

from reliability.exam import Report, Sitting, main
from reliability.judge import judge
from reliability.kills import STORES, warm_up
from reliability.process import Tell, begun
from reliability.workload import DATABASE, SERVICES, Ledger, Workload, house, record, told
from sagafsm.errors import StoreConflict
from sagafsm.store import Owner
from support.broken import Uncompared, Unfenced
from support.stores import Wrapped

WORKERS = 8
INPUTS = ("mug", "nothing", "stuck")
DIARY_RECORD = 1024
PAUSE = (0.005, 0.06)  # seconds between two kills
LEASE = timedelta(seconds=0.3)


class Unrenewed(Wrapped):
    """Says that every lease is renewed: else whoever renews first, once awake, notices before an append can."""

    def _pass(self, name: str, method: Any, *args: Any, **kwargs: Any) -> Any:
        return None if name == "renew" else method(*args, **kwargs)


FENCES: dict[str, Any] = {
    "": lambda store: store,
    "fence off": lambda store: Unfenced(Unrenewed(store)),
    "compare-and-set and fence off": lambda store: Unfenced(Uncompared(Unrenewed(store))),
}


def input_of(id: str) -> str:
    """The input of an instance, which its id tells."""
    return "hello" if id.startswith("letter") else INPUTS[int(id.rpartition("-")[2]) % len(INPUTS)]


def work(_: Tell, folder: Path, generation: int, control: str) -> None:
    """Recover what others left, and begin more, until killed."""
    signal.alarm(0)
    diary = os.open(folder / "told", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    # One write at the end of the file: whole, or not there at all.
    tells = lambda instance, event: os.write(diary, record(told(instance, event), DIARY_RECORD))  # noqa: E731
    with house(folder, tells, query="?timeout=20", store_of=STORES[control]) as home:
        number = 0
        while True:
            number += 1
            home.orchestrator.recover()
            id = f"{'letter' if number % 4 == 0 else 'order'}-{generation}-{number}"
            home.settle(home.begin(id, input_of(id)))


@attrs.define
class Shift:
    """The workers that live now."""

    folder: Path
    chance: random.Random
    control: str
    generation: int = 0
    living: dict[int, int] = attrs.Factory(dict)

    def begin(self) -> None:
        """One more."""
        self.generation += 1
        child, ear = begun(work, self.folder, self.generation, self.control)
        self.living[child] = ear

    def kill(self, child: int) -> None:
        """End one by SIGKILL. That it ended before, by itself, is an error."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with os.fdopen(self.living.pop(child), "rb") as heard:
            complaint = heard.read().decode()
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"a worker ended: {complaint}"


def exam(sitting: Sitting, report: Report) -> None:
    """Kill workers at random as long as there is time, then end all, and judge what they leave."""
    folder = sitting.folder / "shared"
    folder.mkdir()
    template = sitting.folder / "template"
    template.mkdir()
    warm_up(template / DATABASE)
    shift = Shift(folder, sitting.chance(), sitting.control)
    try:
        for _ in range(WORKERS):
            shift.begin()
        while sitting.has_time():
            time.sleep(shift.chance.uniform(*PAUSE))
            shift.kill(shift.chance.choice(list(shift.living)))
            report.counts["kills"] += 1
            shift.begin()
        for child in list(shift.living):
            shift.kill(child)
        acknowledged = [line.rstrip() for line in (folder / "told").read_text().splitlines()]
        workload = Workload("workers", {id: input_of(id) for id in sorted(_ids(folder, acknowledged))})
        report.counts.update({"instances": len(workload.instances), "events told": len(acknowledged)})
        judge(folder, workload, acknowledged)
        report.counts["in order"] += 1
    except AssertionError as error:
        report.breaches.append(str(error))
    finally:
        for child in shift.living:
            os.kill(child, signal.SIGKILL)


def _ids(folder: Path, acknowledged: list[str]) -> set[str]:
    with closing(sqlite3.connect(folder / DATABASE)) as file:
        stored = {id for (id,) in file.execute("SELECT id FROM sagafsm_instances")}
    return stored | {words.partition(" ")[0] for words in acknowledged}


# An owner that is replaced while it stands still ------------------------------------------------------------------------


def stand_still(tell: Tell, folder: Path, control: str) -> None:
    """Stop in the middle of the action of a, as a machine does that is suspended, and go on when somebody says so."""

    class Suspended(Ledger):
        """A ledger that stops its process once a has written."""

        def add(self, *words: object) -> None:
            super().add(*words)
            if words[:1] == ("do",) and words[2] == "a":
                os.kill(os.getpid(), signal.SIGSTOP)

    tells = lambda instance, event: tell(told(instance, event))  # noqa: E731
    with house(folder, tells, store_of=FENCES[control], lease=LEASE) as home:
        SERVICES.ledger.__class__ = Suspended
        try:
            home.begin("order-1", "mug")
        except StoreConflict as conflict:
            tell(f"conflict {conflict}")


@contextlib.contextmanager
def suspended(folder: Path, control: str) -> Iterator[tuple[int, int]]:
    """A process that stands still in its action: its pid, and where it is heard."""
    child, ear = begun(stand_still, folder, control)
    _, status = os.waitpid(child, os.WUNTRACED)
    assert os.WIFSTOPPED(status), f"it ended with status {status}: {os.read(ear, 4096)!r}"
    try:
        yield child, ear
    finally:
        os.kill(child, signal.SIGCONT)
        os.waitpid(child, 0)
        os.close(ear)


def replace_owner(folder: Path, control: str, *, drives: bool) -> None:
    """Law 12: who is replaced while it stands still writes nothing and calls nothing more.

    Raises:
        AssertionError: it does.
    """
    with suspended(folder, control) as (child, ear):
        time.sleep(LEASE.total_seconds() * 1.2)
        with house(folder) as home:
            if drives:
                assert ("order-1",) == home.orchestrator.recover().resumed
            else:
                owner = Owner(name="elsewhere", process="?/?/1/?/1")
                home.store.claim("order-1", owner=owner, lease=timedelta(hours=1))
            before = home.store.load("order-1").instance.history
            calls = home.ledger.lines()
            os.kill(child, signal.SIGCONT)
            os.set_blocking(ear, True)
            with os.fdopen(os.dup(ear), "rb") as heard:
                lines = heard.read().decode().splitlines()
            assert before == home.store.load("order-1").instance.history, "a replaced owner wrote"
            assert calls == home.ledger.lines(), "a replaced owner called"
            assert [] != lines
            assert lines[-1].startswith("conflict "), f"a replaced owner was not told: {lines}"


if __name__ == "__main__":
    main(exam)
