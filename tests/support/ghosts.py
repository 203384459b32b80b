"""Random sagas over a world that knows the truth: what really happened, whatever anybody recorded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
from hypothesis import strategies as st

from sagafsm import IN_DOUBT, NOT_DONE, Context, Done, OutcomeUnknown, PermanentFailure, Retry, Saga
from sagafsm.history import events as e
from sagafsm.store import Store
from support.services import Refused

ANSWERS = ("ok", "fail", "permanent", "unknown", "lost", "set")
POLICIES: tuple[Any, ...] = ("ask", "retry", "compensate", ("retry", "compensate"))


@attrs.frozen(kw_only=True)
class StepPlan:
    """A step, and what its service answers to each recorded call: afterwards "ok", and the probe tells the truth."""

    name: str
    action: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    probe: tuple[str, ...] | None = None
    in_doubt: Any = "ask"
    attempts: int = 1
    effect: bool = True
    compensation: bool = True
    pivot: bool = False


@attrs.frozen
class CrashAt:
    """Where a process dies: at its n-th commit ("commit"), or in its n-th call of a user's function ("call")."""

    where: str
    n: int
    after: bool


@attrs.define(eq=False)
class World:
    """The services of one instance: what is done there, by key, and every call that reached them.

    An answer goes by what is recorded of the step, not by how often it was called: asked again after a crash, a
    service says the same again, as one that is idempotent by key does. It is truthful: what it has done under a key
    it never says was not done.
    """

    store: Store
    id: str
    plans: dict[str, StepPlan]
    done: dict[str, str] = attrs.Factory(dict)
    keys: dict[str, str] = attrs.Factory(dict)
    calls: list[tuple[str, str]] = attrs.Factory(list)
    breaches: list[str] = attrs.Factory(list)
    cancelled_at: int | None = None
    before_call: Callable[[], None] = lambda: None
    after_call: Callable[[], None] = lambda: None

    def holds(self, step: str) -> bool:
        """Whether the step's effect is in the world."""
        return step in self.done.values()

    def _enter(self, kind: str, ctx: Context) -> tuple[e.Event, ...]:
        self.calls.append((kind, ctx.step))
        key = self.keys.setdefault(f"{kind} {ctx.step}", ctx.idempotency_key)
        self._require(key == ctx.idempotency_key, f"{kind} of {ctx.step} got another key")
        history = self.store.history(self.id)
        self._check(kind, ctx, history)
        if len(self.calls) == self.cancelled_at:
            self.store.post(self.id, e.CancelRequested(request_id="r-1", by="me", reason="no"))
        self.before_call()
        return history

    def _check(self, kind: str, ctx: Context, history: tuple[e.Event, ...]) -> None:
        last = {"action": e.StepStarted, "undo": e.CompensationStarted, "probe": e.StepInDoubt}[kind]
        latest = [event for event in history if not isinstance(event, e.CancelRequested | e.CauseRecorded)][-1]
        self._require(isinstance(latest, last) and latest.step == ctx.step, f"{kind} of {ctx.step} follows {latest}")
        cause = any(isinstance(event, e.CauseRecorded) for event in history)
        self._require(kind != "action" or not cause, f"action of {ctx.step} is called after a cause")
        self._require(kind != "undo" or cause, f"{ctx.step} is undone without a cause")

    def _require(self, holds: bool, breach: str) -> None:
        if not holds:
            self.breaches.append(breach)

    def act(self, ctx: Context) -> Any:
        plan = self.plans[ctx.step]
        settled = (e.StepSucceeded, e.StepFailed, e.StepInDoubt, e.ResultRefused)
        recorded = [
            event
            for event in self._enter("action", ctx)
            if isinstance(event, settled) and event.step == ctx.step and _is_answer(event)
        ]
        told = plan.action[len(recorded)] if len(recorded) < len(plan.action) else "ok"
        if ctx.idempotency_key in self.done and told in ("permanent", "unknown"):
            told = "ok" if told == "permanent" else "lost"
        if plan.effect and told in ("ok", "lost", "set"):
            self.done[ctx.idempotency_key] = ctx.step
        self.after_call()
        return _answered(told, f"{ctx.step}!")

    def undo(self, ctx: Context) -> None:
        plan = self.plans[ctx.step]
        history = self._enter("undo", ctx)
        recorded = [event for event in history if isinstance(event, e.CompensationFailed) and event.step == ctx.step]
        told = plan.undo[len(recorded)] if len(recorded) < len(plan.undo) else "ok"
        if told in ("ok", "lost"):
            self.done.pop(ctx.action_key, None)
        self.after_call()
        _answered(told, None)

    def ask(self, ctx: Context) -> Any:
        plan = self.plans[ctx.step]
        history = self._enter("probe", ctx)
        asked = [event for event in history if isinstance(event, e.StepInDoubt) and event.reason == "probe"]
        told = (plan.probe or ())[len(asked)] if len(asked) < len(plan.probe or ()) else "truth"
        self.after_call()
        if told == "doubt":
            return IN_DOUBT
        if told == "fail":
            raise Refused("ask again")
        return Done(f"{ctx.step}?") if ctx.action_key in self.done else NOT_DONE

    def do_by_hand(self, step: str) -> None:
        """What an operator does before saying that it is done."""
        if self.plans[step].effect:
            self.done[self.keys.get(f"action {step}", step)] = step

    def undo_by_hand(self, step: str) -> None:
        """What an operator does before saying that it is undone."""
        self.done = {key: one for key, one in self.done.items() if one != step}


