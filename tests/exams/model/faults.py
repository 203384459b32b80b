"""The core, broken on purpose: each way of breaking it must make the exploration report the law that it breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest

from exams.model import law, laws, table
from exams.model.sagas import Kind, ModelSaga
from sagafsm import store
from sagafsm.core import commit, decide, decisions, observe, triggers
from sagafsm.core import decisions as decision
from sagafsm.core.commands import Record
from sagafsm.core.commit import Commit
from sagafsm.definition import machine
from sagafsm.definition.retry import Retry
from sagafsm.history import events as e
from sagafsm.history import fold, residue
from sagafsm.history.draft import InstanceDraft
from sagafsm.history.instance import SagaInstance
from sagafsm.value import replace

Patch = pytest.MonkeyPatch
ASK = Kind(compensation=True)
RETRY = Kind(in_doubt="retry", compensation=True)
PIVOT = Kind(pivot=True)
PROBE = Kind(probe=True, compensation=True)
PLAIN = Kind()
NOTHING = Kind(effect=False)


@attrs.frozen
class Fault:
    """A way to break the core, a saga that shows it, and the law that is reported."""

    name: str
    law: str
    saga: ModelSaga
    inject: Callable[[Patch], None]


FAULTS: list[Fault] = []


def fault(law: str, *kinds: Kind, deaths: int = 1) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """Note a way to break the core."""

    def note(inject: Callable[[Patch], None]) -> Callable[[Patch], None]:
        FAULTS.append(Fault(inject.__name__, law, ModelSaga(kinds, deaths=deaths), inject))
        return inject

    return note


@fault(law.RESIDUE, ASK)
def a_doubt_is_taken_as_a_failure(patch: Patch) -> None:
    patch.setattr(observe, "_find_doubt_reason", lambda *_: None)


@fault(law.RESIDUE, ASK)
def a_process_death_is_taken_as_a_failure(patch: Patch) -> None:
    def died(step: Any, instance: Any, record: Any) -> Record:
        return Record(
            events=(
                e.StepFailed(step=record.name, attempt=record.attempt, error=decide.build_process_died_error(record)),
            )
        )

    patch.setattr(decide, "_decide_after_death", died)


@fault(law.GREEN, ASK)
def a_doubt_is_taken_as_a_success(patch: Patch) -> None:
    def done(draft: InstanceDraft, event: e.StepInDoubt) -> None:
        draft.change(event.step, status="done", result_json=f'"{event.step}"')

    patch.setitem(fold._HANDLERS, e.StepInDoubt, done)


@fault(law.AFTER_CAUSE, Kind(in_doubt="retry", attempts=2))
def an_action_is_called_after_the_cause(patch: Patch) -> None:
    original = decide._decide_in_doubt

    def called(instance: Any, step: Any, record: Any) -> Any:
        if record.retryable:
            return decide._call_action(instance, record)
        return original(instance, step, record)

    patch.setattr(decide, "_decide_in_doubt", called)


@fault(law.CANCEL_LOST, RETRY, Kind(in_doubt="retry", pivot=True, attempts=2))
def a_waiting_cancel_does_not_end_the_attempts(patch: Patch) -> None:
    original = decide._decide_in_doubt
    patch.setattr(decide, "_decide_in_doubt", lambda i, *rest: original(replace(i, cancel=None), *rest))


@fault(law.UNDEFINED, ASK, PIVOT, PLAIN)
def the_pivot_is_ignored(patch: Patch) -> None:
    # The table has no way back from there, so that none is found.
    patch.setattr(decide, "has_passed_pivot", lambda _: False)


@fault(law.PIVOT, ASK, PIVOT, PLAIN)
def the_pivot_is_ignored_by_the_table_too(patch: Patch) -> None:
    _rows_without_pivot(patch)
    patch.setattr(decide, "has_passed_pivot", lambda _: False)


@fault(law.PIVOT, ASK, PIVOT)
def a_cancel_does_not_wait_for_the_pivot(patch: Patch) -> None:
    _rows_without_pivot(patch)
    for module in (commit, decide):
        patch.setattr(module, "take_cancel", lambda _, i, *__: i.cancel and e.CauseRecorded(kind="cancel"))


@fault(law.PIVOT, ASK, Kind(effect=False, pivot=True))
def a_cancel_ends_a_pivot_that_may_still_answer(patch: Patch) -> None:
    original = decide.take_cancel
    for module in (commit, decide):
        patch.setattr(module, "take_cancel", lambda definition, instance, *_: original(definition, instance))


@fault(law.WRITE_AHEAD, ASK, PLAIN)
def an_outcome_is_recorded_too_late(patch: Patch) -> None:
    original = Commit.record

    def record(self: Commit, events: Any) -> None:
        original(self, events)
        # It is known in memory, and the next start goes out without it.
        self.events = [event for event in self.events if not isinstance(event, e.StepSucceeded)]

    patch.setattr(Commit, "record", record)


@fault(law.WRITE_AHEAD, ASK, PLAIN)
def a_start_is_not_written_ahead(patch: Patch) -> None:
    original = decide._call_action

    def called(instance: SagaInstance, record: Any) -> Any:
        command = original(instance, record)
        return command if instance.current is None else attrs.evolve(command, events=())

    patch.setattr(decide, "_call_action", called)


@fault(law.CANCEL_LOST, ASK)
def the_mail_is_not_looked_at(patch: Patch) -> None:
    patch.setattr(Commit, "absorb", lambda *_: None)


@fault(law.CANCEL_LOST, ASK, PIVOT)
def a_cancel_is_forgotten(patch: Patch) -> None:
    patch.setitem(fold._HANDLERS, e.CancelRequested, fold._change_nothing)


@fault(law.CANCEL_LOST, ASK, PIVOT)
def a_cancel_of_the_last_step_is_forgotten(patch: Patch) -> None:
    original = decide.decide

    def end_first(definition: Any, instance: Any, *rest: Any) -> Any:
        done = decide.due_trigger(definition, instance) == "succeed"
        return original(definition, replace(instance, cancel=None) if done else instance, *rest)

    patch.setattr(commit, "decide", end_first)


@fault(law.RESIDUE, PLAIN, PLAIN)
def residue_is_dropped(patch: Patch) -> None:
    patch.setattr(residue, "_collect_step_residue", lambda *_, **__: ())


@fault(law.RESIDUE, ASK)
def residue_is_invented(patch: Patch) -> None:
    patch.setattr("sagafsm.history.step_state.StepState.may_have_effect", True)


@fault(law.ORDER, ASK, ASK, PLAIN)
def a_compensation_is_passed_over(patch: Patch) -> None:
    def rows(units: Sequence[machine.Unit]) -> Any:
        return [
            row._replace(dest="compensating:a") if row.dest == "compensating:b" else row for row in machine_rows(units)
        ]

    _rows(patch, rows)


@fault(law.TABLE, ASK, ASK, PLAIN)
def the_table_is_not_asked(patch: Patch) -> None:
    original = decide._go_back

    def go_back(definition: Any, instance: Any, state: str) -> Any:
        return original(definition, instance, "compensating:a" if instance.current == "c" else state)

    patch.setattr(decide, "_go_back", go_back)


@fault(law.DECISIONS, ASK)
def too_much_may_be_decided(patch: Patch) -> None:
    original = decisions._list_decisions
    patch.setattr(decisions, "_list_decisions", lambda *args: (*original(*args), "skip"))


@fault(law.DECISIONS, ASK)
def a_decision_is_not_checked(patch: Patch) -> None:
    original = decision.DecisionRequest._find_block

    def block(self: decision.DecisionRequest, instance: SagaInstance) -> Any:
        return original(self, instance)._replace(decisions=table.ALL_DECISIONS)

    patch.setattr(decision.DecisionRequest, "_find_block", block)


@fault(law.DECISIONS, ASK, PLAIN)
def a_decision_changes_nothing(patch: Patch) -> None:
    original = fold._apply_decision
    patch.setattr(
        fold, "_apply_decision", lambda record, event: {} if event.decision == "skip" else original(record, event)
    )


@fault(law.TWICE, Kind(attempts=2))
def a_doubt_is_called_again_and_only_the_world_can_tell(patch: Patch) -> None:
    a_doubt_is_called_again(patch)
    patch.setattr(laws.Laws, "_step_started", lambda *_: None)


@fault(law.BLIND, Kind(compensation=True, attempts=2))
def a_doubt_is_called_again(patch: Patch) -> None:
    original = decide._decide_in_doubt
    patch.setattr(decide, "_decide_in_doubt", lambda i, s, r: original(i, attrs.evolve(s, in_doubt=("retry",)), r))


@fault(law.BLIND, PROBE)
def a_doubt_is_undone_unasked(patch: Patch) -> None:
    for module in (decide, triggers):
        patch.setattr(module, "is_undone_without_decision", lambda *_: True)


@fault(law.BUDGET, ASK)
def the_budget_is_ignored(patch: Patch) -> None:
    patch.setattr(Retry, "allows", lambda *_: True)


@fault(law.CRASHES, RETRY, deaths=6)
def a_crash_loop_goes_on(patch: Patch) -> None:
    patch.setattr(decide, "CRASH_LOOP", 9)


@fault(law.TRAP, ASK, PLAIN)
def a_compensation_never_succeeds(patch: Patch) -> None:
    def undone(draft: InstanceDraft, event: e.CompensationSucceeded) -> None:
        draft.change(event.step, undo="waiting", compensation=draft.steps[event.step].compensation.renewed())

    patch.setitem(fold._HANDLERS, e.CompensationSucceeded, undone)


@fault(law.PROGRESS, Kind(attempts=2))
def a_waiting_step_is_left_alone(patch: Patch) -> None:
    original = decide._decide_step

    def following(instance: Any, step: Any, record: Any) -> Any:
        return None if record.status == "waiting" else original(instance, step, record)

    patch.setattr(decide, "_decide_step", following)


@fault(law.SUMMARY, ASK, PIVOT)
def a_request_unblocks_in_the_summary(patch: Patch) -> None:
    patch.setattr(store, "KEEPS_PARKED", ())


@fault(law.SAME, PLAIN, NOTHING)
def a_death_without_effect_is_a_failure(patch: Patch) -> None:
    original = decide._decide_after_death

    def died(step: Any, instance: Any, record: Any) -> Any:
        if step.effect:
            return original(step, instance, record)
        return Record(
            events=(
                e.StepFailed(step=record.name, attempt=record.attempt, error=decide.build_process_died_error(record)),
            )
        )

    patch.setattr(decide, "_decide_after_death", died)


@fault(law.COMMITS, ASK, PLAIN)
def every_start_has_a_commit_of_its_own(patch: Patch) -> None:
    original = Commit.proceed

    def proceed(self: Commit, *, start: bool = True, **rest: Any) -> Any:
        ended = isinstance(self.events[-1] if self.events else None, e.StepSucceeded)
        return original(self, start=start and not ended, **rest)

    patch.setattr(Commit, "proceed", proceed)


machine_rows = machine.list_transitions


def _rows(patch: Patch, rows: Callable[[Sequence[machine.Unit]], Any]) -> None:
    patch.setattr(machine, "list_transitions", rows)


def _rows_without_pivot(patch: Patch) -> None:
    def plain(unit: machine.Unit) -> machine.Unit:
        return unit._replace(steps=tuple(replace(step, pivot=False) for step in unit.steps))

    _rows(patch, lambda units: machine_rows([plain(unit) for unit in units]))
