"""Random sagas of up to 12 steps: groups, nested sagas, waits, conditions, a pivot, every policy.

One generator serves two masters: `choose` picks one of several options, by a seed (`seeded`) or by Hypothesis
(`sagas`), which then shrinks.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar

import attrs
from hypothesis import strategies as st

T = TypeVar("T")
Choose = Callable[[Sequence[Any]], Any]
MOST_STEPS = 12
POLICIES: tuple[Any, ...] = ("ask", "retry", "compensate", ("retry", "compensate"))
Signal = Literal["early", "during", "late", "never"]


@attrs.frozen(kw_only=True)
class Plan:
    """One step: a leaf, a wait (`signal` tells when it is answered), or a nested saga (`child`).

    `when`: what its condition says, None without one. `probe`: "truth", "doubt", or None without one. `computed`:
    the nested saga's input is computed. `path` is that from the root.
    """

    path: str
    group: str | None = None
    when: bool | None = None
    child: SagaPlan | None = None
    computed: bool = False
    signal: Signal | None = None
    timeout: float | None = None
    probe: str | None = None
    in_doubt: Any = "ask"
    attempts: int = 1
    effect: bool = True
    compensation: bool = True
    pivot: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def can_undo(self) -> bool:
        return self.compensation if self.child is None else any(step.can_undo for step in self.child.steps)


@attrs.frozen(kw_only=True)
class SagaPlan:
    """A saga: its steps in order, and how many members of a group run at once. `sent_back`: once it has completed."""

    path: str
    steps: tuple[Plan, ...]
    limits: tuple[tuple[str, int], ...] = ()
    sent_back: bool = False

    def walk(self) -> Iterator[Plan]:
        """Every step of the tree, each nested saga before its own."""
        for step in self.steps:
            yield step
            if step.child is not None:
                yield from step.child.walk()

    def leaves(self) -> tuple[Plan, ...]:
        return tuple(step for step in self.walk() if step.child is None)

    def expected(self) -> set[str]:
        """The effects that are there when all went well."""
        found: set[str] = set()
        for step in self.steps:
            if step.when is False:
                continue
            if step.child is not None:
                found |= step.child.expected()
            elif step.signal is None and step.effect:
                found.add(step.path)
        return found


@attrs.define
class Maker:
    """Draws one saga."""

    choose: Choose
    left: int
    names: Iterator[str] = attrs.Factory(lambda: iter(string.ascii_lowercase))
    groups: Iterator[int] = attrs.Factory(lambda: iter(range(1, 99)))

    def often(self, times: int = 1, of: int = 2) -> bool:
        """Whether it is so; Hypothesis shrinks to no."""
        return bool(self.choose([False] * (of - times) + [True] * times))

    def saga(self, path: str, *, depth: int, most: int) -> SagaPlan:
        """A saga of at most `most` leaves; nested ones have no pivot."""
        steps: list[Plan] = []
        limits: list[tuple[str, int]] = []
        until = self.left - most
        pivots = depth == 0 and self.often(1, 3)
        behind = False
        while self.left > until:
            kind = self.choose(("step", "step", "group", "saga", "wait"))
            if kind == "group" and self.left - until >= 2:
                steps += self._group(path, limits, depth=depth, behind=behind, most=self.left - until)
            elif kind == "saga" and depth < 2 and not behind and self.left > until:
                steps.append(self._nested(path, None, depth=depth, most=min(self.left - until, 4)))
            elif kind == "wait":
                steps.append(self._wait(path))
            else:
                pivot = pivots and not behind and bool(steps) and self.often()
                steps.append(self._leaf(path, None, behind=behind, pivot=pivot))
                behind = behind or pivot
        return SagaPlan(path=path, steps=tuple(steps), limits=tuple(limits))

    def _name(self, path: str) -> str:
        self.left -= 1
        return _below(path, next(self.names))

    def _group(
        self, path: str, limits: list[tuple[str, int]], *, depth: int, behind: bool, most: int
    ) -> Iterator[Plan]:
        name = f"g{next(self.groups)}"
        size = self.choose(range(2, min(4, most) + 1))
        if self.often(1, 3):
            limits.append((name, self.choose(range(1, size))))
        until = self.left - most
        for member in range(size):
            spare = self.left - until - (size - member - 1)
            if depth < 2 and not behind and self.often(1, 4):
                yield self._nested(path, name, depth=depth, most=max(min(spare, 3), 1))
            else:
                yield self._leaf(path, name, behind=behind, pivot=False)

    def _nested(self, path: str, group: str | None, *, depth: int, most: int) -> Plan:
        below = _below(path, f"n{next(self.groups)}")
        size = self.choose(range(1, most + 1))
        child = self.saga(below, depth=depth + 1, most=size)
        return Plan(path=below, group=group, child=child, computed=self.often(), when=self._when())

    def _when(self) -> bool | None:
        return self.choose((None, None, None, None, True, False))

    def _wait(self, path: str) -> Plan:
        signal = self.choose(("early", "during", "late", "late", "never"))
        timeout = 3600.0 if signal == "never" or self.often() else None
        return Plan(path=self._name(path), signal=signal, timeout=timeout, effect=False, compensation=False)

    def _leaf(self, path: str, group: str | None, *, behind: bool, pivot: bool) -> Plan:
        effect = pivot or not self.often(1, 8)
        compensation = effect and not behind and not pivot and not self.often(1, 8)
        return Plan(
            path=self._name(path),
            group=group,
            when=None if pivot else self._when(),
            probe=self.choose((None, None, "truth", "doubt")) if effect else None,
            in_doubt=self.choose(POLICIES if compensation else POLICIES[:2]),
            attempts=self.choose((1, 1, 2)),
            effect=effect,
            compensation=compensation,
            pivot=pivot,
        )


def _below(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def make(choose: Choose, sizes: Sequence[int] = range(1, MOST_STEPS + 1)) -> SagaPlan:
    """A saga of as many steps (leaves) as are chosen of `sizes`."""
    size = choose(sizes)
    maker = Maker(choose, size)
    plan = maker.saga("", depth=0, most=size)
    has_way_back = not any(step.pivot for step in plan.steps) and any(step.can_undo for step in plan.steps)
    return attrs.evolve(plan, sent_back=has_way_back and maker.often(1, 3))


def seeded(seed: int, sizes: Sequence[int] = range(1, MOST_STEPS + 1)) -> SagaPlan:
    """The saga of a seed: the same in every process."""
    return make(random.Random(seed).choice, sizes)


@st.composite
def sagas(draw: st.DrawFn) -> SagaPlan:
    """Any saga of 1 to 12 steps."""
    return make(lambda options: draw(st.sampled_from(options)))


# What may fail --------------------------------------------------------------------------------------------------------

ACTION = ("fail", "permanent", "unknown", "lost", "set")
UNDO = ("once", "always", "lost")


def failures(plan: SagaPlan) -> list[tuple[str, tuple[str, ...]]]:
    """Every single failure of a saga: of which call, and what that answers, one recorded call after the other.

    An action refuses at every attempt, or for good, or it is in doubt, done or not, or its result cannot be stored, or
    a cancel comes in while it runs; a compensation refuses once, or up to its budget's end, or seems to; a condition or
    a computed input raises.
    """
    found: list[tuple[str, tuple[str, ...]]] = []
    for step in plan.walk():
        if step.when is not None or step.computed:
            found.append((f"prepare {step.path}", ("fail",)))
        if step.child is not None or step.signal is not None:
            continue
        found.append((step.path, ("fail",) * step.attempts))
        found.append((step.path, ("cancel",)))
        if step.attempts > 1:
            found.append((step.path, ("permanent",)))
        if step.effect:
            found += [(step.path, (told,)) for told in ("unknown", "lost", "set")]
        if step.compensation:
            found += [(f"undo {step.path}", told) for told in (("fail",), ("fail", "fail"), ("lost",))]
    return found


def scripts(plan: SagaPlan) -> st.SearchStrategy[dict[str, tuple[str, ...]]]:
    """Any number of failures."""
    return st.lists(st.sampled_from([*failures(plan), ("nothing", ())]), max_size=4).map(dict)
