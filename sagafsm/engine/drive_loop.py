"""The one loop that drives an instance and those nested in it: commit what follows, do what is ordered, until it rests.

Nothing is decided here. The core says what may start now; this loop has it begun, hears what came of it, and commits
that, in whatever order the calls end.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import attrs

from sagafsm.core.commands import Park, Prepare, Rest, Run, RunAction, RunChild, WaitForSignal
from sagafsm.core.commit import NextCalls
from sagafsm.core.nested import list_parked_nested
from sagafsm.core.observe import Moment, observe_nested_instance
from sagafsm.core.outcomes import NestedOutcome, NeverCalled, Outcome, Raised
from sagafsm.engine.config import Settings
from sagafsm.engine.driven_instance import CallResult, DrivenInstance, FirstEvents
from sagafsm.engine.effects import CallRaised, CallTimedOut, Effects, PendingCall, Reply, Sleep, WaitAll, WaitFirst
from sagafsm.engine.nested_instances import NestedInstances
from sagafsm.engine.replies import find_function
from sagafsm.errors import MailWaits, PayloadError, StoreError
from sagafsm.history import events as e

LONGEST_SLEEP = timedelta(seconds=1)
# How far a drive goes: until the instance rests or parks; until it would have to sleep; or one command.
DriveMode = Literal["until_parked", "without_sleep", "one_command"]


@attrs.define(eq=False)
class DriveLoop:
    """One owner's work on one root and all that is nested in it, from claim to release."""

    settings: Settings
    root: DrivenInstance
    tree: NestedInstances
    mode: DriveMode
    _pending: dict[PendingCall, tuple[DrivenInstance, Run | None]] = attrs.field(factory=dict, init=False)
    _heard: deque[tuple[DrivenInstance, CallResult]] = attrs.field(factory=deque, init=False)
    _budget: int | None = attrs.field(default=None, init=False)

    def run(self, *, opening: FirstEvents | None = None, begun: NextCalls | None = None) -> Effects[None]:
        """Drive until the root rests or parks, the orchestrator stops, or `mode` says that it is enough.

        `opening`: a decision to record first. `begun`: what was written ahead with the creation.
        """
        self._budget = 1 if self.mode == "one_command" else None
        try:
            if begun is not None:
                self.root.begin(begun)
                yield from self._start_calls(self.root, begun)
            else:
                mail = yield from self.root.journal.mail()
                yield from self._load_parked_children()
                yield from self._commit(self.root, None, opening=opening, mail=mail)
            yield from self.go_on()
        except GeneratorExit:
            raise
        except BaseException as error:
            for node, run in self._pending.values():
                if run is not None:
                    node.ended(run)
            yield WaitAll(tuple(self._pending), interrupted=not isinstance(error, Exception))
            raise

    def go_on(self) -> Effects[None]:
        """Commit what was heard and hear what comes, until nothing is left to be heard or waited for."""
        while True:
            # Written out, as this comes by at every call: each generator more costs as much as a commit in memory.
            if self._heard:
                node, heard = self._heard.popleft()
                yield from self._commit(node, heard)
            elif self._pending:
                yield from self._wait_first()
            elif not (yield from self._slept()):
                return

    def _load_parked_children(self) -> Effects[None]:
        """Hear of nested sagas at rest that the root takes for parked: a process died while it abandoned the tree."""
        for run in list_parked_nested(self.root.instance):
            child = yield from self.tree.look(self.root, run)
            if child.is_at_rest:
                self.root.met.append(observe_nested_instance(run, child))

    def _slept(self) -> Effects[bool]:
        """Sleep until the root goes on by itself; False: it does not, or not here."""
        command = self.root.command
        due = command.not_before if isinstance(command, Run) and not command.parks else None
        if due is None or self.mode != "until_parked" or self.root.under_way or self.settings.stopping():
            return False
        yield from self._sleep(due)
        return True

    def leave(self) -> Effects[None]:
        """Let go of what is nested, and have what still runs logged when it ends: all this is owned no longer."""
        for child in tuple(self.root.children.values()):
            yield from self.tree.close(child)
        self.root.leave()

    # Committing -------------------------------------------------------------------------------------------------------

    def _commit(
        self,
        node: DrivenInstance,
        heard: CallResult | None,
        *,
        opening: FirstEvents | None = None,
        mail: Sequence[e.Request] = (),
    ) -> Effects[None]:
        """Commit what is known of an instance, with the write-ahead of what may start; have that begun.

        When mail comes in, all is decided again with it.
        """
        self.root.journal.lease.check()
        try:
            while True:
                start = not self.settings.stopping() and self._budget != 0
                try:
                    todo, refusal = yield from node.commit(
                        heard, opening=opening, mail=mail, start=start, limit=self._budget
                    )
                except MailWaits as waits:
                    if waits.instance_id != node.instance.id:
                        yield from self._read_from(node.parent)
                        if not node.is_open:
                            return
                    mail = yield from node.journal.mail()
                    continue
                break
        except StoreError as error:
            # Whichever call of the store failed: what the user's function answered is told, as nothing else holds it.
            if error.outcome is None and heard is not None:
                error.outcome = heard.outcome
            raise
        if node.parent is None and not node.children and not any(isinstance(run, RunChild) for run in todo.runs):
            self._begin_calls(node, todo.runs)
            self._is_queued(node)
        else:
            yield from self._start_calls(node, todo)
        if refusal is not None:
            raise refusal

    def _read_from(self, above: DrivenInstance | None) -> Effects[None]:
        """Read what came in from an instance up to its root, before anything follows further down."""
        while above is not None:
            mail = yield from above.journal.mail()
            if mail:
                yield from self._commit(above, None, mail=mail)
            above = above.parent

    def _start_calls(self, node: DrivenInstance, todo: NextCalls) -> Effects[None]:
        """Have begun what a commit has written ahead, and pass on what it says to those nested in it."""
        for child in tuple(node.children.values()):
            if (yield from self.tree.tell(child)):
                # At once, and so on down: what runs deeper would else begin another call before it hears of a cause.
                yield from self._commit(child, None, mail=(yield from child.journal.mail()))
        for run in todo.runs:
            if isinstance(run, RunChild):
                yield from self._open(node, run)
        self._begin_calls(node, [run for run in todo.runs if not isinstance(run, RunChild)])
        if self._is_queued(node):
            return
        if not node.under_way and node.parent is not None:
            yield from self._close_nested(node)

    def _is_queued(self, node: DrivenInstance) -> bool:
        """Whether the next call of an instance waits for its turn."""
        if any(of is node and run is None for of, run in self._pending.values()):
            return True
        turn = None if self.settings.stopping() or self._budget == 0 else node.queue()
        if turn is not None:
            self._pending[turn] = (node, None)
        return turn is not None

    def _begin_calls(self, node: DrivenInstance, runs: Sequence[Run]) -> None:
        for run in runs:
            if self._budget is not None:
                self._budget -= 1
            try:
                if isinstance(run, Prepare):
                    self._enqueue(node, run, node.reading.prepared(run, node.values))
                else:
                    self._pending[node.pending(run)] = (node, run)
            except PayloadError as error:
                # It will never be called, so that nobody else would give its turn on.
                node.ended(run)
                self._enqueue(node, run, node.reading.outcome(run, CallRaised(error)))

    def _enqueue(self, node: DrivenInstance, run: Run, outcome: Outcome | None, *, ends: bool = True) -> None:
        moment = Moment(now=self.settings.clock.now(), draw=self.settings.draw())
        self._heard.append((node, CallResult(run, outcome, moment, ends)))

    # Nested sagas -----------------------------------------------------------------------------------------------------

    def _open(self, node: DrivenInstance, run: RunChild) -> Effects[None]:
        """Go on with a nested saga: its instance is created, or claimed as it stands."""
        while True:
            try:
                child, todo, opening = yield from self.tree.open(node, run)
            except MailWaits:
                # Before it is created: perhaps it is not to be any more.
                yield from self._read_from(node)
                continue
            except PayloadError as error:
                self._enqueue(node, run, Raised(error=error))
                return
            break
        if child is None:
            self._enqueue(node, run, NestedOutcome(child=opening))
            return
        node.children[run.step] = child
        if todo is not None:
            child.begin(todo)
            yield from self._start_calls(child, todo)
        else:
            mail = yield from child.journal.mail()
            yield from self._commit(child, None, opening=opening, mail=mail)

    def _close_nested(self, child: DrivenInstance) -> Effects[None]:
        """A nested saga of which nothing is under way rests or cannot go on; its parent hears so.

        One that only must not start anything, as the drive is to end, is left as it is.
        """
        node, run = child.parent, child.run
        command = child.command
        until = command.not_before if isinstance(command, Run) else None
        ends = self.settings.stopping() or self._budget == 0
        # One whose time has come since the commit that named it is parked too: its parent resumes it at once.
        early = until is not None and (not ends or until > self.settings.clock.now())
        if node is None or run is None:
            return
        node.children.pop(run.step, None)
        yield from self.tree.close(child)
        if isinstance(command, (Rest, Park, WaitForSignal)) or early or child.instance.is_at_rest:
            self._enqueue(node, run, NestedOutcome(child=child.instance, until=until if early else None))

    # Waiting ----------------------------------------------------------------------------------------------------------

    def _wait_first(self) -> Effects[None]:
        """Wait for the first call that ends, or until a step of an instance with calls under way is to be called."""
        if self._call_off():
            return
        due = min((moment for node in self._nodes() if (moment := _due(node)) is not None), default=None)
        until = None if due is None else max(due - self.settings.clock.now(), timedelta(0))
        # Whoever runs a saga while handling an exception: Python chains to it whatever is raised in here.
        outer = sys.exception()
        first = yield WaitFirst(tuple(self._pending), until)
        if first is None:
            now = self.settings.clock.now()
            for node in [node for node in self._nodes() if (moment := _due(node)) is not None and moment <= now]:
                yield from self._commit(node, None)
            return
        pending, reply = first
        node, run = self._pending[pending]
        if run is None:
            yield from self._look(pending, node)
            return
        if isinstance(reply, CallRaised) and outer is not None:
            reply = attrs.evolve(reply, outer=outer)
        self._take(pending, node, run, reply)

    def _look(self, pending: PendingCall, node: DrivenInstance) -> Effects[None]:
        """The turn of a call may have come, or a cancel, a deadline or a stop: a commit sees all of them."""
        del self._pending[pending]
        try:
            yield from self._read_from(node.parent)
            if node.is_open:
                yield from self._commit(node, None, mail=(yield from node.journal.mail()))
        finally:
            node.passes_on(pending)

    def _call_off(self) -> bool:
        """Let those actions be that are not begun yet when their instance, or one above it, has come to go back.

        It may have while they were written ahead: what a `when` or a nested saga tells is heard before calls begin.
        """
        off = [
            pending
            for pending, (node, run) in self._pending.items()
            if pending.handle is None and isinstance(run, RunAction) and node.goes_back
        ]
        for pending in off:
            node, run = self._pending.pop(pending)
            if run is not None:
                node.ended(run)
                self._enqueue(node, run, Raised(error=NeverCalled("its instance went back before")))
        return bool(off)

    def _take(self, pending: PendingCall, node: DrivenInstance, run: Run, reply: Reply | None) -> None:
        if isinstance(reply, CallTimedOut):
            # In doubt from now on, durably; but the call may still answer, and nothing of its step follows before.
            _, grace = find_function(node.definition.by_name[run.step], run)
            pending.late, pending.grace = reply.late, grace
            self._enqueue(node, run, node.reading.outcome(run, reply), ends=False)
            return
        del self._pending[pending]
        node.ended(run)
        if reply is None and pending.late is not None:
            node.outlived(run, pending.late)
        self._enqueue(node, run, None if reply is None else node.reading.outcome(run, reply))

    def _nodes(self) -> Sequence[DrivenInstance]:
        nodes = [self.root]
        for node in nodes:
            nodes.extend(node.children.values())
        return nodes

    def _sleep(self, due: datetime) -> Effects[None]:
        """Sleep until the root is due, looking at the mail as often as a lease is renewed, and at the deadline."""
        clock, tick = self.settings.clock, min(LONGEST_SLEEP, self.settings.lease / 3)
        deadline = self.root.instance.deadline
        while (left := due - clock.now()) > timedelta(0) and not self.settings.stopping():
            until_deadline = tick if deadline is None or deadline <= clock.now() else deadline - clock.now()
            yield Sleep(min(left, tick, until_deadline))
            self.root.journal.lease.check()
            mail = yield from self.root.journal.mail()
            if mail or (deadline is not None and deadline <= clock.now()):
                yield from self._commit(self.root, None, mail=mail)
                return
        yield from self._commit(self.root, None)


def _due(node: DrivenInstance) -> datetime | None:
    """When a step of an instance with calls under way is to be called; those without are their parent's to wake."""
    command = node.command
    return command.not_before if node.under_way and isinstance(command, Run) and not command.parks else None
