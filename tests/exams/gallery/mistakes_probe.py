"""Probes that say what is not so, and effects that land once everybody has stopped waiting for them."""

from __future__ import annotations

from typing import Any

from exams.gallery.entry import Entry, entries
from exams.gallery.parts import MUG, add_reserve, add_ship
from exams.gallery.services import Records, shop
from sagafsm import NOT_DONE, Done, Saga

Other = {"customer": "ann", "city": "Oslo"}
Shop = shop(hotels=lambda: Records.of(Other))


def _piece(name: str, mistake: str, kinds: set[str], *, probe: Any, cancel: Any = None, **more: Any) -> Entry:
    """A trip whose hotel is keyed and whose cancellation is right, unless another is given."""
    saga = Saga(name, resources=("stock", "carrier", "hotels"))
    add_reserve(saga)

    def hotel(input, hotels, ctx):
        return hotels.put(ctx.idempotency_key, attempt=ctx.attempt, customer=input["customer"], city=input["city"])

    def withdraw(hotels, ctx):
        hotels.withdraw(ctx.action_key)

    saga.add_step("hotel", hotel, cancel or withdraw, probe=probe)
    add_ship(saga)
    return Entry(name=name, saga=saga, world=Shop, inputs=(MUG,), mistake=mistake, kinds=kinds, steps={"hotel"}, **more)


def probe_always_says_done() -> Entry:
    def is_booked(hotels, ctx):
        return Done(hotels.find(ctx.action_key) or {"id": None})

    mistake = "the probe says Done also when nothing is found"
    return _piece("probe_always_says_done", mistake, {"differs"}, probe=is_booked)


def probe_looks_in_the_wrong_place() -> Entry:
    def is_booked(hotels, ctx):
        found = hotels.find(ctx.idempotency_key.upper())
        return NOT_DONE if found is None else Done(found)

    mistake = "the probe asks by an id that the hotel never got, and says NOT_DONE of a booking that is there"
    return _piece("probe_looks_in_the_wrong_place", mistake, {"left_behind", "late"}, probe=is_booked)


def probe_asks_by_customer() -> Entry:
    def is_booked(input, hotels):
        found = hotels.where(customer=input["customer"])
        return Done(found[0]) if found else NOT_DONE

    def cancel(result, hotels, ctx):
        if result is None:
            hotels.withdraw(ctx.action_key)
        else:
            hotels.discard(result["id"])

    mistake = "the probe finds another booking of the same customer"
    kinds = {"differs", "left_behind", "late"}
    return _piece("probe_asks_by_customer", mistake, kinds, probe=is_booked, cancel=cancel)


def probe_gives_another_shape() -> Entry:
    def is_booked(hotels, ctx):
        found = hotels.find(ctx.action_key, shutting=ctx.attempt)
        return NOT_DONE if found is None else Done(found["id"])

    def cancel(result, hotels, ctx):
        if result is None:
            hotels.withdraw(ctx.action_key)
        else:
            hotels.discard(result["id"])

    mistake = "the probe gives the id alone, while the compensation reads a booking"
    return _piece("probe_gives_another_shape", mistake, {"stuck", "left_behind"}, probe=is_booked, cancel=cancel)


def probe_says_not_done_of_a_part() -> Entry:
    def is_booked(hotels, ctx):
        # "Found, but the voucher is not printed yet": not done in the sense of the business.
        found = hotels.find(ctx.action_key, shutting=ctx.attempt)
        return Done(found) if found is not None and found.get("voucher") else NOT_DONE

    mistake = "a booking without a voucher counts as not done, though the room is taken"
    return _piece("probe_says_not_done_of_a_part", mistake, {"left_behind"}, probe=is_booked)


def _late(name: str, mistake: str, **policy: Any) -> Entry:
    saga = Saga(name, resources=("stock", "carrier", "hotels"))
    add_reserve(saga)

    def hotel(input, hotels, ctx):
        return hotels.put_unfenced(ctx.idempotency_key, customer=input["customer"], city=input["city"])

    def forget(hotels, ctx):
        hotels.forget(ctx.action_key)

    saga.add_step("hotel", hotel, forget, **policy)
    add_ship(saga)
    return Entry(
        name=name,
        saga=saga,
        world=Shop,
        inputs=(MUG,),
        mistake=mistake,
        kinds={"late", "late_do", "left_behind"},
        steps={"hotel"},
        options={"faults": "strict"},
    )


def lands_after_its_undo() -> Entry:
    mistake = "the hotel forgets a withdrawn key, so that a booking that lands late stays"
    return _late("lands_after_its_undo", mistake, in_doubt="compensate")


def lands_after_its_probe() -> Entry:
    def is_booked(hotels, ctx):
        found = hotels.find(ctx.action_key)
        return NOT_DONE if found is None else Done(found)

    mistake = "the probe says NOT_DONE, which is to mean 'and will not be', without having the hotel refuse the key"
    return _late("lands_after_its_probe", mistake, probe=is_booked)


PIECES = entries(
    probe_always_says_done,
    probe_looks_in_the_wrong_place,
    probe_asks_by_customer,
    probe_gives_another_shape,
    probe_says_not_done_of_a_part,
    lands_after_its_undo,
    lands_after_its_probe,
)
