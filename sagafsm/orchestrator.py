"""Runs sagas against a store: starts, drives, recovers them, and takes requests and decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Self, TypeVar

from sagafsm import events as e
from sagafsm.clock import Clock, SystemClock
from sagafsm.decision import Verdict
from sagafsm.drivers.effects import Steps
from sagafsm.drivers.journal import Listener, Listeners
from sagafsm.drivers.settings import Settings
from sagafsm.drivers.stopping import Stopping
from sagafsm.drivers.sync import SyncPerformer
from sagafsm.errors import SagaError
from sagafsm.finding import Found
from sagafsm.instance import SagaInstance
from sagafsm.opening import LEASE, NOT_GIVEN, check_lease, checked, login_name, operations_of
from sagafsm.operations import verdict_of
from sagafsm.payload import MAX_PAYLOAD
from sagafsm.recovery import RecoveryReport
from sagafsm.steps import Defined
from sagafsm.store import Store, Summary, open_store

T = TypeVar("T")


class Orchestrator:
    """Runs instances against one store, from any number of threads.

    `store` is a URL ("sqlite:///orders.db"), which is opened and closed with the orchestrator, or a Store, which
    stays open. `sagas` are those whose instances it can resume; `resources` what their steps ask for by name.
    `owner` names it to others; `lease` is how long an instance stays its own after the process has vanished without
    a trace (real time); `max_payload` the largest input or result, in bytes of JSON. `on_event(instance, event)` is
    called after every durable event.

    As a context manager it drains on SIGTERM where the main thread has no handler for it: the outcome of the action
    under way is recorded, nothing new starts, and the process ends with status 143.
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
    ) -> None:
        self._stopping = Stopping()
        settings = Settings(
            clock=clock, lease=check_lease(lease), max_payload=max_payload, on_event=on_event, stopping=self._stopping
        )
        self._owns_store = isinstance(store, str)
        self.store: Store = open_store(store) if isinstance(store, str) else store
        self._operations = operations_of(self.store, sagas=sagas, resources=resources, settings=settings, owner=owner)
        self._performer = SyncPerformer(clock)

    def __enter__(self) -> Self:
        self._stopping.install()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drain and let go: actions under way are recorded, nothing new starts, the unfinished resume later.

        From inside an action it only lets nothing new start: that action still needs the rest. Close again afterwards.
        """
        self._stopping.ask()
        if self._operations.driving.is_under_way:
            return
        self._stopping.wait()
        self._stopping.restore()
        self._operations.driving.keeper.close()
        try:
            self._performer.close()
        finally:
            if self._owns_store:
                self.store.close()

    def _perform(self, steps: Steps[T]) -> T:
        if self._stopping() and not self._operations.driving.is_under_way:
            raise SagaError("this orchestrator is closed, or closing: nothing new starts (open another)")
        with self._stopping.working():
            return self._performer.perform(steps)

    # Running ----------------------------------------------------------------------------------------------------------

    def run(self, saga: Defined, input: Any, *, id: str | None = None, check: bool = False) -> SagaInstance:
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
        return self.run_with(saga, input, id=id, check=check, resources=None)

    def run_with(
        self, saga: Defined, input: Any, *, id: str | None, check: bool, resources: Mapping[str, Any] | None
    ) -> SagaInstance:
        """`run`, with more resources for this run alone."""
        steps = self._operations.start(saga, input, id=id, drive=True, resources=resources)
        return checked(self._perform(steps), check)

    def start(self, saga: Defined, input: Any, *, id: str | None = None) -> SagaInstance:
        """Create an instance durably, without driving it: `resume`, `advance` or `recover` will. Idempotent by id."""
        return self._perform(self._operations.start(saga, input, id=id, drive=False))

    def resume(self, id: str) -> SagaInstance:
        """Drive an instance on until it rests or is blocked, sleeping through its backoffs.

        Raises:
            StoreConflict: somebody else drives it.
            DefinitionChanged: its saga was changed since it began.
        """
        return self._perform(self._operations.resume(id, "until_parked", "resume"))

    def advance(self, id: str) -> SagaInstance:
        """Do exactly one command of an instance, and never sleep; when nothing is due it is returned as it stands."""
        return self._perform(self._operations.resume(id, "one_command", "advance"))

    def recover(self) -> RecoveryReport:
        """Resume every instance that is unowned, not at rest, not parked, or due; never sleep.

        One that cannot be resumed is reported and does not stop the others; a second pass changes nothing.
        """
        return self._perform(self._operations.recover())

    # Looking ----------------------------------------------------------------------------------------------------------

    def get(self, id: str) -> SagaInstance:
        """The instance as it stands in the store.

        Raises:
            SagaNotFound: there is none of that id.
        """
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
        """Summaries in order of id, those behind id `after`, read page by page as they are asked for.

        `state` is a state or a phase; `blocked` True, False or a reason; `older_than`: unchanged for that long.
        A notebook shows the first ones, and none is lost by that to who reads on.
        """
        filters = {"saga": saga, "state": state, "blocked": blocked, "older_than": older_than}

        def page(after: str | None, left: int | None) -> Sequence[Summary]:
            return self._perform(self._operations.page(**filters, after=after, limit=left))  # type: ignore[arg-type]

        return Found(page, after, limit)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have `listener(instance, event)` told, beside `on_event`, of what becomes durable from now on.

        It hears what operations of this orchestrator do that begin after this call, on whatever thread they do it;
        not what other orchestrators or processes do. It ends when the function that is returned is called.
        """
        return self._operations.driving.listen(listener)

    def alongside(self, *, sagas: Iterable[Defined] | None = None, on_event: Listener | None = None) -> Orchestrator:
        """Another orchestrator over the same store, with the same sagas (unless others are given), resources and clock.

        What it makes durable is told to the listeners of this one too, and first. It may be closed by itself; when this
        one closes, it drains both, as they share the store. Resources that are entered, it enters anew.
        """
        driving = self._operations.driving
        part = Orchestrator(
            self.store,
            sagas=driving.registry.sagas if sagas is None else sagas,
            resources=driving.resources,
            clock=driving.settings.clock,
            owner=driving.owner,
            lease=driving.settings.lease,
            max_payload=driving.settings.max_payload,
            on_event=Listeners((driving.hear, *(() if on_event is None else (on_event,)))),
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

    def cancel(self, id: str, *, by: str | None = None, reason: str) -> SagaInstance:
        """Ask an instance to go back; return it as it stands once the request is posted and, if it can be, handled.

        The request survives a crash: whoever drives the instance next reads it before anything else.

        Raises:
            IllegalTransition: it is at rest, or its pivot has succeeded.
        """
        return self._perform(self._operations.cancel(id, by=by, reason=reason))

    def signal(self, id: str, name: str, payload: Any = None, *, request_id: str | None = None) -> SagaInstance:
        """Give an instance a signal that it waits for, or will; return it once that is handled, if it can be.

        It survives a crash. The first of a name counts, and so does a `request_id` once. A nested instance may be
        signalled by its own id, or by its root's and the path, "child/approval".

        Raises:
            RequestError: the saga waits for no such signal.
            IllegalTransition: it is at rest, goes back, or is past that wait.
        """
        return self._perform(self._operations.signal(id, name, payload, request_id=request_id))

    def fork(self, id: str, *, at: int, resources: Mapping[str, Any] | None = None) -> Orchestrator:
        """A what-if: the instance as it was once event `at` was recorded, in memory, in an orchestrator of its own.

        It is not driven, and has only the `resources` given here, never this orchestrator's.

        Raises:
            IndexError: there is no event of that number.
        """
        store = open_store("memory://")
        self._perform(self._operations.fork(id, at, store))
        driving = self._operations.driving
        return Orchestrator(
            store,
            sagas=driving.registry.sagas,
            resources=resources,
            clock=driving.settings.clock,
            max_payload=driving.settings.max_payload,
        )

    def retry(
        self, id: str, *, step: str | None = None, by: str | None = None, reason: str | None = None
    ) -> SagaInstance:
        """Have a blocked instance call the action or compensation again, with a new budget."""
        return self._decide(id, "retry", step, by, reason)

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
        return self._perform(steps)

    def compensate(
        self, id: str, *, step: str | None = None, by: str | None = None, reason: str | None = None
    ) -> SagaInstance:
        """Have an instance go back: one that is blocked, undoing the step in doubt, or one that has completed.

        Raises:
            IllegalTransition: there is no way back: a pivot has succeeded, or nothing can be undone.
        """
        return self._decide(id, "compensate", step, by, reason)

    def skip(self, id: str, *, reason: str, step: str | None = None, by: str | None = None) -> SagaInstance:
        """Leave a blocked step's effect as residue, and go on with the other compensations."""
        return self._decide(id, "skip", step, by, reason)

    def abandon(self, id: str, *, reason: str, by: str | None = None) -> SagaInstance:
        """End an instance where it stands; all that is left is residue. Needs no definition."""
        return self._decide(id, "abandon", None, by, reason)

    def _decide(
        self, id: str, decision: e.Decision, step: str | None, by: str | None, reason: str | None
    ) -> SagaInstance:
        verdict = Verdict(decision=decision, step=step, by=by or login_name(), reason=reason)
        return self._perform(self._operations.decide(id, verdict))
