"""Laws 7 and 10: a cancel is a request, which the pivot makes wait; and the deadline, which is a cancel by the clock."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm import IllegalTransition
from sagafsm.store import Store
from support.bench import Bench, is_async
from support.services import STEADY, Service, saga_of

PIVOT: dict[str, dict[str, Any]] = {"a": {}, "b": {"pivot": True}, "c": {"undo": False}}


def bench_of(
    store: Any, way: str, /, script: dict[str, list[Any]] | None = None, **steps: Any
) -> tuple[Bench, Service]:
    service = Service(script=script or {})
    return Bench(store, saga_of(service, is_async=is_async(way), **steps), way), service


# The pivot ------------------------------------------------------------------------------------------------------------


def test_after_the_pivot_a_cancel_is_refused(way: str, memory: Store) -> None:
    """Law 7: a cancel after its success is `IllegalTransition`."""
    bench, _ = bench_of(memory, way, {"c": ["lost"]}, **PIVOT)
    bench.run()
    with pytest.raises(IllegalTransition) as caught:
        bench.ask("cancel", "o-1", reason="no")
    assert (
        "instance 'o-1' is running:c, which does not allow 'cancel' "
        "(allowed: resume, retry, resolve(result), resolve(not_done), abandon)"
    ) == str(caught.value)
    assert () == memory.mail("o-1")


def test_behind_the_pivot_exhaustion_blocks(way: str, memory: Store) -> None:
    """Law 7: after the pivot steps are retried by their own policy, and exhaustion blocks; nothing is undone."""
    steps = {**PIVOT, "c": {"undo": False, "retry": STEADY}}
    bench, service = bench_of(memory, way, {"c": ["fail"] * 3}, **steps)
    instance = bench.run()
    assert ["c 1", "c 2", "c 3"] == service.calls[2:]
    assert [("c", "exhausted", ("retry", "resolve(result)", "abandon"))] == [
        (b.step, b.reason, b.decisions) for b in instance.blocked
    ]
    assert instance.cause is None
    assert () == instance.residue
    assert "completed" == bench.ask("retry", "o-1").state


def test_not_done_behind_the_pivot_is_exhausted(way: str, memory: Store) -> None:
    """Decisions table: resolve(not_done) goes back; behind the pivot: `exhausted`."""
    bench, _ = bench_of(memory, way, {"c": ["lost"]}, **PIVOT)
    bench.run()
    instance = bench.ask("resolve", "o-1", not_done=True, reason="seen")
    assert ["exhausted"] == [block.reason for block in instance.blocked]
    assert "running:c" == instance.state


# The deadline ---------------------------------------------------------------------------------------------------------
