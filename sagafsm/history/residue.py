"""What the steps of an instance may have left in the world. Pure, and needs no definition."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sagafsm.history import events as e
from sagafsm.history.step_state import Residue, StepState


def collect_residue(
    outline: Sequence[e.StepOutline], steps: Mapping[str, StepState], started: Sequence[str], *, ended: bool
) -> tuple[Residue, ...]:
    """One entry per step that may have left an effect which is not undone, in order of start.

    `ended`: the instance has failed, so that what could still have been undone stays.
    """
    by_name = {step.name: step for step in outline}
    return tuple(left for name in started for left in _collect_step_residue(by_name[name], steps[name], ended=ended))


def _collect_step_residue(outline: e.StepOutline, record: StepState, *, ended: bool) -> Iterator[Residue]:
    if outline.kind == "saga":
        yield from _collect_nested_residue(outline, record, ended=ended)
        return
    if not (outline.effect and record.effect_may_remain):
        return
    unknown = record.status in ("running", "in_doubt")
    if record.undo == "skipped":
        yield Residue(step=record.name, reason="skipped", result=record.result)
    elif not outline.compensation:
        yield Residue(step=record.name, reason="in_doubt" if unknown else "no_compensation", result=record.result)
    elif ended:
        yield Residue(step=record.name, reason="in_doubt" if unknown else "abandoned", result=record.result)


def _collect_nested_residue(outline: e.StepOutline, record: StepState, *, ended: bool) -> Iterator[Residue]:
    """What a nested saga says that it left; one that completed and was not sent back has left all that it did."""
    if record.child is not None and record.child.left:
        for left in record.child.left:
            result = None if left.result_json is None else json.loads(left.result_json)
            yield Residue(step=f"{record.name}/{left.step}", reason=left.reason, result=result)
    elif record.status == "done" and record.effect_may_remain and (ended or not outline.compensation):
        yield from _collect_result_residue(outline, record.result)


def _collect_result_residue(outline: e.StepOutline, results: Mapping[str, Any]) -> Iterator[Residue]:
    for step in outline.steps:
        path = f"{outline.name}/{step.name}"
        if step.name not in results or not step.effect:
            continue
        if step.kind == "saga":
            for left in _collect_result_residue(step, results[step.name]):
                yield left._replace(step=f"{outline.name}/{left.step}")
        else:
            reason: e.ResidueReason = "abandoned" if step.compensation else "no_compensation"
            yield Residue(step=path, reason=reason, result=results[step.name])
