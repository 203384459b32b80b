"""Inputs and worlds may come from Hypothesis strategies, and are the same ones each time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from sagafsm.core.context import Context
from sagafsm.saga import Saga
from sagafsm.verify import verify


class Shelf:
    def __init__(self) -> None:
        self.held: dict[str, int] = {}

    def hold(self, key: str, quantity: int) -> None:
        self.held[key] = quantity

    def free(self, key: str) -> None:
        self.held.pop(key, None)


class World:
    def __init__(self) -> None:
        self.shelf = Shelf()

    def resources(self) -> dict[str, Any]:
        return {"shelf": self.shelf}

    def snapshot(self) -> Any:
        return dict(self.shelf.held)


def test_inputs_and_worlds_are_drawn_from_strategies() -> None:
    order = Saga("order", resources=["shelf"])

    @order.step(in_doubt="compensate")
    def reserve(input: dict[str, int], shelf: Shelf, ctx: Context) -> None:
        shelf.hold(ctx.idempotency_key, input["quantity"])

    @reserve.compensation
    def release(shelf: Shelf, ctx: Context) -> None:
        shelf.free(ctx.action_key)

    inputs = st.fixed_dictionaries({"quantity": st.integers(1, 9)})
    reports = [
        verify(order, world=st.builds(World), inputs=inputs, depth=1, budget=timedelta(seconds=60)) for _ in range(2)
    ]

    assert reports[0].ok, str(reports[0])
    assert reports[0].bounds.inputs > 1
    assert reports[0].to_json() == reports[1].to_json()
