"""A shop that honours keys, an order over it that keeps every promise, and the same order with its faults."""

from __future__ import annotations

from typing import Any

import attrs

from sagafsm import Context, Saga


@attrs.define
class Shop:
    """A world: what is held, by key; a key that was freed is refused from then on."""

    held: dict[str, Any] = attrs.Factory(dict)
    freed: set[str] = attrs.Factory(set)

    def resources(self) -> dict[str, Any]:
        return {"shop": self}

    def snapshot(self) -> Any:
        return dict(self.held)

    def hold(self, key: str, what: Any) -> str:
        if key in self.freed:
            raise ValueError("freed")
        if what == "none left":
            raise ValueError("none left")
        self.held[key] = what
        return key

    def free(self, key: str) -> None:
        self.freed.add(key)
        self.held.pop(key, None)


def hold(input: Any, ctx: Context, shop: Shop) -> str:
    return shop.hold(ctx.idempotency_key, input)


def free(ctx: Context, shop: Shop) -> None:
    shop.free(ctx.action_key)


def forget(shop: Shop) -> None:
    """A compensation that does nothing."""


def order_of(name: str = "order", *, release: Any = free, **options: Any) -> Saga:
    """Reserve, then charge."""
    saga = Saga(name, resources=["shop"], in_doubt="compensate", **options)
    saga.add_step("reserve", hold, release)
    saga.add_step("charge", hold, free)
    return saga
