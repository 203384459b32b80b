"""Ways to break the core and its driver in what groups, nested sagas and waits need: none of this is ever right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from sagafsm import children, decide, driving, moves, operations, outcome
from sagafsm import events as e
from sagafsm.command import RunChild
from sagafsm.drivers import node
from sagafsm.drivers.drive import Drive
from sagafsm.drivers.reading import Reading
from sagafsm.drivers.tree import Tree
from sagafsm.instance import AT_REST, SagaInstance
from sagafsm.outcome import Prepared
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
    rows = memory.MemoryStore._rows
    patch.setattr(memory.MemoryStore, "_rows", lambda *args, **kwargs: reversed(list(rows(*args, **kwargs))))
    patch.setattr(memory, "is_unfinished", lambda _, state: state not in AT_REST)
    patch.setattr(driving, "refuse_nested", lambda *_: None)
    patch.setattr(operations, "refuse_nested", lambda *_: None)
    of = driving.Registry.of
    nested = {}

    def find(self: Any, instance: SagaInstance) -> Any:
        for definition, migration in [of(self, instance)] if "/" not in instance.id else []:
            _walk(definition, instance.id, nested)
            return definition, migration
        return nested[instance.id], None

    patch.setattr(driving.Registry, "of", find)


def _walk(definition: Any, id: str, found: dict[str, Any]) -> None:
    for step in definition.steps:
        if step.child is not None:
            found[f"{id}/{step.name}"] = step.child
            _walk(step.child, f"{id}/{step.name}", found)


@mutant
def cause_not_posted_to_nested(patch: Patch) -> None:
    requests = children._requests

    def without(*args: Any) -> Iterator[e.Request]:
        return (request for request in requests(*args) if not isinstance(request, e.CancelRequested))

    patch.setattr(children, "_requests", without)


@mutant
def requests_above_not_read(patch: Patch) -> None:
    def nothing(self: Drive, above: Any) -> Any:
        return False
        yield

    patch.setattr(Drive, "_read_from", nothing)


@mutant
def undone_in_order_of_start(patch: Patch) -> None:
    def forward(unit: Any, instance: SagaInstance) -> Any:
        members = {step.name: step for step in unit.steps}
        for name in instance.started:
            if name in members and moves._is_to_undo(members[name], instance.steps[name]):
                return instance.steps[name]
        return None

    patch.setattr(moves, "next_undo", forward)
    patch.setattr(decide, "next_undo", forward)


@mutant
def group_goes_back_while_a_member_runs(patch: Patch) -> None:
    settled = moves._settled

    def at_once(step: Any, record: Any) -> Any:
        return settled(step, record) or "go_back"

    def back(unit: Any, instance: SagaInstance, under_way: Any = ()) -> Any:
        found = [at_once(step, instance.steps[step.name]) for step in unit.steps]
        return "go_back" if "go_back" in found else "fail"

    patch.setattr(moves, "_due_back", back)


@mutant
def computed_input_not_recorded(patch: Patch) -> None:
    prepared = Reading.prepared

    def forgetful(self: Reading, *args: Any) -> Any:
        found = prepared(self, *args)
        return Prepared() if isinstance(found, Prepared) and found.holds else found

    patch.setattr(Reading, "prepared", forgetful)


@mutant
def computed_input_computed_again(patch: Patch) -> None:
    """What is recorded is not what the nested saga is given."""
    kept = Tree._input

    def again(self: Tree, node: Any, run: RunChild, name: str) -> str:
        text = kept(self, node, run, name)
        return text.replace('"n":', '"n":9') if node.instance.steps[run.step].input_json else text

    patch.setattr(Tree, "_input", again)


@mutant
def early_signal_lost(patch: Patch) -> None:
    begin = children.begin

    def bare(*args: Any) -> RunChild:
        return attrs.evolve(begin(*args), requests=())

    patch.setattr(children, "begin", bare)
    patch.setattr(node, "is_overtaken", lambda *_: False)


@mutant
def signal_lost_while_parking(patch: Patch) -> None:
    patch.setattr(node, "is_overtaken", lambda *_: False)


@mutant
def decision_not_passed_on(patch: Patch) -> None:
    requests = children._requests

    def without(*args: Any) -> Iterator[e.Request]:
        return (request for request in requests(*args) if not isinstance(request, e.DecisionMade))

    patch.setattr(children, "_requests", without)


@mutant
def residue_of_nested_not_told(patch: Patch) -> None:
    patch.setattr(outcome, "residue_left", lambda _: ())


@mutant
def members_begin_beside_a_doubt(patch: Patch) -> None:
    patch.setattr(
        decide,
        "_allowed",
        lambda _, __, ___, commands: (c for c in commands if isinstance(c, decide.Run) and not c.parks),
    )


@mutant
def limit_of_a_group_ignored(patch: Patch) -> None:
    patch.setattr(Saga, "group", lambda *_, **__: None)


@mutant
def condition_ignored(patch: Patch) -> None:
    prepared = Reading.prepared

    def always(self: Reading, *args: Any) -> Any:
        found = prepared(self, *args)
        return Prepared() if found == Prepared(holds=False) else found

    patch.setattr(Reading, "prepared", always)


@mutant
def parked_found_to_be_due(patch: Patch) -> None:
    patch.setattr(memory, "_is_due", lambda *_: True)


@mutant
def nested_not_sent_back(patch: Patch) -> None:
    """A nested saga that completed counts as undone by its parent's word alone."""
    open_ = Tree.open

    def never(self: Tree, node: Any, run: RunChild) -> Any:
        if run.direction == "compensation":
            stored = self.store.load(f"{node.instance.id}/{run.step}")
            return None, None, stored.instance
        return (yield from open_(self, node, run))

    patch.setattr(Tree, "open", never)
    told = outcome.of_parted

    def undone(command: RunChild, child: SagaInstance) -> e.Event:
        if command.direction == "compensation":
            return e.CompensationSucceeded(step=command.step, attempt=command.attempt)
        return told(command, child)

    patch.setattr(outcome, "of_parted", undone)


@mutant
def wait_without_end(patch: Patch) -> None:
    """A wait's timeout does not outlive the process that began it."""
    until = decide.Await

    def forever(*, not_before: Any = None, **more: Any) -> Any:
        return until(not_before=None, **more)

    patch.setattr(decide, "Await", forever)
