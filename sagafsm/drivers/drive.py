"""The one loop that drives an instance: commit what follows, do what is ordered, until it rests, parks or must stop."""

from __future__ import annotations

import functools
import logging
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import attrs

from sagafsm import events as e
from sagafsm.batch import Batch, Observation
from sagafsm.clock import Clock
from sagafsm.command import Command, Park, Run
from sagafsm.context import Values, context_of
from sagafsm.definition import Definition
from sagafsm.drivers.effects import AwaitLate, Late, Refusal, Reply, Silence, Sleep, Steps, UserCall
from sagafsm.drivers.journal import Journal, Listener
from sagafsm.drivers.reading import Reading, called
from sagafsm.errors import IllegalTransition, MailWaits, PayloadError, StoreError
from sagafsm.instance import SagaInstance
from sagafsm.outcome import Moment, Outcome, observe

log = logging.getLogger("sagafsm")
LONGEST_SLEEP = timedelta(seconds=1)
# How far a drive goes: until the instance rests or is blocked; until it would have to sleep; or one command.
Mode = Literal["until_parked", "without_sleep", "one_command"]
# A decision, checked against the instance as it stands once the mail is absorbed and all that follows is recorded.
Opening = Callable[[SagaInstance], Sequence[e.Event]]


@attrs.frozen(kw_only=True)
class Settings:
    """What all drives of one orchestrator share. `stopping`: whether it closes, so that nothing new may start."""

    clock: Clock
    lease: timedelta
    max_payload: int
    on_event: Listener | None
    stopping: Callable[[], bool]
    draw: Callable[[], float] = random.random


@attrs.frozen(kw_only=True)
class Next:
    """What is to be done next. `ready`: all that must be durable before is; the call is owed, even when stopping."""

    command: Command
    ready: bool