def _is_answer(event: e.Event) -> bool:
    return getattr(event, "evidence", "action") == "action" and getattr(event, "reason", "") not in (
        "process_died",
        "probe",
    )


def _answered(told: str, result: Any) -> Any:
    match told:
        case "fail":
            raise Refused("refused")
        case "permanent":
            raise PermanentFailure("never")
        case "unknown" | "lost":
            raise OutcomeUnknown("no answer")
        case "set":
            return {"not JSON"}
    return result


def saga_of(world: World, *, is_async: bool = False) -> Saga:
    """The saga of the world's plans."""
    saga = Saga("random")

    async def act_async(ctx: Context) -> Any:
        return world.act(ctx)

    async def undo_async(ctx: Context) -> None:
        world.undo(ctx)

    for plan in world.plans.values():
        saga.add_step(
            plan.name,
            act_async if is_async else world.act,
            (undo_async if is_async else world.undo) if plan.compensation else None,
            probe=world.ask if plan.probe is not None else None,
            retry=Retry(plan.attempts, backoff=timedelta(seconds=5), factor=1, jitter=False),
            compensation_retry=Retry(2, backoff=timedelta(seconds=5), factor=1, jitter=False),
            in_doubt=plan.in_doubt,
            effect=plan.effect,
            pivot=plan.pivot,
        )
    return saga


# Strategies -----------------------------------------------------------------------------------------------------------


def answers(allowed: tuple[str, ...], most: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(allowed), max_size=most).map(tuple)


@st.composite
def plans(draw: st.DrawFn) -> dict[str, StepPlan]:
    """Any saga of 1 to 5 steps that can be defined."""
    size = draw(st.integers(1, 5))
    pivot = draw(st.none() | st.integers(0, size - 1))
    found = {}
    for position, name in enumerate("abcde"[:size]):
        behind = pivot is not None and position >= pivot
        effect = draw(st.booleans()) if draw(st.booleans()) else True
        compensation = effect and not behind and draw(st.integers(0, 4)) > 0
        policy = draw(st.sampled_from(POLICIES if compensation else ("ask", "retry")))
        found[name] = StepPlan(
            name=name,
            action=draw(answers(ANSWERS, 3)),
            undo=draw(answers(("ok", "fail", "permanent", "lost"), 3)),
            probe=draw(answers(("truth", "doubt", "fail"), 2)) if effect and draw(st.booleans()) else None,
            in_doubt=policy,
            attempts=draw(st.integers(1, 3)),
            effect=effect,
            compensation=compensation,
            pivot=position == pivot,
        )
    return found


@st.composite
def settled_plans(draw: st.DrawFn) -> dict[str, StepPlan]:
    """Sagas in which every doubt is settled truthfully by a probe: a crash makes no difference to how they end."""
    size = draw(st.integers(1, 4))
    return {
        name: StepPlan(
            name=name,
            action=draw(answers(("ok", "fail", "permanent", "unknown", "lost"), 3)),
            undo=draw(answers(("ok", "fail", "lost"), 1)),
            probe=() if effect else None,
            in_doubt="retry",
            attempts=draw(st.integers(1, 3)),
            effect=effect,
            compensation=effect,
        )
        for name, effect in ((name, draw(st.integers(0, 3)) > 0) for name in "abcd"[:size])
    }


crashes = st.lists(
    st.builds(CrashAt, st.sampled_from(("commit", "call")), st.integers(1, 8), st.booleans()), min_size=0, max_size=3
)
