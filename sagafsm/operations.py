"""What an orchestrator does, once: steps that a sync and an async performer carry out alike."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, get_args
from uuid import uuid4

import attrs

from sagafsm import events as e
from sagafsm.creation import created
from sagafsm.decision import Verdict, refused
from sagafsm.definition import Definition, check_label
from sagafsm.drivers.drive import Mode
from sagafsm.drivers.effects import Steps, StoreCall
from sagafsm.drivers.lease import Lease, is_owned
from sagafsm.drivers.resources import needed
from sagafsm.driving import Driving, refuse_nested
from sagafsm.errors import (
    DefinitionChanged,
    DefinitionError,
    InputMismatch,
    InstanceExists,
    NotClaimed,
    RequestError,
    ResourceMissing,
    SagaNotFound,
    listed,
)
from sagafsm.instance import SagaInstance
from sagafsm.moves import passed_pivot
from sagafsm.payload import encode, same_json
from sagafsm.recovery import RecoveryReport
from sagafsm.signals import has_signal
from sagafsm.steps import Defined
from sagafsm.store import Store, Stored, Summary
from sagafsm.trees import abandon, histories, returns_of

PAGE = 100


@attrs.define(eq=False)
class Operations:
    """One orchestrator's work. Every method is a generator of effects that returns its result."""

    driving: Driving

    # Starting ---------------------------------------------------------------------------------------------------------

    def start(
        self, saga: Defined, input: Any, *, id: str | None, drive: bool, resources: Mapping[str, Any] | None = None
    ) -> Steps[SagaInstance]:
        """Create the instance, unless it exists with the same input, and, with `drive`, drive it."""
        settings = self.driving.settings
        definition = self.driving.registry.add(saga)
        instance_id = uuid4().hex if id is None else check_label(id, "an instance id")
        given = needed(definition, {**self.driving.resources, **(resources or {})})
        subject = f"input of instance {instance_id!r} of saga {definition.saga!r}"
        input_json = encode(input, definition.input, subject=subject, max_payload=settings.max_payload)
        has_limits = settings.limits is not None
        now = settings.clock.now()
        batch, begun = created(definition, instance_id, input_json, now=now, begin=drive, has_limits=has_limits)
        try:
            return (yield from self.driving.create(definition, batch, begun, given))
        except InstanceExists:
            return (yield from self._existing(definition, instance_id, input_json, given if drive else None))

    def _existing(
        self, definition: Definition, instance_id: str, input_json: str, given: Mapping[str, Any] | None
    ) -> Steps[SagaInstance]:
        """The instance that has the id; with `given` resources it is driven on when it can be."""
        stored = yield from self.driving.load(instance_id)
        instance: SagaInstance = stored.instance
        if instance.saga != definition.saga:
            raise InputMismatch(instance_id, f"as an instance of saga {instance.saga!r}, not {definition.saga!r}")
        if not same_json(instance.input_json, input_json):
            raise InputMismatch(instance_id, "with another input")
        if given is None or instance.is_at_rest:
            return instance
        self.driving.refuse_reentry(instance, "run")
        if instance.blocked or is_owned(stored.summary):
            return instance
        try:
            return (yield from self.driving.drive(stored, "until_parked", "run", given=given))
        except NotClaimed:
            # Somebody was faster: the instance is owned elsewhere now.
            return (yield from self.driving.load(instance_id)).instance

    # Looking ----------------------------------------------------------------------------------------------------------

    def get(self, instance_id: str) -> Steps[SagaInstance]:
        """The instance as it stands."""
        return (yield from self.driving.load(instance_id)).instance

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
        """The next summaries behind id `after`.

        Raises:
            RequestError: a filter is none.
        """
        _check_filters(saga=saga, state=state, after=after, blocked=blocked, older_than=older_than, limit=limit)
        find = functools.partial(
            self.driving.store.find,
            saga=saga,
            state=state,
            blocked=blocked,
            updated_before=None if older_than is None else self.driving.settings.clock.now() - older_than,
            after=after,
            limit=PAGE if limit is None else min(limit, PAGE),
        )
        page: Sequence[Summary] = yield StoreCall(find)
        return page

    # Going on ---------------------------------------------------------------------------------------------------------

    def resume(self, instance_id: str, mode: Mode, operation: str) -> Steps[SagaInstance]:
        """Claim the instance and drive it as far as `mode` says; at rest it is returned as it stands."""
        stored = yield from self.driving.load(instance_id)
        refuse_nested(instance_id, operation)
        if stored.instance.is_at_rest:
            return stored.instance
        return (yield from self.driving.drive(stored, mode, operation))

    def recover(self) -> Steps[RecoveryReport]:
        """Resume what is due, unowned and not parked, page by page; never sleep."""
        resumed: list[str] = []
        errors: dict[str, Exception] = {}
        after: str | None = ""
        now = self.driving.settings.clock.now()
        while after is not None and not self.driving.settings.stopping():
            due, after = yield from self.due(now, after)
            for instance_id in due:
                if not self.driving.settings.stopping():
                    yield from self._recover(instance_id, resumed, errors)
        return RecoveryReport(resumed=tuple(resumed), errors=errors)

    def due(self, now: datetime, after: str) -> Steps[tuple[tuple[str, ...], str | None]]:
        """A page of ids of roots that can go on and that nobody owns, and where the next page begins, if one does."""
        find = functools.partial(self.driving.store.find, due=now, after=after, limit=PAGE)
        page: Sequence[Summary] = yield StoreCall(find)
        ids = tuple(summary.id for summary in page if not is_owned(summary))
        return ids, page[-1].id if len(page) == PAGE else None

    def _recover(self, instance_id: str, resumed: list[str], errors: dict[str, Exception]) -> Steps[None]:
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

    def cancel(self, instance_id: str, *, by: str | None, reason: str) -> Steps[SagaInstance]:
        """Post a cancel, and handle it when nobody owns the instance and its definition is at hand."""
        check_words("cancel", by=by, reason=reason, required=True)
        refuse_nested(instance_id, "cancel")
        stored = yield from self.driving.load(instance_id)
        if stored.instance.is_at_rest or passed_pivot(stored.instance):
            raise refused(stored.instance, "cancel")
        request = e.CancelRequested(request_id=uuid4().hex, by=by, reason=reason)
        return (yield from self._posted(stored, request, "cancel"))

    def _posted(self, stored: Stored, request: e.Request, operation: str) -> Steps[SagaInstance]:
        """Post a request, and handle it when nobody owns the instance and its definition is at hand."""
        instance_id = stored.instance.id
        yield StoreCall(functools.partial(self.driving.store.post, instance_id, request))
        if not is_owned(stored.summary) and self.driving.registry.knows(stored.instance):
            try:
                return (yield from self.driving.drive(stored, "until_parked", operation))
            except (NotClaimed, DefinitionError, DefinitionChanged, ResourceMissing):
                # Whoever drives it next reads the mail first; here it cannot be.
                pass
        return (yield from self.driving.load(instance_id)).instance

    def signal(self, instance_id: str, name: str, payload: Any, *, request_id: str | None) -> Steps[SagaInstance]:
        """Post a signal, and handle it when nobody owns the instance and its definition is at hand.

        By a nested instance's id it goes to the root, which passes it on.
        """
        check_request(instance_id, request_id)
        root, _, path = instance_id.partition("/")
        path = f"{path}/{name}" if path else name
        stored = yield from self.driving.load(root)
        subject = f"payload of signal {name!r} for instance {instance_id!r}"
        text = encode(payload, Any, subject=subject, max_payload=self.driving.settings.max_payload)
        if has_signal(stored.instance, path, request_id):
            return stored.instance
        request = e.SignalReceived(request_id=request_id or uuid4().hex, name=path, payload_json=text)
        return (yield from self._posted(stored, request, "signal"))

    def decide(self, instance_id: str, verdict: Verdict) -> Steps[SagaInstance]:
        """Record the decision, with what follows from it in the same commit, and drive on."""
        required = verdict.decision in ("skip", "abandon") or verdict.decision.startswith("resolve")
        check_words(verdict.decision, by=verdict.by, reason=verdict.reason, required=required)
        stored = yield from self.driving.load(instance_id)
        refuse_nested(instance_id, verdict.decision)
        sends_back = verdict.decision == "compensate" and stored.instance.state == "completed"
        if sends_back:
            verdict.events(stored.instance)
        elif verdict.decision == "abandon" or stored.instance.is_at_rest:
            return (yield from self._abandon(stored, verdict))
        return (yield from self.driving.drive(stored, "until_parked", verdict.decision, opening=verdict.events))

    def resolve(
        self, instance_id: str, verdict: e.Decision, *, step: str | None, by: str, reason: str, result: Any
    ) -> Steps[SagaInstance]:
        """Record what an operator found to be true, with the result by the step's own annotation."""
        result_json = None
        if verdict == "resolve(result)":
            instance = (yield from self.driving.load(instance_id)).instance
            # After a process death the block is yet to be recorded: what it concerns is the step that was running.
            concerned = step or next((block.step for block in instance.blocked), instance.current or "")
            subject = f"result of step {concerned!r} of instance {instance_id!r}"
            kind = Any if instance.is_at_rest else self._returns(instance, concerned)
            result_json = encode(result, kind, subject=subject, max_payload=self.driving.settings.max_payload)
        made = Verdict(decision=verdict, step=step, by=by, reason=reason, result_json=result_json)
        return (yield from self.decide(instance_id, made))

    def _returns(self, instance: SagaInstance, path: str) -> Any:
        """The type of a step's result, by the name that it has or that a migration is about to change."""
        definition, fact = self.driving.registry.of(instance)
        head, slash, rest = path.partition("/")
        now = head if fact is None else dict(fact.renamed).get(head, head)
        return returns_of(definition, f"{now}{slash}{rest}")

    def _abandon(self, stored: Stored, verdict: Verdict) -> Steps[SagaInstance]:
        """End the instance where it stands; its definition need not be known any more."""
        verdict.events(stored.instance)
        self.driving.refuse_reentry(stored.instance, verdict.decision)

        def work(lease: Lease) -> Steps[SagaInstance]:
            instance = yield from self.driving.ours(lease)
            return (yield from abandon(instance, lease, verdict, self.driving))

        return (yield from self.driving.owning(stored.summary, work))

    # Looking into what might be ---------------------------------------------------------------------------------------

    def fork(self, instance_id: str, at: int, into: Store) -> Steps[None]:
        """Copy an instance, as it was once event `at` was recorded, with those nested in it, into another store."""
        refuse_nested(instance_id, "fork")
        instance = (yield from self.driving.load(instance_id)).instance
        instance.at(at)
        for history in (yield from histories(instance, at, self.driving)):
            into.import_(history)


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


