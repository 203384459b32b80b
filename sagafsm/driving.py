"""Owning an instance while it is driven: claim, drive, and give it up whatever happens."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

import attrs

from sagafsm.batch import Batch
from sagafsm.command import Run
from sagafsm.definition import Definition
from sagafsm.drivers.drive import Drive, Mode, Opening, Settings
from sagafsm.drivers.effects import Enter, Steps, StoreCall, Write
from sagafsm.drivers.journal import Journal, tell
from sagafsm.drivers.lease import Lease, LeaseKeeper, is_dead, is_running, new_owner
from sagafsm.drivers.reading import Reading
from sagafsm.drivers.resources import needed
from sagafsm.errors import IllegalTransition, InstanceExists, NotClaimed, SagaNotFound, StoreConflict, StoreError
from sagafsm.instance import SagaInstance
from sagafsm.registry import Registry
from sagafsm.store import Create, Store, Stored, Summary
from sagafsm.values import replace

T = TypeVar("T")
CREATE_AGAIN = 3

# The instances whose actions are under way around the present code: driving one of them again would wait for itself.
_driven: ContextVar[frozenset[tuple[int, str, int, str]]] = ContextVar("sagafsm_driven", default=frozenset())


@attrs.define(eq=False)
class Driving:
    """What every operation of one orchestrator needs to drive instances."""

    store: Store
    registry: Registry
    resources: Mapping[str, Any]
    settings: Settings
    keeper: LeaseKeeper
    owner: str

    def load(self, instance_id: str) -> Steps[Stored]:
        """The instance with its row."""
        stored: Stored = yield StoreCall(functools.partial(self.store.load, instance_id))
        return stored

    def claimed(self, lease: Lease) -> Steps[SagaInstance]:
        """The instance as it stands once it is ours; nobody else's, so that what becomes of it names no owner."""
        return replace((yield from self.load(lease.instance_id)).instance, owner=None)

    @property
    def is_under_way(self) -> bool:
        """Whether the present code runs inside an action that this orchestrator drives."""
        return any(driver == id(self) and is_running(drive) for _, _, driver, drive in _driven.get())

    def refuse_reentry(self, instance: SagaInstance, operation: str) -> None:
        """Raise when the present code runs inside an action of this very instance."""
        here = (id(self.store), instance.id)
        # A task that outlives the action which began it inherits the mark, but the drive has ended.
        if any(driven[:2] == here and is_running(driven[3]) for driven in _driven.get()):
            state = f"{instance.state} and driven by the very code that asks"
            raise IllegalTransition(instance.id, state, operation, ("cancel",))

    def drive(
        self,
        stored: Stored,
        mode: Mode,
        operation: str,
        *,
        opening: Opening | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> Steps[SagaInstance]:
        """Claim an instance and drive it as far as `mode` says.

        Raises:
            StoreConflict: somebody else owns it.
            IllegalTransition: the call comes from inside one of its own actions.
        """
        self.refuse_reentry(stored.instance, operation)
        definition = self.registry.of(stored.instance)
        resources = yield Enter(needed(definition, self.resources) if given is None else given)

        def work(lease: Lease) -> Steps[SagaInstance]:
            instance = yield from self.claimed(lease)
            return (yield from self._driven(definition, instance, lease, resources, mode, opening=opening))

        return (yield from self.owning(stored.summary, work))

    def create(
        self, definition: Definition, batch: Batch, begun: Run | None, given: Mapping[str, Any]
    ) -> Steps[SagaInstance]:
        """Store a new instance and, when its first call was written ahead, drive it.

        Raises:
            InstanceExists: the id is taken.
        """
        if begun is None:
            yield from self._store(batch, None)
            self._tell(batch)
            return batch.instance
        resources = yield Enter(given)
        lease = Lease(self.store, batch.instance.id, new_owner(self.owner))
        with self.keeper.running(lease):
            try:
                yield from self._store(batch, lease)
                with _noted(lambda: batch.instance):
                    self._tell(batch)
                return (
                    yield from self._driven(definition, batch.instance, lease, resources, "until_parked", begun=begun)
                )
            finally:
                yield from self._release(lease)

    def _store(self, batch: Batch, lease: Lease | None) -> Steps[None]:
        events, instance_id = tuple(batch.events), batch.instance.id
        claim: dict[str, Any] = {} if lease is None else {"owner": lease.owner, "lease": self.settings.lease}
        create = Create(instance_id=instance_id, events=events, **claim)
        for tries_left in range(CREATE_AGAIN, -1, -1):
            try:
                token: int = yield Write(self.store, create)
            except InstanceExists:
                raise
            except StoreError as error:
                stored = yield from self._looked_up(instance_id, error)
                if stored is None and tries_left:
                    continue
                ours = stored is not None and stored.instance.history == events
                if stored is None or not ours or (lease is not None and stored.summary.owner != lease.owner):
                    raise
                token = stored.summary.token
            break
        if lease is not None:
            lease.token = token

    def _tell(self, batch: Batch) -> None:
        tell(self.settings.on_event, zip(batch.instances, batch.events, strict=True))

    def _looked_up(self, instance_id: str, error: StoreError) -> Steps[Stored | None]:
        try:
            return (yield from self.load(instance_id))
        except SagaNotFound:
            return None
        except StoreError:
            raise error from None

    def owning(self, summary: Summary, work: Callable[[Lease], Steps[T]]) -> Steps[T]:
        """Do some work under a claim, and give the instance up whatever happens."""
        lease = Lease(self.store, summary.id, new_owner(self.owner))
        replacing = summary.token if summary.owner is not None and is_dead(summary.owner) else None
        claim = functools.partial(
            self.store.claim, summary.id, owner=lease.owner, lease=self.settings.lease, replacing=replacing
        )
        # Counted as running before it is claimed: nobody may take the claim for that of a drive that has ended.
        with self.keeper.running(lease):
            try:
                lease.token = yield from _granted(claim)
                return (yield from work(lease))
            finally:
                yield from self._release(lease)

    def _release(self, lease: Lease) -> Steps[None]:
        if lease.token is None or lease.released:
            return
        # Where it fails the drive counts as ended all the same: this process finds it free, others when it runs out.
        with contextlib.suppress(StoreError):
            yield StoreCall(functools.partial(self.store.release, lease.instance_id, token=lease.token))

    def _driven(
        self,
        definition: Definition,
        instance: SagaInstance,
        lease: Lease,
        resources: Mapping[str, Any],
        mode: Mode,
        *,
        opening: Opening | None = None,
        begun: Run | None = None,
    ) -> Steps[SagaInstance]:
        journal = Journal(instance, lease, self.settings.on_event)
        reading = Reading(definition, instance.id, self.settings.max_payload)
        drive = Drive(self.settings, definition, journal, reading, resources)
        mark = _driven.set(_driven.get() | {(id(self.store), instance.id, id(self), lease.drive)})
        try:
            with _noted(lambda: journal.instance):
                yield from drive.run(mode, opening=opening, begun=begun)
            return journal.instance
        finally:
            _driven.reset(mark)
            drive.leave()


def _granted(claim: Callable[[], int]) -> Steps[int]:
    """The token of a claim. Its refusal is told apart from the loss of a claim that was granted."""
    try:
        token: int = yield StoreCall(claim)
    except StoreConflict as conflict:
        raise NotClaimed(str(conflict)) from conflict
    return token


@contextlib.contextmanager
def _noted(instance: Callable[[], SagaInstance]) -> Iterator[None]:
    """Have what interrupts the block say where the instance rests then, and how it goes on."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):
            error.add_note(_whereabouts(instance()))
        raise


def _whereabouts(instance: SagaInstance) -> str:
    if instance.is_at_rest:
        return f"instance {instance.id!r} is {instance.state}"
    return f"instance {instance.id!r} rests in {instance.state!r}; resume({instance.id!r}) or recover() goes on"
