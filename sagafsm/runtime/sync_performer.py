"""The sync performer: actions on the caller's thread, so that Ctrl-C reaches them; async ones on a background loop."""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Awaitable, Mapping, Sequence
from concurrent.futures import wait
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

import attrs

from sagafsm.clock import Clock
from sagafsm.engine.effects import (
    CallRaised,
    CallReturned,
    CallTimedOut,
    Effect,
    Effects,
    EnterResources,
    PendingCall,
    Reply,
    Sleep,
    StoreCall,
    StoreWrite,
    UserCall,
    WaitAll,
    WaitFirst,
    WaitForSlot,
)
from sagafsm.runtime.resources import EnteredResources, is_factory
from sagafsm.runtime.threads import LateCall, RunningCall, WorkerCall, read_reply, wait_first_of

if TYPE_CHECKING:
    from sagafsm.runtime.loop_thread import LoopThread

T = TypeVar("T")
_LOOP_LOCK = threading.Lock()


@attrs.define(eq=False)
class SyncPerformer:
    """Carries out effects one after the other, blocking the caller."""

    clock: Clock
    _loop: LoopThread | None = attrs.field(default=None, init=False)
    _resources: EnteredResources = attrs.field(factory=EnteredResources, init=False)

    @property
    def loop(self) -> LoopThread:
        """The background loop, for which nobody pays who has no async actions."""
        if self._loop is None:
            from sagafsm.runtime.loop_thread import LoopThread  # noqa: PLC0415 - it takes asyncio

            with _LOOP_LOCK:
                self._loop = self._loop or LoopThread()
        return self._loop

    def perform(self, steps: Effects[T]) -> T:
        """Run the steps to their end and return what they return."""
        try:
            effect = next(steps)
            while True:
                try:
                    reply = self._reply(effect)
                except BaseException as error:  # noqa: BLE001 - thrown into the steps, which release their lease and raise it
                    effect = steps.throw(error)
                else:
                    effect = steps.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result

    def close(self) -> None:
        """Leave the resources and end the background loop."""
        try:
            if self._resources.entered:
                self.loop.wait(self._resources.leave())
        finally:
            if self._loop is not None:
                self._loop.close()

    def _reply(self, effect: Effect) -> Any:
        match effect:
            case StoreCall(call=call):
                return call()
            case StoreWrite(store=store, write=write):
                return write.alone(store)
            case WaitFirst(pending=pending, until=until):
                return self._first(pending, until)
            case WaitAll(pending=pending, interrupted=interrupted):
                return _wait_all(pending, interrupted=interrupted)
            case Sleep(duration=duration):
                return self.clock.sleep(duration)
            case EnterResources(given=given):
                return self._enter(given)
            case _:
                assert_never(effect)

    def _enter(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if not any(is_factory(resource) for resource in given.values()):
            return given
        entered: Mapping[str, Any] = self.loop.wait(self._resources.enter(given))
        return entered

    def _first(
        self, pending: Sequence[PendingCall], until: timedelta | None
    ) -> tuple[PendingCall, Reply | None] | None:
        """The first call that ends. One that is alone runs right here, where Ctrl-C and the caller's context are."""
        only = pending[0]
        if len(pending) == 1 and until is None and only.handle is None:
            reply = self._call(only.call)
            if isinstance(reply, CallTimedOut):
                only.handle = RunningCall.late(reply.late)
            return only, reply
        for call in pending:
            if call.handle is None:
                self._start(call)
            elif call.grace is not None:
                call.handle.give(call.grace)
                call.grace = None
        return wait_first_of(pending, until)

    def _start(self, pending: PendingCall) -> None:
        """Begin a call beside others: on a thread of its own, or on the loop.

        It has its handle before it begins: an interrupt may come at once, and must find all that is begun.
        """
        call = pending.call
        if isinstance(call, WaitForSlot):
            raise TypeError("nothing is queued under the sync driver")
        if call.function.is_async:
            task = self.loop.task()
            pending.handle = RunningCall(task, task.interrupt, task.stop).give(call.timeout)
            self.loop.submit(call.function.call(*call.positional, **call.named), task)
        else:
            worker = WorkerCall(functools.partial(self._value, call))
            pending.handle = RunningCall(worker.future, worker.interrupt).give(call.timeout)
            worker.start()

    def _call(self, call: UserCall | WaitForSlot) -> Reply:
        if isinstance(call, WaitForSlot):
            raise TypeError("nothing is queued under the sync driver")
        if call.timeout is not None:
            return self._call_for(call, call.timeout)
        try:
            return CallReturned(self._value(call))
        except Exception as error:  # noqa: BLE001 - a user's function: whatever it raises is its outcome
            return CallRaised(error)

    def _value(self, call: UserCall) -> Any:
        value = call.function.call(*call.positional, **call.named)
        return self.loop.wait(value) if inspect.isawaitable(value) else value

    def _call_for(self, call: UserCall, timeout: timedelta) -> Reply:
        until = time.monotonic() + timeout.total_seconds()
        function = functools.partial(call.function.call, *call.positional, **call.named)
        if call.function.is_async:
            return self._task_until(function(), until)
        worker = WorkerCall(function)
        try:
            worker.start()
            worker.future.exception(timeout.total_seconds())
        except TimeoutError:
            pass
        except BaseException:
            worker.interrupt()
            raise
        reply = read_reply(worker.future)
        if isinstance(reply, CallReturned) and inspect.isawaitable(reply.value):
            late = time.monotonic() >= until
            return CallTimedOut(LateCall(worker.future)) if late else self._task_until(reply.value, until)
        return reply or CallTimedOut(LateCall(worker.future, worker.interrupt))

    def _task_until(self, awaitable: Awaitable[Any], until: float) -> Reply:
        task = self.loop.task()
        try:
            self.loop.submit(awaitable, task)
            # What it raises is the reply's to raise; only what interrupts this thread is raised here.
            task.exception(max(until - time.monotonic(), 0))
        except TimeoutError:
            task.stop()
            return CallTimedOut(LateCall(task, task.interrupt))
        except BaseException:
            task.interrupt()
            raise
        return read_reply(task) or CallTimedOut(LateCall(task, task.interrupt))


def _wait_all(pending: Sequence[PendingCall], *, interrupted: bool) -> None:
    """Wait until calls have ended of which nobody will hear: what they do must not land after its undo."""
    begun = [call.handle for call in pending if call.handle is not None]
    for running in begun:
        if interrupted:
            running.end()
    # One that is cancelled never began: nobody would ever tell of its end.
    wait([running.future for running in begun if not running.future.cancelled()])
