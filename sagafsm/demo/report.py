"""What became of the orders, as tables; and for each that is stuck, the command that settles it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sagafsm.demo.audit import Audit
from sagafsm.demo.folder import store_file
from sagafsm.demo.orders import Order
from sagafsm.demo.outcomes import outcome_of, was_compensated
from sagafsm.demo.words import euros
from sagafsm.errors import listed
from sagafsm.instance import SagaInstance
from sagafsm.payload import decode
from sagafsm.record import Block

# Words and spaces: nothing in it that a shell would expand.
_HARMLESS = re.compile(r"[\w.,:/=-]+(?: [\w.,:/=-]+)+")
BY_HAND = {"reserve": "goods put back by hand", "charge": "refunded by hand", "ship": "label voided by hand"}


def print_report(console: Console, instances: Sequence[SagaInstance], *, others: int, store_url: str) -> None:
    """Print outcomes, failures and what is stuck; `others`: how many more orders the store holds."""
    console.print(_outcomes(instances))
    failed = [instance for instance in instances if instance.state == "failed"]
    if failed:
        console.print(_failures(failed))
    for instance in instances:
        if not instance.is_at_rest:
            _print_stuck(console, instance, store_url)
    if others:
        console.print(f"The store holds {others} more orders of earlier runs; the audit covers them too.")


def _outcomes(instances: Sequence[SagaInstance]) -> Table:
    table = Table(title="Orders by outcome", title_justify="left")
    table.add_column("outcome")
    table.add_column("orders", justify="right")
    table.add_column("amount", justify="right", no_wrap=True)
    groups: dict[str, list[SagaInstance]] = {}
    for instance in instances:
        groups.setdefault(outcome_of(instance), []).append(instance)
    for outcome, group in groups.items():
        table.add_row(outcome, str(len(group)), _amount(group))
    table.add_section()
    table.add_row("all", str(len(instances)), _amount(instances))
    return table


def _amount(instances: Sequence[SagaInstance]) -> str:
    orders: list[Order] = [decode(instance.input_json, Order, subject="input") for instance in instances]
    return euros(sum(order.total for order in orders))


def _failures(instances: Sequence[SagaInstance]) -> Table:
    table = Table(title="Failed orders", title_justify="left")
    table.add_column("order", no_wrap=True)
    table.add_column("failed at", no_wrap=True)
    table.add_column("cause", ratio=1)
    table.add_column("compensated", no_wrap=True)
    for instance in instances:
        step, cause = _cause(instance)
        left = [f"left: {residue.step}" for residue in instance.residue]
        undone = listed((*was_compensated(instance), *left), none="nothing to undo")
        table.add_row(Text(instance.id), Text(step), Text(cause), Text(undone))
    return table


def _cause(instance: SagaInstance) -> tuple[str, str]:
    """The step at which an order turned back, and why."""
    cause = instance.cause
    if cause is None:
        return "-", "abandoned"
    return cause.step or "-", str(cause.error or cause)


def _print_stuck(console: Console, instance: SagaInstance, store_url: str) -> None:
    for block in instance.blocked:
        why = instance.errors[-1] if instance.errors else block.reason
        _, cause = _cause(instance)
        told = f"goes back ({cause}), but " if instance.cause else ""
        line = f"{instance.id} is blocked: {told}step {block.step!r} needs a decision ({block.reason}): {why}"
        console.print(line, style="yellow", markup=False, highlight=False)
        console.print(f"decisions: {listed(block.decisions)}; for instance", markup=False, highlight=False)
        _print_command(console, _settling(instance, block), store_url)
    if not instance.blocked:
        line = f"{instance.id} is unfinished in {instance.state}; it goes on with"
        console.print(line, style="yellow", markup=False, highlight=False)
        _print_command(console, ["resume", instance.id], store_url)


def _print_command(console: Console, what: Sequence[str], store_url: str) -> None:
    if store_file(store_url) is None:
        console.print(f"  (nothing: store {store_url} ends with this process; use one in a file)", highlight=False)
        return
    # Never broken by the width of the terminal: it is made to be copied.
    console.print(f"  {command_line(what, store_url)}", style="bold", markup=False, highlight=False, soft_wrap=True)


def command_line(what: Sequence[str], store_url: str) -> str:
    """A command of the command line on an order in the store, as a shell takes it."""
    where = ("--saga", "sagafsm.demo:order", "--store", store_url, "--resources", "sagafsm.demo:resources")
    return " ".join(map(_quoted, ("sagafsm", *what, *where)))


def print_interrupted(console: Console, orders: Path | None, store_url: str) -> None:
    """Print how a demo that was interrupted goes on."""
    if store_file(store_url) is None:
        console.print(f"interrupted; store {store_url} ends with this process", style="yellow", highlight=False)
        return
    console.print("interrupted; nothing is lost, it goes on with", style="yellow", highlight=False)
    words = ("sagafsm", "demo", *([] if orders is None else [str(orders)]), "--store", store_url)
    console.print(f"  {' '.join(map(_quoted, words))}", style="bold", markup=False, highlight=False, soft_wrap=True)


def _quoted(word: str) -> str:
    # Double quotes where they will do: every shell takes them, and single ones only those of POSIX.
    return f'"{word}"' if _HARMLESS.fullmatch(word) else shlex.quote(word)


def _settling(instance: SagaInstance, block: Block) -> list[str]:
    """The decision that a person would most likely take."""
    which = ["--step", block.step] if len(instance.blocked) > 1 else []
    if "resolve(undone)" in block.decisions:
        reason = BY_HAND.get(block.step, "undone by hand")
        return ["resolve", instance.id, *which, "--undone", "--reason", reason]
    return ["retry" if "retry" in block.decisions else "compensate", instance.id, *which]


def print_audit(console: Console, found: Audit, folder: Path) -> None:
    """Print what an audit found; the last line is the verdict."""
    console.print(f"Audit of the participants' own files in {folder}", style="italic", markup=False, highlight=False)
    for line in found.lines:
        verdict = {"balanced": "bold green"}.get(line, "red" if line.lstrip() in found.problems else None)
        console.print(line, style=verdict, markup=False, highlight=False, soft_wrap=not console.is_terminal)
