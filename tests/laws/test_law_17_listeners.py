"""Law 17: listeners (`on_event`, `listen`) run after the durable write; their exceptions are only logged.

How listeners come and go: tests/test_listening.py. How the logger tells of them: tests/engine/test_listeners.py.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import Orchestrator, SagaInstance
from sagafsm.history import events as e
from sagafsm.store import Store, open_store
from support.broken import Lagging
from support.cases import Case, cases
from support.clock import FakeClock
from support.controls import expect_breach, quick
from support.orders import bench_of
from support.stores import FailingStore

PLAIN: dict[str, dict[str, Any]] = {"a": {}, "b": {}}


def test_a_listener_that_raises_changes_nothing(way: str, memory: Store, caplog: pytest.LogCaptureFixture) -> None:
    """The exception is logged, for each event, and the saga goes on."""

    def listen(instance: Any, event: Any) -> None:
        raise ValueError(f"at {event.number}")

    bench, service = bench_of(memory, way, **PLAIN)
    bench.options["on_event"] = listen
    with caplog.at_level(logging.ERROR, "sagafsm"):
        assert "completed" == bench.run().state
    assert ["a 1", "b 1"] == service.calls
    assert [f"on_event raised at event {n} of instance 'o-1'" for n in range(1, 7)] == [
        record.getMessage() for record in caplog.records
    ]


def test_a_listener_hears_all_that_happens(way: str, memory: Store) -> None:
    """A listener hears every event of every operation, in order, with the instance as of this event."""
    told: list[tuple[int, str]] = []
    bench, _ = bench_of(memory, way, {"b": ["lost"]}, **PLAIN)
    bench.options["on_event"] = lambda instance, event: told.append((event.number, instance.state))
    bench.ask("start", bench.saga, "mug", id="o-1")
    bench.ask("resume", "o-1")
    bench.ask("cancel", "o-1", reason="no")
    bench.ask("abandon", "o-1", reason="enough")
    history = memory.history("o-1")
    assert list(range(1, len(history) + 1)) == [number for number, _ in told]
    instance = bench.get()
    assert [instance.at(number).state for number, _ in told] == [state for _, state in told]


class Heard:
    """A listener that notes each event by instance, and the events that are not in the store or not in the instance."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.events: dict[str, list[e.Event]] = {}
        self.early: list[e.Event] = []

    def __call__(self, instance: SagaInstance, event: e.Event) -> None:
        self.events.setdefault(instance.id, []).append(event)
        stored = self.store.history(instance.id)[: event.number]
        # An assertion here would only be logged.
        if stored[-1:] != (event,) or instance.history != stored:
            self.early.append(event)


faults = st.lists(st.sampled_from((None, "before", "after")), max_size=3)
heard: dict[str, Any] = {"case": cases, "raises_at": st.none() | st.integers(1, 9), "append": faults}


def check_listeners(
    case: Case, raises_at: int | None, append: list[str | None], broken: Callable[[Store], Any] | None = None
) -> None:
    def raising(_: SagaInstance, event: e.Event) -> None:
        if event.number == raises_at:
            raise ValueError("strange")

    with contextlib.closing(open_store("memory://")) as calm, contextlib.closing(open_store("memory://")) as store:
        silent, quiet = case.bench(calm)
        expected = silent.run()
        bench, service = case.bench(store)
        through = FailingStore(broken(store) if broken else store, append=append)
        listener = Heard(store)
        with Orchestrator(through, clock=FakeClock(), on_event=raising) as orchestrator:
            orchestrator.listen(listener)
            instance = orchestrator.run(bench.saga, "mug", id="o-1")
        assert [] == listener.early, "a listener hears of an event that is not stored"
        assert {id: tuple(events) for id, events in listener.events.items()} == {
            summary.id: store.history(summary.id) for summary in store.find()
        }
        assert (expected.state, quiet.calls) == (instance.state, service.calls)


@quick(40)
@given(**heard)
def test_any_event_is_heard_once_in_order_and_only_when_it_is_stored(
    case: Case, raises_at: int | None, append: list[str | None]
) -> None:
    """Any saga, a store that fails for a moment, and another listener that raises: the outcome is as without them."""
    check_listeners(case, raises_at, append)


def test_events_that_are_stored_too_late_are_noticed() -> None:
    """Positive control: a store that says that events are stored before they are."""

    def check(case: Case) -> None:
        check_listeners(case, None, [], Lagging)

    assert "not stored" in expect_breach(check, case=cases)
