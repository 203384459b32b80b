"""One run of a saga against a world, with what is planned to go wrong: the real drive, a simulated process and time."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import CodeType
from typing import Any, NoReturn

import attrs

from sagafsm import events as e
from sagafsm.definition import Definition
from sagafsm.drivers.effects import (
    Answer,
    Effect,
    Enter,
    First,
    Leave,
    Pending,
    QueueCall,
    Refusal,
    Reply,
    Sleep,
    Steps,
    StoreCall,
    UserCall,
    Write,
)
from sagafsm.drivers.journal import unheard
from sagafsm.drivers.lease import Lease, _running
from sagafsm.drivers.settings import Settings
from sagafsm.drivers.workers import as_coroutine
from sagafsm.driving import Driving
from sagafsm.errors import IllegalTransition, SagaError, SagaNotFound
from sagafsm.instance import SagaInstance
from sagafsm.operations import Operations
from sagafsm.registry import Registry
from sagafsm.steps import Defined
from sagafsm.store import Store
from sagafsm.verify.clock import VirtualClock
from sagafsm.verify.interception import Interception
from sagafsm.verify.ledger import Ledger
from sagafsm.verify.life import Answered, Called, Change, Crashed, Life, Passed, Plan, Refused, TimedOut
from sagafsm.verify.memory import ProcessMemory
from sagafsm.verify.proxies import rebound, watched
from sagafsm.verify.schedule import Kind, Operator, Point, Turns
from sagafsm.verify.stores import ROOT, Connection, path_of

MAX_PAYLOAD = 1_048_576
LEASE = timedelta(seconds=30)
CANCEL = "cancel"


class NotLanded(BaseException):
    """A call that took no effect: what came after it in its function was not reached."""


@attrs.frozen(eq=False)
class _Keeper:
    """Counts the drives of a run as running, and renews nothing: no time passes."""

    drives: set[str] = attrs.Factory(set)

    @contextmanager
    def running(self, lease: Lease) -> Iterator[None]:
        _running.add(lease.drive)
        self.drives.add(lease.drive)
        try:
            yield
        finally:
            _running.discard(lease.drive)
            self.drives.discard(lease.drive)


@attrs.frozen
class Pinned:
    """A saga as it is now, whatever becomes of it meanwhile."""

    definition: Definition


@attrs.frozen
class Setting:
    """What all runs of one verification share."""

    saga: Defined
    store: Callable[[], Store]
    memory: ProcessMemory
    signals: Mapping[str, Any]
    loop: Callable[[], asyncio.AbstractEventLoop]


@attrs.define(eq=False)
class Simulation:
    """A world, a store, and the process that runs one saga between them.

    `traces`: the snapshot is looked at around every call of a resource, which takes long and is for explaining.
    """

    setting: Setting
    world: Any
    input: Any
    plan: Plan
    turns: Turns = "first"
    operator: Operator = "truth"
    traces: bool = False
    store: Store = attrs.field(default=attrs.Factory(lambda self: self.setting.store(), takes_self=True))
    clock: VirtualClock = attrs.Factory(VirtualClock)
    instance_id: str = ROOT
    passed: list[Passed] = attrs.field(factory=list, init=False)
    calls: list[Called] = attrs.field(factory=list, init=False)
    changes: list[Change] = attrs.field(factory=list, init=False)
    # Appends, by instance, and the faults between them.
    timeline: list[Passed | tuple[str, Sequence[e.Event]]] = attrs.field(factory=list, init=False)
    outages: set[str] = attrs.field(factory=set, init=False)
    late: list[tuple[str, Callable[[], Any]]] = attrs.field(factory=list, init=False)
    swallowed: list[Called] = attrs.field(factory=list, init=False)
    after_end: list[tuple[str, frozenset[CodeType]]] = attrs.field(factory=list, init=False)
    faults_fired: int = attrs.field(default=0, init=False)
    cancelled: int = attrs.field(default=0, init=False)
    lives: int = attrs.field(default=0, init=False)
    instance: SagaInstance | None = attrs.field(default=None, init=False)
    at_point: Callable[[Life, Point], None] | None = attrs.field(default=None, init=False)
    _replay: Iterator[Answered] | None = attrs.field(default=None, init=False)
    is_landing: bool = attrs.field(default=False, init=False)
    _given: Mapping[str, Any] | None = attrs.field(default=None, init=False)
    _ledger: Ledger | None = attrs.field(default=None, init=False)
    _keeper: _Keeper = attrs.field(factory=_Keeper, init=False)

    def __attrs_post_init__(self) -> None:
        self._ledger = self.world if isinstance(self.world, Ledger) else None

    # One incarnation --------------------------------------------------------------------------------------------------

    def born(self) -> Life:
        """A new incarnation."""
        self.lives += 1
        return Life(self.lives)

    def operations(self, life: Life) -> Operations:
        """What an orchestrator of this incarnation can do."""
        if self._given is None:
            self._given = self.world.resources()
        interceptors = Interception(self, life)
        given = {name: watched(name, resource, interceptors) for name, resource in self._given.items()}
        settings = Settings(
            clock=self.clock,
            lease=LEASE,
            max_payload=MAX_PAYLOAD,
            on_event=unheard,
            stopping=_never,
            draw=_halfway,
        )
        registry = Registry()
        registry.add(self.setting.saga)
        store = Connection(self.store, life, self)
        return Operations(Driving(store, registry, given, settings, self._keeper, f"worker {life.number}"))  # type: ignore[arg-type]  # a keeper by what it does

    def start(self, life: Life, operations: Operations) -> SagaInstance:
        """Run the instance, or go on with it, until it rests or parks."""
        steps = operations.start(self.setting.saga, self.input, id=self.instance_id, drive=True)
        started: SagaInstance = self.perform(life, steps)
        return started

    def perform(self, life: Life, steps: Steps[Any]) -> Any:
        """Carry out effects one after the other."""
        try:
            effect = next(steps)
            while True:
                try:
                    reply = self._reply(life, effect)
                except BaseException as error:  # noqa: BLE001 - thrown into the steps, which let go and raise it
                    effect = steps.throw(error)
                else:
                    effect = steps.send(reply)
        except StopIteration as end:
            return end.value

    def _reply(self, life: Life, effect: Effect) -> Any:
        match effect:
            case Write(store=store, write=write):
                return write.alone(store)
            case First(pending=pending):
                return self._first(life, pending)
            case StoreCall(call=call):
                return call()
            case Sleep(duration=duration):
                return self._sleep(duration)
            case Enter(given=given):
                return given
            case Leave():
                return None

    def _sleep(self, duration: timedelta) -> None:
        """Sleep until the instance is due: a drive wakes up meanwhile to look at its mail, and nobody posts any."""
        instance = self.store.load(self.instance_id).instance
        now = self.clock.now()
        ends = [moment for moment in (instance.wake_at, instance.deadline) if moment is not None and moment > now]
        self.clock.until(min(ends, default=now + duration))

    def _first(self, life: Life, pending: Sequence[Pending]) -> tuple[Pending, Reply]:
        """One call after the other, each to its end: which of them is first is a choice of the schedule."""
        chosen = pending[0 if self.turns == "first" else -1]
        if isinstance(chosen.call, QueueCall):
            raise TypeError("nothing is queued where one instance runs")
        return chosen, self._call(life, chosen.call)

    # Calls of the saga's functions ------------------------------------------------------------------------------------

    def _call(self, life: Life, call: UserCall) -> Reply:
        label = f"{path_of(call.instance_id, call.run.step)}.{call.function.role}"
        point = life.passes(label)
        called = Called(point, call)
        kind = self.reach(life, point, called)
        self.calls.append(called)
        outer, life.current = life.current, called
        try:
            reply: Reply = Answer(self._called(life, called, kind))
        except Exception as error:  # noqa: BLE001 - a user's function: whatever it raises is its outcome
            if not self.traces:
                _forget_traceback(error)
            reply = Refusal(error)
        finally:
            life.current = outer
        life.breathe()
        if called.interrupted:
            self.swallowed.append(called)
        return reply

    def _called(self, life: Life, called: Called, kind: Kind | None) -> Any:
        match kind:
            case None:
                return self._value(called)
            case "raise_before":
                raise Refused(f"{called.point.label} was refused (injected)")
            case "crash":
                life.die()
            case "late":
                self.late.append((called.point.label, lambda: self._value(called)))
                raise TimedOut(f"{called.point.label} timed out (injected)")
            case "cancel" | "duplicate":
                self.meanwhile(kind)
        value = self._value(called)
        match kind:
            case "raise_after":
                raise TimedOut(f"{called.point.label} timed out (injected)")
            case "crash_after":
                life.die()
            case "interrupt":
                self.interrupt(life, called)
            case "twice":
                value = self._value(called)
        return value

    def _value(self, called: Called) -> Any:
        call = called.call
        value = call.function.call(*call.positional, **call.named)
        if inspect.isawaitable(value):
            value = self.setting.loop().run_until_complete(as_coroutine(value))
        called.returned, called.value = True, value
        if self._ledger is not None:
            self._ledger.note(called)
        return value

    def interrupt(self, life: Life, called: Called) -> NoReturn:
        """Have Ctrl-C come now."""
        life.interrupted = called.interrupted = True
        raise KeyboardInterrupt

    # Points -----------------------------------------------------------------------------------------------------------

    def hit(self, life: Life, label: str) -> Kind | None:
        """The fault at the point that is reached now."""
        return self.reach(life, life.passes(label), life.current)

    def reach(self, life: Life, point: Point, called: Called | None) -> Kind | None:
        """Note a point, and return the fault that is to be injected there."""
        if self.at_point is not None:
            self.at_point(life, point)
        kind = self.plan.at(point)
        passed = Passed(point, kind, called)
        self.passed.append(passed)
        if kind is not None:
            self.faults_fired += 1
            self.timeline.append(passed)
        return kind

    def wrote(self, instance_id: str, events: Sequence[e.Event]) -> None:
        """Note what was stored."""
        self.timeline.append((instance_id, events))

    def meanwhile(self, kind: Kind) -> None:
        """Have somebody else do something now: cancel, or take over."""
        if kind == "cancel":
            request = e.CancelRequested(request_id=f"{CANCEL}{self.cancelled}", by="the verifier", reason="a test")
            with contextlib.suppress(IllegalTransition, SagaNotFound):
                self.store.post(self.instance_id, request)
                self.cancelled += 1
            return
        # To everybody else the first one is gone: its lease has run out while it could not go on.
        mine = set(self._keeper.drives)
        _running.difference_update(mine)
        try:
            other = self.born()
            self.start(other, self.operations(other))
        except (Crashed, SagaError):
            # It has its own troubles; whoever comes next goes on.
            pass
        except KeyboardInterrupt:
            if not other.interrupted:
                raise
        finally:
            _running.update(mine)

    # Calls of resources -----------------------------------------------------------------------------------------------

    def replayed(self, called: Called) -> Any:
        """What a function would have returned had its caller heard all answers: asked again, of what is recorded.

        Raises:
            NotLanded: it was not through: a call that it would have made had no effect.
        """
        outer, self._replay = self._replay, iter(called.answers)
        try:
            call, mine = called.call, Interception(self, Life(0))
            positional = [rebound(value, mine) for value in call.positional]
            named = {name: rebound(value, mine) for name, value in call.named.items()}
            value = call.function.call(*positional, **named)
            if inspect.isawaitable(value):
                value = self.setting.loop().run_until_complete(as_coroutine(value))
            return value
        finally:
            self._replay = outer

    def land(self) -> list[str]:
        """Have those calls take effect now whose callers were told that they had timed out; return their names."""
        self.is_landing = True
        landed = []
        late, self.late = self.late, []
        for name, call in late:
            try:
                value = call()
                if inspect.isawaitable(value):
                    self.setting.loop().run_until_complete(as_coroutine(value))
            except Exception:  # noqa: BLE001, S112 - the service refuses it, as it well may
                continue
            landed.append(name)
        self.is_landing = False
        return landed

    @property
    def is_replaying(self) -> bool:
        """Whether calls are answered from a recording, and reach nothing."""
        return self._replay is not None

    def recorded(self, name: str) -> Answered | None:
        """What a call is answered from a recording; None: it is not one."""
        if self._replay is None:
            return None
        answered = next(self._replay, None)
        if answered is None or answered.name != name or not (answered.landed or answered.error is not None):
            raise NotLanded
        if answered.error is not None:
            raise answered.error
        return answered


def _forget_traceback(error: BaseException | None) -> None:
    """Nobody reads it unless the run is traced, and putting it into words takes longer than all else in a run."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _never() -> bool:
    return False


def _halfway() -> float:
    return 0.5
