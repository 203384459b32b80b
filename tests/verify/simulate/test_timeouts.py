"""A call that timed out has perhaps not taken effect, and never will."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sagafsm.core.context import Context
from sagafsm.saga import Saga
from sagafsm.verify import verify


class Shelf:
    """Fenced: what was freed is not held any more, however late the call."""

    def __init__(self) -> None:
        self.held: dict[str, bool] = {}
        self.freed: set[str] = set()

    def hold(self, key: str) -> None:
        if key not in self.freed:
            self.held[key] = True

    def free(self, key: str) -> None:
        self.held.pop(key, None)
        self.freed.add(key)


class World:
    def __init__(self) -> None:
        self.shelf = Shelf()

    def resources(self) -> dict[str, Any]:
        return {"shelf": self.shelf}

    def snapshot(self) -> Any:
        return dict(self.shelf.held)


def test_a_timeout_that_is_taken_for_done_is_found() -> None:
    order = Saga("order", resources=["shelf"], in_doubt="compensate")

    @order.step
    def reserve(shelf: Shelf, ctx: Context) -> None:
        try:
            shelf.hold(ctx.idempotency_key)
        except TimeoutError:
            return

    @reserve.compensation
    def release(shelf: Shelf, ctx: Context) -> None:
        shelf.free(ctx.action_key or "")

    report = verify(order, world=World, depth=1, budget=timedelta(seconds=60))

    found = [(finding.kind, finding.step, finding.schedule) for finding in report.errors]
    assert [("differs", "reserve", "reserve.action/shelf.hold#1=late")] == found
    again = verify(order, world=World, schedule=found[0][2])
    assert found == [(finding.kind, finding.step, finding.schedule) for finding in again.errors]
