"""The lanes of an instance while its history is read: which segment of each step is open, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sagafsm import events as e
from sagafsm.fold import KEEPS_PARKED
from sagafsm.values import replace
from sagafsm.view.segments import Attempt, Outcome, Segment, Wait, WaitKind

_KEEPS_BLOCKED = (*KEEPS_PARKED, e.InstanceBlocked)


class Lanes:
    """The segments so far, and for each step the one that is open."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.open: dict[str, int] = {}
        self.last: dict[tuple[str, e.Direction], int] = {}
        # The lanes that wait for a decision, as an event other than a request ends every block.
        self.blocked: set[str] = set()
        self.now: datetime
        self.number = 0

    def turn_to(self, event: e.Event) -> None:
        """The event is now: any but a request ends every block."""
        self.now = max(event.at, self.now) if self.number else event.at
        self.number = event.number
        if self.blocked and not isinstance(event, _KEEPS_BLOCKED):
            for step in sorted(self.blocked):
                self.close(step)

    def call(self, step: str, target: e.Direction, number: int) -> None:
        """An attempt begins."""
        self.close(step)
        self.last[step, target] = self.open[step] = len(self.segments)
        self.segments.append(
            Attempt(step=step, target=target, number=number, start=self.now, end=self.now, began=self.number)
        )

    def wait(self, step: str, target: e.Direction, kind: WaitKind, until: datetime | None = None) -> None:
        """A wait begins; one for a decision ends with the next event that is no request."""
        self.close(step)
        self.open[step] = len(self.segments)
        if kind == "decision":
            self.blocked.add(step)
        start = self.now
        wait = Wait(step=step, target=target, kind=kind, start=start, end=start, began=self.number, until=until)
        self.segments.append(wait)

    def close(self, step: str, outcome: Outcome = "died", **told: Any) -> None:
        """End what is open in a lane. An attempt that nothing else ends has ended with its process."""
        index = self.open.pop(step, None)
        self.blocked.discard(step)
        if index is None:
            return
        ended: dict[str, Any] = {"end": self.now, "ended": self.number}
        segment = self.segments[index]
        if isinstance(segment, Attempt):
            ended |= {"outcome": outcome, **told}
        self.segments[index] = replace(segment, **ended)

    def is_running(self, step: str) -> bool:
        """Whether an attempt of the step is open."""
        return step in self.open and isinstance(self.segments[self.open[step]], Attempt)

    def target(self, step: str) -> e.Direction:
        """Which of a step's functions it is about now: once undoing began, it is never called again."""
        return "compensation" if (step, "compensation") in self.last else "action"

    def settle(self, step: str, told: str) -> None:
        """Tell of a step's last attempt what was found out about it."""
        index = self.last.get((step, self.target(step)))
        segment = None if index is None else self.segments[index]
        if index is not None and isinstance(segment, Attempt):
            self.segments[index] = replace(segment, settled=told)

    def rename(self, names: Mapping[str, str | None]) -> None:
        """Give lanes the names that a migration gave to their steps; one whose step is gone keeps its own."""

        def new(step: str) -> str:
            return names.get(step) or step

        for step in [step for step in self.open if new(step) != step and new(step) in self.open]:
            self.close(step)
        self.segments = [replace(segment, step=new(segment.step)) for segment in self.segments]
        self.open = {new(step): index for step, index in self.open.items()}
        self.last = {(new(step), target): index for (step, target), index in self.last.items()}
        self.blocked = {new(step) for step in self.blocked}
