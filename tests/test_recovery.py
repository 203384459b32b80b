"""Law 11: recovery takes what is due, in order of id, never sleeps, and changes nothing the second time."""

from __future__ import annotations

from typing import Any

from sagafsm import DefinitionError, Saga
from sagafsm.errors import DefinitionChanged
from sagafsm.events import CancelRequested
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.mortality import die
from support.services import STEADY, Service, saga_of


def test_what_is_due_is_resumed_in_order_of_id(way: str, store: Store) -> None:
    """Law 11: every root that is unowned and neither at rest nor parked, `pending` included; one that is due; mail."""
    service = Service()
    saga = saga_of(service, is_async=is_async(way), a={"retry": STEADY}, b={})
    bench = Bench(store, saga, way)
    bench.ask("start", saga, "pending", id="g")
    bench.ask("start", saga, "pending", id="b")
    die(bench, service, "before 2", "run", saga, "died", id="c")
    service.script = {"a": ["fail"]}
    die(bench, service, "after 2", "run", saga, "sleeps", id="d")
    service.script = {"b": ["lost"]}
    bench.ask("run", saga, "blocked", id="e")
    service.script = {}
    bench.ask("run", saga, "done", id="f")
    service.calls.clear()

    report = bench.ask("recover")
    assert (("b", "c", "g"), {}) == (report.resumed, report.errors)
    assert "3 resumed, 0 in error" == str(report)
    assert [] == bench.clock.slept
    states = {id: store.load(id).instance.state for id in "bcdefg"}
    assert {
        "b": "completed",
        "c": "running:a",
        "d": "running:a",
        "e": "running:b",
        "f": "completed",
        "g": "completed",
    } == states

    assert () == bench.ask("recover").resumed
    bench.clock.advance(10)
    assert ("d",) == bench.ask("recover").resumed
    store.post("e", CancelRequested(request_id="r-1", by="me", reason="no"))
    assert ("e",) == bench.ask("recover").resumed
    assert "CauseRecorded cancel no" in lines(store.history("e"))
    histories = {id: store.history(id) for id in "bcdefg"}
    assert () == bench.ask("recover").resumed
    assert histories == {id: store.history(id) for id in "bcdefg"}


def test_recovery_does_not_sleep_through_a_backoff(way: str, memory: Store) -> None:
    """Law 11: what has to wait is left, unowned, with its `wake_at`."""
    service = Service(script={"a": ["fail", "fail"]})
    saga = saga_of(service, is_async=is_async(way), a={"retry": STEADY})
    bench = Bench(memory, saga, way)
    bench.ask("start", saga, 1, id="o-1")
    for calls in (["a 1"], ["a 1", "a 2"], ["a 1", "a 2", "a 3"]):
        assert ("o-1",) == bench.ask("recover").resumed
        assert calls == service.calls
        assert () == bench.ask("recover").resumed
        assert memory.load("o-1").summary.owner is None
        bench.clock.advance(10)
    assert [] == bench.clock.slept
    assert "completed" == bench.get().state


def test_a_bad_instance_does_not_stop_the_others(way: str, store: Store) -> None:
    """Law 11: one bad instance is reported; unknown and changed definitions are untouched."""
    service = Service()
    saga = saga_of(service, is_async=is_async(way), a={}, b={})
    bench = Bench(store, saga, way)
    strange, changed = Saga("strange"), Saga("order", version=2)
    strange.add_step("x", lambda: 1)
    changed.add_step("x", lambda: 1)
    Bench(store, strange, way).ask("start", strange, 1, id="a")
    Bench(store, changed, way).ask("start", changed, 1, id="b")
    bench.ask("start", saga, 1, id="c")
    bench.options["sagas"] = [saga, two := Saga("order", version=2)]
    two.add_step("y", lambda: 1)
    for _ in range(2):
        report = bench.ask("recover")
        assert {"a": DefinitionError, "b": DefinitionChanged} == {id: type(e) for id, e in report.errors.items()}
    assert (
        "instance 'a' needs saga 'strange' version 1, which is not registered (registered: 'order' version 1, 'order' "
        "version 2); pass it in sagas=[...]"
    ) == str(report.errors["a"])
    assert (
        "instance 'b' was begun under another definition of saga 'order' version 2: step 'x' is gone; step 'y' is new "
        "(register the old definition under its version and give the new one another)"
    ) == str(report.errors["b"])
    assert "completed" == store.load("c").instance.state
    assert ["InstanceCreated"] == lines(store.history("a")) == lines(store.history("b"))


def test_recovery_goes_through_all_pages(memory: Store) -> None:
    """Law 11: page by page, also where what is resumed leaves the pages behind it shorter."""
    service = Service()
    saga = saga_of(service, a={})
    bench = Bench(memory, saga)
    ids = [f"o-{n:03}" for n in range(250)]
    for id in ids:
        bench.ask("start", saga, 1, id=id)
    assert tuple(ids) == bench.ask("recover").resumed
    assert () == bench.ask("recover").resumed


def test_resuming_is_the_same_as_never_having_stopped(way: str, memory: Store) -> None:
    """Law 11: one command at a time, each by another process, makes the same history as one run."""
    steps: dict[str, Any] = {"a": {"probe": True}, "b": {"retry": STEADY}, "c": {"in_doubt": "compensate"}, "d": {}}
    script: dict[str, list[Any]] = {"a": ["lost"], "b": ["fail"], "c": ["lost"], "undo b": ["fail"]}
    whole, parts = Service(script=script), Service(script=script)
    one = Bench(memory, saga_of(whole, is_async=is_async(way), **steps), way)
    one.ask("run", one.saga, 1, id="one")
    two = Bench(memory, saga_of(parts, is_async=is_async(way), **steps), way)
    two.ask("start", two.saga, 1, id="two")
    for _ in range(30):
        two.ask("advance", "two")
        two.clock.advance(1000)
    assert [] == two.clock.slept
    assert lines(memory.history("one")) == lines(memory.history("two"))
    assert whole.calls == parts.calls
