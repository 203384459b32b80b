"""Instances worth looking at: running, blocked, failed and more, of any length, driven on a clock of their own."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

from hypothesis import strategies as st

from sagafsm import Orchestrator, OutcomeUnknown, Retry, Saga
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance, fold
from sagafsm.testing.sample_histories import events as any_event
from sagafsm.testing.sample_histories import make_instance_created, number_events
from sagafsm.value import replace
from support.clock import FakeClock
from support.lives import Life
from support.plans import SagaPlan, sagas, scripts
from support.sittings import requests_for
from support.stores import new_store

NAMES = ("reserve_stock", "charge_card", "create_shipment", "notify_warehouse", "send_receipt", "award_points")
Course = Literal["pending", "running", "completed", "blocked", "doubt", "failed"]


def order(
    steps: int,
    clock: FakeClock,
    *,
    fails: int | None = None,
    sticks: bool = False,
    doubts: bool = False,
    name: str = "order",
) -> Saga:
    """A saga of so many steps, the third and fourth of which are a group.

    Step `fails`, from 0, fails after two retries, or, where it `doubts`, cannot tell; `sticks`: the first compensation
    fails for good.
    """
    saga = Saga(name)
    for position in range(steps):
        step = NAMES[position] if position < len(NAMES) else f"step_{position + 1}"
        saga.add_step(
            step,
            _action(clock, position, fails=position == fails, doubts=doubts),
            _compensation(clock, sticks=sticks and not position),
            retry=Retry(3, backoff=timedelta(milliseconds=60), jitter=False),
            compensation_retry=Retry(2, backoff=timedelta(milliseconds=50), jitter=False),
            group="fulfil" if position in (2, 3) and steps > 4 else None,
            title="Create the shipment" if position == 2 else None,
        )
    return saga


def _action(clock: FakeClock, position: int, *, fails: bool, doubts: bool) -> Callable[..., Any]:
    def act(input: Any) -> dict[str, Any]:
        clock.advance(0.09 + position % 3 * 0.03)
        if fails and doubts:
            raise OutcomeUnknown("the gateway closed the connection")
        if fails:
            raise RuntimeError("gateway timeout (503)")
        return {"id": f"r-{position + 1}", "amount": 129.9, "of": input["order_id"]}

    return act


def _compensation(clock: FakeClock, *, sticks: bool) -> Callable[..., Any]:
    def undo(result: Any) -> None:
        clock.advance(0.12)
        if sticks:
            raise RuntimeError("stock service: unknown reservation")

    return undo


@functools.cache
def instance_of(course: Course, steps: int = 6, *, id: str = "order-4711", text: str = "a mug") -> SagaInstance:
    """An instance of that many steps that took this course; the same one each time.

    Of five steps or more two are a group, whose threads take their times as they come.
    """
    clock = FakeClock()
    # It fails at its last step but one; of very few, at the last.
    fails = max(steps - 2, 0) if course in ("blocked", "failed", "doubt") else None
    saga = order(steps, clock, fails=fails, sticks=course == "blocked", doubts=course == "doubt")
    orchestrator = Orchestrator("memory://", sagas=[saga], clock=clock, on_event=lambda *_: clock.advance(0.004))
    given = {"order_id": 4711, "amount": 129.9, "text": text}
    if course == "pending":
        return orchestrator.start(saga, given, id=id)
    if course == "running":
        orchestrator.run(saga, given, id=id)
        history = orchestrator.get(id).history
        last = [event for event in history if type(event).__name__ == "StepStarted"][steps // 2]
        return orchestrator.get(id).at(last.number)
    return orchestrator.run(saga, given, id=id)


@functools.cache
def parked_in_doubt() -> tuple[SagaInstance, dict[str, SagaInstance]]:
    """An order that goes back while its nested payment is parked: the charge is in doubt, a sibling has failed.

    Returns the order and its nested instances by path.
    """
    called = threading.Event()

    def charge() -> None:
        called.set()
        raise OutcomeUnknown("the gateway closed the connection")

    def ship() -> None:
        assert called.wait(60)
        raise ValueError("no carrier goes there")

    payment = Saga("payment")
    payment.add_step("charge", charge, lambda: None)
    saga = Saga("order")
    saga.add_step("reserve", lambda: "r-1", lambda: None)
    saga.add_saga("pay", payment, group="fulfil")
    saga.add_step("ship", ship, lambda: None, group="fulfil")
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        root = orchestrator.run(saga, None, id="o-1")
        nested = orchestrator.get("o-1/pay")
    assert ("running:fulfil", "failure") == (root.state, root.cause.kind if root.cause else None)
    assert [("pay/charge", "in_doubt")] == [block[:2] for block in root.blocked]
    assert "parked" == root.steps["pay"].status
    return root, {"pay": nested}


@functools.cache
def parked_while_going_back() -> tuple[SagaInstance, SagaInstance]:
    """An order whose nested payment is parked, not blocked, while the order goes back: a sibling has failed.

    First as the cause is recorded: the payment waits for a signal and has not read the cause. Then as the payment has
    read the cause: its compensation has failed once and waits to be retried.
    """
    parked = threading.Event()

    def ship() -> None:
        assert parked.wait(60)
        raise ValueError("no carrier goes there")

    def refund() -> None:
        raise ValueError("busy")

    payment = Saga("payment")
    payment.add_step("charge", lambda: 1, refund, compensation_retry=Retry(2, backoff=timedelta(minutes=5)))
    payment.wait_for("approval")
    saga = Saga("order")
    saga.add_saga("pay", payment, group="fulfil")
    saga.add_step("ship", ship, lambda: None, group="fulfil")
    on_event = lambda _, event: parked.set() if isinstance(event, e.ChildParked) else None  # noqa: E731
    with Orchestrator("memory://", sagas=[saga], clock=FakeClock(), on_event=on_event) as orchestrator:
        orchestrator.start(saga, None, id="o-1")
        for _ in range(10):
            root = orchestrator.advance("o-1")
            if root.wake_at is not None:
                break
    assert root.cause is not None
    unread, asleep = root.at(root.cause.number), root
    assert ["parked", "parked"] == [instance.steps["pay"].status for instance in (unread, asleep)]
    known, later = unread.steps["pay"].child, asleep.steps["pay"].child
    assert known is not None
    assert known.waits
    assert known.parked < root.cause.number
    assert later is not None
    assert later.retry_at is not None
    assert later.parked > root.cause.number
    return unread, asleep


def lived(draw: st.DrawFn) -> tuple[SagaInstance, dict[str, SagaInstance]]:
    """A root and what is nested in it, by path: any saga after any failures, deaths, requests and decisions."""
    plan: SagaPlan = draw(sagas())
    script = draw(scripts(plan))
    where = frozenset(draw(st.lists(st.integers(1, 80), max_size=3)))
    asked = draw(st.dictionaries(st.integers(1, 80), st.sampled_from(list(requests_for(plan))), max_size=1))
    store = new_store("memory", None)
    Life(store, plan, script, where, draw(st.integers(0, 9)), "turns", draw(st.sampled_from((0, 4))), asked).live()
    known = {row.id: store.load(row.id).instance for row in store.find(limit=1000)}
    root = known.pop("o-1")
    return root, {key.removeprefix("o-1/"): nested for key, nested in known.items()}


def histories() -> st.SearchStrategy[tuple[e.Event, ...]]:
    """Histories that make no sense, at moments that may go back, and can be read all the same."""
    pairs = st.tuples(any_event(), st.integers(-5, 5))
    return st.lists(pairs, max_size=40).map(_numbered)


def _numbered(pairs: list[tuple[e.Event, int]]) -> tuple[e.Event, ...]:
    told: list[e.Event] = [make_instance_created("o-1")]
    for number, (event, later) in enumerate(pairs, start=2):
        told.append(replace(event, number=number, at=told[-1].at + timedelta(seconds=later)))
    return tuple(told)


# What ends an element, an attribute, a comment or a style sheet, or begins a script.
EVIL = (
    "</style></svg><script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "<!-- &lt; ]]> </title></bdi></code>",
    "' onload=alert(1) x='",
)
# Of the same width in a drawing, and of the same length in JSON.
_SPECIAL = str.maketrans({**dict.fromkeys("<>&", "x"), "'": "l", '"': "\\"})


def evil() -> st.SearchStrategy[str]:
    """Text that would be markup if it were not escaped."""
    return st.sampled_from(EVIL) | st.text(alphabet="<>&\"'/!-=; abc", min_size=1, max_size=60)


def harmless(text: str) -> str:
    """Text as long, in a page as in JSON, without anything that could be markup."""
    return text.translate(_SPECIAL)


def marked(text: str) -> SagaInstance:
    """An instance in which every string that a user gives is this text."""
    value = json.dumps({text: [text, 1]})
    error = e.RecordedError(type=f"shop.{text}", message=text, traceback=f"Traceback\n{text}")
    outline = (
        e.StepOutline(name=text, title=text, compensation=True, group=text),
        e.StepOutline(name="charge", title=text),
        e.StepOutline(name="approval", kind="wait", title=text),
        e.StepOutline(name="nested", kind="saga", title=text, steps=(e.StepOutline(name=text, title=text),)),
    )
    block = e.RecordedBlock(step=text, reason="in_doubt", decisions=("retry",))
    left = e.RecordedResidue(step=text, reason="skipped", result_json=value)
    events: list[e.Event] = [
        replace(make_instance_created(text, saga=text, input_json=value), steps=outline),
        e.StepStarted(step=text, attempt=1, key=text, state=f"running:{text}"),
        e.StepSucceeded(step=text, attempt=1, result_json=value),
        e.StepStarted(step="charge", attempt=1, key=text, state="running:charge"),
        e.StepInDoubt(step="charge", attempt=1, reason="timeout", error=error),
        e.DecisionMade(decision="resolve(result)", step="charge", by=text, reason=text, result_json=value),
        e.WaitStarted(step="approval", state="running:approval"),
        e.SignalReceived(request_id=text, name=text, payload_json=value),
        e.StepFailed(step="approval", attempt=0, error=error),
        e.StepStarted(step="nested", attempt=1, key=text),
        e.ChildParked(step="nested", blocks=(block,)),
        e.ChildAbandoned(step="nested", residue=(left,)),
        e.CancelRequested(request_id=text, by=text, reason=text),
        e.CauseRecorded(kind="cancel", by=text, reason=text, error=error, step=text, state=f"compensating:{text}"),
        e.CompensationStarted(step=text, attempt=1, key=text),
        e.CompensationFailed(step=text, attempt=1, error=error),
        e.InstanceBlocked(step=text, reason="compensation_failed", decisions=("retry", "abandon"), error=error),
    ]
    return replace(fold(None, number_events(events, after=0)), owner=text)
