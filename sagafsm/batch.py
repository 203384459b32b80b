"""The events of one commit, each stamped, moved along the table and folded as it is added. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import NamedTuple, cast

from sagafsm import events as e
from sagafsm.command import Await, Command, Park, Record, Run
from sagafsm.decide import WAIT, decide, take_cancel
from sagafsm.decision import too_late, verdict_in
from sagafsm.definition import Definition
from sagafsm.errors import SagaError
from sagafsm.fold import KEEPS_PARKED, Draft, fold_into
from sagafsm.instance import SagaInstance, fold, frozen
from sagafsm.moves import is_cancellable, leads_to
from sagafsm.values import replace

# What a call that just ended makes of the instance as it stands once the mail has been read.
Observation = Callable[[SagaInstance], e.Event]


class Todo(NamedTuple):
    """What a commit leads to: the calls that it writes ahead, in order, and the command that comes after them."""

    runs: tuple[Run, ...]
    command: Command


class Batch:
    """Grows from what was observed to what follows from it, up to the next things that must be done.

    `under_way` names the steps whose calls have not ended. Without a definition, facts that need none can still be
    recorded: requests, and that an instance was abandoned.
    """

    def __init__(
        self,
        definition: Definition | None,
        instance: SagaInstance,
        now: datetime,
        under_way: Collection[str] = frozenset(),
        *,
        creation: e.Event | None = None,
    ) -> None:
        self.definition, self.now, self.under_way = definition, now, under_way
        self.events: list[e.Event] = [] if creation is None else [creation]
        self._before = instance if creation is None else None
        # One instance for all facts of a commit: making one for each is most of what a commit costs.
        self._draft = Draft(instance)
        # The same, as an instance: to be read at once, as it changes with the next fact.
        self.draft = cast("SagaInstance", self._draft)

    @property
    def instance(self) -> SagaInstance:
        """The instance as it stands."""
        return frozen(self._draft)

    def record(self, events: Iterable[e.Event]) -> None:
        """Add facts, in order."""
        draft, definition = self._draft, self.definition
        for event in events:
            stamped = replace(event, number=len(draft.history) + 1, at=self.now)
            fold_into(draft, stamped)
            if stamped.state is None and definition is not None:
                state = leads_to(definition, self.draft, self.under_way)
                if state is not None:
                    stamped = draft.history[-1] = replace(stamped, state=state)
                    draft.state = state
            self.events.append(stamped)

    def absorb(self, mail: Iterable[e.Request]) -> None:
        """Add the requests that wait, and the clock's own when the deadline has passed."""
        for request in mail:
            if not isinstance(request, e.DecisionMade):
                self.record((request,))
                continue
            # It comes from the parent, which knew the block; the clock may have ended that since.
            verdict = verdict_in(request, self.draft)
            self.record((too_late(request),) if verdict is None else verdict)
        if self._draft.deadline is not None:
            self.record(_requested_by_clock(self.draft, self.now))
        if self.definition is not None and self._draft.cancel is not None:
            taken = take_cancel(self.definition, self.draft, self.under_way)
            self.record(() if taken is None else (taken,))

    def proceed(
        self, *, start: bool = True, limit: int | None = None, admits: Callable[[Run], bool] = lambda _: True
    ) -> Todo:
        """Add all that follows and, with `start`, the write-ahead of what may start now, `limit` calls at most.

        A call that is not admitted is not started, and nothing after it.
        """
        if self.definition is None:
            raise SagaError(f"what follows for instance {self._draft.id!r} cannot be decided without its definition")
        runs: list[Run] = []
        while True:
            command = decide(self.definition, self.draft, self.under_way)
            if command is WAIT:
                return Todo(tuple(runs), command)
            late = not self._is_early(command)
            if isinstance(command, Record) or (isinstance(command, Await) and late):
                self.record(command.events)
            elif (
                isinstance(command, Run) and late and start and (limit is None or len(runs) < limit) and admits(command)
            ):
                self.record(command.events)
                runs.append(command)
                self.under_way = {*self.under_way, command.step}
            else:
                self._leave(command)
                return Todo(tuple(runs), command)

    def _is_early(self, command: Command) -> bool:
        moment: datetime | None = getattr(command, "not_before", None)
        if moment is None:
            return isinstance(command, Await)
        return moment > self.now

    def _leave(self, command: Command) -> None:
        """Say in the last event how the instance is left when nothing of it is under way: parked, or asleep."""
        if self.under_way or not self.events or not isinstance(command, (Park, Await, Run)):
            return
        wake_at: datetime | None = getattr(command, "not_before", None)
        parked = isinstance(command, (Park, Await)) or (isinstance(command, Run) and command.parks)
        if not parked and (wake_at is None or wake_at <= self.now):
            return
        deadline = self._draft.deadline
        if deadline is not None and deadline > self.now and is_cancellable(self.draft):
            wake_at = deadline if wake_at is None else min(wake_at, deadline)
        self._stamp(wake_at, waiting=parked and not self._draft.blocked)

    def _stamp(self, wake_at: datetime | None, *, waiting: bool) -> None:
        lasting = [i for i, event in enumerate(self.events) if not isinstance(event, KEEPS_PARKED)]
        if not lasting or (wake_at is None and not waiting):
            return
        last = lasting[-1]
        self.events[last] = replace(self.events[last], wake_at=wake_at, waiting=waiting)
        self._draft.wake_at, self._draft.waiting = wake_at, waiting
        self._draft.history[len(self._draft.history) - len(self.events) + last] = self.events[last]

    @property
    def instances(self) -> tuple[SagaInstance, ...]:
        """The instance as of each event, for whoever is told of it."""
        found: list[SagaInstance] = []
        instance = self._before
        for event in self.events:
            instance = fold(instance, (event,))
            found.append(instance)
        return tuple(found)


DEADLINE = "deadline"


def _requested_by_clock(instance: SagaInstance, now: datetime) -> tuple[e.Event, ...]:
    """The cancel that a passed deadline is, once."""
    deadline = instance.deadline
    if deadline is None or now < deadline or instance.cause is not None or instance.is_at_rest:
        return ()
    if any(isinstance(event, e.CancelRequested) and event.request_id == DEADLINE for event in instance.history):
        return ()
    return (e.CancelRequested(request_id=DEADLINE, by="clock", reason=f"deadline {deadline.isoformat()} has passed"),)
