"""How an instance goes on under another definition than it was begun under, and where it must not. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sagafsm import events as e
from sagafsm.definition import Definition, differences
from sagafsm.errors import DefinitionChanged, DefinitionError, listed
from sagafsm.instance import SagaInstance
from sagafsm.machine import units_of
from sagafsm.record import StepRecord


def migrated(instance: SagaInstance, definition: Definition, names: Mapping[str, str | None]) -> e.InstanceMigrated:
    """The fact that an instance goes on under `definition`; `names` tells the new names of its steps.

    Raises:
        DefinitionError: `names` names steps that are not there.
        DefinitionChanged: the current step has gone, or what was begun could not be undone any more.
    """
    _check_names(instance, definition, names)
    renamed = {step.name: names.get(step.name, step.name) for step in instance.outline}
    refused = tuple(_refused(instance, definition, renamed))
    if refused:
        raise DefinitionChanged(instance.id, instance.saga, instance.version, refused)
    return e.InstanceMigrated(
        version=definition.version,
        fingerprint=definition.fingerprint,
        steps=definition.outline,
        renamed=tuple((old, new) for old, new in renamed.items() if old != new),
        state=_state(instance, definition, renamed),
    )


def _check_names(instance: SagaInstance, definition: Definition, names: Mapping[str, str | None]) -> None:
    what = f"the migration of saga {definition.saga!r} from version {instance.version}"
    old = [step.name for step in instance.outline]
    for before, after in names.items():
        if before not in old:
            raise DefinitionError(f"{what} names step {before!r}, which that version does not have ({listed(old)})")
        if after is not None and after not in definition.by_name:
            raise DefinitionError(f"{what} names step {after!r}, which is not there ({listed(definition.by_name)})")


def _refused(instance: SagaInstance, definition: Definition, renamed: Mapping[str, str | None]) -> Iterator[str]:
    """Why the instance cannot go on, a phrase each."""
    before = {step.name: step for step in instance.outline}
    new = {name: after for name, after in renamed.items() if after in definition.by_name}
    current = _members(instance)
    for name, record in instance.steps.items():
        begun = name in instance.started or record.status not in ("pending", "skipped")
        if not begun:
            continue
        after = definition.by_name.get(new.get(name) or "")
        if after is None:
            if name in current:
                yield f"step {name!r}, in which it is, is gone"
            elif _is_owed(before[name], record):
                yield f"step {name!r} is gone, and its compensation with it"
        elif _is_owed(before[name], record) and not after.can_undo:
            yield f"step {name!r} has lost its compensation"
        elif after.kind != before[name].kind:
            yield f"step {name!r} was a {before[name].kind} and is a {after.kind}"
        elif before[name].steps != after.outline.steps:
            told = differences(before[name].steps, after.outline.steps) or ("it changed",)
            yield from (f"in saga {name!r}, {phrase}" for phrase in told)
        elif before[name].pivot and not after.pivot and record.status in ("done", "unstorable", "running", "in_doubt"):
            yield f"step {name!r} is the pivot no more, and it was begun"
    yield from _out_of_order(instance, definition, new)


def _is_owed(step: e.StepOutline, record: StepRecord) -> bool:
    return step.compensation and record.may_have_effect and record.undo not in ("undone", "skipped")


def _members(instance: SagaInstance) -> tuple[str, ...]:
    """The steps of the state in which the instance is."""
    units = {unit.name: unit for unit in units_of(instance.outline)}
    unit = units.get(instance.current or "")
    return () if unit is None else tuple(step.name for step in unit.steps)


def _out_of_order(instance: SagaInstance, definition: Definition, new: Mapping[str, str | None]) -> Iterator[str]:
    """Steps that would stand on the other side of the one in which the instance is."""
    places = {step.name: i for i, unit in enumerate(definition.units.values()) for step in unit.steps}
    here = {places[name] for old in _members(instance) if (name := new.get(old)) is not None}
    if len(here) > 1:
        yield f"the steps in which it is, {listed(_members(instance))}, stand in different states"
    if not here:
        return
    place, past = min(here), [step.name for step in instance.outline]
    cut = min(past.index(name) for name in _members(instance))
    for old in past[:cut]:
        if (name := new.get(old)) is not None and places[name] >= place:
            yield f"step {old!r} was before it, and stands behind"
    known = set(new.values())
    pivot = next((step.name for step in definition.steps if step.pivot), None)
    if pivot is not None and pivot not in known and places[pivot] < place:
        yield f"step {pivot!r} is a new pivot before it"


def _state(instance: SagaInstance, definition: Definition, renamed: Mapping[str, str | None]) -> str:
    members = [name for old in _members(instance) if (name := renamed[old]) is not None]
    if not members:
        return instance.state
    unit = next(unit.name for unit in definition.units.values() if any(step.name in members for step in unit.steps))
    return f"{instance.phase}:{unit}"
