"""The instances nested in one that is driven: created, claimed under its claim, told what concerns them, let go."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import attrs

from sagafsm import events as e
from sagafsm.batch import Todo
from sagafsm.children import child_id, requests_for
from sagafsm.command import RunChild
from sagafsm.creation import created
from sagafsm.drivers.claims import claimed, create, release
from sagafsm.drivers.effects import Steps, StoreCall
from sagafsm.drivers.journal import Journal, tell
from sagafsm.drivers.lease import Lease, new_owner
from sagafsm.drivers.node import Node, Opening
from sagafsm.drivers.reading import Reading
from sagafsm.drivers.settings import Settings
from sagafsm.errors import IllegalTransition, SagaNotFound
from sagafsm.instance import SagaInstance
from sagafsm.payload import decode, encode
from sagafsm.store import Store, Stored


@attrs.define(eq=False)
class Tree:
    """What a drive needs to open nested sagas. The root's claim is that of the whole tree.

    A nested instance is claimed too, so that an owner who has lost the root writes nothing in it; but its claim is
    never waited for: whoever owns the root may take it.
    """

    store: Store
    settings: Settings
    owner: str
    resources: Mapping[str, Any]

    def open(self, node: Node, run: RunChild) -> Steps[tuple[Node | None, Todo | None, Any]]:
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
        lease = Lease(self.store, name, new_owner(self.owner))
        yield from self._post(name, run.requests)
        lease.token = yield from claimed(lease, self.settings.lease, replacing=stored.summary.token)
        instance = (yield StoreCall(functools.partial(self.store.load, name))).instance
        child = self._heard(self._node(node, run, attrs.evolve(instance, owner=None), lease))
        return child, None, _sending_back(node) if sent_back else None

    def look(self, node: Node, run: RunChild) -> Steps[SagaInstance]:
        """The nested instance that a command drives, as it stands."""
        name = child_id(node.instance.id, run.step)
        stored: Stored = yield StoreCall(functools.partial(self.store.load, name))
        return stored.instance

    def _create(self, node: Node, run: RunChild, name: str) -> Steps[tuple[Node, Todo | None]]:
        definition, settings = node.definition.by_name[run.step].child, self.settings
        assert definition is not None  # noqa: S101 - only a nested saga is driven by this command
        begin = not settings.stopping()
        batch, todo = created(
            definition,
            name,
            self._input(node, run, name),
            now=settings.clock.now(),
            begin=begin,
            deadline=node.instance.deadline,
            mail=run.requests,
            has_limits=settings.limits is not None,
        )
        lease = Lease(self.store, name, new_owner(self.owner))
        yield from create(batch, lease, settings.lease, under=node.root.journal.lease.token)
        tell(settings.on_event, batch)
        return self._heard(self._node(node, run, batch.instance, lease)), todo

    def _input(self, node: Node, run: RunChild, name: str) -> str:
        """The stored form of a nested saga's input: the computed one, or the parent's when it fits."""
        definition, record = node.definition.by_name[run.step].child, node.instance.steps[run.step]
        kind = Any if definition is None else definition.input
        subject = f"input of instance {name!r}"
        text = node.instance.input_json if record.input_json is None else record.input_json
        value = decode(text, kind, subject=subject)
        return text if kind is Any else encode(value, kind, subject=subject, max_payload=self.settings.max_payload)

    def _node(self, parent: Node, run: RunChild, instance: SagaInstance, lease: Lease) -> Node:
        definition = parent.definition.by_name[run.step].child
        assert definition is not None  # noqa: S101 - as above
        journal = Journal(instance, lease, self.settings.on_event)
        reading = Reading(definition, instance.id, self.settings.max_payload)
        return Node(self.settings, definition, journal, reading, self.resources, parent=parent, run=run)

    @staticmethod
    def _heard(child: Node) -> Node:
        """With what it was opened with counted as told."""
        requests = () if child.run is None else child.run.requests
        child.posted |= {request.request_id for request in requests if request.request_id is not None}
        return child

    def tell(self, child: Node) -> Steps[bool]:
        """Post what its parent has come to know that concerns it, and return whether there is something new."""
        if child.parent is None or child.run is None:
            return False
        wanted = requests_for(child.parent.instance, child.run.step, child.run.direction)
        new = [request for request in wanted if request.request_id not in child.posted]
        child.posted |= {request.request_id for request in new if request.request_id is not None}
        yield from self._post(child.instance.id, new)
        return bool(new)

    def _post(self, name: str, requests: Any) -> Steps[None]:
        for request in requests:
            try:
                yield StoreCall(functools.partial(self.store.post, name, request))
            except IllegalTransition:
                # It has come to rest meanwhile: how, its parent is about to hear.
                return

    def close(self, child: Node) -> Steps[None]:
        """Let a nested instance go, and those nested in it."""
        child.leave()
        for nested in tuple(child.children.values()):
            yield from self.close(nested)
        yield from release(child.journal.lease)


def _sending_back(node: Node) -> Opening:
    cause = node.instance.cause
    why = "compensated with its parent" if cause is None else str(cause)
    return lambda _: (e.CauseRecorded(kind="parent", by=None if cause is None else cause.by, reason=why),)
