"""The laws of trees, as checks of where a drive waits for a call, of what it lets go of, and of how it ends."""

from __future__ import annotations

from collections.abc import Container, Iterator
from datetime import datetime

from exams.model.law import (
    AFTER_CAUSE,
    AWAITED,
    CHILD_RESIDUE,
    GREEN,
    LET_GO,
    LIMIT,
    ONE_UNDO,
    PROGRESS,
    RESIDUE,
    TWICE,
    WHOLE_TREE,
    WRITE_AHEAD,
    broken,
)
from exams.model.trees.sagas import TreeSaga
from exams.model.trees.state import State, World
from exams.model.trees.store import ROOT, Contents, TreeStore
from sagafsm.core.commands import Prepare, Run, RunAction, RunCompensation, RunProbe
from sagafsm.core.nested import child_id
from sagafsm.engine.drive_loop import DriveLoop
from sagafsm.engine.driven_instance import DrivenInstance
from sagafsm.engine.effects import PendingCall
from sagafsm.history.instance import SagaInstance

# Where a drive waits --------------------------------------------------------------------------------------------------


def waits(drive: DriveLoop, store: TreeStore) -> None:
    """What holds of the calls that are under way."""
    undoing: dict[str, str] = {}
    for pending, (node, run) in drive._pending.items():
        instance = store.folded(node.instance.id)
        assert instance is not None
        _durable(instance, run)
        if isinstance(run, RunCompensation):
            if instance.id in undoing:
                broken(ONE_UNDO, f"{run.step} and {undoing[instance.id]} of {instance} at once")
            undoing[instance.id] = run.step
        elif isinstance(run, RunAction):
            _called(node, instance, run, pending)
    for instance_id in undoing:
        if any(node.instance.id.startswith(f"{instance_id}/") for node, _ in drive._pending.values()):
            broken(ONE_UNDO, f"something runs below {instance_id} while it is undone")
    _limits(drive.root)


def _durable(instance: SagaInstance, run: Run) -> None:
    record = instance.steps[run.step]
    match run:
        case RunAction() if record.status not in ("running", "in_doubt", "failed"):
            broken(WRITE_AHEAD, f"the action of {run.step} is called although it is durably {record.status}")
        case RunCompensation() if record.undo not in ("running", "waiting", "failed"):
            broken(WRITE_AHEAD, f"the compensation of {run.step} is called although it is durably {record.undo}")
        case RunProbe() if record.status != "in_doubt":
            broken(WRITE_AHEAD, f"the probe of {run.step} is asked although it is durably {record.status}")


def _called(node: DrivenInstance, instance: SagaInstance, run: RunAction, pending: PendingCall) -> None:
    if instance.phase == "compensating":
        broken(AWAITED, f"{instance} while the action of {run.step} is under way")
    above: DrivenInstance | None = node
    while above is not None and pending.handle is None:
        if above.instance.cause is not None:
            broken(AFTER_CAUSE, f"the action of {run.step} of {instance.id} is called, and {above.instance} goes back")
        above = above.parent


def _limits(node: DrivenInstance) -> None:
    for unit in node.definition.units.values():
        running = [
            s.name for s in unit.steps if s.name in node.under_way and not isinstance(node.under_way[s.name], Prepare)
        ]
        if unit.max_concurrency is not None and len(running) > unit.max_concurrency:
            broken(LIMIT, f"{running} run, and {unit.max_concurrency} may")
    for child in node.children.values():
        _limits(child)


def let_go(before: Contents, after: Contents, mine: Container[int | None]) -> None:
    """A driver that has left owns nothing; the claim of a process that died before may still be there.

    `mine` are the tokens that the driver had before.
    """
    for key, entry in after.items():
        known = key in before and before[key].claim.token == entry.claim.token
        if entry.claim.owner is not None and (not known or entry.claim.token in mine):
            broken(LET_GO, f"{key} is still owned by {entry.claim.owner}")


# Where nobody drives --------------------------------------------------------------------------------------------------


def rests(saga: TreeSaga, state: State) -> None:
    """What holds of every state, and of those in which a driver has let go."""
    leaves = tuple(saga.leaves)
    for path, times in zip(leaves, state.world, strict=True):
        if times > 1:
            broken(TWICE, f"the effect of {path} is in the world {times} times")
    root = state.root
    if state.drive is not None:
        return
    if root.is_at_rest:
        _ended(saga, state, root)
    elif state.left:
        _parked(state, root)


