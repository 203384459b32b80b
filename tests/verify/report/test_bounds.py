"""What a report says was tried was tried, for every input; what was not makes it no good word."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import attrs

from sagafsm.core.context import Context
from sagafsm.saga import Saga
from sagafsm.verify import Report, verify

INPUTS = [{"more": False}, {"more": True}]


class Shelf:
    def __init__(self) -> None:
        self.held: dict[str, bool] = {}

    def hold(self, key: str) -> None:
        self.held[key] = True

    def free(self, key: str) -> None:
        self.held.pop(key, None)


class World:
    def __init__(self) -> None:
        self.shelf = Shelf()

    def resources(self) -> dict[str, Any]:
        return {"shelf": self.shelf}

    def snapshot(self) -> Any:
        return dict(self.shelf.held)


@attrs.frozen
class Order:
    more: bool


def order(**options: Any) -> Saga:
    saga = Saga("order", resources=["shelf"], in_doubt="compensate", **options)

    @saga.step
    def reserve(input: Any, shelf: Shelf, ctx: Context) -> None:
        shelf.hold(ctx.idempotency_key)
        if input == INPUTS[1]:
            shelf.hold(f"{ctx.idempotency_key}-2")

    @reserve.compensation
    def release(shelf: Shelf, ctx: Context) -> None:
        shelf.free(ctx.action_key or "")
        shelf.free(f"{ctx.action_key}-2")

    return saga


def verified(saga: Saga, world: Any = World, **options: Any) -> Report:
    return verify(saga, world=world, **{"depth": 1, "budget": timedelta(seconds=60), **options})


def test_a_budget_that_is_too_small_for_single_faults_is_no_good_word() -> None:
    report = verified(order(), budget=timedelta(microseconds=1))

    assert not report.ok
    assert report.is_vacuous
    assert "single faults were not tried for lack of time" in str(report)


def test_any_number_of_crashes_is_said_of_every_input() -> None:
    states = [verified(order(), inputs=[value]).bounds.states for value in INPUTS]

    both = verified(order(), inputs=INPUTS)
    assert both.bounds.fixpoint
    assert sum(number or 0 for number in states) == both.bounds.states


def test_inputs_that_are_refused_are_not_counted() -> None:
    saga = Saga("order", resources=["shelf"], input=Order)
    saga.add_step("reserve", lambda shelf: shelf.hold("a"), pivot=True)

    report = verified(saga, inputs=[Order(more=True), "nothing", Order(more="perhaps")])  # type: ignore[arg-type]

    assert 1 == report.bounds.inputs
    assert [1, 2] == [finding.input for finding in report.findings if finding.kind == "refused_input"]


def test_a_point_of_one_input_is_replayed() -> None:
    """The other does not come by it, and need not."""
    report = verified(order(), inputs=INPUTS, schedule="reserve.action/shelf.hold#2=crash_after")

    assert report.ok, str(report)


def test_a_fault_that_gives_way_to_another_is_told() -> None:
    point = "reserve.action/shelf.hold#1"
    report = verified(order(), schedule=f"{point}=raise_after; {point}=crash")

    assert ["unfired"] == [finding.kind for finding in report.errors]


def test_a_world_that_keeps_its_state_elsewhere_is_told() -> None:
    class Kept(World):
        held: ClassVar[dict[str, bool]] = {}

        def __init__(self) -> None:
            super().__init__()
            self.shelf.held = self.held

    report = verified(order(), Kept)

    assert ["not_deterministic"] == [finding.kind for finding in report.errors]
    assert "a new world is not as the first one was (reserve-" in report.errors[0].message


def test_a_wait_that_runs_out_is_told_how_to_go_on() -> None:
    saga = order()
    saga.wait_for("approval", timeout=timedelta(days=1))

    report = verified(saga)

    assert "Pass signals={'approval': ...} to verify" in str(report)
