"""The operations of an orchestrator, as effects that the sync and the async performer carry out alike."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import attrs

from sagafsm.core.commit import build_first_commit
from sagafsm.core.decisions import DecisionRequest, build_illegal_transition, has_signal
from sagafsm.core.triggers import has_passed_pivot
from sagafsm.definition.definition import Definition, HasDefinition
from sagafsm.definition.validation import check_label
from sagafsm.engine.config import check_by_and_reason, check_filters, check_request_ids, select_resources
from sagafsm.engine.drive_loop import DriveMode
from sagafsm.engine.effects import Effects, StoreCall
from sagafsm.engine.engine import Engine, refuse_nested
from sagafsm.engine.ownership import Lease, is_owned
from sagafsm.engine.tree_operations import abandon_tree, find_result_type, load_histories
from sagafsm.errors import (
    DefinitionChanged,
    DefinitionError,
    InputMismatch,
    InstanceExists,
    NotClaimed,
    ResourceMissing,
    SagaNotFound,
)
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.payload import encode, is_same_json
from sagafsm.results import RecoveryReport
from sagafsm.store import Store, Stored, Summary

PAGE_SIZE = 100


@attrs.define(eq=False)
class Operations:
    """One orchestrator's work. Every method is a generator of effects that returns its result."""

    engine: Engine

    # Starting ---------------------------------------------------------------------------------------------------------

    def start(
        self,
        saga: HasDefinition,
        input: Any,
        *,
        id: str | None,
        drive: bool,
        resources: Mapping[str, Any] | None = None,
    ) -> Effects[SagaInstance]:
        """Create the instance, unless it exists with the same input, and, with `drive`, drive it."""
        settings = self.engine.settings
        definition = self.engine.registry.add(saga)
        instance_id = uuid4().hex if id is None else check_label(id, "an instance id")
        given = select_resources(definition, {**self.engine.resources, **(resources or {})})
        subject = f"input of instance {instance_id!r} of saga {definition.saga!r}"
        input_json = encode(input, definition.input, subject=subject, max_payload=settings.max_payload)
        has_limits = settings.limits is not None
        now = settings.clock.now()
        batch, begun = build_first_commit(
            definition, instance_id, input_json, now=now, begin=drive, has_limits=has_limits
        )
        try:
            return (yield from self.engine.create(definition, batch, begun, given))
        except InstanceExists:
            return (yield from self._return_existing(definition, instance_id, input_json, given if drive else None))

    def _return_existing(
        self, definition: Definition, instance_id: str, input_json: str, given: Mapping[str, Any] | None
    ) -> Effects[SagaInstance]:
        """The instance that has the id; with `given` resources it is driven on when it can be."""
        stored = yield from self.engine.load(instance_id)
        instance: SagaInstance = stored.instance
        if instance.saga != definition.saga:
            raise InputMismatch(instance_id, f"as an instance of saga {instance.saga!r}, not {definition.saga!r}")
        if not is_same_json(instance.input_json, input_json):
            raise InputMismatch(instance_id, "with another input")
        if given is None or instance.is_at_rest:
            return instance
        self.engine.refuse_reentry(instance, "run")
        if instance.blocked or is_owned(stored.summary):
            return instance
        try:
            return (yield from self.engine.drive(stored, "until_parked", "run", given=given))
        except NotClaimed:
            # Somebody was faster: the instance is owned elsewhere now.
            return (yield from self.engine.load(instance_id)).instance

    # Looking ----------------------------------------------------------------------------------------------------------

    def get(self, instance_id: str) -> Effects[SagaInstance]:
        """The instance as it stands."""
        return (yield from self.engine.load(instance_id)).instance

    def page(
        self,
        after: str | None,
        limit: int | None,
        *,
        saga: str | None,
        state: str | None,
        blocked: bool | e.BlockReason | None,
        older_than: timedelta | None,
    ) -> Effects[Sequence[Summary]]:
        """Return the next matching summaries behind id `after`, up to a page of them.

        Raises:
            RequestError: a filter is of the wrong kind.
        """
        check_filters(saga=saga, state=state, after=after, blocked=blocked, older_than=older_than, limit=limit)
        find = functools.partial(
            self.engine.store.find,
            saga=saga,
            state=state,
            blocked=blocked,
            updated_before=None if older_than is None else self.engine.settings.clock.now() - older_than,
            after=after,
            limit=PAGE_SIZE if limit is None else min(limit, PAGE_SIZE),
        )
        page: Sequence[Summary] = yield StoreCall(find)
        return page

    # Going on ---------------------------------------------------------------------------------------------------------

    def resume(self, instance_id: str, mode: DriveMode, operation: str) -> Effects[SagaInstance]:
        """Claim the instance and drive it as far as `mode` says; at rest it is returned as it stands."""
        stored = yield from self.engine.load(instance_id)
        refuse_nested(instance_id, operation)
        if stored.instance.is_at_rest:
            return stored.instance
        return (yield from self.engine.drive(stored, mode, operation))

    def recover(self) -> Effects[RecoveryReport]:
        """Resume what is due, unowned and not parked, page by page; never sleep."""
        resumed: list[str] = []
        errors: dict[str, Exception] = {}
        after: str | None = ""
        now = self.engine.settings.clock.now()
        while after is not None and not self.engine.settings.stopping():
            due, after = yield from self.due(now, after)
            for instance_id in due:
                if not self.engine.settings.stopping():
                    yield from self._recover(instance_id, resumed, errors)
        return RecoveryReport(resumed=tuple(resumed), errors=errors)

    def due(self, now: datetime, after: str) -> Effects[tuple[tuple[str, ...], str | None]]:
        """A page of ids of roots that can go on and that nobody owns, and where the next page begins, if one does."""
        find = functools.partial(self.engine.store.find, due=now, after=after, limit=PAGE_SIZE)
        page: Sequence[Summary] = yield StoreCall(find)
        ids = tuple(summary.id for summary in page if not is_owned(summary))
        return ids, page[-1].id if len(page) == PAGE_SIZE else None

    def _recover(self, instance_id: str, resumed: list[str], errors: dict[str, Exception]) -> Effects[None]:
        try:
            yield from self.resume(instance_id, "without_sleep", "recover")
        except (NotClaimed, SagaNotFound):
            # Another worker took it, or it was deleted, since the page was read.
            return
        except Exception as error:  # noqa: BLE001 - also what entering a user's resource raises; the others go on
            errors[instance_id] = error
        else:
            resumed.append(instance_id)

    # Requests and decisions -------------------------------------------------------------------------------------------

    def cancel(self, instance_id: str, *, by: str | None, reason: str) -> Effects[SagaInstance]:
        """Post a cancel, and handle it when nobody owns the instance and its definition is at hand."""
        check_by_and_reason("cancel", by=by, reason=reason, required=True)
        refuse_nested(instance_id, "cancel")
        stored = yield from self.engine.load(instance_id)
        if stored.instance.is_at_rest or has_passed_pivot(stored.instance):
            raise build_illegal_transition(stored.instance, "cancel")
        request = e.CancelRequested(request_id=uuid4().hex, by=by, reason=reason)
        return (yield from self._post(stored, request, "cancel"))

    def _post(self, stored: Stored, request: e.Request, operation: str) -> Effects[SagaInstance]:
        """Post a request, and handle it when nobody owns the instance and its definition is at hand."""
        instance_id = stored.instance.id
        yield StoreCall(functools.partial(self.engine.store.post, instance_id, request))
        if not is_owned(stored.summary) and self.engine.registry.has_definition_for(stored.instance):
            try:
                return (yield from self.engine.drive(stored, "until_parked", operation))
            except (NotClaimed, DefinitionError, DefinitionChanged, ResourceMissing):
                # Whoever drives it next reads the mail first; here it cannot be.
                pass
        return (yield from self.engine.load(instance_id)).instance

    def signal(self, instance_id: str, name: str, payload: Any, *, request_id: str | None) -> Effects[SagaInstance]:
        """Post a signal, and handle it when nobody owns the instance and its definition is at hand.

        By a nested instance's id it goes to the root, which passes it on.
        """
        check_request_ids(instance_id, request_id)
        root, _, path = instance_id.partition("/")
        path = f"{path}/{name}" if path else name
        stored = yield from self.engine.load(root)
        subject = f"payload of signal {name!r} for instance {instance_id!r}"
        text = encode(payload, Any, subject=subject, max_payload=self.engine.settings.max_payload)
        if has_signal(stored.instance, path, request_id):
            return stored.instance
        request = e.SignalReceived(request_id=request_id or uuid4().hex, name=path, payload_json=text)
        return (yield from self._post(stored, request, "signal"))

    def decide(self, instance_id: str, verdict: DecisionRequest) -> Effects[SagaInstance]:
        """Record the decision, with what follows from it in the same commit, and drive on."""
        required = verdict.decision in ("skip", "abandon") or verdict.decision.startswith("resolve")
        check_by_and_reason(verdict.decision, by=verdict.by, reason=verdict.reason, required=required)
        stored = yield from self.engine.load(instance_id)
        refuse_nested(instance_id, verdict.decision)
        sends_back = verdict.decision == "compensate" and stored.instance.state == "completed"
        if sends_back:
            verdict.events(stored.instance)
        elif verdict.decision == "abandon" or stored.instance.is_at_rest:
            return (yield from self._abandon(stored, verdict))
        return (yield from self.engine.drive(stored, "until_parked", verdict.decision, opening=verdict.events))

    def resolve(
        self, instance_id: str, verdict: e.Decision, *, step: str | None, by: str, reason: str, result: Any
    ) -> Effects[SagaInstance]:
        """Record what an operator found to be true, with the result by the step's own annotation."""
        result_json = None
        if verdict == "resolve(result)":
            instance = (yield from self.engine.load(instance_id)).instance
            # After a process death the block is yet to be recorded: what it concerns is the step that was running.
            concerned = step or next((block.step for block in instance.blocked), instance.current or "")
            subject = f"result of step {concerned!r} of instance {instance_id!r}"
            kind = Any if instance.is_at_rest else self._returns(instance, concerned)
            result_json = encode(result, kind, subject=subject, max_payload=self.engine.settings.max_payload)
        made = DecisionRequest(decision=verdict, step=step, by=by, reason=reason, result_json=result_json)
        return (yield from self.decide(instance_id, made))

    def _returns(self, instance: SagaInstance, path: str) -> Any:
        """The type of a step's result, by the name that it has or that a migration is about to change."""
        definition, fact = self.engine.registry.of(instance)
        head, slash, rest = path.partition("/")
        now = head if fact is None else dict(fact.renamed).get(head, head)
        return find_result_type(definition, f"{now}{slash}{rest}")

    def _abandon(self, stored: Stored, verdict: DecisionRequest) -> Effects[SagaInstance]:
        """End the instance where it stands; its definition need not be known any more."""
        verdict.events(stored.instance)
        self.engine.refuse_reentry(stored.instance, verdict.decision)

        def work(lease: Lease) -> Effects[SagaInstance]:
            instance = yield from self.engine.load_claimed(lease)
            return (yield from abandon_tree(instance, lease, verdict, self.engine))

        return (yield from self.engine.run_under_claim(stored.summary, work))

    # Looking into what might be ---------------------------------------------------------------------------------------

    def fork(self, instance_id: str, at: int, into: Store) -> Effects[None]:
        """Copy an instance, as it was once event `at` was recorded, with those nested in it, into another store."""
        refuse_nested(instance_id, "fork")
        instance = (yield from self.engine.load(instance_id)).instance
        instance.at(at)
        for history in (yield from load_histories(instance, at, self.engine)):
            into.import_(history)
