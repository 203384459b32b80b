"""Power loss: every change and every sync of a life is written down, and the disks that it may leave are rebuilt.

What a sync has covered is on the disk. Of what came later anything may be: the first changes, or any of them, or one of
them torn between two sectors. A file appears and disappears with its folder's next sync, and in the order in which that
happened; until then both ways are tried. "-shm" never survives, as nothing ever syncs it and SQLite makes it anew.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from reliability.exam import Report, Sitting, main
from reliability.judge import check_acknowledged, history_of
from reliability.process import Tell, forked
from reliability.shim import Shim
from reliability.workload import DATABASE, WORKLOADS, Workload, house, told
from support.bench import lines

ENTRY = struct.Struct("=cc6xqq")
SECTOR = 512
SUFFIXES = {"d": "", "w": "-wal", "j": "-journal"}
# "unsynced" breaks the rebuilding itself: syncs count for nothing, so that even FULL must be caught losing.
QUERIES = {"": "", "NORMAL": "?synchronous=NORMAL", "unsynced": ""}
AT_LEAST = 400  # images, however slow the machine is
OTHERS = 6  # images with a random part of the changes, beside those with all the first ones


@attrs.frozen
class Entry:
    """One line of what was written down: a change, a sync, or ("m") what was acknowledged."""

    kind: str
    role: str
    offset: int
    data: bytes


def life(tell: Tell, folder: Path, workload: Workload, query: str, log: Path) -> None:
    """Drive the workload, with every call and every acknowledged event written down in one order."""
    shim = Shim()
    shim.watch(folder / DATABASE)
    shim.record(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    with house(folder, lambda instance, event: shim.mark(told(instance, event)), query=query) as home:
        workload.live(home)


def entries(log: bytes) -> Iterator[Entry]:
    """What was written down."""
    position = 0
    while position < len(log):
        kind, role, offset, length = ENTRY.unpack_from(log, position)
        position += ENTRY.size
        data = log[position : position + length]
        position += length
        yield Entry(kind.decode(), role.decode(), offset, data)


@attrs.define
class Disk:
    """What is on the disk for certain, and what may be beside it."""

    files: dict[str, bytes] = attrs.Factory(dict)
    changes: dict[str, list[Entry]] = attrs.Factory(dict)
    names: list[Entry] = attrs.Factory(list)
    present: set[str] = attrs.Factory(set)

    def take(self, entry: Entry) -> None:
        """Follow one entry of the log."""
        match entry.kind:
            case "c" | "u":
                self.names.append(entry)
                if entry.kind == "c":
                    # Nothing of a removed file of the same name is in the new one.
                    self.files[entry.role], self.changes[entry.role] = b"", []
            case "w" | "t":
                self.changes.setdefault(entry.role, []).append(entry)
            case "s" if entry.role == "f":
                self.present = self.named(len(self.names))
                self.names.clear()
            case "s":
                changes = self.changes.get(entry.role, [])
                self.files[entry.role] = applied(self.files.get(entry.role, b""), changes)
                changes.clear()

    def named(self, count: int) -> set[str]:
        """The files that exist when the first `count` appearances and disappearances are on the disk."""
        present = set(self.present)
        for entry in self.names[:count]:
            (present.add if entry.kind == "c" else present.discard)(entry.role)
        return present

    def images(self, chance: random.Random) -> Iterator[dict[str, bytes]]:
        """Disks that a power loss may leave at this moment."""
        waiting = [(role, len(changes)) for role, changes in self.changes.items()]
        names = [len(self.names), *range(len(self.names))]
        # All that was written has arrived; nothing that was not synced has; only the first have; then any.
        yield self._image({role: self.changes[role] for role, _ in waiting}, len(self.names))
        for count in names:
            yield self._image({}, count)
        for role, length in waiting:
            yield self._image({role: self.changes[role][: chance.randint(0, length)]}, len(self.names))
        for _ in range(OTHERS if any(length for _, length in waiting) else 0):
            yield self._image({role: part(self.changes[role], chance) for role, _ in waiting}, chance.choice(names))

    def _image(self, arrived: dict[str, list[Entry]], names: int) -> dict[str, bytes]:
        return {
            role: applied(self.files.get(role, b""), arrived.get(role, ()))
            for role in self.named(names)
            if role in SUFFIXES
        }


def part(changes: Sequence[Entry], chance: random.Random) -> list[Entry]:
    """Some of the changes, in order; perhaps one of them torn between two sectors."""
    chosen = [change for change in changes if chance.random() < 0.5]
    if chosen and chance.random() < 0.5:
        position = chance.randrange(len(chosen))
        change = chosen[position]
        # A sector's end within what the change writes.
        ends = range(-change.offset % SECTOR or SECTOR, len(change.data), SECTOR)
        if ends:
            chosen[position] = attrs.evolve(change, data=change.data[: chance.choice(ends)])
    return chosen


def applied(file: bytes, changes: Sequence[Entry]) -> bytes:
    """The file after these changes; what is skipped over reads as zeros."""
    if not changes:
        return file
    content = bytearray(file)
    for change in changes:
        if change.kind == "t":
            del content[change.offset :]
            content.extend(bytes(change.offset - len(content)))
        else:
            content.extend(bytes(max(0, change.offset - len(content))))
            content[change.offset : change.offset + len(change.data)] = change.data
    return bytes(content)


def exam(sitting: Sitting, report: Report) -> None:
    """Lose the power after every entry of every workload's log, as often as there is time for."""
    chance, folders = sitting.chance(), sitting.folders()
    logs: list[tuple[Workload, list[Entry]]] = []
    for workload in sitting.mine(list(WORKLOADS)):
        folder = next(folders)
        ended = forked(life, folder, workload, QUERIES[sitting.control], folder / "log")
        assert ended.status == 0, ended.told
        logs.append((workload, list(entries((folder / "log").read_bytes()))))
    seen: set[int] = set()
    while _goes_on(sitting, report):
        before = len(seen)
        for workload, log in logs:
            _lose(sitting, report, chance, seen, workload, log, next(folders))
        report.counts["rounds"] += 1
        if len(seen) == before:
            return  # there is no image that was not seen


