"""The events of one commit, each stamped, moved along the table and folded as it is added. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import attrs

from sagafsm import events as e
from sagafsm.command import Command, Record
from sagafsm.decide import decide, moved, take_cancel
from sagafsm.definition import Definition
from sagafsm.errors import SagaError
from sagafsm.instance import SagaInstance, fold
from sagafsm.values import replace

# What a call that just ended makes of the instance as it stands once the mail has been read.
Observation = Callable[[SagaInstance], e.Event]


@attrs.define
class Batch:
    """Grows from what was observed to what follows from it, up to the next thing that must be done.

    Without a definition, facts that need none can still be recorded: requests, and that an instance was abandoned.
    """

    definition: Definition | None
    instance: SagaInstance
    now: datetime
    events: list[e.Event] = attrs.Factory(list)
    instances: list[SagaInstance] = attrs.Factory(list)

    def record(self, events: Iterable[e.Event]) -> None:
        """Add facts, in order."""
        for event in events:
            stamped = replace(event, number=len(self.instance.history) + 1, at=self.now)
            self.instance = fold(self.instance, (stamped,))
            if stamped.state is None and self.definition is not None:
                self.instance = moved(self.definition, self.instance)
            self.events.append(self.instance.history[-1])
            self.instances.append(self.instance)

    def absorb(self, mail: Iterable[e.Event]) -> None:
        """Add requests, and what they lead to while a call may still be under way."""
        self.record(mail)
        self.record(_requested_by_clock(self.instance, self.now))
        if self.definition is not None:
            self.record(take_cancel(self.definition, self.instance))

    def proceed(self) -> Command:
        """Add all that follows, and return the command that needs doing."""
        if self.definition is None:
            raise SagaError(f"what follows for instance {self.instance.id!r} cannot be decided without its definition")
        while isinstance(command := decide(self.definition, self.instance), Record):
            self.record(command.events)
        return command


DEADLINE = "deadline"


def _requested_by_clock(instance: SagaInstance, now: datetime) -> tuple[e.Event, ...]:
    """The cancel that a passed deadline is, once."""
    deadline = instance.deadline
    if deadline is None or now < deadline or instance.cause is not None or instance.is_at_rest:
        return ()
    if any(isinstance(event, e.CancelRequested) and event.request_id == DEADLINE for event in instance.history):
        return ()
    return (e.CancelRequested(request_id=DEADLINE, by="clock", reason=f"deadline {deadline.isoformat()} has passed"),)
