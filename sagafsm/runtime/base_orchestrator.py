"""The base of both orchestrators: their construction, what they share, and each operation with its promise, once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from sagafsm.clock import Clock
from sagafsm.core.decisions import DecisionRequest
from sagafsm.definition.definition import HasDefinition
from sagafsm.definition.registry import Registry
from sagafsm.engine.config import (
    LEASE,
    NOT_GIVEN,
    OrchestratorArguments,
    Settings,
    check_orchestrator_arguments,
    choose_resolution,
)
from sagafsm.engine.effects import Effects
from sagafsm.engine.engine import Engine
from sagafsm.engine.listeners import Listener, Listeners
from sagafsm.engine.operations import Operations
from sagafsm.engine.ownership import build_owner_name, read_login_name
from sagafsm.errors import SagaError
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.results import RecoveryReport
from sagafsm.runtime.lease_renewal import LeaseRenewer
from sagafsm.runtime.shutdown import Shutdown
from sagafsm.store import Store, open_store

if TYPE_CHECKING:
    from sagafsm.engine.concurrency import Limits  # it imports asyncio

# `Orchestrator` returns the first, the `async def` methods of `AsyncOrchestrator` return the second.
InstanceResult = SagaInstance | Awaitable[SagaInstance]


class BaseOrchestrator(ABC):
    """Builds an orchestrator and declares its operations. The two public classes carry the operations out.

    The public methods inherit their docstrings from the declarations here. Because they override declarations, the type
    checkers prove that both orchestrators take the same arguments.
    """

    def __init__(
        self, store: Store | str, *, limits: Limits | None = None, **given: Unpack[OrchestratorArguments]
    ) -> None:
        check_orchestrator_arguments(store, given)
        self._stopping = Shutdown()
        self._owns_store = isinstance(store, str)
        self.store: Store = open_store(store) if isinstance(store, str) else store
        registry = Registry()
        for saga in given["sagas"]:
            registry.add(saga)
        settings = Settings(
            clock=given["clock"],
            lease=given["lease"],
            max_payload=given["max_payload"],
            on_event=given["on_event"],
            stopping=self._stopping.is_driving_stopped,
            limits=limits,
        )
        resources, owner = dict(given["resources"] or {}), given["owner"] or build_owner_name()
        engine = Engine(self.store, registry, resources, settings, LeaseRenewer(settings.lease), owner)
        self._operations = Operations(engine)
        self._arguments: OrchestratorArguments = {**given, "resources": resources, "owner": owner}

    def _arguments_alongside(
        self, sagas: Iterable[HasDefinition] | None, on_event: Listener | None
    ) -> OrchestratorArguments:
        first = self._operations.engine.forward_event
        listeners = Listeners((first,) if on_event is None else (first, on_event))
        return {**self._arguments, "sagas": self.sagas if sagas is None else sagas, "on_event": listeners}

    def _attach(self, part: BaseOrchestrator) -> None:
        """Stop `part` with this orchestrator, and count the code in its actions as code in actions of this one."""
        part._operations.engine.origin_engine = self._operations.engine
        self._stopping.stops(part._stopping)

    def _arguments_of_fork(self, resources: Mapping[str, Any] | None) -> OrchestratorArguments:
        return {
            **self._arguments,
            "sagas": self.sagas,
            "resources": resources,
            "owner": None,
            "lease": LEASE,
            "on_event": None,
        }

    def _check_open(self) -> None:
        # Code inside an action may still use the orchestrator, because the action may need that to come to its end.
        if self._stopping() and not self._operations.engine.is_under_way:
            raise SagaError("this orchestrator is closed, or closing: nothing new starts (open another)")

    def _decide(
        self, id: str, decision: e.Decision, step: str | None, by: str | None, reason: str | None
    ) -> Effects[SagaInstance]:
        request = DecisionRequest(decision=decision, step=step, by=by or read_login_name(), reason=reason)
        return self._operations.decide(id, request)

    def _resolve(
        self, id: str, step: str | None, result: Any, by: str | None, reason: str, *, not_done: bool, undone: bool
    ) -> Effects[SagaInstance]:
        decision = choose_resolution(result is not NOT_GIVEN, not_done=not_done, undone=undone)
        result, by = None if result is NOT_GIVEN else result, by or read_login_name()
        return self._operations.resolve(id, decision, step=step, by=by, reason=reason, result=result)

    # What both know and do alike --------------------------------------------------------------------------------------

    @property
    def sagas(self) -> tuple[HasDefinition, ...]:
        """The registered sagas: those that the orchestrator was given, and those that it has started."""
        return self.registry.sagas

    @property
    def registry(self) -> Registry:
        """The registered sagas by name and version, with the rule under which definition an instance goes on."""
        return self._operations.engine.registry

    @property
    def clock(self) -> Clock:
        """The clock that dates the events and times backoffs, waits and deadlines."""
        return self._operations.engine.settings.clock

    @property
    def is_closed(self) -> bool:
        """Whether the orchestrator is closed or closing. Nothing new starts then."""
        return self._stopping()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(instance, event)` after every durable event from now on, beside `on_event`.

        The listener hears the operations of this orchestrator that begin after this call, on the thread that performs
        them. It does not hear other orchestrators or processes. The returned function ends this.
        """
        return self._operations.engine.listen(listener)

    def stop_driving(self) -> None:
        """Let every drive of this orchestrator end at its next safe point, now and later. Return at once.

        The outcome of an action under way is recorded, and nothing new starts; another orchestrator can resume the
        instance. Unlike after `close`, requests and decisions are still recorded. Orchestrators alongside go on.
        """
        self._stopping.stop_driving()

    # The operations ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def close(self) -> Awaitable[None] | None:
        """Wait for the operations under way, then let go of the resources and of a store that was opened by its URL.

        Actions under way are recorded, nothing new starts, and unfinished instances resume later. From inside an
        action, `close` only lets nothing new start, because that action still needs the rest: close again afterwards.
        """

    @abstractmethod
    def run(self, saga: HasDefinition, input: Any, *, id: str | None = None, check: bool = False) -> InstanceResult:
        """Start an instance, drive it until it is at rest or blocked, and return it.

        The same id with the same input is the same instance: a second call resumes it, or returns it as it is when
        it is at rest, blocked, or driven by another owner. After a crash at any moment, the same call continues where
        the instance stopped.

        Raises:
            InputMismatch: the id belongs to another saga or another input.
            PayloadError: the input cannot be stored, or does not match the declared type.
            ResourceMissing: the saga declares a resource that the orchestrator was not given.
            SagaFailed: with `check`, the instance failed.
            SagaUnfinished: with `check`, the instance is not at rest.
        """

    @abstractmethod
    def start(self, saga: HasDefinition, input: Any, *, id: str | None = None) -> InstanceResult:
        """Create an instance durably without driving it: `resume`, `advance` or `recover` will. Idempotent by id."""

    @abstractmethod
    def resume(self, id: str) -> InstanceResult:
        """Drive an instance on until it is at rest or blocked, and sleep through its backoffs.

        Raises:
            StoreConflict: another owner drives the instance.
            DefinitionChanged: the saga has changed since the instance began.
        """

    @abstractmethod
    def advance(self, id: str) -> InstanceResult:
        """Carry out exactly one command of an instance, and never sleep. When none is due, return it as it is."""

    @abstractmethod
    def recover(self) -> RecoveryReport | Awaitable[RecoveryReport]:
        """Resume every unowned instance that can go on: interrupted ones, and parked ones whose time has come.

        Never sleeps. Reports an instance that cannot be resumed, and goes on with the others. A second pass changes
        nothing.
        """

    @abstractmethod
    def get(self, id: str) -> InstanceResult:
        """Return an instance as it is in the store.

        Raises:
            SagaNotFound: there is no instance of that id.
        """

    @abstractmethod
    def alongside(
        self, *, sagas: Iterable[HasDefinition] | None = None, on_event: Listener | None = None
    ) -> BaseOrchestrator:
        """Return another orchestrator over the same store, with the same sagas (unless given), resources and clock.

        The listeners of this orchestrator hear its events too, and first. It can be closed alone. Closing this
        orchestrator drains both, because they share the store. Resources that are entered are entered anew.
        """

    @abstractmethod
    def cancel(self, id: str, *, by: str | None = None, reason: str) -> InstanceResult:
        """Ask an instance to go back. Return the instance once the request is stored and, where possible, handled.

        The request survives a crash: the next owner of the instance reads it before anything else.

        Raises:
            IllegalTransition: the instance is at rest, or its pivot has succeeded.
        """

    @abstractmethod
    def signal(self, id: str, name: str, payload: Any = None, *, request_id: str | None = None) -> InstanceResult:
        """Give an instance a signal that it waits for, now or later. Return the instance once that is stored.

        Where possible the signal is handled, too; else the next owner does so, also after a crash. Only the first
        signal of a name counts, and a `request_id` counts once. A nested instance takes its signals by its own id, or
        by the id of its root and the path, "child/approval".

        Raises:
            RequestError: the saga waits for no such signal.
            IllegalTransition: the instance is at rest, goes back, or is past that wait.
        """

    @abstractmethod
    def fork(
        self, id: str, *, at: int, resources: Mapping[str, Any] | None = None
    ) -> BaseOrchestrator | Awaitable[BaseOrchestrator]:
        """Copy an instance as it was after event `at`, in memory, to try what would happen; return its orchestrator.

        The copy is not driven. Its orchestrator has only the `resources` given here, never those of this one.

        Raises:
            IndexError: there is no event of that number.
        """

    @abstractmethod
    def retry(
        self, id: str, *, step: str | None = None, by: str | None = None, reason: str | None = None
    ) -> InstanceResult:
        """Call the action or compensation of a blocked instance again, with a new budget of attempts."""

    @abstractmethod
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
    ) -> InstanceResult:
        """Record the truth about a blocked step: done with this `result`, `not_done`, or `undone` by hand.

        Raises:
            TypeError: not exactly one of the three is given.
            IllegalTransition: the block does not allow it.
        """

    @abstractmethod
    def compensate(
        self, id: str, *, step: str | None = None, by: str | None = None, reason: str | None = None
    ) -> InstanceResult:
        """Make an instance go back: a blocked one, including its step in doubt, or a completed one.

        Raises:
            IllegalTransition: there is no way back: a pivot has succeeded, or nothing can be undone.
        """

    @abstractmethod
    def skip(self, id: str, *, reason: str, step: str | None = None, by: str | None = None) -> InstanceResult:
        """Leave the effect of a blocked step as residue, and go on with the other compensations."""

    @abstractmethod
    def abandon(self, id: str, *, reason: str, by: str | None = None) -> InstanceResult:
        """End an instance in its present state. All remaining effects are residue. Needs no definition."""
