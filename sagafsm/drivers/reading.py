"""What the reply to a call means: a pure translation, but for the results that only the driver can still hold."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

import attrs

from sagafsm import events as e
from sagafsm.command import Run, RunAction, RunCompensation, RunProbe
from sagafsm.context import Values, context_of
from sagafsm.definition import Definition, StepDefinition
from sagafsm.drivers.effects import Answer, Refusal, Reply, Silence
from sagafsm.errors import PayloadError
from sagafsm.function import Function
from sagafsm.outcome import (
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
    recorded,
)
from sagafsm.payload import encode


def called(step: StepDefinition, command: Run) -> tuple[Function, timedelta | None]:
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
class Reading:
    """Turns replies into outcomes. `live` keeps results that could not be stored, for this drive's compensations."""

    definition: Definition
    instance_id: str
    max_payload: int
    live: dict[str, Any] = attrs.field(factory=dict, init=False)

    def outcome(self, command: Run, reply: Reply) -> Outcome:
        """What the reply to a command means."""
        step = self.definition.by_name[command.step]
        match reply:
            case Silence():
                _, timeout = called(step, command)
                seconds = timeout.total_seconds() if timeout is not None else 0.0
                return TimedOut(error=AttemptTimedOut(f"no answer within {seconds:g} s"))
            case Refusal(error=error, outer=outer):
                return StillInDoubt(error=error) if isinstance(command, RunProbe) else Raised(error=error, outer=outer)
            case Answer(value=value):
                return self._answered(command, step, value)

    def _answered(self, command: Run, step: StepDefinition, value: Any) -> Outcome:
        if isinstance(command, RunCompensation):
            return Returned(result_json="null")
        if isinstance(command, RunProbe):
            return self._told(value, step)
        return self._kept(value, step)

    def _kept(self, value: Any, step: StepDefinition) -> Outcome:
        outcome = self._stored(value, step)
        if isinstance(outcome, Unstorable):
            # Kept for the compensation: what was done can still be undone by what it returned.
            self.live[step.name] = value
        return outcome

    def _told(self, answer: object, step: StepDefinition) -> Outcome:
        if isinstance(answer, Done):
            return self._kept(answer.result, step)
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

    def prepared(self, command: Run, values: Values) -> Outcome:
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
    def _pure(function: Function, command: Run, values: Values) -> Any:
        context = context_of(
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

    def late(self, command: Run, reply: Answer | Refusal) -> e.LateResult:
        """The fact that a call answered when nobody waited for it any more."""
        direction: e.Direction = "action" if isinstance(command, RunAction) else "compensation"
        late = e.LateResult(step=command.step, attempt=command.attempt, direction=direction)
        if isinstance(reply, Refusal):
            return attrs.evolve(late, error=recorded(reply.error))
        match self._stored(reply.value, self.definition.by_name[command.step]):
            case Returned(result_json=text):
                return attrs.evolve(late, result_json=text)
            case Unstorable(error=error):
                return attrs.evolve(late, error=recorded(error))
