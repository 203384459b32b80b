"""What stands between one incarnation and the world: every call of a resource comes by here, and can be hit."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

import attrs

from sagafsm.verify.life import Answered, Change, Life, Refused, TimedOut, Unreachable
from sagafsm.verify.schedule import Kind
from sagafsm.verify.world import places

if TYPE_CHECKING:
    from sagafsm.verify.simulation import Simulation


@attrs.frozen(eq=False)
class Interception:
    """Stands between one incarnation and the world."""

    run: Simulation
    life: Life

    def call(self, name: str, method: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        """See `Interceptor.call`."""
        run = self.run
        recorded = run.recorded(name)
        if recorded is not None:
            return _ready(recorded.value) if recorded.awaited else recorded.value
        if self._passes_by(name):
            return method(*args, **named)
        before = self._look()
        answered, kind = self._before(name, lambda: method(*args, **named))
        try:
            value = method(*args, **named)
        except Exception as error:
            answered.error = error
            raise
        if inspect.isawaitable(value):
            return self._awaited(value, answered, kind, before)
        return self._after(value, answered, kind, before)

    async def call_async(
        self, name: str, method: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]
    ) -> Any:
        """See `Interceptor.call_async`."""
        recorded = self.run.recorded(name)
        if recorded is not None:
            return recorded.value
        if self._passes_by(name):
            return await method(*args, **named)
        before = self._look()
        answered, kind = self._before(name, lambda: method(*args, **named))
        return await self._awaited(method(*args, **named), answered, kind, before)

    async def _awaited(self, awaitable: Any, answered: Answered, kind: Kind | None, before: Any) -> Any:
        answered.awaited = True
        try:
            value = await awaitable
        except Exception as error:
            answered.error = error
            raise
        return self._after(value, answered, kind, before)

    def _passes_by(self, name: str) -> bool:
        """Whether a call is none of the run's any more."""
        if self.run.is_landing:
            return True
        self.life.breathe()
        if self.life.over or self.life.current is None:
            self.run.after_end.append((name, _callers()))
            return True
        return False

    def _before(self, name: str, later: Callable[[], Any]) -> tuple[Answered, Kind | None]:
        run, life, called = self.run, self.life, self.life.current
        assert called is not None  # noqa: S101 - `_passes_by` has seen to it
        answered = Answered(name)
        called.answers.append(answered)
        point = life.passes(f"{called.point.label}/{name}")
        kind = run.reach(life, point, called)
        resource = name.partition(".")[0]
        match kind:
            case "raise_before":
                # A definite answer: whoever asks again what became of the function hears it again.
                answered.error = Refused(f"{name} was refused (injected)")
                raise answered.error
            case "down":
                run.outages.add(resource)
            case "crash":
                life.die()
            case "late":
                run.late.append((name, later))
                raise TimedOut(f"{name} timed out (injected)")
        if resource in run.outages:
            answered.error = Unreachable(f"{resource} is down (injected)")
            raise answered.error
        return answered, kind

    def _after(self, value: Any, answered: Answered, kind: Kind | None, before: Any) -> Any:
        run, life = self.run, self.life
        answered.landed, answered.value = True, value
        called = life.current
        if before is not None and called is not None:
            changed = places(before, run.world.snapshot())
            run.changes.append(Change(called, answered, changed))
        match kind:
            case None:
                pass
            case "raise_after":
                raise TimedOut(f"{answered.name} timed out (injected)")
            case "crash_after":
                life.die()
            case "interrupt" if called is not None:
                run.interrupt(life, called)
            case "cancel" | "duplicate":
                run.meanwhile(kind)
        return value

    def _look(self) -> Any:
        if not self.run.traces:
            return None
        return copy.deepcopy(self.run.world.snapshot())


async def _ready(value: Any) -> Any:
    return value


def _callers() -> frozenset[CodeType]:
    """The code that is being run by this thread."""
    found: list[CodeType] = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        found.append(frame.f_code)
        frame = frame.f_back
    return frozenset(found)
