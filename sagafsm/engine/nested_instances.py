"""The instances nested in one that is driven: created, claimed under its claim, told what concerns them, let go."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import attrs

from sagafsm.core.commands import RunChild
from sagafsm.core.commit import NextCalls, build_first_commit
from sagafsm.core.nested import child_id, list_parent_requests
from sagafsm.engine.config import Settings
from sagafsm.engine.driven_instance import DrivenInstance, FirstEvents
from sagafsm.engine.effects import Effects, StoreCall
from sagafsm.engine.journal import Journal, claim_instance, create_instance, release_claim
from sagafsm.engine.listeners import notify_listeners
from sagafsm.engine.ownership import Lease, create_owner
from sagafsm.engine.replies import ReplyInterpreter
from sagafsm.errors import IllegalTransition, SagaNotFound
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.payload import decode, encode
from sagafsm.store import Store, Stored


@attrs.define(eq=False)
class NestedInstances:
    """What a drive needs to open nested sagas. The root's claim is that of the whole tree.

    A nested instance is claimed too, so that an owner who has lost the root writes nothing in it; but its claim is
    never waited for: whoever owns the root may take it.
    """

    store: Store
    settings: Settings
    owner: str
    resources: Mapping[str, Any]

    def open(self, node: DrivenInstance, run: RunChild) -> Effects[tuple[DrivenInstance | None, NextCalls | None, Any]]:
        """The nested instance that a command drives, as a node, and what is to be done first in it.

        That is what its creation has written ahead, or the fact that sends it back. Without a node there is nothing to
        drive: the third is the instance, at rest, or None when it was never created and will not be.

        Raises:
            SagaNotFound: its history tells what it did, and is gone.
        """
        name = child_id(node.instance.id, run.step)
        try:
            stored = yield StoreCall(functools.partial(self.store.load, name))
        except SagaNotFound:
            known = node.instance.steps[run.step].child
            if run.direction == "compensation" or (known is not None and known.parked):
                # It was there: begun anew it would do all again, and passed over it would leave what it did.
                raise
            if node.instance.cause is not None:
                return None, None, None
            child, todo = yield from self._create(node, run, name)
            return child, todo, None
        sent_back = run.direction == "compensation" and stored.instance.state == "completed"
        if stored.instance.is_at_rest and not sent_back:
            return None, None, stored.instance
        lease = Lease(self.store, name, create_owner(self.owner))
        yield from self._post(name, run.requests)
        lease.token = yield from claim_instance(lease, self.settings.lease, replacing=stored.summary.token)
        instance = (yield StoreCall(functools.partial(self.store.load, name))).instance
        child = self._heard(self._node(node, run, attrs.evolve(instance, owner=None), lease))
        return child, None, _sending_back(node) if sent_back else None

    def look(self, node: DrivenInstance, run: RunChild) -> Effects[SagaInstance]:
        """The nested instance that a command drives, as it stands."""
        name = child_id(node.instance.id, run.step)
        stored: Stored = yield StoreCall(functools.partial(self.store.load, name))
        return stored.instance

    def _create(
        self, node: DrivenInstance, run: RunChild, name: str
    ) -> Effects[tuple[DrivenInstance, NextCalls | None]]:
        definition, settings = node.definition.by_name[run.step].child, self.settings
        assert definition is not None  # noqa: S101 - only a nested saga is driven by this command
        begin = not settings.stopping()
        batch, todo = build_first_commit(
            definition,
            name,
            self._input(node, run, name),
            now=settings.clock.now(),
            begin=begin,
            deadline=node.instance.deadline,
            mail=run.requests,
            has_limits=settings.limits is not None,
        )
        lease = Lease(self.store, name, create_owner(self.owner))
        yield from create_instance(batch, lease, settings.lease, under=node.root.journal.lease.token)
        notify_listeners(settings.on_event, batch)
        return self._heard(self._node(node, run, batch.instance, lease)), todo

    def _input(self, node: DrivenInstance, run: RunChild, name: str) -> str:
        """The stored form of a nested saga's input: the computed one, or the parent's when it fits."""
        definition, record = node.definition.by_name[run.step].child, node.instance.steps[run.step]
        kind = Any if definition is None else definition.input
        subject = f"input of instance {name!r}"
        text = node.instance.input_json if record.input_json is None else record.input_json
        value = decode(text, kind, subject=subject)
        return text if kind is Any else encode(value, kind, subject=subject, max_payload=self.settings.max_payload)

    def _node(self, parent: DrivenInstance, run: RunChild, instance: SagaInstance, lease: Lease) -> DrivenInstance:
        definition = parent.definition.by_name[run.step].child
        assert definition is not None  # noqa: S101 - as above
        journal = Journal(instance, lease, self.settings.on_event)
        reading = ReplyInterpreter(definition, instance.id, self.settings.max_payload)
        return DrivenInstance(self.settings, definition, journal, reading, self.resources, parent=parent, run=run)

    @staticmethod
    def _heard(child: DrivenInstance) -> DrivenInstance:
        """With what it was opened with counted as told."""
        requests = () if child.run is None else child.run.requests
        child.posted |= {request.request_id for request in requests if request.request_id is not None}
        return child

    def tell(self, child: DrivenInstance) -> Effects[bool]:
        """Post what its parent has come to know that concerns it, and return whether there is something new."""
        if child.parent is None or child.run is None:
            return False
        wanted = list_parent_requests(child.parent.instance, child.run.step, child.run.direction)
        new = [request for request in wanted if request.request_id not in child.posted]
        child.posted |= {request.request_id for request in new if request.request_id is not None}
        yield from self._post(child.instance.id, new)
        return bool(new)

    def _post(self, name: str, requests: Any) -> Effects[None]:
        for request in requests:
            try:
                yield StoreCall(functools.partial(self.store.post, name, request))
            except IllegalTransition:
                # It has come to rest meanwhile: how, its parent is about to hear.
                return

    def close(self, child: DrivenInstance) -> Effects[None]:
        """Let a nested instance go, and those nested in it."""
        child.leave()
        for nested in tuple(child.children.values()):
            yield from self.close(nested)
        yield from release_claim(child.journal.lease)


def _sending_back(node: DrivenInstance) -> FirstEvents:
    cause = node.instance.cause
    why = "compensated with its parent" if cause is None else str(cause)
    return lambda _: (e.CauseRecorded(kind="parent", by=None if cause is None else cause.by, reason=why),)
