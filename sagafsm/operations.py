"""What an orchestrator does, once: steps that a sync and an async performer carry out alike."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import timedelta
from typing import Any
from uuid import uuid4

import attrs

from sagafsm import events as e
from sagafsm.batch import Batch
from sagafsm.command import Run
from sagafsm.creation import created
from sagafsm.decide import passed_pivot
from sagafsm.decision import Verdict, refused
from sagafsm.definition import Definition, check_label
from sagafsm.drivers.drive import Drive, Mode, Opening, Settings
from sagafsm.drivers.effects import Enter, Steps, StoreCall
from sagafsm.drivers.journal import Journal, tell
from sagafsm.drivers.lease import Lease, LeaseKeeper, is_dead, is_owned, new_owner
from sagafsm.drivers.reading import Reading
from sagafsm.drivers.resources import needed
from sagafsm.errors import (
    IllegalTransition,
    InputMismatch,
    InstanceExists,
    MailWaits,
    SagaError,
    SagaNotFound,
    StoreConflict,
    StoreError,
)
from sagafsm.instance import SagaInstance
from sagafsm.payload import encode, same_json
from sagafsm.recovery import RecoveryReport
from sagafsm.registry import Defined, Registry
from sagafsm.store import Owner, Store, Stored, Summary

CREATE_TRIES = 4
PAGE = 100

# The instances whose actions are under way around the present code: driving one of them again would wait for itself.
_driven: ContextVar[frozenset[tuple[int, str]]] = ContextVar("sagafsm_driven", default=frozenset())


@attrs.define(eq=False)
class Operations:
    """One orchestrator's work. Every method is a generator of effects that returns its result."""

    store: Store
    registry: Registry
    resources: Mapping[str, Any]
    settings: Settings
    keeper: LeaseKeeper
    owner: str

    # Starting ---------------------------------------------------------------------------------------------------------

    def start(
        self, saga: Defined, input: Any, *, id: str | None, drive: bool, resources: Mapping[str, Any] | None = None
    ) -> Steps[SagaInstance]:
        """Create the instance, unless it exists with the same input, and, with `drive`, drive it."""
        definition = self.registry.add(saga)
        instance_id = uuid4().hex if id is None else check_label(id, "an instance id")
        given = needed(definition, self.resources if resources is None else {**self.resources, **resources})
        subject = f"input of instance {instance_id!r} of saga {definition.saga!r}"
        input_json = encode(input, definition.input, subject=subject, max_payload=self.settings.max_payload)
        batch, begun = created(definition, instance_id, input_json, now=self.settings.clock.now(), begin=drive)
        owner = new_owner(self.owner) if drive else None
        try:
            if drive:
                given = yield Enter(given)
            token = yield from self._create(batch, owner)
        except InstanceExists:
            return (yield from self._existing(definition, instance_id, input_json, drive=drive, given=given))
        if owner is None or begun is None:
            return batch.instance
        lease = Lease(self.store, instance_id, owner, token)
        return (yield from self._leased(definition, batch.instance, lease, given, "until_parked", begun=begun))

    def _create(self, batch: Batch, owner: Owner | None) -> Steps[int]:
        events, instance_id = tuple(batch.events), batch.instance.id
        create = functools.partial(
            self.store.create,
            instance_id,
            events,
            owner=owner,
            lease=None if owner is None else self.settings.lease,
        )
        for tries_left in reversed(range(CREATE_TRIES)):
            try:
                token: int = yield StoreCall(create)
            except InstanceExists:
                raise
            except StoreError as error:
                stored = yield from self._created_after_all(instance_id, error)
                if stored is None and tries_left:
                    continue
                if stored is None or stored.instance.history != events or stored.summary.owner != owner:
                    raise
                token = stored.summary.token
            break
        tell(self.settings.on_event, zip(batch.instances, batch.events, strict=True))
        return token

    def _created_after_all(self, instance_id: str, error: StoreError) -> Steps[Stored | None]:
        try:
            return (yield from self._load(instance_id))
        except SagaNotFound:
            return None
        except StoreError:
            raise error from None

    def _existing(
        self, definition: Definition, instance_id: str, input_json: str, *, drive: bool, given: Mapping[str, Any]
    ) -> Steps[SagaInstance]:
        stored = yield from self._load(instance_id)
        instance: SagaInstance = stored.instance
        if instance.saga != definition.saga:
            raise InputMismatch(instance_id, f"as an instance of saga {instance.saga!r}, not {definition.saga!r}")
        if not same_json(instance.input_json, input_json):
            raise InputMismatch(instance_id, "with another input")
        if not drive or instance.is_at_rest or instance.blocked or is_owned(stored.summary):
            self._refuse_reentry(instance, "run")
            return instance
        try:
            return (yield from self._drive(stored, "until_parked", "run", given=given))
        except StoreConflict:
            # Somebody was faster: the instance is owned elsewhere now.
            return (yield from self._load(instance_id)).instance

    # Going on ---------------------------------------------------------------------------------------------------------

    def resume(self, instance_id: str, mode: Mode, operation: str) -> Steps[SagaInstance]:
        """Claim the instance and drive it as far as `mode` says; at rest it is returned as it stands."""
        stored = yield from self._load(instance_id)
        if stored.instance.is_at_rest:
            return stored.instance
        return (yield from self._drive(stored, mode, operation))

    def recover(self) -> Steps[RecoveryReport]:
        """Resume what is due, unowned and not parked, page by page; never sleep."""
        resumed: list[str] = []
        errors: dict[str, Exception] = {}
        after, now = None, self.settings.clock.now()
        while not self.settings.stopping():
            find = functools.partial(self.store.find, due=now, after=after, limit=PAGE)
            page: Sequence[Summary] = yield StoreCall(find)
            for summary in page:
                if is_owned(summary) or self.settings.stopping():
                    continue
                yield from self._recover(summary.id, resumed, errors)
            if len(page) < PAGE:
                break
            after = page[-1].id
        return RecoveryReport(resumed=tuple(resumed), errors=errors)

    def _recover(self, instance_id: str, resumed: list[str], errors: dict[str, Exception]) -> Steps[None]:
        try:
            yield from self.resume(instance_id, "without_sleep", "recover")
        except (StoreConflict, SagaNotFound):
            # Another worker took it, or it was deleted, since the page was read.
            return
        except SagaError as error:
            errors[instance_id] = error
        else:
            resumed.append(instance_id)

    # Requests and decisions -------------------------------------------------------------------------------------------

    def cancel(self, instance_id: str, *, by: str | None, reason: str) -> Steps[SagaInstance]:
        """Post a cancel, and handle it when nobody owns the instance and its definition is at hand."""
        stored = yield from self._load(instance_id)
        if stored.instance.is_at_rest or passed_pivot(stored.instance):
            raise refused(stored.instance, "cancel")
        request = e.CancelRequested(request_id=uuid4().hex, by=by, reason=reason)
        yield StoreCall(functools.partial(self.store.post, instance_id, request))
        if not is_owned(stored.summary) and self.registry.knows(stored.instance):
            try:
                return (yield from self._drive(stored, "until_parked", "cancel"))
            except StoreConflict:
                # Its new owner reads the mail.
                pass
        return (yield from self._load(instance_id)).instance

    def decide(self, instance_id: str, verdict: Verdict) -> Steps[SagaInstance]:
        """Record the decision, with what follows from it in the same commit, and drive on."""
        stored = yield from self._load(instance_id)
        if verdict.decision == "abandon" or stored.instance.is_at_rest:
            return (yield from self._abandon(stored, verdict))
        return (yield from self._drive(stored, "until_parked", verdict.decision, opening=verdict.events))

    def resolve(
        self, instance_id: str, verdict: e.Decision, *, step: str | None, by: str, reason: str, result: Any
    ) -> Steps[SagaInstance]:
        """Record what an operator found to be true, with the result by the step's own annotation."""
        result_json = None
        if verdict == "resolve(result)":
            instance = (yield from self._load(instance_id)).instance
            concerned = next((block.step for block in instance.blocked if step in (None, block.step)), "")
            subject = f"result of step {concerned or instance.current!r} of instance {instance_id!r}"
            known = None if instance.is_at_rest else self.registry.of(instance).by_name.get(concerned)
            kind = Any if known is None else known.action.returns
            result_json = encode(result, kind, subject=subject, max_payload=self.settings.max_payload)
        made = Verdict(decision=verdict, step=step, by=by, reason=reason, result_json=result_json)
        return (yield from self.decide(instance_id, made))

    def _abandon(self, stored: Stored, verdict: Verdict) -> Steps[SagaInstance]:
        """End the instance where it stands; its definition need not be known any more."""
        verdict.events(stored.instance)
        self._refuse_reentry(stored.instance, verdict.decision)
        lease = yield from self._claim(stored.summary)
        try:
            stored = yield from self._load(stored.instance.id)
            journal = Journal(stored.instance, lease, self.settings.on_event)
            while True:
                mail = yield from journal.mail()
                batch = Batch(None, journal.instance, self.settings.clock.now())
                batch.record((*mail, *verdict.events(batch.instance)))
                try:
                    yield from journal.append(batch, outcome=None)
                except MailWaits:
                    continue
                return journal.instance
        finally:
            yield from self._release(lease)

    # Driving ----------------------------------------------------------------------------------------------------------

    def _load(self, instance_id: str) -> Steps[Stored]:
        stored: Stored = yield StoreCall(functools.partial(self.store.load, instance_id))
        return stored

    def get(self, instance_id: str) -> Steps[SagaInstance]:
        """The instance as it stands."""
        return (yield from self._load(instance_id)).instance

    def page(
        self,
        *,
        saga: str | None,
        state: str | None,
        blocked: bool | e.BlockReason | None,
        older_than: timedelta | None,
        after: str | None,
        limit: int | None,
    ) -> Steps[Sequence[Summary]]:
        """The next summaries behind id `after`."""
        find = functools.partial(
            self.store.find,
            saga=saga,
            state=state,
            blocked=blocked,
            updated_before=None if older_than is None else self.settings.clock.now() - older_than,
            after=after,
            limit=PAGE if limit is None else min(limit, PAGE),
        )
        page: Sequence[Summary] = yield StoreCall(find)
        return page

    def _refuse_reentry(self, instance: SagaInstance, operation: str) -> None:
        if (id(self.store), instance.id) in _driven.get():
            raise IllegalTransition(
                instance.id, f"{instance.state} and being driven by this very call", operation, ("cancel",)
            )

    def _drive(
        self,
        stored: Stored,
        mode: Mode,
        operation: str,
        *,
        opening: Opening | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> Steps[SagaInstance]:
        instance, summary = stored.instance, stored.summary
        self._refuse_reentry(instance, operation)
        definition = self.registry.of(instance)
        resources = yield Enter(needed(definition, self.resources)) if given is None else Enter(given)
        lease = yield from self._claim(summary)
        if summary.owner is not None or lease.token != summary.token + 1:
            # Whoever owned it may have gone on between the look and the claim.
            try:
                instance = (yield from self._load(instance.id)).instance
            except BaseException:
                yield from self._release(lease)
                raise
        return (yield from self._leased(definition, instance, lease, resources, mode, opening=opening))

    def _claim(self, summary: Summary) -> Steps[Lease]:
        owner = new_owner(self.owner)
        replacing = summary.token if summary.owner is not None and is_dead(summary.owner) else None
        claim = functools.partial(
            self.store.claim, summary.id, owner=owner, lease=self.settings.lease, replacing=replacing
        )
        token: int = yield StoreCall(claim)
        return Lease(self.store, summary.id, owner, token)

    def _release(self, lease: Lease) -> Steps[None]:
        self.keeper.let_go(lease)
        # Where it fails the drive counts as ended all the same: this process finds it free, others when it runs out.
        with contextlib.suppress(StoreError):
            yield StoreCall(functools.partial(self.store.release, lease.instance_id, token=lease.token))

    def _leased(
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
        """Drive under a lease, and give it up whatever happens."""
        journal = Journal(instance, lease, self.settings.on_event)
        reading = Reading(definition, instance.id, self.settings.max_payload)
        drive = Drive(self.settings, definition, journal, reading, resources)
        mark = _driven.set(_driven.get() | {(id(self.store), instance.id)})
        self.keeper.hold(lease)
        try:
            yield from drive.run(mode, opening=opening, begun=begun)
            return journal.instance
        except BaseException as error:
            if not isinstance(error, Exception):
                error.add_note(_whereabouts(journal.instance))
            raise
        finally:
            _driven.reset(mark)
            drive.leave()
            self.keeper.let_go(lease)
            if not journal.released:
                yield from self._release(lease)


def is_driving() -> bool:
    """Whether the present code runs inside an action that some orchestrator drives."""
    return bool(_driven.get())


def verdict_of(result: bool, *, not_done: bool, undone: bool) -> e.Decision:
    """Which of the three things `resolve` was told.

    Raises:
        TypeError: none of them, or several.
    """
    told: list[e.Decision] = []
    told += ["resolve(result)"] if result else []
    told += ["resolve(not_done)"] if not_done else []
    told += ["resolve(undone)"] if undone else []
    if len(told) != 1:
        raise TypeError(f"resolve takes exactly one of result=, not_done=True, undone=True, not {len(told)} of them")
    return told[0]


def _whereabouts(instance: SagaInstance) -> str:
    if instance.is_at_rest:
        return f"instance {instance.id!r} is {instance.state}"
    return f"instance {instance.id!r} rests in {instance.state!r}; resume({instance.id!r}) or recover() goes on"
