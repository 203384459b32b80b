"""Without a world a ledger counts what was done and undone, by key, and the report says what it cannot see."""

from __future__ import annotations

from typing import Any

import pytest

from sagafsm import PermanentFailure, Saga
from sagafsm.verify import verify
from support.verifying import kinds

CALLS: list[str] = []


def do(ctx: Any) -> str:
    CALLS.append(f"do {ctx.step}")
    return ctx.step


def take_back(ctx: Any) -> None:
    CALLS.append(f"undo {ctx.step}")


def ledgered(**options: Any) -> Saga:
    saga = Saga("ledgered")
    saga.add_step("one", do, take_back, in_doubt="compensate")
    saga.add_step("two", do, **{"compensation": take_back, "in_doubt": "compensate", **options})
    return saga


def test_a_saga_without_a_world_is_verified() -> None:
    """And the report says what that cannot tell; the functions were really called."""
    seen: list[int] = []
    report = verify(ledgered(), depth=1, progress=lambda *_: seen.append(len(CALLS)))

    assert report.ok, str(report)
    assert "what calls within a step do" in report.bounds.not_covered
    told = (
        "without a world the steps' functions were really called, and a ledger counted what was done and undone; it "
        "cannot see what an undo really undoes, nor two effects of one action"
    )
    assert (told,) == report.notes
    assert max(seen) > 0
    assert [] == CALLS  # what the process keeps in memory is put back
    assert "verify(ledgered)" == report.call


def test_a_step_that_is_not_undone_is_found() -> None:
    saga = Saga("ledgered")
    saga.add_step("one", do)
    saga.add_step("two", do, take_back, in_doubt="compensate")

    assert ("left_behind", "one") in kinds(verify(saga, depth=1))


def test_a_step_without_effect_counts_for_nothing() -> None:
    saga = Saga("ledgered")
    saga.add_step("look", do, effect=False)
    saga.add_step("one", do, take_back, in_doubt="compensate")

    assert verify(saga, depth=1).ok


@pytest.mark.parametrize("in_doubt", ["retry", "compensate", "ask"])
def test_a_step_done_twice_under_one_key_is_done_once(in_doubt: Any) -> None:
    """Services are taken for honest ones."""
    assert verify(ledgered(in_doubt=in_doubt), depth=1).ok


def test_a_compensation_that_fails_for_good_is_found() -> None:
    def refuse(ctx: Any) -> None:
        raise PermanentFailure("no")

    assert ("stuck", "two") in kinds(verify(ledgered(compensation=refuse), depth=1))


def test_a_nested_saga_is_counted_by_its_path() -> None:
    inner = Saga("inner")
    inner.add_step("deep", do)
    saga = Saga("ledgered")
    saga.add_saga("trip", inner)
    saga.add_step("two", do, take_back, in_doubt="compensate")
    report = verify(saga, depth=1)

    assert ("left_behind", "trip/deep") in kinds(report)
