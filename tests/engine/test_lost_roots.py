"""A worker that has lost the root creates nothing nested in it: what it begins there nobody would undo."""

from __future__ import annotations

from typing import Any

from sagafsm import Saga
from sagafsm.verify import verify

TAKEN = "kid.commit/InstanceCreated#1=duplicate"


class Shelf:
    def __init__(self) -> None:
        self.held: dict[str, int] = {}

    def hold(self, key: str) -> None:
        self.held[key] = 1

    def free(self, key: str) -> None:
        self.held.pop(key, None)


class Town:
    def __init__(self) -> None:
        self.shelf = Shelf()

    def resources(self) -> dict[str, Any]:
        return {"shelf": self.shelf}

    def snapshot(self) -> Any:
        return dict(self.shelf.held)


def add(saga: Saga, name: str, **options: Any) -> None:
    hold = lambda shelf, ctx: shelf.hold(ctx.idempotency_key)  # noqa: E731
    free = lambda shelf, ctx: shelf.free(ctx.action_key)  # noqa: E731
    saga.add_step(name, hold, free, in_doubt="compensate", **options)


def test_a_worker_that_has_lost_the_root_creates_nothing_in_it() -> None:
    """Another worker takes the root over, finds that its nested saga never began, and ends it; then the first goes on."""
    child, parent = Saga("child", resources=["shelf"]), Saga("parent", resources=["shelf"])
    add(child, "p")
    add(child, "q")
    parent.add_saga("kid", child, group="g")
    add(parent, "m", group="g")

    report = verify(parent, Town, schedule=TAKEN)

    assert [] == [str(finding) for finding in report.errors]
