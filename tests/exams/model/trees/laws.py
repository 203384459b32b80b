"""The laws of trees, as checks of every write: of the instance that it is made to, and of those around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from exams.model.law import (
    AFTER_CAUSE,
    AWAITED,
    BLIND,
    BUDGET,
    CANCEL_LOST,
    DECISIONS,
    EVIDENCE,
    FIRST_FAILURE,
    GREEN,
    HELD,
    LAST_RESORT,
    LIMIT,
    NEVER_CREATED,
    ONE_UNDO,
    ORDER,
    PIVOT,
    SUMMARY,
    TABLE,
    TOLD,
    WRITE_AHEAD,
    broken,
)
from exams.model.sagas import Kind
from exams.model.trees.sagas import TreeSaga
from exams.model.trees.store import TreeStore
from exams.model.trees.written import Written
from sagafsm.core.decide import build_idempotency_key
from sagafsm.core.nested import child_id
from sagafsm.core.triggers import has_passed_pivot
from sagafsm.definition.definition import Definition, UnitDefinition
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.step_state import StepState
from sagafsm.store import changes

# What leaves nothing behind that has to be undone.
_NOTHING_LEFT = ("pending", "waiting", "failed", "skipped")
_UNSETTLED = ("running", "parked")


class TreeLaws:
    """The checks of the writes to the instances of one saga."""

    def __init__(self, saga: TreeSaga) -> None:
        self.saga = saga
        self.kinds: dict[str, Kind] = {path: step.kind for path, step in saga.leaves.items()}
        self._edges: dict[str, set[tuple[str, str]]] = {}
        self._of_event: dict[type[e.Event], Callable[[Written, Any], None]] = {
            e.StepStarted: self._started,
            e.CauseRecorded: self._cause,
            e.CompensationStarted: self._undo_started,
            e.InstanceBlocked: self._blocked,
            e.InstanceCompleted: self._completed,
            e.StepSucceeded: self._evidence,
            e.StepFailed: self._evidence,
            e.CompensationSucceeded: self._evidence,
        }

    def definition_of(self, instance_id: str) -> Definition:
        """The definition of an instance of the tree."""
        definition = self.saga.definition
        for name in instance_id.split("/")[1:]:
            child = definition.by_name[name].child
            assert child is not None
            definition = child
        return definition

    def commit(
        self,
        store: TreeStore,
        instance_id: str,
        before: SagaInstance | None,
        events: Sequence[e.Event],
        after: SagaInstance,
    ) -> None:
        """What holds of every write, event by event, and of it as a whole."""
        written = Written(store, self.definition_of(instance_id), before, tuple(events), after)
        if before is None:
            self._created(written)
        edges = self._edges.setdefault(
            after.saga, {(source, target) for (_, source), target in written.definition.table.items()}
        )
        for event in written.events:
            now = written.now
            written.advance(event)
            if event.state not in (None, "pending") and (now.state, event.state) not in edges:
                broken(TABLE, f"{event} leads {after.id} from {now.state} to {event.state}")
            check = self._of_event.get(type(event))
            if check is not None:
                check(written, event)
        self._whole(written)

    # The write as a whole ---------------------------------------------------------------------------------------------

    def _created(self, written: Written) -> None:
        parent = written.parent
        if parent is None:
            return
        name = written.after.id.rpartition("/")[2]
        if parent.cause is not None:
            broken(NEVER_CREATED, f"{written.after} is created although {parent} goes back")
        if parent.steps[name].status != "running":
            broken(WRITE_AHEAD, f"{written.after} is created although it is {parent.steps[name].status}")

    def _whole(self, written: Written) -> None:
        before, after = written.before, written.after
        parent = written.parent
        if parent is not None and parent.cause is not None and after.cause is None and after.state != "failed":
            broken(TOLD, f"{written.events} although {parent} goes back")
        if before is not None:
            self._summary(before, written)
            self._cancel_kept(before, written)
        if after.phase == "compensating":
            for record in _records(written.definition, after):
                if record.status in _UNSETTLED and record.undo is None and written.kind_of(record.name) != "wait":
                    broken(AWAITED, f"{after} while {record.name} is {record.status}")
        if after.cause is None and after.phase == "running" and not has_passed_pivot(after):
            for record in _records(written.definition, after):
                if record.status in ("failed", "unstorable") and not written.may_answer(record):
                    broken(FIRST_FAILURE, f"{record.name} is {record.status}, and no cause is recorded")

    def _summary(self, before: SagaInstance, written: Written) -> None:
        told, after = changes(written.events), written.after
        parked: tuple[Any, ...] = (_reason(before), before.wake_at, before.waiting)
        if told.parking:
            parked = (
                _reason(before) if told.adds_block and before.blocked else told.blocked,
                told.wake_at,
                told.waiting,
            )
        if (told.state or before.state, *parked) != (after.state, _reason(after), after.wake_at, after.waiting):
            broken(SUMMARY, f"{told} makes {after} of {before}")

    def _cancel_kept(self, before: SagaInstance, written: Written) -> None:
        kinds, after = {type(event) for event in written.events}, written.after
        if before.cancel is None and e.CancelRequested not in kinds:
            return
        kept = after.cancel is not None or e.CauseRecorded in kinds or e.CancelCameTooLate in kinds
        abandoned = any(isinstance(event, e.DecisionMade) and event.decision == "abandon" for event in written.events)
        if not kept and before.cause is None and not abandoned:
            broken(CANCEL_LOST, f"after {written.events} nothing is left of the cancel")
        if after.state == "completed" and e.CancelCameTooLate not in kinds:
            broken(CANCEL_LOST, "the instance completed although a cancel was read")

    # Single events; `written.was` is the instance before them ---------------------------------------------------------

    def _started(self, written: Written, event: e.StepStarted) -> None:
        was, record = written.was, written.was.steps[event.step]
        for instance in (was, written.parent):
            if instance is not None and instance.cause is not None:
                broken(AFTER_CAUSE, f"{event} of {was.id} follows the cause of {instance.id}")
        if event.key != build_idempotency_key(was, event.step, "action"):
            broken(WRITE_AHEAD, f"{event} has key {event.key!r}")
        unit = written.unit(event.step)
        self._starts_in_turn(written, event, unit)
        if unit.max_concurrency is not None:
            running = [s.name for s in unit.steps if written.now.steps[s.name].status == "running"]
            if len(running) > unit.max_concurrency:
                broken(LIMIT, f"{running} run, and {unit.max_concurrency} may")
        kind = self.kinds.get(written.path(event.step))
        if kind is not None:
            self._called_again(written, event, kind, record)

    def _starts_in_turn(self, written: Written, event: e.StepStarted, unit: UnitDefinition) -> None:
        was = written.was
        for step in written.definition.steps:
            if step in unit.steps:
                break
            if was.steps[step.name].status not in ("done", "skipped"):
                broken(WRITE_AHEAD, f"{event} while {step.name} is {was.steps[step.name].status}")
        if was.steps[event.step].status != "pending":
            return
        for step in unit.steps:
            other = was.steps[step.name]
            if step.name != event.step and (other.is_in_doubt or other.status in ("failed", "unstorable")):
                broken(HELD, f"{event} while {step.name} is {other.status}")

    def _called_again(self, written: Written, event: e.StepStarted, kind: Kind, record: StepState) -> None:
        if record.action.spent - (record.status == "running") >= kind.attempts:
            broken(BUDGET, f"{event} after {record.action.spent} calls, of {kind.attempts} that are allowed")
        told = record.retry_ordered or ("retry" in kind.in_doubt and (record.probed or not kind.probe))
        if record.status == "in_doubt" and not told:
            broken(BLIND, f"{event} while it is in doubt whether it was done")

    def _cause(self, written: Written, event: e.CauseRecorded) -> None:
        was = written.was
        if was.cause is not None:
            broken(AFTER_CAUSE, f"{event} of {was.id} follows another")
        if has_passed_pivot(was):
            broken(PIVOT, f"{event} behind the pivot")
        if was.cancel is not None and event.kind != "cancel":
            broken(CANCEL_LOST, f"the cause is {event.kind} although a cancel came first")
        if event.kind in ("failure", "payload", "doubt"):
            first = _first_failure(written)
            if first not in (None, event.step) and not written.may_answer(was.steps[event.step or ""]):
                broken(FIRST_FAILURE, f"the cause of {was.id} is {event.step}, but {first} failed first")

    def _undo_started(self, written: Written, event: e.CompensationStarted) -> None:
        was, record = written.was, written.was.steps[event.step]
        if was.cause is None:
            broken(ORDER, f"{event} without a cause")
        if record.status not in ("done", "in_doubt", "unstorable"):
            broken(AWAITED if record.status in _UNSETTLED else ORDER, f"{event} although the step is {record.status}")
        here = was.started.index(event.step)
        for turn, name in enumerate(was.started):
            other, undoes = was.steps[name], written.definition.by_name[name].can_undo
            if turn < here and other.undo not in (None, "skipped"):
                broken(ORDER, f"{event} after the compensation of {name}, which started earlier")
            gone = other.undo in ("undone", "skipped") or other.status in _NOTHING_LEFT
            if turn > here and undoes and not gone:
                broken(ONE_UNDO if other.undo is not None else ORDER, f"{event} before {name}, which started later")
        kind = self.kinds.get(written.path(event.step))
        if kind is not None and record.compensation.spent - (record.undo == "running") >= kind.undos:
            broken(BUDGET, f"{event} after {record.compensation.spent} calls, of {kind.undos} that are allowed")

    def _blocked(self, written: Written, event: e.InstanceBlocked) -> None:
        was = written.was
        expected = written.decisions(event)
        if event.decisions != expected:
            broken(DECISIONS, f"{event} ({event.reason}) offers {event.decisions}, not {expected}")
        if was.phase != "running":
            return
        for record in _records(written.definition, was):
            nested = record.child is not None and record.status == "parked"
            sleeps = nested and record.child.retry_at is not None and not (record.child.blocks or record.child.waits)
            if (
                (record.status == "running" and record.action.deaths < 4)
                or (record.status == "waiting" and was.cause is None)
                or sleeps
            ):
                broken(LAST_RESORT, f"{event} while {record.name} is {record.status}")

    def _completed(self, written: Written, event: e.InstanceCompleted) -> None:
        if written.was.cause is not None:
            broken(GREEN, "completed although a cause is recorded")

    def _evidence(self, written: Written, event: Any) -> None:
        if written.kind_of(event.step) != "saga" or getattr(event, "attempt", 0) == 0:
            return
        child = written.store.folded(child_id(written.after.id, event.step))
        expected = "completed" if isinstance(event, e.StepSucceeded) else "failed"
        if child is None:
            if not (isinstance(event, e.StepFailed) and written.was.cause is not None):
                broken(EVIDENCE, f"{event}, but the child was never created")
        elif child.state != expected:
            broken(EVIDENCE, f"{event}, but {child}")


def _records(definition: Definition, instance: SagaInstance) -> list[StepState]:
    """Where the members of the present state stand."""
    return [instance.steps[step.name] for step in definition.units[instance.current or ""].steps]


def _first_failure(written: Written) -> str | None:
    """The member of the present state that was the first to be seen to fail for good, and has not answered since."""
    for event in written.was.history:
        if isinstance(event, (e.StepFailed, e.ResultRefused)) and getattr(event, "retry_at", None) is None:
            record = written.was.steps[event.step]
            if record.status in ("failed", "unstorable") and not written.may_answer(record):
                return event.step
    return None


def _reason(instance: SagaInstance) -> e.BlockReason | None:
    return instance.blocked[0].reason if instance.blocked else None
