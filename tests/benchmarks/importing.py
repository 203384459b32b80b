"""`import sagafsm` in a fresh interpreter: its CPU beyond a bare start, and what it pulls in."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.measuring import Figure, Measured

HEAVY = ("sqlalchemy", "pydantic", "rich", "ipywidgets", "hypothesis")
TOLD = ("asyncio",)
ASK = "import sys, time; {} cpu = time.process_time(); import json; print(json.dumps([cpu, sorted(sys.modules)]))"


def measure(bench: Bench) -> Measured:
    """The median of several interpreters, one with and one without the import in turn; the first pair warms up."""
    bare, ours, modules = [], [], set[str]()
    for number in range(bench.effort.imports + 1):
        started, (imported, loaded) = _ask("", bench.folder)[0], _ask("import sagafsm;", bench.folder)
        if number:
            bare.append(started)
            ours.append(imported)
        modules = set(loaded)
    pulled = [name for name in HEAVY if name in modules]
    told = ", ".join(name for name in TOLD if name in modules)
    cpu = (statistics.median(ours) - statistics.median(bare)) * 1000
    return Measured(
        figures=(
            Figure(
                key="import.cpu",
                work="import sagafsm",
                unit="ms CPU",
                measured=cpu,
                target=150,
                baselines={"bare interpreter, ms CPU": statistics.median(bare) * 1000},
            ),
            Figure(
                key="import.heavy",
                work=f"import sagafsm: which of {', '.join(HEAVY)}",
                unit="pulled in",
                measured=len(pulled),
                target=0,
                note=f"{', '.join(pulled) or 'none'}; of others {told or 'no asyncio'}; {len(modules)} modules in all",
            ),
        )
    )


def _ask(statement: str, folder: Path) -> tuple[float, list[str]]:
    # With bytecode kept, as an installed package has it, whatever the environment of this run says.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    command = [sys.executable, "-c", ASK.format(statement)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    cpu, modules = json.loads(done.stdout)
    return cpu, modules
