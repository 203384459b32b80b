"""All reachable states of a saga, breadth first, each checked, with the trace that leads to what breaks a law."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import attrs

from exams.model.law import TRAP, UNDEFINED, LawBroken, broken
from exams.model.moves import Environment, Move
from exams.model.sagas import ModelSaga
from exams.model.walks import Walks
from exams.model.world import State
from sagafsm.core import observe


@attrs.define
class Figures:
    """How much was explored."""

    sagas: int = 0
    states: int = 0
    transitions: int = 0
    walks: int = 0

    def __str__(self) -> str:
        return f"{self.sagas:,} sagas, {self.states:,} states, {self.transitions:,} transitions, {self.walks:,} walks"


@contextmanager
def quick_errors() -> Iterator[None]:
    """Tracebacks are formatted once per exception, which are few here; they decide nothing."""
    original = observe.record_error
    observe.record_error = functools.cache(original)
    try:
        yield
    finally:
        observe.record_error = original


def explore_all(sagas: Iterable[ModelSaga]) -> Figures:
    """Explore each saga; the first broken law is raised."""
    figures = Figures()
    with quick_errors():
        for saga in sagas:
            exploration = Exploration(saga)
            exploration.run()
            figures.sagas += 1
            figures.states += len(exploration.states)
            figures.transitions += sum(map(len, exploration.moves))
            figures.walks += exploration.walks
    return figures


class Exploration:
    """The reachable states of one saga, numbered in order of discovery, with what may happen in each.

    `moves` tells for every state where each label leads; `_came` from where, and how, it was first reached.
    """

    def __init__(self, saga: ModelSaga, *, fine: bool = False) -> None:
        self.saga, self.environment = saga, Environment(saga, fine=fine)
        self.states: list[State] = []
        self.moves: list[dict[str, int]] = []
        self.first: dict[str, int] = {}
        self.walks = 0
        self._numbers: dict[tuple[object, ...], int] = {}
        self._came: list[tuple[int, str]] = []
        self._good: list[tuple[int, int]] = []

    def run(self) -> None:
        """Reach everything, then look for traps, then walk with and without interruption.

        Raises:
            LawBroken: with the saga, and the trace that leads to where it is broken.
        """
        now = -1
        try:
            self.first = {move.label: self._take(-1, move) for move in self.environment.first()}
            for now, state in enumerate(self.states):
                self.moves.append({})
                for move in self.environment.moves(state):
                    self.moves[now][move.label] = self._take(now, move)
            now = self._trap()
            if now >= 0:
                broken(TRAP, f"no continuation leads to rest from {self.states[now].instance}")
            self.walks = Walks(self.saga, self.first["run"], self.states, self.moves).check()
        except Exception as error:
            failure = error if isinstance(error, LawBroken) else LawBroken(UNDEFINED, repr(error))
            failure.where = failure.where or self.trace(now)
            failure.where = f"{self.saga}\n{failure.where}"
            raise failure from (None if failure is error else error)

    def _take(self, source: int, move: Move) -> int:
        state = move.to
        key = (id(state.instance), *state[1:])
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.states)
            self.states.append(state)
            self._came.append((source, move.label))
            try:
                self.environment.laws.state(state)
            except LawBroken as error:
                error.where = self.trace(number)
                raise
        if move.good and source >= 0:
            self._good.append((source, number))
        return number

    def _trap(self) -> int:
        """A state from which no good continuation leads to rest; -1 when there is none."""
        before: dict[int, list[int]] = {}
        for source, target in self._good:
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
            source, label = self._came[number]
            lines.append(f"  {label} -> {self.states[number]}")
            number = source
        return "\n".join(reversed(lines))
