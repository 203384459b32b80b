"""What is seen while orders run: a bar on a terminal, a line for each order elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from sagafsm.demo.outcomes import outcome_of
from sagafsm.instance import SagaInstance


@contextmanager
def watching(console: Console, total: int) -> Iterator[Callable[[SagaInstance], None]]:
    """A listener to be told of each order that has been run."""
    if console.is_terminal:
        with _bar(console, total) as tell:
            yield tell
    else:
        yield lambda instance: console.print(f"{instance.id}  {outcome_of(instance)}", markup=False, highlight=False)


@contextmanager
def _bar(console: Console, total: int) -> Iterator[Callable[[SagaInstance], None]]:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    counts: Counter[str] = Counter()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)

        def tell(instance: SagaInstance) -> None:
            counts[outcome_of(instance).split()[0].rstrip(",")] += 1
            told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
            progress.update(task, advance=1, description=told)

        yield tell
