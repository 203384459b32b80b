"""The verifier finds and names every seeded mistake by the fewest faults possible, and accuses no correct saga.

The pieces were written from the specification, apart from the verifier.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from exams.gallery.catalogue import CORRECT, MISTAKES
from exams.gallery.entry import Entry
from sagafsm import Saga
from sagafsm.verify import Report, verify
from sagafsm.verify.report.report import Finding
from support.selection import rotating

BUDGET = timedelta(seconds=120)
# Mistakes that are none any more for somebody who compares copies.
HARMLESS = {"snapshot_is_alive"}
pytestmark = [pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited")]


def of(entries: Iterable[Entry]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", rotating(entries), ids=lambda entry: entry.name)


def verified(entry: Entry, depth: int | str) -> Report:
    options: dict[str, Any] = dict(entry.options)
    return verify(entry.saga, entry.world, inputs=list(entry.inputs), depth=depth, budget=BUDGET, **options)


def naming(entry: Entry, report: Report) -> list[Finding]:
    """The findings that name the mistake."""
    return [
        finding
        for finding in report.errors
        if finding.kind in entry.kinds and (not entry.steps or finding.step in entry.steps)
    ]


@of([entry for entry in MISTAKES if entry.name not in HARMLESS])
def test_every_mistake_is_found_and_named_by_the_fewest_faults(entry: Entry) -> None:
    single = verified(entry, 1)
    named = naming(entry, single)
    if not named:
        # No single fault shows it: all of them were tried.
        assert single.bounds.skipped == 0
        named = naming(entry, verified(entry, 2))
        assert min(finding.faults for finding in named) == 2
    assert named, str(single)
    assert min(finding.faults for finding in named) <= 2
    for finding in named:
        assert entry.saga.definition.saga in finding.message or finding.kind == "missing_resource"


@of(CORRECT)
def test_no_correct_saga_is_accused(entry: Entry) -> None:
    report = verified(entry, 1)
    assert report.ok, str(report)
    assert report.bounds.skipped == 0


@pytest.mark.long
@of(CORRECT)
def test_no_correct_saga_is_accused_of_pairs_nor_at_random(entry: Entry) -> None:
    report = verified(entry, "auto")
    assert report.ok, str(report)


def test_what_a_living_snapshot_would_hide_is_found() -> None:
    alive = next(entry for entry in MISTAKES if entry.name == "snapshot_is_alive")
    assert verified(alive, 1).ok

    class Bank:
        def __init__(self) -> None:
            self.amounts: dict[str, int] = {}

        def hold(self, key: str) -> str:
            self.amounts[key] = 1
            return key

    class Alive:
        def __init__(self) -> None:
            self.bank = Bank()

        def resources(self) -> dict[str, Any]:
            return {"bank": self.bank}

        def snapshot(self) -> Any:
            return self.bank.amounts

    keeps = Saga("keeps", resources=("bank",), in_doubt="ask")
    keeps.add_step("hold", lambda bank, ctx: bank.hold(ctx.idempotency_key))
    found = verify(keeps, Alive, depth=1).errors
    assert [("left_behind", "hold", 1)] == [(finding.kind, finding.step, finding.faults) for finding in found]
