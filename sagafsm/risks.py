"""What a definition allows and its author may not have meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs

from sagafsm.definition import Definition, StepDefinition
from sagafsm.values import Value


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Risk(Value):
    """One thing to know about a step, and what would change it."""

    step: str
    kind: Literal["waits_for_a_person", "irreversible", "parameter_left_alone"]
    message: str

    def __str__(self) -> str:
        return self.message


def risks_of(definition: Definition) -> tuple[Risk, ...]:
    """Every risk, in order of steps."""
    return tuple(risk for step in definition.steps for risk in _of_step(definition, step))


def _of_step(definition: Definition, step: StepDefinition) -> Iterator[Risk]:
    if step.effect and step.probe is None and step.in_doubt == ("ask",):
        told = f"step {step.name!r} has neither probe nor policy: a crash here waits for a person"
        yield Risk(step=step.name, kind="waits_for_a_person", message=told)
    behind = definition.pivot is not None and definition.positions[step.name] > definition.pivot
    if step.effect and step.compensation is None and not step.pivot and not behind:
        told = f"step {step.name!r} has no compensation and is no pivot: what it did stays when the saga goes back"
        yield Risk(step=step.name, kind="irreversible", message=told)
    functions = [function for function in (step.action, step.compensation, step.probe) if function is not None]
    for role, name in ((function.role, name) for function in functions for name in function.left_alone):
        told = f"parameter {name!r} of the {role} of step {step.name!r} matches nothing: its default is used"
        yield Risk(step=step.name, kind="parameter_left_alone", message=told)
