"""Instances worth looking at: running, blocked, failed and more, of any length, driven on a clock of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Literal

from sagafsm import Orchestrator, OutcomeUnknown, Retry, Saga
from sagafsm.instance import SagaInstance
from support.clock import FakeClock

NAMES = ("reserve_stock", "charge_card", "create_shipment", "notify_warehouse", "send_receipt", "award_points")
Course = Literal["pending", "running", "completed", "blocked", "doubt", "failed"]


def order(
    steps: int, clock: FakeClock, *, fails: int | None = None, sticks: bool = False, doubts: bool = False, name: str = "order"
) -> Saga:
    """A saga of so many steps, the third and fourth of which are a group.

    Step `fails`, from 0, fails after two retries, or, where it `doubts`, cannot tell; `sticks`: the first compensation
    fails for good.
    """
    saga = Saga(name)
    for position in range(steps):
        step = NAMES[position] if position < len(NAMES) else f"step_{position + 1}"
        saga.add_step(
            step,
            _action(clock, position, fails=position == fails, doubts=doubts),
            _compensation(clock, sticks=sticks and not position),
            retry=Retry(3, backoff=timedelta(milliseconds=60), jitter=False),
            compensation_retry=Retry(2, backoff=timedelta(milliseconds=50), jitter=False),
            group="fulfil" if position in (2, 3) and steps > 4 else None,
            title="Create the shipment" if position == 2 else None,
        )
    return saga


def _action(clock: FakeClock, position: int, *, fails: bool, doubts: bool) -> Callable[..., Any]:
    def act(input: Any) -> dict[str, Any]:
        clock.advance(0.09 + position % 3 * 0.03)
        if fails and doubts:
            raise OutcomeUnknown("the gateway closed the connection")
        if fails:
            raise RuntimeError("gateway timeout (503)")
        return {"id": f"r-{position + 1}", "amount": 129.9, "of": input["order_id"]}

    return act


def _compensation(clock: FakeClock, *, sticks: bool) -> Callable[..., Any]:
    def undo(result: Any) -> None:
        clock.advance(0.12)
        if sticks:
            raise RuntimeError("stock service: unknown reservation")

    return undo


def instance_of(
    course: Course, steps: int = 6, *, id: str = "order-4711", input: Mapping[str, Any] | None = None
) -> SagaInstance:
    """An instance of that many steps that took this course."""
    clock = FakeClock()
    # It fails at its last step but one; of very few, at the last.
    fails = max(steps - 2, 0) if course in ("blocked", "failed", "doubt") else None
    saga = order(steps, clock, fails=fails, sticks=course == "blocked", doubts=course == "doubt")
    orchestrator = Orchestrator("memory://", sagas=[saga], clock=clock, on_event=lambda *_: clock.advance(0.004))
    given = dict(input or {"order_id": 4711, "amount": 129.9})
    if course == "pending":
        return orchestrator.start(saga, given, id=id)
    if course == "running":
        orchestrator.run(saga, given, id=id)
        history = orchestrator.get(id).history
        last = [event for event in history if type(event).__name__ == "StepStarted"][steps // 2]
        return orchestrator.get(id).at(last.number)
    return orchestrator.run(saga, given, id=id)
