"""The driver of the model: `sagafsm.engine.driven_instance.DrivenInstance` without its store, clock and calls, and with a memory.

What a commit makes of an instance does not depend on the world, so it is worked out once for each canonical instance.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from exams.model.law import PROGRESS, WRITE_AHEAD, broken
from exams.model.laws import Laws
from exams.model.sagas import ModelSaga
from exams.model.world import CANCEL, LATER, NOW, Called, State, canonical, key_of_instance
from sagafsm.core.commands import Command, Run, RunAction, RunCompensation, RunProbe, WaitForCalls
from sagafsm.core.commit import Commit, NextCalls, build_first_commit
from sagafsm.core.decide import build_idempotency_key
from sagafsm.core.decisions import DecisionRequest
from sagafsm.core.observe import Moment, observe
from sagafsm.core.outcomes import Outcome
from sagafsm.errors import IllegalTransition
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance

AT = {now: Moment(now=now, draw=1.0) for now in (NOW, LATER)}
KINDS: dict[type[Command], Called] = {RunAction: "action", RunCompensation: "compensation", RunProbe: "probe"}


class Settled(NamedTuple):
    """What a commit led to: the durable instance, the call that is made next, and whether the mail was absorbed.

    `refused`: the decision was, and only what led to that was recorded. `gone`: the steps whose effect must be gone from the world, as the compensation of an earlier one is started.
    """

    instance: SagaInstance
    called: Called
    step: int
    absorbed: bool
    gone: tuple[int, ...]
    refused: bool = False


class Driver:
    """Makes commits for the instances of one saga, each checked against the laws."""

    def __init__(self, saga: ModelSaga, *, fine: bool) -> None:
        self.definition, self.laws, self.fine = saga.definition, Laws(saga), fine
        self.names = self.laws.names
        self._made: dict[tuple[Any, ...], Settled] = {}
        self._instances: dict[tuple[Any, ...], SagaInstance] = {}
        batch, _ = build_first_commit(self.definition, "i", "{}", now=NOW, begin=False, has_limits=True)
        self.commands: dict[tuple[str, int], Run] = {}
        for i, name in enumerate(self.names):
            action, undo = (
                build_idempotency_key(batch.instance, name, "action"),
                build_idempotency_key(batch.instance, name, "compensation"),
            )
            self.commands["action", i] = RunAction(step=name, attempt=1, key=action)
            self.commands["probe", i] = RunProbe(step=name, attempt=1, key=action)
            self.commands["compensation", i] = RunCompensation(step=name, attempt=1, key=undo)

    def create(self, *, begin: bool) -> Settled:
        """The first commit."""
        batch, todo = build_first_commit(self.definition, "i", "{}", now=NOW, begin=begin, has_limits=True)
        unborn = batch.instances[0]
        rest = Commit(self.definition, unborn, NOW)
        rest.record(batch.events[1:])
        self.laws.commit(unborn, rest, mail_left=False)
        return self._settled(rest, todo)

    def settle(
        self,
        state: State,
        outcome: Outcome | None = None,
        *,
        decision: e.Decision | None = None,
        ends: bool = True,
        start: bool = True,
        look: bool = False,
        now: datetime = NOW,
    ) -> Settled:
        """One commit. `look`: the driver reads its mail first; `ends`: nothing more will be heard of the call.

        Without `look` it reads the mail when its append is refused because mail waits.
        """
        waits = state.mail == "waiting"
        asked = (id(state.instance), state.called, state.step, waits, id(outcome), decision, ends, start, look, now)
        made = self._made.get(asked)
        if made is None:
            verdict = None if decision is None else self._verdict(state.instance, decision)
            made = self._settle(state, outcome, verdict, ends=ends, start=start, look=look, now=now)
            self._made[asked] = made
        return made

    def abandon(self, state: State) -> Settled:
        """The commit of an abandon, which needs no definition."""
        waits = state.mail == "waiting"
        asked = (id(state.instance), waits, "abandon")
        made = self._made.get(asked)
        if made is None:
            verdict = self._verdict(state.instance, "abandon")
            batch = Commit(None, state.instance, NOW)
            batch.record(((CANCEL,) if waits else ()) + verdict.events(state.instance))
            self.laws.commit(state.instance, batch, mail_left=False)
            made = self._made[asked] = self._settled(batch, None)
        return made

    @staticmethod
    def _verdict(instance: SagaInstance, decision: e.Decision) -> DecisionRequest:
        result = f'"{instance.blocked[0].step}"' if decision == "resolve(result)" else None
        return DecisionRequest(decision=decision, step=None, by="me", reason="test", result_json=result)

    def _settle(
        self,
        state: State,
        outcome: Outcome | None,
        verdict: DecisionRequest | None,
        *,
        ends: bool,
        start: bool,
        look: bool,
        now: datetime,
    ) -> Settled:
        """`DrivenInstance.commit`: mail, decision, outcome, all that follows, the next start; again with the mail that waits."""
        before, waits = state.instance, state.mail == "waiting"
        under_way = frozenset({self.names[state.step]} if state.phase != "cold" else ())
        # A commit with an outcome has an event, so that the mail is always seen.
        mail = (CANCEL,) if waits and (look or outcome is not None) else ()
        while True:
            batch = Commit(self.definition, before, now, under_way)
            batch.absorb(mail)
            refused = self._open(batch, verdict)
            if ends:
                batch.under_way = frozenset()
            if outcome is not None:
                command = self.commands[state.called, state.step]
                batch.record((observe(self.definition, batch.instance, command, outcome, AT[now]),))
            todo = None if refused else batch.proceed(start=start)
            if batch.events and waits and not mail:
                mail = (CANCEL,)
                continue
            break
        if batch.events:
            absorbed = e.CancelRequested in map(type, batch.events)
            self.laws.commit(before, batch, mail_left=waits and not absorbed)
        elif not (todo is None or todo.runs or isinstance(todo.command, Run) or before.is_at_rest or before.blocked):
            broken(PROGRESS, f"{before} waits for nothing: {todo}")
        if todo is not None and isinstance(todo.command, WaitForCalls) and not batch.under_way:
            broken(PROGRESS, f"{before} waits for calls of which none is under way")
        answering = self.names[state.step] if not ends and state.called == "action" else None
        return self._settled(batch, todo, answering)._replace(refused=refused)

    @staticmethod
    def _open(batch: Commit, verdict: DecisionRequest | None) -> bool:
        """`node._opened`: whether the decision is refused."""
        if verdict is None:
            return False
        batch.proceed(start=False)
        try:
            batch.record(verdict.events(batch.instance))
        except IllegalTransition:
            return True
        return False

    def known(self, instance: SagaInstance, answering: str | None = None) -> SagaInstance:
        """The one instance that stands for all to which the same may happen; `answering` as for their key."""
        key = (answering, *key_of_instance(instance, fine=self.fine, answering=answering))
        one = self._instances.get(key)
        if one is None:
            one = self._instances[key] = canonical(instance, fine=self.fine, answering=answering)
        return one

    def _settled(self, batch: Commit, todo: NextCalls | None, answering: str | None = None) -> Settled:
        instance = self.known(batch.instance, answering)
        absorbed = e.CancelRequested in map(type, batch.events)
        gone = self.laws.gone(batch)
        if todo is None or not todo.runs:
            return Settled(instance, "", -1, absorbed, gone)
        (command,) = todo.runs
        called, step = KINDS[type(command)], self.laws.position[command.step]
        if command.key != self.commands[called, step].key:
            broken(WRITE_AHEAD, f"{command} has another key than every call before")
        return Settled(instance, called, step, absorbed, gone)
