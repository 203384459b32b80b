"""Histories written by hand, for what follows from facts alone: no definition, no store, no driver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs

from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance, fold

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
REFUSED = e.RecordedError(type="shop.Refused", message="sold out")
BROKEN = e.RecordedError(type="shop.Broken", message="no paper")
SILENT = e.RecordedError(type="shop.Silent", message="")


def outlined(*names: str, **options: object) -> tuple[e.StepOutline, ...]:
    """Steps with a compensation each."""
    return tuple(e.StepOutline(name=name, **{"compensation": True, **options}) for name in names)


def history(*facts: e.Event, steps: tuple[e.StepOutline, ...] = outlined("a", "b")) -> list[e.Event]:
    """The facts after a creation, numbered, a second apart."""
    creation = e.InstanceCreated(
        id="o-1", saga="order", version=1, fingerprint="f-1", input_json='"mug"', steps=steps, state="pending"
    )
    return [
        attrs.evolve(fact, number=number, at=NOON + timedelta(seconds=number))
        for number, fact in enumerate((creation, *facts), 1)
    ]


def told(*facts: e.Event, steps: tuple[e.StepOutline, ...] = outlined("a", "b")) -> SagaInstance:
    """The instance that they make."""
    return fold(None, history(*facts, steps=steps))


def started(step: str = "a", attempt: int = 1, **more: object) -> e.StepStarted:
    return e.StepStarted(step=step, attempt=attempt, key="k", **more)


def done(step: str = "a", result_json: str = '"a!"', **more: object) -> e.StepSucceeded:
    return e.StepSucceeded(step=step, attempt=1, result_json=result_json, **more)


def failed(step: str = "a", error: e.RecordedError = REFUSED, **more: object) -> e.StepFailed:
    return e.StepFailed(step=step, attempt=1, error=error, **more)


def doubted(step: str = "a", reason: e.DoubtReason = "outcome_unknown", **more: object) -> e.StepInDoubt:
    return e.StepInDoubt(step=step, attempt=1, reason=reason, **more)


def undoing(step: str = "a", attempt: int = 1) -> e.CompensationStarted:
    return e.CompensationStarted(step=step, attempt=attempt, key="k")


def undone(step: str = "a", **more: object) -> e.CompensationSucceeded:
    return e.CompensationSucceeded(step=step, attempt=1, **more)


def not_undone(step: str = "a", error: e.RecordedError = BROKEN, **more: object) -> e.CompensationFailed:
    return e.CompensationFailed(step=step, attempt=1, error=error, **more)
