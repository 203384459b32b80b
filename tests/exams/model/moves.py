"""What may happen in a state: the driver goes on, a call ends or dies in any way, somebody cancels or decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from exams.model.driver import Driver, Settled
from exams.model.law import DECISIONS, ORDER, broken
from exams.model.sagas import ModelSaga
from exams.model.table import ALL_DECISIONS
from exams.model.world import LATER, State, World
from sagafsm.core.outcomes import (
    AttemptTimedOut,
    NotDone,
    Outcome,
    Raised,
    Returned,
    StillInDoubt,
    TimedOut,
    Unstorable,
)
from sagafsm.errors import OutcomeUnknown, PayloadError, PermanentFailure
from sagafsm.history import events as e

RAISED = Raised(error=ValueError("refused"))
PERMANENT = Raised(error=PermanentFailure("never"))
UNKNOWN = Raised(error=OutcomeUnknown("no answer"))
TIMED_OUT = TimedOut(error=AttemptTimedOut("no answer in time"))
UNSTORABLE = Unstorable(error=PayloadError("result", "object", "not JSON"))
UNDONE = Returned(result_json="null")
NOT_DONE = NotDone()
IN_DOUBT = StillInDoubt()


class Move(NamedTuple):
    """One thing that may happen. `good`: no failure, no crash, no cancel, nothing given up."""

    label: str
    good: bool
    to: State


class Environment:
    """All that may happen to the instances of one saga."""

    def __init__(self, saga: ModelSaga, *, fine: bool = False) -> None:
        self.saga, self.driver = saga, Driver(saga, fine=fine)
        self.laws, self.names = self.driver.laws, self.driver.names
        self.results = tuple(Returned(result_json=f'"{name}"') for name in self.names)

    def first(self) -> Iterator[Move]:
        """The two ways in which an instance begins: created and driven at once, or only created."""
        world = (0,) * len(self.names)
        for begin in (True, False):
            settled = self.driver.create(begin=begin)
            yield Move("run" if begin else "start", True, self._to(State(settled.instance, world), world, settled))

    def _to(self, state: State, world: World, settled: Settled) -> State:
        """The state that a commit leads to in this world."""
        instance, called, step, absorbed, gone, _ = settled
        for position in gone:
            if world[position]:
                broken(ORDER, f"an earlier step is undone while the effect of {self.names[position]} is still there")
        mail = "absorbed" if absorbed else state.mail
        if mail == "none" and instance.cause is not None and not self.saga.thorough:
            # Nobody will cancel any more, so that whether somebody has makes no difference.
            mail = "absorbed"
        return State(instance, world, "calling" if called else "cold", called, step, mail)

    def _crash(self, state: State, world: World) -> State:
        instance = self.driver.known(state.instance) if state.phase == "grace" else state.instance
        return State(instance, world, "cold", "", -1, state.mail)

    def moves(self, state: State) -> Iterator[Move]:
        """Everything that may happen in a state."""
        if state.instance.is_at_rest:
            if self.laws.can_be_sent_back(state.instance):
                settled = self.driver.settle(state, decision="compensate", look=True)
                yield Move("compensated on request", False, self._to(state, state.world, settled))
            return
        if state.mail == "none" and (state.instance.cause is None or self.saga.thorough):
            yield Move("a cancel is posted", False, state._replace(mail="waiting"))
        if state.phase == "cold":
            yield from self._cold(state)
            return
        match state.called:
            case "action":
                yield from self._action(state)
            case "compensation":
                yield from self._compensation(state)
            case "probe":
                yield from self._probe(state)

    # Between calls ----------------------------------------------------------------------------------------------------

    def _cold(self, state: State) -> Iterator[Move]:
        instance, world = state.instance, state.world
        if not instance.blocked or state.mail == "waiting":
            yield Move(
                "a driver goes on", True, self._to(state, world, self.driver.settle(state, look=True, now=LATER))
            )
        if instance.wake_at is not None and state.mail == "waiting":
            yield Move("a sleeper looks", False, self._to(state, world, self.driver.settle(state, look=True)))
        if instance.blocked or self.saga.thorough:
            yield Move("decision abandon", False, self._to(state, world, self.driver.abandon(state)))
        if instance.blocked:
            yield from self._decisions(state)

    def _decisions(self, state: State) -> Iterator[Move]:
        """What an operator may decide. Where that would be a lie about the world, it must be accepted all the same."""
        (block,) = state.instance.blocked
        step = self.laws.position[block.step]
        self.laws.refuses(state.instance, tuple(set(ALL_DECISIONS) - set(block.decisions)))
        for decision in block.decisions:
            if decision == "abandon":
                continue
            settled = self.driver.settle(state, decision=decision, look=True, now=LATER)
            if settled.refused:
                if state.mail == "waiting":
                    # The cancel has ended the block, durably.
                    yield Move(f"{decision}, refused", False, self._to(state, state.world, settled))
                    continue
                broken(DECISIONS, f"{decision} is offered and refused in {state.instance}")
            again = settled.instance.blocked
            if again and (again[0].step, again[0].reason) == (block.step, block.reason) and not settled.absorbed:
                broken(DECISIONS, f"{decision} leaves {state.instance} as it was")
            world = self._decided(state.world, decision, step, undoing=state.instance.phase == "compensating")
            if world is not None:
                yield Move(f"decision {decision}", True, self._to(state, world, settled))

    def _decided(self, world: World, decision: e.Decision, step: int, *, undoing: bool) -> World | None:
        """The world that makes the decision true, by the operator's own hand where need be; None: it would be a lie."""
        kind, there = self.saga.kinds[step], world[step]
        match decision:
            case "resolve(result)" if kind.effect:
                return _put(world, step, max(there, 1))
            case "resolve(undone)":
                return _put(world, step, 0)
            case "resolve(not_done)" if there:
                return None
            case "retry" if there and not undoing and "retry" not in kind.in_doubt:
                # Who orders an action again that cannot be repeated has to know that it is not done.
                return None
            case _:
                return world

    # Calls ------------------------------------------------------------------------------------------------------------

    def _landed(self, world: World, step: int) -> World:
        kind = self.saga.kinds[step]
        if not kind.effect or (world[step] and "retry" in kind.in_doubt):
            return world
        return _put(world, step, world[step] + 1)

    def _action(self, state: State) -> Iterator[Move]:
        world, step = state.world, state.step
        landed, effect = self._landed(world, step), self.saga.kinds[step].effect
        yield from self._ended(state, "returned", True, landed, self.results[step])
        yield from self._ended(state, "raised", False, world, RAISED)
        if not world[step]:
            yield from self._ended(state, "raised PermanentFailure", False, world, PERMANENT)
        yield from self._ended(state, "returned what cannot be stored", False, landed, UNSTORABLE)
        if state.phase == "grace":
            yield Move("no answer, not done", False, self._to(state, world, self.driver.settle(state)))
            if effect:
                yield Move("no answer, done", False, self._to(state, landed, self.driver.settle(state)))
        else:
            if self.saga.silence:
                yield Move("timed out", False, self._silent(state))
            yield from self._ended(state, "OutcomeUnknown, not done", False, world, UNKNOWN)
            if effect:
                yield from self._ended(state, "OutcomeUnknown, done", False, landed, UNKNOWN)
        if state.instance.steps[self.names[step]].action.deaths < self.saga.deaths:
            yield Move("process dies, not done", False, self._crash(state, world))
            if effect:
                yield Move("process dies, done", False, self._crash(state, landed))

    def _compensation(self, state: State) -> Iterator[Move]:
        world, step = state.world, state.step
        undone = _put(world, step, 0)
        yield from self._ended(state, "undone", True, undone, UNDONE)
        yield from self._ended(state, "compensation raised", False, world, RAISED)
        if state.phase == "grace":
            yield Move("compensation silent", False, self._to(state, world, self.driver.settle(state)))
            if world[step]:
                yield Move("compensation silent, undone", False, self._to(state, undone, self.driver.settle(state)))
        else:
            if self.saga.silence:
                yield Move("compensation timed out", False, self._silent(state))
            yield from self._ended(state, "compensation raised PermanentFailure", False, world, PERMANENT)
            if world[step]:
                yield from self._ended(state, "compensation raised, undone", False, undone, RAISED)
        if state.instance.steps[self.names[step]].compensation.deaths < self.saga.deaths:
            yield Move("process dies, not undone", False, self._crash(state, world))
            if world[step]:
                yield Move("process dies, undone", False, self._crash(state, undone))

    def _probe(self, state: State) -> Iterator[Move]:
        world, step = state.world, state.step
        if world[step]:
            yield from self._ended(state, "probe: done", True, world, self.results[step])
            yield from self._ended(state, "probe: done, cannot be stored", False, world, UNSTORABLE)
        else:
            yield from self._ended(state, "probe: not done", True, world, NOT_DONE)
        yield from self._ended(state, "probe: in doubt, or raised", False, world, IN_DOUBT)
        yield Move("process dies in the probe", False, self._crash(state, world))

    def _ended(self, state: State, label: str, good: bool, world: World, outcome: Outcome) -> Iterator[Move]:
        yield Move(label, good, self._to(state, world, self.driver.settle(state, outcome)))
        if good and self.saga.thorough:
            stopped = self.driver.settle(state, outcome, start=False)
            yield Move(f"{label}; the driver stops", False, self._to(state, world, stopped))

    def _silent(self, state: State) -> State:
        """The timeout has passed, durably; the call is still under way, so that nothing of its step follows."""
        settled = self.driver.settle(state, TIMED_OUT, ends=False)
        return self._to(state, state.world, settled)._replace(phase="grace", called=state.called, step=state.step)


def _put(world: World, step: int, times: int) -> World:
    return (*world[:step], times, *world[step + 1 :])
