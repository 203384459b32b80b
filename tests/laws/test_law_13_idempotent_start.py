"""Law 13: start is idempotent by id: one id and one input make one instance.

- Another saga or another input, compared as stored, is an `InputMismatch`. With the same saga and input, an instance
  that is at rest, blocked or owned elsewhere is returned as stored; any other is resumed. An instance that waits for a
  time is resumed, and `run` sleeps. One that waits for a signal is returned at once.
- `run`, `resume` and decisions sleep through backoffs, interruptibly, until a block or a wait for a signal.
  `check=True` raises `SagaFailed` or `SagaUnfinished` unless the instance completed.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import InputMismatch, Orchestrator, Retry, Saga, SagaFailed, SagaUnfinished
from sagafsm.engine import operations
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.clock import NOON
from support.controls import expect_breach, quick
from support.exams import STRANGER
from support.messages import message_of
from support.orders import bench_of
from support.services import Service, saga_of

PLAIN: dict[str, dict[str, Any]] = {"a": {}, "b": {}}
HOUR = timedelta(hours=1)


def waiting(service: Service, way: str, **options: Any) -> Saga:
    """A saga that waits for a signal behind its first step."""
    saga = saga_of(service, is_async=is_async(way), a={})
    saga.wait_for("approval", **options)
    return saga


# The same id and input ------------------------------------------------------------------------------------------------


def test_run_is_idempotent_by_id(way: str, store: Store) -> None:
    """The same id with the same input is the same instance. At rest it is returned as stored."""
    bench, service = bench_of(store, way, **PLAIN)
    first = bench.run({"sku": "mug", "n": 2})
    again = bench.run({"n": 2, "sku": "mug"})
    assert first == again
    assert ["a 1", "b 1"] == service.calls
    bench.ask("start", bench.saga, {"sku": "mug", "n": 2}, id="o-1")
    assert 6 == len(store.history("o-1"))


def test_run_resumes_what_was_started(way: str, store: Store) -> None:
    """An instance that is neither at rest nor parked nor owned is resumed."""
    bench, service = bench_of(store, way, **PLAIN)
    assert "pending" == bench.ask("start", bench.saga, "mug", id="o-1").state
    assert [] == service.calls
    assert "pending" == bench.ask("start", bench.saga, "mug", id="o-1").state
    assert "completed" == bench.run("mug").state


@pytest.mark.parametrize("parked", ["blocked", "waits for a signal", "owned elsewhere"])
def test_run_returns_what_it_cannot_drive_on(parked: str, way: str, memory: Store) -> None:
    """A blocked, waiting or owned instance is returned as stored, at once, and nothing is called."""
    service = Service(script={"a": ["lost"]} if parked == "blocked" else {})
    bench = Bench(memory, waiting(service, way), way)
    if parked == "owned elsewhere":
        bench.ask("start", bench.saga, "mug", id="o-1")
        memory.claim("o-1", owner=STRANGER, lease=HOUR)
    first = bench.run()
    calls, history = list(service.calls), memory.history("o-1")
    assert first == bench.run()
    assert (calls, history, []) == (service.calls, memory.history("o-1"), bench.clock.slept)


def test_another_input_or_saga_is_refused(way: str, store: Store) -> None:
    """Another saga or another input is refused, and the instance is untouched."""
    bench, service = bench_of(store, way, **PLAIN)
    bench.run({"sku": "mug"})
    history = store.history("o-1")
    for operation in ("run", "start"):
        with pytest.raises(InputMismatch) as caught:
            bench.ask(operation, bench.saga, {"sku": "cup"}, id="o-1")
        assert ("instance 'o-1' exists with another input (choose another id, or start it with the same)") == str(
            caught.value
        )
        other = saga_of(service, "refund", **PLAIN)
        with pytest.raises(InputMismatch) as caught:
            bench.ask(operation, other, {"sku": "mug"}, id="o-1")
        assert (
            "instance 'o-1' exists as an instance of saga 'order', not 'refund' "
            "(choose another id, or start it with the same)"
        ) == str(caught.value)
    assert history == store.history("o-1")


@attrs.frozen
class Order:
    sku: str
    n: int = 1


def test_inputs_are_compared_as_stored(way: str, memory: Store) -> None:
    """Values that differ in Python but not in the store are the same input."""
    saga = Saga("order")

    @saga.step
    def a(input: Order) -> int:
        return input.n

    bench = Bench(memory, saga, way)
    assert {"a": 1} == bench.run(Order("mug")).results
    assert {"a": 1} == bench.run({"sku": "mug", "n": 1}).results


# Sleeping -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["run", "resume"])
def test_a_wait_for_a_time_is_slept_and_can_be_interrupted(operation: str, way: str, memory: Store) -> None:
    """An interrupt leaves the instance unowned, with its `wake_at`. `run` and `resume` sleep for the rest."""
    retry = Retry(2, backoff=timedelta(minutes=5), jitter=False)
    bench, _ = bench_of(memory, way, {"a": ["fail"]}, a={"retry": retry})

    def interrupt() -> None:
        if bench.clock.seconds >= 7:
            raise KeyboardInterrupt

    bench.clock.after_sleep = interrupt
    with pytest.raises(KeyboardInterrupt) as caught:
        bench.run()
    assert ["instance 'o-1' rests in 'running:a'; resume('o-1') or recover() goes on"] == caught.value.__notes__
    assert (None, NOON + timedelta(minutes=5)) == ((instance := bench.get()).owner, instance.wake_at)
    bench.clock.after_sleep = lambda: None
    assert "completed" == (bench.run() if operation == "run" else bench.ask("resume", "o-1")).state
    assert 300.0 == bench.clock.seconds


# check=True -----------------------------------------------------------------------------------------------------------


def test_check_raises_unless_completed(way: str, memory: Store) -> None:
    """`check=True` raises `SagaFailed` with the failure and the residue, else returns what completed."""
    bench, service = bench_of(memory, way, {"b": ["fail"]}, **PLAIN)
    with pytest.raises(SagaFailed) as failed:
        bench.ask("run", bench.saga, 1, id="o-1", check=True)
    assert "instance 'o-1' failed: step 'b' failed: Refused: refused; may remain: nothing" == str(failed.value)
    assert failed.value.instance == bench.get()
    with pytest.raises(SagaFailed):
        bench.get().raise_for_failure()
    service.script = {}
    assert "completed" == bench.ask("run", bench.saga, 1, id="o-2", check=True).state


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (
            "blocked",
            (
                "running:a and unfinished: step 'a' is blocked (in_doubt; decide: retry, resolve(result), "
                "resolve(not_done), compensate, abandon)"
            ),
        ),
        ("waiting", "running:approval and unfinished: it waits for signal 'approval'"),
        (
            "waiting for an hour",
            "running:approval and unfinished: it waits for signal 'approval' until 2026-01-01T13:00:00+00:00",
        ),
        ("owned", "pending and unfinished: it is driven by 'elsewhere'"),
    ],
)
def test_check_tells_why_an_instance_is_unfinished(why: str, told: str, way: str, memory: Store) -> None:
    """`SagaUnfinished` names the block and its decisions, the signal and its time, or the owner."""
    service = Service(script={"a": ["lost"]} if why == "blocked" else {})
    bench = Bench(memory, waiting(service, way, timeout=HOUR if "hour" in why else None), way)
    if why == "owned":
        bench.ask("start", bench.saga, 1, id="o-1")
        memory.claim("o-1", owner=STRANGER, lease=HOUR)
    asked = lambda: bench.ask("run", bench.saga, 1, id="o-1", check=True)  # noqa: E731
    assert f"instance 'o-1' is {told}" == message_of(SagaUnfinished, asked)


# Any starts -----------------------------------------------------------------------------------------------------------

# Each with the form that is stored. JSON knows no tuples and no order of keys, but 1, 1.0 and true differ.
INPUTS: tuple[tuple[Any, str], ...] = (
    ({"sku": "mug", "n": 1}, "one"),
    ({"n": 1, "sku": "mug"}, "one"),
    ({"sku": "mug", "n": 1.0}, "one, as a float"),
    ({"sku": "mug", "n": True}, "true"),
    (["mug"], "a list"),
    (("mug",), "a list"),
    (None, "nothing"),
)
starts = st.lists(
    st.tuples(
        st.sampled_from(("run", "start")), st.sampled_from("ab"), st.sampled_from("xyy"), st.sampled_from(INPUTS)
    ),
    max_size=6,
)


def check_starts(starts: list[tuple[str, str, str, tuple[Any, str]]]) -> None:
    service = Service()
    sagas = {name: saga_of(service, name, **PLAIN) for name in "xy"}
    kept: dict[str, tuple[str, str]] = {}
    with Orchestrator("memory://", sagas=sagas.values()) as orchestrator:
        for operation, id, name, (input, stored) in starts:
            same = kept.setdefault(id, (name, stored)) == (name, stored)
            refused = contextlib.nullcontext() if same else pytest.raises(InputMismatch)
            try:
                with refused:
                    getattr(orchestrator, operation)(sagas[name], input, id=id)
            except pytest.fail.Exception as error:
                raise AssertionError("another input is taken for the same") from error
        assert sorted(kept) == [summary.id for summary in orchestrator.find()]
        for id in kept:
            orchestrator.resume(id)
            assert "InstanceCompleted" == lines(orchestrator.get(id).history)[-1]
    assert 2 * len(kept) == len(service.calls)


@quick(60)
@given(starts=starts)
def test_one_id_and_one_input_make_one_instance(starts: Any) -> None:
    """Any starts and runs of two ids: the first input counts, another is refused, and each action is called once."""
    check_starts(starts)


def test_inputs_that_are_not_compared_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: every input counts as the same."""
    monkeypatch.setattr(operations, "is_same_json", lambda one, other: True)
    assert "another input is taken for the same" in expect_breach(check_starts, starts=starts)