def _goes_on(sitting: Sitting, report: Report) -> bool:
    # How much a control loses is a figure of its own.
    if report.counts["images"] < AT_LEAST:
        return sitting.control != "" or not report.breaches
    return sitting.has_time() if sitting.control else sitting.goes_on(report)


def _lose(
    sitting: Sitting, report: Report, chance: random.Random, seen: set[int], workload: Workload,
    log: list[Entry], folder: Path,
) -> None:  # fmt: skip
    disk, acknowledged = Disk(), list[str]()
    for entry in log:
        if entry.kind == "m":
            acknowledged.append(entry.data.decode())
        elif not (entry.kind == "s" and sitting.control == "unsynced"):
            disk.take(entry)
        for image in disk.images(chance):
            known = hash((workload.name, len(acknowledged), tuple(sorted(image.items()))))
            if known in seen or not _goes_on(sitting, report):
                continue
            seen.add(known)
            report.counts["images"] += 1
            report.counts[_verdict(folder, workload, image, acknowledged, report)] += 1


def _verdict(
    folder: Path, workload: Workload, image: dict[str, bytes], acknowledged: Sequence[str], report: Report
) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for role, content in image.items():
        (folder / f"{DATABASE}{SUFFIXES[role]}").write_bytes(content)
    try:
        with house(folder) as home:
            histories = {id: history_of(home, id) for id in workload.instances}
            for history in histories.values():
                lines(history)
            found = home.store._connections.get_thread_connection().raw.execute("PRAGMA integrity_check").fetchall()
            assert [("ok",)] == found, f"the file is not whole: {found}"
            check_acknowledged(histories, acknowledged)
    except Exception as error:
        lost = "acknowledged and lost" in str(error)
        if len(report.breaches) < 3 or not lost:
            report.breaches.append(f"{workload.name}, with {sorted(image)}: {error!r}")
        return "lost acknowledged events" if lost else "broken"
    return "in order"


if __name__ == "__main__":
    main(exam)
