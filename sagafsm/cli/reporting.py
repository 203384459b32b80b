"""A report of the verifier as a person reads it in a terminal: the matrix, the findings, the grades, the bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sagafsm.verify.report import Contract, Finding, Report, Row, Word
from sagafsm.verify.schedule import KINDS, WORDS, Kind

# Never alone: the word is in the cell.
STYLES: Mapping[str, str] = {
    "completed": "green",
    "compensated": "green",
    "undone": "cyan",
    "asked": "magenta",
    "late": "yellow",
    "broken": "bold red",
    "never fired": "dim",
    "held": "green",
    "not tried": "dim",
}
MEANINGS: Mapping[Word, str] = {
    "completed": "it went on to the end",
    "compensated": "it went back, and nothing is left",
    "undone": "it went back, and its residue says what is left",
    "asked": "a person had to decide, and it ended well",
    "late": "a call that landed after its timeout left something",
    "broken": "a finding",
    "never fired": "no run came by",
}
NARROWEST = 11
_CONTRACTS = ("do_twice", "undo_twice", "undo_without_do", "late_do")
_CONTRACT_WORDS = ("done twice", "undone twice", "undone, not done", "done after its undo")


def print_report(console: Console, report: Report, files: Mapping[int, Path]) -> None:
    """Print it; `files` are those where findings are kept, by the identity of the finding."""
    for table in matrix_of(report.matrix, console.width):
        console.print(table)
        console.print()
    _print_legend(console, report.matrix)
    if report.contracts:
        console.print(_contracts(report.contracts))
        console.print()
    for finding in report.findings:
        _print_finding(console, finding, files.get(id(finding)))
    _print_grades(console, report)
    for note in report.notes:
        _print(console, f"note: {note}")
    verdict = Text("holds", "green") if report.ok else Text(_verdict(report), "bold red")
    told = Text.assemble(f"saga {report.saga!r}: ", verdict, f", within {report.bounds}")
    console.print(told, highlight=False, soft_wrap=True)


def _verdict(report: Report) -> str:
    number = len(report.errors)
    what = f"{number} finding{'' if number == 1 else 's'}"
    return f"{what}; not everything was tried" if report.is_vacuous else what


def matrix_of(rows: Sequence[Row], width: int) -> Iterator[Table]:
    """Points by faults, in as many tables as it takes for the faults to fit beside the points."""
    kinds = [kind for kind in KINDS if any(kind in row.cells for row in rows)]
    longest = max((len(row.point) for row in rows), default=0)
    fit = max(1, (width - longest) // (NARROWEST + 2))
    for begin in range(0, len(kinds), fit):
        shown = kinds[begin : begin + fit]
        yield _matrix([row for row in rows if any(kind in row.cells for kind in shown)], shown)


def _matrix(rows: Sequence[Row], kinds: Sequence[Kind]) -> Table:
    table = Table(box=None, pad_edge=False)
    # A point that is cut is of no use in a schedule.
    table.add_column("point", no_wrap=True, overflow="fold")
    for kind in kinds:
        table.add_column(WORDS[kind], min_width=NARROWEST, max_width=NARROWEST, vertical="bottom")
    for row in rows:
        table.add_row(Text(row.point), *(_word(row.cells.get(kind)) for kind in kinds))
    return table


def _word(word: str | None) -> Text:
    return Text("") if word is None else Text(word, STYLES[word])


def _print_legend(console: Console, rows: Sequence[Row]) -> None:
    seen = {word for row in rows for word in row.cells.values()}
    for word, meaning in MEANINGS.items():
        if word in seen:
            console.print(Text.assemble(_word(word), f": {meaning}"), highlight=False)
    if seen:
        console.print()


def _contracts(contracts: Sequence[Contract]) -> Table:
    table = Table("step by itself", *_CONTRACT_WORDS, box=None, pad_edge=False)
    for contract in contracts:
        held = (getattr(contract, name) for name in _CONTRACTS)
        cells = (_word("not tried" if one is None else "held" if one else "broken") for one in held)
        table.add_row(Text(contract.step), *cells)
    return table


def _print_finding(console: Console, finding: Finding, file: Path | None) -> None:
    warns = finding.severity == "warning"
    mark = Text("warning" if warns else "finding", "yellow" if warns else "bold red")
    console.print(Text.assemble(mark, f" {finding.kind}: {finding.message}"), highlight=False, soft_wrap=True)
    if finding.advice:
        _print(console, f"  {finding.advice}")
    more = f" (and {finding.again} more)" if finding.again else ""
    _print(console, f"  schedule: {finding.schedule}{more}")
    if file is not None:
        _print(console, f"  kept: sagafsm replay {file}")
    console.print()


def _print_grades(console: Console, report: Report) -> None:
    for grade in report.grades:
        counted = f"{grade.broken:,} of {grade.tried:,}" if grade.broken else f"{grade.tried:,}"
        console.print(Text.assemble(f"{grade.grade}: ", _word(grade.word), f" ({counted})"), highlight=False)


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
