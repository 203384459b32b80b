"""The world of a verification without a world: a ledger of actions that are done and not undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from sagafsm.definition.definition import Definition
from sagafsm.verify.simulate.process import StepCall


@attrs.define
class EffectLedger:
    """The steps whose actions have returned and whose compensations have not.

    The ledger assumes that each service honours its idempotency key: a step that is done twice counts once.
    """

    effectless: frozenset[str]
    done: dict[str, str] = attrs.Factory(dict)

    @classmethod
    def make_factory(cls, definition: Definition) -> Callable[[], EffectLedger]:
        """Return a function that makes empty ledgers for a saga."""
        effectless = frozenset(step.name for step in definition.steps if not step.effect)
        return lambda: cls(effectless)

    def note(self, step_call: StepCall) -> None:
        """Record that a function of a step has returned."""
        place = f"{step_call.call.instance_id.partition('/')[0]}: {step_call.path}"
        if step_call.role == "action" and step_call.path not in self.effectless:
            self.done[place] = "done"
        elif step_call.role == "compensation":
            self.done.pop(place, None)

    def resources(self) -> Mapping[str, Any]:
        """Return no resources: the functions of the saga call the real services."""
        return {}

    def snapshot(self) -> Any:
        """Return the steps that are done and not undone."""
        return dict(self.done)
