"""Instances and summaries as a person reads them in a terminal, or a script as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sagafsm.errors import format_list
from sagafsm.history.events import StepOutline, get_because
from sagafsm.history.instance import SagaInstance
from sagafsm.render.labels import COMPENSATION_DUE, EFFECT_MAY_REMAIN, label_compensation
from sagafsm.store import Summary
from sagafsm.verify.report.report import CellResult, Contract, Finding, PointResults, Report
from sagafsm.verify.schedule import FAULT_KINDS, FAULT_LABELS, FaultKind

PHASE_STYLES = {"completed": "green", "failed": "red", "pending": "dim", "running": "cyan", "compensating": "yellow"}


def style_state(state: str, *, blocked: bool = False) -> Text:
    """The state in the colour of its phase."""
    return Text(state, style="bold magenta" if blocked else PHASE_STYLES.get(state.partition(":")[0], ""))


def print_plain(console: Console, text: str) -> None:
    """Print a text as it is: no markup, no colours, no line breaks of our own."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_summaries(console: Console, found: Iterable[Summary]) -> None:
    """One row an instance."""
    table = Table("instance", "saga", "state", "blocked", "owner", "updated (UTC)", box=None, pad_edge=False)
    for column in table.columns[:4]:
        # A state that is cut or broken in two is of no use in the next command.
        column.no_wrap = True
        column.overflow = "fold"
    for one in found:
        table.add_row(
            Text(one.id),
            Text(one.saga),
            style_state(one.state, blocked=one.blocked is not None),
            one.blocked or ("waits for a signal" if one.waiting else ""),
            Text(one.owner.name if one.owner else ""),
            one.updated_at.strftime("%Y-%m-%d %H:%M:%S"),
        )
    if table.row_count:
        console.print(table)
    else:
        console.print("no such instance")


def format_summary_json(one: Summary) -> str:
    """A summary as one line of JSON."""
    return json.dumps(
        {
            "id": one.id,
            "saga": one.saga,
            "version": one.version,
            "state": one.state,
            "blocked": one.blocked,
            "waiting": one.waiting,
            "owner": one.owner.name if one.owner else None,
            "wake_at": one.wake_at.isoformat() if one.wake_at else None,
            "updated_at": one.updated_at.isoformat(),
        }
    )


def format_instance_json(instance: SagaInstance) -> str:
    """An instance as one line of JSON: where it stands, and its history."""
    return json.dumps(
        {
            "id": instance.id,
            "saga": instance.saga,
            "version": instance.version,
            "state": instance.state,
            "compensated": instance.compensated,
            "input": instance.input,
            "waiting": instance.waiting,
            "results": instance.results,
            "cause": instance.why,
            "errors": [str(error) for error in instance.errors],
            "blocked": [
                {"step": block.step, "reason": block.reason, "decisions": list(block.decisions)}
                for block in instance.blocked
            ],
            "residue": [{"step": left.step, "reason": left.reason, "result": left.result} for left in instance.residue],
            "history": [
                {"number": event.number, "at": event.at.isoformat(), "event": str(event), "state": event.state}
                for event in instance.history
            ],
        }
    )


def print_instance(console: Console, instance: SagaInstance) -> None:
    """Where an instance stands, step by step, and what happened to it."""
    console.print(
        Text.assemble((instance.id, "bold"), f" of saga {instance.saga!r} version {instance.version}: "), end=""
    )
    console.print(style_state(instance.state, blocked=bool(instance.blocked)))
    for label, text in _list_output_facts(instance):
        console.print(Text(f"  {label:<10} {text}"), soft_wrap=True)
    console.print(_make_steps_table(instance))
    console.print(_make_history_table(instance))


def _list_output_facts(instance: SagaInstance) -> Iterator[tuple[str, str]]:
    yield "created", instance.created_at.isoformat(sep=" ", timespec="milliseconds")
    yield "input", json.dumps(instance.input, ensure_ascii=False)
    if instance.why is not None:
        yield "cause", instance.why
    for block in instance.blocked:
        yield "blocked", f"{block.step}: {block.reason} (decide: {format_list(block.decisions)})"
    for left in instance.residue:
        yield "residue", f"{left.step}: {left.reason} {json.dumps(left.result, ensure_ascii=False)}"
    if instance.waiting:
        yield "waits", f"for a signal: {instance.current}"
    if instance.owner is not None:
        yield "owner", instance.owner
    if instance.wake_at is not None:
        yield "wakes at", instance.wake_at.isoformat(sep=" ")


def _make_steps_table(instance: SagaInstance) -> Table:
    table = Table("step", "action", "calls", "compensation", "calls", "result", box=None, pad_edge=False)
    for step in instance.outline:
        record = instance.steps[step.name]
        result: Any = "" if record.result_json is None else record.result_json
        table.add_row(
            record.name,
            record.status,
            str(record.action.attempt or ""),
            record.undo or _describe_owed_undo(step, instance),
            str(record.compensation.attempt or ""),
            Text(result, overflow="ellipsis", no_wrap=True),
        )
    return table


def _describe_owed_undo(step: StepOutline, instance: SagaInstance) -> str:
    """Say of a compensation that was not called yet that it is due, or that an effect may remain without it."""
    label = label_compensation(step, instance)
    return label.word if label in (COMPENSATION_DUE, EFFECT_MAY_REMAIN) else ""


