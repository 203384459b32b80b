"""The laws, as checks of every commit and every state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exams.model.law import (
    AFTER_CAUSE,
    BLIND,
    BUDGET,
    CANCEL_LOST,
    CRASHES,
    DECISIONS,
    GREEN,
    ORDER,
    PIVOT,
    PROGRESS,
    RESIDUE,
    SUMMARY,
    TABLE,
    TWICE,
    WRITE_AHEAD,
    broken,
)
from exams.model.sagas import Kind, ModelSaga
from exams.model.table import ALL_DECISIONS, row
from exams.model.world import State, World
from sagafsm.core.commit import Commit
from sagafsm.core.decide import build_idempotency_key
from sagafsm.core.decisions import DecisionRequest
from sagafsm.errors import IllegalTransition
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.step_state import StepState
from sagafsm.store import changes


class Laws:
    """The checks for one saga."""

    def __init__(self, saga: ModelSaga) -> None:
        self.saga = saga
        definition = saga.definition
        self.edges = {(source, target) for (_, source), target in definition.table.items()}
        self.names = tuple(definition.by_name)
        self.position = {name: i for i, name in enumerate(self.names)}
        self._refused: set[tuple[Any, ...]] = set()
        self.pivot = next((name for name, kind in zip(self.names, saga.kinds, strict=True) if kind.pivot), None)
        self._of_event: dict[type[e.Event], Callable[[SagaInstance, Any, Commit], None]] = {
            e.StepStarted: self._step_started,
            e.CauseRecorded: self._cause_recorded,
            e.CompensationStarted: self._compensation_started,
            e.InstanceBlocked: self._blocked,
            e.InstanceCompleted: self._completed,
            e.CancelCameTooLate: self._too_late,
        }

    # Every commit -----------------------------------------------------------------------------------------------------

    def commit(self, before: SagaInstance, batch: Commit, *, mail_left: bool) -> None:
        """What holds of every batch, event by event, and of it as a whole."""
        if tuple(batch.events) != batch.instance.history[len(before.history) :]:
            broken(WRITE_AHEAD, f"the instance knows {batch.instance.history}, the store {batch.events}")
        if mail_left:
            broken(CANCEL_LOST, "a commit overtakes the mail that waits")
        previous, causes = before, 0
        for event, after in zip(batch.events, batch.instances, strict=True):
            if event.state is not None and (previous.state, event.state) not in self.edges:
                broken(TABLE, f"{event} leads from {previous.state} to {event.state}")
            if after.state != (event.state or previous.state):
                broken(TABLE, f"{event} leads to {after.state}, and says {event.state}")
            check = self._of_event.get(type(event))
            if check is not None:
                check(previous, event, batch)
                causes += isinstance(event, e.CauseRecorded)
            previous = after
        if (before.cause is not None) + causes != (batch.instance.cause is not None):
            broken(AFTER_CAUSE, f"there are {causes} more causes, and {batch.instance.cause}")
        self._cancel_kept(before, batch)
        self._summary(before, batch)

    def _summary(self, before: SagaInstance, batch: Commit) -> None:
        told, after = changes(batch.events), batch.instance
        blocked = after.blocked[0].reason if after.blocked else None
        parked = (told.blocked, told.wake_at) if told.parking else (_reason(before), before.wake_at)
        if (told.state or before.state, *parked) != (after.state, blocked, after.wake_at):
            broken(SUMMARY, f"{told} makes {after.state}, {blocked}, {after.wake_at} of {before}")
        if told.releases != (after.is_at_rest or (told.parking and bool(after.blocked or after.waiting))):
            broken(SUMMARY, f"{told} releases wrongly")
        if after.waiting:
            broken(PROGRESS, f"{after} waits for a signal, of which there is none")

    def _cancel_kept(self, before: SagaInstance, batch: Commit) -> None:
        kinds = {type(event) for event in batch.events}
        if before.cancel is None and e.CancelRequested not in kinds:
            return
        kept = batch.instance.cancel is not None or e.CauseRecorded in kinds or e.CancelCameTooLate in kinds
        abandoned = any(isinstance(event, e.DecisionMade) and event.decision == "abandon" for event in batch.events)
        if not kept and before.cause is None and not abandoned:
            broken(CANCEL_LOST, f"after {', '.join(map(str, batch.events))} nothing is left of the cancel")
        if batch.instance.state == "completed" and e.CancelCameTooLate not in kinds:
            broken(CANCEL_LOST, "the instance completed although a cancel was read")

    # Single events ----------------------------------------------------------------------------------------------------

    def _step_started(self, before: SagaInstance, event: e.StepStarted, batch: Commit) -> None:
        if before.cause is not None:
            broken(AFTER_CAUSE, f"{event} follows the cause")
        retried = any(isinstance(other, e.DecisionMade) and other.decision == "retry" for other in batch.events)
        if before.cancel is not None and not retried:
            broken(CANCEL_LOST, f"{event} although a cancel waits and nobody ordered it")
        record = before.steps[event.step]
        if event.key != build_idempotency_key(before, event.step, "action") or event.attempt != record.attempt + 1:
            broken(WRITE_AHEAD, f"{event} has attempt {event.attempt}, key {event.key!r}")
        if record.action.deaths + (record.status == "running") >= 5:
            broken(CRASHES, f"{event} after 5")
        kind = self.saga.kinds[self.position[event.step]]
        if record.action.spent - (record.status == "running") >= kind.attempts:
            broken(BUDGET, f"{event} after {record.action.spent} calls, of {kind.attempts} that are allowed")
        if record.status == "in_doubt" and not retried and not ("retry" in kind.in_doubt and _asked(kind, record)):
            broken(BLIND, f"{event} while it is in doubt whether it was done")
        for name in self.names[: self.position[event.step]]:
            if before.steps[name].status != "done":
                broken(WRITE_AHEAD, f"{event} while {name} is {before.steps[name].status}")
        if before.current not in (None, event.step) and before.state != "pending":
            broken(TABLE, f"{event} in {before.state}")

    def _cause_recorded(self, before: SagaInstance, event: e.CauseRecorded, batch: Commit) -> None:
        if self.pivot is not None:
            status = before.steps[self.pivot].status
            if status in ("done", "unstorable", "running", "in_doubt"):
                broken(PIVOT, f"{event} while the pivot is {status}")
        if event.kind == "doubt":
            kind, record = self.saga.kinds[self.position[event.step or ""]], before.steps[event.step or ""]
            if record.status != "in_doubt" or "compensate" not in kind.in_doubt or not _asked(kind, record):
                broken(BLIND, f"{event} although {kind} does not say so of {record}")
        if before.cancel is not None and event.kind != "cancel":
            broken(CANCEL_LOST, f"the cause is {event.kind} although a cancel came first")

    def _compensation_started(self, before: SagaInstance, event: e.CompensationStarted, batch: Commit) -> None:
        if before.cause is None:
            broken(ORDER, f"{event} without a cause")
        if self.pivot is not None and before.steps[self.pivot].status in ("done", "unstorable", "running", "in_doubt"):
            broken(PIVOT, f"{event} while the pivot is {before.steps[self.pivot].status}")
        record = before.steps[event.step]
        if record.status not in ("done", "in_doubt", "unstorable"):
            broken(ORDER, f"{event} although the step is {record.status}, which leaves nothing to undo")
        if record.result_json != (f'"{event.step}"' if record.status == "done" else None):
            broken(ORDER, f"{event} is given {record.result_json}")
        if (
            event.key != build_idempotency_key(before, event.step, "compensation")
            or event.attempt != record.compensation.attempt + 1
        ):
            broken(WRITE_AHEAD, f"{event} has attempt {event.attempt}, key {event.key!r}")
        if record.compensation.deaths + (record.undo == "running") >= 5:
            broken(CRASHES, f"{event} after 5")
        kind = self.saga.kinds[self.position[event.step]]
        if record.compensation.spent - (record.undo == "running") >= kind.undos:
            broken(BUDGET, f"{event} after {record.compensation.spent} calls, of {kind.undos} that are allowed")
        told = record.conceded or ("compensate" in kind.in_doubt and _asked(kind, record))
        if record.status == "in_doubt" and record.undo is None and not told:
            broken(BLIND, f"{event} while it is in doubt whether there is anything to undo")
        here = before.started.index(event.step)
        for name in before.started[:here]:
            if before.steps[name].undo is not None:
                broken(ORDER, f"{event} after the compensation of {name}, which started earlier")

    def gone(self, batch: Commit) -> tuple[int, ...]:
        """The steps whose effect must be gone from the world when the compensations that the batch starts are called."""
        found: list[int] = []
        for event, instance in zip(batch.events, batch.instances, strict=True):
            if isinstance(event, e.CompensationStarted):
                later = instance.started[instance.started.index(event.step) + 1 :]
                positions = [self.position[name] for name in later if instance.steps[name].undo != "skipped"]
                found += [position for position in positions if self.saga.kinds[position].compensation]
        return tuple(found)

    def _blocked(self, before: SagaInstance, event: e.InstanceBlocked, batch: Commit) -> None:
        expected = row(self.saga, event.reason, self.position[event.step], cause=before.cause is not None)
        if event.decisions != expected:
            broken(DECISIONS, f"{event} ({event.reason}) offers {event.decisions}, the table {expected}")
        record = before.steps[event.step]
        held = {
            "in_doubt": record.status == "in_doubt",
            "crash_loop": record.action.deaths + (record.status == "running") >= 5,
            "exhausted": record.status == "failed",
            "payload": record.status == "unstorable",
            "compensation_failed": record.undo == "failed"
            or record.compensation.deaths + (record.undo == "running") >= 5,
        }
        if not held[event.reason]:
            broken(DECISIONS, f"{event} ({event.reason}) although the step is {record}")

    def _completed(self, before: SagaInstance, event: e.InstanceCompleted, batch: Commit) -> None:
        if before.cause is not None:
            broken(GREEN, "completed although a cause is recorded")

    def _too_late(self, before: SagaInstance, event: e.CancelCameTooLate, batch: Commit) -> None:
        if self.pivot is None or before.steps[self.pivot].status not in ("done", "unstorable"):
            broken(CANCEL_LOST, "a cancel is called too late although the pivot has not succeeded")

    # Every state ------------------------------------------------------------------------------------------------------

    def state(self, state: State) -> None:
        """What holds of every state that is reached."""
        instance, world = state.instance, state.world
        for i, times in enumerate(world):
            if times > 1:
                broken(TWICE, f"the effect of {self.names[i]} is in the world {times} times")
        if state.phase == "calling":
            self._calling(state)
        elif instance.state == "completed":
            for name, kind, times in zip(self.names, self.saga.kinds, world, strict=True):
                if instance.steps[name].status != "done" or times != kind.effect:
                    broken(GREEN, f"completed, but {name} is {instance.steps[name].status}, {times} times in the world")
            if instance.residue or instance.compensated:
                broken(GREEN, f"completed with residue {instance.residue}")
        elif instance.state == "failed":
            self._failed(instance, world)
        if instance.is_at_rest:
            sent_back = ("compensate",) if self.can_be_sent_back(instance) else ()
            self.refuses(instance, tuple(set(ALL_DECISIONS) - set(sent_back)))

    def can_be_sent_back(self, instance: SagaInstance) -> bool:
        """Whether the instance completed, and there is a way back."""
        undoes = any(kind.compensation for kind in self.saga.kinds)
        return instance.state == "completed" and self.pivot is None and undoes

    def _failed(self, instance: SagaInstance, world: World) -> None:
        named = {left.step for left in instance.residue}
        remaining = {self.names[i] for i, times in enumerate(world) if times}
        if not remaining <= named:
            broken(RESIDUE, f"{remaining} remain in the world, the residue names {named or 'nothing'}")
        if instance.compensated != (not named):
            broken(GREEN, f"compensated is {instance.compensated} with residue {named}")
        for name in named:
            record, kind = instance.steps[name], self.saga.kinds[self.position[name]]
            clean = record.status in ("pending", "waiting", "failed") or record.undo == "undone"
            if clean or not kind.effect:
                broken(RESIDUE, f"{name} is {record.status}/{record.undo} and cannot have left anything")

    def _calling(self, state: State) -> None:
        """The only states in which a user's function is called."""
        record, cause = state.instance.steps[self.names[state.step]], state.instance.cause
        match state.called:
            case "action" if record.status != "running":
                broken(WRITE_AHEAD, f"the action of {record.name} is called although it is durably {record.status}")
            case "action" if cause is not None and state.instance.current != record.name:
                broken(AFTER_CAUSE, f"the action of {record.name} is called in {state.instance.state}")
            case "compensation" if record.undo != "running":
                broken(WRITE_AHEAD, f"the compensation of {record.name} is called although it is durably {record.undo}")
            case "probe" if record.status != "in_doubt" or not self.saga.kinds[state.step].probe:
                broken(WRITE_AHEAD, f"the probe of {record.name} is asked although the step is {record.status}")

    def refuses(self, instance: SagaInstance, decisions: tuple[e.Decision, ...]) -> None:
        """None of these is allowed now. Whether it is depends on the block alone, so each is tried once."""
        asked = (instance.state, instance.blocked, instance.cause is None, instance.cancel is None)
        if asked in self._refused:
            return
        self._refused.add(asked)
        for decision in decisions:
            try:
                made = DecisionRequest(decision=decision, step=None, by="me", reason="test").events(instance)
            except IllegalTransition:
                continue
            broken(DECISIONS, f"{decision} is accepted in {instance}: {made}")


def _asked(kind: Kind, record: StepState) -> bool:
    """Whether the probe, where there is one, has been asked and could not tell."""
    return record.probed or not kind.probe


def _reason(instance: SagaInstance) -> e.BlockReason | None:
    return instance.blocked[0].reason if instance.blocked else None
