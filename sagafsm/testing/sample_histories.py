"""Histories to store: small ones, one with every kind of event, and random ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from hypothesis import strategies as st

from sagafsm.history import events as e
from sagafsm.value import replace

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
STEPS = ("reserve", "charge", "ship")
ERROR = e.RecordedError(type="shop.errors.OutOfStock", message="no mug left: «Tasse» 🍵", traceback="Traceback\n  …")


def make_instance_created(
    instance_id: str, *, saga: str = "order", at: datetime = START, input_json: str = "{}"
) -> e.InstanceCreated:
    """The first event of an instance of three steps."""
    return e.InstanceCreated(
        number=1,
        at=at,
        state="pending",
        id=instance_id,
        saga=saga,
        version=1,
        fingerprint="f1",
        input_json=input_json,
        steps=tuple(e.StepOutline(name=step, compensation=True) for step in STEPS),
    )


def number_events(events: Iterable[e.Event], *, after: int, at: datetime = START) -> tuple[e.Event, ...]:
    """The events numbered on behind `after`, each a second later than the one before."""
    return tuple(
        replace(event, number=number, at=at + timedelta(seconds=number))
        for number, event in enumerate(events, start=after + 1)
    )


def make_history(instance_id: str, *events: e.Event, saga: str = "order", at: datetime = START) -> tuple[e.Event, ...]:
    """A whole history: the creation, then these events, numbered on."""
    return (make_instance_created(instance_id, saga=saga, at=at), *number_events(events, after=1, at=at))


def make_step_started(step: str = "reserve") -> e.StepStarted:
    """An action is about to be called."""
    return e.StepStarted(step=step, state=f"running:{step}", attempt=1, key=f"{step}-key")


def make_step_succeeded(step: str = "reserve", result_json: str = '{"id":7}') -> e.StepSucceeded:
    """An action took effect."""
    return e.StepSucceeded(step=step, attempt=1, result_json=result_json)


def make_step_retrying(wake_at: datetime, step: str = "reserve") -> e.StepFailed:
    """An action failed, and is called again at `wake_at`."""
    return e.StepFailed(step=step, attempt=1, error=ERROR, retry_at=wake_at, wake_at=wake_at)


def make_instance_blocked(reason: e.BlockReason = "in_doubt", step: str = "reserve") -> e.InstanceBlocked:
    """The instance waits for a decision."""
    return e.InstanceBlocked(step=step, reason=reason, decisions=("retry", "abandon"))


def make_wait_started(wake_at: datetime | None = None, step: str = "reserve") -> e.WaitStarted:
    """The instance waits for a signal, until `wake_at` at most."""
    return e.WaitStarted(step=step, state=f"running:{step}", wake_at=wake_at, waiting=True)


def make_signal_received(request_id: str = "s-1") -> e.SignalReceived:
    """A request that a wait takes."""
    return e.SignalReceived(request_id=request_id, name="approval", payload_json='{"by":"Zoë"}')


def make_instance_completed() -> e.InstanceCompleted:
    """The instance ended well."""
    return e.InstanceCompleted(state="completed")


def make_instance_failed() -> e.InstanceFailed:
    """The instance ended without completing."""
    return e.InstanceFailed(state="failed")


def make_cancel_requested(request_id: str = "r-1") -> e.CancelRequested:
    """A request."""
    return e.CancelRequested(request_id=request_id, by="Zoë", reason="changed her mind")


def make_every_event(instance_id: str) -> tuple[e.Event, ...]:
    """A history with every kind of event, each with all its fields."""
    later = START + timedelta(days=1, microseconds=1)
    attempt: dict[str, Any] = {"step": "reserve", "attempt": 1}
    left = (e.RecordedResidue(step="pay", reason="in_doubt", result_json="null"),)
    blocks = (e.RecordedBlock(step="pay", reason="in_doubt", decisions=("retry", "abandon")),)
    creation = replace(
        make_instance_created(instance_id, input_json='{"ü":[1,2.5,null,true,"\\u0000"]}'), deadline=later
    )
    others: Sequence[e.Event] = (
        e.StepStarted(**attempt, key="k", state="running:reserve"),
        e.StepInDoubt(**attempt, reason="timeout", error=ERROR, retryable=True, wake_at=later),
        e.StepFailed(**attempt, error=ERROR, retry_at=later, wake_at=later, evidence="probe"),
        e.StepSucceeded(**attempt, result_json='{"id":"€"}', evidence="probe"),
        e.ResultRefused(**attempt, error=ERROR),
        e.LateResult(**attempt, direction="compensation", result_json="[]", error=ERROR),
        make_cancel_requested("r-1"),
        e.CancelCameTooLate(request_id="r-1"),
        e.CauseRecorded(kind="cancel", step="reserve", error=ERROR, by="Zoë", reason="…", state="compensating:reserve"),
        e.CompensationStarted(**attempt, key="k"),
        e.CompensationFailed(**attempt, error=ERROR, retry_at=later, wake_at=later),
        e.InstanceBlocked(step="reserve", reason="compensation_failed", decisions=("retry", "skip"), error=ERROR),
        e.DecisionMade(decision="resolve(result)", step="reserve", by="Zoë", reason="asked", result_json='"ok"'),
        e.CompensationSucceeded(**attempt, residue=left),
        e.InstanceStarted(state="running:reserve"),
        e.StepPrepared(step="reserve", input_json='{"n":1}'),
        e.StepSkipped(step="charge"),
        e.StepPassedOver(step="charge", state="compensating:reserve"),
        e.WaitStarted(step="reserve", timeout=1.5, wake_at=later, waiting=True),
        e.SignalReceived(request_id="s-1", name="reserve", payload_json='["yes"]'),
        e.ChildParked(step="reserve", blocks=blocks, waits=True, retry_at=later),
        e.ChildResumed(step="reserve"),
        e.DecisionCameTooLate(request_id="o-1#7"),
        e.ChildAbandoned(step="reserve", residue=left),
        e.InstanceMigrated(version=2, fingerprint="f2", steps=creation.steps, renamed=(("old", "new"), ("gone", None))),
        e.InstanceCompleted(state="completed"),
        e.InstanceFailed(state="failed"),
    )
    return (creation, *number_events(others, after=1))


def list_event_types() -> frozenset[type[e.Event]]:
    """Every class of event that stands for a fact."""
    found: list[type[e.Event]] = [e.Event]
    for kind in found:
        found.extend(kind.__subclasses__())
    return frozenset(found) - {e.Event, e.StepEvent}


_STATES = ("pending", *(f"{phase}:{step}" for phase in ("running", "compensating") for step in STEPS))
_ENDS = ("completed", "failed")
_moments = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1), timezones=st.just(UTC))
_attempts: dict[str, Any] = {"step": st.sampled_from(STEPS), "attempt": st.integers(1, 5)}
_moved: dict[str, Any] = {"state": st.none() | st.sampled_from(_STATES)}
_waits: dict[str, Any] = {"error": st.just(ERROR), "wake_at": st.none() | _moments}


def events() -> st.SearchStrategy[e.Event]:
    """Any event but a creation, unnumbered; a history of such makes no sense, and can be folded all the same."""
    return st.one_of(
        st.builds(e.StepStarted, **_attempts, **_moved, key=st.just("k")),
        st.builds(e.StepSucceeded, **_attempts, **_moved, result_json=st.just("1")),
        st.builds(e.StepFailed, **_attempts, **_waits),
        st.builds(e.StepInDoubt, **_attempts, **_waits, reason=st.sampled_from(get_args(e.DoubtReason))),
        st.builds(e.ResultRefused, **_attempts, error=st.just(ERROR)),
        st.builds(e.CauseRecorded, **_moved, kind=st.sampled_from(get_args(e.CauseKind))),
        st.builds(e.CompensationStarted, **_attempts, **_moved, key=st.just("k")),
        st.builds(e.CompensationSucceeded, **_attempts, **_moved),
        st.builds(e.CompensationFailed, **_attempts, **_waits),
        st.builds(
            e.InstanceBlocked,
            step=st.sampled_from(STEPS),
            reason=st.sampled_from(get_args(e.BlockReason)),
            decisions=st.just(("retry",)),
        ),
        st.builds(e.LateResult, **_attempts),
        st.builds(make_cancel_requested, st.uuids().map(str)),
        st.builds(make_signal_received, st.uuids().map(str)),
        st.builds(e.CancelCameTooLate, request_id=st.uuids().map(str)),
        st.builds(e.InstanceCompleted, state=st.just(_ENDS[0])),
        st.builds(e.InstanceFailed, state=st.just(_ENDS[1])),
        _events_of_trees(),
    )


def _events_of_trees() -> st.SearchStrategy[e.Event]:
    """Those that only groups, waits, nested sagas and migrations bring about."""
    steps = st.sampled_from(STEPS)
    parked: dict[str, Any] = {"wake_at": st.none() | _moments, "waiting": st.booleans()}
    block = e.RecordedBlock(step="pay", reason="in_doubt", decisions=("retry", "abandon"))
    left = e.RecordedResidue(step="pay", reason="in_doubt", result_json="null")
    outline = make_instance_created("any").steps
    return st.one_of(
        st.builds(e.InstanceStarted, **_moved),
        st.builds(e.StepPrepared, step=steps, input_json=st.none() | st.just("1")),
        st.builds(e.StepSkipped, step=steps, **_moved),
        st.builds(e.StepPassedOver, step=steps, **_moved),
        st.builds(e.WaitStarted, step=steps, timeout=st.none() | st.just(1.5), **_moved, **parked),
        st.builds(e.ChildParked, step=steps, blocks=st.sampled_from([(), (block,)]), waits=st.booleans(), **parked),
        st.builds(e.ChildResumed, step=steps),
        st.builds(e.ChildAbandoned, step=steps, residue=st.sampled_from([(), (left,)])),
        st.builds(e.DecisionMade, step=steps, decision=st.sampled_from(["retry", "skip", "resolve(undone)"])),
        st.builds(e.DecisionCameTooLate, request_id=st.uuids().map(str)),
        st.builds(
            e.InstanceMigrated,
            version=st.integers(2, 5),
            fingerprint=st.just("f2"),
            steps=st.permutations(outline).map(tuple),
        ),
    )


def batches() -> st.SearchStrategy[list[list[e.Event]]]:
    """Some batches of events, as a driver would append them."""
    return st.lists(st.lists(events(), min_size=1, max_size=4), max_size=5)


def ids() -> st.SearchStrategy[str]:
    """Any id: text of up to 200 characters without control characters and "/"."""
    letters = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/")
    return st.text(letters, min_size=1, max_size=200)
