"""Sagas with groups, nested sagas, waits and `when`, as trees of parts, and what each leaf may leave in the world."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from typing import NamedTuple

import attrs

from exams.model.sagas import Kind
from sagafsm.definition.definition import Definition
from sagafsm.definition.retry import Retry
from sagafsm.saga import Saga

HOUR = timedelta(hours=1)
NAMES = "abcdef"


class Step(NamedTuple):
    """A plain step. `when`: "" for none, else what it gives: "yes", "no", or "raises"."""

    kind: Kind = Kind()
    when: str = ""

    def __str__(self) -> str:
        return f"{self.kind}{' when ' + self.when if self.when else ''}"


class Nested(NamedTuple):
    """A nested saga. `computed`: its input is."""

    parts: tuple[Part, ...]
    when: str = ""
    computed: bool = False

    def __str__(self) -> str:
        computed = " with an input" if self.computed else ""
        return f"saga({' > '.join(map(str, self.parts))}){computed}{' when ' + self.when if self.when else ''}"


class Awaited(NamedTuple):
    """A wait for a signal."""

    timeout: bool = False

    def __str__(self) -> str:
        return "wait for an hour" if self.timeout else "wait"


class Group(NamedTuple):
    """Members that run concurrently, `limit` of them at once."""

    members: tuple[Step | Nested, ...]
    limit: int | None = None

    def __str__(self) -> str:
        return f"[{' | '.join(map(str, self.members))}]{'' if self.limit is None else f' by {self.limit}'}"


Part = Step | Nested | Awaited | Group


@attrs.frozen
class TreeSaga:
    """A saga to explore, and how far its environment goes.

    `deaths` and `cancels`: how many of them on one path; `mishaps`: how many of these and of calls that do not succeed.
    `silence`: calls may time out. `stops`: the driver may be asked to stop. `thorough`: every way in which a call may
    end, every block decided first, and an instance that is not blocked may be abandoned.
    """

    parts: tuple[Part, ...]
    deaths: int = 1
    cancels: int = 1
    mishaps: int = 2
    silence: bool = False
    stops: bool = False
    thorough: bool = False

    def __str__(self) -> str:
        more = [name for name in ("silence", "stops", "thorough") if getattr(self, name)]
        return f"saga {' > '.join(map(str, self.parts))}; {', '.join((f'{self.mishaps} mishaps', *more))}"

    @cached_property
    def definition(self) -> Definition:
        return _built("tree", self.parts, list(NAMES)).definition

    @cached_property
    def leaves(self) -> dict[str, Step]:
        """The plain steps by their path, in order of definition."""
        return dict(_leaves(self.parts, list(NAMES), ""))

    @cached_property
    def waits(self) -> tuple[str, ...]:
        """The waits by their path."""
        return tuple(_waits(self.definition, ""))


def _built(name: str, parts: tuple[Part, ...], names: list[str]) -> Saga:
    saga = Saga(name)
    groups = iter("gh")
    for part in parts:
        if isinstance(part, Group):
            group = next(groups)
            for member in part.members:
                _add(saga, names.pop(0), member, group)
            saga.group(group, max_concurrency=part.limit)
        else:
            _add(saga, names.pop(0), part, None)
    return saga


def _add(saga: Saga, name: str, part: Step | Nested | Awaited, group: str | None) -> None:
    match part:
        case Awaited(timeout=timeout):
            saga.wait_for(name, timeout=HOUR if timeout else None)
        case Nested(parts=parts, when=when, computed=computed):
            child = _built(f"nested {name}", parts, list("xyz"))
            saga.add_saga(name, child, input=_input if computed else None, group=group, when=_WHEN[when])
        case Step(kind=kind, when=when):
            saga.add_step(
                name,
                _uncalled,
                _uncalled if kind.compensation else None,
                probe=_uncalled if kind.probe else None,
                retry=Retry(kind.attempts, backoff=HOUR, max_backoff=HOUR, jitter=False),
                compensation_retry=Retry(kind.undos, backoff=HOUR, max_backoff=HOUR, jitter=False),
                timeout=HOUR,
                in_doubt=kind.in_doubt,
                pivot=kind.pivot,
                effect=kind.effect,
                group=group,
                when=_WHEN[when],
            )


def _leaves(parts: tuple[Part, ...], names: list[str], prefix: str) -> Iterator[tuple[str, Step]]:
    for part in parts:
        for member in part.members if isinstance(part, Group) else (part,):
            name = prefix + names.pop(0)
            if isinstance(member, Nested):
                yield from _leaves(member.parts, list("xyz"), f"{name}/")
            elif isinstance(member, Step):
                yield name, member


def _waits(definition: Definition, prefix: str) -> Iterator[str]:
    for step in definition.steps:
        if step.kind == "wait":
            yield prefix + step.name
        elif step.child is not None:
            yield from _waits(step.child, f"{prefix}{step.name}/")


def _uncalled() -> object:
    raise AssertionError("the model answers for every function")


def _input() -> object:
    return {"computed": True}


def _yes() -> bool:
    return True


def _no() -> bool:
    return False


def _raises() -> bool:
    raise ValueError("when= raised")


_WHEN = {"": None, "yes": _yes, "no": _no, "raises": _raises}
