"""What would help is what would help: advice is told by the run that shows the mistake."""

from __future__ import annotations

from typing import Any

from sagafsm.core.context import Context
from sagafsm.saga import Saga
from sagafsm.verify import verify


class Hotels:
    def __init__(self) -> None:
        self.rooms: dict[str, str] = {}

    def book(self, key: str) -> None:
        self.rooms[key] = "a room"

    def thank(self) -> None: ...

    def cancel(self, key: str) -> None:
        self.rooms.pop(key, None)


class World:
    def __init__(self) -> None:
        self.hotels = Hotels()

    def resources(self) -> dict[str, Any]:
        return {"hotels": self.hotels}

    def snapshot(self) -> Any:
        return self.hotels.rooms


def test_a_step_that_fails_half_way_is_two_steps() -> None:
    """Its second call is refused, so it has failed, and no compensation of it is called: a better one would not help."""
    trip = Saga("trip", resources=["hotels"])

    @trip.step
    def hotel(hotels: Hotels, ctx: Context) -> None:
        hotels.book(ctx.idempotency_key)
        hotels.thank()

    @hotel.compensation
    def cancel_hotel(hotels: Hotels, ctx: Context) -> None:
        hotels.cancel(ctx.action_key)

    report = verify(trip, world=World, schedule="hotel.action/hotels.thank#1=raise_before")

    assert [("left_behind", "hotel")] == [(finding.kind, finding.step) for finding in report.errors]
    told = "Make two steps of 'hotel', or have it raise OutcomeUnknown once a part of it has taken effect."
    assert told == report.errors[0].advice
