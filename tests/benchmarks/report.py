"""The report of a run: a table for the terminal, and JSON."""

from __future__ import annotations

import importlib.util
import json
import platform
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from benchmarks.measuring import Figure, Measured

HEADER = ("figure", "measured", "target", "met")


@attrs.frozen(kw_only=True)
class Report:
    """All that a run found, the peers that could not be asked, and the machine it ran on."""

    measured: Measured
    skipped: Mapping[str, str]
    fsync_us: float

    @property
    def machine(self) -> dict[str, Any]:
        """What the figures depend on, and nothing that names the machine."""
        return {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "system": f"{platform.system()} {platform.machine()}",
            "fsync_us": self.fsync_us,
        }

    def to_json(self) -> str:
        """Figures by key, with their baselines, targets and whether these are met."""
        figures = {
            figure.key: {**attrs.asdict(figure, filter=lambda field, _: field.name != "key"), "met": figure.met}
            for figure in self.measured.figures
        }
        whole = {"machine": self.machine, "figures": figures, "skipped": dict(self.skipped)}
        return json.dumps(whole, indent=2, ensure_ascii=False)

    def print(self) -> None:
        """Print the table; on a terminal with rich, where it is installed."""
        if sys.stdout.isatty() and importlib.util.find_spec("rich") is not None:
            _print_rich(self.measured.figures)
        else:
            print(plain(self.measured.figures))
        machine = self.machine
        print(f"Python {machine['python']}, SQLite {machine['sqlite']}, {machine['system']}, ", end="")
        print(f"one fsync {number(self.fsync_us)} µs")
        for name, why in self.skipped.items():
            print(f"without {name}: {why}")


def number(value: float) -> str:
    """A number with as many digits as one can trust."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _row(figure: Figure) -> tuple[tuple[str, ...], str]:
    """The cells of a figure, and what stands below them."""
    target = "" if figure.target is None else f"{figure.bound} {number(figure.target)}"
    met = {None: "", True: "yes", False: "NO"}[figure.met]
    beside = [f"{name}: {number(value)}" for name, value in figure.baselines.items()]
    told = "; ".join([*beside, figure.note] if figure.note else beside)
    return (figure.work, f"{number(figure.measured)} {figure.unit}", target, met), told


def plain(figures: Sequence[Figure]) -> str:
    """The table as text, for where there is no rich or no terminal."""
    rows = [_row(figure) for figure in figures]
    lines = [HEADER, *(cells for cells, _ in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    text = []
    for cells, beside in [(HEADER, ""), *rows]:
        text.append("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
        text += [f"    {beside}"] if beside else []
    return "\n".join(text)


def _print_rich(figures: Sequence[Figure]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*HEADER)
    for (work, *cells, met), beside in map(_row, figures):
        first = Text(work) if not beside else Text.assemble(work, "\n", (beside, "dim"))
        table.add_row(first, *(Text(cell) for cell in cells), Text(met, style={"NO": "bold red"}.get(met, "green")))
    Console().print(table)
