"""A state of the model: what is stored, the drive that is under way, the truth about the world, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from exams.model.trees.store import ROOT, Contents, folded
from sagafsm.core.commands import Command, Run, RunChild
from sagafsm.core.nested import child_id, list_parent_requests
from sagafsm.engine.drive_loop import DriveLoop
from sagafsm.engine.driven_instance import DrivenInstance
from sagafsm.history.instance import SagaInstance
from sagafsm.history.step_state import CallCount, NestedState, StepState

# How often each leaf's effect is in the world, by position.
World = tuple[int, ...]
_NO_TIME = timedelta(0)
_SETTLED = ("pending", "done", "skipped", "failed", "unstorable")


class State(NamedTuple):
    """Everything that decides what may happen next. `deaths`, `cancels`, `mishaps`, `signals` may still come.

    `drive` stands where it waits for a call or for time to pass; None: nobody drives. `left`: its driver let go of the
    instance by itself, so that it rests or is parked, unless it was asked to stop.
    """

    contents: Contents
    world: World
    now: datetime
    drive: DriveLoop | None
    deaths: int
    cancels: int
    mishaps: int
    signals: tuple[str, ...]
    stopping: bool = False
    left: bool = False

    @property
    def root(self) -> SagaInstance:
        """The root of the tree."""
        return folded(self.contents[ROOT])

    def instance(self, instance_id: str) -> SagaInstance | None:
        """An instance of the tree, if it exists."""
        entry = self.contents.get(instance_id)
        return None if entry is None else folded(entry)

    def __str__(self) -> str:
        told = [f"{key} {self.instance(key)!r}" for key in sorted(self.contents)]
        calls = (
            []
            if self.drive is None
            else [f"{n.instance.id}: {type(r).__name__} {r.step}" for n, r in calls_of(self.drive)]
        )
        mail = sum(len(entry.mail()) for entry in self.contents.values())
        return f"{'; '.join(told)}; under way {calls}; world {self.world}; mail {mail}; {self.now:%d %H:%M}"


def calls_of(drive: DriveLoop) -> Iterator[tuple[DrivenInstance, Run]]:
    """The calls that are under way."""
    yield from drive._pending.values()


def key_of(state: State) -> tuple[Any, ...]:
    """What two states share in which the same may happen."""
    return (
        state.world,
        state.deaths,
        state.cancels,
        state.mishaps,
        state.signals,
        state.stopping,
        tuple(_key_of_entry(state, key) for key in sorted(state.contents)),
        None if state.drive is None else _key_of_drive(state.drive, state.now),
    )


def _key_of_entry(state: State, instance_id: str) -> tuple[Any, ...]:
    entry = state.contents[instance_id]
    instance = folded(entry)
    mail = tuple(sorted(type(request).__name__ for request in entry.mail())) if entry.requests else ()
    return (instance_id, *_key_of_instance(instance, state.now), mail, _told(state, instance))


def _told(state: State, instance: SagaInstance) -> tuple[Any, ...]:
    """Which of the requests that it makes to a nested saga are known there."""
    found: list[Any] = []
    for step in instance.outline:
        record = instance.steps[step.name]
        child = state.contents.get(child_id(instance.id, step.name)) if step.kind == "saga" else None
        if child is None or (instance.cause is None and record.child is None):
            continue
        known = {getattr(event, "request_id", None) for event in child.history}
        waiting = {request.request_id for request in child.mail()}
        for request in list_parent_requests(instance, step.name, "action" if record.undo is None else "compensation"):
            found.append((request.request_id in known, request.request_id in waiting))
    return tuple(found)


def _key_of_instance(instance: SagaInstance, now: datetime) -> tuple[Any, ...]:
    back = instance.phase in ("compensating", "completed", "failed")
    cause = instance.cause
    return (
        instance.state,
        None if cause is None else cause.kind == "parent",
        instance.cancel is None,
        instance.waiting,
        tuple((block.step, block.reason) for block in instance.blocked),
        _until(instance.wake_at, now),
        instance.started,
        tuple(sorted(signal.name for signal in instance.signals)),
        tuple(
            _key_of_record(record, now, back, 0 if cause is None else cause.number)
            for record in instance.steps.values()
        ),
    )


def _key_of_record(record: StepState, now: datetime, back: bool, cause: int) -> tuple[Any, ...]:
    undo: tuple[Any, ...] = (record.undo,)
    if record.undo not in (None, "undone", "skipped"):
        undo = (record.undo, *_key_of_calls(record.compensation, now))
    child = None if record.child is None else _key_of_child(record.child, now, cause)
    if back or record.status in _SETTLED:
        status = "failed" if back and record.status == "waiting" else record.status
        return (status, record.result_json is None, record.prepared, undo, child)
    return (
        record.status,
        _key_of_calls(record.action, now),
        record.result_json is None,
        record.doubt_before,
        record.died,
        record.probed,
        record.retryable,
        record.retry_ordered,
        record.conceded,
        record.prepared,
        _until(record.until, now),
        undo,
        child,
    )


def _key_of_calls(calls: CallCount, now: datetime) -> tuple[Any, ...]:
    return (calls.spent, calls.deaths, _until(calls.wake_at, now))


def _key_of_child(child: NestedState, now: datetime, cause: int) -> tuple[Any, ...]:
    return (
        tuple((block.step, block.reason) for block in child.blocks),
        child.waits,
        _until(child.retry_at, now),
        cause > child.parked,
        tuple(
            (type(order).__name__, getattr(order, "decision", None), getattr(order, "step", None))
            for order in child.orders
        ),
        child.left,
    )


def _until(moment: datetime | None, now: datetime) -> timedelta | None:
    return None if moment is None else max(moment - now, _NO_TIME)


def _key_of_drive(drive: DriveLoop, now: datetime) -> tuple[Any, ...]:
    calls = (
        (node.instance.id, run.step, type(run), pending.late is None) for pending, (node, run) in drive._pending.items()
    )
    return (frozenset(calls), _key_of_node(drive.root, now))


def _key_of_node(node: DrivenInstance, now: datetime) -> tuple[Any, ...]:
    return (
        tuple(
            (name, type(run), run.direction if isinstance(run, RunChild) else "")
            for name, run in sorted(node.under_way.items())
        ),
        _key_of_command(node.command, now),
        len(node.posted),
        len(node._late),
        tuple(node.reading.live),
        node.journal.lease.released,
        tuple((name, _key_of_node(child, now)) for name, child in sorted(node.children.items())),
    )


def _key_of_command(command: Command, now: datetime) -> tuple[Any, ...]:
    return type(command), getattr(command, "step", ""), _until(getattr(command, "not_before", None), now)
