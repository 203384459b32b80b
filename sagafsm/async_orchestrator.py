"""The same as `Orchestrator`, awaited: the loop never waits for an fsync or for a sync action."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Self, TypeVar

from sagafsm.clock import Clock, SystemClock
from sagafsm.definition.definition import HasDefinition
from sagafsm.engine.concurrency import Limits
from sagafsm.engine.config import (
    LEASE,
    MAX_IN_FLIGHT,
    NOT_GIVEN,
    POLL_INTERVAL,
    check_max_in_flight,
    check_poll_interval,
    raise_unless_completed,
)
from sagafsm.engine.effects import Effects
from sagafsm.engine.listeners import Listener
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.payload import MAX_PAYLOAD
from sagafsm.results import AsyncFound, RecoveryReport
from sagafsm.runtime.async_performer import AsyncPerformer
from sagafsm.runtime.base_orchestrator import BaseOrchestrator
from sagafsm.runtime.sync_performer import SyncPerformer
from sagafsm.runtime.worker import Worker
from sagafsm.store import Store, Summary, open_store

T = TypeVar("T")


class AsyncOrchestrator(BaseOrchestrator):
    """Runs instances against one store on the caller's loop; the arguments are those of `Orchestrator`.

    `max_in_flight` bounds how many instances it drives at once for `run`, `resume`, `advance`, `recover` and `serve`.
    A call that would drive one more waits, so that callers cannot be faster than the services answer. Requests and
    decisions never wait for that.

    Async actions run on the loop, sync ones on threads, the store on one writer thread. The orchestrator belongs to one
    loop. As an async context manager on the main thread it drains on SIGTERM, as `Orchestrator` does: the process ends
    once every operation has come to its clean end.
    """

    def __init__(
        self,
        store: Store | str,
        *,
        sagas: Iterable[HasDefinition] = (),
        resources: Mapping[str, Any] | None = None,
        clock: Clock = SystemClock(),  # noqa: B008 - frozen, holds nothing
        owner: str | None = None,
        lease: timedelta = LEASE,
        max_payload: int = MAX_PAYLOAD,
        on_event: Listener | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        check_max_in_flight(max_in_flight)
        super().__init__(
            store,
            limits=Limits(),
            sagas=sagas,
            resources=resources,
            clock=clock,
            owner=owner,
            lease=lease,
            max_payload=max_payload,
            on_event=on_event,
        )
        self._slots = asyncio.Semaphore(max_in_flight)
        self._is_entered = False
        self._performer = AsyncPerformer(clock)
        self._worker = Worker(self._operations, self._performer, self._drive, max_in_flight)

    async def __aenter__(self) -> Self:
        self._is_entered = True
        self._stopping.install()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self._stopping.ask()
        engine = self._operations.engine
        if engine.is_under_way:
            return
        await asyncio.to_thread(self._stopping.wait)
        self._stopping.restore()
        engine.keeper.close()
        await self._performer.close(self.store.close if self._owns_store else None)

    async def _perform(self, steps: Effects[T]) -> T:
        self._check_open()
        with self._stopping.working():
            return await self._performer.perform(steps)

    async def _drive(self, steps: Effects[T]) -> T:
        """Perform the steps of an operation that drives an instance, once a place in flight is free.

        Inside an action do not wait: the instance around it holds a place, perhaps the last one.
        """
        if self._operations.engine.is_under_way:
            return await self._perform(steps)
        async with self._slots:
            return await self._perform(steps)

    # Running ----------------------------------------------------------------------------------------------------------

    async def run(self, saga: HasDefinition, input: Any, *, id: str | None = None, check: bool = False) -> SagaInstance:
        return await self.run_with(saga, input, id=id, check=check, resources=None)

    async def run_with(
        self, saga: HasDefinition, input: Any, *, id: str | None, check: bool, resources: Mapping[str, Any] | None
    ) -> SagaInstance:
        """Do as `run` does, with more resources for this run alone."""
        steps = self._operations.start(saga, input, id=id, drive=True, resources=resources)
        return raise_unless_completed(await self._drive(steps), check)

    async def start(self, saga: HasDefinition, input: Any, *, id: str | None = None) -> SagaInstance:
        return await self._perform(self._operations.start(saga, input, id=id, drive=False))

    async def resume(self, id: str) -> SagaInstance:
        return await self._drive(self._operations.resume(id, "until_parked", "resume"))

    async def advance(self, id: str) -> SagaInstance:
        return await self._drive(self._operations.resume(id, "one_command", "advance"))

    async def recover(self) -> RecoveryReport:
        return await self._drive(self._operations.recover())

    async def serve(self, *, poll: timedelta = POLL_INTERVAL) -> None:
        """Drive every instance that can go on, of any process, until the orchestrator closes or SIGTERM comes.

        Asks the store every `poll` (real time) for instances that are due, and drives up to `max_in_flight` of them at
        once. An instance that cannot be driven is logged, and the others go on. A stop drains: outcomes under way are
        recorded, nothing new starts, and no step is left in doubt.

        Raises:
            RequestError: `poll` is not a positive timedelta.
        """
        check_poll_interval(poll)
        self._stopping.install()
        try:
            with self._stopping.working():
                await self._worker.serve(poll)
        finally:
            if not self._is_entered:
                self._stopping.restore()

    # Looking ----------------------------------------------------------------------------------------------------------

    async def get(self, id: str) -> SagaInstance:
        return await self._perform(self._operations.get(id))

    def find(
        self,
        *,
        saga: str | None = None,
        state: str | None = None,
        blocked: bool | e.BlockReason | None = None,
        older_than: timedelta | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> AsyncFound:
        """Return summaries in order of id as `Orchestrator.find` does, read page by page, by `async for`."""
        page = functools.partial(self._operations.page, saga=saga, state=state, blocked=blocked, older_than=older_than)

        def look(after: str | None, left: int | None) -> Sequence[Summary]:
            self._check_open()
            return SyncPerformer(SystemClock()).perform(page(after, left))

        return AsyncFound(lambda after, left: self._perform(page(after, left)), look, after, limit)

    def alongside(
        self, *, sagas: Iterable[HasDefinition] | None = None, on_event: Listener | None = None
    ) -> AsyncOrchestrator:
        part = AsyncOrchestrator(
            self.store, max_in_flight=self._worker.max_in_flight, **self._arguments_alongside(sagas, on_event)
        )
        self._attach(part)
        return part

    # Requests and decisions -------------------------------------------------------------------------------------------

    async def cancel(self, id: str, *, by: str | None = None, reason: str) -> SagaInstance:
        return await self._perform(self._operations.cancel(id, by=by, reason=reason))

    async def signal(self, id: str, name: str, payload: Any = None, *, request_id: str | None = None) -> SagaInstance:
        return await self._perform(self._operations.signal(id, name, payload, request_id=request_id))

    async def fork(self, id: str, *, at: int, resources: Mapping[str, Any] | None = None) -> AsyncOrchestrator:
        store = open_store("memory://")
        await self._perform(self._operations.fork(id, at, store))
        return AsyncOrchestrator(store, max_in_flight=self._worker.max_in_flight, **self._arguments_of_fork(resources))

    async def retry(
        self, id: str, *, step: str | None = None, by: str | None = None, reason: str | None = None
    ) -> SagaInstance:
        return await self._perform(self._decide(id, "retry", step, by, reason))

    async def resolve(
        self,
        id: str,
        *,
        reason: str,
        step: str | None = None,
        result: Any = NOT_GIVEN,
        not_done: bool = False,
        undone: bool = False,
        by: str | None = None,
    ) -> SagaInstance:
        return await self._perform(self._resolve(id, step, result, by, reason, not_done=not_done, undone=undone))

    async def compensate(
        self, id: str, *, step: str | None = None, by: str | None = None, reason: str | None = None
    ) -> SagaInstance:
        return await self._perform(self._decide(id, "compensate", step, by, reason))

    async def skip(self, id: str, *, reason: str, step: str | None = None, by: str | None = None) -> SagaInstance:
        return await self._perform(self._decide(id, "skip", step, by, reason))

    async def abandon(self, id: str, *, reason: str, by: str | None = None) -> SagaInstance:
        return await self._perform(self._decide(id, "abandon", None, by, reason))
