"""A state of the model: the durable instance in canonical form, what its driver does, and the truth about the world."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from sagafsm import events as e
from sagafsm.instance import SagaInstance
from sagafsm.record import Calls, Cause, StepRecord, StepStatus
from sagafsm.values import replace

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


CANCEL = e.CancelRequested(request_id="cancel", by="someone", reason="changed my mind")
_CAUSE = Cause(kind="failure", step=None, error=None, by=None, reason=None, number=0)
_SETTLED = ("done", "failed", "unstorable")
_UNDO_SETTLED = ("undone", "skipped")
_NO_ACTION = ("compensating", "completed", "failed")
_NO_CALLS = Calls()

# What a state's identity keeps of a record, and what it lets go: texts and numbers that decide nothing. A field that
# is in neither makes `test_every_field_is_known_to_the_model` fail.
KEPT = {
    StepRecord: {"name", "status", "undo", "action", "compensation", "result_json", "doubt_before", "died", "probed", "retryable", "retry_ordered", "conceded"},
    Calls: {"spent", "deaths", "wake_at"},
    SagaInstance: {"state", "steps", "started", "cause", "cancel", "blocked", "wake_at"},
}  # fmt: skip
DROPPED = {
    StepRecord: {"error"},
    Calls: {"attempt"},
    SagaInstance: {"id", "saga", "version", "fingerprint", "input_json", "outline", "history", "errors", "created_at", "updated_at", "deadline", "owner"},
}  # fmt: skip


def key_of_instance(instance: SagaInstance) -> tuple[Any, ...]:
    """What two instances share to which the same may happen."""
    back = instance.phase in _NO_ACTION
    caused = back or instance.cause is not None
    return (
        instance.state,
        instance.cause is None,
        instance.cancel is None,
        instance.wake_at is None,
        len(instance.started),
        instance.blocked[0].reason if instance.blocked else "",
        *[_key_of_record(record, back, caused) for record in instance.steps.values()],
    )


def _key_of_record(record: StepRecord, back: bool, caused: bool) -> tuple[Any, ...]:
    """What of a step's record decides.

    How often a call was made decides nothing once its outcome is settled; going `back`, nothing of the action decides
    but what it left; once there is a cause (`caused`), a doubt is not settled by calling again.
    """
    undo, c = record.undo, record.compensation
    undone = () if undo is None else (undo,) if undo in _UNDO_SETTLED else (undo, c.spent, c.deaths, c.wake_at is None)
    status = record.status
    if back or status in _SETTLED or status == "pending":
        return ("failed" if back and status == "waiting" else status, record.result_json, undone)
    a = record.action
    if caused and status == "in_doubt":
        return (status, record.result_json, record.doubt_before, record.probed, record.conceded, a.wake_at is None, undone)
    return (
        status, a.spent, a.deaths, a.wake_at is None, record.result_json, record.doubt_before, record.died,
        record.probed, record.retryable, record.retry_ordered, record.conceded, undone,
    )  # fmt: skip


def canonical(instance: SagaInstance) -> SagaInstance:
    """The instance without what its key lets go."""
    back = instance.phase in _NO_ACTION
    caused = back or instance.cause is not None
    return replace(
        instance,
        history=(),
        errors=(),
        updated_at=NOW,
        wake_at=_soon(instance.wake_at),
        cause=None if instance.cause is None else _CAUSE,
        steps={name: _canonical_record(record, back, caused) for name, record in instance.steps.items()},
    )


def _canonical_record(record: StepRecord, back: bool, caused: bool) -> StepRecord:
    status: StepStatus = "failed" if back and record.status == "waiting" else record.status
    compensation = _NO_CALLS if record.undo in _UNDO_SETTLED else _canonical_calls(record.compensation)
    plain = StepRecord(
        name=record.name, status=status, undo=record.undo, result_json=record.result_json, compensation=compensation
    )
    if back or status in _SETTLED or status == "pending":
        return plain
    if caused and status == "in_doubt":
        action = Calls(wake_at=_soon(record.action.wake_at))
        return replace(
            plain,
            action=action,
            doubt_before=record.doubt_before,
            probed=record.probed,
            conceded=record.conceded,
        )
    return replace(
        plain,
        action=_canonical_calls(record.action),
        doubt_before=record.doubt_before,
        died=record.died,
        probed=record.probed,
        retryable=record.retryable,
        retry_ordered=record.retry_ordered,
        conceded=record.conceded,
    )


def _canonical_calls(calls: Calls) -> Calls:
    return Calls(spent=calls.spent, deaths=calls.deaths, wake_at=_soon(calls.wake_at))


def _soon(moment: datetime | None) -> datetime | None:
    return None if moment is None else SOON
