"""Services that do what a script says and remember what they were asked; sagas made of them."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs

from sagafsm import IN_DOUBT, NOT_DONE, Context, Done, OutcomeUnknown, PermanentFailure, Retry, Saga

STEADY = Retry(3, backoff=timedelta(seconds=10), factor=1, jitter=False)


class Refused(Exception):
    """What a service says when it did not do it."""


@attrs.define(eq=False)
class Service:
    """Answers calls by script: `script["a"]`, `script["undo a"]`, `script["probe a"]` name what each next one does.

    "ok" (and what comes after the script): it is done. "fail", "permanent": refused. "unknown": not done, and nobody
    knows; "lost": done, and nobody knows. "die before", "die after": the process dies before or after the effect.
    "set": the result cannot be stored. A probe also: "done", "not done", "doubt". A function is called, then it is ok.

    `effects` are those that exist, by the action's key, in order; each call with its key, result and doubt stands in
    `calls`. It is idempotent by key, as long as the key is the same.
    """

    script: dict[str, list[Any]] = attrs.field(factory=dict, converter=copy.deepcopy)
    calls: list[str] = attrs.Factory(list)
    keys: dict[str, set[str]] = attrs.Factory(dict)
    effects: dict[str, str] = attrs.Factory(dict)
    die: Callable[[], None] = attrs.field(default=lambda: None)

    def _next(self, call: str, ctx: Context, detail: str = "") -> Any:
        self.calls.append(f"{call} {ctx.attempt}{detail}{' in doubt' if ctx.in_doubt else ''}")
        self.keys.setdefault(call, set()).add(ctx.idempotency_key)
        plan = self.script.get(call, [])
        return plan.pop(0) if plan else "ok"

    def do(self, ctx: Context) -> Any:
        told = self._next(ctx.step, ctx)
        return self._perform(told, lambda: self.effects.update({ctx.idempotency_key: ctx.step}), f"{ctx.step}!")

    def undo(self, ctx: Context, result: Any) -> None:
        told = self._next(f"undo {ctx.step}", ctx, f" of {result}")
        self._perform(told, lambda: self.effects.pop(ctx.action_key, None), None)

    def probe(self, ctx: Context) -> Any:
        told = self._next(f"probe {ctx.step}", ctx)
        match told:
            case "done":
                return Done(f"{ctx.step}?")
            case "not done":
                return NOT_DONE
            case "doubt":
                return IN_DOUBT
            case "ok":
                return Done(f"{ctx.step}?") if ctx.action_key in self.effects else NOT_DONE
        return self._perform(told, lambda: None, IN_DOUBT)

    def _perform(self, told: Any, effect: Callable[[], Any], result: Any) -> Any:
        match told:
            case "die before":
                self.die()
            case "fail":
                raise Refused("refused")
            case "permanent":
                raise PermanentFailure("never")
            case "unknown":
                raise OutcomeUnknown("no answer")
        if callable(told):
            told()
        effect()
        if told == "die after":
            self.die()
        if told == "lost":
            raise OutcomeUnknown("no answer")
        return {"not JSON"} if told == "set" else result

    def check_keys(self) -> None:
        """Every step and direction has one key, the same over all calls, and shares it with no other."""
        told = {call: keys for call, keys in self.keys.items() if not call.startswith("probe ")}
        assert all(len(keys) == 1 for keys in told.values())
        assert len(set().union(*told.values())) == len(told)
        for call in self.keys.keys() - told.keys():
            assert self.keys[call] == self.keys.get(call.removeprefix("probe "), self.keys[call])


def add(
    saga: Saga,
    service: Service,
    name: str,
    *,
    probe: bool = False,
    undo: bool = True,
    is_async: bool = False,
    after: Callable[[], Any] | None = None,
    **options: Any,
) -> None:
    """Define a step of `saga` that asks the service, by plain or by async functions; `after` is waited for first."""

    def action(ctx: Context) -> Any:
        if after is not None:
            after()
        return service.do(ctx)

    def compensation(ctx: Context, result: Any) -> None:
        service.undo(ctx, result)

    def ask(ctx: Context) -> Any:
        return service.probe(ctx)

    async def action_async(ctx: Context) -> Any:
        if after is not None:
            await asyncio.to_thread(after)
        return service.do(ctx)

    async def compensation_async(ctx: Context, result: Any) -> None:
        service.undo(ctx, result)

    async def ask_async(ctx: Context) -> Any:
        return service.probe(ctx)

    functions = (action_async, compensation_async, ask_async) if is_async else (action, compensation, ask)
    saga.add_step(
        name,
        functions[0],
        functions[1] if undo and not options.get("pivot") else None,
        probe=functions[2] if probe else None,
        **options,
    )


def saga_of(service: Service, /, name: str = "order", is_async: bool = False, **steps: dict[str, Any]) -> Saga:
    """A saga of these steps, each with its options."""
    saga = Saga(name)
    for step, options in steps.items():
        add(saga, service, step, is_async=is_async, **options)
    return saga
