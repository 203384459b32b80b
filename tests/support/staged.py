"""The sagas of plans, made once each: whose services a call reaches is said before each life."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

import attrs

from sagafsm import Context, Retry, Saga
from support.plans import Plan, SagaPlan
from support.reality import BACKOFF, Reality


@attrs.define(eq=False)
class Stage:
    """Where a saga's calls go: to the world of the life that is being lived."""

    world: Reality | None = None

    def act(self, ctx: Context, input: Any) -> Any:
        return self.world.act(ctx, input)

    def undo(self, ctx: Context, result: Any) -> None:
        self.world.undo(ctx, result)

    def ask(self, ctx: Context) -> Any:
        return self.world.ask(ctx)

    def when(self, ctx: Context) -> bool:
        return self.world.when(ctx)

    def input(self, ctx: Context) -> Any:
        return self.world.input(ctx)

    async def act_async(self, ctx: Context, input: Any) -> Any:
        return self.world.act(ctx, input)

    async def undo_async(self, ctx: Context, result: Any) -> None:
        self.world.undo(ctx, result)

    async def ask_async(self, ctx: Context) -> Any:
        return self.world.ask(ctx)


@functools.lru_cache(maxsize=8)
def staged(plan: SagaPlan, *, is_async: bool) -> tuple[Stage, Saga]:
    """The saga of a plan, by plain or by async functions, and its stage."""
    stage = Stage()
    return stage, _saga_of(plan, stage, is_async=is_async)


def _saga_of(plan: SagaPlan, stage: Stage, *, is_async: bool) -> Saga:
    saga = Saga(f"tree {plan.path}".strip().replace("/", " "))
    for step in plan.steps:
        when = None if step.when is None else stage.when
        if step.signal is not None:
            saga.wait_for(step.name, timeout=None if step.timeout is None else timedelta(seconds=step.timeout))
        elif step.child is not None:
            child = _saga_of(step.child, stage, is_async=is_async)
            computed = stage.input if step.computed else None
            saga.add_saga(step.name, child, input=computed, group=step.group, when=when)
        else:
            _add_leaf(saga, step, stage, when, is_async=is_async)
    for group, limit in plan.limits:
        saga.group(group, max_concurrency=limit)
    return saga


def _add_leaf(saga: Saga, step: Plan, stage: Stage, when: Any, *, is_async: bool) -> None:
    undo = stage.undo_async if is_async else stage.undo
    ask = stage.ask_async if is_async else stage.ask
    saga.add_step(
        step.name,
        stage.act_async if is_async else stage.act,
        undo if step.compensation else None,
        probe=None if step.probe is None else ask,
        retry=Retry(step.attempts, backoff=BACKOFF, factor=1, jitter=False),
        compensation_retry=Retry(2, backoff=BACKOFF, factor=1, jitter=False),
        in_doubt=step.in_doubt,
        effect=step.effect,
        pivot=step.pivot,
        group=step.group,
        when=when,
    )
