"""One instance of the tree that a drive owns: its commits, and the calls of it that are under way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs

from sagafsm import events as e
from sagafsm.batch import Batch, Todo
from sagafsm.command import Command, Park, Run, RunChild
from sagafsm.context import Values, context_of
from sagafsm.definition import Definition
from sagafsm.drivers.effects import Late, Pending, Steps, UserCall
from sagafsm.drivers.journal import Journal
from sagafsm.drivers.reading import Reading, called
from sagafsm.drivers.settings import Settings
from sagafsm.errors import IllegalTransition
from sagafsm.instance import SagaInstance
from sagafsm.outcome import Moment, Outcome, observe

log = logging.getLogger("sagafsm")
# A decision, checked against the instance as it stands once the mail is absorbed and all that follows is recorded.
Opening = Callable[[SagaInstance], Sequence[e.Event]]


@attrs.frozen
class Heard:
    """What came of a call, as of a moment. `ends`: nothing more will be heard of it."""

    run: Run
    outcome: Outcome | None
    moment: Moment
    ends: bool = True


@attrs.define(eq=False)
class Node:
    """An instance while it is driven; `parent` and `run` tell what drives it, where it is a nested saga.

    `prelude`: facts that come before all others in the first commit; `met`: those that come after a decision in it.
    """

    settings: Settings
    definition: Definition
    journal: Journal
    reading: Reading
    resources: Mapping[str, Any]
    parent: Node | None = None
    run: RunChild | None = None
    prelude: Sequence[e.Event] = ()
    under_way: dict[str, Run] = attrs.field(factory=dict, init=False)
    children: dict[str, Node] = attrs.field(factory=dict, init=False)
    command: Command = attrs.field(factory=Park, init=False)
    posted: set[str] = attrs.field(factory=set, init=False)
    met: list[e.Event] = attrs.field(factory=list, init=False)
    _late: list[tuple[Run, Late]] = attrs.field(factory=list, init=False)

    @property
    def instance(self) -> SagaInstance:
        """The instance as the store has it."""
        return self.journal.instance

    @property
    def goes_back(self) -> bool:
        """Whether a cause is recorded in it, or in an instance in which it is nested."""
        return self.instance.cause is not None or (self.parent is not None and self.parent.goes_back)

    def commit(
        self,
        heard: Heard | None,
        *,
        opening: Opening | None,
        mail: Sequence[e.Request],
        start: bool,
        limit: int | None,
    ) -> Steps[tuple[Todo, IllegalTransition | None]]:
        """Commit what is known with all that follows from it; return what is to be done next.

        Raises:
            MailWaits: nothing was written; read the mail, and decide again with it.
        """
        late = self._late_results()
        batch = Batch(self.definition, self.instance, self.settings.clock.now(), frozenset(self.under_way))
        batch.record(self.prelude)
        batch.absorb(mail)
        batch.record(late)
        refusal = _opened(batch, opening)
        batch.record(self.met)
        if heard is not None:
            if heard.ends:
                batch.under_way = {name for name in self.under_way if name != heard.run.step}
            if heard.outcome is not None:
                batch.record((observe(self.definition, batch.instance, heard.run, heard.outcome, heard.moment),))
        todo = Todo((), Park()) if refusal is not None else batch.proceed(start=start, limit=limit)
        yield from self.journal.append(batch)
        self.prelude = ()
        self.met.clear()
        for _ in late:
            self._late.pop(0)
        if heard is not None and heard.ends:
            self.under_way.pop(heard.run.step, None)
        self.under_way |= {run.step: run for run in todo.runs}
        self.command = todo.command
        return todo, refusal

    def pending(self, run: Run) -> Pending:
        """The call that a command orders.

        Raises:
            PayloadError: what is stored does not fit the parameter that is to be given it.
        """
        function, timeout = called(self.definition.by_name[run.step], run)
        until = None if timeout is None else self.settings.clock.now() + timeout
        live = self.reading.live
        context = context_of(
            self.instance, function, run.step, key=run.key, attempt=run.attempt, live=run.step in live, until=until
        )
        positional, named = self.values.arguments(function, context)
        return Pending(UserCall(function=function, positional=positional, named=named, timeout=timeout))

    @property
    def values(self) -> Values:
        """Where the arguments of calls come from."""
        return Values(
            definition=self.definition, instance=self.instance, resources=self.resources, live=self.reading.live
        )

    def outlived(self, run: Run, late: Late) -> None:
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


def _opened(batch: Batch, opening: Opening | None) -> IllegalTransition | None:
    """Record a decision, or return why it is refused: what led to the refusal is recorded all the same."""
    if opening is None:
        return None
    batch.proceed(start=False)
    try:
        batch.record(opening(batch.instance))
    except IllegalTransition as refusal:
        return refusal
    return None


def _log_late(instance_id: str, run: Run) -> None:
    log.warning(
        "attempt %d of step %r of instance %r ended after its driver had left; its outcome is not recorded",
        run.attempt,
        run.step,
        instance_id,
    )
