"""A saga with steps that go wrong on purpose: its functions wrapped, with the faults of verification."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Awaitable, Mapping
from typing import Any, Literal, get_args

import attrs

from sagafsm.definition.definition import Definition, HasDefinition, StepDefinition
from sagafsm.definition.functions import Function
from sagafsm.errors import RequestError, format_list
from sagafsm.history.events import StepOutline
from sagafsm.verify.schedule import FAULT_LABELS
from sagafsm.verify.simulate.process import Crashed, InjectedRefusal, InjectedTimeout

BreakKind = Literal["raise_before", "raise_after", "crash", "crash_after"]
BREAK_KINDS: tuple[BreakKind, ...] = get_args(BreakKind)
BreakTarget = Literal["action", "compensation"]
_AFTER = ("raise_after", "crash_after")


@attrs.define(eq=False)
class Break:
    """What goes wrong when a step's action or compensation is called; `times` None: always.

    "raise_before": it is refused, and did nothing. "raise_after": it is done, but times out. "crash" and "crash_after":
    the process dies before it, or after it was done.
    """

    kind: BreakKind
    times: int | None = 1
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        if self.kind not in BREAK_KINDS:
            raise RequestError(f"a step breaks by one of {format_list(BREAK_KINDS)}, not {self.kind!r}")
        if self.times is not None and (
            isinstance(self.times, bool) or not isinstance(self.times, int) or self.times < 1
        ):
            raise RequestError(f"a step breaks 1 or more times, or always (None), not {self.times!r}")

    def __str__(self) -> str:
        often = {None: "always", 1: "once"}.get(self.times, f"{self.times} times")
        return f"{FAULT_LABELS[self.kind]}, {often}"

    @property
    def is_spent(self) -> bool:
        """Whether it breaks no call any more."""
        return self.times == 0

    def spend(self) -> bool:
        """Whether this call breaks; counts it."""
        with self._lock:
            if self.times == 0:
                return False
            if self.times is not None:
                self.times -= 1
            return True


def check_breakable(outline: StepOutline, step: str, target: BreakTarget) -> None:
    """Refuse to break what is never called.

    Raises:
        RequestError: the step has no such function of its own.
    """
    if target not in get_args(BreakTarget):
        raise RequestError(f"what breaks is an 'action' or a 'compensation', not {target!r}")
    if outline.kind != "step":
        raise RequestError(f"step {step!r} has no function of its own, being a {outline.kind}, so nothing breaks there")
    if target == "compensation" and not outline.compensation:
        raise RequestError(f"step {step!r} has no compensation of its own, so nothing breaks there")


@attrs.frozen(eq=False)
class BrokenSaga:
    """A saga of which some functions break. `breaks` may change: each call looks at it anew.

    Its keys are a step, by its path ("child/charge" in a nested saga), and what of it breaks. In all else it is the
    saga, so that its instances go on under it, and later without it.
    """

    saga: HasDefinition
    breaks: Mapping[tuple[str, BreakTarget], Break]

    @property
    def definition(self) -> Definition:
        """The saga's present definition, its functions wrapped."""
        return _wrap_faulty_definition(self.saga.definition, self.breaks, "")


def _wrap_faulty_definition(
    definition: Definition, breaks: Mapping[tuple[str, BreakTarget], Break], prefix: str
) -> Definition:
    steps = tuple(_wrap_faulty_step(step, breaks, prefix) for step in definition.steps)
    return attrs.evolve(definition, steps=steps)


def _wrap_faulty_step(
    step: StepDefinition, breaks: Mapping[tuple[str, BreakTarget], Break], prefix: str
) -> StepDefinition:
    path = prefix + step.name
    if step.child is not None:
        return attrs.evolve(step, child=_wrap_faulty_definition(step.child, breaks, f"{path}/"))
    return attrs.evolve(
        step,
        action=_wrap_faulty_function(step.action, breaks, (path, "action")),
        compensation=_wrap_faulty_function(step.compensation, breaks, (path, "compensation")),
    )


def _wrap_faulty_function(
    function: Function | None, breaks: Mapping[tuple[str, BreakTarget], Break], key: tuple[str, BreakTarget]
) -> Function | None:
    """The function, broken as `breaks` says at each call; None as it is."""
    if function is None:
        return None
    call = function.call
    if function.is_async:

        @functools.wraps(call)
        async def broken_async(*args: Any, **named: Any) -> Any:
            fault = _take_break(breaks, key)
            _fail_before(fault, key)
            value = await call(*args, **named)
            return _fail_after(fault, key, value)

        return attrs.evolve(function, call=broken_async)

    @functools.wraps(call)
    def broken(*args: Any, **named: Any) -> Any:
        fault = _take_break(breaks, key)
        _fail_before(fault, key)
        value = call(*args, **named)
        return _fail_after_await(fault, key, value) if inspect.isawaitable(value) else _fail_after(fault, key, value)

    return attrs.evolve(function, call=broken)


def _take_break(breaks: Mapping[tuple[str, BreakTarget], Break], key: tuple[str, BreakTarget]) -> Break | None:
    found = breaks.get(key)
    return found if found is not None and found.spend() else None


def _fail_before(fault: Break | None, key: tuple[str, BreakTarget]) -> None:
    if fault is None or fault.kind in _AFTER:
        return
    if fault.kind == "crash":
        raise Crashed
    raise InjectedRefusal(f"{_describe_target(key)} was refused (injected)")


async def _fail_after_await(fault: Break | None, key: tuple[str, BreakTarget], value: Awaitable[Any]) -> Any:
    return _fail_after(fault, key, await value)


def _fail_after(fault: Break | None, key: tuple[str, BreakTarget], value: Any) -> Any:
    if fault is None or fault.kind not in _AFTER:
        return value
    if fault.kind == "crash_after":
        raise Crashed
    raise InjectedTimeout(f"{_describe_target(key)} timed out (injected)")


def _describe_target(key: tuple[str, BreakTarget]) -> str:
    path, target = key
    return f"the {target} of step {path!r}"
