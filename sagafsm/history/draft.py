"""`InstanceDraft`: an instance whose fields can still change, while events are folded into it.

What each event changes is in `history.fold`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sagafsm.history import events as e
from sagafsm.history.step_state import Block, Cause, HasState, StepState
from sagafsm.value import replace


class InstanceDraft(HasState):
    """An instance while facts are folded into it: it has an instance's fields, and is read like one."""

    id: str
    saga: str
    version: int
    fingerprint: str
    state: str
    input_json: str
    outline: tuple[e.StepOutline, ...]
    steps: dict[str, StepState]
    started: tuple[str, ...]
    history: list[e.Event]
    errors: tuple[e.RecordedError, ...]
    cause: Cause | None
    cancel: e.CancelRequested | None
    signals: tuple[e.SignalReceived, ...]
    waiting: bool
    blocked: tuple[Block, ...]
    created_at: datetime
    updated_at: datetime
    wake_at: datetime | None
    deadline: datetime | None
    owner: str | None

    def __init__(self, instance: HasState) -> None:
        self.__dict__.update(instance.__dict__)
        self.steps, self.history = dict(self.steps), list(self.history)

    def change(self, step: str, **changes: Any) -> None:
        """Change fields of a step's record."""
        self.steps[step] = replace(self.steps[step], **changes)

    def note(self, error: e.RecordedError | None) -> None:
        """Count an error among the failures."""
        # A cause or a block repeats the error of the failure that led to it; it is one failure all the same.
        if error is not None and error not in self.errors[-1:]:
            self.errors = (*self.errors, error)
