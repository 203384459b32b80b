"""The calls of resources by one simulated process: recorded, and hit by the faults of the plan."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any

import attrs

from sagafsm.verify.schedule import FaultKind
from sagafsm.verify.simulate.calls import SimulatedCalls
from sagafsm.verify.simulate.process import InjectedOutage, InjectedRefusal, Process, ResourceCall, WorldChange
from sagafsm.verify.simulate.world import find_changed_places


@attrs.frozen(eq=False)
class FaultInjector:
    """The `Interceptor` of one process: every call of a resource is a point."""

    calls: SimulatedCalls
    process: Process

    def call(self, name: str, method: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        """See `Interceptor.call`."""
        recorded = self.calls.replay_resource_call(name)
        if recorded is not None:
            return _return_async(recorded.value) if recorded.awaited else recorded.value
        if self._is_outside_run(name):
            return method(*args, **named)
        before = self.calls.take_snapshot()
        resource_call, kind = self._start_call(name, lambda: method(*args, **named))
        try:
            value = method(*args, **named)
        except Exception as error:
            resource_call.error = error
            raise
        if inspect.isawaitable(value):
            return self._finish_async(value, resource_call, kind, before)
        return self._finish_call(value, resource_call, kind, before)

    async def _finish_async(
        self, awaitable: Any, resource_call: ResourceCall, kind: FaultKind | None, before: Any
    ) -> Any:
        resource_call.awaited = True
        try:
            value = await awaitable
        except Exception as error:
            resource_call.error = error
            raise
        return self._finish_call(value, resource_call, kind, before)

    def _is_outside_run(self, name: str) -> bool:
        """Whether no step makes this call: it lands late, or comes from work that a step left behind."""
        if self.calls.is_applying_late_calls:
            return True
        self.process.check_alive()
        if self.process.is_finished or self.process.current is None:
            self.calls.after_end.append((name, _collect_intercepted_callers()))
            return True
        return False

    def _start_call(self, name: str, late_call: Callable[[], Any]) -> tuple[ResourceCall, FaultKind | None]:
        calls, process, step_call = self.calls, self.process, self.process.current
        assert step_call is not None  # noqa: S101 - else the call is outside the run
        resource_call = ResourceCall(name)
        step_call.resource_calls.append(resource_call)
        point = process.number_point(f"{step_call.point.label}/{name}")
        kind = calls.visit_point(process, point, step_call)
        resource = name.partition(".")[0]
        if kind == "down":
            calls.outages.add(resource)
        try:
            calls.inject_before(kind, process, name, late_call)
            if resource in calls.outages:
                raise InjectedOutage(f"{resource} is down (injected)")
        except (InjectedRefusal, InjectedOutage) as error:
            # Definite answers: a replay of the function gives them again.
            resource_call.error = error
            raise
        return resource_call, kind

    def _finish_call(self, value: Any, resource_call: ResourceCall, kind: FaultKind | None, before: Any) -> Any:
        calls, step_call = self.calls, self.process.current
        resource_call.took_effect, resource_call.value = True, value
        if before is not None and step_call is not None:
            changed = find_changed_places(before, calls.world.snapshot())
            calls.changes.append(WorldChange(step_call, resource_call, changed))
        calls.inject_after(kind, self.process, resource_call.name, step_call)
        if kind in ("cancel", "duplicate"):
            calls.simulate_other_client(kind)
        return value


async def _return_async(value: Any) -> Any:
    return value


def _collect_intercepted_callers() -> frozenset[CodeType]:
    """Return the code that this thread runs now."""
    found: list[CodeType] = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        found.append(frame.f_code)
        frame = frame.f_back
    return frozenset(found)