def check_words(operation: str, *, by: object, reason: object, required: bool) -> None:
    """Refuse a reason or a name that the history could not keep.

    Raises:
        RequestError: it is no text, or the operation needs a reason and has none.
    """
    for name, value in (("by", by), ("reason", reason)):
        if value is not None and not isinstance(value, str):
            raise RequestError(f"{operation!r} takes {name}= as text, not {value!r}")
    if required and not reason:
        raise RequestError(f"{operation!r} takes reason=, which the history keeps; it is empty")


def check_request(instance_id: object, request_id: object) -> None:
    """Refuse ids that are none.

    Raises:
        RequestError: the instance's is no text, or the request's is given and no text of 1 to 200 printable characters.
    """
    if not isinstance(instance_id, str):
        raise RequestError(f"'signal' takes an instance's id as text, not {instance_id!r}")
    if request_id is None or (isinstance(request_id, str) and 0 < len(request_id) <= 200 and request_id.isprintable()):
        return
    raise RequestError(f"'signal' takes request_id= as text of 1 to 200 printable characters, not {request_id!r}")


def _check_filters(**given: object) -> None:
    limit, age, blocked = given.pop("limit"), given.pop("older_than"), given.pop("blocked")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise RequestError(f"find takes limit= of 1 or more, not {limit!r}")
    if age is not None and not isinstance(age, timedelta):
        raise RequestError(f"find takes older_than= as a timedelta, not {age!r}")
    if not isinstance(blocked, (bool, type(None))) and blocked not in get_args(e.BlockReason):
        raise RequestError(
            f"find takes blocked= as True, False or one of {listed(get_args(e.BlockReason))}, not {blocked!r}"
        )
    for name, value in given.items():
        if not isinstance(value, (str, type(None))):
            raise RequestError(f"find takes {name}= as text, not {value!r}")
