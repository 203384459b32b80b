"""The decisions table: every row and column, allowed and refused, with the whole message."""

from __future__ import annotations

import getpass
from typing import Any

import attrs
import pytest

from sagafsm import IllegalTransition, OutcomeUnknown, Saga
from sagafsm.history.events import CancelRequested, DecisionMade
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.mortality import die
from support.services import Service, saga_of

Given = tuple[str, dict[str, Any]]
ASKED: dict[str, Given] = {
    "retry": ("retry", {}),
    "resolve(result)": ("resolve", {"result": "told", "reason": "seen"}),
    "resolve(not_done)": ("resolve", {"not_done": True, "reason": "seen"}),
    "resolve(undone)": ("resolve", {"undone": True, "reason": "seen"}),
    "compensate": ("compensate", {}),
    "skip": ("skip", {"reason": "enough"}),
    "abandon": ("abandon", {"reason": "enough"}),
}
PIVOT: dict[str, dict[str, Any]] = {"a": {}, "b": {"pivot": True}, "c": {"undo": False}}
PLAIN: dict[str, dict[str, Any]] = {"a": {}, "b": {}}


@attrs.frozen
class Block:
    """A row of the table: how an instance comes to be blocked so, and what each decision leads to."""

    name: str
    steps: dict[str, dict[str, Any]]
    script: dict[str, list[Any]]
    state: str
    reason: str
    outcomes: dict[str, tuple[str, list[str]]]
    cancelled: bool = False
    deaths: bool = False


A_BACK = ["undo a 1 of a!"]
TABLE = [
    Block("in doubt", PLAIN, {"b": ["lost"]}, "running:b", "in_doubt", {
        "retry": ("completed", ["b 2 in doubt"]),
        "resolve(result)": ("completed", []),
        "resolve(not_done)": ("failed", A_BACK),
        "compensate": ("failed", ["undo b 1 of None in doubt", *A_BACK]),
        "abandon": ("failed", []),
    }),
    Block("crash loop", {"a": {}, "b": {"in_doubt": "retry"}}, {}, "running:b", "crash_loop", {
        "retry": ("completed", ["b 6 in doubt"]),
        "resolve(result)": ("completed", []),
        "resolve(not_done)": ("failed", A_BACK),
        "compensate": ("failed", ["undo b 1 of None in doubt", *A_BACK]),
        "abandon": ("failed", []),
    }, deaths=True),
    Block("in doubt on the pivot", PIVOT, {"b": ["lost"]}, "running:b", "in_doubt", {
        "retry": ("completed", ["b 2 in doubt", "c 1"]),
        "resolve(result)": ("completed", ["c 1"]),
        "resolve(not_done)": ("failed", A_BACK),
        "abandon": ("failed", []),
    }),
    Block("in doubt behind the pivot", PIVOT, {"c": ["lost"]}, "running:c", "in_doubt", {
        "retry": ("completed", ["c 2 in doubt"]),
        "resolve(result)": ("completed", []),
        "resolve(not_done)": ("running:c", []),
        "abandon": ("failed", []),
    }),
    Block("in doubt, cause recorded", PLAIN, {"b": ["cancel, lost"]}, "running:b", "in_doubt", {
        "resolve(result)": ("failed", ["undo b 1 of told", *A_BACK]),
        "resolve(not_done)": ("failed", A_BACK),
        "compensate": ("failed", ["undo b 1 of None in doubt", *A_BACK]),
        "skip": ("failed", A_BACK),
        "abandon": ("failed", []),
    }),
    Block("in doubt, cause recorded, no compensation", {"a": {}, "b": {"undo": False}}, {"b": ["cancel, lost"]},
          "running:b", "in_doubt", {
        "resolve(result)": ("failed", A_BACK),
        "resolve(not_done)": ("failed", A_BACK),
        "skip": ("failed", A_BACK),
        "abandon": ("failed", []),
    }),
    Block("exhausted", PIVOT, {"c": ["fail"]}, "running:c", "exhausted", {
        "retry": ("completed", ["c 2"]),
        "resolve(result)": ("completed", []),
        "abandon": ("failed", []),
    }),
    Block("payload", PIVOT, {"c": ["set"]}, "running:c", "payload", {
        "resolve(result)": ("completed", []),
        "abandon": ("failed", []),
    }),
    Block("compensation failed", PLAIN, {"b": ["fail"], "undo a": ["permanent"]}, "compensating:a", "compensation_failed", {
        "retry": ("failed", ["undo a 2 of a!"]),
        "resolve(undone)": ("failed", []),
        "skip": ("failed", []),
        "abandon": ("failed", []),
    }),
]  # fmt: skip


@attrs.frozen
class Receipt:
    id: str


