"""Every durable event is one record of the logger "sagafsm": after the write, in order, and without payloads."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from sagafsm.store import Store
from support.bench import Bench, is_async
from support.mortality import die
from support.services import Service, saga_of
from support.stores import CountingStore

log = logging.getLogger("sagafsm")
COMPLETED = [
    "INFO instance 'o-1' event 1: InstanceCreated",
    "DEBUG instance 'o-1' event 2: StepStarted a",
    "DEBUG instance 'o-1' event 3: StepSucceeded a",
    "DEBUG instance 'o-1' event 4: StepStarted b",
    "DEBUG instance 'o-1' event 5: StepSucceeded b",
    "INFO instance 'o-1' event 6: InstanceCompleted",
]


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    """The logger's level, as it was before."""
    before = log.level
    yield
    log.setLevel(before)


def bench_of(store: Any, way: str, script: dict[str, list[Any]] | None = None, **options: Any) -> tuple[Bench, Service]:
    service = Service(script=script or {})
    return Bench(store, saga_of(service, is_async=is_async(way), a={}, b={}), way, options=options), service


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


def test_every_event_is_a_record(way: str, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """One each, in order of their numbers, whichever commit they came with."""
    caplog.set_level(logging.DEBUG, "sagafsm")
    bench, _ = bench_of(store, way)
    assert "completed" == bench.run().state
    assert COMPLETED == told(caplog)


def test_a_record_names_instance_saga_step_event_number_and_state(
    way: str, memory: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """As attributes, so that a formatter can use them; `state` is that of the instance as of the event."""
    caplog.set_level(logging.DEBUG, "sagafsm")
    bench, _ = bench_of(memory, way)
    bench.run()
    names = ("name", "instance", "saga", "step", "event", "number", "state")
    assert [
        ("sagafsm", "o-1", "order", None, "InstanceCreated", 1, "pending"),
        ("sagafsm", "o-1", "order", "a", "StepStarted", 2, "running:a"),
        ("sagafsm", "o-1", "order", "a", "StepSucceeded", 3, "running:b"),
        ("sagafsm", "o-1", "order", "b", "StepStarted", 4, "running:b"),
        ("sagafsm", "o-1", "order", "b", "StepSucceeded", 5, "running:b"),
        ("sagafsm", "o-1", "order", None, "InstanceCompleted", 6, "completed"),
    ] == [tuple(getattr(record, name) for name in names) for record in caplog.records]


def test_what_needs_a_look_is_louder(way: str, memory: Store, caplog: pytest.LogCaptureFixture) -> None:
    """WARNING for doubts, compensations that fail, and blocks; INFO for begin, end, cause and decisions."""
    caplog.set_level(logging.DEBUG, "sagafsm")
    bench, _ = bench_of(memory, way, {"b": ["lost"], "undo b": ["permanent"]})
    bench.run()
    bench.ask("compensate", "o-1", reason="no answer from them", by="ann")
    bench.ask("abandon", "o-1", reason="enough", by="ann")
    assert [
        *COMPLETED[:4],
        "WARNING instance 'o-1' event 5: StepInDoubt b",
        "WARNING instance 'o-1' event 6: InstanceBlocked b",
        "INFO instance 'o-1' event 7: DecisionMade",
        "INFO instance 'o-1' event 8: CauseRecorded decision",
        "DEBUG instance 'o-1' event 9: CompensationStarted b",
        "WARNING instance 'o-1' event 10: CompensationFailed b",
        "WARNING instance 'o-1' event 11: InstanceBlocked b",
        "INFO instance 'o-1' event 12: DecisionMade",
        "INFO instance 'o-1' event 13: InstanceFailed",
    ] == told(caplog)


def test_a_level_keeps_the_quieter_records_away(way: str, memory: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Also those that share a commit with a louder one."""
    caplog.set_level(logging.WARNING, "sagafsm")
    bench, _ = bench_of(memory, way, {"b": ["lost"]})
    bench.run()
    assert [
        "WARNING instance 'o-1' event 5: StepInDoubt b",
        "WARNING instance 'o-1' event 6: InstanceBlocked b",
    ] == told(caplog)


def test_payloads_are_in_no_record(way: str, memory: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the message nor in what a formatter can reach: inputs, results, and what errors say of them."""
    caplog.set_level(logging.DEBUG, "sagafsm")
    bench, _ = bench_of(memory, way, {"b": ["fail"]})
    bench.run("card 4242")
    assert 9 == len(caplog.records)
    for record in caplog.records:
        kept = repr(vars(record))
        assert [] == [secret for secret in ("card 4242", "a!", "refused") if secret in kept]


def test_a_process_tells_what_it_wrote_itself(way: str, memory: Store, caplog: pytest.LogCaptureFixture) -> None:
    """After a crash the next one goes on with the number that follows; nothing is told twice or ahead of the store."""
    caplog.set_level(logging.DEBUG, "sagafsm")
    bench, service = bench_of(memory, way)
    die(bench, service, "before 2", "run", bench.saga, "mug", id="o-1")
    assert COMPLETED[:2] == told(caplog)
    caplog.clear()
    bench.ask("recover")
    assert [
        "WARNING instance 'o-1' event 3: StepInDoubt a",
        "WARNING instance 'o-1' event 4: InstanceBlocked a",
    ] == told(caplog)


def test_a_level_that_is_off_costs_one_question_a_commit(
    way: str, memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No record is made, and nothing is put into words."""
    asked: list[int] = []
    monkeypatch.setattr(log, "isEnabledFor", lambda level: bool(asked.append(level)))
    monkeypatch.setattr(log, "makeRecord", lambda *_, **__: pytest.fail("a record was made"))
    counting = CountingStore(memory)
    bench, _ = bench_of(counting, way)
    assert "completed" == bench.run().state
    assert [logging.INFO, logging.DEBUG, logging.INFO] == asked
    assert counting.commits == len(asked)


def test_the_library_installs_no_handler_but_the_null_one() -> None:
    """What is written, and where to, is the program's to say."""
    assert [logging.NullHandler] == [type(handler) for handler in log.handlers]
    assert logging.NOTSET == log.level
    assert log.propagate


@pytest.mark.parametrize("shown", [True, False], ids=["raiseExceptions", "not raiseExceptions"])
def test_a_filter_that_raises_changes_nothing(
    way: str, shown: bool, memory: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told to stderr, as logging tells of a handler that raises, and the saga goes on."""

    def broken(record: logging.LogRecord) -> bool:
        raise ValueError(f"no filter for {record.getMessage()}")

    monkeypatch.setattr(log, "filters", [broken])
    monkeypatch.setattr(logging, "raiseExceptions", shown)
    log.setLevel(logging.INFO)
    bench, service = bench_of(memory, way)
    assert "completed" == bench.run().state
    assert ["a 1", "b 1"] == service.calls
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ValueError")]
    expected = [f"ValueError: no filter for {line.removeprefix('INFO ')}" for line in (COMPLETED[0], COMPLETED[5])]
    assert (expected if shown else []) == said


def test_a_listener_that_raises_is_told_beside_the_events(
    way: str, memory: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Law 17: it is logged, after the records of its commit, and the saga completes."""

    def listen(instance: Any, event: Any) -> None:
        if event.number == 3:
            raise ValueError("strange")

    caplog.set_level(logging.DEBUG, "sagafsm")
    bench, service = bench_of(memory, way, on_event=listen)
    assert "completed" == bench.run().state
    assert ["a 1", "b 1"] == service.calls
    raised = "ERROR on_event raised at event 3 of instance 'o-1'"
    assert [*COMPLETED[:4], raised, *COMPLETED[4:]] == told(caplog)
    assert "ValueError('strange')" == repr(caplog.records[4].exc_info[1])  # type: ignore[index]
