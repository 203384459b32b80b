"""What stands in for a world where none is given: it counts what was done, and takes off what was undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from sagafsm.definition import Definition
from sagafsm.verify.life import Called


@attrs.define
class Ledger:
    """Every step whose action came to its end, until its compensation did.

    It takes every service for one that honours the key it is given: a step done twice under one key counts once.
    """

    effectless: frozenset[str]
    done: dict[str, str] = attrs.Factory(dict)

    @classmethod
    def of(cls, definition: Definition) -> Callable[[], Ledger]:
        """What makes an empty ledger for a saga."""
        effectless = frozenset(step.name for step in definition.steps if not step.effect)
        return lambda: cls(effectless)

    def note(self, called: Called) -> None:
        """A function of a step has come to its end."""
        place = f"{called.call.instance_id.partition('/')[0]}: {called.path}"
        if called.role == "action" and called.path not in self.effectless:
            self.done[place] = "done"
        elif called.role == "compensation":
            self.done.pop(place, None)

    def resources(self) -> Mapping[str, Any]:
        """None: the functions reach whatever they reach."""
        return {}

    def snapshot(self) -> Any:
        """What is done and not undone."""
        return dict(self.done)
