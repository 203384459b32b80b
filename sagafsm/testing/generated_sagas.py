"""Sagas made from values, over a built-in fake world in which everything has a key: correct by construction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import attrs

from sagafsm.core.context import Context
from sagafsm.core.outcomes import NOT_DONE, Done
from sagafsm.definition.retry import Retry
from sagafsm.definition.validation import InDoubt
from sagafsm.errors import PermanentFailure
from sagafsm.saga import Saga

_FOR_EVER = 1_000_000


@attrs.define(eq=False)
class KeyedWorld:
    """A world of one service, "service", that honours the key it is given.

    The same key is done once, whoever asks how often; what was undone, or promised not to be done, is refused from then
    on, so that a call that lands late leaves nothing.
    """

    done: dict[str, str] = attrs.Factory(dict)
    _refused: dict[str, int] = attrs.Factory(dict)

    def resources(self) -> Mapping[str, Any]:
        """The service."""
        return {"service": self}

    def snapshot(self) -> Any:
        """What is done and not undone, by key."""
        return dict(self.done)

    def do(self, key: str, what: str, attempt: int) -> str:
        """Do something once."""
        if attempt <= self._refused.get(key, 0):
            raise PermanentFailure(f"attempt {attempt} comes too late")
        self.done[key] = what
        return f"{what} done"

    def undo(self, key: str) -> None:
        """Undo it, and have it stay undone."""
        self._refused[key] = _FOR_EVER
        self.done.pop(key, None)

    def ask(self, key: str, attempt: int) -> str | None:
        """What was done under a key; None: it is not done, and will not be by an attempt so far."""
        if key in self.done:
            return f"{self.done[key]} done"
        self._refused[key] = max(attempt, self._refused.get(key, 0))
        return None

    def look(self) -> int:
        """How much is done; this changes nothing."""
        return len(self.done)


@attrs.frozen(repr=False)
class ShortRepr:
    """A repr of what is not as by default, so that a failing example can be read, and pasted."""

    def __repr__(self) -> str:
        fields = [field for field in attrs.fields(type(self)) if field.init]
        given = [f"{f.name}={value!r}" for f in fields if (value := getattr(self, f.name)) != f.default]
        return f"{type(self).__name__}({', '.join(given)})"


@attrs.frozen(kw_only=True, repr=False)
class DrawnStep(ShortRepr):
    """One step: with a compensation unless it is the pivot, `final` (behind it), or has no `effect`.

    `steps`: it is a nested saga of these instead.
    """

    name: str
    in_doubt: InDoubt = "ask"
    attempts: int = 1
    probe: bool = False
    effect: bool = True
    pivot: bool = False
    final: bool = False
    group: str | None = None
    condition: bool = False
    steps: tuple[DrawnStep, ...] = ()


@attrs.frozen(kw_only=True, repr=False)
class DrawnSaga(ShortRepr):
    """A saga, the world that it is correct over, and an input that it completes with."""

    steps: tuple[DrawnStep, ...]
    input: Any = None
    saga: Saga = attrs.field(init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "saga", build_saga("drawn", self.steps))

    @property
    def world(self) -> type[KeyedWorld]:
        """The class of its world: a new one for each run."""
        return KeyedWorld


def build_saga(name: str, steps: tuple[DrawnStep, ...]) -> Saga:
    """The saga of these steps."""
    saga = Saga(name, resources=["service"])
    for step in steps:
        if step.steps:
            saga.add_saga(step.name, build_saga(f"{name}-{step.name}", step.steps), group=step.group)
        elif not step.effect:
            saga.add_step(
                step.name, _look_in_generated_step, effect=False, group=step.group, retry=_make_generated_retry(step)
            )
        else:
            _add_generated_step(saga, step)
    return saga


def _add_generated_step(saga: Saga, step: DrawnStep) -> None:
    when: Callable[..., bool] | None = _allows_generated_step if step.condition else None
    saga.add_step(
        step.name,
        _do_generated_step,
        None if step.pivot or step.final else _undo,
        probe=_ask if step.probe else None,
        in_doubt=step.in_doubt,
        retry=_make_generated_retry(step),
        pivot=step.pivot,
        group=step.group,
        when=when,
    )


def _make_generated_retry(step: DrawnStep) -> Retry:
    # A nested saga's keys depend on when it is created: with no time in between, on nothing that went wrong before.
    return Retry(step.attempts, backoff=timedelta(0), jitter=False)


def _do_generated_step(ctx: Context, service: KeyedWorld) -> str:
    return service.do(ctx.idempotency_key, ctx.step, ctx.attempt)


def _undo(ctx: Context, service: KeyedWorld) -> None:
    service.undo(ctx.action_key)


def _ask(ctx: Context, service: KeyedWorld) -> Any:
    found = service.ask(ctx.action_key, ctx.attempt)
    return NOT_DONE if found is None else Done(found)


def _look_in_generated_step(service: KeyedWorld) -> int:
    return service.look()


def _allows_generated_step(input: Any) -> bool:
    return bool(input != "nothing at all")
