"""A write of some events to an instance of a tree, looked at event by event."""

from __future__ import annotations

from exams.model.sagas import Kind, ModelSaga
from exams.model.table import row
from exams.model.trees.store import TreeStore
from sagafsm.core.nested import child_id
from sagafsm.definition.definition import Definition, UnitDefinition
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance, fold
from sagafsm.history.step_state import StepState


class Written:
    """A write while it is looked at: `was` is the instance before the present event, `now` after it."""

    def __init__(
        self,
        store: TreeStore,
        definition: Definition,
        before: SagaInstance | None,
        events: tuple[e.Event, ...],
        after: SagaInstance,
    ) -> None:
        self.store, self.definition, self.after = store, definition, after
        self.before = before
        self.events = events if before is not None else events[1:]
        self.was = self.now = fold(None, events[:1]) if before is None else before
        above = after.id.rpartition("/")[0]
        self.parent = store.folded(above) if above else None

    def advance(self, event: e.Event) -> None:
        """Look at the next event."""
        self.was, self.now = self.now, fold(self.now, (event,))

    def path(self, step: str) -> str:
        """A step's path from the root."""
        return "/".join((*self.after.id.split("/")[1:], step))

    def kind_of(self, step: str) -> str:
        """What kind of step it is."""
        return self.definition.by_name[step].kind

    def unit(self, step: str) -> UnitDefinition:
        """The step or group in whose state the step runs."""
        return self.definition.units[self.definition.by_name[step].group or step]

    def decisions(self, event: e.InstanceBlocked) -> tuple[e.Decision, ...]:
        """The decisions that DESIGN's table allows; of a nested saga, those that it offers itself."""
        name, _, below = event.step.partition("/")
        if below:
            child = self.store.folded(child_id(self.after.id, name))
            blocks = () if child is None else child.blocked
            return next((block.decisions for block in blocks if block.step == below), ())
        steps = self.definition.steps
        kinds = tuple(Kind(compensation=step.can_undo, pivot=step.pivot) for step in steps)
        position = list(self.definition.by_name).index(name)
        return row(ModelSaga(kinds), event.reason, position, cause=self.was.cause is not None)

    def may_answer(self, record: StepState) -> bool:
        """Whether the step's call outlived its timeout, and may still end within its grace."""
        return record.error is not None and record.error.type.endswith("AttemptTimedOut")
