"""The sync performer: actions on the caller's thread, so that Ctrl-C reaches them; async ones on a background loop."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Mapping
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
)
from sagafsm.drivers.resources import Resources, is_factory
from sagafsm.drivers.workers import LateCall, LoopThread, WorkerCall, reply_of

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
        if call.function.is_async:
            return self._task_for(call, timeout)
        worker = WorkerCall(functools.partial(self._value, call))
        try:
            worker.start()
            worker.future.exception(timeout.total_seconds())
        except TimeoutError:
            pass
        except BaseException:
            worker.interrupt()
            raise
        return reply_of(worker.future) or Silence(LateCall(worker.future))

    def _task_for(self, call: UserCall, timeout: timedelta) -> Reply:
        future = Future[Any]()
        try:
            self.loop.submit(call.function.call(*call.positional, **call.named), future)
            future.exception(timeout.total_seconds())
        except TimeoutError:
            self.loop.cancel(future)
            return Silence(LateCall(future))
        except BaseException:
            self.loop.cancel(future, wait=True)
            raise
        return reply_of(future) or Silence(LateCall(future))


def _await_late(late: Any, grace: timedelta) -> Answer | Refusal | None:
    future: Future[Any] = late.future
    with contextlib.suppress(TimeoutError, CancelledError):
        future.exception(grace.total_seconds())
    return reply_of(future)