def _make_history_table(instance: SagaInstance) -> Table:
    table = Table("#", "after", "event", "leads to", "because", box=None, pad_edge=False)
    for event in instance.history:
        table.add_row(
            str(event.number),
            f"{(event.at - instance.created_at).total_seconds():.3f} s",
            str(event),
            style_state(event.state) if event.state else "",
            Text(str(get_because(event))),
        )
    return table


# Never alone: the word is in the cell.
RESULT_STYLES: Mapping[str, str] = {
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

MEANINGS: Mapping[CellResult, str] = {
    "completed": "it went on to the end",
    "compensated": "it went back, and nothing is left",
    "undone": "it went back, and its residue says what is left",
    "asked": "a person had to decide, and it ended well",
    "late": "a call that landed after its timeout left something",
    "broken": "a finding",
    "never fired": "no run came by",
}

MIN_COLUMN_WIDTH = 11
_CONTRACTS = ("do_twice", "undo_twice", "undo_without_do", "late_do")
_CONTRACT_WORDS = ("done twice", "undone twice", "undone, not done", "done after its undo")


def print_report(console: Console, report: Report, files: Mapping[int, Path]) -> None:
    """Print it; `files` are those where findings are kept, by the identity of the finding."""
    for table in make_matrix_tables(report.matrix, console.width):
        console.print(table)
        console.print()
    _print_legend(console, report.matrix)
    if report.contracts:
        console.print(_make_contracts_table(report.contracts))
        console.print()
    for finding in report.findings:
        _print_finding(console, finding, files.get(id(finding)))
    _print_grades(console, report)
    for note in report.notes:
        print_plain(console, f"note: {note}")
    verdict = Text("holds", "green") if report.ok else Text(_describe_verdict(report), "bold red")
    told = Text.assemble(f"saga {report.saga!r}: ", verdict, f", within {report.bounds}")
    console.print(told, highlight=False, soft_wrap=True)


def _describe_verdict(report: Report) -> str:
    number = len(report.errors)
    what = f"{number} finding{'' if number == 1 else 's'}"
    return f"{what}; not everything was tried" if report.is_vacuous else what


def make_matrix_tables(rows: Sequence[PointResults], width: int) -> Iterator[Table]:
    """Points by faults, in as many tables as it takes for the faults to fit beside the points."""
    kinds = [kind for kind in FAULT_KINDS if any(kind in row.cells for row in rows)]
    longest = max((len(row.point) for row in rows), default=0)
    fit = max(1, (width - longest) // (MIN_COLUMN_WIDTH + 2))
    for begin in range(0, len(kinds), fit):
        shown = kinds[begin : begin + fit]
        yield _make_matrix_table([row for row in rows if any(kind in row.cells for kind in shown)], shown)


def _make_matrix_table(rows: Sequence[PointResults], kinds: Sequence[FaultKind]) -> Table:
    table = Table(box=None, pad_edge=False)
    # A point that is cut is of no use in a schedule.
    table.add_column("point", no_wrap=True, overflow="fold")
    for kind in kinds:
        table.add_column(FAULT_LABELS[kind], min_width=MIN_COLUMN_WIDTH, max_width=MIN_COLUMN_WIDTH, vertical="bottom")
    for row in rows:
        table.add_row(Text(row.point), *(_style_result(row.cells.get(kind)) for kind in kinds))
    return table


def _style_result(word: str | None) -> Text:
    return Text("") if word is None else Text(word, RESULT_STYLES[word])


def _print_legend(console: Console, rows: Sequence[PointResults]) -> None:
    seen = {word for row in rows for word in row.cells.values()}
    for word, meaning in MEANINGS.items():
        if word in seen:
            console.print(Text.assemble(_style_result(word), f": {meaning}"), highlight=False)
    if seen:
        console.print()


def _make_contracts_table(contracts: Sequence[Contract]) -> Table:
    table = Table("step by itself", *_CONTRACT_WORDS, box=None, pad_edge=False)
    for contract in contracts:
        held = (getattr(contract, name) for name in _CONTRACTS)
        cells = (_style_result("not tried" if one is None else "held" if one else "broken") for one in held)
        table.add_row(Text(contract.step), *cells)
    return table


def _print_finding(console: Console, finding: Finding, file: Path | None) -> None:
    warns = finding.severity == "warning"
    mark = Text("warning" if warns else "finding", "yellow" if warns else "bold red")
    console.print(Text.assemble(mark, f" {finding.kind}: {finding.message}"), highlight=False, soft_wrap=True)
    if finding.advice:
        print_plain(console, f"  {finding.advice}")
    more = f" (and {finding.again} more)" if finding.again else ""
    print_plain(console, f"  schedule: {finding.schedule}{more}")
    if file is not None:
        print_plain(console, f"  kept: sagafsm replay {file}")
    console.print()


def _print_grades(console: Console, report: Report) -> None:
    for grade in report.grades:
        counted = f"{grade.broken:,} of {grade.tried:,}" if grade.broken else f"{grade.tried:,}"
        console.print(Text.assemble(f"{grade.grade}: ", _style_result(grade.word), f" ({counted})"), highlight=False)
