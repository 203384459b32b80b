"""Performs the real drive: every call of the store at once, every call of a user's function as it is told.

A drive that waits for a call is kept as a copy, and goes on from there as often as something else may happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import attrs

from exams.model.trees.copies import copied, nodes_of
from exams.model.trees.laws import TreeLaws
from exams.model.trees.resting import let_go, waits
from exams.model.trees.sagas import TreeSaga
from exams.model.trees.state import State
from exams.model.trees.store import ROOT, Contents, TreeStore
from sagafsm.core.decisions import has_signal
from sagafsm.core.triggers import has_passed_pivot
from sagafsm.definition.registry import Registry
from sagafsm.engine import engine
from sagafsm.engine.config import LEASE, Settings
from sagafsm.engine.drive_loop import DriveLoop
from sagafsm.engine.effects import (
    Effect,
    Effects,
    EnterResources,
    PendingCall,
    Reply,
    Sleep,
    StoreCall,
    StoreWrite,
    WaitAll,
    WaitFirst,
)
from sagafsm.engine.engine import Engine
from sagafsm.engine.journal import release_claim
from sagafsm.engine.operations import Operations
from sagafsm.engine.ownership import Lease, running_drives
from sagafsm.errors import IllegalTransition
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.payload import MAX_PAYLOAD
from sagafsm.results import RecoveryReport

CANCEL = e.CancelRequested(request_id="cancel", by="someone", reason="changed my mind")
# What is asked of the operations, and the reply to the call that ends, if it is one.
Asked = Callable[[Operations], Effects[Any]]
Ended = tuple[PendingCall, Reply | None]
# A request that comes in before so many looks at the root's mail and writes to it.
Mail = tuple[int, e.Request]


@attrs.define
class SimulatedClock:
    """Stands still until it is moved."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment

    def sleep(self, duration: timedelta) -> None:
        raise AssertionError("the model lets time pass")

    async def asleep(self, duration: timedelta) -> None:
        raise AssertionError("the model lets time pass")


class QuietKeeper:
    """Counts a drive as running, and renews nothing."""

    @contextmanager
    def running(self, lease: Lease) -> Iterator[None]:
        running_drives.add(lease.drive)
        try:
            yield
        finally:
            running_drives.discard(lease.drive)


class Point(NamedTuple):
    """What was stored before a write that was not the first."""

    contents: Contents


class Done(NamedTuple):
    """Where a transition led; `points` lie on its way.

    `touches` counts the looks and writes before which mail may come; `posted`: it did.
    """

    contents: Contents
    now: datetime
    drive: DriveLoop | None
    points: tuple[Point, ...]
    touches: int
    posted: bool
    result: Any = None
    refusal: IllegalTransition | None = None


@attrs.frozen
class Fixed:
    """A saga whose definition does not change."""

    definition: Any


class Driver:
    """Drives the instances of one saga."""

    def __init__(self, saga: TreeSaga) -> None:
        self.saga, self.laws = saga, TreeLaws(saga)
        self.defined = Fixed(saga.definition)
        self.registry = Registry()
        self.registry.add(self.defined)

    def ask(self, state: State, asked: Asked, *, mail: Mail | None = None, stopping: bool = False) -> Done:
        """What comes of an operation of a new orchestrator. `mail` comes in meanwhile."""
        return Performance(self, state, mail, stopping).operation(asked)

    def go_on(self, state: State, ended: Ended | None, *, mail: Mail | None = None) -> Done:
        """What comes of a call that ends, or, without one, of the time having passed."""
        return Performance(self, state, mail, state.stopping).rest(ended)


