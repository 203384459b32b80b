"""Law 15: an action whose result cannot be stored is compensated, never executed again."""

from __future__ import annotations

from typing import Any

from sagafsm import Saga
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.services import STEADY, Service, saga_of


def ran(store: Store, way: str, script: dict[str, list[Any]], **steps: Any) -> tuple[Bench, Service, list[str]]:
    service = Service(script=script)
    bench = Bench(store, saga_of(service, is_async=is_async(way), **steps), way)
    bench.run()
    service.check_keys()
    return bench, service, lines(store.history("o-1"))[1:]


def test_an_unstorable_result_is_undone_with_the_live_result(way: str, memory: Store) -> None:
    """Law 15: before the pivot the step is compensated with the live result, then the rest; never executed again."""
    bench, service, events = ran(memory, way, {"b": ["set"]}, a={}, b={"retry": STEADY}, c={})
    assert ["a 1", "b 1", "undo b 1 of {'not JSON'}", "undo a 1 of a!"] == service.calls
    assert ["ResultRefused b 1", "CauseRecorded payload b", "CompensationStarted b 1"] == events[3:6]
    instance = bench.get()
    assert instance.compensated
    assert (
        "step 'b' gave a result that cannot be stored: PayloadError: result of step 'b' of instance 'o-1' at $: set is no "
        "JSON value (annotate its type, or return plain JSON)"
    ) == str(instance.cause)


def test_a_live_result_is_kept_for_every_attempt_to_undo_it(way: str, memory: Store) -> None:
    """Law 15: also the retried compensation gets the live result, as long as this driver lives."""
    _, service, _ = ran(memory, way, {"a": ["set"], "undo a": ["fail"]}, a={"compensation_retry": STEADY})
    assert ["a 1", "undo a 1 of {'not JSON'}", "undo a 2 of {'not JSON'}"] == service.calls


def test_an_unstorable_result_of_a_step_that_nothing_undoes_is_residue(way: str, memory: Store) -> None:
    """Law 15: it took effect; without a compensation that effect remains, and shows."""
    bench, service, _ = ran(memory, way, {"b": ["set"]}, a={}, b={"undo": False})
    assert ["a 1", "b 1", "undo a 1 of a!"] == service.calls
    assert [("b", "no_compensation", None)] == [(r.step, r.reason, r.result) for r in bench.get().residue]


def test_a_result_over_max_payload_is_refused(way: str, memory: Store) -> None:
    """Law 15: over `max_payload`; the error says how large it is."""
    saga = Saga("order")
    saga.add_step("a", lambda: "x" * 100, lambda result: None)
    bench = Bench(memory, saga, way, options={"max_payload": 100})
    instance = bench.run("m")
    assert (
        "result of step 'a' of instance 'o-1' at $: 102 bytes of JSON, more than max_payload=100"
        == instance.error.message
    )
    assert instance.compensated
