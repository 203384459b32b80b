"""Law 5: a compensation is called at least once and retried by its own budget; then the instance blocks.

- The first failure stays the cause; `errors` keeps later failures. Block reason: `compensation_failed`.
- A compensation is never compensated and never cancelled. The fifth process death in a row blocks too.

`PermanentFailure` from a compensation is in law 2, and a cancel during a compensation in law 10. A compensation that a
process death ends is called again under the same key: `test_crash_table.py`.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sagafsm import Orchestrator, Retry, Saga
from sagafsm.store import Store
from sagafsm_adapters.memory import MemoryStore
from support.clock import FakeClock
from support.controls import quick
from support.lived import inject
from support.mortality import die
from support.orders import bench_of, ran
from support.services import STEADY


def test_a_compensation_has_a_budget_of_its_own_then_blocks(way: str, store: Store) -> None:
    """While one compensation is blocked, no other step is undone. The first failure stays the cause."""
    script = {"c": ["fail"], "undo b": ["fail", "lost", "fail"]}
    bench, service, events = ran(store, way, script, a={}, b={"compensation_retry": STEADY}, c={})
    assert ["c 1", "undo b 1 of b!", "undo b 2 of b!", "undo b 3 of b!"] == service.calls[2:]
    assert [
        "CompensationFailed b 1 again",
        "CompensationStarted b 2",
        "CompensationFailed b 2 again",
        "CompensationStarted b 3",
        "CompensationFailed b 3",
        "InstanceBlocked b compensation_failed",
    ] == events[-6:]
    instance = bench.get()
    assert "compensating:b" == instance.state
    assert 20.0 == bench.clock.seconds
    assert "step 'c' failed: Refused: refused" == str(instance.cause)
    assert instance.errors[0] == instance.error
    assert ["support.services.Refused"] * 2 == [error.type for error in instance.errors]


def test_the_fifth_process_death_in_a_compensation_blocks(way: str, memory: Store) -> None:
    """A process death uses no attempt. After the fifth in a row, only an operator's retry calls it again."""
    bench, service = bench_of(memory, way, {"b": ["fail"], "undo a": ["die before"] * 5}, a={}, b={})
    called: list[str] = []
    die(bench, service, "", "run", bench.saga, "mug", id="o-1", calls=called)
    for _ in range(4):
        die(bench, service, "", "recover", calls=called)
    assert {} == bench.ask("recover").errors
    assert ["compensation_failed"] == [block.reason for block in bench.get().blocked]
    assert [f"undo a {n} of a!" for n in range(1, 6)] == called[2:]
    assert "failed" == bench.ask("retry", "o-1").state
    assert ["undo a 6 of a!"] == service.calls


def test_the_result_of_a_compensation_need_not_be_storable(memory: Store) -> None:
    """The result is not kept."""
    saga = Saga("order")
    saga.add_step("a", lambda: 1, lambda: {"not JSON"})
    saga.add_step("b", lambda: 1 / 0)
    with Orchestrator(memory, clock=FakeClock()) as orchestrator:
        assert orchestrator.run(saga, None).compensated


# Any answers ----------------------------------------------------------------------------------------------------------

ANSWERS = st.lists(st.sampled_from(["fail", "lost", "permanent", "ok"]), max_size=5)


def check_budget(answers: list[str], attempts: int) -> None:
    """Check that the calls end at the first success, at a permanent failure, or with the budget."""
    retry = Retry(attempts, backoff=STEADY.backoff, factor=1, jitter=False)
    script = {"b": ["fail"], "undo a": list(answers)}
    bench, service, _ = ran(MemoryStore(), "sync", script, a={"compensation_retry": retry}, b={})
    given = [*answers, *["ok"] * attempts][:attempts]
    last = next((n for n, answer in enumerate(given) if answer in ("ok", "permanent")), attempts - 1)
    assert [f"undo a {n} of a!" for n in range(1, last + 2)] == service.calls[2:]
    instance = bench.get()
    if given[last] == "ok":
        assert instance.compensated
    else:
        assert [("a", "compensation_failed")] == [block[:2] for block in instance.blocked]
    assert ("failure", "b") == (instance.cause.kind, instance.cause.step)


@quick(60)
@given(answers=ANSWERS, attempts=st.integers(1, 4))
@example(answers=["lost", "fail"], attempts=2)
def test_any_compensation_is_called_until_it_succeeds_or_its_budget_ends(answers: list[str], attempts: int) -> None:
    """A lost answer of a compensation is a failure like any other: the compensation is called again."""
    check_budget(answers, attempts)


# Positive controls ----------------------------------------------------------------------------------------------------


def test_a_budget_that_is_ignored_is_noticed(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core retries without end."""
    inject(monkeypatch, "the_budget_is_ignored")
    with pytest.raises(AssertionError):
        test_a_compensation_has_a_budget_of_its_own_then_blocks("sync", memory)
    with pytest.raises(AssertionError):
        check_budget(["lost", "fail"], 2)


def test_a_crash_loop_that_goes_on_is_noticed(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core counts up to nine process deaths."""
    inject(monkeypatch, "a_crash_loop_goes_on")
    with pytest.raises(AssertionError):
        test_the_fifth_process_death_in_a_compensation_blocks("sync", memory)
