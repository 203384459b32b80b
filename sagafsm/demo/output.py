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
from sagafsm.demo.saga import Order
from sagafsm.errors import format_list
from sagafsm.history.instance import SagaInstance
from sagafsm.history.payload import decode

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
                console.print(Text(f"{instance.id}  {outcome}"))
            counts[outcome.split()[0].rstrip(",")] += 1
            description = ", ".join(f"{count} {word}" for word, count in counts.items())
            progress.update(task, advance=1, description=description)

        yield show


def print_report(console: Console, instances: Sequence[SagaInstance], *, others: int, store_url: str) -> None:
    """Print outcomes, failures and stuck orders. `others` is the number of other orders in the store."""
    columns = ("outcome", Column("orders", justify="right"), Column("amount", justify="right", no_wrap=True))
    outcomes = Table(*columns, title="Orders by outcome", title_justify="left")
    counts, amounts = Counter[str](), Counter[str]()
    for instance in instances:
        order: Order = decode(instance.input_json, Order, subject="input")
        counts[describe_outcome(instance)] += 1
        amounts[describe_outcome(instance)] += order.total
    for outcome, count in counts.items():
        outcomes.add_row(outcome, str(count), describe_money(amounts[outcome]))
    outcomes.add_section()
    outcomes.add_row("all", str(len(instances)), describe_money(amounts.total()))
    console.print(outcomes)
    _print_failures(console, [instance for instance in instances if instance.state == "failed"])
    for instance in instances:
        if not instance.is_at_rest:
            _print_demo_stuck_order(console, instance, store_url)
    if others:
        console.print(f"The store holds {others} more orders of earlier runs; the audit covers them too.")


def describe_outcome(instance: SagaInstance) -> str:
    """Return the outcome of an order in words."""
    if instance.state == "failed":
        return "failed and compensated" if instance.compensated else "failed, not all undone"
    if instance.state == "completed":
        return "completed"
    return "blocked" if instance.blocked else "unfinished"


def _print_failures(console: Console, instances: Sequence[SagaInstance]) -> None:
    narrow = [Column(name, no_wrap=True) for name in ("order", "failed at", "compensated")]
    columns = (*narrow[:2], Column("cause", ratio=1), narrow[2])
    table = Table(*columns, title="Failed orders", title_justify="left")
    for instance in instances:
        undone = [step for step in reversed(instance.started) if instance.steps[step].undo == "undone"]
        left = [f"left: {residue.step}" for residue in instance.residue]
        step = instance.cause.step if instance.cause else None
        effects = format_list((*undone, *left), none="nothing to undo")
        table.add_row(*map(Text, (instance.id, step or "-", _describe_demo_cause(instance), effects)))
    if instances:
        console.print(table)


def _describe_demo_cause(instance: SagaInstance) -> str:
    return "abandoned" if instance.cause is None else str(instance.cause.error or instance.cause)


def _print_demo_stuck_order(console: Console, instance: SagaInstance, store_url: str) -> None:
    """Print why an order does not go on, with the command for the most likely decision."""
    if instance.blocked:
        # The steps run one after another, so no more than one of them can be blocked.
        (block,) = instance.blocked
        why = instance.errors[-1] if instance.errors else block.reason
        back = f"goes back ({_describe_demo_cause(instance)}), but " if instance.cause else ""
        need = f"{back}step {block.step!r} needs a decision ({block.reason}): {why}"
        console.print(Text(f"{instance.id} is blocked: {need}", "yellow"))
        console.print(Text(f"decisions: {format_list(block.decisions)}; for instance"))
        words = ["retry" if "retry" in block.decisions else "compensate", instance.id]
        if "resolve(undone)" in block.decisions:
            words = ["resolve", instance.id, "--undone", "--reason", REASONS[block.step]]
    else:
        console.print(Text(f"{instance.id} is unfinished in {instance.state}; it goes on with", "yellow"))
        words = ["resume", instance.id]
    if find_store_file(store_url) is None:
        console.print(Text(f"  (nothing: store {store_url} ends with this process; use one in a file)"))
    else:
        where = ("--saga", "sagafsm.demo:order", "--store", store_url, "--resources", "sagafsm.demo:resources")
        # A long line is not broken, so that it can be copied.
        console.print(Text(f"  {quote_command(['sagafsm', *words, *where])}", "bold"), soft_wrap=True)


def print_interrupted(console: Console, orders: Path | None, store_url: str) -> None:
    """Print how to go on after an interrupt."""
    if find_store_file(store_url) is None:
        console.print(Text(f"interrupted; store {store_url} ends with this process", "yellow"))
    else:
        console.print(Text("interrupted; nothing is lost, it goes on with", "yellow"))
        words = ["sagafsm", "demo", *([] if orders is None else [str(orders)]), "--store", store_url]
        console.print(Text(f"  {quote_command(words)}", "bold"), soft_wrap=True)


def quote_command(words: Sequence[str]) -> str:
    """Join words to a command line, with double quotes where possible, because every shell accepts those."""
    return " ".join(f'"{word}"' if _HARMLESS.fullmatch(word) else shlex.quote(word) for word in words)


def print_audit(console: Console, found: Audit, folder: Path) -> None:
    """Print the result of an audit. The verdict comes last."""
    console.print(Text(f"Audit of the participants' own files in {folder}", "italic"))
    for line in found.lines:
        style = "bold green" if line == "balanced" else "red" if line.lstrip() in found.problems else ""
        console.print(Text(line, style), soft_wrap=not console.is_terminal)
