"""A state that persists knows what had happened when it came about, and nothing that came later."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sagafsm.core.context import Context
from sagafsm.saga import Saga
from sagafsm.verify import verify


class Hotels:
    def __init__(self) -> None:
        self.rooms: dict[str, str] = {}
        self.meals: dict[str, str] = {}

    def book(self, key: str) -> None:
        self.rooms[key] = "a room"

    def add_breakfast(self, key: str) -> None:
        self.meals[key] = "breakfast"

    def cancel(self, key: str) -> None:
        self.rooms.pop(key, None)
        self.meals.pop(key, None)


class World:
    def __init__(self) -> None:
        self.hotels = Hotels()

    def resources(self) -> dict[str, Any]:
        return {"hotels": self.hotels}

    def snapshot(self) -> Any:
        return {"rooms": self.hotels.rooms, "meals": self.hotels.meals}


def test_a_crash_between_two_calls_is_half_done_for_whoever_looks() -> None:
    """With any number of crashes too, an action that died before its last call is not taken to be done."""
    trip = Saga("trip", resources=["hotels"])

    @trip.step
    def hotel(hotels: Hotels, ctx: Context) -> None:
        hotels.book(ctx.idempotency_key)
        hotels.add_breakfast(ctx.idempotency_key)

    @hotel.compensation
    def cancel_hotel(hotels: Hotels, ctx: Context) -> None:
        hotels.cancel(ctx.action_key)

    report = verify(trip, world=World, depth=1, budget=timedelta(seconds=60))

    assert report.bounds.fixpoint
    assert [] == [finding.kind for finding in report.errors if finding.kind == "differs"]
