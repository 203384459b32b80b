"""Whether a life ended as the laws say: by what is in the world, and by what every history says of every other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

from sagafsm import SagaInstance
from sagafsm.history import events as e
from support.lives import ROOT, Life

AGES = timedelta(days=9999)


def check(life: Life) -> None:
    """All that must hold of a life that has come to its end."""
    instance = life.loaded()
    assert instance is not None
    assert [] == life.world.breaches
    _check_world(life, instance)
    instances = dict(tree_of(life, instance))
    for id, one in instances.items():
        assert list(range(1, len(one.history) + 1)) == [event.number for event in one.history]
        assert [event for owner, event in life.ledger.entries if owner == id] == list(one.history)
        check_way_back(life, one)
        _check_attempts(one)
        check_groups(life, one)
        check_nested(life, one, instances)
    check_no_action_after(life)
    if life.way == "turns":
        _check_requests(life)
    _check_rest(life, instances)


def tree_of(life: Life, instance: SagaInstance) -> Iterator[tuple[str, SagaInstance]]:
    yield instance.id, instance
    for step in instance.outline:
        child = life.loaded(f"{instance.id}/{step.name}") if step.kind == "saga" else None
        if child is not None:
            yield from tree_of(life, child)


def _check_world(life: Life, instance: SagaInstance) -> None:
    """No false green, nothing lost, and what is left is named, no more and no less."""
    world, left = life.world, {entry.step for entry in instance.residue}
    assert len(world.done) == len(world.held), f"done twice: {world.done}"
    if instance.state == "completed":
        assert life.plan.expected() | world.by_hand == world.held
        assert () == instance.residue
        return
    assert "failed" == instance.state
    assert len(left) == len(instance.residue)
    assert world.held <= left, f"left, and not told: {world.held - left}"
    assert instance.compensated is (not left)
    if not life.abandoned:
        assert left - world.held <= life.given_up, f"told, and not left: {left - world.held}"
        for path in left - life.given_up:
            assert not world.steps[path].compensation, f"{path} could have been undone"


def check_way_back(life: Life, instance: SagaInstance) -> None:
    """Strictly in reverse of first start, one at a time, and not before all that ran has settled."""
    starts = [event for event in instance.history if isinstance(event, e.StepStarted) and event.attempt == 1]
    order = list(dict.fromkeys(event.step for event in starts))
    undos = [event for event in instance.history if isinstance(event, e.CompensationStarted) and event.attempt == 1]
    undone = list(dict.fromkeys(event.step for event in undos))
    assert sorted(undone, key=order.index, reverse=True) == undone, (instance.id, order, undone)
    waits = {step.name for step in instance.outline if step.kind == "wait"}
    for event in undos:
        before = instance.at(event.number)
        moving = [name for name, record in before.steps.items() if record.undo == "running" and name != event.step]
        assert [] == moving, f"{event.step} is undone beside {moving} in {instance.id}"
        acting = [n for n, r in before.steps.items() if r.status in ("running", "parked") and n not in waits]
        assert [] == acting, f"{event.step} is undone while {acting} is under way in {instance.id}"
    cause = [event for event in instance.history if isinstance(event, e.CauseRecorded)]
    assert len(cause) <= 1
    if instance.state == "failed" and not life.abandoned:
        assert cause, f"{instance.id} failed without a cause"


def _check_attempts(instance: SagaInstance) -> None:
    """Each call is counted, and comes to one outcome at most."""
    for step in instance.steps:
        for kind in (e.StepStarted, e.CompensationStarted):
            attempts = [event.attempt for event in instance.history if isinstance(event, kind) and event.step == step]
            assert list(range(1, len(attempts) + 1)) == attempts, (instance.id, step, attempts)
        done = [event for event in instance.history if isinstance(event, e.StepSucceeded) and event.step == step]
        undone = [event for event in instance.history if isinstance(event, e.CompensationSucceeded)]
        assert len(done) <= 1
        assert len([event for event in undone if event.step == step]) <= 1


def check_groups(life: Life, instance: SagaInstance) -> None:
    """No more members run than may, and none begins while another is in doubt or has failed for good."""
    path = instance.id.removeprefix(ROOT).lstrip("/")
    plan = life.plan if not path else life.world.steps[path].child
    limits, groups = dict(plan.limits), {step.name: step.group for step in plan.steps}
    for event in instance.history:
        group = groups.get(event.step) if isinstance(event, e.StepStarted) else None
        if group is None:
            continue
        before = instance.at(event.number - 1).steps
        others = [before[name] for name in groups if groups[name] == group and name != event.step]
        running = [record.name for record in others if record.status == "running"]
        assert len(running) < limits.get(group, 99), f"{event} of {instance.id} beside {running}"
        held = [other.name for other in others if other.is_in_doubt or other.status in ("failed", "unstorable")]
        if before[event.step].status == "pending":
            assert [] == held, f"{event} of {instance.id} while {held} is unsettled"


def check_nested(life: Life, parent: SagaInstance, instances: dict[str, SagaInstance]) -> None:
    """What a parent says of a nested saga is what that says of itself."""
    for step in parent.outline:
        if step.kind != "saga":
            continue
        record, child = parent.steps[step.name], instances.get(f"{parent.id}/{step.name}")
        if child is None:
            assert record.status in ("pending", "skipped", "failed") or life.abandoned, (parent.id, record)
            continue
        assert child.is_at_rest, f"{child} is left behind by {parent}"
        _check_input(life, parent, child, step.name)
        if record.status == "done" and record.undo != "undone":
            assert child.state == "completed" or life.abandoned, (parent, child)
        if child.state == "completed":
            # It may come to rest in the very moment in which its parent is abandoned.
            assert record.status == "done" or life.abandoned, (parent, record, child)
            assert record.undo in (None, "skipped") or life.abandoned, (parent, record, child)
        told = [entry.step.partition("/")[2] for entry in parent.residue if entry.step.startswith(f"{step.name}/")]
        if child.state == "failed":
            assert sorted(entry.step for entry in child.residue) == sorted(told), (parent, child)


def _check_input(life: Life, parent: SagaInstance, child: SagaInstance, name: str) -> None:
    prepared = [event for event in parent.history if isinstance(event, e.StepPrepared) and event.step == name]
    assert len(prepared) <= 1
    path = child.id.removeprefix(f"{ROOT}/")
    if life.world.steps[path].computed:
        assert prepared, f"the input of {child.id} is not recorded"
        assert child.input == json.loads(prepared[0].input_json or "null")
        assert path == child.input["for"]
    else:
        assert parent.input == child.input


def check_no_action_after(life: Life) -> None:
    """Once a cause is durable nothing starts, in that instance or in any that is nested in it."""
    going_back: set[str] = set()
    for id, event in life.ledger.entries:
        names = id.split("/")
        above = {"/".join(names[:n]) for n in range(1, len(names) + 1)}
        if isinstance(event, e.StepStarted):
            assert going_back.isdisjoint(above), f"{event} of {id} after a cause in {going_back}"
        if isinstance(event, e.CauseRecorded):
            going_back.add(id)


def _check_requests(life: Life) -> None:
    """Nothing starts, in the root or in what is nested in it, between a request and its being read.

    But for a commit of a nested saga that is under way just then: the store looks at its own mail alone.
    """
    entries, commits = life.ledger.entries, life.ledger.commits
    for request_id, position in life.ledger.posts.items():
        nested = entries[position : position + 1] and entries[position][0] != ROOT
        after = next((start for start in commits if start > position), len(entries)) if nested else position
        for id, event in entries[after:]:
            if id == ROOT and getattr(event, "request_id", None) == request_id:
                break
            assert not isinstance(event, e.StepStarted), f"{event} of {id} overtakes {request_id}"


def _check_rest(life: Life, instances: dict[str, SagaInstance]) -> None:
    """Nobody owns it, no request waits, nothing is due, and another recovery changes nothing."""
    for id in instances:
        assert life.store.load(id).summary.owner is None, f"{id} is still owned"
        assert () == life.store.mail(id), f"{id} has mail"
    assert () == tuple(life.store.find(due=life.clock.now() + AGES))
    length = len(life.ledger.entries)
    report = life.ask("recover")
    assert report is None or () == report.resumed
    assert length == len(life.ledger.entries)