def blocked(block: Block, way: str, store: Store, *, nested: bool = False) -> tuple[Bench, Service]:
    """Run the saga of this row until it blocks, alone or as the nested saga `pay`."""

    def cancel_and_lose() -> None:
        store.post("o-1", CancelRequested(request_id="r-1", by="me", reason="no"))
        raise OutcomeUnknown("no answer")

    script = {
        call: [cancel_and_lose if told == "cancel, lost" else told for told in plan]
        for call, plan in block.script.items()
    }
    service = Service(script={"b": ["die before"] * 5} if block.deaths else script)
    saga = saga_of(service, is_async=is_async(way), **block.steps)
    if nested:
        child, saga = saga, Saga("parent")
        saga.add_saga("pay", child)
    bench = Bench(store, saga, way)
    if block.deaths:
        die(bench, service, "", "run", saga, "mug", id="o-1")
        for _ in range(4):
            die(bench, service, "", "recover")
        bench.ask("recover")
    else:
        bench.run()
    service.calls.clear()
    found = [(one.step, one.reason) for one in bench.get().blocked]
    step = block.state.partition(":")[2]
    assert [(f"pay/{step}" if nested else step, block.reason)] == found
    assert ("running:pay" if nested else block.state) == bench.get().state
    return bench, service


# A nested saga has no pivot.
PLACES = [(block, nested) for block in TABLE for nested in (False, True) if not (nested and block.steps is PIVOT)]


@pytest.mark.parametrize(("block", "nested"), PLACES, ids=lambda value: getattr(value, "name", value))
def test_what_the_table_allows(block: Block, nested: bool, way: str, memory: Store) -> None:
    """The block offers the decisions of its row, in that order."""
    bench, _ = blocked(block, way, memory, nested=nested)
    assert tuple(block.outcomes) == bench.get().blocked[0].decisions


CASES = [(block, nested, decision) for block, nested in PLACES for decision in ASKED]


@pytest.mark.parametrize(("block", "nested", "decision"), CASES, ids=lambda value: getattr(value, "name", value))
def test_every_decision_of_the_table(block: Block, nested: bool, decision: str, way: str, memory: Store) -> None:
    """Each cell of the table: its calls, its state and its record, or a refusal that changes nothing."""
    bench, service = blocked(block, way, memory, nested=nested)
    before = memory.history("o-1")
    operation, given = ASKED[decision]
    if decision not in block.outcomes:
        with pytest.raises(IllegalTransition) as caught:
            bench.ask(operation, "o-1", **given)
        allowed = ", ".join(block.outcomes)
        assert (
            f"instance 'o-1' is {bench.get().state} ({block.reason}), which does not allow {decision!r} (allowed: {allowed})"
        ) == str(caught.value)
        assert before == memory.history("o-1")
        assert [] == service.calls
        return

    state, calls = block.outcomes[decision]
    instance = bench.ask(operation, "o-1", by="me", **given)
    assert (state, calls) == (instance.state, service.calls)
    made = next(event for event in instance.history[len(before) :] if isinstance(event, DecisionMade))
    assert (decision, "me", given.get("reason")) == (made.decision, made.by, made.reason)
    if nested and decision != "abandon":
        below = next(event for event in memory.history("o-1/pay") if isinstance(event, DecisionMade))
        assert made.step == f"pay/{below.step}"
        assert (decision, "me", made.reason) == (below.decision, below.by, below.reason)
        assert (made.result_json, f"\x1fo-1#{made.number}") == (below.result_json, below.request_id)
        assert () == memory.mail("o-1/pay")
    service.check_keys()
    assert instance == bench.get()
    assert bench.get().state != "failed" or instance.cause is not None or decision == "abandon"


RESIDUE: list[tuple[str, str, list[tuple[Any, ...]]]] = [
    ("in doubt", "compensate", []),
    ("in doubt", "abandon", [("a", "abandoned", "a!"), ("b", "in_doubt", None)]),
    ("in doubt, cause recorded", "skip", [("b", "skipped", None)]),
    ("in doubt, cause recorded", "resolve(not_done)", []),
    ("in doubt, cause recorded, no compensation", "skip", [("b", "skipped", None)]),
    ("in doubt, cause recorded, no compensation", "resolve(result)", [("b", "no_compensation", "told")]),
    (
        "payload",
        "abandon",
        [("a", "abandoned", "a!"), ("b", "no_compensation", "b!"), ("c", "no_compensation", None)],
    ),
    ("compensation failed", "skip", [("a", "skipped", "a!")]),
    ("compensation failed", "abandon", [("a", "abandoned", "a!")]),
    ("compensation failed", "resolve(undone)", []),
    ("compensation failed", "retry", []),
]