class Performance:
    """One transition: from where a drive waits, or from nobody driving, to where a drive waits again or has left."""

    def __init__(self, driver: Driver, state: State, mail: Mail | None, stopping: bool) -> None:
        self.driver, self.state, self.mail = driver, state, mail
        self.clock = SimulatedClock(state.now)
        self.store = TreeStore(state.contents)
        self.store.touched, self.store.written = self._touched, self._written
        self.settings = Settings(
            clock=self.clock,
            lease=LEASE,
            max_payload=MAX_PAYLOAD,
            on_event=None,
            stopping=lambda: stopping,
            draw=lambda: 1.0,
        )
        self.points: list[Point] = []
        self.writes = self.touches = 0
        self.posted = False
        self.drive: DriveLoop | None = None

    def operation(self, asked: Asked) -> Done:
        """Carry out an operation."""
        engine = Engine(
            store=self.store,
            registry=self.driver.registry,
            resources={},
            settings=self.settings,
            keeper=QuietKeeper(),  # type: ignore[arg-type]
            owner="model",
        )
        with self._seen():
            return self._perform(asked(Operations(engine)), None, None)

    def rest(self, ended: Ended | None) -> Done:
        """Let a drive that waits go on."""
        assert self.state.drive is not None
        self.drive, of = copied(self.state.drive, self.settings, self.store)
        reply = None if ended is None else (of[ended[0]], ended[1])
        return self._perform(_goes_on(self.drive), reply, self.drive)

    @contextmanager
    def _seen(self) -> Iterator[None]:
        """Know the drive that the operation makes."""
        original = engine.DriveLoop

        def made(*args: Any) -> DriveLoop:
            self.drive = original(*args)
            return self.drive

        engine.DriveLoop = made  # type: ignore[assignment, misc]
        try:
            yield
        finally:
            engine.DriveLoop = original  # type: ignore[misc]

    def _perform(
        self, steps: Effects[Any], reply: tuple[PendingCall, Reply | None] | None, resumed: DriveLoop | None
    ) -> Done:
        waits = resumed is not None
        try:
            effect = next(steps)
            while True:
                if isinstance(effect, (WaitFirst, Sleep)):
                    if not waits:
                        return self._suspended(steps)
                    waits = False
                    self._pass_time(effect, reply)
                    effect = steps.send(reply if isinstance(effect, WaitFirst) else None)
                else:
                    effect = self._carried_out(steps, effect)
        except StopIteration as end:
            return self._done(None, end.value)
        except IllegalTransition as refusal:
            return self._done(None, None)._replace(refusal=refusal)

    def _pass_time(self, effect: WaitFirst | Sleep, reply: object) -> None:
        if isinstance(effect, Sleep):
            assert self.drive is not None
            self.clock.moment = max(self.clock.moment, self.drive.root.command.not_before)  # type: ignore[attr-defined]
        elif reply is None:
            assert effect.until is not None
            self.clock.moment += effect.until

    @staticmethod
    def _carried_out(steps: Effects[Any], effect: Effect) -> Effect:
        match effect:
            case StoreCall() | StoreWrite():
                try:
                    answer = effect.call() if isinstance(effect, StoreCall) else effect.write.alone(effect.store)
                except Exception as error:
                    return steps.throw(error)
                return steps.send(answer)
            case EnterResources(given=given):
                return steps.send(given)
            case _:
                # Nothing is left to wait for: what runs is the model's to end.
                return steps.send(None)

    def _suspended(self, steps: Effects[Any]) -> Done:
        drive = self.drive
        assert drive is not None
        kept, _ = copied(drive, self.settings, self.store)
        # Its process ends here: nothing of it must happen any more, and closing a generator lets go of its leases.
        for node in nodes_of(drive.root):
            node.journal.lease.released = True
        steps.close()
        waits(kept, self.store)
        for pending in kept._pending:
            pending.handle = True
        return self._done(kept, None)

    def _done(self, drive: DriveLoop | None, result: Any) -> Done:
        contents = self.store.contents()
        failed = isinstance(result, RecoveryReport) and result.errors
        if drive is None and not failed:
            mine = () if self.state.drive is None else nodes_of(self.state.drive.root)
            let_go(self.state.contents, contents, {node.journal.lease.token for node in mine})
        return Done(contents, self.clock.moment, drive, tuple(self.points), self.touches, self.posted, result)

    def _touched(self, instance_id: str, writes: bool) -> None:
        if instance_id == ROOT:
            if self.mail is not None and self.touches == self.mail[0]:
                self.posted = may_be_posted(self.store.load(ROOT).instance, self.mail[1])
                if self.posted:
                    self.store.post(ROOT, self.mail[1])
            self.touches += 1
        if writes:
            if self.writes:
                self.points.append(Point(self.store.contents()))
            self.writes += 1

    def _written(self, instance_id: str, before: Any, events: Any, after: Any) -> None:
        self.driver.laws.commit(self.store, instance_id, before, events, after)


def _goes_on(drive: DriveLoop) -> Effects[None]:
    """`DriveLoop.run` from where it waits, and `Engine`, which lets go of the instances then."""
    try:
        yield from drive.go_on()
    except GeneratorExit:
        raise
    except BaseException as error:
        yield WaitAll(tuple(drive._pending), interrupted=not isinstance(error, Exception))
        raise
    finally:
        yield from drive.leave()
        yield from release_claim(drive.root.journal.lease)


def may_be_posted(root: SagaInstance, request: e.Request) -> bool:
    """Whether the operations would post it now."""
    if root.is_at_rest or not isinstance(request, e.SignalReceived):
        return not root.is_at_rest and not has_passed_pivot(root)
    try:
        has_signal(root, request.name, None)
    except IllegalTransition:
        return False
    return True
