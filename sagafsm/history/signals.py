"""The signals for which a saga waits. Pure, and needs no definition."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from sagafsm.history import events as e
from sagafsm.history.step_state import StepState


def list_waits(outline: Sequence[e.StepOutline], prefix: str = "") -> Iterator[str]:
    """The signals for which a saga waits, those of nested sagas by their paths."""
    for step in outline:
        if step.kind == "wait":
            yield prefix + step.name
        yield from list_waits(step.steps, f"{prefix}{step.name}/")


def resolve_signal_name(name: str, steps: Collection[str], history: Iterable[e.Event]) -> str:
    """The path of a signal, posted perhaps under a name that a migration changed; "" where its step is gone."""
    head, slash, rest = name.partition("/")
    if head not in steps:
        for event in history:
            if isinstance(event, e.InstanceMigrated):
                head = dict(event.renamed).get(head, head) or ""
    return f"{head}{slash}{rest}" if head in steps else ""


def list_awaited(
    outline: Sequence[e.StepOutline], steps: Mapping[str, StepState], received: Collection[str]
) -> Iterator[str]:
    """The signals for which an instance waits now; for a nested saga that waits, each that it still may wait for."""
    for step in outline:
        record = steps[step.name]
        if step.kind == "wait" and record.status == "running":
            yield step.name
        elif record.child is not None and record.child.waits:
            yield from (path for path in list_waits((step,)) if path not in received)
