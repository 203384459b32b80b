"""Asks peers what a saga costs them: those that are installed, once each, in a process of their own."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from benchmarks.measuring import Spent

TESTS = Path(__file__).resolve().parents[2]
LIMIT = 120


@attrs.define
class Peers:
    """What peers cost, as far as they have been asked; `skipped` tells of the others why there is no figure."""

    sagas: int
    folder: Path
    skipped: dict[str, str] = attrs.field(factory=dict, init=False)
    _found: dict[str, Spent | None] = attrs.field(factory=dict, init=False)

    def package(self, name: str) -> str:
        """The name that a peer is installed by."""
        package: str = _module(name).PACKAGE
        return package

    def costs(self, names: Sequence[str]) -> Iterator[tuple[str, Spent]]:
        """What these cost, without those that cannot be asked."""
        for name in names:
            if name not in self._found:
                self._found[name] = self._asked(name)
            if (cost := self._found[name]) is not None:
                yield name, cost

    def _asked(self, name: str) -> Spent | None:
        module = _module(name)
        if importlib.util.find_spec(module.IMPORTED) is None:
            return self._skip(name, f"{module.PACKAGE} is not installed (it is in the extra 'bench')")
        command = [sys.executable, "-m", "benchmarks.peers", name, str(self.sagas), str(self.folder)]
        try:
            done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=LIMIT, check=True)
        except subprocess.CalledProcessError as error:
            return self._skip(name, f"it failed: {(error.stderr.strip() or 'without a word').splitlines()[-1]}")
        except subprocess.TimeoutExpired:
            return self._skip(name, f"{self.sagas} sagas took it longer than {LIMIT} s")
        return Spent(**json.loads(done.stdout.splitlines()[-1]))

    def _skip(self, name: str, why: str) -> None:
        self.skipped[name] = why


def _module(name: str) -> object:
    # A peer's own library is imported only where it runs.
    return importlib.import_module(f"benchmarks.peers.{name}")
