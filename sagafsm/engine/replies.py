"""What the reply to a call means: a pure translation, but for the results that only the driver can still hold."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

import attrs

from sagafsm.core.commands import Run, RunAction, RunCompensation, RunProbe
from sagafsm.core.context import ArgumentSource, build_context
from sagafsm.core.observe import record_error
from sagafsm.core.outcomes import (
    IN_DOUBT,
    NOT_DONE,
    AttemptTimedOut,
    Done,
    NotDone,
    Outcome,
    Prepared,
    Raised,
    Returned,
    StillInDoubt,
    TimedOut,
    Unstorable,
)
from sagafsm.definition.definition import Definition, StepDefinition
from sagafsm.definition.functions import Function
from sagafsm.engine.effects import CallRaised, CallReturned, CallTimedOut, Reply
from sagafsm.errors import PayloadError
from sagafsm.history import events as e
from sagafsm.history.payload import encode


def find_function(step: StepDefinition, command: Run) -> tuple[Function, timedelta | None]:
    """The function that a command calls, and its timeout."""
    match command:
        case RunCompensation() if step.compensation is not None:
            return step.compensation, step.compensation_timeout
        case RunProbe() if step.probe is not None:
            return step.probe, None
        case _ if step.action is not None:
            return step.action, step.timeout
        case _:
            raise TypeError(f"step {step.name!r} has no function for {command!r}")


@attrs.define(eq=False)
class ReplyInterpreter:
    """Turns replies into outcomes. `live` keeps results that could not be stored, for this drive's compensations."""

    definition: Definition
    instance_id: str
    max_payload: int
    live: dict[str, Any] = attrs.field(factory=dict, init=False)

    def outcome(self, command: Run, reply: Reply) -> Outcome:
        """What the reply to a command means."""
        step = self.definition.by_name[command.step]
        match reply:
            case CallTimedOut():
                _, timeout = find_function(step, command)
                seconds = timeout.total_seconds() if timeout is not None else 0.0
                return TimedOut(error=AttemptTimedOut(f"no answer within {seconds:g} s"))
            case CallRaised(error=error, outer=outer):
                return StillInDoubt(error=error) if isinstance(command, RunProbe) else Raised(error=error, outer=outer)
            case CallReturned(value=value):
                return self._answered(command, step, value)

    def _answered(self, command: Run, step: StepDefinition, value: Any) -> Outcome:
        if isinstance(command, RunCompensation):
            return Returned(result_json="null")
        if isinstance(command, RunProbe):
            return self._probe_outcome(value, step)
        return self._result_outcome(value, step)

    def _result_outcome(self, value: Any, step: StepDefinition) -> Outcome:
        outcome = self._stored(value, step)
        if isinstance(outcome, Unstorable):
            # Kept for the compensation: what was done can still be undone by what it returned.
            self.live[step.name] = value
        return outcome

    def _probe_outcome(self, answer: object, step: StepDefinition) -> Outcome:
        if isinstance(answer, Done):
            return self._result_outcome(answer.result, step)
        if answer is NOT_DONE:
            return NotDone()
        if answer is IN_DOUBT:
            return StillInDoubt()
        told = f"the probe of step {step.name!r} returned {answer!r}, which is none of Done(result), NOT_DONE, IN_DOUBT"
        return StillInDoubt(error=TypeError(told))

    def _stored(self, value: Any, step: StepDefinition) -> Returned | Unstorable:
        subject = f"result of step {step.name!r} of instance {self.instance_id!r}"
        try:
            text = encode(value, step.returns, subject=subject, max_payload=self.max_payload)
        except PayloadError as error:
            return Unstorable(error=error)
        return Returned(result_json=text)

    def prepared(self, command: Run, values: ArgumentSource) -> Outcome:
        """Whether the step is to be called, and the input that is computed for it: the user's code, but pure."""
        step = self.definition.by_name[command.step]
        try:
            if step.when is not None and not self._pure(step.when, command, values):
                return Prepared(holds=False)
            if step.input is None or step.child is None:
                return Prepared()
            value = self._pure(step.input, command, values)
            subject = f"input of step {step.name!r} of instance {self.instance_id!r}"
            return Prepared(input_json=encode(value, step.child.input, subject=subject, max_payload=self.max_payload))
        except Exception as error:  # noqa: BLE001 - a user's function: whatever it raises is a failure of the step
            return Raised(error=error)

    @staticmethod
    def _pure(function: Function, command: Run, values: ArgumentSource) -> Any:
        context = build_context(
            values.instance, function, command.step, key=command.key, attempt=0, live=False, until=None
        )
        positional, named = values.arguments(function, command.step, context)
        value = function.call(*positional, **named)
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            told = f"{function.role}= of step {command.step!r} returned an awaitable, but it is pure: it is not awaited"
            raise TypeError(told)
        return value

    def late(self, command: Run, reply: CallReturned | CallRaised) -> e.LateResult:
        """The fact that a call answered when nobody waited for it any more."""
        direction: e.Direction = "action" if isinstance(command, RunAction) else "compensation"
        late = e.LateResult(step=command.step, attempt=command.attempt, direction=direction)
        if isinstance(reply, CallRaised):
            return attrs.evolve(late, error=record_error(reply.error))
        match self._stored(reply.value, self.definition.by_name[command.step]):
            case Returned(result_json=text):
                return attrs.evolve(late, result_json=text)
            case Unstorable(error=error):
                return attrs.evolve(late, error=record_error(error))
