"""Where an instance may go from what is known of the steps of its state. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import assert_never

from sagafsm.definition.definition import Definition, StepDefinition, UnitDefinition
from sagafsm.definition.machine import Trigger
from sagafsm.history.instance import AT_REST, SagaInstance
from sagafsm.history.step_state import StepState


def has_passed_pivot(instance: SagaInstance) -> bool:
    """Whether the pivot has succeeded, so that there is no way back."""
    return any(step.pivot and instance.steps[step.name].status in ("done", "unstorable") for step in instance.outline)


def is_cancellable(instance: SagaInstance) -> bool:
    """Whether a cancel would still make the instance go back."""
    running = instance.phase in ("pending", "running")
    return running and instance.cause is None and instance.cancel is None and not has_passed_pivot(instance)


def is_pivot_or_later(definition: Definition, step: str) -> bool:
    """Whether the step is the pivot or stands behind it."""
    return definition.pivot is not None and definition.positions[step] >= definition.pivot


def is_undone_without_decision(step: StepDefinition, record: StepState) -> bool:
    """Whether the doubt, once a cause is recorded, is settled by undoing the step without asking anybody."""
    asked = record.probed or step.probe is None
    return record.conceded or ("compensate" in step.in_doubt and asked)


def find_next_undo(unit: UnitDefinition, instance: SagaInstance) -> StepState | None:
    """The step of the unit that is to be undone next: of those that may have an effect, the last that was started."""
    if len(unit.steps) == 1:
        (step,) = unit.steps
        return instance.steps[step.name] if _is_to_undo(step, instance.steps[step.name]) else None
    members = {step.name: step for step in unit.steps}
    for name in reversed(instance.started):
        if name in members and _is_to_undo(members[name], instance.steps[name]):
            return instance.steps[name]
    return None


def _is_to_undo(step: StepDefinition, record: StepState) -> bool:
    return step.can_undo and record.can_be_compensated


def _is_passed_over(definition: Definition, instance: SagaInstance, state: str) -> bool:
    return find_next_undo(definition.units[state.partition(":")[2]], instance) is None


def due_trigger(definition: Definition, instance: SagaInstance, under_way: Collection[str] = ()) -> Trigger | None:
    """The trigger that what is known of the current steps fires, if it does. Calls under way may still change it."""
    phase, current = instance.phase, instance.current
    if phase == "running" and current is not None:
        unit = definition.units[current]
        return (
            _forward_trigger(unit, instance) if instance.cause is None else _backward_trigger(unit, instance, under_way)
        )
    if phase == "compensating" and current is not None:
        return "undo" if find_next_undo(definition.units[current], instance) is None else None
    if instance.cause is None or phase == "failed":
        return None
    return "cancel" if phase == "pending" else "go_back"


def _forward_trigger(unit: UnitDefinition, instance: SagaInstance) -> Trigger | None:
    for step in unit.steps:
        if instance.steps[step.name].status not in ("done", "skipped"):
            return None
    return "succeed"


def _backward_trigger(unit: UnitDefinition, instance: SagaInstance, under_way: Collection[str]) -> Trigger | None:
    """The trigger out of a running state once a cause is recorded and every step in it is settled."""
    trigger: Trigger = "fail"
    for step in unit.steps:
        settled = None if step.name in under_way else _find_step_trigger(step, instance.steps[step.name])
        if settled is None:
            return None
        trigger = "go_back" if settled == "go_back" else trigger
    return trigger


def _find_step_trigger(step: StepDefinition, record: StepState) -> Trigger | None:
    """Which way back one step asks for; None while it is not known what it did."""
    if record.undo == "skipped":
        return "fail"
    match record.status:
        case "pending" | "waiting" | "failed" | "skipped":
            return "fail"
        case "done" | "unstorable":
            return "go_back" if step.effect else "fail"
        case "in_doubt":
            return "go_back" if is_undone_without_decision(step, record) else None
        case "running" | "parked":
            return "fail" if step.kind == "wait" else None
        case _:
            assert_never(record.status)


def next_state(definition: Definition, instance: SagaInstance, under_way: Collection[str] = ()) -> str | None:
    """The state to which the last event leads, when what is known now fires a trigger.

    Going back, and the end, are not carried by the event that brings them about: `decide` orders them, in the same
    commit, once everything is known that the commit records; so are units that are passed over on the way back. A call
    that timed out may still answer, and a cancel is read before the outcome that it meets. Only out of `completed` does
    the cause itself lead back: nobody looks after an instance at rest.
    """
    trigger = due_trigger(definition, instance, under_way)
    if trigger not in ("succeed", "undo") and not (trigger == "go_back" and instance.state == "completed"):
        return None
    target = definition.table[trigger, instance.state]
    if target in AT_REST or (trigger == "undo" and _is_passed_over(definition, instance, target)):
        return None
    return target


def list_undo_owed(instance: SagaInstance) -> list[str]:
    """List the steps that are undone when the instance goes back, in that order: the reverse of first start."""
    if has_passed_pivot(instance) or instance.phase == "failed":
        return []
    undoable = {step.name for step in instance.outline if step.compensation}
    return [name for name in reversed(instance.started) if name in undoable and _is_owed(instance, name)]


def _is_owed(instance: SagaInstance, name: str) -> bool:
    record = instance.steps[name]
    if record.status != "parked":
        return record.can_be_compensated
    # A parked nested saga undoes its own steps once it reads the cause. A cause that is not recorded yet will be newer
    # than the parking, so the nested saga will read it. A nested saga that is blocked despite the cause does not count.
    return instance.cause is None or not record.needs_decision(instance.cause)
