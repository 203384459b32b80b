"""One instance of the tree that a drive owns: its commits, and the calls of it that are under way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import attrs

from sagafsm.core.commands import Command, Park, Run, RunChild
from sagafsm.core.commit import Commit, NextCalls
from sagafsm.core.context import ArgumentSource, Context, build_context
from sagafsm.core.nested import has_unread_requests
from sagafsm.core.observe import Moment, observe
from sagafsm.core.outcomes import NestedOutcome, Outcome
from sagafsm.definition.definition import Definition
from sagafsm.definition.functions import Function
from sagafsm.engine.config import Settings
from sagafsm.engine.effects import Effects, PendingCall, TimedOutCall, UserCall, WaitForSlot
from sagafsm.engine.journal import Journal
from sagafsm.engine.replies import ReplyInterpreter, find_function
from sagafsm.errors import IllegalTransition
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.value import Value

log = logging.getLogger("sagafsm")
# A decision, checked against the instance as it stands once the mail is absorbed and all that follows is recorded.
FirstEvents = Callable[[SagaInstance], Sequence[e.Event]]


@attrs.frozen(slots=False, eq=False, repr=False)
class CallResult(Value):
    """What came of a call, as of a moment. `ends`: nothing more will be heard of it."""

    run: Run
    outcome: Outcome | None
    moment: Moment
    ends: bool = True


@attrs.define(eq=False)
class DrivenInstance:
    """An instance while it is driven; `parent` and `run` tell what drives it, where it is a nested saga.

    `prelude`: facts that come before all others in the first commit; `met`: those that come after a decision in it.
    """

    settings: Settings
    definition: Definition
    journal: Journal
    reading: ReplyInterpreter
    resources: Mapping[str, Any]
    parent: DrivenInstance | None = None
    run: RunChild | None = None
    prelude: Sequence[e.Event] = ()
    under_way: dict[str, Run] = attrs.field(factory=dict, init=False)
    children: dict[str, DrivenInstance] = attrs.field(factory=dict, init=False)
    command: Command = attrs.field(factory=Park, init=False)
    posted: set[str] = attrs.field(factory=set, init=False)
    met: list[e.Event] = attrs.field(factory=list, init=False)
    _late: list[tuple[Run, TimedOutCall]] = attrs.field(factory=list, init=False)

    @property
    def instance(self) -> SagaInstance:
        """The instance as the store has it."""
        return self.journal.instance

    @property
    def root(self) -> DrivenInstance:
        """The instance in which it is nested that is nested in no other; itself, where it is none."""
        return self if self.parent is None else self.parent.root

    @property
    def is_open(self) -> bool:
        """Whether it is still driven, and has not come to its end or been parked meanwhile."""
        return self.parent is None or self.run is None or self.parent.children.get(self.run.step) is self

    @property
    def goes_back(self) -> bool:
        """Whether a cause is recorded in it, or in an instance in which it is nested."""
        return self.instance.cause is not None or (self.parent is not None and self.parent.goes_back)

    def commit(
        self,
        heard: CallResult | None,
        *,
        opening: FirstEvents | None,
        mail: Sequence[e.Request],
        start: bool,
        limit: int | None,
    ) -> Effects[tuple[NextCalls, IllegalTransition | None]]:
        """Commit what is known with all that follows from it; return what is to be done next.

        Raises:
            MailWaits: nothing was written; read the mail, and decide again with it.
        """
        late = self._late_results() if self._late else []
        batch = Commit(self.definition, self.journal.instance, self.settings.clock.now(), self.under_way.keys())
        batch.record(self.prelude)
        batch.absorb(mail)
        batch.record(late)
        refusal = None if opening is None else _opened(batch, opening)
        batch.record(self.met)
        if heard is not None:
            if heard.ends:
                batch.under_way = {name for name in self.under_way if name != heard.run.step}
            if heard.outcome is not None and not _is_overtaken(batch.draft, heard):
                batch.record((observe(self.definition, batch.draft, heard.run, heard.outcome, heard.moment),))
        admitted: list[Run] = []
        todo = NextCalls((), Park()) if refusal is not None else self._proceed(batch, start, limit, admitted)
        try:
            yield from self.journal.append(batch)
        except BaseException:
            for run in admitted:
                self.ended(run)
            raise
        self.prelude = ()
        self.met.clear()
        for _ in late:
            self._late.pop(0)
        if heard is not None and heard.ends:
            self.under_way.pop(heard.run.step, None)
        self.begin(todo)
        return todo, refusal

    def begin(self, todo: NextCalls) -> None:
        """Count what a commit has written ahead as under way."""
        for run in todo.runs:
            self.under_way[run.step] = run
        self.command = todo.command

    def _proceed(self, batch: Commit, start: bool, limit: int | None, admitted: list[Run]) -> NextCalls:
        limits = self.settings.limits
        if limits is None:
            return batch.proceed(start=start, limit=limit)

        def admits(run: Run) -> bool:
            admitted.extend([run] if (free := limits.acquire(self.definition, run)) else [])
            return free

        return batch.proceed(start=start, limit=limit, admits=admits)

    def ended(self, run: Run) -> None:
        """A call has ended: another one of that step may start, of whatever instance."""
        if self.settings.limits is not None:
            self.settings.limits.release(self.definition, run)

    def queue(self) -> PendingCall | None:
        """What the next call waits for before it may start, when that is another one's end."""
        limits, run = self.settings.limits, self.command
        if limits is None or not isinstance(run, Run) or run.step in self.under_way:
            return None
        early = run.not_before is not None and run.not_before > self.settings.clock.now()
        key, limit = limits.key(self.definition, run), self.definition.by_name[run.step].max_concurrency
        return None if key is None or limit is None or early else PendingCall(WaitForSlot(limits, key, limit))

    def passes_on(self, queued: PendingCall) -> None:
        """Let the next one look whose call waits for the same turn."""
        if isinstance(queued.call, WaitForSlot):
            queued.call.limits.notify(queued.call.key, queued.call.limit)

    def pending(self, run: Run) -> PendingCall:
        """The call that a command orders.

        Raises:
            PayloadError: what is stored does not fit the parameter that is to be given it.
        """
        function, timeout = find_function(self.definition.by_name[run.step], run)
        positional: Sequence[Any] = ()
        named: Mapping[str, Any] = {}
        if function.parameters:
            context = self._context(run, function, timeout) if function.wants_context else None
            positional, named = self.values.arguments(function, run.step, context)
        call = UserCall(
            instance_id=self.instance.id,
            run=run,
            function=function,
            positional=positional,
            named=named,
            timeout=timeout,
        )
        return PendingCall(call)

    def _context(self, run: Run, function: Function, timeout: timedelta | None) -> Context:
        until = None if timeout is None else self.settings.clock.now() + timeout
        live = run.step in self.reading.live
        return build_context(
            self.instance, function, run.step, key=run.key, attempt=run.attempt, live=live, until=until
        )

    @property
    def values(self) -> ArgumentSource:
        """Where the arguments of calls come from."""
        return ArgumentSource(
            definition=self.definition, instance=self.instance, resources=self.resources, live=self.reading.live
        )

    def outlived(self, run: Run, late: TimedOutCall) -> None:
        """Keep a call that did not end within its grace: what it still gives is recorded."""
        self._late.append((run, late))

    def _late_results(self) -> list[e.Event]:
        """Those that have ended by now come first."""
        ended = [(run, late, reply) for run, late in self._late if (reply := late.reply()) is not None]
        known = {id(late) for _, late, _ in ended}
        self._late = [(run, late) for run, late, _ in ended] + [
            (r, late) for r, late in self._late if id(late) not in known
        ]
        return [self.reading.late(run, reply) for run, _, reply in ended]

    def leave(self) -> None:
        """Have what still runs logged when it ends: nobody here owns the instance any longer."""
        for run, late in self._late:
            late.when_done(partial(_log_late, self.instance.id, run))


def _opened(batch: Commit, opening: FirstEvents) -> IllegalTransition | None:
    """Record a decision, or return why it is refused: what led to the refusal is recorded all the same."""
    batch.proceed(start=False)
    try:
        batch.record(opening(batch.draft))
    except IllegalTransition as refusal:
        return refusal
    return None


def _is_overtaken(instance: SagaInstance, heard: CallResult) -> bool:
    """Whether a nested saga parked without something that its parent reads only now: it is driven on instead."""
    run, outcome = heard.run, heard.outcome
    if not isinstance(run, RunChild) or not isinstance(outcome, NestedOutcome):
        return False
    child = outcome.child
    return child is not None and not child.is_at_rest and has_unread_requests(instance, run.step, run.direction, child)


def _log_late(instance_id: str, run: Run) -> None:
    log.warning(
        "attempt %d of step %r of instance %r ended after its driver had left; its outcome is not recorded",
        run.attempt,
        run.step,
        instance_id,
    )