@attrs.define(eq=False)
class Drive:
    """One owner's work on one instance, from claim to release."""

    settings: Settings
    definition: Definition
    journal: Journal
    reading: Reading
    resources: Mapping[str, Any]
    _late: list[tuple[Run, Late]] = attrs.field(factory=list, init=False)

    def run(self, mode: Mode, *, opening: Opening | None = None, begun: Run | None = None) -> Steps[None]:
        """Drive until the instance rests or parks, the orchestrator stops, or `mode` says that it is enough.

        `opening`: a decision to record first. `begun`: the command that was written ahead with the creation.
        """
        if begun is not None:
            todo = Next(command=begun, ready=True)
        else:
            mail = yield from self.journal.mail()
            todo = yield from self._settle(None, opening=opening, mail=mail)
        while isinstance(command := todo.command, Run) and (todo.ready or not self.settings.stopping()):
            if todo.ready:
                todo = yield from self._call(command, start_next=mode != "one_command")
                if mode == "one_command":
                    return
            elif mode == "until_parked":
                todo = yield from self._wait(command)
            else:
                return

    def leave(self) -> None:
        """Have what still runs logged when it ends: this drive owns the instance no longer."""
        for command, late in self._late:
            late.when_done(functools.partial(_log_late, self.journal.instance.id, command))

    def _settle(
        self,
        outcome: tuple[Run, Outcome] | None,
        *,
        opening: Opening | None = None,
        mail: Sequence[e.Event] = (),
        follow: bool = True,
        start: bool = True,
    ) -> Steps[Next]:
        """Commit what is known with all that follows from it, and return what is to be done next.

        Its write-ahead is in the same commit, unless its time has not come, the orchestrator stops, or `start` is
        False. Without `follow` only the outcome is recorded. When mail comes in, all is decided again with it.
        """
        observation = None if outcome is None else self._observation(*outcome)
        try:
            return (yield from self._commit(observation, opening=opening, mail=mail, follow=follow, start=start))
        except StoreError as error:
            # Whichever call of the store failed: what the user's function answered is told, as nothing else holds it.
            error.outcome = None if outcome is None else outcome[1]
            raise

    def _commit(
        self,
        observation: Observation | None,
        *,
        opening: Opening | None,
        mail: Sequence[e.Event],
        follow: bool,
        start: bool,
    ) -> Steps[Next]:
        late = self._late_results()
        while True:
            batch = Batch(self.definition, self.journal.instance, self.settings.clock.now())
            batch.absorb(mail)
            batch.record(late)
            refusal = self._open(batch, opening)
            if observation is not None:
                batch.record((observation(batch.instance),))
            proceeds = follow and refusal is None
            todo = self._proceed(batch, start) if proceeds else Next(command=Park(), ready=False)
            try:
                yield from self.journal.append(batch)
            except MailWaits:
                mail = yield from self.journal.mail()
                continue
            if refusal is not None:
                raise refusal
            return todo

    def _open(self, batch: Batch, opening: Opening | None) -> IllegalTransition | None:
        """Record a decision, or return why it is refused: what led to the refusal is recorded all the same."""
        if opening is None:
            return None
        batch.proceed()
        try:
            batch.record(opening(batch.instance))
        except IllegalTransition as refusal:
            return refusal
        return None

    def _proceed(self, batch: Batch, start: bool) -> Next:
        command = batch.proceed()
        waits = isinstance(command, Run) and command.not_before is not None and command.not_before > batch.now
        ready = start and not waits and not self.settings.stopping()
        if ready:
            batch.record(command.events)
        return Next(command=command, ready=ready)

    def _observation(self, command: Run, outcome: Outcome) -> Observation:
        # Drawn once: when mail makes the batch anew, the same pause is decided.
        moment = Moment(now=self.settings.clock.now(), draw=self.settings.draw())
        return lambda instance: observe(self.definition, instance, command, outcome, moment)

    def _wait(self, command: Run) -> Steps[Next]:
        """Sleep until the command is due, looking at the mail as often as a lease is renewed, and at the deadline."""
        clock, tick = self.settings.clock, min(LONGEST_SLEEP, self.settings.lease / 3)
        due, deadline = command.not_before, self.journal.instance.deadline
        while due is not None and (left := due - clock.now()) > timedelta(0) and not self.settings.stopping():
            until_deadline = tick if deadline is None or deadline <= clock.now() else deadline - clock.now()
            yield Sleep(min(left, tick, until_deadline))
            self.journal.lease.check()
            mail = yield from self.journal.mail()
            passed = deadline is not None and deadline <= clock.now()
            if mail or passed:
                return (yield from self._settle(None, mail=mail))
        return (yield from self._settle(None))

    def _call(self, command: Run, *, start_next: bool) -> Steps[Next]:
        """Do the command and commit what came of it, with all that follows from it."""
        reply = yield from self._ask(command)
        if not isinstance(reply, Silence):
            return (yield from self._settle((command, self.reading.outcome(command, reply)), start=start_next))
        # In doubt from now on, durably; but nothing follows while the call may still answer.
        yield from self._settle((command, self.reading.outcome(command, reply)), follow=False)
        _, grace = called(self.definition.by_name[command.step], command)
        answer = yield AwaitLate(late=reply.late, grace=grace or timedelta(0))
        if answer is None:
            self._late.append((command, reply.late))
            return (yield from self._settle(None, start=start_next))
        return (yield from self._settle((command, self.reading.outcome(command, answer)), start=start_next))

    def _ask(self, command: Run) -> Steps[Reply]:
        function, timeout = called(self.definition.by_name[command.step], command)
        until = None if timeout is None else self.settings.clock.now() + timeout
        live, instance = self.reading.live, self.journal.instance
        context = context_of(
            instance,
            function,
            command.step,
            key=command.key,
            attempt=command.attempt,
            live=command.step in live,
            until=until,
        )
        try:
            values = Values(definition=self.definition, instance=instance, resources=self.resources, live=live)
            positional, named = values.arguments(function, context)
        except PayloadError as error:
            return Refusal(error)
        # Whoever runs a saga while handling an exception: Python chains to it whatever is raised in here.
        outer = sys.exception()
        reply: Reply = yield UserCall(function=function, positional=positional, named=named, timeout=timeout)
        return attrs.evolve(reply, outer=outer) if isinstance(reply, Refusal) and outer is not None else reply

    def _late_results(self) -> list[e.Event]:
        found: list[e.Event] = []
        for command, late in tuple(self._late):
            if (reply := late.reply()) is not None:
                self._late.remove((command, late))
                found.append(self.reading.late(command, reply))
        return found


def _log_late(instance_id: str, command: Run) -> None:
    log.warning(
        "attempt %d of step %r of instance %r ended after its driver had left; its outcome is not recorded",
        command.attempt,
        command.step,
        instance_id,
    )
