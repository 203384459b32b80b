"""The events of one commit, each stamped, moved along the table and folded as it is added. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import NamedTuple, cast

from sagafsm.core.commands import Command, Park, Record, Run, RunAction, WaitForSignal
from sagafsm.core.decide import WAIT, decide, take_cancel
from sagafsm.core.decisions import apply_parent_decision, build_late_decision
from sagafsm.core.triggers import is_cancellable, next_state
from sagafsm.definition.definition import Definition
from sagafsm.errors import SagaError
from sagafsm.history import events as e
from sagafsm.history.draft import InstanceDraft
from sagafsm.history.fold import KEEPS_PARKED, fold_into
from sagafsm.history.instance import SagaInstance, fold, freeze
from sagafsm.value import replace

# What a call that just ended makes of the instance as it stands once the mail has been read.
Observation = Callable[[SagaInstance], e.Event]


class NextCalls(NamedTuple):
    """What a commit leads to: the calls that it writes ahead, in order, and the command that comes after them."""

    runs: tuple[Run, ...]
    command: Command


class Commit:
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
        self._draft = InstanceDraft(instance)
        # The same, as an instance: to be read at once, as it changes with the next fact.
        self.draft = cast("SagaInstance", self._draft)

    @property
    def instance(self) -> SagaInstance:
        """The instance as it stands."""
        return freeze(self._draft)

    def record(self, events: Iterable[e.Event]) -> None:
        """Add facts, in order."""
        draft, definition = self._draft, self.definition
        for event in events:
            stamped = replace(event, number=len(draft.history) + 1, at=self.now)
            fold_into(draft, stamped)
            if stamped.state is None and definition is not None:
                state = next_state(definition, self.draft, self.under_way)
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
            verdict = apply_parent_decision(request, self.draft)
            self.record((build_late_decision(request),) if verdict is None else verdict)
        if self._draft.deadline is not None:
            self.record(_request_deadline_cancel(self.draft, self.now))
        if self.definition is not None and self._draft.cancel is not None:
            taken = take_cancel(self.definition, self.draft, self.under_way)
            self.record(() if taken is None else (taken,))

    def proceed(
        self, *, start: bool = True, limit: int | None = None, admits: Callable[[Run], bool] = lambda _: True
    ) -> NextCalls:
        """Add all that follows and, with `start`, the write-ahead of what may start now, `limit` calls at most.

        A call that is not admitted is not started, and nothing after it.
        """
        if self.definition is None:
            raise SagaError(f"what follows for instance {self._draft.id!r} cannot be decided without its definition")
        runs: list[Run] = []
        while True:
            command = decide(self.definition, self.draft, self.under_way)
            if command is WAIT:
                return NextCalls(tuple(runs), command)
            late = not self._is_early(command)
            if isinstance(command, Record) or (isinstance(command, WaitForSignal) and late):
                self.record(command.events)
            elif (
                isinstance(command, Run) and late and start and (limit is None or len(runs) < limit) and admits(command)
            ):
                self.record(command.events)
                runs.append(command)
                self.under_way = {*self.under_way, command.step}
            else:
                self._leave(command)
                return NextCalls(tuple(runs), command)

    def _is_early(self, command: Command) -> bool:
        moment: datetime | None = getattr(command, "not_before", None)
        if moment is None:
            return isinstance(command, WaitForSignal)
        return moment > self.now

    def _leave(self, command: Command) -> None:
        """Say in the last event how the instance is left when nothing of it is under way: parked, or asleep."""
        if self.under_way or not self.events or not isinstance(command, (Park, WaitForSignal, Run)):
            return
        wake_at: datetime | None = getattr(command, "not_before", None)
        parked = isinstance(command, (Park, WaitForSignal)) or (isinstance(command, Run) and command.parks)
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


DEADLINE_REQUEST_ID = "deadline"


def _request_deadline_cancel(instance: SagaInstance, now: datetime) -> tuple[e.Event, ...]:
    """The cancel that a passed deadline is, once."""
    deadline = instance.deadline
    if deadline is None or now < deadline or instance.cause is not None or instance.is_at_rest:
        return ()
    if any(
        isinstance(event, e.CancelRequested) and event.request_id == DEADLINE_REQUEST_ID for event in instance.history
    ):
        return ()
    return (
        e.CancelRequested(
            request_id=DEADLINE_REQUEST_ID, by="clock", reason=f"deadline {deadline.isoformat()} has passed"
        ),
    )


def build_first_commit(
    definition: Definition,
    instance_id: str,
    input_json: str,
    *,
    now: datetime,
    begin: bool,
    deadline: datetime | None = None,
    mail: Iterable[e.Request] = (),
    has_limits: bool,
) -> tuple[Commit, NextCalls | None]:
    """The commit that creates an instance and, with `begin`, the calls that follow.

    `deadline` is the parent's; the saga's own may be earlier. `mail` is what came for it before it was there.
    `has_limits`: whether the orchestrator counts calls against `max_concurrency`. Only an async orchestrator does.
    """
    ends = [] if definition.deadline is None else [now + definition.deadline]
    ends += [] if deadline is None else [deadline]
    creation = e.InstanceCreated(
        number=1,
        at=now,
        state="pending",
        id=instance_id,
        saga=definition.saga,
        version=definition.version,
        fingerprint=definition.fingerprint,
        input_json=input_json,
        steps=definition.outline,
        deadline=min(ends, default=None),
    )
    batch = Commit(definition, fold(None, (creation,)), now, creation=creation)
    batch.record(mail)
    return batch, batch.proceed(admits=lambda run: not (has_limits and _is_limited(definition, run))) if begin else None


def _is_limited(definition: Definition, run: Run) -> bool:
    """Whether the call may have to wait for its turn: it is started by whoever counts, once the instance exists."""
    return isinstance(run, RunAction) and definition.by_name[run.step].max_concurrency is not None
