"""Single runs through what was explored: undisturbed, and interrupted at every point, which must end the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from exams.model.law import COMMITS, SAME, LawBroken, broken
from exams.model.sagas import ModelSaga
from exams.model.world import State, World
from sagafsm.history.instance import SagaInstance

REFUSED = "raised PermanentFailure"
DEATHS = ("process dies, not done", "process dies, done", "process dies, not undone", "process dies, undone")
# What happens at the n-th call, counted from 0, instead of what would have.
Interruptions = Mapping[int, str]


class Walks:
    """Runs through the explored states of one saga."""

    def __init__(self, saga: ModelSaga, start: int, states: Sequence[State], moves: Sequence[dict[str, int]]) -> None:
        self.saga, self.start, self.states, self.moves = saga, start, states, moves
        self.number = 0

    def check(self) -> int:
        """Run with no step refused and with each, undisturbed and interrupted; return how many runs that were.

        Raises:
            LawBroken: a fault-free run takes other than N+1 commits, or an interrupted one ends otherwise.
        """
        for refuses in range(-1, len(self.saga.kinds)):
            run = Run(self, refuses, {})
            if refuses < 0 and run.steps != ["run", *["returned"] * len(self.saga.kinds)]:
                broken(COMMITS, f"{len(self.saga.kinds)} steps without a fault: {run.steps}")
            for once in run.interruptions():
                disturbed = Run(self, refuses, once)
                self._compare(run, disturbed)
                if self.saga.thorough:
                    for twice in disturbed.interruptions():
                        self._compare(run, Run(self, refuses, twice))
        return self.number

    def _compare(self, run: Run, disturbed: Run) -> None:
        if disturbed.ends_as(run):
            return
        error = LawBroken(SAME, f"undisturbed {run.end}, interrupted {disturbed.end}")
        error.where = f"  undisturbed: {run.steps}\n  interrupted: {disturbed.steps}"
        raise error


class Run:
    """One run. The service of step `refuses` (-1: none) refuses for good; a person tells the truth, and goes on."""

    def __init__(self, walks: Walks, refuses: int, interrupted: Interruptions) -> None:
        walks.number += 1
        self.walks, self.refuses, self.interrupted = walks, refuses, interrupted
        self.calls: list[int] = []
        self.steps = ["run"]
        number = walks.start
        while not (state := walks.states[number]).instance.is_at_rest:
            moves = walks.moves[number]
            label = self._next(state)
            if state.phase == "calling":
                label = interrupted.get(len(self.calls), label)
                self.calls.append(number)
            self.steps.append(label)
            number = moves[label]
            if len(self.steps) > 100:
                broken(SAME, f"a run does not end: {self.steps[-10:]}")
        self.end = walks.states[number]

    def _next(self, state: State) -> str:
        there = state.step >= 0 and state.world[state.step]
        match state.phase, state.called:
            case "calling", "action":
                return REFUSED if state.step == self.refuses else "returned"
            case "calling", "compensation":
                return "undone"
            case "calling", "probe":
                return "probe: done" if there else "probe: not done"
            case _:
                return self._decision(state) if state.instance.blocked else "a driver goes on"

    @staticmethod
    def _decision(state: State) -> str:
        """What a person who knows the truth decides."""
        (block,) = state.instance.blocked
        there = state.world[tuple(state.instance.steps).index(block.step)]
        if block.reason == "exhausted" or there:
            return "decision resolve(result)"
        return "decision retry" if state.instance.cause is None else "decision resolve(not_done)"

    def interruptions(self) -> Iterator[Interruptions]:
        """One interruption more, in every call that comes later than those there are, in every way."""
        for call in range(max(self.interrupted, default=-1) + 1, len(self.calls)):
            state, moves = self.walks.states[self.calls[call]], self.walks.moves[self.calls[call]]
            for how in (*DEATHS, f"{self._next(state)}; the driver stops", "process dies in the probe"):
                refused = state.called == "action" and state.step == self.refuses
                if how in moves and not (refused and how == "process dies, done"):
                    yield {**self.interrupted, call: how}

    def ends_as(self, run: Run) -> bool:
        """Whether both ended alike: state, world and residue; but that a doubt may be settled by going back."""
        kinds = self.walks.saga.kinds
        for call, how in self.interrupted.items():
            called = self.walks.states[self.calls[call]]
            kind = kinds[called.step]
            if called.called == "action" and how in DEATHS and kind.in_doubt == "compensate" and not kind.probe:
                left = [times for times, kind in zip(self.end.world, kinds, strict=True) if kind.compensation]
                return self.end.instance.state == "failed" and not any(left)
        return outcome(self.end.instance, self.end.world) == outcome(run.end.instance, run.end.world)


def outcome(instance: SagaInstance, world: World) -> tuple[object, ...]:
    """What of an end is the same whatever happened on the way: the state, the world, and what is said to remain."""
    return instance.state, world, [(left.step, left.reason) for left in instance.residue]
