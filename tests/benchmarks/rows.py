"""The groups of rows, in order; a new group is a module with `measure(bench) -> Measured`, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks import flight, importing, long, memory, recovering, showing, sqlite, verifying
from benchmarks.bench import Bench
from benchmarks.measuring import Measured

GROUPS: Mapping[str, Callable[[Bench], Measured]] = {
    "memory": memory.measure,
    "sqlite": sqlite.measure,
    "flight": flight.measure,
    "long": long.measure,
    "recover": recovering.measure,
    "import": importing.measure,
    "verify": verifying.measure,
    "show": showing.measure,
}


def measure(bench: Bench, names: Sequence[str], tell: Callable[[str], None]) -> Measured:
    """What these groups find, together; `tell` hears of each as it begins."""
    found = []
    for name in names:
        tell(name)
        found.append(GROUPS[name](bench))
    return Measured(
        figures=tuple(figure for each in found for figure in each.figures),
        bars=tuple(bar for each in found for bar in each.bars),
    )
