"""The same as `Orchestrator`, awaited: the loop never waits for an fsync or for a sync action."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Self, TypeVar

from sagafsm import events as e
from sagafsm.clock import Clock, SystemClock
from sagafsm.decision import Verdict
from sagafsm.drivers.async_ import AsyncPerformer
from sagafsm.drivers.effects import Steps
from sagafsm.drivers.journal import Listener, Listeners
from sagafsm.drivers.limits import Limits
from sagafsm.drivers.settings import Settings
from sagafsm.drivers.stopping import Stopping
from sagafsm.drivers.sync import SyncPerformer
from sagafsm.errors import DefinitionError, RequestError, SagaError
from sagafsm.finding import AsyncFound
from sagafsm.instance import SagaInstance
from sagafsm.opening import LEASE, NOT_GIVEN, check_lease, checked, login_name, operations_of
from sagafsm.operations import verdict_of
from sagafsm.payload import MAX_PAYLOAD
from sagafsm.recovery import RecoveryReport
from sagafsm.serving import Server
from sagafsm.steps import Defined
from sagafsm.store import Store, Summary, open_store

T = TypeVar("T")
MAX_IN_FLIGHT = 256
POLL = timedelta(seconds=1)


class AsyncOrchestrator:
    """Runs instances against one store on the caller's loop; the arguments are those of `Orchestrator`.

    `max_in_flight` bounds how many instances it drives at once for `run`, `resume`, `advance`, `recover` and `serve`:
    what would drive one more waits, so that whoever asks faster than the services answer is held back. Requests and
    decisions never wait for that.

    Async actions run on the loop, sync ones on threads, the store on one writer thread. It belongs to one loop. As an
    async context manager on the main thread it drains on SIGTERM, as `Orchestrator` does: the process ends once every
    operation has come to its clean end.
    """

    def __init__(
        self,
        store: Store | str,
        *,
        sagas: Iterable[Defined] = (),
        resources: Mapping[str, Any] | None = None,
        clock: Clock = SystemClock(),  # noqa: B008 - frozen, holds nothing
        owner: str | None = None,
        lease: timedelta = LEASE,
        max_payload: int = MAX_PAYLOAD,
        on_event: Listener | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self._stopping = Stopping()
        settings = Settings(
            clock=clock,
            lease=check_lease(lease),
            max_payload=max_payload,
            on_event=on_event,
            stopping=self._stopping,
            limits=Limits(),
        )
        if isinstance(max_in_flight, bool) or not isinstance(max_in_flight, int) or max_in_flight < 1:
            raise DefinitionError(f"an orchestrator takes a max_in_flight of 1 or more, not {max_in_flight!r}")
        self._slots = asyncio.Semaphore(max_in_flight)
        self._owns_store = isinstance(store, str)
        self.store: Store = open_store(store) if isinstance(store, str) else store
        self._operations = operations_of(self.store, sagas=sagas, resources=resources, settings=settings, owner=owner)
        self._is_entered = False
        self._performer = AsyncPerformer(clock)
        self._server = Server(self._operations, self._performer, self._drive, max_in_flight)

    async def __aenter__(self) -> Self:
        self._is_entered = True
        self._stopping.install()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Drain and let go: actions under way are recorded, nothing new starts, the unfinished resume later.

        From inside an action it only lets nothing new start: that action still needs the rest. Close again afterwards.
        """
        self._stopping.ask()
        if self._operations.driving.is_under_way:
            return
        await asyncio.to_thread(self._stopping.wait)
        self._stopping.restore()
        self._operations.driving.keeper.close()
        await self._performer.close(self.store.close if self._owns_store else None)

    def _check_open(self) -> None:
        if self._stopping() and not self._operations.driving.is_under_way:
            raise SagaError("this orchestrator is closed, or closing: nothing new starts (open another)")

    async def _perform(self, steps: Steps[T]) -> T:
        self._check_open()
        with self._stopping.working():
            return await self._performer.perform(steps)

    async def _drive(self, steps: Steps[T]) -> T:
        """As `_perform`, for what drives an instance: as many at once as may be in flight.

        From inside an action it does not wait: the instance around it holds a place, perhaps the last one.
        """
        if self._operations.driving.is_under_way:
            return await self._perform(steps)
        async with self._slots:
            return await self._perform(steps)

    # Running ----------------------------------------------------------------------------------------------------------

    async def run(self, saga: Defined, input: Any, *, id: str | None = None, check: bool = False) -> SagaInstance:
        """Start an instance and drive it until it rests or is blocked; return it as it then stands.

        The same id with the same input is the same instance: it is resumed, or returned as it stands when it is at
        rest, blocked, or driven by somebody else. Killed at any moment, the same call goes on where it was.

        Raises:
            InputMismatch: the id is taken by another saga or input.
            PayloadError: the input cannot be stored, or does not match the declared type.
            ResourceMissing: the saga declares a resource that the orchestrator was not given.
            SagaFailed: with `check`, the instance failed.
            SagaUnfinished: with `check`, it is not at rest.
        """
        return await self.run_with(saga, input, id=id, check=check, resources=None)

    async def run_with(
        self, saga: Defined, input: Any, *, id: str | None, check: bool, resources: Mapping[str, Any] | None
    ) -> SagaInstance:
        """`run`, with more resources for this run alone."""
        steps = self._operations.start(saga, input, id=id, drive=True, resources=resources)
        return checked(await self._drive(steps), check)

    async def start(self, saga: Defined, input: Any, *, id: str | None = None) -> SagaInstance:
        """Create an instance durably, without driving it: `resume`, `advance` or `recover` will. Idempotent by id."""
        return await self._perform(self._operations.start(saga, input, id=id, drive=False))

    async def resume(self, id: str) -> SagaInstance:
        """Drive an instance on until it rests or is blocked, sleeping through its backoffs.

        Raises:
            StoreConflict: somebody else drives it.
            DefinitionChanged: its saga was changed since it began.
        """
        return await self._drive(self._operations.resume(id, "until_parked", "resume"))

    async def advance(self, id: str) -> SagaInstance:
        """Do exactly one command of an instance, and never sleep; when nothing is due it is returned as it stands."""
        return await self._drive(self._operations.resume(id, "one_command", "advance"))

    async def recover(self) -> RecoveryReport:
        """Resume every instance that is unowned, not at rest, not parked, or due; never sleep.

        One that cannot be resumed is reported and does not stop the others; a second pass changes nothing.
        """
        return await self._drive(self._operations.recover())

    async def serve(self, *, poll: timedelta = POLL) -> None:
        """Drive whatever can go on, from whoever started it, until the orchestrator closes or SIGTERM comes.

        The store is asked for what is due every `poll` (real time); up to `max_in_flight` instances are driven at
        once. What cannot be driven is logged, and the others go on. A stop drains: outcomes under way are recorded,
        nothing new starts, and no step is left in doubt.
        """
        if not isinstance(poll, timedelta) or poll <= timedelta(0):
            raise RequestError(f"serve takes poll= as a positive timedelta, not {poll!r}")
        self._stopping.install()
        try:
            with self._stopping.working():
                await self._server.serve(poll)
        finally:
            if not self._is_entered:
                self._stopping.restore()

    # Looking ----------------------------------------------------------------------------------------------------------

    async def get(self, id: str) -> SagaInstance:
        """The instance as it stands in the store.

        Raises:
            SagaNotFound: there is none of that id.
        """
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
        """Summaries in order of id, as `Orchestrator.find`; read page by page, by `async for`."""
        filters = {"saga": saga, "state": state, "blocked": blocked, "older_than": older_than}

        def page(after: str | None, left: int | None) -> Steps[Sequence[Summary]]:
            return self._operations.page(**filters, after=after, limit=left)  # type: ignore[arg-type]

        def look(after: str | None, left: int | None) -> Sequence[Summary]:
            self._check_open()
            return SyncPerformer(SystemClock()).perform(page(after, left))

        async def read(after: str | None, left: int | None) -> Sequence[Summary]:
            return await self._perform(page(after, left))

        return AsyncFound(read, look, after, limit)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have `listener(instance, event)` told, beside `on_event`, of what becomes durable from now on.

        It hears what operations of this orchestrator do that begin after this call, on whatever thread they do it;
        not what other orchestrators or processes do. It ends when the function that is returned is called.
        """
        return self._operations.driving.listen(listener)

    def alongside(
        self, *, sagas: Iterable[Defined] | None = None, on_event: Listener | None = None
    ) -> AsyncOrchestrator:
        """Another orchestrator over the same store, with the same sagas (unless others are given), resources and clock.

        What it makes durable is told to the listeners of this one too, and first. It may be closed by itself; when this
        one closes, it drains both, as they share the store. Resources that are entered, it enters anew.
        """
        driving = self._operations.driving
        part = AsyncOrchestrator(
            self.store,
            sagas=driving.registry.sagas if sagas is None else sagas,
            resources=driving.resources,
            clock=driving.settings.clock,
            owner=driving.owner,
            lease=driving.settings.lease,
            max_payload=driving.settings.max_payload,
            on_event=Listeners((driving.hear, *(() if on_event is None else (on_event,)))),
            max_in_flight=self._server.max_in_flight,
        )
        part._operations.driving.part_of = driving
        self._stopping.stops(part._stopping)
        return part

    @property
    def sagas(self) -> tuple[Defined, ...]:
        """The sagas that are registered, those that were given and those that were run."""
        return self._operations.driving.registry.sagas

    @property
    def is_closed(self) -> bool:
        """Whether it is closed, or closing: nothing new starts."""
        return self._stopping()

    # Requests and decisions -------------------------------------------------------------------------------------------

    async def cancel(self, id: str, *, by: str | None = None, reason: str) -> SagaInstance:
        """Ask an instance to go back; return it as it stands once the request is posted and, if it can be, handled.

        The request survives a crash: whoever drives the instance next reads it before anything else.

        Raises:
            IllegalTransition: it is at rest, or its pivot has succeeded.
        """
        return await self._perform(self._operations.cancel(id, by=by, reason=reason))

    async def signal(self, id: str, name: str, payload: Any = None, *, request_id: str | None = None) -> SagaInstance:
        """Give an instance a signal that it waits for, or will; return it once that is handled, if it can be.

        It survives a crash. The first of a name counts, and so does a `request_id` once. A nested instance may be
        signalled by its own id, or by its root's and the path, "child/approval".

        Raises:
            RequestError: the saga waits for no such signal.
            IllegalTransition: it is at rest, goes back, or is past that wait.
        """
        return await self._perform(self._operations.signal(id, name, payload, request_id=request_id))

    async def fork(self, id: str, *, at: int, resources: Mapping[str, Any] | None = None) -> AsyncOrchestrator:
        """A what-if: the instance as it was once event `at` was recorded, in memory, in an orchestrator of its own.

        It is not driven, and has only the `resources` given here, never this orchestrator's.

        Raises:
            IndexError: there is no event of that number.
        """
        store = open_store("memory://")
        await self._perform(self._operations.fork(id, at, store))
        driving = self._operations.driving
        return AsyncOrchestrator(
            store,
            sagas=driving.registry.sagas,
            resources=resources,
            clock=driving.settings.clock,
            max_payload=driving.settings.max_payload,
            max_in_flight=self._server.max_in_flight,
        )

    async def retry(
        self, id: str, *, step: str | None = None, by: str | None = None, reason: str | None = None
    ) -> SagaInstance:
        """Have a blocked instance call the action or compensation again, with a new budget."""
        return await self._decide(id, "retry", step, by, reason)

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
        """Tell what is true of a blocked step: done with this `result`, `not_done`, or `undone` by hand.

        Raises:
            TypeError: not exactly one of the three is given.
            IllegalTransition: the block does not allow it.
        """
        verdict = verdict_of(result is not NOT_GIVEN, not_done=not_done, undone=undone)
        steps = self._operations.resolve(
            id,
            verdict,
            step=step,
            by=by or login_name(),
            reason=reason,
            result=result if result is not NOT_GIVEN else None,
        )
        return await self._perform(steps)

    async def compensate(
        self, id: str, *, step: str | None = None, by: str | None = None, reason: str | None = None
    ) -> SagaInstance:
        """Have an instance go back: one that is blocked, undoing the step in doubt, or one that has completed.

        Raises:
            IllegalTransition: there is no way back: a pivot has succeeded, or nothing can be undone.
        """
        return await self._decide(id, "compensate", step, by, reason)

    async def skip(self, id: str, *, reason: str, step: str | None = None, by: str | None = None) -> SagaInstance:
        """Leave a blocked step's effect as residue, and go on with the other compensations."""
        return await self._decide(id, "skip", step, by, reason)

    async def abandon(self, id: str, *, reason: str, by: str | None = None) -> SagaInstance:
        """End an instance where it stands; all that is left is residue. Needs no definition."""
        return await self._decide(id, "abandon", None, by, reason)

    async def _decide(
        self, id: str, decision: e.Decision, step: str | None, by: str | None, reason: str | None
    ) -> SagaInstance:
        verdict = Verdict(decision=decision, step=step, by=by or login_name(), reason=reason)
        return await self._perform(self._operations.decide(id, verdict))
