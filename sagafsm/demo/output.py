"""The output of the demo: progress, outcomes, failures, the command for each order that is stuck, and the audit."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column, Table
from rich.text import Text

from sagafsm.demo.audit import Audit, describe_money
from sagafsm.demo.folder import find_store_file
from sagafsm.demo.orders import Order
from sagafsm.errors import listed
from sagafsm.events import CompensationStarted
from sagafsm.instance import SagaInstance
from sagafsm.payload import decode
from sagafsm.record import Block

REASONS = {"reserve": "goods put back by hand", "charge": "refunded by hand", "ship": "label voided by hand"}
# Words and spaces, without a character that a shell expands.
_HARMLESS = re.compile(r"[\w.,:/=-]+(?: [\w.,:/=-]+)+")


@contextmanager
def show_progress(console: Console, total: int) -> Iterator[Callable[[SagaInstance], None]]:
    """Yield a function that shows one more order: in a bar on a terminal, else in a line."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    counts: Counter[str] = Counter()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)

        def show(instance: SagaInstance) -> None:
            outcome = describe_outcome(instance)
            if not console.is_terminal:
                _print(console, f"{instance.id}  {outcome}")
            counts[outcome.split()[0].rstrip(",")] += 1
            description = ", ".join(f"{count} {word}" for word, count in counts.items())
            progress.update(task, advance=1, description=description)

        yield show


def print_report(console: Console, instances: Sequence[SagaInstance], *, others: int, store_url: str) -> None:
    """Print outcomes, failures and stuck orders. `others` is the number of other orders in the store."""
    columns = ("outcome", Column("orders", justify="right"), Column("amount", justify="right", no_wrap=True))
    outcomes = Table(*columns, title="Orders by outcome", title_justify="left")
    groups: dict[str, list[SagaInstance]] = {}
    for instance in instances:
        groups.setdefault(describe_outcome(instance), []).append(instance)
    for outcome, group in groups.items():
        outcomes.add_row(outcome, str(len(group)), _describe_total(group))
    outcomes.add_section()
    outcomes.add_row("all", str(len(instances)), _describe_total(instances))
    console.print(outcomes)
    failures = _list_failures(instances)
    if failures.row_count:
        console.print(failures)
    for instance in instances:
        if not instance.is_at_rest:
            _print_stuck(console, instance, store_url)
    if others:
        console.print(f"The store holds {others} more orders of earlier runs; the audit covers them too.")


def describe_outcome(instance: SagaInstance) -> str:
    """Return the outcome of an order in words."""
    if instance.state == "failed":
        return "failed and compensated" if instance.compensated else "failed, not all undone"
    if instance.state == "completed":
        return "completed"
    return "blocked" if instance.blocked else "unfinished"


def _describe_total(instances: Sequence[SagaInstance]) -> str:
    orders: list[Order] = [decode(instance.input_json, Order, subject="input") for instance in instances]
    return describe_money(sum(order.total for order in orders))


def _list_failures(instances: Sequence[SagaInstance]) -> Table:
    narrow = [Column(name, no_wrap=True) for name in ("order", "failed at", "compensated")]
    columns = (*narrow[:2], Column("cause", ratio=1), narrow[2])
    table = Table(*columns, title="Failed orders", title_justify="left")
    for instance in (instance for instance in instances if instance.state == "failed"):
        begun = dict.fromkeys(event.step for event in instance.history if isinstance(event, CompensationStarted))
        undone = [step for step in begun if instance.steps[step].undo == "undone"]
        left = [f"left: {residue.step}" for residue in instance.residue]
        step = instance.cause.step if instance.cause else None
        effects = listed((*undone, *left), none="nothing to undo")
        table.add_row(*map(Text, (instance.id, step or "-", _describe_cause(instance), effects)))
    return table


def _describe_cause(instance: SagaInstance) -> str:
    cause = instance.cause
    return "abandoned" if cause is None else str(cause.error or cause)


def _print_stuck(console: Console, instance: SagaInstance, store_url: str) -> None:
    """Print why an order does not go on, with the command that settles it."""
    for block in instance.blocked:
        why = instance.errors[-1] if instance.errors else block.reason
        back = f"goes back ({_describe_cause(instance)}), but " if instance.cause else ""
        need = f"{back}step {block.step!r} needs a decision ({block.reason}): {why}"
        _print(console, f"{instance.id} is blocked: {need}", "yellow")
        _print(console, f"decisions: {listed(block.decisions)}; for instance")
        _print_command(console, _choose_decision(instance, block), store_url)
    if not instance.blocked:
        _print(console, f"{instance.id} is unfinished in {instance.state}; it goes on with", "yellow")
        _print_command(console, ["resume", instance.id], store_url)


def _choose_decision(instance: SagaInstance, block: Block) -> list[str]:
    """Return the command for the most likely decision."""
    which = ["--step", block.step] if len(instance.blocked) > 1 else []
    if "resolve(undone)" in block.decisions:
        return ["resolve", instance.id, *which, "--undone", "--reason", REASONS[block.step]]
    return ["retry" if "retry" in block.decisions else "compensate", instance.id, *which]


def _print_command(console: Console, words: Sequence[str], store_url: str) -> None:
    if find_store_file(store_url) is None:
        _print(console, f"  (nothing: store {store_url} ends with this process; use one in a file)")
    else:
        where = ("--saga", "sagafsm.demo:order", "--store", store_url, "--resources", "sagafsm.demo:resources")
        _print(console, f"  {quote_command(['sagafsm', *words, *where])}", "bold", soft_wrap=True)


def print_interrupted(console: Console, orders: Path | None, store_url: str) -> None:
    """Print how to go on after an interrupt."""
    if find_store_file(store_url) is None:
        _print(console, f"interrupted; store {store_url} ends with this process", "yellow")
    else:
        _print(console, "interrupted; nothing is lost, it goes on with", "yellow")
        words = ["sagafsm", "demo", *([] if orders is None else [str(orders)]), "--store", store_url]
        _print(console, f"  {quote_command(words)}", "bold", soft_wrap=True)


def quote_command(words: Sequence[str]) -> str:
    """Join words to a command line, with double quotes where possible, because every shell accepts those."""
    return " ".join(f'"{word}"' if _HARMLESS.fullmatch(word) else shlex.quote(word) for word in words)


def print_audit(console: Console, found: Audit, folder: Path) -> None:
    """Print the result of an audit. The verdict comes last."""
    _print(console, f"Audit of the participants' own files in {folder}", "italic")
    for line in found.lines:
        style = "bold green" if line == "balanced" else "red" if line.lstrip() in found.problems else None
        _print(console, line, style, soft_wrap=not console.is_terminal)


def _print(console: Console, text: str, style: str | None = None, *, soft_wrap: bool = False) -> None:
    """Print text as it is. With `soft_wrap` a long line is not broken, so that a command can be copied."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=soft_wrap)
