"""What can be asked of an orchestrator for somebody who looks on, as calls that a sync and an async one take alike."""

from __future__ import annotations

from typing import Any

from sagafsm.errors import RequestError, listed
from sagafsm.notebook.inspector.running import Order
from sagafsm.opening import NOT_GIVEN

DECISIONS = ("retry", "resolve(result)", "resolve(not_done)", "resolve(undone)", "compensate", "skip", "abandon")


def resume(id: str) -> Order:
    """Drive it on."""
    return lambda orchestrator: orchestrator.resume(id)


def advance(id: str) -> Order:
    """Do one command of it."""
    return lambda orchestrator: orchestrator.advance(id)


def cancel(id: str, *, reason: str, by: str | None = None) -> Order:
    """Ask it to go back."""
    return lambda orchestrator: orchestrator.cancel(id, reason=reason, by=by)


def signal(id: str, name: str, payload: Any) -> Order:
    """Give it a signal."""
    return lambda orchestrator: orchestrator.signal(id, name, payload)


def decide(
    id: str,
    decision: str,
    *,
    step: str | None = None,
    reason: str | None = None,
    result: Any = NOT_GIVEN,
    by: str | None = None,
) -> Order:
    """Decide about it; `result` belongs to "resolve(result)" alone.

    Raises:
        RequestError: there is no such decision, or its result is missing.
    """
    if decision not in DECISIONS:
        raise RequestError(f"there is no decision {decision!r} (there are {listed(DECISIONS)})")
    if (decision == "resolve(result)") != (result is not NOT_GIVEN):
        raise RequestError("result= is what the step gave, and goes with the decision 'resolve(result)' and no other")
    said: dict[str, Any] = {"reason": reason, "by": by}
    if decision != "abandon":
        said["step"] = step
    if decision == "resolve(result)":
        said["result"] = result
    elif decision.startswith("resolve"):
        said[decision.removeprefix("resolve(").removesuffix(")")] = True
    name = decision.partition("(")[0]
    return lambda orchestrator: getattr(orchestrator, name)(id, **said)
