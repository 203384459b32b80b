"""Driving an instance for somebody who looks on: each time by an orchestrator of its own, which can be stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs

from sagafsm.async_orchestrator import AsyncOrchestrator
from sagafsm.engine.config import NOT_GIVEN
from sagafsm.errors import RequestError, ResourceMissing, format_list
from sagafsm.history.events import DECISIONS
from sagafsm.history.instance import SagaInstance
from sagafsm.notebook.orchestrators import AnyOrchestrator
from sagafsm.render.time_format import format_time
from sagafsm.verify.simulate.process import Crashed

T = TypeVar("T")
# What is asked of an orchestrator; an async one answers with an awaitable.
OrchestratorCall = Callable[[Any], Any]


def find_running_action_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs on this thread, None where none does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


@attrs.define(eq=False)
class StoppableCall:
    """One order to an orchestrator that is made for it alone, and closed once it has ended.

    `loop` is where an async one belongs: that of whoever looks on; None: a loop for this order alone. `began_at` is
    how many events the instance had then.
    """

    orchestrator: AnyOrchestrator
    order: OrchestratorCall
    loop: asyncio.AbstractEventLoop | None = None
    began_at: int = 0
    is_stopped: bool = attrs.field(default=False, init=False)

    @property
    def is_async(self) -> bool:
        """Whether it is carried out on a loop."""
        return isinstance(self.orchestrator, AsyncOrchestrator)

    def perform(self) -> Any:
        """Carry it out on this thread, and return what it returns; an async one is waited for.

        Not on the thread of an async one's own loop, which would wait for itself.
        """
        if not self.is_async:
            try:
                return self.order(self.orchestrator)
            finally:
                self.orchestrator.close()
        if self.loop is None or self.loop.is_closed():
            return asyncio.run(self.awaited())
        return asyncio.run_coroutine_threadsafe(self.awaited(), self.loop).result()

    async def awaited(self) -> Any:
        """Carry it out on this loop."""
        self.loop = asyncio.get_running_loop()
        try:
            return await self.order(self.orchestrator)
        finally:
            await self._close_async()

    async def _close_async(self) -> None:
        if isinstance(self.orchestrator, AsyncOrchestrator):
            await self.orchestrator.close()

    def stop(self) -> None:
        """Let nothing new start, and record the outcome of the action under way. Return at once."""
        self.is_stopped = True
        # Not `close`: a closed orchestrator refuses an order that has not begun, and a cancel, say, would be lost.
        self.orchestrator.stop_driving()


def start_thread(work: Callable[[], object], name: str) -> threading.Thread:
    """A thread that does some work, begun."""
    thread = threading.Thread(target=work, name=f"sagafsm-{name}", daemon=True)
    thread.start()
    return thread


def run_action_on_loop(call: Callable[[], Awaitable[T]], loop: asyncio.AbstractEventLoop | None) -> T:
    """What a call of an async orchestrator returns, waited for on this thread, which is not the loop's."""

    async def awaited() -> T:
        return await call()

    if loop is None or loop.is_closed():
        return asyncio.run(awaited())
    return asyncio.run_coroutine_threadsafe(awaited(), loop).result()


DIED = "the process died here; run goes on and finds the step in doubt"
_INTERRUPTS = (KeyboardInterrupt, asyncio.CancelledError)


def is_failure(error: BaseException | None, *, stopped: bool) -> bool:
    """Whether an order ended otherwise than whoever gave it meant."""
    return error is not None and not stopped and not isinstance(error, _INTERRUPTS)


def describe_end(
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
        return _describe_action_wait(instance, owner) if idle else None
    name = type(error).__name__
    if isinstance(error, ResourceMissing) and is_fork:
        return f"{name}: {error}. A fork has none of the original's: inspect(..., fork_resources={{name: object}})"
    return f"{name}: {error}"


def _describe_action_wait(instance: SagaInstance, owner: str | None) -> str | None:
    if owner is not None:
        return f"asked for: {owner} drives it, and reads that next"
    return None if instance.wake_at is None else f"nothing is due before {format_time(instance.wake_at)}"


def build_resume(id: str) -> OrchestratorCall:
    """Drive it on."""
    return lambda orchestrator: orchestrator.resume(id)


def build_advance(id: str) -> OrchestratorCall:
    """Do one command of it."""
    return lambda orchestrator: orchestrator.advance(id)


def build_cancel(id: str, *, reason: str, by: str | None = None) -> OrchestratorCall:
    """Ask it to go back."""
    return lambda orchestrator: orchestrator.cancel(id, reason=reason, by=by)


def build_signal(id: str, name: str, payload: Any) -> OrchestratorCall:
    """Give it a signal."""
    return lambda orchestrator: orchestrator.signal(id, name, payload)


def build_decision(
    id: str,
    decision: str,
    *,
    step: str | None = None,
    reason: str | None = None,
    result: Any = NOT_GIVEN,
    by: str | None = None,
) -> OrchestratorCall:
    """Decide about it; `result` belongs to "resolve(result)" alone.

    Raises:
        RequestError: there is no such decision, or its result is missing.
    """
    if decision not in DECISIONS:
        raise RequestError(f"there is no decision {decision!r} (there are {format_list(DECISIONS)})")
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
