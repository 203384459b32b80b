"""What may happen in a state: a call ends or dies, time passes, somebody cancels, signals or decides."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from exams.model.law import DECISIONS, SECOND_RECOVER, UNDEFINED, LawBroken, broken
from exams.model.sagas import Kind
from exams.model.trees.calls import Calls
from exams.model.trees.driver import CANCEL, Asked, Done, Driver, Ended, may_be_posted
from exams.model.trees.resting import moments_of
from exams.model.trees.sagas import TreeSaga
from exams.model.trees.state import State, World
from exams.model.trees.store import ROOT, Contents, TreeStore
from exams.model.world import NOW
from sagafsm.core.commands import Run, RunAction, RunCompensation
from sagafsm.core.decisions import DecisionRequest, is_compensatable
from sagafsm.engine.effects import PendingCall
from sagafsm.history import events as e
from sagafsm.history.step_state import Block
from sagafsm.results import RecoveryReport


class Move(NamedTuple):
    """One thing that may happen. `good`: no failure, no crash, no cancel, nothing given up."""

    label: str
    good: bool
    to: State


class Environment:
    """All that may happen to the instances of one saga."""

    def __init__(self, saga: TreeSaga) -> None:
        self.saga, self.driver = saga, Driver(saga)
        self.paths = tuple(saga.leaves)
        self.kinds: dict[str, Kind] = {path: step.kind for path, step in saga.leaves.items()}
        self.calls = Calls(saga, self.kinds)

    def first(self) -> Iterator[Move]:
        """The two ways in which an instance begins: created and driven at once, or only created."""
        nothing = State(
            {},
            (0,) * len(self.paths),
            NOW,
            None,
            self.saga.deaths,
            self.saga.cancels,
            self.saga.mishaps,
            self.saga.waits,
        )
        for label, drive in (("run", True), ("start", False)):
            asked: Asked = lambda o, drive=drive: o.start(self.driver.defined, {}, id=ROOT, drive=drive)  # noqa: E731
            done = self.driver.ask(nothing, asked)
            yield Move(label, True, self._to(nothing, nothing.world, done, left=drive))
            if drive:
                yield from self._died_between(nothing, nothing.world, done, label, ())

    def moves(self, state: State) -> Iterator[Move]:
        """Everything that may happen in a state."""
        if state.root.is_at_rest:
            yield from self._sent_back(state)
            return
        yield from self._mail(state)
        if state.drive is None:
            yield from self._cold(state)
            return
        if not state.stopping and self.saga.stops:
            yield Move("the driver is asked to stop", False, state._replace(stopping=True))
        yield from self._dies(state, "process dies", state.contents, self._calls(state))
        for pending, (node, run) in state.drive._pending.items():
            path = "/".join((*node.instance.id.split("/")[1:], run.step))
            yield from self._ends(state, pending, path, run)
        if self._sleeps(state):
            yield from self._follows(state, "time passes", True, state.world, partial(self.driver.go_on, state, None))

    @staticmethod
    def _sleeps(state: State) -> bool:
        """Whether the drive waits for time to pass, too."""
        assert state.drive is not None
        nodes = [state.drive.root, *state.drive.root.children.values()]
        return any(
            isinstance(node.command, Run) and not node.command.parks and node.command.not_before is not None
            for node in nodes
            if node.under_way or node.parent is None
        )

    # Requests from outside --------------------------------------------------------------------------------------------

    def _mail(self, state: State) -> Iterator[Move]:
        for label, good, request, after in self._requests(state):
            if may_be_posted(state.root, request):
                yield Move(f"{label} is posted", good, self._posted(after, request))

    def _requests(self, state: State) -> Iterator[tuple[str, bool, e.Request, State]]:
        if state.cancels and state.mishaps:
            after = state._replace(cancels=state.cancels - 1, mishaps=state.mishaps - 1)
            yield "a cancel", False, CANCEL, after
        for path in state.signals:
            left = tuple(other for other in state.signals if other != path)
            signal = e.SignalReceived(request_id=f"signal {path}", name=path, payload_json='"done"')
            yield f"signal {path}", True, signal, state._replace(signals=left)

    @staticmethod
    def _posted(state: State, request: e.Request) -> State:
        store = TreeStore(state.contents)
        store.post(ROOT, request)
        return state._replace(contents=store.contents(), left=False)

    # Where nobody drives ----------------------------------------------------------------------------------------------

    def _cold(self, state: State) -> Iterator[Move]:
        recovers: Asked = lambda o: o.recover()  # noqa: E731
        done = self.driver.ask(state, recovers)
        changed = bool(done.result is None or done.result.resumed)
        if state.left and (done.drive is not None or _lengths(done.contents) != _lengths(state.contents)):
            broken(SECOND_RECOVER, f"{state.root} goes on, although its driver has just left it")
        if changed:
            yield from self._follows(state, "recover", True, state.world, partial(self.driver.ask, state, recovers))
        wake_at = state.root.wake_at or min(moments_of(state, state.root), default=None)
        if wake_at is not None and wake_at > state.now:
            later = state._replace(now=wake_at, left=False)
            yield from self._follows(later, "time passes", True, state.world, partial(self.driver.ask, later, recovers))
        if state.root.blocked or self.saga.thorough:
            yield from self._decided(state, None, "abandon", state.world)
        blocks = state.root.blocked if self.saga.thorough else state.root.blocked[:1]
        for block in blocks:
            for decision in block.decisions:
                if decision != "abandon":
                    yield from self._decides(state, block, decision)

    def _sent_back(self, state: State) -> Iterator[Move]:
        if state.root.state == "completed" and is_compensatable(state.root):
            yield from self._decided(state, None, "compensate", state.world)

    def _decides(self, state: State, block: Block, decision: e.Decision) -> Iterator[Move]:
        world = self._made_true(state, block, decision)
        if world is not None:
            yield from self._decided(state, block, decision, world)

    def _decided(self, state: State, block: Block | None, decision: e.Decision, world: World) -> Iterator[Move]:
        result = '"done"' if decision == "resolve(result)" else None
        step = None if block is None else block.step
        verdict = DecisionRequest(decision=decision, step=step, by="me", reason="test", result_json=result)
        asked: Asked = lambda o: o.decide(ROOT, verdict)  # noqa: E731
        good = decision not in ("abandon", "skip") and block is not None
        label = decision if step is None else f"{decision} {step}"
        mail, asks = bool(state.contents[ROOT].mail()), partial(self.driver.ask, state, asked)
        for move, done in self._with_deaths(state, label, good, world, asks, meets=self.saga.thorough):
            if done is not None and done.refusal is not None and not mail:
                broken(DECISIONS, f"{label} is offered and refused: {done.refusal}")
            yield (
                move if done is None or done.refusal is None else move._replace(to=move.to._replace(world=state.world))
            )

    def _made_true(self, state: State, block: Block, decision: e.Decision) -> World | None:
        """The world that makes the decision true, by the operator's own hand where need be; None: it would be a lie."""
        position = self.paths.index(block.step)
        kind, there = self.kinds[block.step], state.world[position]
        match decision:
            case "resolve(result)" if kind.effect:
                return _put(state.world, position, max(there, 1))
            case "resolve(undone)":
                return _put(state.world, position, 0)
            case "resolve(not_done)" if there:
                return None
            case "retry" if there and block.reason != "compensation_failed" and "retry" not in kind.in_doubt:
                return None
            case _:
                return state.world

    # Calls ------------------------------------------------------------------------------------------------------------

    def _calls(self, state: State, but: PendingCall | None = None) -> tuple[tuple[str, Run], ...]:
        assert state.drive is not None
        return tuple(
            ("/".join((*node.instance.id.split("/")[1:], run.step)), run)
            for pending, (node, run) in state.drive._pending.items()
            if pending is not but
        )

    def _ends(self, state: State, pending: PendingCall, path: str, run: Run) -> Iterator[Move]:
        position = self.paths.index(path)
        others = self._calls(state, pending)
        for label, good, times, reply in self.calls.ends(
            run, path, state.world[position], late=pending.late is not None
        ):
            if not good and not state.mishaps:
                continue
            before = state if good else state._replace(mishaps=state.mishaps - 1)
            world = _put(state.world, position, times)
            ended: Ended = (pending, reply)
            yield from self._follows(
                before, f"{path} {label}", good, world, partial(self.driver.go_on, state, ended), others
            )

    # What follows -----------------------------------------------------------------------------------------------------

    def _follows(
        self,
        state: State,
        label: str,
        good: bool,
        world: World,
        carried_out: partial[Done],
        others: tuple[tuple[str, Run], ...] | None = None,
    ) -> Iterator[Move]:
        if others is None:
            others = () if state.drive is None else self._calls(state)
        yield from (move for move, _ in self._with_deaths(state, label, good, world, carried_out, others))

    def _with_deaths(
        self,
        state: State,
        label: str,
        good: bool,
        world: World,
        carried_out: partial[Done],
        others: tuple[tuple[str, Run], ...] = (),
        *,
        meets: bool = True,
    ) -> Iterator[tuple[Move, Done | None]]:
        """Where it leads; and where, when the process dies on the way, or a cancel comes in."""
        done = carried_out()
        yield Move(label, good, self._to(state, world, done)), done
        yield from ((move, None) for move in self._died_between(state, world, done, label, others))
        if not meets:
            return
        for touch, (told, _, request, after) in itertools.product(range(1, done.touches), self._requests(state)):
            met = carried_out(mail=(touch, request))
            if met.posted:
                yield Move(f"{label}; {told} comes before touch {touch}", False, self._to(after, world, met)), None

    def _died_between(
        self, state: State, world: World, done: Done, label: str, others: tuple[tuple[str, Run], ...]
    ) -> Iterator[Move]:
        for number, point in enumerate(done.points, 2):
            between = state._replace(world=world, now=done.now)
            yield from self._dies(between, f"{label}; process dies before write {number}", point.contents, others)

    def _dies(self, state: State, label: str, contents: object, calls: tuple[tuple[str, Run], ...]) -> Iterator[Move]:
        """What may be left of a process: each of its calls may have taken effect, or not."""
        if not (state.deaths and state.mishaps):
            return
        choices: list[tuple[tuple[int, int], ...]] = []
        for path, run in calls:
            position = self.paths.index(path)
            there, after = state.world[position], state.world[position]
            if isinstance(run, RunAction):
                after = self.calls.landed(path, there)
            elif isinstance(run, RunCompensation):
                after = 0
            choices.append(tuple({(position, there), (position, after)}))
        for chosen in itertools.product(*choices):
            world = state.world
            for position, times in chosen:
                world = _put(world, position, times)
            told = f"{label} {world}" if calls else label
            yield Move(
                told,
                False,
                state._replace(
                    contents=contents,
                    world=world,
                    drive=None,
                    deaths=state.deaths - 1,
                    mishaps=state.mishaps - 1,
                    stopping=False,
                    left=False,
                ),
            )  # type: ignore[arg-type]

    def _to(self, state: State, world: World, done: Done, *, left: bool = True) -> State:
        if isinstance(done.result, RecoveryReport) and done.result.errors:
            (error, *_) = done.result.errors.values()
            raise error if isinstance(error, LawBroken) else LawBroken(UNDEFINED, f"recover: {error!r}") from error
        stops = state.stopping and done.drive is not None
        moved = state._replace(
            contents=done.contents,
            world=world,
            now=done.now,
            drive=done.drive,
            stopping=stops,
            left=left and done.drive is None and not state.stopping and done.refusal is None,
        )
        # Where there is a cause, nobody cancels any more: whether somebody may makes no difference.
        return moved._replace(cancels=0) if moved.root.cause is not None and not self.saga.thorough else moved


def _lengths(contents: Contents) -> dict[str, int]:
    return {key: len(entry.history) for key, entry in contents.items()}


def _put(world: World, position: int, times: int) -> World:
    return (*world[:position], times, *world[position + 1 :])
