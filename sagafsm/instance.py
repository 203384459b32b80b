"""One execution of a saga, as its history tells it; `sagafsm.fold` is the only way to make or change one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self

import attrs

from sagafsm import events as e
from sagafsm.errors import SagaFailed

StepStatus = Literal["pending", "running", "waiting", "done", "failed", "in_doubt", "unstorable"]
UndoStatus = Literal["running", "waiting", "failed", "undone", "skipped"]
ResidueReason = Literal["no_compensation", "in_doubt", "skipped", "abandoned"]
AT_REST = ("completed", "failed")


@attrs.frozen(kw_only=True)
class Calls:
    """How often one of a step's functions was called.

    `attempt` counts every call; `spent` those that use the budget (no process deaths); `deaths` the process deaths
    in a row that ended the last ones. An operator's retry begins `spent` and `deaths` anew.
    """

    attempt: int = 0
    spent: int = 0
    deaths: int = 0
    wake_at: datetime | None = None

    def started(self, attempt: int, *, died: bool) -> Self:
        """Counted on: a call begins; `died`: the one before it ended with its process."""
        before = self.died() if died else self
        return type(self)(attempt=attempt, spent=before.spent + 1, deaths=before.deaths)

    def died(self) -> Self:
        """Counted on: the call under way ended with its process, which uses no attempt."""
        return attrs.evolve(self, spent=self.spent - 1, deaths=self.deaths + 1, wake_at=None)

    def failed(self, wake_at: datetime | None) -> Self:
        """Counted on: the call failed, and may be repeated at `wake_at`."""
        return attrs.evolve(self, deaths=0, wake_at=wake_at)

    def renewed(self) -> Self:
        """With a new budget."""
        return type(self)(attempt=self.attempt)


@attrs.frozen(kw_only=True)
class StepRecord:
    """Where one step of an instance stands.

    `status` tells of the action, `undo` of the compensation (None until it is first called). `doubt_before`: an
    attempt before the present one is still in doubt. `probed`: the probe has been asked about this doubt.
    `conceded`: a decision let the doubt be and had it undone.
    """

    name: str
    status: StepStatus = "pending"
    undo: UndoStatus | None = None
    action: Calls = Calls()
    compensation: Calls = Calls()
    result_json: str | None = None
    error: e.RecordedError | None = None
    doubt_before: bool = False
    died: bool = False
    probed: bool = False
    retryable: bool = False
    retry_ordered: bool = False
    conceded: bool = False

    @property
    def result(self) -> Any:
        """A fresh decode of the stored result; None while there is none."""
        return None if self.result_json is None else json.loads(self.result_json)

    @property
    def attempt(self) -> int:
        """How often the action was called."""
        return self.action.attempt

    @property
    def may_have_effect(self) -> bool:
        """Whether the action took effect or may have, going by the record alone."""
        return self.status in ("running", "done", "in_doubt", "unstorable")


@attrs.frozen(kw_only=True)
class Cause:
    """Why an instance goes back, and the number of the event that recorded it."""

    kind: e.CauseKind
    step: str | None
    error: e.RecordedError | None
    by: str | None
    reason: str | None
    number: int

    def __str__(self) -> str:
        what = {
            "failure": f"step {self.step!r} failed",
            "doubt": f"step {self.step!r} was in doubt",
            "payload": f"step {self.step!r} gave a result that cannot be stored",
            "cancel": "cancelled",
            "decision": f"decided on step {self.step!r}",
        }[self.kind]
        by = f" by {self.by}" if self.by else ""
        why = self.error or self.reason
        return f"{what}{by}: {why}" if why else f"{what}{by}"


@attrs.frozen(kw_only=True)
class Block:
    """A step that waits for a decision, why, and what may be decided."""

    step: str
    reason: e.BlockReason
    decisions: tuple[e.Decision, ...]


@attrs.frozen(kw_only=True)
class Residue:
    """What a step may have left in the world. `result` is what its action returned, None when that is not known."""

    step: str
    reason: ResidueReason
    result: Any


@attrs.frozen(kw_only=True, repr=False)
class SagaInstance:
    """One execution of a saga: immutable, and complete without its definition.

    `steps` maps every step's name to its record, in order of definition; `started` names those that began, in order
    of first start; `errors` holds the failures that were not retried away, in order. `owner` names who drove the
    instance when it was loaded. `deadline`: when the clock cancels it.
    """

    id: str
    saga: str
    version: int
    fingerprint: str
    state: str
    input_json: str
    outline: tuple[e.StepOutline, ...]
    steps: Mapping[str, StepRecord]
    started: tuple[str, ...] = ()
    history: tuple[e.Event, ...]
    errors: tuple[e.RecordedError, ...] = ()
    cause: Cause | None = None
    cancel: e.CancelRequested | None = None
    blocked: tuple[Block, ...] = ()
    created_at: datetime
    updated_at: datetime
    wake_at: datetime | None = None
    deadline: datetime | None = None
    owner: str | None = None

    @property
    def phase(self) -> str:
        """The state up to the colon: pending, running, compensating, completed or failed."""
        return self.state.partition(":")[0]

    @property
    def current(self) -> str | None:
        """The step that the state names."""
        return self.state.partition(":")[2] or None

    @property
    def is_at_rest(self) -> bool:
        """Whether the instance has ended."""
        return self.state in AT_REST

    @property
    def input(self) -> Any:
        """A fresh decode of the stored input."""
        return json.loads(self.input_json)

    @property
    def results(self) -> dict[str, Any]:
        """The recorded results by step, each a fresh decode, in order of definition."""
        return {name: record.result for name, record in self.steps.items() if record.result_json is not None}

    @property
    def error(self) -> e.RecordedError | None:
        """The first failure; later ones follow it in `errors`."""
        return self.errors[0] if self.errors else None

    @property
    def residue(self) -> tuple[Residue, ...]:
        """What may remain in the world although the instance goes or went back, in order of start."""
        if self.phase not in ("compensating", "failed"):
            return ()
        outline = {step.name: step for step in self.outline}
        found = (self._left_by(outline[name], self.steps[name]) for name in self.started)
        return tuple(left for left in found if left is not None)

    def _left_by(self, outline: e.StepOutline, record: StepRecord) -> Residue | None:
        if not (outline.effect and record.may_have_effect) or record.undo == "undone":
            return None
        if record.undo == "skipped":
            return Residue(step=record.name, reason="skipped", result=record.result)
        unknown = record.status in ("running", "in_doubt")
        if not outline.compensation:
            return Residue(step=record.name, reason="in_doubt" if unknown else "no_compensation", result=record.result)
        if self.state != "failed":
            return None
        return Residue(step=record.name, reason="in_doubt" if unknown else "abandoned", result=record.result)

    @property
    def compensated(self) -> bool:
        """Whether the instance failed and nothing of it remains."""
        return self.state == "failed" and not self.residue

    def raise_for_failure(self) -> Self:
        """The instance itself, unless it failed.

        Raises:
            SagaFailed: it ended `failed`.
        """
        if self.state == "failed":
            raise SagaFailed(self)
        return self

    def at(self, event_number: int) -> SagaInstance:
        """The instance as it was once that event was recorded.

        Raises:
            IndexError: there is no event of that number.
        """
        if not 1 <= event_number <= len(self.history):
            raise IndexError(f"instance {self.id!r} has events 1 to {len(self.history)}, not {event_number!r}")
        from sagafsm.fold import fold  # noqa: PLC0415 - the fold makes instances, so it imports this module

        return fold(None, self.history[:event_number])

    def __repr__(self) -> str:
        notes = [self.state]
        if self.state == "failed":
            notes.append("compensated" if self.compensated else f"residue: {', '.join(r.step for r in self.residue)}")
        notes += [f"blocked on {block.step}: {block.reason}" for block in self.blocked]
        if self.cause is not None:
            notes.append(str(self.cause))
        return f"<SagaInstance {self.id!r} of {self.saga!r}: {'; '.join(notes)}>"
