"""What a step's function may ask about its own call, as `ctx`; and the arguments of that call."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from sagafsm.core.decide import build_idempotency_key
from sagafsm.core.triggers import has_passed_pivot
from sagafsm.definition.definition import Definition
from sagafsm.definition.functions import Function, Parameter
from sagafsm.history.instance import SagaInstance
from sagafsm.history.payload import decode
from sagafsm.value import Value


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Context(Value):
    """One call of an action, compensation or probe.

    `attempt` counts calls from 1. `idempotency_key` is that of this step and direction, the same over all attempts
    and restarts: give it to the service. `action_key`: in a compensation or probe, the key its action was given.
    `in_doubt`: whether an effect may exist that is not recorded. `deadline`: when the call's outcome comes too late,
    the earlier of the saga's deadline (as long as it can cancel) and this attempt's timeout; None without either.
    """

    saga: str
    instance_id: str
    step: str
    attempt: int
    idempotency_key: str
    action_key: str
    in_doubt: bool
    deadline: datetime | None


def build_context(
    instance: SagaInstance, function: Function, step: str, *, key: str, attempt: int, live: bool, until: datetime | None
) -> Context:
    """The context of a call; `live`: the driver still holds the result that could not be stored."""
    record = instance.steps[step]
    match function.role:
        case "action" | "when" | "input":
            in_doubt = record.doubt_before
        case "probe":
            in_doubt = True
        case "compensation":
            in_doubt = record.status == "in_doubt" or (record.status == "unstorable" and not live)
    # The saga's deadline is a cancel: it hurries nobody who undoes, nor what can no longer be cancelled.
    hurried = function.role != "compensation" and not has_passed_pivot(instance)
    ends = [moment for moment in (instance.deadline if hurried else None, until) if moment is not None]
    return Context(
        saga=instance.saga,
        instance_id=instance.id,
        step=step,
        attempt=attempt,
        idempotency_key=key,
        action_key=build_idempotency_key(instance, step, "action"),
        in_doubt=in_doubt,
        deadline=min(ends, default=None),
    )


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class ArgumentSource(Value):
    """Where the arguments of calls come from: every stored value is freshly decoded, as after a restart.

    `live` holds results that could not be stored, as long as the driver that saw them lives.
    """

    definition: Definition
    instance: SagaInstance
    resources: Mapping[str, Any]
    live: Mapping[str, Any]

    def arguments(self, function: Function, step: str, context: Context | None) -> tuple[list[Any], dict[str, Any]]:
        """Positional and named arguments of a call of one of the step's functions; `context` if it wants one.

        Raises:
            PayloadError: what is stored does not fit the annotation it is now read by.
        """
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for parameter in function.parameters:
            value = self._value(parameter, step, context)
            if parameter.positional:
                positional.append(value)
            else:
                named[parameter.name] = value
        return positional, named

    def _value(self, parameter: Parameter, step: str, context: Context | None) -> Any:
        match parameter.source:
            case "ctx":
                return context
            case "resource":
                return self.resources[parameter.name]
            case "input":
                kind = self.definition.input if parameter.type is Any else parameter.type
                return decode(self.instance.input_json, kind, subject=f"input of instance {self.instance.id!r}")
            case "result" if step in self.live:
                return self.live[step]
            case "result":
                return self._result(step, parameter)
            case "step":
                return self._result(parameter.name, parameter)

    def _result(self, step: str, parameter: Parameter) -> Any:
        text = self.instance.steps[step].result_json
        if text is None:
            return None
        kind = self.definition.by_name[step].returns if parameter.type is Any else parameter.type
        return decode(text, kind, subject=f"result of step {step!r} of instance {self.instance.id!r}")
