"""What must stand in the participants' books for each step of an order, going by its instance alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from sagafsm.demo.orders import Order
from sagafsm.events import Decision, DecisionMade, StepStarted
from sagafsm.instance import SagaInstance
from sagafsm.record import StepRecord

# What an operator said is so is not in the participants' books; what one let be may stay.
_WORDS: frozenset[Decision] = frozenset(("resolve(result)", "resolve(not_done)", "resolve(undone)"))
_LET_BE: frozenset[Decision] = frozenset(("skip", "abandon"))


@attrs.frozen
class Expectation:
    """Whether a step's effect must be `there`, must be `gone`, or `either` may be the case; and why."""

    effect: Literal["there", "gone", "either"]
    why: str


def expectation(instance: SagaInstance, record: StepRecord) -> Expectation:
    """What the outcome of an order, and where it has none yet the record of the step, says about its effect."""
    decided = decisions_on(instance, record.name)
    if decided & _WORDS:
        return Expectation("either", "as an operator says")
    if instance.state == "completed":
        return Expectation("there", "completed")
    # The step's own record is not asked: an order that ended without having undone something is what to look for.
    if instance.state == "failed" and not decided & _LET_BE:
        return Expectation("gone", "failed")
    if record.undo is None:
        return _of_action(record)
    if record.undo == "undone":
        return Expectation("gone", "undone")
    if record.undo == "running" or record.compensation.deaths:
        return Expectation("either", "its compensation died or is under way")
    # A compensation that raised has changed nothing: each participant does all of an undo or nothing.
    return _of_action(record)


def _of_action(record: StepRecord) -> Expectation:
    match record.status:
        case "done" | "unstorable":
            return Expectation("there", "done" if record.undo is None else "done and not undone")
        case "running" | "in_doubt":
            return Expectation("either", "in doubt")
        case "waiting" | "failed" | "pending" if record.doubt_before:
            return Expectation("either", "in doubt")
        case "waiting" | "failed" | "pending" | "skipped" | "parked":
            return Expectation("gone", "never begun" if record.status == "pending" else "failed")


def decisions_on(instance: SagaInstance, step: str) -> frozenset[Decision]:
    """What operators have decided about a step, or about the whole order."""
    made = (event for event in instance.history if isinstance(event, DecisionMade))
    return frozenset(event.decision for event in made if event.step in (step, None))


def keys_given(instance: SagaInstance) -> dict[str, frozenset[str]]:
    """The keys under which each step was or may have been called; written ahead, so none is missing after a crash."""
    keys: dict[str, set[str]] = {name: set() for name in instance.steps}
    for event in instance.history:
        if isinstance(event, StepStarted):
            keys[event.step].add(event.key)
    return {name: frozenset(given) for name, given in keys.items()}


def amounts_of(order: Order, step: str) -> Mapping[str, int]:
    """What the effect of a step amounts to, exactly."""
    match step:
        case "reserve":
            return order.quantities
        case "charge":
            return {"cents": order.total}
        case _:
            return {"labels": 1}
