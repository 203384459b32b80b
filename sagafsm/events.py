"""What can happen to an instance: past-tense facts, numbered from 1 without gaps. The history is the truth."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Literal

import attrs

UNSTAMPED = datetime.fromtimestamp(0, tz=UTC)

Evidence = Literal["action", "probe"]
DoubtReason = Literal["timeout", "outcome_unknown", "process_died", "earlier_attempt", "probe"]
CauseKind = Literal["failure", "doubt", "payload", "cancel", "decision"]
BlockReason = Literal["in_doubt", "crash_loop", "exhausted", "payload", "compensation_failed"]
Decision = Literal["retry", "resolve(result)", "resolve(not_done)", "resolve(undone)", "compensate", "skip", "abandon"]
Direction = Literal["action", "compensation"]


@attrs.frozen(kw_only=True, slots=False)
class RecordedError:
    """An exception as the history keeps it: qualified type, message, and the traceback's text where there was one."""

    type: str
    message: str
    traceback: str | None = None

    def __str__(self) -> str:
        name = self.type.rpartition(".")[2]
        return f"{name}: {self.message}" if self.message else name


@attrs.frozen(kw_only=True, slots=False)
class StepOutline:
    """What of a step's definition shapes the machine; kept in the history, so that it can be read without code."""

    name: str
    title: str | None = None
    effect: bool = True
    compensation: bool = False
    probe: bool = False
    pivot: bool = False


@attrs.frozen(kw_only=True, slots=False)
class Event:
    """A fact. `number` and `at` are stamped when it is recorded; `state` is where it leads, when it moves."""

    number: int = 0
    at: datetime = UNSTAMPED
    state: str | None = None

    def __str__(self) -> str:
        return type(self).__name__


@attrs.frozen(kw_only=True, slots=False)
class StepEvent(Event):
    """A fact about one step."""

    step: str

    def __str__(self) -> str:
        return f"{type(self).__name__} {self.step}"


@attrs.frozen(kw_only=True, slots=False)
class InstanceCreated(Event):
    """The instance exists: saga, version, fingerprint, input and step list are fixed."""

    id: str
    saga: str
    version: int
    fingerprint: str
    input_json: str
    steps: tuple[StepOutline, ...]
    deadline: datetime | None = None

    @property
    def input(self) -> Any:
        """A fresh decode of the stored input."""
        return json.loads(self.input_json)


@attrs.frozen(kw_only=True, slots=False)
class StepStarted(StepEvent):
    """The action is about to be called. Written ahead: after a crash "never ran" and "ran" look the same."""

    attempt: int
    key: str


@attrs.frozen(kw_only=True, slots=False)
class StepSucceeded(StepEvent):
    """The action took effect and gave this result, as the call or the probe tells."""

    attempt: int
    result_json: str
    evidence: Evidence = "action"

    @property
    def result(self) -> Any:
        """A fresh decode of the stored result."""
        return json.loads(self.result_json)


@attrs.frozen(kw_only=True, slots=False)
class StepFailed(StepEvent):
    """An attempt left nothing to undo. With `wake_at` the action is called again then; without, it was the last."""

    attempt: int
    error: RecordedError
    wake_at: datetime | None = None
    evidence: Evidence = "action"


@attrs.frozen(kw_only=True, slots=False)
class StepInDoubt(StepEvent):
    """It is not known whether the action took effect.

    `retryable`: the budget allows another call, at `retry_at`; `wake_at` is set when that is what comes next.
    """

    attempt: int
    reason: DoubtReason
    error: RecordedError | None = None
    retryable: bool = False
    retry_at: datetime | None = None
    wake_at: datetime | None = None


@attrs.frozen(kw_only=True, slots=False)
class ResultRefused(StepEvent):
    """The action took effect, but its result cannot be stored; it is never executed again."""

    attempt: int
    error: RecordedError


@attrs.frozen(kw_only=True, slots=False)
class CauseRecorded(Event):
    """Why the instance goes back. From here on no action is called any more."""

    kind: CauseKind
    step: str | None = None
    error: RecordedError | None = None
    by: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        return f"CauseRecorded {self.kind}"


@attrs.frozen(kw_only=True, slots=False)
class CompensationStarted(StepEvent):
    """The compensation is about to be called."""

    attempt: int
    key: str


@attrs.frozen(kw_only=True, slots=False)
class CompensationSucceeded(StepEvent):
    """The step is undone."""

    attempt: int


@attrs.frozen(kw_only=True, slots=False)
class CompensationFailed(StepEvent):
    """A compensation raised or timed out. With `wake_at` it is called again then; without, the budget is used up."""

    attempt: int
    error: RecordedError
    wake_at: datetime | None = None


@attrs.frozen(kw_only=True, slots=False)
class InstanceBlocked(StepEvent):
    """The instance is parked until somebody decides; `decisions` lists what may be decided.

    `wake_at`: when the saga's deadline cancels it, where it still can.
    """

    reason: BlockReason
    decisions: tuple[Decision, ...]
    error: RecordedError | None = None
    wake_at: datetime | None = None


@attrs.frozen(kw_only=True, slots=False)
class DecisionMade(Event):
    """An operator decided, and says who and why. Only `abandon` concerns no single step."""

    decision: Decision
    step: str | None = None
    by: str | None = None
    reason: str | None = None
    result_json: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class CancelRequested(Event):
    """A request to go back came in through the mailbox; the same `request_id` counts once."""

    request_id: str
    by: str | None = None
    reason: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class CancelCameTooLate(Event):
    """The pivot had succeeded when the request was read; the instance goes forward."""

    request_id: str


@attrs.frozen(kw_only=True, slots=False)
class LateResult(StepEvent):
    """A timed-out call answered after its grace; recorded only."""

    attempt: int
    direction: Direction = "action"
    result_json: str | None = None
    error: RecordedError | None = None


@attrs.frozen(kw_only=True, slots=False)
class InstanceCompleted(Event):
    """Every step succeeded."""


@attrs.frozen(kw_only=True, slots=False)
class InstanceFailed(Event):
    """The instance ended without completing; what may remain is its residue."""


# What a request becomes when it is absorbed; the mailbox holds it unstamped.
Request = CancelRequested