@pytest.mark.parametrize(
    ("block", "decision", "residue", "nested"),
    [(*row, nested) for row in RESIDUE for nested in (False, True) if not (nested and row[0] == "payload")],
)
def test_what_remains_after_a_decision(
    block: str, decision: str, residue: list[tuple[Any, ...]], nested: bool, way: str, memory: Store
) -> None:
    """No remaining effect hides behind a green word. An effect that an operator undid by hand does not remain."""
    bench, _ = blocked(next(one for one in TABLE if one.name == block), way, memory, nested=nested)
    residue = [(f"pay/{step}" if nested else step, *why) for step, *why in residue]
    operation, given = ASKED[decision]
    instance = bench.ask(operation, "o-1", **given)
    assert residue == [(one.step, one.reason, one.result) for one in instance.residue]
    assert (not residue) is instance.compensated


def test_the_reason_and_the_login_name_are_recorded(way: str, memory: Store) -> None:
    """Each decision is an event with `by` (default: the login name) and `reason`."""
    bench, _ = blocked(TABLE[0], way, memory)
    made = next(e for e in bench.ask("retry", "o-1", reason="try").history if isinstance(e, DecisionMade))
    assert (getpass.getuser(), "try") == (made.by, made.reason)


@pytest.mark.parametrize("decision", ASKED)
@pytest.mark.parametrize("state", ["pending", "completed", "failed"])
def test_decisions_of_what_is_not_blocked_are_refused(decision: str, state: str, way: str, memory: Store) -> None:
    """Decisions table: only a blocked instance is decided on; `abandon` wherever it is not at rest."""
    service = Service(script={"a": ["fail"]} if state == "failed" else {})
    bench = Bench(memory, saga_of(service, is_async=is_async(way), **PLAIN), way)
    if state == "pending":
        bench.ask("start", bench.saga, 1, id="o-1")
    else:
        bench.run()
    operation, given = ASKED[decision]
    if (decision, state) == ("abandon", "pending"):
        assert "failed" == bench.ask(operation, "o-1", **given).state
        return
    if (decision, state) == ("compensate", "completed"):
        return
    with pytest.raises(IllegalTransition) as caught:
        bench.ask(operation, "o-1", **given)
    allowed = {"pending": "resume, cancel, abandon", "completed": "compensate"}.get(state, "nothing")
    assert f"instance 'o-1' is {state}, which does not allow {decision!r} (allowed: {allowed})" == str(caught.value)


def test_a_decision_on_another_step_is_refused(way: str, memory: Store) -> None:
    """`step=` names the blocked step, or the message says what is allowed."""
    bench, _ = blocked(TABLE[0], way, memory)
    with pytest.raises(IllegalTransition) as caught:
        bench.ask("retry", "o-1", step="a")
    assert (
        "instance 'o-1' is running:b, which does not allow 'retry of step a' (allowed: resume, cancel, retry, "
        "resolve(result), resolve(not_done), compensate, abandon)"
    ) == str(caught.value)
    assert "completed" == bench.ask("retry", "o-1", step="b").state


@pytest.mark.parametrize(("given", "count"), [({}, 0), ({"result": 1, "undone": True}, 2)])
def test_resolve_takes_exactly_one_truth(given: dict[str, Any], count: int, way: str, memory: Store) -> None:
    """`resolve` without, or with two: TypeError."""
    bench, _ = blocked(TABLE[0], way, memory)
    with pytest.raises(TypeError) as caught:
        bench.ask("resolve", "o-1", reason="seen", **given)
    told = f"resolve takes exactly one of result=, not_done=True, undone=True, not {count} of them"
    assert told == str(caught.value)


@pytest.mark.parametrize("decision", ["retry", "resolve(result)", "resolve(not_done)", "compensate", "abandon"])
def test_a_decision_after_a_process_death_needs_no_resume(decision: str, way: str, store: Store) -> None:
    """What follows from the death is recorded with the decision, in its commit."""
    service = Service()
    saga = saga_of(service, is_async=is_async(way), **PLAIN)
    bench = Bench(store, saga, way)
    die(bench, service, "before 3", "run", saga, "mug", id="o-1")
    operation, given = ASKED[decision]
    expected = TABLE[0].outcomes[decision]
    instance = bench.ask(operation, "o-1", **given)
    assert expected == (instance.state, service.calls)
    if decision != "abandon":
        assert ["StepInDoubt b 1 process_died", "InstanceBlocked b in_doubt"] == lines(instance.history)[4:6]
        assert lines(instance.history)[6].startswith(f"DecisionMade {decision} b")


def test_a_result_told_after_a_process_death_is_stored_by_its_annotation(way: str, memory: Store) -> None:
    """`resolve(result=)` goes by the step's own annotation, blocked already or not."""

    def pay() -> Receipt:
        raise KeyboardInterrupt

    seen: list[Any] = []
    saga = Saga("order")
    saga.add_step("a", pay)
    saga.add_step("b", lambda a: seen.extend([a]))
    bench = Bench(memory, saga, "sync")
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    bench.way = way
    assert "completed" == bench.ask("resolve", "o-1", result=Receipt("r-7"), reason="seen").state
    assert [Receipt("r-7")] == seen
