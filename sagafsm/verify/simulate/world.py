"""The outside systems of a saga, as fakes that can be compared before and after."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Protocol, runtime_checkable

import attrs

from sagafsm.errors import RequestError


@runtime_checkable
class World(Protocol):
    """The fakes that a saga's steps are given, and what is there to compare.

    Any class will do whose instances have these two methods; a new instance is made for every run, so that it must
    begin the same each time. Optional beside them:

    - `residue() -> Mapping[str, Any]`: the parts that may only grow, as audit rows or mails. Those keys, where the
      snapshot is a mapping that has them too, are compared as "may only have grown" instead of as equal.
    - `equivalent(before, after) -> bool`: whether two snapshots are as good as equal: a refund is not a deletion.
    - `copy()`: a world that goes on by itself from the same state; without it, `copy.deepcopy` is tried.
    """

    def resources(self) -> Mapping[str, Any]:
        """The fakes by the names under which steps ask for them."""
        ...

    def snapshot(self) -> Any:
        """All that matters of the present state, as a value that can be compared."""
        ...


WorldFactory = Callable[[], Any]


def make_world_factory(world: Any) -> WorldFactory:
    """What makes the world of each run: the class itself, a function that takes nothing, or copies of an instance.

    Raises:
        RequestError: it is none of these, or what it makes is no world.
    """
    if isinstance(world, type) or (callable(world) and not isinstance(world, World)):
        return world
    if isinstance(world, World):
        return lambda: copy_world(world)
    raise RequestError(
        f"world={world!r} is no world: give a class whose instances have resources() and snapshot(), or an instance"
    )


def make_world(factory: WorldFactory) -> Any:
    """A new world.

    Raises:
        RequestError: it cannot be made, or is none.
    """
    name = getattr(factory, "__qualname__", repr(factory))
    try:
        world = factory()
    except Exception as error:
        raise RequestError(f"world {name!r} cannot be made: {error!r} (it is called with nothing)") from error
    missing = [method for method in ("resources", "snapshot") if not callable(getattr(world, method, None))]
    if missing:
        raise RequestError(f"world {name!r} has no method {missing[0]!r} (a world has resources() and snapshot())")
    return world


def copy_world(world: Any) -> Any:
    """A world that goes on by itself from the same state."""
    own = getattr(world, "copy", None)
    return own() if callable(own) else copy.deepcopy(world)


def is_copyable(world: Any) -> bool:
    """Whether a copy can be made, and is as the world is."""
    try:
        copy = copy_world(world)
        return copy is not world and bool(copy.snapshot() == world.snapshot())
    except Exception:  # noqa: BLE001 - whatever a user's copy raises: then it cannot be copied
        return False


@attrs.frozen
class WorldSnapshot:
    """What a world is like at one moment; `grows` are the parts that may only grow."""

    state: Any
    grows: Mapping[str, Any]

    @classmethod
    def take(cls, world: Any, *, kept: bool = True) -> WorldSnapshot:
        """The present state; `kept`: independent of what becomes of the world."""
        state = world.snapshot()
        residue = getattr(world, "residue", None)
        grows = residue() if callable(residue) else {}
        return cls(copy.deepcopy(state), copy.deepcopy(grows)) if kept else cls(state, grows)

    @property
    def strict(self) -> Any:
        """The part that has to be equal."""
        if not self.grows or not isinstance(self.state, Mapping):
            return self.state
        return {key: value for key, value in self.state.items() if key not in self.grows}


def replace_keys(look: WorldSnapshot, names: Mapping[str, str]) -> WorldSnapshot:
    """The same with names in place of keys, so that what was made under different keys can be compared."""
    return WorldSnapshot(_replace_world_names(look.state, names), look.grows)


def _replace_world_names(value: Any, names: Mapping[str, str]) -> Any:
    match value:
        case str():
            for key, name in names.items():
                value = value.replace(key, name)
            return value
        case Mapping():
            return {_replace_world_names(key, names): _replace_world_names(item, names) for key, item in value.items()}
        case tuple() if hasattr(value, "_fields"):
            return type(value)(*(_replace_world_names(item, names) for item in value))
        case list() | tuple() | set() | frozenset():
            return type(value)(_replace_world_names(item, names) for item in value)
        case _:
            return value


def is_equivalent(world: Any, before: WorldSnapshot, after: WorldSnapshot) -> bool:
    """Whether a world is as it was, but for the parts that may only grow, which did nothing else."""
    if not all(has_grown(value, after.grows.get(key)) for key, value in before.grows.items()):
        return False
    equivalent = getattr(world, "equivalent", None)
    return bool(before.strict == after.strict) or (callable(equivalent) and bool(equivalent(before.state, after.state)))


def has_grown(before: Any, after: Any) -> bool:
    """Whether nothing of a value was lost: numbers do not fall, collections keep what they had."""
    match before, after:
        case Mapping(), Mapping():
            return all(key in after and has_grown(value, after[key]) for key, value in before.items())
        case Set(), Set():
            return before <= after
        case ((str() | bytes()), (str() | bytes())):
            return len(before) <= len(after)
        case Sequence(), Sequence():
            left = list(after)
            return all(_remove_if_present(value, left) for value in before)
        case ((int() | float()), (int() | float())):
            return before <= after
        case _:
            return bool(before == after)


def _remove_if_present(value: Any, left: list[Any]) -> bool:
    if value in left:
        left.remove(value)
        return True
    return False


def find_shortfalls(reference: WorldSnapshot, after: WorldSnapshot) -> list[str]:
    """The parts that may only grow of which there is less than in a run without faults, as a mail that was not sent."""
    return [
        key
        for key, value in reference.grows.items()
        if _measure_world_size(after.grows.get(key)) < _measure_world_size(value)
    ]


def _measure_world_size(value: Any) -> float:
    if isinstance(value, (int, float)):
        return float(value)
    return float(len(value)) if hasattr(value, "__len__") else float(value is not None)


def describe_changes(before: Any, after: Any, path: str = "") -> list[str]:
    """Where two snapshots differ, in words, as "bookings['b-1']: nothing, now {'guest': 'Ann'}"; sorted by place."""
    parts = _split_world_value(before), _split_world_value(after)
    if parts[0] is None or parts[1] is None or type(before) is not type(after):
        return (
            []
            if before == after
            else [f"{path or 'the snapshot'}: {_shorten_repr(before)}, now {_shorten_repr(after)}"]
        )
    found: list[str] = []
    for key in [*parts[0], *(key for key in parts[1] if key not in parts[0])]:
        place = f"{path}[{key!r}]" if path or not isinstance(key, str) else key
        if key not in parts[1]:
            found.append(f"{place}: {_shorten_repr(parts[0][key])}, now nothing")
        elif key not in parts[0]:
            found.append(f"{place}: nothing, now {_shorten_repr(parts[1][key])}")
        else:
            found += describe_changes(parts[0][key], parts[1][key], place)
    return found


def _split_world_value(value: Any) -> dict[Any, Any] | None:
    match value:
        case Mapping():
            return dict(value)
        case str() | bytes():
            return None
        case Set():
            return {item: item for item in sorted(value, key=repr)}
        case Sequence():
            return dict(enumerate(value))
        case _ if attrs.has(type(value)):
            return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
        case _:
            return None


def _shorten_repr(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def find_changed_places(before: Any, after: Any) -> frozenset[str]:
    """The places that `describe_changes` names."""
    return frozenset(change.partition(": ")[0] for change in describe_changes(before, after))


def is_overlapping(place: str, known: str) -> bool:
    """Whether one of two places is, or holds, the other."""
    return place.startswith(known) or known.startswith(place)
