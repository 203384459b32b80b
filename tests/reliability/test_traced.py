"""The shim and strace, which know nothing of each other, count the same calls and kill at the same ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from reliability import counting, shim, traced
from reliability.judge import judge
from support.selection import rotating

LACKING = shim.lacking() or traced.lacking()
pytestmark = [pytest.mark.skipif(LACKING is not None, reason=str(LACKING))]
WORKLOAD = "fails"
KILLS = 20


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shim.compiled(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def calls(library: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The calls of a life by the shim's account, one letter each."""
    *_, told = counting.ask(library, tmp_path_factory.mktemp("counted"), WORKLOAD)
    return told.removeprefix("calls ")


def test_they_count_the_same(calls: str, tmp_path: Path) -> None:
    """No write, truncation, sync or removal goes past the shim."""
    assert traced.counted(tmp_path, WORKLOAD) == Counter(calls.replace("c", ""))


@pytest.mark.parametrize("part", rotating(range(KILLS)))
def test_they_kill_alike(part: int, library: Path, calls: str, tmp_path: Path) -> None:
    """Killed at the same write, both lives have told the same, and both leave what recovery brings to rest."""
    writes = [number for number, kind in enumerate(calls, start=1) if kind == "w"]
    write = (part * len(writes)) // KILLS
    folders = [tmp_path / "strace", tmp_path / "shim"]
    for folder in folders:
        folder.mkdir()
    told = traced.killed(folders[0], WORKLOAD, write + 1)
    assert told == counting.ask(library, folders[1], WORKLOAD, writes[write])
    for folder in folders:
        judge(folder, traced.BY_NAME[WORKLOAD], told)
