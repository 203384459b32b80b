"""The core and its drive, broken on purpose in what concerns groups and nested sagas, and the law that notices it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from exams.model import law
from exams.model.sagas import Kind
from exams.model.trees.sagas import Awaited, Group, Nested, Part, Step, TreeSaga
from sagafsm.core import decide, nested, observe, triggers
from sagafsm.core.commands import Record, Run, RunChild, WaitForCalls
from sagafsm.core.decisions import PendingDecision, build_block_event
from sagafsm.core.nested import child_id
from sagafsm.engine import driven_instance
from sagafsm.engine.drive_loop import DriveLoop
from sagafsm.engine.effects import StoreCall
from sagafsm.engine.nested_instances import NestedInstances
from sagafsm.errors import SagaNotFound
from sagafsm.history import events as e
from sagafsm.value import replace
from sagafsm_adapters import memory

Patch = pytest.MonkeyPatch
ASK = Step(Kind(compensation=True))
TWICE = Step(Kind(compensation=True, attempts=2))
AGAIN = Step(Kind(in_doubt="retry", compensation=True, attempts=2))
PLAIN = Step(Kind())
NOTHING = Step(Kind(effect=False))
PAIR = Group((ASK, ASK))


@attrs.frozen
class Fault:
    """A way to break them, a saga that shows it, and the law that is reported."""

    name: str
    law: str
    saga: TreeSaga
    inject: Callable[[Patch], None]


FAULTS: list[Fault] = []


def fault(
    law: str, *parts: Part, silence: bool = False
) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """Note a way to break them."""

    def note(inject: Callable[[Patch], None]) -> Callable[[Patch], None]:
        FAULTS.append(Fault(inject.__name__, law, TreeSaga(parts, silence=silence), inject))
        return inject

    return note


# Groups ---------------------------------------------------------------------------------------------------------------


@fault(law.HELD, Group((ASK, ASK), limit=1))
def a_member_starts_beside_a_doubt(patch: Patch) -> None:
    def allowed(_: Any, __: Any, ___: Any, commands: Any) -> Any:
        return [command for command in commands if isinstance(command, Run) and not command.parks]

    patch.setattr(decide, "_select_startable", allowed)


@fault(law.LIMIT, Group((ASK, ASK), limit=1))
def the_limit_is_ignored(patch: Patch) -> None:
    original = decide._decide_forward

    def forward(definition: Any, instance: Any, unit: Any, under_way: Any) -> Any:
        return original(definition, instance, attrs.evolve(unit, max_concurrency=None), under_way)

    patch.setattr(decide, "_decide_forward", forward)


@fault(law.AWAITED, PAIR)
def the_way_back_begins_while_a_member_runs(patch: Patch) -> None:
    back, settled = triggers._backward_trigger, triggers._find_step_trigger
    patch.setattr(triggers, "_backward_trigger", lambda unit, instance, _: back(unit, instance, ()))
    patch.setattr(
        triggers,
        "_find_step_trigger",
        lambda step, record: "fail" if record.status == "running" else settled(step, record),
    )


@fault(law.ORDER, PAIR)
def members_are_undone_in_order_of_start(patch: Patch) -> None:
    original = triggers.find_next_undo
    for module in (decide, triggers):
        patch.setattr(
            module,
            "find_next_undo",
            lambda unit, instance: original(unit, replace(instance, started=instance.started[::-1])),
        )


@fault(law.ONE_UNDO, PAIR)
def members_are_undone_at_once(patch: Patch) -> None:
    def backward(definition: Any, instance: Any, unit: Any, under_way: Any) -> Any:
        free = replace(instance, started=tuple(name for name in instance.started if name not in under_way))
        record = triggers.find_next_undo(unit, free)
        return WaitForCalls() if record is None else decide._undo_step(definition, instance, record)

    patch.setattr(decide, "_decide_backward", backward)


@fault(law.FIRST_FAILURE, PAIR)
def a_failure_waits_for_the_other_members(patch: Patch) -> None:
    original = decide._decide_after_failure

    def failed(instance: Any, record: Any) -> Any:
        runs = any(other.status == "running" for other in instance.steps.values())
        return None if runs else original(instance, record)

    patch.setattr(decide, "_decide_after_failure", failed)


@fault(law.LAST_RESORT, PAIR)
def a_group_blocks_while_a_member_runs(patch: Patch) -> None:
    original = decide._decide_forward

    def forward(definition: Any, instance: Any, unit: Any, under_way: Any) -> Any:
        for step in unit.steps:
            answer = None if step.name in under_way else decide._decide_step(instance, step, instance.steps[step.name])
            if isinstance(answer, PendingDecision) and not instance.blocked:
                return Record(events=(build_block_event(definition, instance, answer),))
        return original(definition, instance, unit, under_way)

    patch.setattr(decide, "_decide_forward", forward)


@fault(law.AFTER_CAUSE, Group((ASK, Step(Kind(compensation=True), "raises"))))
def what_is_written_ahead_is_called_after_a_cause(patch: Patch) -> None:
    patch.setattr(DriveLoop, "_call_off", lambda _: False)


@fault(law.SAME, Group((PLAIN, NOTHING)))
def a_member_without_effect_fails_with_its_process(patch: Patch) -> None:
    original = decide._decide_after_death

    def died(step: Any, instance: Any, record: Any) -> Any:
        if step.effect:
            return original(step, instance, record)
        error = decide.build_process_died_error(record)
        return Record(events=(e.StepFailed(step=record.name, attempt=record.attempt, error=error),))

    patch.setattr(decide, "_decide_after_death", died)


# Nested sagas ---------------------------------------------------------------------------------------------------------


@fault(law.WHOLE_TREE, Nested((ASK,)))
def a_childs_block_is_not_passed_on(patch: Patch) -> None:
    patch.setattr(decide, "collect_nested_blocks", lambda _: ())


@fault(law.WHOLE_TREE, Nested((TWICE,)))
def a_childs_wake_at_is_forgotten(patch: Patch) -> None:
    _parted(patch, lambda fact: replace(fact, retry_at=None, waits=True))


@fault(law.TOLD, Group((ASK, Nested((ASK,)))))
def a_child_is_not_told_of_the_cause(patch: Patch) -> None:
    def told(_: Any, __: Any) -> Any:
        yield from ()

    patch.setattr(NestedInstances, "tell", told)


@fault(law.AFTER_CAUSE, Group((ASK, Nested((ASK, ASK)))))
def a_child_goes_on_after_the_cause_of_its_parent(patch: Patch) -> None:
    a_child_is_not_told_of_the_cause(patch)


@fault(law.NEVER_CREATED, Group((ASK, Nested((ASK,)))))
def a_child_is_created_after_the_cause(patch: Patch) -> None:
    original = NestedInstances.open

    def opened(self: NestedInstances, node: Any, run: RunChild) -> Any:
        name = child_id(node.instance.id, run.step)
        try:
            yield StoreCall(functools.partial(self.store.load, name))
        except SagaNotFound:
            child, todo = yield from self._create(node, run, name)
            return child, todo, None
        return (yield from original(self, node, run))

    patch.setattr(NestedInstances, "open", opened)


@fault(law.EVIDENCE, Nested((ASK,)))
def a_child_that_is_parked_counts_as_done(patch: Patch) -> None:
    _parted(patch, lambda fact: e.StepSucceeded(step=fact.step, attempt=1, result_json="{}", evidence="child"))


@fault(law.RESIDUE, Nested((PLAIN, PLAIN)))
def a_childs_residue_is_dropped(patch: Patch) -> None:
    patch.setattr(observe, "record_residue", lambda _: ())


@fault(law.CHILD_RESIDUE, Nested((PLAIN, PLAIN)))
def a_childs_residue_is_told_otherwise(patch: Patch) -> None:
    original = observe.record_residue
    patch.setattr(
        observe, "record_residue", lambda child: tuple(replace(left, reason="abandoned") for left in original(child))
    )


@fault(law.SECOND_RECOVER, Nested((ASK,)))
def a_child_that_is_parked_is_recorded_again(patch: Patch) -> None:
    def meet(self: DriveLoop) -> Any:
        self.root.met.extend(e.ChildParked(step=run.step) for run in nested.list_parked_nested(self.root.instance))
        yield from ()

    patch.setattr(memory, "_is_due", lambda *_: True)
    patch.setattr(DriveLoop, "_load_parked_children", meet)


@fault(law.LET_GO, Nested((TWICE,)))
def children_are_not_let_go(patch: Patch) -> None:
    def closed(_: Any, __: Any) -> Any:
        yield from ()

    patch.setattr(NestedInstances, "close", closed)


@fault(law.TRAP, Nested((ASK, Awaited())))
def a_signal_is_forgotten_with_the_park(patch: Patch) -> None:
    patch.setattr(driven_instance, "_is_overtaken", lambda *_: False)


@fault(law.TOLD, Group((ASK, Nested((Awaited(),)))))
def a_child_that_waits_is_not_told_of_the_cause(patch: Patch) -> None:
    original = nested.resume_nested

    def drive(instance: Any, record: Any, direction: Any, key: str) -> Any:
        return original(
            replace(instance, cause=None) if record.status == "parked" else instance, record, direction, key
        )

    for module in (decide, nested):
        patch.setattr(module, "resume_nested", drive)


@fault(law.WHOLE_TREE, Nested((AGAIN,)), silence=True)
def a_child_that_is_left_in_its_grace_is_not_woken(patch: Patch) -> None:
    original = observe._observe_nested

    def parted(command: Any, told: Any) -> Any:
        known = attrs.evolve(told, until=None) if isinstance(told, observe.NestedOutcome) else told
        return original(command, known)

    patch.setattr(observe, "_observe_nested", parted)


@fault(law.WHOLE_TREE, Group((AGAIN, Nested((Awaited(timeout=True),)))))
def a_child_sleeps_as_long_as_its_group(patch: Patch) -> None:
    patch.setattr(decide, "_select_timed_parks", lambda _: ())


@fault(law.WHOLE_TREE, Group((ASK, Nested((Awaited(timeout=True),)))))
def an_abandoned_child_is_not_looked_for(patch: Patch) -> None:
    def meet(_: Any) -> Any:
        yield from ()

    patch.setattr(DriveLoop, "_load_parked_children", meet)


def _parted(patch: Patch, changed: Callable[[e.ChildParked], e.Event]) -> None:
    """Tell otherwise that a child is parked."""
    original = observe._observe_nested

    def parted(*args: Any) -> Any:
        fact = original(*args)
        return changed(fact) if isinstance(fact, e.ChildParked) else fact

    patch.setattr(observe, "_observe_nested", parted)
