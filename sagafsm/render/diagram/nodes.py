"""What a diagram shows, free of any place: columns of boxes, each with how it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from sagafsm.definition.machine import build_units
from sagafsm.display import format_count, truncate
from sagafsm.history.events import StepOutline
from sagafsm.history.instance import SagaInstance
from sagafsm.history.step_state import StepState
from sagafsm.render.labels import (
    HAS_COMPENSATION,
    NO_COMPENSATION,
    StatusLabel,
    get_display_phase,
    label_action,
    label_compensation,
)

Target = Literal["action", "compensation"]
BreakMarks = Mapping[tuple[str, Target], str]
# Sagas nested deeper than this are one box with a count.
MAX_DEPTH = 2
# A title of 200 letters is said twice for each of 50 steps: so much of it tells one from the other.
_MAX_TITLE = 60
_BLOCKED = StatusLabel("blocked", "asked", "hand")


@attrs.frozen(kw_only=True)
class Box:
    """A step: its action and its compensation (None: nothing undoes it), each with how it stands.

    `number` is its place in the order of first start, 0 when it has not begun; `is_passed` and `has_gone_back` tell
    whether the way forward, or back, has come by. `columns` are those of a nested saga that is
    drawn in it; `hidden_steps` is the number of steps of one that is not.
    """

    path: str
    title: str
    kind: Literal["step", "saga", "wait"]
    action: StatusLabel
    undo: StatusLabel | None
    attempts: int = 0
    number: int = 0
    is_current: bool = False
    is_compensating_now: bool = False
    is_passed: bool = False
    has_gone_back: bool = False
    pivot: bool = False
    effect: bool = True
    action_mark: str | None = None
    undo_mark: str | None = None
    hidden_steps: int = 0
    columns: tuple[Column, ...] = ()

    @property
    def short_title(self) -> str:
        """Its title where it is said in full, but for one that nobody would hear to its end."""
        return truncate(self.title, _MAX_TITLE)

    @property
    def description(self) -> str:
        """All of it in words."""
        calls = f", attempt {self.attempts}" if self.attempts > 1 else ""
        parts = [f"{self.short_title}: {self.action.word}{calls}"]
        parts += [f"a nested saga of {format_count(self.hidden_steps, 'step')}"] if self.hidden_steps else []
        parts += ["pivot: no way back after it"] if self.pivot else []
        parts += [f"breaks on purpose: {self.action_mark}"] if self.action_mark else []
        if self.undo is not None:
            parts.append("has a compensation" if self.undo == HAS_COMPENSATION else f"compensation: {self.undo.word}")
        elif self.effect and self.kind == "step" and not self.pivot:
            parts.append(NO_COMPENSATION.word)
        parts += [f"its compensation breaks on purpose: {self.undo_mark}"] if self.undo_mark else []
        return "; ".join(parts)


@attrs.frozen(kw_only=True)
class Column:
    """Boxes that stand side by side in time: one step, or the members of a group."""

    group: str | None
    boxes: tuple[Box, ...]


@attrs.frozen(kw_only=True)
class _NodeContext:
    """What is known of a saga and those nested in it."""

    nested: Mapping[str, SagaInstance]
    marks: BreakMarks
    blocked: Mapping[str, str]


def build_columns(
    outline: Sequence[StepOutline],
    *,
    instance: SagaInstance | None = None,
    nested: Mapping[str, SagaInstance] | None = None,
    marks: BreakMarks | None = None,
) -> tuple[Column, ...]:
    """The columns of a saga in order; without an instance, of one that is not run.

    `nested` are the instances of nested sagas by path, where they are known; `marks` what breaks on purpose.
    """
    blocked = {} if instance is None else {block.step: block.reason for block in instance.blocked}
    sight = _NodeContext(nested=nested or {}, marks=marks or {}, blocked=blocked)
    return _build_node_level(outline, instance, "", sight, depth=0)


def _build_node_level(
    outline: Sequence[StepOutline], instance: SagaInstance | None, prefix: str, sight: _NodeContext, *, depth: int
) -> tuple[Column, ...]:
    return tuple(
        Column(
            group=unit.name if unit.steps[0].group is not None else None,
            boxes=tuple(_build_box(step, instance, prefix, sight, depth=depth) for step in unit.steps),
        )
        for unit in build_units(outline)
    )


def _build_box(
    step: StepOutline, instance: SagaInstance | None, prefix: str, sight: _NodeContext, *, depth: int
) -> Box:
    path = prefix + step.name
    record = None if instance is None else instance.steps.get(step.name)
    phase = "pending" if instance is None else instance.phase
    stands_in = "pending" if instance is None else get_display_phase(instance)
    undo = label_compensation(step, instance)
    action = label_action(step, record, stands_in)
    is_undoing = record is not None and record.undo is not None
    if path in sight.blocked:
        blocks_undo = is_undoing or sight.blocked[path] == "compensation_failed"
        action, undo = (action, _BLOCKED) if blocks_undo else (_BLOCKED, undo)
    here = instance is not None and not instance.is_at_rest and _is_current_node(step, record, instance)
    child = sight.nested.get(path)
    # How the steps of a nested saga stand nobody can say who does not have its instance.
    is_known = child is not None or record is None or record.status == "pending"
    inside = step.kind == "saga" and depth < MAX_DEPTH and is_known
    return Box(
        path=path,
        title=step.title or step.name,
        kind=step.kind,
        action=action,
        undo=undo if step.compensation else None,
        attempts=0 if record is None else record.attempt,
        number=instance.started.index(step.name) + 1 if instance is not None and step.name in instance.started else 0,
        is_current=here and phase == "running",
        is_compensating_now=here
        and phase == "compensating"
        and is_undoing
        and record is not None
        and record.undo != "undone",
        is_passed=record is not None and record.status in ("done", "skipped", "unstorable"),
        has_gone_back=is_undoing,
        pivot=step.pivot,
        effect=step.effect,
        action_mark=sight.marks.get((path, "action")),
        undo_mark=sight.marks.get((path, "compensation")),
        hidden_steps=len(step.steps) if step.kind == "saga" and not inside else 0,
        columns=_build_node_level(step.steps, child, f"{path}/", sight, depth=depth + 1) if inside else (),
    )


def _is_current_node(step: StepOutline, record: StepState | None, instance: SagaInstance) -> bool:
    if instance.current == step.name:
        return True
    return instance.current == step.group and record is not None and record.status not in ("pending", "done", "skipped")
