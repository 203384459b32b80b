"""Ways to break the core and its driver in what groups, nested sagas and waits need: none of this is ever right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from sagafsm.core import decide, observe, triggers
from sagafsm.core import nested as children
from sagafsm.core.commands import RunChild
from sagafsm.core.outcomes import Prepared
from sagafsm.engine import driven_instance, engine, operations
from sagafsm.engine.drive_loop import DriveLoop
from sagafsm.engine.nested_instances import NestedInstances
from sagafsm.engine.replies import ReplyInterpreter
from sagafsm.history import events as e
from sagafsm.history.instance import AT_REST, SagaInstance
from sagafsm.saga import Saga
from sagafsm_adapters import memory

Patch = pytest.MonkeyPatch
MUTANTS: dict[str, Callable[[Patch], None]] = {}


def mutant(fn: Callable[[Patch], None]) -> Callable[[Patch], None]:
    MUTANTS[fn.__name__] = fn
    return fn


@mutant
def nested_claimed_without_their_parent(patch: Patch) -> None:
    """A nested saga that its process left is recovered by itself, and before what it is nested in."""
    rows = memory.MemoryStore._list_summaries
    patch.setattr(memory.MemoryStore, "_list_summaries", lambda *args, **kwargs: reversed(list(rows(*args, **kwargs))))
    patch.setattr(memory, "is_unfinished", lambda _, state: state not in AT_REST)
    patch.setattr(engine, "refuse_nested", lambda *_: None)
    patch.setattr(operations, "refuse_nested", lambda *_: None)
    of = engine.Registry.of
    nested = {}

    def find(self: Any, instance: SagaInstance) -> Any:
        for definition, migration in [of(self, instance)] if "/" not in instance.id else []:
            _walk(definition, instance.id, nested)
            return definition, migration
        return nested[instance.id], None

    patch.setattr(engine.Registry, "of", find)


def _walk(definition: Any, id: str, found: dict[str, Any]) -> None:
    for step in definition.steps:
        if step.child is not None:
            found[f"{id}/{step.name}"] = step.child
            _walk(step.child, f"{id}/{step.name}", found)


@mutant
def cause_not_posted_to_nested(patch: Patch) -> None:
    requests = children._build_parent_requests

    def without(*args: Any) -> Iterator[e.Request]:
        return (request for request in requests(*args) if not isinstance(request, e.CancelRequested))

    patch.setattr(children, "_build_parent_requests", without)


@mutant
def requests_above_not_read(patch: Patch) -> None:
    def nothing(self: DriveLoop, above: Any) -> Any:
        return False
        yield

    patch.setattr(DriveLoop, "_read_from", nothing)


@mutant
def undone_in_order_of_start(patch: Patch) -> None:
    def forward(unit: Any, instance: SagaInstance) -> Any:
        members = {step.name: step for step in unit.steps}
        for name in instance.started:
            if name in members and triggers._is_to_undo(members[name], instance.steps[name]):
                return instance.steps[name]
        return None

    patch.setattr(triggers, "find_next_undo", forward)
    patch.setattr(decide, "find_next_undo", forward)


@mutant
def group_goes_back_while_a_member_runs(patch: Patch) -> None:
    settled = triggers._find_step_trigger

    def at_once(step: Any, record: Any) -> Any:
        return settled(step, record) or "go_back"

    def back(unit: Any, instance: SagaInstance, under_way: Any = ()) -> Any:
        found = [at_once(step, instance.steps[step.name]) for step in unit.steps]
        return "go_back" if "go_back" in found else "fail"

    patch.setattr(triggers, "_backward_trigger", back)


@mutant
def computed_input_not_recorded(patch: Patch) -> None:
    prepared = ReplyInterpreter.prepared

    def forgetful(self: ReplyInterpreter, *args: Any) -> Any:
        found = prepared(self, *args)
        return Prepared() if isinstance(found, Prepared) and found.holds else found

    patch.setattr(ReplyInterpreter, "prepared", forgetful)


@mutant
def computed_input_computed_again(patch: Patch) -> None:
    """What is recorded is not what the nested saga is given."""
    kept = NestedInstances._input

    def again(self: NestedInstances, node: Any, run: RunChild, name: str) -> str:
        text = kept(self, node, run, name)
        return text.replace('"n":', '"n":9') if node.instance.steps[run.step].input_json else text

    patch.setattr(NestedInstances, "_input", again)


@mutant
def early_signal_lost(patch: Patch) -> None:
    begin = children.start_nested

    def bare(*args: Any) -> RunChild:
        return attrs.evolve(begin(*args), requests=())

    patch.setattr(decide, "start_nested", bare)
    patch.setattr(driven_instance, "has_unread_requests", lambda *_: False)


@mutant
def signal_lost_while_parking(patch: Patch) -> None:
    patch.setattr(driven_instance, "has_unread_requests", lambda *_: False)


@mutant
def decision_not_passed_on(patch: Patch) -> None:
    requests = children._build_parent_requests

    def without(*args: Any) -> Iterator[e.Request]:
        return (request for request in requests(*args) if not isinstance(request, e.DecisionMade))

    patch.setattr(children, "_build_parent_requests", without)


@mutant
def residue_of_nested_not_told(patch: Patch) -> None:
    patch.setattr(observe, "record_residue", lambda _: ())


@mutant
def members_begin_beside_a_doubt(patch: Patch) -> None:
    patch.setattr(
        decide,
        "_select_startable",
        lambda _, __, ___, commands: (c for c in commands if isinstance(c, decide.Run) and not c.parks),
    )


@mutant
def limit_of_a_group_ignored(patch: Patch) -> None:
    patch.setattr(Saga, "group", lambda *_, **__: None)


@mutant
def condition_ignored(patch: Patch) -> None:
    prepared = ReplyInterpreter.prepared

    def always(self: ReplyInterpreter, *args: Any) -> Any:
        found = prepared(self, *args)
        return Prepared() if found == Prepared(holds=False) else found

    patch.setattr(ReplyInterpreter, "prepared", always)


@mutant
def parked_found_to_be_due(patch: Patch) -> None:
    patch.setattr(memory, "_is_due", lambda *_: True)


@mutant
def nested_not_sent_back(patch: Patch) -> None:
    """A nested saga that completed counts as undone by its parent's word alone."""
    open_ = NestedInstances.open

    def never(self: NestedInstances, node: Any, run: RunChild) -> Any:
        if run.direction == "compensation":
            stored = self.store.load(f"{node.instance.id}/{run.step}")
            return None, None, stored.instance
        return (yield from open_(self, node, run))

    patch.setattr(NestedInstances, "open", never)
    told = observe.observe_nested_instance

    def undone(command: RunChild, child: SagaInstance) -> e.Event:
        if command.direction == "compensation":
            return e.CompensationSucceeded(step=command.step, attempt=command.attempt)
        return told(command, child)

    patch.setattr(observe, "observe_nested_instance", undone)


@mutant
def wait_without_end(patch: Patch) -> None:
    """A wait's timeout does not outlive the process that began it."""
    until = decide.WaitForSignal

    def forever(*, not_before: Any = None, **more: Any) -> Any:
        return until(not_before=None, **more)

    patch.setattr(decide, "WaitForSignal", forever)
