"""Runs sagas against a store: starts, drives, recovers them, and takes requests and decisions."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Self, TypeVar

from sagafsm.clock import Clock, SystemClock
from sagafsm.definition.definition import HasDefinition
from sagafsm.engine.config import LEASE, NOT_GIVEN, raise_unless_completed
from sagafsm.engine.effects import Effects
from sagafsm.engine.listeners import Listener
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.payload import MAX_PAYLOAD
from sagafsm.results import Found, RecoveryReport
from sagafsm.runtime.base_orchestrator import BaseOrchestrator
from sagafsm.runtime.sync_performer import SyncPerformer
from sagafsm.store import Store, open_store

T = TypeVar("T")


class Orchestrator(BaseOrchestrator):
    """Runs instances against one store, from any number of threads.

    `store` is a URL ("sqlite:///orders.db"), which is opened and closed with the orchestrator, or a Store, which
    stays open. `sagas` are those whose instances the orchestrator can resume. `resources` are the objects that steps
    ask for by name. `owner` is the orchestrator's name for others. `lease` is how long the orchestrator still owns an
    instance after its process has vanished without a trace (real time). `max_payload` is the largest input or result,
    in bytes of JSON. `on_event(instance, event)` is called after every durable event.

    As a context manager the orchestrator drains on SIGTERM where the main thread has no handler for it: the outcome of
    the action under way is recorded, nothing new starts, and the process ends with status 143.
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
    ) -> None:
        super().__init__(
            store,
            sagas=sagas,
            resources=resources,
            clock=clock,
            owner=owner,
            lease=lease,
            max_payload=max_payload,
            on_event=on_event,
        )
        self._performer = SyncPerformer(clock)

    def __enter__(self) -> Self:
        self._stopping.install()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stopping.ask()
        engine = self._operations.engine
        if engine.is_under_way:
            return
        self._stopping.wait()
        self._stopping.restore()
        engine.keeper.close()
        try:
            self._performer.close()
        finally:
            if self._owns_store:
                self.store.close()

    def _perform(self, steps: Effects[T]) -> T:
        self._check_open()
        with self._stopping.working():
            return self._performer.perform(steps)

    # Running ----------------------------------------------------------------------------------------------------------

    def run(self, saga: HasDefinition, input: Any, *, id: str | None = None, check: bool = False) -> SagaInstance:
        return self.run_with(saga, input, id=id, check=check, resources=None)

    def run_with(
        self, saga: HasDefinition, input: Any, *, id: str | None, check: bool, resources: Mapping[str, Any] | None
    ) -> SagaInstance:
        """Do as `run` does, with more resources for this run alone."""
        steps = self._operations.start(saga, input, id=id, drive=True, resources=resources)
        return raise_unless_completed(self._perform(steps), check)

    def start(self, saga: HasDefinition, input: Any, *, id: str | None = None) -> SagaInstance:
        return self._perform(self._operations.start(saga, input, id=id, drive=False))

    def resume(self, id: str) -> SagaInstance:
        return self._perform(self._operations.resume(id, "until_parked", "resume"))

    def advance(self, id: str) -> SagaInstance:
        return self._perform(self._operations.resume(id, "one_command", "advance"))

    def recover(self) -> RecoveryReport:
        return self._perform(self._operations.recover())

    # Looking ----------------------------------------------------------------------------------------------------------

    def get(self, id: str) -> SagaInstance:
        return self._perform(self._operations.get(id))

    def find(
        self,
        *,
        saga: str | None = None,
        state: str | None = None,
        blocked: bool | e.BlockReason | None = None,
        older_than: timedelta | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> Found:
        """Return summaries in order of id, those behind id `after`, read page by page during the iteration.

        `state` is a state or a phase. `blocked` is True, False or a reason. `older_than`: unchanged for that long.
        A notebook shows the first summaries, and an iteration still gets all of them.
        """
        page = functools.partial(self._operations.page, saga=saga, state=state, blocked=blocked, older_than=older_than)
        return Found(lambda after, left: self._perform(page(after, left)), after, limit)

    def alongside(
        self, *, sagas: Iterable[HasDefinition] | None = None, on_event: Listener | None = None
    ) -> Orchestrator:
        part = Orchestrator(self.store, **self._arguments_alongside(sagas, on_event))
        self._attach(part)
        return part

    # Requests and decisions -------------------------------------------------------------------------------------------

    def cancel(self, id: str, *, by: str | None = None, reason: str) -> SagaInstance:
        return self._perform(self._operations.cancel(id, by=by, reason=reason))

    def signal(self, id: str, name: str, payload: Any = None, *, request_id: str | None = None) -> SagaInstance:
        return self._perform(self._operations.signal(id, name, payload, request_id=request_id))

    def fork(self, id: str, *, at: int, resources: Mapping[str, Any] | None = None) -> Orchestrator:
        store = open_store("memory://")
        self._perform(self._operations.fork(id, at, store))
        return Orchestrator(store, **self._arguments_of_fork(resources))

    def retry(
        self, id: str, *, step: str | None = None, by: str | None = None, reason: str | None = None
    ) -> SagaInstance:
        return self._perform(self._decide(id, "retry", step, by, reason))

    def resolve(
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
        return self._perform(self._resolve(id, step, result, by, reason, not_done=not_done, undone=undone))

    def compensate(
        self, id: str, *, step: str | None = None, by: str | None = None, reason: str | None = None
    ) -> SagaInstance:
        return self._perform(self._decide(id, "compensate", step, by, reason))

    def skip(self, id: str, *, reason: str, step: str | None = None, by: str | None = None) -> SagaInstance:
        return self._perform(self._decide(id, "skip", step, by, reason))

    def abandon(self, id: str, *, reason: str, by: str | None = None) -> SagaInstance:
        return self._perform(self._decide(id, "abandon", None, by, reason))
