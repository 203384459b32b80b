"""Law 1, write-ahead: a start is durable before the action is called, and an outcome before any other call.

- One commit holds an outcome and the next start, so N plain steps make N + 1 commits.
- `when=` and `input=` run after the previous outcome is durable, and their result is recorded with the start.
- After a failed or ambiguous append the engine reloads. It continues, appends the same events again, or stops.
- The in-memory instance never runs ahead of the store.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import Context
from sagafsm.core.outcomes import Returned
from sagafsm.errors import MailWaits, StoreConflict, StoreError
from sagafsm.store import Store
from sagafsm_adapters.memory import MemoryStore
from support.bench import Bench, is_async, lines
from support.broken import Lagging, Uncompared
from support.controls import quick
from support.exams import check_late_append
from support.lived import check_singles, lived, lives
from support.lives import Life
from support.mortality import die
from support.orders import bench_of, ran
from support.services import STEADY, Service, saga_of
from support.stores import CountingStore, FailingStore

PLAIN: dict[str, dict[str, Any]] = {"a": {}, "b": {}, "c": {}}
TO_B = ["InstanceCreated", "StepStarted a 1", "StepSucceeded a 1"]
FORTH = [*TO_B, "StepStarted b 1", "StepSucceeded b 1", "StepStarted c 1", "StepSucceeded c 1", "InstanceCompleted"]


def check_write_ahead(store: Store, through: Any, way: str, *, probe: bool) -> None:
    """Check that each call finds its own start durable, and all that happened before."""
    seen: list[str] = []

    def look() -> None:
        seen.append(lines(store.history("o-1"))[-1])

    script: dict[str, list[Any]] = {
        "a": ["lost", look] if probe else [look],
        "probe a": [look],  # it returns no answer, so the doubt stays
        "b": ["fail", look],
        "c": [look],
        "d": ["fail"],
        "undo b": ["fail", look],
        "undo a": [look],
    }
    options: dict[str, Any] = {"in_doubt": "retry", "retry": STEADY, "compensation_retry": STEADY}
    service = Service(script=script)
    steps: dict[str, Any] = {"a": {**options, "probe": probe}, "b": options, "c": options, "d": {}}
    Bench(through, saga_of(service, is_async=is_async(way), **steps), way).run()
    first = ["StepInDoubt a 1 outcome_unknown", "StepStarted a 2"] if probe else ["StepStarted a 1"]
    then = ["StepStarted b 2", "StepStarted c 1", "CompensationStarted b 2", "CompensationStarted a 1"]
    assert [*first, *then] == seen
    service.check_keys()


@pytest.mark.parametrize("probe", [False, True])
def test_every_call_finds_its_start_durable_and_all_before_it(way: str, probe: bool, store: Store) -> None:
    """When a function is called, the store already holds its start and the outcome of the call before."""
    check_write_ahead(store, store, way, probe=probe)


# The commits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3, 10])
def test_n_plain_steps_make_n_plus_1_commits(n: int, way: str, store: Store) -> None:
    """The first commit is creation, claim and first start. The last is the last outcome, the end and the release."""
    counting = CountingStore(store)
    bench, _ = bench_of(counting, way, **{f"s{i}": {} for i in range(n)})
    assert "completed" == bench.run().state
    assert n + 1 == counting.commits
    assert ("InstanceCreated", "StepStarted s0") == counting.batches[0]
    assert (f"StepSucceeded s{n - 1}", "InstanceCompleted") == counting.batches[-1]
    assert {"create", "append"} == set(counting.names), "no claim, no release, no load beside them"


def test_start_and_resume_make_one_commit_more(way: str, memory: Store) -> None:
    """`start` commits the creation alone."""
    counting = CountingStore(memory)
    bench, _ = bench_of(counting, way, **PLAIN)
    bench.ask("start", bench.saga, "mug", id="o-1")
    assert "completed" == bench.ask("resume", "o-1").state
    assert len(PLAIN) + 2 == counting.commits
    assert ("InstanceCreated",) == counting.batches[0]
    assert FORTH == lines(memory.history("o-1"))


def test_a_limit_on_the_first_step_makes_one_commit_more(way: str, memory: Store) -> None:
    """An async orchestrator creates the instance first, because the first call may have to wait for its turn.

    A sync orchestrator runs one instance at a time, so no call has to wait.
    """
    counting = CountingStore(memory)
    bench, _ = bench_of(counting, way, **{**PLAIN, "a": {"max_concurrency": 1}})
    assert "completed" == bench.run().state
    assert len(PLAIN) + (2 if way == "async" else 1) == counting.commits


def test_a_condition_makes_one_commit_more(way: str, memory: Store) -> None:
    """The condition runs after the outcome before it is durable. The answer is recorded with the start."""
    counting = CountingStore(memory)
    seen: list[list[str]] = []

    def when(ctx: Context, a: str) -> bool:
        seen.append(lines(memory.history(ctx.instance_id)))
        return a == "a!"

    bench, service = bench_of(counting, way, a={}, b={"when": when}, c={})
    bench.run()
    assert [TO_B] == seen
    assert [
        ("InstanceCreated", "StepStarted a"),
        ("StepSucceeded a",),
        ("StepPrepared b", "StepStarted b"),
        ("StepSucceeded b", "StepStarted c"),
        ("StepSucceeded c", "InstanceCompleted"),
    ] == counting.batches
    assert ["a 1", "b 1", "c 1"] == service.calls


def test_a_way_back_makes_a_commit_for_each_compensation(way: str, memory: Store) -> None:
    """One commit holds the failure, the cause and the first undo."""
    counting = CountingStore(memory)
    bench, _ = bench_of(counting, way, {"c": ["fail"]}, **PLAIN)
    assert bench.run().compensated
    assert [
        ("InstanceCreated", "StepStarted a"),
        ("StepSucceeded a", "StepStarted b"),
        ("StepSucceeded b", "StepStarted c"),
        ("StepFailed c", "CauseRecorded failure", "CompensationStarted b"),
        ("CompensationSucceeded b", "CompensationStarted a"),
        ("CompensationSucceeded a", "InstanceFailed"),
    ] == counting.batches


# Conditions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("no price"), TimeoutError("no answer")], ids=repr)
def test_an_exception_in_a_condition_is_a_definite_failure(error: Exception, way: str, memory: Store) -> None:
    """The step was not called, so there is no doubt and no retry, even for an exception that leaves an action in doubt."""

    def when() -> bool:
        raise error

    bench, service, events = ran(memory, way, {}, a={}, b={"when": when, "retry": STEADY})
    assert ["StepFailed b 0", "CauseRecorded failure b", "CompensationStarted a 1"] == events[2:5]
    assert f"{type(error).__name__}: {error}" == str(bench.get().error)
    assert ["a 1", "undo a 1 of a!"] == service.calls
    assert bench.get().compensated


@pytest.mark.parametrize(("dies", "is_recorded"), [("after 2", False), ("before 3", False), ("after 3", True)])
def test_a_condition_is_asked_again_until_it_is_recorded(dies: str, is_recorded: bool, way: str, store: Store) -> None:
    """A crash before the commit means that the condition runs again; after the commit it never does."""
    asked: list[int] = []
    step = {"when": lambda: not asked.append(1), "in_doubt": "retry"}
    bench, service = bench_of(store, way, a={}, b=step, c={})
    die(bench, service, dies, "run", bench.saga, "mug", id="o-1")
    assert [*TO_B, *(["StepPrepared b", "StepStarted b 1"] if is_recorded else [])] == lines(store.history("o-1"))
    asked.clear()
    assert {} == bench.ask("recover").errors
    assert "completed" == bench.get().state
    assert ([] if is_recorded else [1]) == asked
    assert ["b 2 in doubt" if is_recorded else "b 1", "c 1"] == service.calls


# A store that fails ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("commit", [1, 2, 3])
@pytest.mark.parametrize("times", [1, 3])
def test_a_failed_or_ambiguous_append_is_looked_up(
    way: str, fault: str, commit: int, times: int, memory: Store
) -> None:
    """The events are there: continue. The store is unchanged: append the same events again, at most 3 times."""
    plan = [None] * (commit - 1) + [fault] * (1 if fault == "after" else times)
    bench, service = bench_of(FailingStore(memory, append=plan), way, **PLAIN)
    assert "completed" == bench.run().state
    assert ["a 1", "b 1", "c 1"] == service.calls
    assert FORTH == lines(memory.history("o-1"))


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_failed_or_ambiguous_creation_is_looked_up(way: str, fault: str, memory: Store) -> None:
    """The instance is created once, and the listener hears each event once."""
    told: list[int] = []
    bench, service = bench_of(FailingStore(memory, create=[fault]), way, **PLAIN)
    bench.options["on_event"] = lambda _, event: told.append(event.number)
    assert "completed" == bench.run().state
    assert ["a 1", "b 1", "c 1"] == service.calls
    assert FORTH == lines(memory.history("o-1"))
    assert list(range(1, 9)) == told


def test_an_append_that_takes_place_late_takes_place_once(way: str, store: Store) -> None:
    """An append may succeed after the reload did not find it: the repeated append is refused, and the drive continues."""
    check_late_append(store, store, way)


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ({"append": ["before"] * 4}, StoreError("append failed")),
        ({"append": ["before"], "load": ["before"]}, StoreError("append failed")),
        ({"append": [MailWaits("o-1")], "mail": ["before"] * 9}, StoreError("mail failed")),
        ({"append": [StoreConflict("taken")]}, StoreConflict("taken")),
    ],
    ids=["append", "append and load", "mail", "conflict"],
)
def test_a_drive_that_stops_tells_the_outcome(
    faults: dict[str, list[Any]], error: StoreError, way: str, store: Store
) -> None:
    """The known outcome is in `StoreError.outcome`. The history is as after a crash, so the step is in doubt."""
    failing = FailingStore(store, **faults)
    bench, service = bench_of(failing, way, **PLAIN)
    with pytest.raises(type(error)) as caught:
        bench.run()
    assert str(error) == str(caught.value)
    assert Returned(result_json='"a!"') == caught.value.outcome
    assert ["a 1"] == service.calls
    assert FORTH[:2] == lines(store.history("o-1"))
    assert store.load("o-1").instance.owner is None
    failing.faults.clear()
    assert ["in_doubt"] == [block.reason for block in bench.ask("resume", "o-1").blocked]


def test_a_store_that_fails_at_creation_starts_nothing(way: str, memory: Store) -> None:
    """No action is called, and there is no instance."""
    bench, service = bench_of(FailingStore(memory, create=["before"] * 4), way, **PLAIN)
    with pytest.raises(StoreError, match=r"^create failed$"):
        bench.run()
    assert [] == service.calls
    assert [] == list(memory.find())


def test_the_instance_never_runs_ahead_of_the_store(way: str, store: Store) -> None:
    """A listener sees an event, and the instance with that event, only when the event is stored."""
    told: list[tuple[int, int]] = []

    def listen(instance: Any, event: Any) -> None:
        assert event == instance.history[-1]
        told.append((event.number, len(store.history("o-1"))))

    bench, _ = bench_of(FailingStore(store, append=["before", "after"]), way, **PLAIN)
    bench.options["on_event"] = listen
    instance = bench.run()
    assert [number for number, _ in told] == list(range(1, 9))
    assert all(number <= stored for number, stored in told)
    assert store.history("o-1") == instance.history


# Always ---------------------------------------------------------------------------------------------------------------

FAULTS = st.lists(st.sampled_from([None, "before", "after"]), max_size=9)


@quick(40)
@given(append=FAULTS, load=FAULTS)
def test_whatever_the_store_does_nothing_is_called_twice(append: list[Any], load: list[Any]) -> None:
    """The saga completes with the plain history, or it stops with the outcome, and the history is a part of that one."""
    store = MemoryStore()
    bench, service = bench_of(FailingStore(store, append=append, load=load), "sync", **PLAIN)
    stopped: StoreError | None = None
    try:
        bench.run()
    except StoreError as error:
        stopped = error
    history = lines(store.history("o-1"))
    assert FORTH[: len(history)] == history
    if stopped is None:
        assert FORTH == history
    else:
        assert isinstance(stopped.outcome, Returned)
    assert ["a 1", "b 1", "c 1"][: len(service.calls)] == service.calls


def check_called_as_recorded(life: Life) -> None:
    """Each call found its attempt, key and input durable, and the call before it settled."""
    assert [] == life.world.breaches


@quick(30)
@given(life=lives())
def test_any_call_is_recorded_before_it_is_made(life: Life) -> None:
    """With groups, nested sagas and waits, whatever fails and wherever processes die."""
    check_called_as_recorded(lived(life))


# Positive controls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", [False, True])
def test_an_outcome_that_is_recorded_too_late_is_noticed(probe: bool, way: str, memory: Store) -> None:
    """A store that writes each append one call too late: the next call finds the outcome missing."""
    with pytest.raises(AssertionError):
        check_write_ahead(memory, Lagging(memory), way, probe=probe)


def test_an_append_that_takes_place_twice_is_noticed(way: str, memory: Store) -> None:
    """A store that compares no versions: the repeated append is stored a second time."""
    with pytest.raises((AssertionError, StoreError)):
        check_late_append(memory, Uncompared(memory), way)


def test_a_random_saga_over_a_store_that_lags_is_noticed() -> None:
    """The services find calls whose start is not durable."""
    with pytest.raises(AssertionError):
        check_singles(check_called_as_recorded, through=Lagging)
