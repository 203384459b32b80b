"""What can happen to an instance: past-tense facts, numbered from 1 without gaps. The history is the truth."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

import attrs

from sagafsm.display import Displayable
from sagafsm.value import Value

UNSTAMPED = datetime.fromtimestamp(0, tz=UTC)

Evidence = Literal["action", "probe", "child"]
DoubtReason = Literal["timeout", "outcome_unknown", "process_died", "earlier_attempt", "probe"]
CauseKind = Literal["failure", "doubt", "payload", "cancel", "decision", "parent"]
BlockReason = Literal["in_doubt", "crash_loop", "exhausted", "payload", "compensation_failed"]
Decision = Literal["retry", "resolve(result)", "resolve(not_done)", "resolve(undone)", "compensate", "skip", "abandon"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
Direction = Literal["action", "compensation"]
StepKind = Literal["step", "saga", "wait"]
ResidueReason = Literal["no_compensation", "in_doubt", "skipped", "abandoned"]


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class RecordedError(Value, Displayable):
    """An exception as the history keeps it: qualified type, message, and the traceback's text where there was one."""

    type: str
    message: str
    traceback: str | None = None

    def __str__(self) -> str:
        name = self.type.rpartition(".")[2]
        return f"{name}: {self.message}" if self.message else name


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepOutline(Value):
    """What of a step's definition shapes the machine; kept in the history, so that it can be read without code.

    `group` is the group that it is a member of; `steps` are those of a nested saga.
    """

    name: str
    title: str | None = None
    effect: bool = True
    compensation: bool = False
    probe: bool = False
    pivot: bool = False
    kind: StepKind = "step"
    group: str | None = None
    steps: tuple[StepOutline, ...] = ()


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class RecordedBlock(Value):
    """A block as an event keeps it: a step, by its path from where the event stands, why, and what may be decided."""

    step: str
    reason: BlockReason
    decisions: tuple[Decision, ...]


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class RecordedResidue(Value):
    """What a nested saga may have left: a step, by its path within it, why, and what its action returned."""

    step: str
    reason: ResidueReason
    result_json: str | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Event(Value, Displayable):
    """A fact. `number` and `at` are stamped when it is recorded; `state` is where it leads, when it moves.

    The last event of a commit also says how the instance is left: `wake_at`, when it goes on by itself; `waiting`,
    whether it waits for a signal until then.
    """

    number: int = 0
    at: datetime = UNSTAMPED
    state: str | None = None
    wake_at: datetime | None = None
    waiting: bool = False

    def __str__(self) -> str:
        return type(self).__name__


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepEvent(Event):
    """A fact about one step."""

    step: str

    def __str__(self) -> str:
        return f"{type(self).__name__} {self.step}"


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
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


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class InstanceStarted(Event):
    """The instance is in its first step, of which nothing is to be told yet."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepStarted(StepEvent):
    """The action is about to be called. Written ahead: after a crash "never ran" and "ran" look the same."""

    attempt: int
    key: str


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepSucceeded(StepEvent):
    """The action took effect and gave this result, as the call or the probe tells."""

    attempt: int
    result_json: str
    evidence: Evidence = "action"

    @property
    def result(self) -> Any:
        """A fresh decode of the stored result."""
        return json.loads(self.result_json)


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepFailed(StepEvent):
    """An attempt left nothing to undo. With `retry_at` the action is called again then; without, it was the last.

    Of a nested saga: it failed, and `residue` is what it may have left. Attempt 0: the step was never called.
    """

    attempt: int
    error: RecordedError
    retry_at: datetime | None = None
    evidence: Evidence = "action"
    residue: tuple[RecordedResidue, ...] = ()


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepInDoubt(StepEvent):
    """It is not known whether the action took effect.

    `retryable`: the budget allows another call, at `retry_at`.
    """

    attempt: int
    reason: DoubtReason
    error: RecordedError | None = None
    retryable: bool = False
    retry_at: datetime | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class ResultRefused(StepEvent):
    """The action took effect, but its result cannot be stored; it is never executed again."""

    attempt: int
    error: RecordedError


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepPrepared(StepEvent):
    """Its `when` held and its input was computed: neither is asked again."""

    input_json: str | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepSkipped(StepEvent):
    """Its `when` did not hold: it is not called, gives None, and leaves nothing to undo."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepPassedOver(StepEvent):
    """Going back, nothing had to be undone in this step or group."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class WaitStarted(StepEvent):
    """A signal is awaited, `timeout` seconds long at most."""

    timeout: float | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class ChildParked(StepEvent):
    """A nested saga cannot go on now: it is blocked, waits for a signal (`waits`), or for the time `retry_at`."""

    blocks: tuple[RecordedBlock, ...] = ()
    waits: bool = False
    retry_at: datetime | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class ChildResumed(StepEvent):
    """A nested saga that was parked is about to be driven on."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class ChildAbandoned(StepEvent):
    """A nested saga was abandoned with its parent; `residue` is what it may have left."""

    residue: tuple[RecordedResidue, ...] = ()


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class CauseRecorded(Event):
    """Why the instance goes back. From here on no action is called any more."""

    kind: CauseKind
    step: str | None = None
    error: RecordedError | None = None
    by: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        return f"CauseRecorded {self.kind}"


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class CompensationStarted(StepEvent):
    """The compensation is about to be called."""

    attempt: int
    key: str


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class CompensationSucceeded(StepEvent):
    """The step is undone. Of a nested saga: it went back, and `residue` is what it may have left."""

    attempt: int
    residue: tuple[RecordedResidue, ...] = ()


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class CompensationFailed(StepEvent):
    """A compensation raised or timed out. With `retry_at` it is called again then; without, the budget is used up."""

    attempt: int
    error: RecordedError
    retry_at: datetime | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class InstanceBlocked(StepEvent):
    """The instance is parked until somebody decides; `decisions` lists what may be decided.

    A step of a nested saga is named by its path, "child/step".
    """

    reason: BlockReason
    decisions: tuple[Decision, ...]
    error: RecordedError | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class DecisionMade(Event):
    """An operator decided, and says who and why. Only `abandon` concerns no single step.

    In a nested saga it comes from the parent through the mailbox, and has a `request_id`.
    """

    decision: Decision
    step: str | None = None
    by: str | None = None
    reason: str | None = None
    result_json: str | None = None
    request_id: str | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class DecisionCameTooLate(Event):
    """The block had ended when the parent's decision was read; nothing changes."""

    request_id: str


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class CancelRequested(Event):
    """A request to go back came in through the mailbox; the same `request_id` counts once."""

    request_id: str
    by: str | None = None
    reason: str | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class CancelCameTooLate(Event):
    """The pivot had succeeded when the request was read; the instance goes forward."""

    request_id: str


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class SignalReceived(Event):
    """A signal came in through the mailbox for the wait `name`, by its path; the same `request_id` counts once."""

    request_id: str
    name: str
    payload_json: str

    @property
    def payload(self) -> Any:
        """A fresh decode of the stored payload."""
        return json.loads(self.payload_json)

    def __str__(self) -> str:
        return f"SignalReceived {self.name}"


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class InstanceMigrated(Event):
    """The instance goes on under another definition; `renamed` tells the new names of steps, None where one is gone."""

    version: int
    fingerprint: str
    steps: tuple[StepOutline, ...]
    renamed: tuple[tuple[str, str | None], ...] = ()


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class LateResult(StepEvent):
    """A timed-out call answered after its grace; recorded only."""

    attempt: int
    direction: Direction = "action"
    result_json: str | None = None
    error: RecordedError | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class InstanceCompleted(Event):
    """Every step succeeded."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class InstanceFailed(Event):
    """The instance ended without completing; what may remain is its residue."""


class Because(NamedTuple):
    """Why an event happened: the decision, who asked for it, the reason given, and the error; None for the missing."""

    decision: Decision | None
    by: str | None
    reason: str | None
    error: RecordedError | None

    def __str__(self) -> str:
        return "; ".join(str(part) for part in self if part)


def get_because(event: Event) -> Because:
    """Return why an event happened, as far as the event says so."""
    return Because(*(getattr(event, name, None) for name in Because._fields))


class History(Displayable, tuple[Event, ...]):
    """The events of an instance, in order; a tuple that a notebook shows as a table."""

    __slots__ = ()


# What a request becomes when it is absorbed; the mailbox holds it unstamped. A decision comes from a parent alone.
Request = CancelRequested | SignalReceived | DecisionMade
