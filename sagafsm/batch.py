"""The events of one commit, each stamped, moved along the table and folded as it is added. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import NamedTuple

import attrs

from sagafsm import events as e
from sagafsm.command import Await, Command, Park, Record, Run
from sagafsm.decide import decide, take_cancel
from sagafsm.decision import too_late, verdict_in
from sagafsm.definition import Definition
from sagafsm.errors import SagaError
from sagafsm.fold import KEEPS_PARKED
from sagafsm.instance import SagaInstance, fold
from sagafsm.moves import is_cancellable, moved
from sagafsm.values import replace

# What a call that just ended makes of the instance as it stands once the mail has been read.
Observation = Callable[[SagaInstance], e.Event]


class Todo(NamedTuple):
    """What a commit leads to: the calls that it writes ahead, in order, and the command that comes after them."""

    runs: tuple[Run, ...]
    command: Command


@attrs.define
class Batch:
    """Grows from what was observed to what follows from it, up to the next things that must be done.

    `under_way` names the steps whose calls have not ended. Without a definition, facts that need none can still be
    recorded: requests, and that an instance was abandoned.
    """

    definition: Definition | None
    instance: SagaInstance
    now: datetime
    under_way: Collection[str] = frozenset()
    events: list[e.Event] = attrs.Factory(list)
    before: SagaInstance | None = attrs.field(default=attrs.Factory(lambda self: self.instance, takes_self=True))

    def record(self, events: Iterable[e.Event]) -> None:
        """Add facts, in order."""
        for event in events:
            stamped = replace(event, number=len(self.instance.history) + 1, at=self.now)
            self.instance = fold(self.instance, (stamped,))
            if stamped.state is None and self.definition is not None:
                self.instance = moved(self.definition, self.instance, self.under_way)
            self.events.append(self.instance.history[-1])

    def absorb(self, mail: Iterable[e.Request]) -> None:
        """Add the requests that wait, and the clock's own when the deadline has passed."""
        for request in mail:
            if not isinstance(request, e.DecisionMade):
                self.record((request,))
                continue
            # It comes from the parent, which knew the block; the clock may have ended that since.
            verdict = verdict_in(request, self.instance)
            self.record((too_late(request),) if verdict is None else verdict)
        self.record(_requested_by_clock(self.instance, self.now))
        if self.definition is not None:
            taken = take_cancel(self.definition, self.instance, self.under_way)
            self.record(() if taken is None else (taken,))

    def proceed(
        self, *, start: bool = True, limit: int | None = None, admits: Callable[[Run], bool] = lambda _: True
    ) -> Todo:
        """Add all that follows and, with `start`, the write-ahead of what may start now, `limit` calls at most.

        A call that is not admitted is not started, and nothing after it.
        """
        if self.definition is None:
            raise SagaError(f"what follows for instance {self.instance.id!r} cannot be decided without its definition")
        runs: list[Run] = []
        while True:
            command = decide(self.definition, self.instance, self.under_way)
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
        deadline = self.instance.deadline
        if deadline is not None and deadline > self.now and is_cancellable(self.instance):
            wake_at = deadline if wake_at is None else min(wake_at, deadline)
        self._stamp(wake_at, waiting=parked and not self.instance.blocked)

    def _stamp(self, wake_at: datetime | None, *, waiting: bool) -> None:
        lasting = [i for i, event in enumerate(self.events) if not isinstance(event, KEEPS_PARKED)]
        if not lasting or (wake_at is None and not waiting):
            return
        last = lasting[-1]
        self.events[last] = replace(self.events[last], wake_at=wake_at, waiting=waiting)
        history = (*self.instance.history[: len(self.instance.history) - len(self.events)], *self.events)
        self.instance = replace(self.instance, wake_at=wake_at, waiting=waiting, history=history)

    @property
    def instances(self) -> tuple[SagaInstance, ...]:
        """The instance as of each event, for whoever is told of it."""
        found: list[SagaInstance] = []
        instance = self.before
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
