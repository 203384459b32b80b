"""How an instance goes on under another definition than it was begun under, and where it must not. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sagafsm import events as e
from sagafsm.definition import Definition, StepDefinition, differences, fingerprint
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
        raise DefinitionChanged(instance.id, instance.saga, instance.version, refused, migrating=True)
    return e.InstanceMigrated(
        version=definition.version,
        fingerprint=definition.fingerprint,
        steps=definition.outline,
        renamed=tuple((old, new) for old, new in renamed.items() if old != new),
        state=_state(instance, definition, renamed),
    )


def _check_names(instance: SagaInstance, definition: Definition, names: Mapping[str, str | None]) -> None:
    what = f"the migration of saga {definition.saga!r} from version {instance.version}"
    if not isinstance(names, Mapping):
        raise DefinitionError(f"{what} returns a mapping of old names to new ones, not {names!r}")
    old = [step.name for step in instance.outline]
    for before, after in names.items():
        if before not in old:
            raise DefinitionError(f"{what} names step {before!r}, which that version does not have ({listed(old)})")
        if after is not None and after not in definition.by_name:
            raise DefinitionError(f"{what} names step {after!r}, which is not there ({listed(definition.by_name)})")
    taken: dict[str, str] = {}
    for before in old:
        name = names.get(before, before)
        if name is None or name not in definition.by_name:
            continue
        if name in taken:
            raise DefinitionError(f"{what} makes one step {name!r} of {taken[name]!r} and {before!r}")
        taken[name] = before


def _refused(instance: SagaInstance, definition: Definition, renamed: Mapping[str, str | None]) -> Iterator[str]:
    """Why the instance cannot go on, a phrase each."""
    before = {step.name: step for step in instance.outline}
    new = {name: after for name, after in renamed.items() if after in definition.by_name}
    current = _members(instance)
    for name, record in instance.steps.items():
        after = definition.by_name.get(new.get(name) or "")
        is_next = after is None and name in current
        if name not in instance.started and record.status in ("pending", "skipped") and not is_next:
            continue
        if after is not None:
            yield from _changed(before[name], record, after)
        elif name in current:
            yield f"step {name!r}, in which it is, is gone"
        elif _is_owed(before[name], record):
            yield f"step {name!r} is gone, and its compensation with it"
        elif _may_remain(before[name], record):
            yield f"step {name!r} is gone, and what it may have left with it"
    yield from _out_of_order(instance, definition, new)


def _changed(before: e.StepOutline, record: StepRecord, after: StepDefinition) -> Iterator[str]:
    """What of a step that was begun must not have changed."""
    name = before.name
    if after.kind != before.kind:
        yield f"step {name!r} was a {before.kind} and is a {after.kind}"
    elif before.kind == "saga" and after.name != name:
        # Its instance has the step's name in its id.
        yield f"nested saga {name!r} was begun and is named {after.name!r} now"
    elif _is_owed(before, record) and not after.can_undo:
        yield f"step {name!r} has lost its compensation"
    elif _may_remain(before, record) and not after.effect:
        yield f"step {name!r} has lost its effect"
    elif fingerprint(before.steps) != fingerprint(after.outline.steps):
        yield from (f"in saga {name!r}, {phrase}" for phrase in differences(before.steps, after.outline.steps))
    elif before.pivot and not after.pivot and record.status in ("done", "unstorable", "running", "in_doubt"):
        yield f"step {name!r} is the pivot no more, and it was begun"


def _is_owed(step: e.StepOutline, record: StepRecord) -> bool:
    return step.compensation and record.may_have_effect and record.undo not in ("undone", "skipped")


def _may_remain(step: e.StepOutline, record: StepRecord) -> bool:
    return step.effect and record.may_have_effect and record.undo != "undone"


def _members(instance: SagaInstance) -> tuple[str, ...]:
    """The steps of the state in which the instance is."""
    units = {unit.name: unit for unit in units_of(instance.outline)}
    unit = units.get(instance.current or "")
    return () if unit is None else tuple(step.name for step in unit.steps)


def _out_of_order(instance: SagaInstance, definition: Definition, new: Mapping[str, str | None]) -> Iterator[str]:
    """Steps that would stand on the other side of the one in which the instance is, or of each other."""
    places = {step.name: i for i, unit in enumerate(definition.units.values()) for step in unit.steps}
    undone = {name for name, after in new.items() if definition.by_name[after or ""].can_undo}
    owed = [
        name
        for name in instance.started
        if name in undone and instance.steps[name].may_have_effect and instance.steps[name].undo != "undone"
    ]
    begun = [places[new[name] or ""] for name in owed]
    if begun != sorted(begun):
        yield f"steps {listed(map(repr, owed))} were begun in this order, and stand in another"
    members = _members(instance)
    here = {places[name] for old in members if (name := new.get(old)) is not None}
    if len(here) > 1:
        yield f"the steps in which it is, {listed(map(repr, members))}, stand in different states"
    if not here:
        if instance.state == "completed":
            yield from _new_pivot(instance, definition, new, len(definition.units))
        return
    place, past = min(here), [step.name for step in instance.outline]
    first, last = past.index(members[0]), past.index(members[-1])
    for i, old in enumerate(past):
        name = new.get(old)
        if name is None or first <= i <= last:
            continue
        if i < first and places[name] >= place:
            yield f"step {old!r} was before it, and stands behind"
        elif i > last and places[name] < place and instance.phase == "running":
            yield f"step {old!r} was behind it, and stands before"
    yield from _new_pivot(instance, definition, new, place)


def _new_pivot(
    instance: SagaInstance, definition: Definition, new: Mapping[str, str | None], place: int
) -> Iterator[str]:
    """A pivot where there was none, which would cut the way back off."""
    pivots = {new.get(step.name) for step in instance.outline if step.pivot}
    for i, unit in enumerate(definition.units.values()):
        goes_back = instance.cause is not None or instance.cancel is not None
        if unit.steps[0].pivot and unit.name not in pivots and (i < place or (i == place and goes_back)):
            yield f"step {unit.name!r} is a new pivot {'before it' if i < place else 'and goes back'}"


def _state(instance: SagaInstance, definition: Definition, renamed: Mapping[str, str | None]) -> str:
    members = [name for old in _members(instance) if (name := renamed[old]) is not None]
    if not members:
        return instance.state
    unit = next(unit.name for unit in definition.units.values() if any(step.name in members for step in unit.steps))
    return f"{instance.phase}:{unit}"
