"""Owning an instance while it is driven: claim, drive, and give it up whatever happens."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

import attrs

from sagafsm.core.commit import Commit, NextCalls
from sagafsm.definition.definition import Definition
from sagafsm.definition.registry import Registry
from sagafsm.engine.config import Settings, select_resources
from sagafsm.engine.drive_loop import DriveLoop, DriveMode
from sagafsm.engine.driven_instance import DrivenInstance, FirstEvents
from sagafsm.engine.effects import Effects, EnterResources, StoreCall
from sagafsm.engine.journal import Journal, claim_instance, create_instance, release_claim
from sagafsm.engine.listeners import Listener, Listeners, notify_listeners
from sagafsm.engine.nested_instances import NestedInstances
from sagafsm.engine.ownership import Lease, LeaseKeeper, create_owner, is_dead, is_running
from sagafsm.engine.replies import ReplyInterpreter
from sagafsm.errors import IllegalTransition, RequestError
from sagafsm.history.events import Event
from sagafsm.history.instance import SagaInstance
from sagafsm.store import Store, Stored, Summary
from sagafsm.value import replace

T = TypeVar("T")

# The instances whose actions are under way around the present code: driving one of them again would wait for itself.
_driven_here: ContextVar[frozenset[tuple[int, str, int, str]]] = ContextVar("sagafsm_driven", default=frozenset())


@attrs.define(eq=False)
class Engine:
    """What every operation of one orchestrator needs to drive instances; `origin_engine` is the one that made it."""

    store: Store
    registry: Registry
    resources: Mapping[str, Any]
    settings: Settings
    keeper: LeaseKeeper
    owner: str
    origin_engine: Engine | None = None
    _listening: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` told too, by drives that begin from now on; until the function that is returned is called."""
        if not callable(listener):
            raise RequestError(f"'listen' takes a function of an instance and an event, not {listener!r}")
        # A listener of its own each time, so that who listens twice stops the one that it means.
        told = functools.partial(listener)

        def stop() -> None:
            with self._listening:
                heard = self.settings.on_event
                if isinstance(heard, Listeners):
                    self.settings = replace(self.settings, on_event=heard.without(told))

        with self._listening:
            heard = self.settings.on_event
            before = heard if isinstance(heard, Listeners) else Listeners(() if heard is None else (heard,))
            self.settings = replace(self.settings, on_event=Listeners((*before.each, told)))
        return stop

    def forward_event(self, instance: SagaInstance, event: Event) -> None:
        """Pass on what a part of this one has made durable."""
        if self.settings.on_event is not None:
            self.settings.on_event(instance, event)

    def load(self, instance_id: str) -> Effects[Stored]:
        """The instance with its row."""
        stored: Stored = yield StoreCall(functools.partial(self.store.load, instance_id))
        return stored

    def load_claimed(self, lease: Lease) -> Effects[SagaInstance]:
        """The instance as it stands once it is ours; nobody else's, so that what becomes of it names no owner."""
        return replace((yield from self.load(lease.instance_id)).instance, owner=None)

    def _self_and_origins(self) -> Iterator[Engine]:
        yield self
        if self.origin_engine is not None:
            yield from self.origin_engine._self_and_origins()

    @property
    def is_under_way(self) -> bool:
        """Whether the present code runs inside an action that this orchestrator, or a part of it, drives."""
        return any(driver == id(self) and is_running(drive) for _, _, driver, drive in _driven_here.get())

    def refuse_reentry(self, instance: SagaInstance, operation: str) -> None:
        """Raise when the present code runs inside an action of this very instance."""
        here = (id(self.store), instance.id)
        # A task that outlives the action which began it inherits the mark, but the drive has ended.
        if any(driven[:2] == here and is_running(driven[3]) for driven in _driven_here.get()):
            state = f"{instance.state} and driven by the very code that asks"
            raise IllegalTransition(instance.id, state, operation, ("cancel",))

    def drive(
        self,
        stored: Stored,
        mode: DriveMode,
        operation: str,
        *,
        opening: FirstEvents | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> Effects[SagaInstance]:
        """Claim an instance and drive it as far as `mode` says.

        Raises:
            StoreConflict: somebody else owns it.
            IllegalTransition: the call comes from inside one of its own actions.
        """
        refuse_nested(stored.instance.id, operation)
        self.refuse_reentry(stored.instance, operation)
        definition, migration = self.registry.of(stored.instance)
        resources = yield EnterResources(select_resources(definition, self.resources) if given is None else given)

        def work(lease: Lease) -> Effects[SagaInstance]:
            instance = yield from self.load_claimed(lease)
            changed = len(instance.history) != len(stored.instance.history)
            # Somebody else drove it on, or migrated it, before it was ours.
            of, fact = self.registry.of(instance) if changed else (definition, migration)
            prelude = () if fact is None else (fact,)
            return (yield from self._driven(of, instance, lease, resources, mode, opening=opening, prelude=prelude))

        return (yield from self.run_under_claim(stored.summary, work))

    def create(
        self, definition: Definition, batch: Commit, begun: NextCalls | None, given: Mapping[str, Any]
    ) -> Effects[SagaInstance]:
        """Store a new instance and, when its first call was written ahead, drive it.

        Raises:
            InstanceExists: the id is taken.
        """
        if begun is None:
            yield from create_instance(batch, None, self.settings.lease, store=self.store)
            self._tell(batch)
            return batch.instance
        resources = yield EnterResources(given)
        lease = Lease(self.store, batch.instance.id, create_owner(self.owner))
        with self.keeper.running(lease):
            try:
                yield from create_instance(batch, lease, self.settings.lease)
                instance = batch.instance
                try:
                    self._tell(batch)
                except BaseException as error:
                    _add_engine_position_note(error, instance)
                    raise
                return (yield from self._driven(definition, instance, lease, resources, "until_parked", begun=begun))
            finally:
                yield from release_claim(lease)

    def _tell(self, batch: Commit) -> None:
        notify_listeners(self.settings.on_event, batch)

    def run_under_claim(self, summary: Summary, work: Callable[[Lease], Effects[T]]) -> Effects[T]:
        """Do some work under a claim, and give the instance up whatever happens."""
        lease = Lease(self.store, summary.id, create_owner(self.owner))
        replacing = summary.token if summary.owner is not None and is_dead(summary.owner) else None
        # Counted as running before it is claimed: nobody may take the claim for that of a drive that has ended.
        with self.keeper.running(lease):
            try:
                lease.token = yield from claim_instance(lease, self.settings.lease, replacing=replacing)
                return (yield from work(lease))
            finally:
                yield from release_claim(lease)

    def _driven(
        self,
        definition: Definition,
        instance: SagaInstance,
        lease: Lease,
        resources: Mapping[str, Any],
        mode: DriveMode,
        *,
        opening: FirstEvents | None = None,
        begun: NextCalls | None = None,
        prelude: Sequence[Event] = (),
    ) -> Effects[SagaInstance]:
        journal = Journal(instance, lease, self.settings.on_event)
        reading = ReplyInterpreter(definition, instance.id, self.settings.max_payload)
        root = DrivenInstance(self.settings, definition, journal, reading, resources, prelude=prelude)
        tree = NestedInstances(self.store, self.settings, self.owner, resources)
        drive = DriveLoop(self.settings, root, tree, mode)
        marks = {(id(self.store), instance.id, id(driver), lease.drive) for driver in self._self_and_origins()}
        mark = _driven_here.set(_driven_here.get() | marks)
        try:
            yield from drive.run(opening=opening, begun=begun)
            return journal.instance
        except BaseException as error:
            _add_engine_position_note(error, journal.instance)
            raise
        finally:
            _driven_here.reset(mark)
            yield from drive.leave()


def refuse_nested(instance_id: str, operation: str) -> None:
    """Raise for a nested instance: it is driven, cancelled and decided as a part of its tree.

    Raises:
        IllegalTransition: it is nested; the message names its root.
    """
    root, _, path = instance_id.partition("/")
    if path:
        state = f"nested in instance {root!r}"
        raise IllegalTransition(instance_id, state, operation, (f"{operation} of {root!r}", "get", "signal"))


def _add_engine_position_note(error: BaseException, instance: SagaInstance) -> None:
    """Have what interrupts a drive say where the instance rests then, and how it goes on."""
    if not isinstance(error, Exception):
        error.add_note(_describe_engine_position(instance))


def _describe_engine_position(instance: SagaInstance) -> str:
    if instance.is_at_rest:
        return f"instance {instance.id!r} is {instance.state}"
    return f"instance {instance.id!r} rests in {instance.state!r}; resume({instance.id!r}) or recover() goes on"
