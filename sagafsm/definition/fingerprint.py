"""The fingerprint of a definition, and the differences between the recorded steps of an instance and a definition."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from sagafsm.errors import format_list
from sagafsm.history.events import StepOutline


def _build_fingerprint_structure(step: StepOutline) -> tuple[Any, ...]:
    plain = (step.name, step.effect, step.compensation, step.probe, step.pivot)
    if step.kind == "step" and step.group is None:
        return plain
    return (*plain, step.kind, step.group, tuple(_build_fingerprint_structure(inner) for inner in step.steps))


def compute_fingerprint(outline: Sequence[StepOutline]) -> str:
    """A digest of names, order, groups, pivot, effect, nested sagas, and what can be undone or probed; not of code."""
    return hashlib.blake2b(
        repr([_build_fingerprint_structure(step) for step in outline]).encode(), digest_size=8
    ).hexdigest()


def list_differences(old: Sequence[StepOutline], new: Sequence[StepOutline]) -> tuple[str, ...]:
    """What changed from one outline to another, a phrase each, naming steps."""
    before, after = {s.name: s for s in old}, {s.name: s for s in new}
    found = [f"step {name!r} is gone" for name in before if name not in after]
    found += [f"step {name!r} is new" for name in after if name not in before]
    kept = [name for name in before if name in after]
    if kept != [name for name in after if name in before]:
        found.append(f"the order was {format_list(kept)}")
    for name in kept:
        found += _list_step_differences(before[name], after[name])
        for field in ("effect", "compensation", "probe", "pivot"):
            was, now = getattr(before[name], field), getattr(after[name], field)
            if was != now:
                found.append(f"step {name!r} {'lost' if was else 'gained'} its {field}")
    return tuple(found)


def _list_step_differences(before: StepOutline, after: StepOutline) -> Iterator[str]:
    """What changed in a step's kind, group and nested steps."""
    if before.kind != after.kind:
        yield f"step {after.name!r} was a {before.kind} and is a {after.kind}"
    if before.group != after.group:
        was, now = (f"in group {group!r}" if group else "in no group" for group in (before.group, after.group))
        yield f"step {after.name!r} was {was} and is {now}"
    yield from (f"in saga {after.name!r}, {told}" for told in list_differences(before.steps, after.steps))
