"""A state of the model: the durable instance in canonical form, what its driver does, and the truth about the world."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.history.step_state import CallCount, Cause, StepState
from sagafsm.value import replace

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SOON = datetime(2030, 1, 1, 1, tzinfo=UTC)
LATER = datetime(2030, 1, 1, 2, tzinfo=UTC)

# cold: nobody drives it, or its driver sleeps. Both go on alike, by reading the mail and deciding.
# calling: a function is called. grace: its timeout has passed, which is durable; it may still answer.
Phase = Literal["cold", "calling", "grace"]
Called = Literal["", "action", "compensation", "probe"]
Mail = Literal["none", "waiting", "absorbed"]
# How often each step's effect is in the world.
World = tuple[int, ...]


class State(NamedTuple):
    """Everything that decides what may happen next."""

    instance: SagaInstance
    world: World
    phase: Phase = "cold"
    called: Called = ""
    step: int = -1
    mail: Mail = "none"

    def __str__(self) -> str:
        blocked = [f"blocked ({block.reason})" for block in self.instance.blocked]
        where = " ".join((self.instance.state, *blocked, self.phase, self.called)).rstrip()
        return f"{where}, world {self.world}, mail {self.mail}"


CANCEL = e.CancelRequested(request_id="cancel", by="someone", reason="changed my mind")
_CAUSE = Cause(kind="failure", step=None, error=None, by=None, reason=None, number=0)
_SETTLED = ("pending", "done", "failed", "unstorable")
_UNDO_SETTLED = ("undone", "skipped")
_NO_CALLS = CallCount()

# What a state's identity keeps of a record, and what it lets go: texts and numbers that decide nothing. A field that
# is in neither makes `test_every_field_is_known_to_the_model` fail.
KEPT = {
    StepState: {"name", "status", "undo", "action", "compensation", "result_json", "doubt_before", "died", "probed", "retryable", "retry_ordered", "conceded"},
    CallCount: {"spent", "deaths", "wake_at"},
    SagaInstance: {"state", "steps", "started", "cause", "cancel", "blocked", "wake_at"},
}  # fmt: skip
DROPPED = {
    StepState: {"error"},
    CallCount: {"attempt"},
    SagaInstance: {"id", "saga", "version", "fingerprint", "input_json", "outline", "history", "errors", "created_at", "updated_at", "deadline", "owner"},
}  # fmt: skip


# What sagas of single steps never set; `model.groups` has the others.
UNUSED = {
    StepState: {"prepared", "input_json", "until", "child", "keyed"},
    CallCount: set[str](),
    SagaInstance: {"signals", "waiting"},
}


def key_of_instance(instance: SagaInstance, *, fine: bool = False, answering: str | None = None) -> tuple[Any, ...]:
    """What two instances share to which the same may happen.

    `fine`: all that is kept, whether it decides or not. `answering`: the step whose timed-out action may still answer,
    so that nothing about it is settled.
    """
    extent = _extent(instance, fine)
    return (
        instance.state,
        instance.cause is None,
        instance.cancel is None,
        instance.wake_at is None,
        len(instance.started),
        instance.blocked[0].reason if instance.blocked else "",
        *[_key_of_record(record, "all" if name == answering else extent) for name, record in instance.steps.items()],
    )


def canonical(instance: SagaInstance, *, fine: bool = False, answering: str | None = None) -> SagaInstance:
    """The instance without what its key lets go."""
    extent = _extent(instance, fine)
    return replace(
        instance,
        history=(),
        errors=(),
        updated_at=NOW,
        wake_at=_soon(instance.wake_at),
        cause=None if instance.cause is None else _CAUSE,
        steps={
            name: _canonical_record(record, "all" if name == answering else extent)
            for name, record in instance.steps.items()
        },
    )


# How much of a record is kept. Going back, nothing of an action decides but what it left; once there is a cause, a
# doubt is not settled by calling again; and how often a call was made decides nothing once its outcome is settled.
Extent = Literal["all", "forward", "caused", "back"]


def _extent(instance: SagaInstance, fine: bool) -> Extent:
    if fine:
        return "all"
    if instance.phase in ("compensating", "completed", "failed"):
        return "back"
    return "forward" if instance.cause is None else "caused"


def _key_of_record(record: StepState, extent: Extent) -> tuple[Any, ...]:
    undo, c, status, a = record.undo, record.compensation, record.status, record.action
    undone = () if undo is None else (undo, c.spent, c.deaths, c.wake_at is None)
    if extent != "all":
        if undo in _UNDO_SETTLED:
            undone = (undo,)
        if extent == "back" or status in _SETTLED:
            return ("failed" if extent == "back" and status == "waiting" else status, record.result_json, undone)
        if extent == "caused" and status == "in_doubt":
            return (
                status,
                record.result_json,
                record.doubt_before,
                record.probed,
                record.conceded,
                a.wake_at is None,
                undone,
            )
    return (
        status, a.spent, a.deaths, a.wake_at is None, record.result_json, record.doubt_before, record.died,
        record.probed, record.retryable, record.retry_ordered, record.conceded, undone,
    )  # fmt: skip


def _canonical_record(record: StepState, extent: Extent) -> StepState:
    whole = replace(
        record,
        error=None,
        action=_canonical_calls(record.action),
        compensation=_canonical_calls(record.compensation),
    )
    if extent == "all":
        return whole
    if record.undo in _UNDO_SETTLED:
        whole = replace(whole, compensation=_NO_CALLS)
    if extent == "back" or record.status in _SETTLED:
        return StepState(
            name=record.name,
            status="failed" if extent == "back" and record.status == "waiting" else record.status,
            undo=record.undo,
            compensation=whole.compensation,
            result_json=record.result_json,
        )
    if extent == "caused" and record.status == "in_doubt":
        action = CallCount(wake_at=whole.action.wake_at)
        return replace(whole, action=action, died=False, retryable=False, retry_ordered=False)
    return whole


def _canonical_calls(calls: CallCount) -> CallCount:
    return CallCount(spent=calls.spent, deaths=calls.deaths, wake_at=_soon(calls.wake_at))


def _soon(moment: datetime | None) -> datetime | None:
    return None if moment is None else SOON
