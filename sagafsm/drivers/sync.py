"""The sync performer: actions on the caller's thread, so that Ctrl-C reaches them; async ones on a background loop."""

from __future__ import annotations

import contextlib
import functools
import inspect
import time
from collections.abc import Awaitable, Mapping
from concurrent.futures import CancelledError, Future
from datetime import timedelta
from typing import Any, TypeVar, assert_never

import attrs

from sagafsm.clock import Clock
from sagafsm.drivers.effects import (
    Answer,
    AwaitLate,
    Effect,
    Enter,
    Refusal,
    Reply,
    Silence,
    Sleep,
    Steps,
    StoreCall,
    UserCall,
    Write,
)
from sagafsm.drivers.resources import Resources, is_factory
from sagafsm.drivers.workers import LateCall, LoopThread, TaskCall, WorkerCall, reply_of

T = TypeVar("T")


@attrs.define(eq=False)
class SyncPerformer:
    """Carries out effects one after the other, blocking the caller."""

    clock: Clock
    loop: LoopThread = attrs.field(factory=LoopThread, init=False)
    _resources: Resources = attrs.field(factory=Resources, init=False)

    def perform(self, steps: Steps[T]) -> T:
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
            self.loop.close()

    def _reply(self, effect: Effect) -> Any:
        match effect:
            case StoreCall(call=call):
                return call()
            case Write(store=store, write=write):
                return write.alone(store)
            case UserCall():
                return self._call(effect)
            case Sleep(duration=duration):
                return self.clock.sleep(duration)
            case AwaitLate(late=late, grace=grace):
                return _await_late(late, grace)
            case Enter(given=given):
                return self._enter(given)
            case _:
                assert_never(effect)

    def _enter(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if not any(is_factory(resource) for resource in given.values()):
            return given
        entered: Mapping[str, Any] = self.loop.wait(self._resources.enter(given))
        return entered

    def _call(self, call: UserCall) -> Reply:
        if call.timeout is not None:
            return self._call_for(call, call.timeout)
        try:
            return Answer(self._value(call))
        except Exception as error:  # noqa: BLE001 - a user's function: whatever it raises is its outcome
            return Refusal(error)

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
        reply = reply_of(worker.future)
        if isinstance(reply, Answer) and inspect.isawaitable(reply.value):
            late = time.monotonic() >= until
            return Silence(LateCall(worker.future)) if late else self._task_until(reply.value, until)
        return reply or Silence(LateCall(worker.future, worker.interrupt))

    def _task_until(self, awaitable: Awaitable[Any], until: float) -> Reply:
        task = TaskCall()
        try:
            self.loop.submit(awaitable, task)
            # What it raises is the reply's to raise; only what interrupts this thread is raised here.
            task.exception(max(until - time.monotonic(), 0))
        except TimeoutError:
            task.stop()
            return Silence(LateCall(task, task.interrupt))
        except BaseException:
            task.interrupt()
            raise
        return reply_of(task) or Silence(LateCall(task, task.interrupt))


def _await_late(late: Any, grace: timedelta) -> Answer | Refusal | None:
    call: LateCall = late
    future: Future[Any] = late.future
    try:
        with contextlib.suppress(TimeoutError, CancelledError):
            future.exception(grace.total_seconds())
    except BaseException:
        if call.interrupt is not None:
            call.interrupt()
        raise
    return call.answer()
