"""Instances and summaries as a person reads them in a terminal, or a script as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sagafsm.errors import listed
from sagafsm.events import Event
from sagafsm.instance import SagaInstance
from sagafsm.store import Summary

STYLES = {"completed": "green", "failed": "red", "pending": "dim", "running": "cyan", "compensating": "yellow"}


def styled(state: str, *, blocked: bool = False) -> Text:
    """The state in the colour of its phase."""
    return Text(state, style="bold magenta" if blocked else STYLES.get(state.partition(":")[0], ""))


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
            styled(one.state, blocked=one.blocked is not None),
            one.blocked or ("waits for a signal" if one.waiting else ""),
            Text(one.owner.name if one.owner else ""),
            one.updated_at.strftime("%Y-%m-%d %H:%M:%S"),
        )
    if table.row_count:
        console.print(table)
    else:
        console.print("no such instance")


def summary_json(one: Summary) -> str:
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


def instance_json(instance: SagaInstance) -> str:
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
    console.print(styled(instance.state, blocked=bool(instance.blocked)))
    for label, text in _facts(instance):
        console.print(Text(f"  {label:<10} {text}"), soft_wrap=True)
    console.print(_steps(instance))
    console.print(_history(instance))


def _facts(instance: SagaInstance) -> Iterator[tuple[str, str]]:
    yield "created", instance.created_at.isoformat(sep=" ", timespec="milliseconds")
    yield "input", json.dumps(instance.input, ensure_ascii=False)
    if instance.why is not None:
        yield "cause", instance.why
    for block in instance.blocked:
        yield "blocked", f"{block.step}: {block.reason} (decide: {listed(block.decisions)})"
    for left in instance.residue:
        yield "residue", f"{left.step}: {left.reason} {json.dumps(left.result, ensure_ascii=False)}"
    if instance.waiting:
        yield "waits", f"for a signal: {instance.current}"
    if instance.owner is not None:
        yield "owner", instance.owner
    if instance.wake_at is not None:
        yield "wakes at", instance.wake_at.isoformat(sep=" ")


def _steps(instance: SagaInstance) -> Table:
    table = Table("step", "action", "calls", "compensation", "calls", "result", box=None, pad_edge=False)
    for record in instance.steps.values():
        result: Any = "" if record.result_json is None else record.result_json
        table.add_row(
            record.name,
            record.status,
            str(record.action.attempt or ""),
            record.undo or "",
            str(record.compensation.attempt or ""),
            Text(result, overflow="ellipsis", no_wrap=True),
        )
    return table


def _history(instance: SagaInstance) -> Table:
    table = Table("#", "after", "event", "leads to", "because", box=None, pad_edge=False)
    for event in instance.history:
        table.add_row(
            str(event.number),
            f"{(event.at - instance.created_at).total_seconds():.3f} s",
            str(event),
            styled(event.state) if event.state else "",
            Text(_because(event)),
        )
    return table


def _because(event: Event) -> str:
    """What an event tells beyond its name: error, reason, decision, and who said so."""
    told = [getattr(event, name, None) for name in ("decision", "reason", "error", "by")]
    return "; ".join(str(one) for one in told if one)
