"""What a definition allows and its author may not have meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs

from sagafsm.definition.definition import Definition, StepDefinition


@attrs.frozen(kw_only=True)
class Risk:
    """One thing to know about a step, and what would change it. A step of a nested saga is named by its path."""

    step: str
    kind: Literal["waits_for_a_person", "waits_for_ever", "irreversible", "parameter_left_alone"]
    message: str

    def __str__(self) -> str:
        return self.message


def find_risks(definition: Definition) -> tuple[Risk, ...]:
    """Every risk, in order of steps, those of nested sagas in their place."""
    return tuple(_find_saga_risks(definition, "", ends=definition.deadline is not None))


def _find_saga_risks(definition: Definition, prefix: str, *, ends: bool) -> Iterator[Risk]:
    """`ends`: a deadline cancels the instance, its parent's perhaps."""
    for step in definition.steps:
        behind = definition.pivot is not None and definition.positions[step.name] > definition.pivot
        path = prefix + step.name
        if step.kind == "wait":
            yield from _find_wait_risks(step, path, ends=ends and not behind)
        elif step.child is None:
            yield from _find_step_risks(step, path, behind=behind)
        yield from _find_parameter_risks(step, path)
        if step.child is not None:
            yield from _find_saga_risks(step.child, f"{path}/", ends=ends or step.child.deadline is not None)


def _find_wait_risks(step: StepDefinition, path: str, *, ends: bool) -> Iterator[Risk]:
    if step.timeout is None and not ends:
        told = f"wait {path!r} has no timeout: without its signal the instance waits for ever"
        yield Risk(step=path, kind="waits_for_ever", message=told)


def _find_step_risks(step: StepDefinition, path: str, *, behind: bool) -> Iterator[Risk]:
    if step.effect and step.probe is None and step.in_doubt == ("ask",):
        told = f"step {path!r} has neither probe nor policy: a crash here waits for a person"
        yield Risk(step=path, kind="waits_for_a_person", message=told)
    if step.effect and step.compensation is None and not step.pivot and not behind:
        told = f"step {path!r} has no compensation and is no pivot: what it did stays when the saga goes back"
        yield Risk(step=path, kind="irreversible", message=told)


def _find_parameter_risks(step: StepDefinition, path: str) -> Iterator[Risk]:
    given = (step.action, step.compensation, step.probe, step.when, step.input)
    functions = [function for function in given if function is not None]
    for role, name in ((function.role, name) for function in functions for name in function.unmatched):
        told = f"parameter {name!r} of the {role} of step {path!r} matches nothing: its default is used"
        yield Risk(step=path, kind="parameter_left_alone", message=told)
