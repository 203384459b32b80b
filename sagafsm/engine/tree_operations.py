"""What is done to a root and all that is nested in it, beside driving it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from sagafsm.core.commands import RunChild
from sagafsm.core.commit import Commit
from sagafsm.core.decisions import DecisionRequest
from sagafsm.core.nested import child_id, count_events_at
from sagafsm.core.observe import observe_nested_instance, record_residue
from sagafsm.definition.definition import Definition
from sagafsm.engine.effects import Effects, StoreCall
from sagafsm.engine.engine import Engine
from sagafsm.engine.journal import Journal, claim_instance, release_claim
from sagafsm.engine.ownership import Lease, create_owner
from sagafsm.errors import MailWaits, SagaNotFound
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.store import Stored


def find_result_type(definition: Definition, path: str) -> Any:
    """The type of a step's result, by its path; Any when none is declared."""
    name, _, rest = path.partition("/")
    step = definition.by_name.get(name)
    if step is None:
        return Any
    return step.returns if not rest or step.child is None else find_result_type(step.child, rest)


def _load_nested(instance: SagaInstance, engine: Engine) -> Effects[list[tuple[str, Stored]]]:
    """The instances of the nested sagas of one instance, by step, as far as they exist."""
    found: list[tuple[str, Stored]] = []
    for step in instance.outline:
        if step.kind == "saga" and instance.steps[step.name].status != "pending":
            try:
                load = functools.partial(engine.store.load, child_id(instance.id, step.name))
                found.append((step.name, (yield StoreCall(load))))
            except SagaNotFound:
                continue
    return found


def abandon_tree(
    instance: SagaInstance, lease: Lease, verdict: DecisionRequest, engine: Engine
) -> Effects[SagaInstance]:
    """End an instance where it stands, those nested in it first; all that is left is residue."""
    journal = Journal(instance, lease, engine.settings.on_event)
    left: dict[str, e.Event] = {}
    while True:
        batch = Commit(None, journal.instance, engine.settings.clock.now())
        batch.record(_reject_late_decisions((yield from journal.mail())))
        try:
            nested = yield from _load_nested(journal.instance, engine)
            if nested and batch.events:
                # Read before those nested are closed: nothing is written in them while it waits.
                yield from journal.append(batch)
                batch = Commit(None, journal.instance, engine.settings.clock.now())
            for step, stored in nested:
                event = yield from _abandon_nested(journal.instance, step, stored, verdict, engine)
                left |= {} if event is None or step in left else {step: event}
            batch.record((*left.values(), *verdict.events(batch.draft)))
            yield from journal.append(batch)
        except MailWaits as waits:
            if waits.instance_id != instance.id:
                raise
            continue
        return journal.instance


def _reject_late_decisions(mail: Sequence[e.Request]) -> Iterator[e.Event]:
    """A decision that was handed down means nothing any more."""
    for request in mail:
        if isinstance(request, e.DecisionMade):
            yield e.DecisionCameTooLate(request_id=request.request_id or "")
        else:
            yield request


def _abandon_nested(
    parent: SagaInstance, step: str, stored: Stored, verdict: DecisionRequest, engine: Engine
) -> Effects[e.Event | None]:
    """What the parent records of one nested instance; None: it knows already."""
    record, child = parent.steps[step], stored.instance
    if child.is_at_rest:
        undoing = record.undo is not None
        if record.status not in ("running", "parked") and record.undo not in ("running", "parked"):
            return None
        run = RunChild(step=step, attempt=1, key="", direction="compensation" if undoing else "action")
        return observe_nested_instance(run, child) if not (undoing and child.state == "completed") else None
    lease = Lease(engine.store, child.id, create_owner(engine.owner))
    try:
        lease.token = yield from claim_instance(lease, engine.settings.lease, replacing=stored.summary.token)
        child = (yield StoreCall(functools.partial(engine.store.load, child.id))).instance
        ended = yield from abandon_tree(attrs.evolve(child, owner=None), lease, verdict, engine)
    finally:
        yield from release_claim(lease)
    return e.ChildAbandoned(step=step, residue=record_residue(ended))


def load_histories(instance: SagaInstance, at: int, engine: Engine) -> Effects[list[tuple[e.Event, ...]]]:
    """The history of an instance up to an event, and those of the nested instances up to that moment."""
    found = [instance.history[:at]]
    known, moment = instance.at(at), instance.history[at - 1].at
    for step, stored in (yield from _load_nested(known, engine)):
        child = stored.instance
        if length := count_events_at(known.steps[step], child.history, moment):
            found += yield from load_histories(child, length, engine)
    return found
