"""How an instance goes on under another definition than it was begun under, and where it must not. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sagafsm.definition.definition import Definition, StepDefinition
from sagafsm.definition.fingerprint import compute_fingerprint, list_differences
from sagafsm.definition.machine import build_units
from sagafsm.errors import DefinitionChanged, DefinitionError, format_list
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.step_state import StepState


def build_migration_event(
    instance: SagaInstance, definition: Definition, names: Mapping[str, str | None]
) -> e.InstanceMigrated:
    """The fact that an instance goes on under `definition`; `names` tells the new names of its steps.

    Raises:
        DefinitionError: `names` names steps that are not there.
        DefinitionChanged: the current step has gone, or what was begun could not be undone any more.
    """
    _check_migration_names(instance, definition, names)
    renamed = {step.name: names.get(step.name, step.name) for step in instance.outline}
    refused = tuple(_list_migration_refusals(instance, definition, renamed))
    if refused:
        raise DefinitionChanged(instance.id, instance.saga, instance.version, refused, migrating=True)
    return e.InstanceMigrated(
        version=definition.version,
        fingerprint=definition.fingerprint,
        steps=definition.outline,
        renamed=tuple((old, new) for old, new in renamed.items() if old != new),
        state=_find_migrated_state(instance, definition, renamed),
    )


def _check_migration_names(instance: SagaInstance, definition: Definition, names: Mapping[str, str | None]) -> None:
    what = f"the migration of saga {definition.saga!r} from version {instance.version}"
    if not isinstance(names, Mapping):
        raise DefinitionError(f"{what} returns a mapping of old names to new ones, not {names!r}")
    old = [step.name for step in instance.outline]
    for before, after in names.items():
        if before not in old:
            raise DefinitionError(
                f"{what} names step {before!r}, which that version does not have ({format_list(old)})"
            )
        if after is not None and after not in definition.by_name:
            raise DefinitionError(
                f"{what} names step {after!r}, which is not there ({format_list(definition.by_name)})"
            )
    taken: dict[str, str] = {}
    for before in old:
        name = names.get(before, before)
        if name is None or name not in definition.by_name:
            continue
        if name in taken:
            raise DefinitionError(f"{what} makes one step {name!r} of {taken[name]!r} and {before!r}")
        taken[name] = before


def _list_migration_refusals(
    instance: SagaInstance, definition: Definition, renamed: Mapping[str, str | None]
) -> Iterator[str]:
    """Why the instance cannot go on, a phrase each."""
    before = {step.name: step for step in instance.outline}
    new = {name: after for name, after in renamed.items() if after in definition.by_name}
    current = _list_migrated_steps(instance)
    for name, record in instance.steps.items():
        after = definition.by_name.get(new.get(name) or "")
        is_next = after is None and name in current
        if name not in instance.started and record.status in ("pending", "skipped") and not is_next:
            continue
        if after is not None:
            yield from _check_migrated_step(before[name], record, after)
        elif name in current:
            yield f"step {name!r}, in which it is, is gone"
        elif before[name].compensation and record.can_be_compensated:
            yield f"step {name!r} is gone, and its compensation with it"
        elif before[name].effect and _may_remain(record):
            yield f"step {name!r} is gone, and what it may have left with it"
    yield from _check_migrated_order(instance, definition, new)


def _check_migrated_step(before: e.StepOutline, record: StepState, after: StepDefinition) -> Iterator[str]:
    """What of a step that was begun must not have changed."""
    name = before.name
    if after.kind != before.kind:
        yield f"step {name!r} was a {before.kind} and is a {after.kind}"
    elif before.kind == "saga" and after.name != name:
        # Its instance has the step's name in its id.
        yield f"nested saga {name!r} was begun and is named {after.name!r} now"
    elif before.compensation and record.can_be_compensated and not after.can_undo:
        yield f"step {name!r} has lost its compensation"
    elif before.effect and _may_remain(record) and not after.effect:
        yield f"step {name!r} has lost its effect"
    elif compute_fingerprint(before.steps) != compute_fingerprint(after.outline.steps):
        yield from (f"in saga {name!r}, {phrase}" for phrase in list_differences(before.steps, after.outline.steps))
    elif before.pivot and not after.pivot and record.may_have_effect:
        yield f"step {name!r} is the pivot no more, and it was begun"


def _may_remain(record: StepState) -> bool:
    """Whether an effect of the step may remain. A nested saga whose action is parked does not count here.

    Such a nested saga belongs to the current state. Other checks refuse a change of its steps or of its place, with
    messages that say more: the differences of the nested saga, or the steps before and behind it.
    """
    return record.may_have_effect and record.undo != "undone"


def _list_migrated_steps(instance: SagaInstance) -> tuple[str, ...]:
    """The steps of the state in which the instance is."""
    units = {unit.name: unit for unit in build_units(instance.outline)}
    unit = units.get(instance.current or "")
    return () if unit is None else tuple(step.name for step in unit.steps)


def _check_migrated_order(
    instance: SagaInstance, definition: Definition, new: Mapping[str, str | None]
) -> Iterator[str]:
    """Steps that would stand on the other side of the one in which the instance is, or of each other."""
    places = {step.name: i for i, unit in enumerate(definition.units.values()) for step in unit.steps}
    undoable = {name for name, after in new.items() if definition.by_name[after or ""].can_undo}
    begun = [name for name in instance.started if name in undoable and _may_remain(instance.steps[name])]
    places_of_begun = [places[new[name] or ""] for name in begun]
    if places_of_begun != sorted(places_of_begun):
        yield f"steps {format_list(map(repr, begun))} were begun in this order, and stand in another"
    members = _list_migrated_steps(instance)
    here = {places[name] for old in members if (name := new.get(old)) is not None}
    if len(here) > 1:
        yield f"the steps in which it is, {format_list(map(repr, members))}, stand in different states"
    if not here:
        if instance.state == "completed":
            yield from _check_migrated_pivot(instance, definition, new, len(definition.units))
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
    yield from _check_migrated_pivot(instance, definition, new, place)


def _check_migrated_pivot(
    instance: SagaInstance, definition: Definition, new: Mapping[str, str | None], place: int
) -> Iterator[str]:
    """A pivot where there was none, which would cut the way back off."""
    pivots = {new.get(step.name) for step in instance.outline if step.pivot}
    for i, unit in enumerate(definition.units.values()):
        goes_back = instance.cause is not None or instance.cancel is not None
        if unit.steps[0].pivot and unit.name not in pivots and (i < place or (i == place and goes_back)):
            yield f"step {unit.name!r} is a new pivot {'before it' if i < place else 'and goes back'}"


def _find_migrated_state(instance: SagaInstance, definition: Definition, renamed: Mapping[str, str | None]) -> str:
    members = [name for old in _list_migrated_steps(instance) if (name := renamed[old]) is not None]
    if not members:
        return instance.state
    unit = next(unit.name for unit in definition.units.values() if any(step.name in members for step in unit.steps))
    return f"{instance.phase}:{unit}"
