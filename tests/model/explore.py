"""All reachable states of a saga, breadth first, each checked, with the trace that leads to what breaks a law."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import attrs

import sagafsm.outcome
from model.laws import TRAP, UNDEFINED, LawBroken, broken
from model.moves import Environment, Move
from model.sagas import ModelSaga
from model.world import State


@attrs.define
class Figures:
    """How much was explored."""

    sagas: int = 0
    states: int = 0
    transitions: int = 0

    def __str__(self) -> str:
        return f"{self.sagas:,} sagas, {self.states:,} states, {self.transitions:,} transitions"


@contextmanager
def quick_errors() -> Iterator[None]:
    """Tracebacks are formatted once per exception, which are few here; they decide nothing."""
    original = sagafsm.outcome.recorded
    sagafsm.outcome.recorded = functools.cache(original)
    try:
        yield
    finally:
        sagafsm.outcome.recorded = original


def explore_all(sagas: Iterable[ModelSaga]) -> Figures:
    """Explore each saga; the first broken law is raised."""
    figures = Figures()
    with quick_errors():
        for saga in sagas:
            exploration = Exploration(saga)
            exploration.run()
            figures.sagas += 1
            figures.states += len(exploration.states)
            figures.transitions += exploration.transitions
    return figures


class Exploration:
    """The reachable states of one saga. Every state is numbered; `came` tells from which, and how."""

    def __init__(self, saga: ModelSaga) -> None:
        self.saga, self.environment = saga, Environment(saga)
        self.numbers: dict[tuple[object, ...], int] = {}
        self.states: list[State] = []
        self.came: list[tuple[int, str]] = []
        self.good: list[tuple[int, int]] = []
        self.transitions = 0

    def run(self) -> None:
        """Reach everything, then look for traps."""
        now = -1
        try:
            for move in self.environment.first():
                self._take(-1, move)
            for now, state in enumerate(self.states):  # it grows
                for move in self.environment.moves(state):
                    self._take(now, move)
            now = self._trap()
            if now >= 0:
                broken(TRAP, f"no continuation leads to rest from {self.states[now]}")
        except Exception as error:
            failure = error if isinstance(error, LawBroken) else LawBroken(UNDEFINED, repr(error))
            failure.where = f"{self.saga}\n{self.trace(now)}"
            raise failure from (None if failure is error else error)

    def _take(self, source: int, move: Move) -> None:
        self.transitions += 1
        state = move.to
        key = (id(state.instance), *state[1:])
        number = self.numbers.get(key)
        if number is None:
            number = self.numbers[key] = len(self.states)
            self.states.append(state)
            self.came.append((source, move.label))
            try:
                self.environment.laws.state(state)
            except LawBroken as error:
                error.what += f" (after {move.label!r})"
                raise
        if move.good and source >= 0:
            self.good.append((source, number))

    def _trap(self) -> int:
        """A state from which no good continuation leads to rest; -1 when there is none."""
        before: dict[int, list[int]] = {}
        for source, target in self.good:
            before.setdefault(target, []).append(source)
        safe = [state.instance.is_at_rest for state in self.states]
        waiting = [number for number, is_safe in enumerate(safe) if is_safe]
        while waiting:
            for source in before.get(waiting.pop(), ()):
                if not safe[source]:
                    safe[source] = True
                    waiting.append(source)
        return -1 if all(safe) else safe.index(False)

    def trace(self, number: int) -> str:
        """What led to a state, a line each."""
        lines: list[str] = []
        while number >= 0:
            state = self.states[number]
            where = " ".join(filter(None, (state.instance.state, state.phase, state.called)))
            number, label = self.came[number]
            lines.append(f"  {label} -> {where}, world {state.world}, mail {state.mail}")
        return "\n".join(reversed(lines))


def tally(exploration: Exploration) -> Counter[str]:
    """How many states an exploration has by machine state and phase, for profiling by hand."""
    return Counter(f"{state.instance.state} {state.phase} {state.called}" for state in exploration.states)
