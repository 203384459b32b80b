"""All reachable states of a tree, breadth first, each checked, with the trace that leads to what breaks a law."""

from __future__ import annotations

from collections.abc import Iterable

from exams.model.explore import Figures, quick_errors
from exams.model.law import TRAP, UNDEFINED, LawBroken, broken
from exams.model.trees.moves import Environment, Move
from exams.model.trees.resting import rests
from exams.model.trees.sagas import TreeSaga
from exams.model.trees.state import State, key_of
from exams.model.trees.walks import TreeWalks


def explore_all(sagas: Iterable[TreeSaga]) -> Figures:
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
    """The reachable states of one saga, numbered in order of discovery, with what may happen in each."""

    def __init__(self, saga: TreeSaga) -> None:
        self.saga, self.environment = saga, Environment(saga)
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
                broken(TRAP, f"no continuation leads to rest from {self.states[now]}")
            now = -1
            self.walks = TreeWalks(self.saga, self.first["run"], self.states, self.moves).check()
        except Exception as error:
            failure = error if isinstance(error, LawBroken) else LawBroken(UNDEFINED, repr(error))
            failure.where = failure.where or self.trace(now)
            failure.where = f"{self.saga}\n{failure.where}"
            raise failure from (None if failure is error else error)

    def _take(self, source: int, move: Move) -> int:
        key = (key_of(move.to), move.to.left)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.states)
            self.states.append(move.to)
            self._came.append((source, move.label))
            try:
                rests(self.saga, move.to)
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
        safe = [state.root.is_at_rest for state in self.states]
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
