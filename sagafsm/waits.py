"""The signals for which a saga waits. Pure, and needs no definition."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from sagafsm import events as e
from sagafsm.record import StepRecord


def waits_of(outline: Sequence[e.StepOutline], prefix: str = "") -> Iterator[str]:
    """The signals for which a saga waits, those of nested sagas by their paths."""
    for step in outline:
        if step.kind == "wait":
            yield prefix + step.name
        yield from waits_of(step.steps, f"{prefix}{step.name}/")


def awaited_in(
    outline: Sequence[e.StepOutline], steps: Mapping[str, StepRecord], received: Collection[str]
) -> Iterator[str]:
    """The signals for which an instance waits now; for a nested saga that waits, each that it still may wait for."""
    for step in outline:
        record = steps[step.name]
        if step.kind == "wait" and record.status == "running":
            yield step.name
        elif record.child is not None and record.child.waits:
            yield from (path for path in waits_of((step,)) if path not in received)
