"""Law 15: an action whose result cannot be stored is never executed again.

- Not storable: no JSON value, a value that a round trip changes, other keys than text, NaN, a lone surrogate, over 200
  levels deep, an int over 14,000 bits, over `max_payload`. The error says type and path (all kinds: test_payload).
- Before the pivot the step is compensated with the live result (after a crash: `None`, in doubt), then the rest. From
  the pivot on the instance blocks. The whole result of a nested saga has no limit.

The crashes between the refusal and the compensation are rows of test_crash_table.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import Orchestrator, PayloadError, Saga
from sagafsm.engine import replies
from sagafsm.store import Store
from support.bench import Bench
from support.controls import expect_breach, quick
from support.messages import message_of
from support.orders import bench_of, ran
from support.services import STEADY, Service, saga_of

# Before the pivot -----------------------------------------------------------------------------------------------------


def test_an_unstorable_result_is_undone_with_the_live_result(way: str, memory: Store) -> None:
    """The step is compensated with the live result, then the rest. The action is never called again."""
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
    """Every attempt of the compensation gets the live result, as long as the process lives."""
    _, service, _ = ran(memory, way, {"a": ["set"], "undo a": ["fail"]}, a={"compensation_retry": STEADY})
    assert ["a 1", "undo a 1 of {'not JSON'}", "undo a 2 of {'not JSON'}"] == service.calls


def test_an_unstorable_result_of_a_step_that_nothing_undoes_is_residue(way: str, memory: Store) -> None:
    """The action took effect. Without a compensation this effect is residue."""
    bench, service, _ = ran(memory, way, {"b": ["set"]}, a={}, b={"undo": False})
    assert ["a 1", "b 1", "undo a 1 of a!"] == service.calls
    assert [("b", "no_compensation", None)] == [(r.step, r.reason, r.result) for r in bench.get().residue]


def test_an_unstorable_result_of_a_member_goes_back_with_the_live_result(way: str, memory: Store) -> None:
    """In a group the other members settle, then all are compensated, the member with its live result."""
    bench, service = bench_of(
        memory, way, {"a": ["set"]}, a={"group": "g"}, b={"group": "g", "after": "CauseRecorded payload a"}
    )
    instance = bench.run()
    assert ["undo b 1 of b!", "undo a 1 of {'not JSON'}"] == service.calls[2:]
    assert instance.compensated


def test_a_result_over_max_payload_is_refused(way: str, memory: Store) -> None:
    """A result over `max_payload` is refused, and the error says how large it is."""
    saga = Saga("order")
    saga.add_step("a", lambda: "x" * 100, lambda result: None)
    bench = Bench(memory, saga, way, options={"max_payload": 100})
    instance = bench.run("m")
    assert (
        "result of step 'a' of instance 'o-1' at $: 102 bytes of JSON, more than max_payload=100"
        == instance.error.message
    )
    assert instance.compensated


def test_the_whole_result_of_a_nested_saga_has_no_limit(way: str, memory: Store) -> None:
    """Each result of a nested saga fits `max_payload`, and all together do not: they are stored all the same."""
    child, saga = Saga("payment"), Saga("order")
    for name in "ab":
        child.add_step(name, lambda: "x" * 90)
    saga.add_saga("pay", child)
    instance = Bench(memory, saga, way, options={"max_payload": 100}).run()
    assert {"pay": {"a": "x" * 90, "b": "x" * 90}} == instance.results


# From the pivot on ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["b", "c"])
def test_from_the_pivot_on_an_unstorable_result_blocks(step: str, way: str, memory: Store) -> None:
    """From the pivot on the instance blocks. An unstorable result of the pivot counts as its success."""
    steps: dict[str, Any] = {"a": {}, "b": {"pivot": True}, "c": {"undo": False, "retry": STEADY}, "d": {"undo": False}}
    bench, service, events = ran(memory, way, {step: ["set"]}, **steps)
    assert [f"ResultRefused {step} 1", f"InstanceBlocked {step} payload"] == events[-2:]
    assert (("resolve(result)", "abandon"),) == tuple(block.decisions for block in bench.get().blocked)
    calls = list(service.calls)
    assert "completed" == bench.ask("resolve", "o-1", result="told", reason="seen").state
    assert ["c 1", "d 1"][-len(service.calls) + len(calls) :] == service.calls[len(calls) :]
    assert "told" == bench.get().results[step]


# What others give -----------------------------------------------------------------------------------------------------


def test_a_signal_that_cannot_be_stored_is_refused(way: str, memory: Store) -> None:
    """Nothing is posted, and the sender is told which signal, where and why."""
    saga = Saga("order")
    saga.wait_for("approval")
    bench = Bench(memory, saga, way)
    before = bench.run().history
    told = "payload of signal 'approval' for instance 'o-1' at $.by: set is no JSON value"
    told += " (annotate its type, or return plain JSON)"
    assert told == message_of(PayloadError, lambda: bench.ask("signal", "o-1", "approval", {"by": {1}}))
    bench.options = {"max_payload": 10}
    with pytest.raises(PayloadError):
        bench.ask("signal", "o-1", "approval", "x" * 11)
    assert before == bench.get().history
    assert () == memory.mail("o-1")


def test_a_result_that_an_operator_gives_must_be_storable(way: str, memory: Store) -> None:
    """`resolve(result=)` tells type and path, and writes nothing."""
    bench, _ = bench_of(memory, way, {"b": ["lost"]}, a={}, b={})
    bench.run()
    before = memory.history("o-1")
    with pytest.raises(PayloadError) as caught:
        bench.ask("resolve", "o-1", result={"no": {"JSON"}}, reason="seen")
    assert (
        "result of step 'b' of instance 'o-1' at $.no: set is no JSON value (annotate its type, or return plain JSON)"
    ) == str(caught.value)
    assert before == memory.history("o-1")


# Any result -----------------------------------------------------------------------------------------------------------

storable = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


unstorable = st.recursive(
    st.sampled_from([object(), {1, 2}, b"x", {1: 2}, float("nan"), "\ud800", 1 << 14_001, deep(201), ..., "x" * 999]),
    lambda inner: st.tuples(storable, inner).map(list) | inner.map(lambda value: {"in": value}),
    max_leaves=3,
)
results: dict[str, Any] = {
    "result": st.tuples(st.just(True), storable) | st.tuples(st.just(False), unstorable),
    "nested": st.booleans(),
}


def check_result(result: tuple[bool, Any], nested: bool) -> None:
    is_storable, value = result
    service, outer, live = Service(), Saga("outer"), []
    saga = saga_of(service, a={})
    saga.add_step(
        "b", lambda: service.calls.append("b") or value, lambda result: live.append(result is value), retry=STEADY
    )
    outer.add_saga("pay", saga)
    with Orchestrator("memory://", max_payload=900) as orchestrator:
        instance = orchestrator.run(outer if nested else saga, None, id="o-1")
        found = orchestrator.get("o-1/pay" if nested else "o-1")
    if is_storable:
        assert ("completed", value) == (instance.state, found.results.get("b"))
        assert ["a 1", "b"] == service.calls
    else:
        assert instance.compensated, "what cannot be stored is stored as something else"
        assert ["a 1", "b", "undo a 1 of a!"] == service.calls
        assert [True] == live, "the compensation is not given the live result"


@quick(40)
@given(**results)
def test_any_result_is_stored_as_it_is_or_compensated(result: tuple[bool, Any], nested: bool) -> None:
    """Any value: stored and read back equal, or else compensated with the very object; never called again."""
    check_result(result, nested)


def test_a_lenient_encoder_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: a value without a JSON form is stored as its `repr`."""
    lenient = lambda value, *_, **__: json.dumps(value, default=repr, skipkeys=True)  # noqa: E731
    monkeypatch.setattr(replies, "encode", lenient)
    assert "stored as something else" in expect_breach(check_result, **results)
