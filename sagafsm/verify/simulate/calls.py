"""The calls of one run: the points that they reach, the faults injected there, and what each call did."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any

import attrs

from sagafsm.engine.effects import CallRaised, CallReturned, Reply, UserCall
from sagafsm.history.events import Event
from sagafsm.verify.schedule import FaultKind, FaultPoint, build_path
from sagafsm.verify.simulate.effect_ledger import EffectLedger
from sagafsm.verify.simulate.process import (
    ENDS_OF_PROCESS,
    FaultPlan,
    InjectedRefusal,
    InjectedTimeout,
    Process,
    ResourceCall,
    StepCall,
    VisitedPoint,
    WorldChange,
)
from sagafsm.verify.simulate.resource_proxies import Interceptor, rebind_resource
from sagafsm.verify.simulate.world import find_changed_places, is_overlapping


class NoRecordedEffect(BaseException):
    """A replayed function makes a call that took no effect. No `Exception`: the function must not handle it."""


@attrs.define(eq=False)
class SimulatedCalls:
    """The calls of one run, over all its processes: calls of the saga's functions, of resources and of the store.

    `simulate_other_client` cancels the instance, or lets a second worker take it over. `traces`: compare the world
    before and after each call. This is slow, and only explanations need it.
    """

    world: Any
    plan: FaultPlan
    run_awaitable: Callable[[Any], Any]
    simulate_other_client: Callable[[FaultKind], None]
    traces: bool = False
    on_point: Callable[[Process, FaultPoint], None] | None = attrs.field(default=None, init=False)
    visited_points: list[VisitedPoint] = attrs.field(factory=list, init=False)
    # Appends, by instance, and the faults between them.
    timeline: list[VisitedPoint | tuple[str, Sequence[Event]]] = attrs.field(factory=list, init=False)
    faults_fired: int = attrs.field(default=0, init=False)
    step_calls: list[StepCall] = attrs.field(factory=list, init=False)
    changes: list[WorldChange] = attrs.field(factory=list, init=False)
    # Steps that changed the world otherwise than by calls of resources, each with a place that changed.
    unintercepted: list[tuple[str, str]] = attrs.field(factory=list, init=False)
    outages: set[str] = attrs.field(factory=set, init=False)
    late_calls: list[tuple[str, Callable[[], Any]]] = attrs.field(factory=list, init=False)
    is_applying_late_calls: bool = attrs.field(default=False, init=False)
    swallowed_interrupts: list[StepCall] = attrs.field(factory=list, init=False)
    # Resources that were called while no step ran, each with the code that called.
    after_end: list[tuple[str, frozenset[CodeType]]] = attrs.field(factory=list, init=False)
    _recorded_calls: Iterator[ResourceCall] | None = attrs.field(default=None, init=False)
    _ledger: EffectLedger | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ledger = self.world if isinstance(self.world, EffectLedger) else None

    @property
    def last_step(self) -> str:
        """The step that was called last, by its path; "" before the first call."""
        return self.step_calls[-1].path if self.step_calls else ""

    def select_step_calls(self, path: str, role: str) -> list[StepCall]:
        """Return the calls of a step's action, compensation or probe, in order."""
        return [call for call in self.step_calls if call.path == path and call.role == role]

    # Points and faults ------------------------------------------------------------------------------------------------

    def visit_label(self, process: Process, label: str) -> FaultKind | None:
        """Record that a process reaches a label again, and return the fault to inject there."""
        return self.visit_point(process, process.number_point(label), process.current)

    def visit_point(self, process: Process, point: FaultPoint, step_call: StepCall | None) -> FaultKind | None:
        """Record that a process reaches a point, and return the fault to inject there."""
        if self.on_point is not None:
            self.on_point(process, point)
        kind = self.plan.at(point)
        visited = VisitedPoint(point, kind, step_call)
        self.visited_points.append(visited)
        if kind is not None:
            self.faults_fired += 1
            self.timeline.append(visited)
        return kind

    def inject_before(self, kind: FaultKind | None, process: Process, name: str, call: Callable[[], Any]) -> None:
        """Inject a fault that keeps a call from taking effect now; a late call is kept for the end of the run."""
        match kind:
            case "raise_before":
                raise InjectedRefusal(f"{name} was refused (injected)")
            case "crash":
                process.die()
            case "late":
                self.late_calls.append((name, call))
                raise InjectedTimeout(f"{name} timed out (injected)")

    def inject_after(self, kind: FaultKind | None, process: Process, name: str, step_call: StepCall | None) -> None:
        """Inject a fault that hides from the caller that a call took effect."""
        match kind:
            case "raise_after":
                raise InjectedTimeout(f"{name} timed out (injected)")
            case "crash_after":
                process.die()
            case "interrupt" if step_call is not None:
                process.interrupted = step_call.interrupted = True
                raise KeyboardInterrupt

    # Calls of the saga's functions ------------------------------------------------------------------------------------

    def run_step_call(self, process: Process, call: UserCall) -> Reply:
        """Call a function of the saga, with the fault of its point, and return its outcome."""
        label = f"{build_path(call.instance_id, call.run.step)}.{call.function.role}"
        point = process.number_point(label)
        step_call = StepCall(point, call)
        kind = self.visit_point(process, point, step_call)
        self.step_calls.append(step_call)
        outer, process.current = process.current, step_call
        try:
            reply: Reply = CallReturned(self._call_with_fault(process, step_call, kind))
        except Exception as error:  # noqa: BLE001 - a user's function: whatever it raises is its outcome
            if not self.traces:
                _forget_traceback(error)
            reply = CallRaised(error)
        finally:
            process.current = outer
        process.check_alive()
        if step_call.interrupted:
            self.swallowed_interrupts.append(step_call)
        return reply

    def _call_with_fault(self, process: Process, step_call: StepCall, kind: FaultKind | None) -> Any:
        label = step_call.point.label
        self.inject_before(kind, process, label, lambda: self._call_function(step_call))
        if kind in ("cancel", "duplicate"):
            self.simulate_other_client(kind)
        value = self._call_function(step_call)
        self.inject_after(kind, process, label, step_call)
        return self._call_function(step_call) if kind == "twice" else value

    def _call_function(self, step_call: StepCall) -> Any:
        call, before = step_call.call, self.take_snapshot()
        value = self._run_if_awaitable(call.function.call(*call.positional, **call.named))
        step_call.returned, step_call.value = True, value
        if before is not None:
            self._note_unintercepted(step_call, before)
        if self._ledger is not None:
            self._ledger.note(step_call)
        return value

    def _run_if_awaitable(self, value: Any) -> Any:
        return self.run_awaitable(value) if inspect.isawaitable(value) else value

    def take_snapshot(self) -> Any:
        """Return a copy of the world's snapshot; None unless calls are traced. A ledger is not compared."""
        return copy.deepcopy(self.world.snapshot()) if self.traces and self._ledger is None else None

    def _note_unintercepted(self, step_call: StepCall, before: Any) -> None:
        known = [place for change in self.changes if change.step_call is step_call for place in change.places]
        changed = find_changed_places(before, self.world.snapshot())
        unseen = sorted(place for place in changed if not any(is_overlapping(place, each) for each in known))
        if unseen:
            self.unintercepted.append((step_call.path, unseen[0]))

    # Late calls and replays -------------------------------------------------------------------------------------------

    def apply_late_calls(self) -> list[str]:
        """Make the calls whose callers were told of a timeout take effect now; return the names of those that do."""
        self.is_applying_late_calls = True
        late_calls, self.late_calls = self.late_calls, []
        applied = []
        for name, call in late_calls:
            # The service may refuse a late call.
            with contextlib.suppress(Exception, *ENDS_OF_PROCESS):
                self._run_if_awaitable(call())
                applied.append(name)
        self.is_applying_late_calls = False
        return applied

    def replay(self, step_call: StepCall, interceptor: Interceptor) -> Any:
        """Call a function again, and answer its calls of resources from the recording: nothing reaches the world.

        Returns the result that the function would have had if every answer had reached it. `interceptor` takes the
        place of the one that its resources had: that may belong to a dead process, or to another run.

        Raises:
            NoRecordedEffect: the function makes a call that took no effect, so its action is not done.
        """
        outer, self._recorded_calls = self._recorded_calls, iter(step_call.resource_calls)
        try:
            call = step_call.call
            positional = [rebind_resource(value, interceptor) for value in call.positional]
            named = {name: rebind_resource(value, interceptor) for name, value in call.named.items()}
            return self._run_if_awaitable(call.function.call(*positional, **named))
        finally:
            self._recorded_calls = outer

    def replay_resource_call(self, name: str) -> ResourceCall | None:
        """Return the recorded call that answers a call of `name`, or raise its error; None: this is no replay."""
        if self._recorded_calls is None:
            return None
        recorded = next(self._recorded_calls, None)
        if recorded is None or recorded.name != name or not (recorded.took_effect or recorded.error is not None):
            raise NoRecordedEffect
        if recorded.error is not None:
            raise recorded.error
        return recorded


def _forget_traceback(error: BaseException | None) -> None:
    """Drop the tracebacks of an error: only a traced run shows them, and formatting them takes most of a run's time."""
    seen: set[int] = set()
    # An error may be its own cause.
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
