"""Law 11: resuming gives the same events as never having stopped, except for settling doubts.

- `recover()` takes every root that is unowned and neither at rest nor parked, also a pending one, and every root that
  is due or has mail, page by page in order of id. It never sleeps.
- One bad instance is reported and does not stop the others. A second pass changes nothing.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sagafsm import DefinitionError, Saga, SagaInstance, SagaNotFound
from sagafsm.core import decide
from sagafsm.core.commands import Record
from sagafsm.errors import DefinitionChanged
from sagafsm.history import events as e
from sagafsm.history.events import CancelRequested
from sagafsm.store import Store, open_store
from support.bench import Bench, is_async, line, lines
from support.cases import Case, cases
from support.controls import expect_breach, quick
from support.mortality import die, mortal
from support.services import STEADY, Service, saga_of
from support.stores import Crash

# What recovery takes --------------------------------------------------------------------------------------------------


def test_what_is_due_is_resumed_in_order_of_id(way: str, store: Store) -> None:
    """Recovery takes what is pending, what a dead process left, what is due and what has mail. A second pass changes nothing."""
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


def test_a_bad_instance_does_not_stop_the_others(way: str, store: Store) -> None:
    """Recovery reports an instance with an unknown or a changed definition and leaves it untouched. The others go on."""
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
    """Recovery reads page by page, also where the resumed instances leave the next pages shorter."""
    service = Service()
    saga = saga_of(service, a={})
    bench = Bench(memory, saga)
    ids = [f"o-{n:03}" for n in range(250)]
    for id in ids:
        bench.ask("start", saga, 1, id=id)
    assert tuple(ids) == bench.ask("recover").resumed
    assert () == bench.ask("recover").resumed


# Any stop, any crash --------------------------------------------------------------------------------------------------


MIXED = Case(
    {"a": {"probe": True}, "b": {"retry": STEADY}, "c": {"in_doubt": "compensate"}, "d": {}},
    {"a": ["lost"], "b": ["fail"], "c": ["lost"], "undo b": ["fail"]},
)


@quick(12)
@given(case=cases)
@example(case=MIXED)
def test_any_stops_between_commands_change_nothing(way: str, case: Case) -> None:
    """One command at a time, each by another process, gives the same events and calls as one run."""
    with contextlib.closing(open_store("memory://")) as store:
        whole, one = case.bench(store, way)
        whole.run(id="one")
        parts, two = case.bench(store, way)
        parts.ask("start", parts.saga, "mug", id="two")
        for _ in range(40):
            parts.ask("advance", "two")
            parts.clock.advance(1000)
            if parts.get("two").is_at_rest or parts.get("two").blocked:
                break
        assert [] == parts.clock.slept
        for path in ("", "/pay") if case.nested else ("",):
            assert lines(store.history(f"one{path}")) == lines(store.history(f"two{path}"))
        assert one.calls == two.calls


# Services that answer the same however often they are asked: what a crash repeats must not change the script.
steady = st.builds(
    Case,
    steps=st.fixed_dictionaries({name: st.just({"probe": True, "in_doubt": "retry"}) for name in "abc"}),
    script=st.sampled_from(({}, {"a": ["fail"] * 99}, {"b": ["fail"] * 99}, {"c": ["fail"] * 99})),
    nested=st.booleans(),
)


def rested(bench: Bench) -> SagaInstance:
    """Recover until nothing is left to do."""
    with contextlib.suppress(SagaNotFound):
        bench.ask("get", "o-1")
        while bench.ask("recover").resumed:
            bench.clock.advance(1000)
        return bench.get()
    return bench.run()


def facts(instance: SagaInstance) -> list[str]:
    """Return the events without starts and without events that open or settle a doubt, and without attempt numbers."""
    told = [
        line(event).removesuffix(" by probe")
        for event in instance.history
        if not isinstance(event, e.StepStarted | e.CompensationStarted | e.StepInDoubt)
        and not (isinstance(event, e.StepFailed) and event.retry_at is not None)
    ]
    return [" ".join(word for word in words.split() if not word.isdigit()) for words in told]


def check_crashes(case: Case, number: int, when: str) -> None:
    with contextlib.closing(open_store("memory://")) as calm, contextlib.closing(open_store("memory://")) as store:
        whole, before = case.bench(calm)
        expected = whole.run()
        broken, after = case.bench(mortal(store, f"{when} {number}"))
        with contextlib.suppress(Crash):
            broken.run()
        broken.store = store
        found = rested(broken)
        assert expected.state == found.state
        assert facts(expected) == facts(found)
        assert list(before.effects.values()) == list(after.effects.values())
        after.check_keys()
        assert () == broken.ask("recover").resumed


crashes: dict[str, Any] = {
    "case": steady,
    "number": st.integers(1, 10),
    "when": st.sampled_from(("before", "after")),
}


@quick(25)
@given(**crashes)
def test_a_crash_at_any_commit_changes_nothing_but_doubts(case: Case, number: int, when: str) -> None:
    """After a crash at any commit, recovery gives the same facts, in the same order, and the same effects."""
    check_crashes(case, number, when)


def test_a_death_that_counts_as_a_failure_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: after a process death the step has failed, instead of being in doubt."""

    def failed(_: Any, __: Any, record: Any) -> Record:
        return Record(events=(e.StepFailed(step=record.name, attempt=record.attempt),))

    monkeypatch.setattr(decide, "_decide_after_death", failed)
    expect_breach(check_crashes, **crashes)
