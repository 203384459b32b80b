"""Compare two instances by what happened, not by when: the first difference, and how each instance ends.

`render.tables.comparison` draws the result.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, Generic, Protocol, TypeVar

import attrs

from sagafsm.display import Displayable, format_count, truncate
from sagafsm.history import events as e

# What differs between any two runs: when, under which key, on whose request, and where in a file.
_IGNORED_FIELDS = ("number", "at", "wake_at", "retry_at", "deadline", "key", "request_id", "fingerprint")
MAX_VALUE = 160


class ComparableInstance(Protocol):
    """The fields of an instance that a comparison reads."""

    @property
    def id(self) -> str:
        """The id of the instance."""
        ...

    @property
    def history(self) -> tuple[e.Event, ...]:
        """The events of the instance, in order."""
        ...


Instance = TypeVar("Instance", bound=ComparableInstance)


@attrs.frozen(kw_only=True)
class Comparison(Displayable, Generic[Instance]):
    """Two instances, event by event; `divergence` is the place, from 0, of the first pair that differs."""

    one: Instance
    other: Instance
    pairs: tuple[tuple[e.Event | None, e.Event | None], ...]
    divergence: int | None

    def __bool__(self) -> bool:
        return self.divergence is not None

    def __str__(self) -> str:
        names = f"{self.one.id!r} and {self.other.id!r}"
        if self.divergence is None:
            return f"{names} went the same way, {format_count(len(self.pairs), 'event')} long"
        mine, yours = self.pairs[self.divergence]
        first, second = _describe_compared_event(mine), _describe_compared_event(yours)
        if first == second and mine is not None and yours is not None:
            first, second = _describe_compared_difference(mine, yours)
        return f"{names} first differ at event {self.divergence + 1}: {first}, but {second}"


def compare_instances(one: Instance, other: Instance) -> Comparison[Instance]:
    """Two instances compared by what happened: kind, step, outcome, values, state; not by times and keys."""
    pairs = tuple(zip_longest(one.history, other.history))
    differing = (place for place, pair in enumerate(pairs) if not is_same_pair(pair, one.id, other.id))
    return Comparison(one=one, other=other, pairs=pairs, divergence=next(differing, None))


def is_same_pair(pair: tuple[e.Event | None, e.Event | None], mine: str, yours: str) -> bool:
    """Whether two events say the same, each read as an event of the instance with its own id."""
    return bool(_extract_comparable(pair[0], mine) == _extract_comparable(pair[1], yours))


def _extract_comparable(event: e.Event | None, instance_id: str) -> Any:
    """What of an event counts: another run of the same course has the same."""
    if event is None:
        return None
    told = {name: value for name, value in event.__dict__.items() if name not in _IGNORED_FIELDS}
    if isinstance(event, e.InstanceCreated):
        told.pop("id")
    error = told.get("error")
    if error is not None:
        # A traceback has the lines of files, which are not what happened; what fails within a nested saga tells its id.
        told["error"] = (error.type, error.message.replace(f"'{instance_id}/", "'/"))
    return type(event), told, event.__dict__.get("retry_at") is not None


def _describe_compared_event(event: e.Event | None) -> str:
    if event is None:
        return "nothing more"
    value = get_event_value(event)
    return str(event) if value is None else f"{event} ({truncate(value, MAX_VALUE)})"


def _describe_compared_difference(mine: e.Event, yours: e.Event) -> tuple[str, str]:
    """The first thing in which events differ whose words are the same, such as by whom a decision was made."""
    first, second = mine.__dict__, yours.__dict__
    names = (name for name in first if name not in _IGNORED_FIELDS and first[name] != second.get(name))
    name = next(names, "")
    return tuple(f"{one} ({name} {truncate(str(one.__dict__.get(name)), MAX_VALUE)})" for one in (mine, yours))  # type: ignore[return-value]


def get_event_value(event: e.Event) -> str | None:
    """What an event carries that may differ where its kind does not."""
    for name in ("result_json", "payload_json", "input_json", "error", "decision", "reason"):
        value = getattr(event, name, None)
        if value is not None:
            return str(value)
    return None
