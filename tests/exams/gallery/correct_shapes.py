"""Correct sagas of every shape: pivots, groups, nested ones, waits, conditions, deadlines, async ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from exams.gallery.entry import Entry, entries
from exams.gallery.parts import LAMP, MUG, add_charge, add_reserve, add_ship
from exams.gallery.services import Distant, Log, Records, shop
from sagafsm import NOT_DONE, Done, Retry, Saga

ALL = ("stock", "bank", "carrier")
AGAIN = Retry(6, backoff=timedelta(milliseconds=10))
Shop = shop(tickets=Records, hotels=Records)


def _entry(saga: Saga, **more: Any) -> Entry:
    return Entry(name=saga.name, saga=saga, **{"world": Shop, "inputs": (MUG,), **more})


def _add_booking(saga: Saga, name: str, service: str = "tickets", **options: Any) -> None:
    if service == "tickets":

        def book(tickets, ctx):
            return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, kind=name)

        def cancel(tickets, ctx):
            tickets.withdraw(ctx.action_key)

    else:

        def book(hotels, ctx):
            return hotels.put(ctx.idempotency_key, attempt=ctx.attempt, kind=name)

        def cancel(hotels, ctx):
            hotels.withdraw(ctx.action_key)

    saga.add_step(name, book, cancel, **{"in_doubt": "compensate", **options})


def forward_behind_the_pivot() -> Entry:
    """Behind the pivot nothing can be undone; its steps are keyed and retried."""
    saga = Saga("forward_behind_the_pivot", resources=ALL)
    add_reserve(saga)

    @saga.step(pivot=True, in_doubt="retry", retry=AGAIN)
    def charge(input, bank, ctx):
        return bank.hold(ctx.idempotency_key, input["customer"], input["amount"], attempt=ctx.attempt)

    @saga.step(in_doubt="retry", retry=AGAIN)
    def ship(input, carrier, ctx):
        return carrier.put(ctx.idempotency_key, attempt=ctx.attempt, city=input["city"])

    return _entry(saga)


def mails_behind_the_pivot() -> Entry:
    """A mail may go out twice, which the world declares, and never before the order is sure."""
    saga = Saga("mails_behind_the_pivot", resources=(*ALL, "mails"))
    add_reserve(saga)

    @saga.step(pivot=True, in_doubt="retry", retry=AGAIN)
    def charge(input, bank, ctx):
        return bank.hold(ctx.idempotency_key, input["customer"], input["amount"], attempt=ctx.attempt)

    @saga.step(in_doubt="retry", retry=AGAIN)
    def tell(input, mails):
        mails.send(f"{input['customer']}: thank you")

    return _entry(saga, world=shop("mails", mails=Log))


def pivot_at_the_end() -> Entry:
    """The last step cannot be undone, and need not."""
    saga = Saga("pivot_at_the_end", resources=ALL)
    add_reserve(saga)
    add_charge(saga)

    @saga.step(pivot=True, in_doubt="retry", retry=AGAIN)
    def ship(input, carrier, ctx):
        return carrier.put(ctx.idempotency_key, attempt=ctx.attempt, city=input["city"])

    return _entry(saga)


def group_of_three() -> Entry:
    """Three bookings at once; each undoes its own."""
    saga = Saga("group_of_three", resources=("tickets", "hotels", "carrier"))
    _add_booking(saga, "hotel", "hotels", group="trip")
    _add_booking(saga, "flight", group="trip")
    _add_booking(saga, "train", group="trip")
    add_ship(saga)
    return _entry(saga)


def group_one_at_a_time() -> Entry:
    """The members of a group with a limit of one, of which the last may be refused."""
    saga = Saga("group_one_at_a_time", resources=("tickets", "stock", "carrier"))
    _add_booking(saga, "hotel", group="trip")
    add_reserve(saga, group="trip")
    _add_booking(saga, "train", group="trip")
    saga.group("trip", max_concurrency=1)
    add_ship(saga)
    return _entry(saga, inputs=(MUG, {**LAMP, "quantity": 2}))


def nested() -> Entry:
    """A nested saga is undone with its parent, step by step."""
    papers = Saga("papers", resources=("tickets",))
    _add_booking(papers, "passport")
    _add_booking(papers, "visa")
    saga = Saga("nested", resources=("stock", "carrier"))
    add_reserve(saga)
    saga.add_saga("papers", papers)
    add_ship(saga)
    return _entry(saga)


def nested_in_a_group() -> Entry:
    """Two nested sagas of one definition, at once, each with an input of its own."""
    leg = Saga("leg", resources=("tickets",))

    @leg.step(in_doubt="compensate")
    def seat(input, tickets, ctx):
        return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, to=input["to"])

    @seat.compensation
    def give_up(tickets, ctx):
        tickets.withdraw(ctx.action_key)

    saga = Saga("nested_in_a_group", resources=("stock", "carrier"))
    add_reserve(saga)
    saga.add_saga("there", leg, input=lambda input: {"to": input["city"]}, group="legs")
    saga.add_saga("back", leg, input=lambda: {"to": "home"}, group="legs")
    add_ship(saga)
    return _entry(saga)


def approved_by_signal() -> Entry:
    """It waits two days for an approval; without one, or with a no, everything is given back."""
    saga = Saga("approved_by_signal", resources=ALL)
    add_reserve(saga)
    saga.wait_for("approval", timeout=timedelta(days=2))

    @saga.step(effect=False)
    def check(approval):
        if approval != "yes":
            raise PermissionError(f"the approval says {approval!r}")

    add_charge(saga)
    return _entry(saga, options={"signals": {"approval": "yes"}})


def skipped_by_condition() -> Entry:
    """A step that is skipped gives None, which later steps expect; what was skipped is not undone."""
    saga = Saga("skipped_by_condition", resources=(*ALL, "tickets"))
    add_reserve(saga)
    _add_booking(saga, "voucher", when=lambda input: input["voucher"])

    @saga.step(in_doubt="compensate")
    def charge(input, voucher, bank, ctx):
        off = 0 if voucher is None else 300
        return bank.hold(ctx.idempotency_key, input["customer"], input["amount"] - off, attempt=ctx.attempt)

    @charge.compensation
    def refund(voucher, bank, ctx):
        bank.free(ctx.action_key)

    return _entry(saga, inputs=({**MUG, "voucher": False}, {**MUG, "voucher": True}))


def reads_between_writes() -> Entry:
    """A step that only reads, between two that write: it is called again after a crash."""
    saga = Saga("reads_between_writes", resources=ALL)
    add_reserve(saga)

    @saga.step(effect=False, retry=AGAIN)
    def rest(input, bank):
        return bank.left(input["customer"])

    @saga.step(in_doubt="compensate")
    def charge(input, rest, bank, ctx):
        return bank.hold(ctx.idempotency_key, input["customer"], min(rest, input["amount"]), attempt=ctx.attempt)

    @charge.compensation
    def refund(bank, ctx):
        bank.free(ctx.action_key)

    add_ship(saga)
    return _entry(saga)


def asynchronous() -> Entry:
    """Coroutines with an asynchronous client, in a group, with probes."""
    saga = Saga("asynchronous", resources=("stock", "carrier", "rooms"))

    def add(name: str) -> None:
        async def book(input, rooms, ctx):
            return await rooms.put(ctx.idempotency_key, attempt=ctx.attempt, city=input["city"], kind=name)

        async def cancel(rooms, ctx):
            await rooms.withdraw(ctx.action_key)

        async def is_booked(rooms, ctx):
            found = await rooms.find(ctx.action_key, shutting=ctx.attempt)
            return NOT_DONE if found is None else Done(found)

        saga.add_step(name, book, cancel, probe=is_booked, in_doubt="compensate", group="stay")

    add_reserve(saga)
    add("single")
    add("double")
    add_ship(saga)
    return _entry(saga, world=shop(rooms=lambda: Distant(Records())))


def has_a_deadline() -> Entry:
    """A deadline of a day, and steps that take no time."""
    saga = Saga("has_a_deadline", resources=ALL, deadline=timedelta(days=1))
    add_reserve(saga)
    add_charge(saga)
    add_ship(saga, timeout=timedelta(seconds=30))
    return _entry(saga)


PIECES = entries(
    forward_behind_the_pivot,
    mails_behind_the_pivot,
    pivot_at_the_end,
    group_of_three,
    group_one_at_a_time,
    nested,
    nested_in_a_group,
    approved_by_signal,
    skipped_by_condition,
    reads_between_writes,
    asynchronous,
    has_a_deadline,
)
