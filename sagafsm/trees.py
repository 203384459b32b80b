"""What is done to a root and all that is nested in it, beside driving it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from sagafsm import events as e
from sagafsm.batch import Batch
from sagafsm.children import child_id, length_at
from sagafsm.command import RunChild
from sagafsm.decision import Verdict
from sagafsm.definition import Definition
from sagafsm.drivers.claims import claimed, release
from sagafsm.drivers.effects import Steps, StoreCall
from sagafsm.drivers.journal import Journal
from sagafsm.drivers.lease import Lease, new_owner
from sagafsm.driving import Driving
from sagafsm.errors import MailWaits, SagaNotFound
from sagafsm.instance import SagaInstance
from sagafsm.outcome import of_parted, residue_left
from sagafsm.store import Stored


def returns_of(definition: Definition, path: str) -> Any:
    """The type of a step's result, by its path; Any when none is declared."""
    name, _, rest = path.partition("/")
    step = definition.by_name.get(name)
    if step is None:
        return Any
    return step.returns if not rest or step.child is None else returns_of(step.child, rest)


def _nested(instance: SagaInstance, driving: Driving) -> Steps[list[tuple[str, Stored]]]:
    """The instances of the nested sagas of one instance, by step, as far as they exist."""
    found: list[tuple[str, Stored]] = []
    for step in instance.outline:
        if step.kind == "saga" and instance.steps[step.name].status != "pending":
            try:
                load = functools.partial(driving.store.load, child_id(instance.id, step.name))
                found.append((step.name, (yield StoreCall(load))))
            except SagaNotFound:
                continue
    return found


def abandon(instance: SagaInstance, lease: Lease, verdict: Verdict, driving: Driving) -> Steps[SagaInstance]:
    """End an instance where it stands, those nested in it first; all that is left is residue."""
    journal = Journal(instance, lease, driving.settings.on_event)
    left: dict[str, e.Event] = {}
    while True:
        batch = Batch(None, journal.instance, driving.settings.clock.now())
        batch.record(_recordable((yield from journal.mail())))
        try:
            nested = yield from _nested(journal.instance, driving)
            if nested and batch.events:
                # Read before those nested are closed: nothing is written in them while it waits.
                yield from journal.append(batch)
                batch = Batch(None, journal.instance, driving.settings.clock.now())
            for step, stored in nested:
                event = yield from _abandoned(journal.instance, step, stored, verdict, driving)
                left |= {} if event is None or step in left else {step: event}
            batch.record((*left.values(), *verdict.events(batch.draft)))
            yield from journal.append(batch)
        except MailWaits as waits:
            if waits.instance_id != instance.id:
                raise
            continue
        return journal.instance


def _recordable(mail: Sequence[e.Request]) -> Iterator[e.Event]:
    """A decision that was handed down means nothing any more."""
    for request in mail:
        if isinstance(request, e.DecisionMade):
            yield e.DecisionCameTooLate(request_id=request.request_id or "")
        else:
            yield request


def _abandoned(
    parent: SagaInstance, step: str, stored: Stored, verdict: Verdict, driving: Driving
) -> Steps[e.Event | None]:
    """What the parent records of one nested instance; None: it knows already."""
    record, child = parent.steps[step], stored.instance
    if child.is_at_rest:
        undoing = record.undo is not None
        if record.status not in ("running", "parked") and record.undo not in ("running", "parked"):
            return None
        run = RunChild(step=step, attempt=1, key="", direction="compensation" if undoing else "action")
        return of_parted(run, child) if not (undoing and child.state == "completed") else None
    lease = Lease(driving.store, child.id, new_owner(driving.owner))
    try:
        lease.token = yield from claimed(lease, driving.settings.lease, replacing=stored.summary.token)
        child = (yield StoreCall(functools.partial(driving.store.load, child.id))).instance
        ended = yield from abandon(attrs.evolve(child, owner=None), lease, verdict, driving)
    finally:
        yield from release(lease)
    return e.ChildAbandoned(step=step, residue=residue_left(ended))


def histories(instance: SagaInstance, at: int, driving: Driving) -> Steps[list[tuple[e.Event, ...]]]:
    """The history of an instance up to an event, and those of the nested instances up to that moment."""
    found = [instance.history[:at]]
    known, moment = instance.at(at), instance.history[at - 1].at
    for step, stored in (yield from _nested(known, driving)):
        child = stored.instance
        if length := length_at(known.steps[step], child.history, moment):
            found += yield from histories(child, length, driving)
    return found
