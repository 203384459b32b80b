"""How an order ended, in words for whoever looks on."""

from __future__ import annotations

import asyncio

from sagafsm.errors import ResourceMissing
from sagafsm.instance import SagaInstance
from sagafsm.verify.life import Crashed
from sagafsm.view.times import moment

DIED = "the process died here; run goes on and finds the step in doubt"
_INTERRUPTS = (KeyboardInterrupt, asyncio.CancelledError)


def is_bad(error: BaseException | None, *, stopped: bool) -> bool:
    """Whether an order ended otherwise than whoever gave it meant."""
    return error is not None and not stopped and not isinstance(error, _INTERRUPTS)


def told(
    error: BaseException | None,
    instance: SagaInstance,
    *,
    stopped: bool = False,
    idle: bool = False,
    owner: str | None = None,
    is_fork: bool = False,
) -> str | None:
    """What is to be said of it; None: what became of the instance says enough.

    `idle`: nothing became durable meanwhile; `owner`: who else drives it.
    """
    rests = instance.is_at_rest or instance.blocked or instance.waiting
    if isinstance(error, Crashed):
        return DIED
    if isinstance(error, _INTERRUPTS):
        return f"interrupted: it rests in {instance.state}, and run goes on"
    if stopped and not rests:
        return f"paused in {instance.state}: run goes on"
    if error is None or stopped:
        return _waits(instance, owner) if idle else None
    name = type(error).__name__
    if isinstance(error, ResourceMissing) and is_fork:
        return f"{name}: {error}. A fork has none of the original's: inspect(..., fork_resources={{name: object}})"
    return f"{name}: {error}"


def _waits(instance: SagaInstance, owner: str | None) -> str | None:
    if owner is not None:
        return f"asked for: {owner} drives it, and reads that next"
    return None if instance.wake_at is None else f"nothing is due before {moment(instance.wake_at)}"
