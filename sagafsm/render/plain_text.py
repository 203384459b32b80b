"""Values in words, for a terminal: plain lines, without any colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

from sagafsm.definition.definition import Definition
from sagafsm.definition.risks import find_risks
from sagafsm.display import format_count, truncate
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.render.labels import (
    BLOCK_LABELS,
    DECISION_LABELS,
    RESIDUE_LABELS,
    get_display_phase,
    label_action,
    label_compensation,
)
from sagafsm.render.tables.instances import describe_waits, label_summary
from sagafsm.render.tables.steps import describe_policy, list_traits
from sagafsm.render.time_format import format_age, format_duration
from sagafsm.results import RecoveryReport
from sagafsm.store import Summary

_MAX_WIDTH = 40
_MAX_LINE = 160
MAX_EVENTS = 60
_MAX_ROWS = 200


def format_instance(instance: SagaInstance) -> str:
    """An instance: what its repr says, then a line for each step, then what it waits for or may leave."""
    rows = [("", step.name, *_label_plain_text_step(step, instance)) for step in instance.outline]
    lines = [truncate(repr(instance), 2 * _MAX_LINE), *_align_plain_text_columns(rows)]
    for block in instance.blocked:
        lines.append(f"  blocked: {block.step}: {BLOCK_LABELS[block.reason]}; decide:")
        lines += [f"    {decision}: {DECISION_LABELS[decision]}" for decision in block.decisions]
    lines += [f"  may remain: {left.step}: {RESIDUE_LABELS[left.reason]}" for left in instance.residue]
    return "\n".join(lines)


def _label_plain_text_step(step: e.StepOutline, instance: SagaInstance) -> tuple[str, str]:
    record = instance.steps.get(step.name)
    phase = get_display_phase(instance)
    action = label_action(step, record, phase).word
    calls = 0 if record is None else record.action.attempt
    undo = label_compensation(step, instance)
    told = undo.word if undo.tone not in ("none", "quiet") else ""
    return action + (f", {calls} attempts" if calls > 1 else ""), told


def format_history(history: Sequence[e.Event]) -> str:
    """A history: a line for each event; of a long one the first and the last."""
    if not history:
        return "no events"
    created = history[0].at
    lines = [format_event(event, created) for event in history]
    if len(lines) > MAX_EVENTS:
        half = MAX_EVENTS // 2
        lines = [*lines[:half], f"… {format_count(len(lines) - 2 * half, 'event')} more", *lines[-half:]]
    return "\n".join(lines)


def format_event(event: e.Event, created_at: datetime | None = None) -> str:
    """An event in one line: number, time since the creation, what happened, where it leads, and why."""
    time = "" if created_at is None else f"{format_duration(event.at - created_at):>9}  "
    told = [str(event), *([f"to {event.state}"] if event.state else [])]
    because = str(e.get_because(event))
    line = f"{event.number:>3}  {time}{' '.join(told)}" + (f": {because}" if because else "")
    return truncate(" ".join(line.split("\n")), _MAX_LINE)


def format_definition(definition: Definition) -> str:
    """A saga: a line for each step with its policy, then its risks."""
    rows = [
        (str(number), step.name, ", ".join(list_traits(step.outline)), "; ".join(describe_policy(step)))
        for number, step in enumerate(definition.steps, start=1)
    ]
    risks = [f"  risk: {risk}" for risk in find_risks(definition)]
    return "\n".join(
        [f"saga {definition.saga!r} version {definition.version}", *_align_plain_text_columns(rows), *risks]
    )


def format_report(report: RecoveryReport) -> str:
    """What a recovery did: how many were resumed, and a line for each that could not be."""
    errors = [f"  {id}: {type(error).__name__}: {error}" for id, error in islice(report.errors.items(), _MAX_ROWS)]
    left = len(report.errors) - len(errors)
    resumed = [f"  resumed: {', '.join(report.resumed)}"] if report.resumed else []
    lines = [truncate(" ".join(line.split("\n")), _MAX_LINE) for line in (*resumed, *errors)]
    return "\n".join([str(report), *lines, *([f"  … {left:,} more in .errors"] if left else [])])


def format_instances(summaries: Sequence[Summary], *, now: datetime | None = None, more: bool = False) -> str:
    """The instances of a store: a line for each."""
    if not summaries:
        return "no instance"
    rows = [
        (
            one.id,
            one.saga,
            label_summary(one).word,
            one.state,
            describe_waits(one, now),
            format_age(one.updated_at, now),
        )
        for one in summaries
    ]
    return "\n".join([*_align_plain_text_columns(rows, indent=""), *(["… and more"] if more else [])])


def _align_plain_text_columns(rows: Sequence[tuple[str, ...]], *, indent: str = "  ") -> Iterator[str]:
    """Rows with their cells under each other; what is wider than a column has room is cut."""
    shown = rows[:_MAX_ROWS]
    kept = [
        [*(_fit_plain_text_cell(cell, _MAX_WIDTH) for cell in row[:-1]), _fit_plain_text_cell(row[-1], _MAX_LINE)]
        for row in shown
    ]
    widths = [max(map(len, column)) for column in zip(*kept, strict=True)]
    for row in kept:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width]
        yield (indent + "  ".join(cells)).rstrip()
    if len(rows) > len(shown):
        yield f"{indent}… {format_count(len(rows) - len(shown), 'row')} more"


def _fit_plain_text_cell(text: str, limit: int) -> str:
    return truncate(" ".join(text.split()), limit)
