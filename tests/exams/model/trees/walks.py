"""Single runs through what was explored: undisturbed, and with a process death at every point, to the same end."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence

from exams.model.law import SAME, LawBroken, broken
from exams.model.trees.sagas import TreeSaga
from exams.model.trees.state import State, World
from sagafsm.core.commands import RunAction, RunCompensation

DIES = "process dies"


class TreeWalks:
    """Runs through the explored states of one saga."""

    def __init__(self, saga: TreeSaga, start: int, states: Sequence[State], moves: Sequence[dict[str, int]]) -> None:
        self.saga, self.start, self.states, self.moves = saga, start, states, moves
        self.number = 0

    def check(self) -> int:
        """Run with no step refused and with each, undisturbed and interrupted; return how many runs that were.

        Raises:
            LawBroken: an interrupted run ends otherwise.
        """
        for refuses in (None, *self.saga.leaves):
            run = Run(self, refuses, self.start, ("run",))
            for number, label in tuple(run.steps):
                for dies, target in self._deaths(number, label, refuses):
                    disturbed = Run(self, refuses, target, (f"{label}; {dies}",))
                    if not _ends_alike(self, run, disturbed):
                        error = LawBroken(SAME, f"undisturbed {run.end}, interrupted {disturbed.end}")
                        error.where = f"  undisturbed: {run.labels}\n  interrupted at {label}: {disturbed.labels}"
                        raise error
        return self.number

    def _deaths(self, number: int, label: str, refuses: str | None) -> Iterator[tuple[str, int]]:
        """The process deaths in a state, and on the way that the run takes from there; no refused step takes effect."""
        for told, target in self.moves[number].items():
            if told.startswith((DIES, f"{label}; {DIES}")):
                world = self.states[target].world
                if refuses is None or not world[tuple(self.saga.leaves).index(refuses)]:
                    yield told, target


class Run:
    """One run. The service of step `refuses` refuses for good; a person tells the truth, and goes on.

    `cut`: it could not be followed to its end, as fewer mishaps were explored than it needs.
    """

    def __init__(self, walks: TreeWalks, refuses: str | None, start: int, labels: tuple[str, ...]) -> None:
        walks.number += 1
        self.refuses, self.paths = refuses, tuple(walks.saga.leaves)
        self.steps: list[tuple[int, str]] = []
        self.labels = list(labels)
        self.cut = False
        number = start
        while not (state := walks.states[number]).root.is_at_rest:
            label = self._next(state, walks.moves[number])
            if label not in walks.moves[number]:
                # No mishap is left with which the service could refuse.
                self.cut = True
                break
            self.steps.append((number, label))
            self.labels.append(label)
            number = walks.moves[number][label]
            if len(self.labels) > 200:
                broken(SAME, f"a run does not end: {self.labels[-10:]}")
        self.end = state

    def _next(self, state: State, moves: Mapping[str, int]) -> str:
        call = self._call(state)
        if call:
            return call
        offered = (*self._signals(state), self._decision(state), "recover", "time passes")
        found = next((label for label in offered if label in moves), None)
        return found or broken(SAME, f"nothing leads on from {state}: {list(moves)}")

    def _call(self, state: State) -> str:
        """How the call ends that stands first in the definition."""
        if state.drive is None or not state.drive._pending:
            return ""
        found = {
            "/".join((*node.instance.id.split("/")[1:], run.step)): run for node, run in state.drive._pending.values()
        }
        path = min(found, key=self.paths.index)
        match found[path]:
            case RunAction():
                return f"{path} {'raised' if path == self.refuses else 'returned'}"
            case RunCompensation():
                return f"{path} undone"
            case _:
                return f"{path} probe: the truth"

    @staticmethod
    def _signals(state: State) -> Iterator[str]:
        yield from (f"signal {path} is posted" for path in state.signals)

    def _decision(self, state: State) -> str:
        """What a person who knows the truth decides."""
        if state.drive is not None or not state.root.blocked:
            return ""
        block = state.root.blocked[0]
        there = state.world[self.paths.index(block.step)]
        if block.reason == "compensation_failed":
            return f"retry {block.step}"
        if there or block.reason in ("exhausted", "payload"):
            return f"resolve(result) {block.step}"
        return f"{'retry' if 'retry' in block.decisions else 'resolve(not_done)'} {block.step}"


def _ends_alike(walks: TreeWalks, run: Run, disturbed: Run) -> bool:
    """Whether both ended alike: state, world and residue; but that a doubt may be settled by going back."""
    kinds = [step.kind for step in walks.saga.leaves.values()]
    if run.cut or disturbed.cut:
        return True
    if any(kind.in_doubt == "compensate" and not kind.probe for kind in kinds):
        left = [times for times, kind in zip(disturbed.end.world, kinds, strict=True) if kind.compensation]
        if disturbed.end.root.state == "failed" and not any(left):
            return True
    if run.end.root.state != "failed":
        return _outcome(run.end) == _outcome(disturbed.end)
    # What the process had not done yet when there was a cause is not called again: less may remain, never more.
    (_, world, left), (state, other, remains) = _outcome(run.end), _outcome(disturbed.end)
    return state == "failed" and all(map(operator.le, other, world)) and remains <= left


def _outcome(end: State) -> tuple[str, World, set[tuple[str, str]]]:
    """What of an end is the same whatever happened on the way: the state, the world, and what is said to remain."""
    return end.root.state, end.world, {(left.step, left.reason) for left in end.root.residue}
