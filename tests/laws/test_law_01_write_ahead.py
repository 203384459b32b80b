"""Law 1: what is called is durable before, what it gave is durable before anything else is called."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm.errors import MailWaits, StoreConflict, StoreError
from sagafsm.outcome import Returned
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.exams import check_late_append, check_write_ahead
from support.services import Service, saga_of
from support.stores import CountingStore, FailingStore

PLAIN: dict[str, dict[str, Any]] = {"a": {}, "b": {}, "c": {}}
FORTH = [
    "InstanceCreated",
    "StepStarted a 1",
    "StepSucceeded a 1",
    "StepStarted b 1",
    "StepSucceeded b 1",
    "StepStarted c 1",
    "StepSucceeded c 1",
    "InstanceCompleted",
]


def bench_of(store: Any, way: str, script: dict[str, list[Any]] | None = None, **steps: Any) -> tuple[Bench, Service]:
    service = Service(script=script or {})
    return Bench(store, saga_of(service, is_async=is_async(way), **(steps or PLAIN)), way), service


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_n_plain_steps_make_n_plus_1_commits(n: int, way: str, store: Store) -> None:
    """Law 1: creation, claim and first start are one commit; the last outcome, the end and the release are one."""
    counting = CountingStore(store)
    bench, _ = bench_of(counting, way, **{f"s{i}": {} for i in range(n)})
    assert "completed" == bench.run().state
    assert n + 1 == counting.commits
    assert ("InstanceCreated", "StepStarted s0") == counting.batches[0]
    assert (f"StepSucceeded s{n - 1}", "InstanceCompleted") == counting.batches[-1]
    assert {"create", "append"} == set(counting.names), "no claim, no release, no load beside them"


def test_start_and_resume_make_one_commit_more(way: str, store: Store) -> None:
    """Law 1: `start` + `resume` makes one more."""
    counting = CountingStore(store)
    bench, _ = bench_of(counting, way)
    bench.ask("start", bench.saga, "mug", id="o-1")
    assert "completed" == bench.ask("resume", "o-1").state
    assert len(PLAIN) + 2 == counting.commits
    assert ("InstanceCreated",) == counting.batches[0]
    assert FORTH == lines(store.history("o-1"))


def test_a_way_back_makes_a_commit_for_each_compensation(way: str, store: Store) -> None:
    """Law 1: failure, cause and first undo are one commit; the last undone, the end and the release are one."""
    counting = CountingStore(store)
    bench, _ = bench_of(counting, way, {"c": ["fail"]})
    assert bench.run().compensated
    assert [
        ("InstanceCreated", "StepStarted a"),
        ("StepSucceeded a", "StepStarted b"),
        ("StepSucceeded b", "StepStarted c"),
        ("StepFailed c", "CauseRecorded failure", "CompensationStarted b"),
        ("CompensationSucceeded b", "CompensationStarted a"),
        ("CompensationSucceeded a", "InstanceFailed"),
    ] == counting.batches


@pytest.mark.parametrize("probe", [False, True])
def test_every_call_finds_its_start_durable_and_all_before_it(way: str, probe: bool, store: Store) -> None:
    """Law 1, write ahead: whatever is called, the store already holds why, and what the call before it gave."""
    check_write_ahead(store, store, way, probe=probe)


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("commit", [1, 2, 3])
@pytest.mark.parametrize("times", [1, 3])
def test_a_failed_or_ambiguous_append_is_looked_up(way: str, fault: str, commit: int, times: int, store: Store) -> None:
    """Law 1: after a failed append reload: ours is there: go on; the store is where it was: the same events again."""
    plan = [None] * (commit - 1) + [fault] * (1 if fault == "after" else times)
    failing = FailingStore(store, append=plan)
    bench, service = bench_of(failing, way)
    assert "completed" == bench.run().state
    assert ["a 1", "b 1", "c 1"] == service.calls
    assert FORTH == lines(store.history("o-1"))


def test_an_append_that_takes_place_late_takes_place_once(way: str, store: Store) -> None:
    """Law 1: what the reload did not find may still come: the repeated append is refused, and ours is there."""
    check_late_append(store, store, way)


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_failed_or_ambiguous_creation_is_looked_up(way: str, fault: str, store: Store) -> None:
    """Law 1, for the first commit: it is made once, whatever the store says of it."""
    told: list[int] = []
    failing = FailingStore(store, create=[fault])
    bench, service = bench_of(failing, way)
    bench.options["on_event"] = lambda _, event: told.append(event.number)
    assert "completed" == bench.run().state
    assert ["a 1", "b 1", "c 1"] == service.calls
    assert FORTH == lines(store.history("o-1"))
    assert list(range(1, 9)) == told


def test_a_store_that_fails_for_good_stops_the_drive_with_the_outcome(way: str, store: Store) -> None:
    """Law 1: tried again 3 times, then stop, with the known outcome in `StoreError.outcome`; what is known is kept."""
    failing = FailingStore(store, append=["before"] * 4)
    bench, service = bench_of(failing, way)
    with pytest.raises(StoreError) as caught:
        bench.run()
    assert "append failed" == str(caught.value)
    assert Returned(result_json='"a!"') == caught.value.outcome
    assert ["a 1"] == service.calls
    assert FORTH[:2] == lines(store.history("o-1"))
    assert store.load("o-1").instance.owner is None
    # The store has recovered, and so does the instance: it is in doubt, as after a crash.
    assert ["in_doubt"] == [block.reason for block in bench.ask("resume", "o-1").blocked]


def test_the_outcome_is_told_when_the_reload_fails_too(way: str, store: Store) -> None:
    """Law 1: a reload that fails tells nothing; what went wrong first is what the caller hears of."""
    bench, _ = bench_of(FailingStore(store, append=["before"], load=["before"]), way)
    with pytest.raises(StoreError, match=r"^append failed$") as caught:
        bench.run()
    assert Returned(result_json='"a!"') == caught.value.outcome


def test_the_outcome_is_told_when_the_mail_cannot_be_read(way: str, store: Store) -> None:
    """Law 1: the known outcome is in `StoreError.outcome`, whatever call of the store failed."""
    bench, _ = bench_of(FailingStore(store, append=[MailWaits("o-1")], mail=["before"] * 9), way)
    with pytest.raises(StoreError, match=r"^mail failed$") as caught:
        bench.run()
    assert Returned(result_json='"a!"') == caught.value.outcome


def test_the_outcome_is_told_when_the_instance_was_taken_over(way: str, store: Store) -> None:
    """Law 1: also the replaced owner says what it knew."""
    bench, _ = bench_of(FailingStore(store, append=[StoreConflict("taken")]), way)
    with pytest.raises(StoreConflict, match=r"^taken$") as caught:
        bench.run()
    assert Returned(result_json='"a!"') == caught.value.outcome


def test_a_store_that_fails_at_creation_starts_nothing(way: str, store: Store) -> None:
    """Law 1: nothing is called before its start is durable."""
    bench, service = bench_of(FailingStore(store, create=["before"] * 4), way)
    with pytest.raises(StoreError, match=r"^create failed$"):
        bench.run()
    assert [] == service.calls
    assert [] == list(store.find())


def test_the_instance_never_runs_ahead_of_the_store(way: str, store: Store) -> None:
    """Laws 1 and 17: the listener hears of an event, and sees the instance with it, only when it is stored."""
    told: list[tuple[int, int]] = []

    def listen(instance: Any, event: Any) -> None:
        assert event == instance.history[-1]
        told.append((event.number, len(store.history("o-1"))))

    bench, _ = bench_of(FailingStore(store, append=["before", "after"]), way)
    bench.options["on_event"] = listen
    instance = bench.run()
    assert [number for number, _ in told] == list(range(1, 9))
    assert all(number <= stored for number, stored in told)
    assert store.history("o-1") == instance.history
