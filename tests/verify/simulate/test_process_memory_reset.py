"""What a saga's functions name at the level of their module is lost with a process, and is there again afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sagafsm.core.context import Context
from sagafsm.saga import Saga
from sagafsm.verify import verify


class Client:
    def __init__(self) -> None:
        self.held: dict[str, bool] = {}


CLIENTS: dict[str, Any] = {"shelf": Client(), "seen": [{"old": 1}]}


class World:
    def __init__(self) -> None:
        self.held: dict[str, bool] = {}

    def hold(self, key: str) -> None:
        self.held[key] = True

    def free(self, key: str) -> None:
        self.held.pop(key, None)

    def resources(self) -> dict[str, Any]:
        return {"shelf": self}

    def snapshot(self) -> Any:
        return dict(self.held)


def test_a_registry_holds_the_same_objects_afterwards() -> None:
    order = Saga("order", resources=["shelf"], in_doubt="compensate")

    @order.step
    def reserve(shelf: World, ctx: Context) -> None:
        CLIENTS["seen"].append({"new": 1})
        CLIENTS["seen"][0]["older"] = 2
        CLIENTS["more"] = CLIENTS["shelf"]
        shelf.hold(ctx.idempotency_key)

    @reserve.compensation
    def release(shelf: World, ctx: Context) -> None:
        shelf.free(ctx.action_key or "")

    client, seen = CLIENTS["shelf"], CLIENTS["seen"]
    report = verify(order, world=World, depth=1, budget=timedelta(seconds=60))

    assert report.ok, str(report)
    assert client is CLIENTS["shelf"]
    assert seen is CLIENTS["seen"]
    assert {"shelf": client, "seen": [{"old": 1}]} == CLIENTS
