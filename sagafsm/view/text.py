"""Values in words, for a terminal: plain lines, without any colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

from sagafsm import events as e
from sagafsm.definition import Definition
from sagafsm.instance import SagaInstance
from sagafsm.recovery import RecoveryReport
from sagafsm.risks import risks_of
from sagafsm.store import Summary
from sagafsm.view.listing import summary_standing, waits_for
from sagafsm.view.payloads import cut
from sagafsm.view.phrases import BLOCKS, DECISIONS, RESIDUES, count
from sagafsm.view.steps import kinds, policy
from sagafsm.view.times import age, seconds
from sagafsm.view.words import action_standing, phase_of, undo_standing

_WIDEST = 40
_LONGEST_LINE = 160
MOST_EVENTS = 60
_EVER_SO_MANY = 200


def instance_text(instance: SagaInstance) -> str:
    """An instance: what its repr says, then a line for each step, then what it waits for or may leave."""
    rows = [("", step.name, *_standing(step, instance)) for step in instance.outline]
    lines = [cut(repr(instance), 2 * _LONGEST_LINE), *_columns(rows)]
    for block in instance.blocked:
        lines.append(f"  blocked: {block.step}: {BLOCKS[block.reason]}; decide:")
        lines += [f"    {decision}: {DECISIONS[decision]}" for decision in block.decisions]
    lines += [f"  may remain: {left.step}: {RESIDUES[left.reason]}" for left in instance.residue]
    return "\n".join(lines)


def _standing(step: e.StepOutline, instance: SagaInstance) -> tuple[str, str]:
    record = instance.steps.get(step.name)
    phase = phase_of(instance)
    action = action_standing(step, record, phase).word
    calls = 0 if record is None else record.action.attempt
    undo = undo_standing(step, record, phase)
    told = undo.word if undo.tone not in ("none", "quiet") else ""
    return action + (f", {calls} attempts" if calls > 1 else ""), told


def history_text(history: Sequence[e.Event]) -> str:
    """A history: a line for each event; of a long one the first and the last."""
    if not history:
        return "no events"
    created = history[0].at
    lines = [event_text(event, created) for event in history]
    if len(lines) > MOST_EVENTS:
        half = MOST_EVENTS // 2
        lines = [*lines[:half], f"… {count(len(lines) - 2 * half, 'event')} more", *lines[-half:]]
    return "\n".join(lines)


def event_text(event: e.Event, created_at: datetime | None = None) -> str:
    """An event in one line: number, time since the creation, what happened, where it leads, and why."""
    time = "" if created_at is None else f"{seconds(event.at - created_at):>9}  "
    told = [str(event), *([f"to {event.state}"] if event.state else [])]
    error: e.RecordedError | None = getattr(event, "error", None)
    why = [getattr(event, name, None) for name in ("decision", "by", "reason")]
    words = [str(one) for one in (*why, error) if one]
    line = f"{event.number:>3}  {time}{' '.join(told)}" + (f": {'; '.join(words)}" if words else "")
    return cut(" ".join(line.split("\n")), _LONGEST_LINE)


def definition_text(definition: Definition) -> str:
    """A saga: a line for each step with its policy, then its risks."""
    rows = [
        (str(number), step.name, ", ".join(kinds(step.outline)), "; ".join(policy(step)))
        for number, step in enumerate(definition.steps, start=1)
    ]
    risks = [f"  risk: {risk}" for risk in risks_of(definition)]
    return "\n".join([f"saga {definition.saga!r} version {definition.version}", *_columns(rows), *risks])


def report_text(report: RecoveryReport) -> str:
    """What a recovery did: how many were resumed, and a line for each that could not be."""
    errors = [f"  {id}: {type(error).__name__}: {error}" for id, error in islice(report.errors.items(), _EVER_SO_MANY)]
    left = len(report.errors) - len(errors)
    resumed = [f"  resumed: {', '.join(report.resumed)}"] if report.resumed else []
    lines = [cut(" ".join(line.split("\n")), _LONGEST_LINE) for line in (*resumed, *errors)]
    return "\n".join([str(report), *lines, *([f"  … {left:,} more in .errors"] if left else [])])


def listing_text(summaries: Sequence[Summary], *, now: datetime | None = None, more: bool = False) -> str:
    """The instances of a store: a line for each."""
    if not summaries:
        return "no instance"
    rows = [
        (one.id, one.saga, summary_standing(one).word, one.state, waits_for(one, now), age(one.updated_at, now))
        for one in summaries
    ]
    return "\n".join([*_columns(rows, indent=""), *(["… and more"] if more else [])])


def _columns(rows: Sequence[tuple[str, ...]], *, indent: str = "  ") -> Iterator[str]:
    """Rows with their cells under each other; what is wider than a column has room is cut."""
    shown = rows[:_EVER_SO_MANY]
    kept = [[*(_cell(cell, _WIDEST) for cell in row[:-1]), _cell(row[-1], _LONGEST_LINE)] for row in shown]
    widths = [max(map(len, column)) for column in zip(*kept, strict=True)]
    for row in kept:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width]
        yield (indent + "  ".join(cells)).rstrip()
    if len(rows) > len(shown):
        yield f"{indent}… {count(len(rows) - len(shown), 'row')} more"


def _cell(text: str, limit: int) -> str:
    return cut(" ".join(text.split()), limit)
