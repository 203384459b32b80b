"""A call or a wait of a step, as a piece of time."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import attrs

from sagafsm import events as e
from sagafsm.values import Value

Outcome = Literal["running", "done", "failed", "in_doubt", "refused", "parked", "died", "abandoned"]
WaitKind = Literal["retry", "signal", "decision", "late"]


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Attempt(Value):
    """One call of a step's action or compensation.

    `step` is its path, `number` the attempt, `began` and `ended` the numbers of the events between which it ran; one
    that is running still has no `ended`, and ends with the history. `settled` tells what was found out about it
    afterwards.
    """

    step: str
    target: e.Direction
    number: int
    start: datetime
    end: datetime
    began: int
    ended: int | None = None
    outcome: Outcome = "running"
    reason: e.DoubtReason | None = None
    error: e.RecordedError | None = None
    settled: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it runs at the end of the history."""
        return self.ended is None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Wait(Value):
    """A time in which a step waits: to be called again, for a signal, for a decision; or a call that went on too long.

    `until` is when it ends by itself.
    """

    step: str
    target: e.Direction
    kind: WaitKind
    start: datetime
    end: datetime
    began: int
    ended: int | None = None
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it lasts at the end of the history."""
        return self.ended is None


Segment = Attempt | Wait