def _parked(state: State, root: SagaInstance) -> None:
    moments = set(moments_of(state, root))
    # A call that outlived its timeout may end without a commit, which alone could say when the root goes on: then
    # every recovery looks.
    later = any(moment > state.now for moment in moments)
    if not (root.blocked or root.waiting or later):
        broken(PROGRESS, f"{root} was left, and nothing wakes it")
    told = {(block.step, block.reason) for block in root.blocked}
    known = set(_blocks(state, root, ""))
    # A process that died while it abandoned the tree has ended the children, and the root knows nothing of it yet.
    stale = {block for block in told if _was_abandoned(state, block[0])}
    # A group blocks only when no member waits for its retry: until then the root sleeps, whatever a child asks.
    sleeps = later and not told and not root.waiting
    if told - stale != known and not sleeps:
        broken(WHOLE_TREE, f"the root is blocked on {told}, its tree on {known}")
    unsaid = root.wake_at is None and not (root.blocked or root.waiting)
    if not unsaid and root.wake_at != min(moments, default=None):
        broken(WHOLE_TREE, f"the root wakes at {root.wake_at}, its tree at {moments}")


def _was_abandoned(state: State, path: str) -> bool:
    child = state.instance(f"{ROOT}/{path.rpartition('/')[0]}")
    return child is not None and "/" in path and (child.why or "").startswith("abandoned")


def _unfinished(state: State, instance: SagaInstance) -> Iterator[tuple[str, SagaInstance]]:
    for step in instance.outline:
        child = state.instance(child_id(instance.id, step.name)) if step.kind == "saga" else None
        if child is not None and not child.is_at_rest:
            yield step.name, child


def _blocks(state: State, instance: SagaInstance, prefix: str) -> Iterator[tuple[str, str]]:
    yield from ((prefix + block.step, block.reason) for block in instance.blocked if "/" not in block.step)
    for name, child in _unfinished(state, instance):
        yield from _blocks(state, child, f"{prefix}{name}/")


def moments_of(state: State, instance: SagaInstance) -> Iterator[datetime]:
    """When something of the instance or below it goes on by itself."""
    # Doubts are settled in order of start, so that the first one's backoff is that of all.
    doubts = [
        n for n in instance.started if instance.steps[n].status == "in_doubt" and instance.steps[n].action.wake_at
    ]
    for record in instance.steps.values():
        if record.undo == "waiting" and record.compensation.wake_at is not None:
            yield record.compensation.wake_at
        elif record.until is not None and record.status == "running" and instance.cause is None:
            yield record.until
        elif record.action.wake_at is not None and instance.cause is None:
            retried = record.status == "waiting" or (record.name in doubts[:1] and not instance.blocked)
            yield from (record.action.wake_at,) if retried else ()
    for _, child in _unfinished(state, instance):
        yield from moments_of(state, child)


def _ended(saga: TreeSaga, state: State, root: SagaInstance) -> None:
    for key in state.contents:
        instance = state.instance(key)
        assert instance is not None
        if not instance.is_at_rest:
            broken(LET_GO, f"{root}, but {instance}")
    if root.state == "completed":
        _completed(saga, state, root)
    else:
        _failed(saga, state.world, root)
        _children(state, root)


def _completed(saga: TreeSaga, state: State, root: SagaInstance) -> None:
    if root.residue or root.compensated or root.blocked:
        broken(GREEN, f"{root} with residue {root.residue}, blocked {root.blocked}")
    for (path, step), times in zip(saga.leaves.items(), state.world, strict=True):
        parent, _, name = f"{ROOT}/{path}".rpartition("/")
        owner = state.instance(parent)
        status = "skipped" if owner is None else owner.steps[name].status
        wanted = step.kind.effect if status == "done" else 0
        if status not in ("done", "skipped") or times != wanted:
            broken(GREEN, f"completed, but {path} is {status}, {times} times in the world")


def _failed(saga: TreeSaga, world: World, root: SagaInstance) -> None:
    named = {left.step: left.reason for left in root.residue}
    remaining = {path for path, times in zip(saga.leaves, world, strict=True) if times}
    if not remaining <= set(named):
        broken(RESIDUE, f"{remaining} remain in the world, the residue names {named or 'nothing'}")
    for path, reason in named.items():
        kind = saga.leaves[path].kind
        if not kind.effect or (reason == "no_compensation" and path not in remaining):
            broken(RESIDUE, f"{path} is named as {reason}, and cannot have left anything")
    if root.compensated != (not named):
        broken(GREEN, f"compensated is {root.compensated} with residue {named}")


def _children(state: State, root: SagaInstance) -> None:
    for step in root.outline:
        child = state.instance(child_id(root.id, step.name)) if step.kind == "saga" else None
        if child is None or child.state != "failed":
            continue
        told = [(left.step, left.reason) for left in root.residue if left.step.startswith(f"{step.name}/")]
        left = [(f"{step.name}/{left.step}", left.reason) for left in child.residue]
        if told != left:
            broken(CHILD_RESIDUE, f"{child} left {left}, its parent says {told}")
