"""Pivots in the wrong place, effects that are denied, and members of a group that undo each other's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from exams.gallery.entry import Entry, entries
from exams.gallery.parts import LAMP, MUG, add_charge, add_reserve, add_ship
from exams.gallery.services import Log, Records, shop
from sagafsm import Retry, Saga

AGAIN = Retry(5, backoff=timedelta(milliseconds=10))
Shop = shop(tickets=Records, vouchers=Records)
ALL = ("stock", "bank", "carrier")


def pivot_too_early() -> Entry:
    saga = Saga("pivot_too_early", resources=ALL)

    @saga.step(pivot=True, in_doubt="retry", retry=AGAIN)
    def charge(input, bank, ctx):
        return bank.hold(ctx.idempotency_key, input["customer"], input["amount"], attempt=ctx.attempt)

    @saga.step(in_doubt="retry", retry=AGAIN)
    def reserve(input, stock, ctx):
        return stock.hold(ctx.idempotency_key, input["sku"], input["quantity"], attempt=ctx.attempt)

    return Entry(
        name=saga.name,
        saga=saga,
        world=Shop,
        inputs=(MUG, {**LAMP, "quantity": 2}),
        mistake="the money is taken for good before it is known that the goods are there; if not, nothing goes on",
        kinds={"stuck"},
        steps={"charge", "reserve"},
    )


def refused_behind_the_pivot() -> Entry:
    saga = Saga("refused_behind_the_pivot", resources=ALL)
    add_reserve(saga)

    @saga.step(pivot=True, in_doubt="retry", retry=AGAIN)
    def charge(input, bank, ctx):
        return bank.hold(ctx.idempotency_key, input["customer"], input["amount"], attempt=ctx.attempt)

    @saga.step(in_doubt="retry", retry=Retry(5, on=(TimeoutError,)))
    def ship(input, carrier, ctx):
        return carrier.put(ctx.idempotency_key, attempt=ctx.attempt, city=input["city"])

    return Entry(
        name=saga.name,
        saga=saga,
        world=Shop,
        inputs=(MUG,),
        mistake="behind the pivot ship retries timeouts only: the first refusal of a busy carrier blocks it",
        kinds={"stuck"},
        steps={"ship"},
    )


def effect_denied() -> Entry:
    saga = Saga("effect_denied", resources=ALL)
    add_reserve(saga)

    @saga.step(effect=False)
    def check_card(input, bank, ctx):
        # "Only an authorization": but the amount is held.
        return bank.hold(ctx.idempotency_key, input["customer"], 100, attempt=ctx.attempt)

    add_charge(saga)
    add_ship(saga)
    return Entry(
        name=saga.name,
        saga=saga,
        world=Shop,
        inputs=(MUG,),
        mistake="check_card is declared without effect but holds money, which a failed order does not give back",
        kinds={"misleading_residue", "left_behind"},
        steps={"check_card"},
    )


def mail_too_early() -> Entry:
    saga = Saga("mail_too_early", resources=(*ALL, "mails"))
    add_reserve(saga)

    @saga.step(effect=False)
    def tell(input, mails):
        mails.send(f"{input['customer']}: your order is on its way")

    add_charge(saga)
    add_ship(saga)
    return Entry(
        name=saga.name,
        saga=saga,
        world=shop(mails=Log),
        inputs=(MUG,),
        mistake="the customer is told before the order can no longer fail, by a step that is declared without effect",
        kinds={"misleading_residue", "left_behind", "differs", "do_twice"},
        steps={"tell"},
    )


def member_undoes_both() -> Entry:
    saga = Saga("member_undoes_both", resources=("tickets", "carrier"))

    @saga.step(group="travel", in_doubt="compensate")
    def train(tickets, ctx):
        return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, trip=ctx.instance_id)

    @train.compensation
    def cancel_train(tickets, ctx):
        tickets.strike(ctx.action_key)

    @saga.step(group="travel", in_doubt="compensate")
    def ferry(tickets, ctx):
        return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, trip=ctx.instance_id)

    @ferry.compensation
    def cancel_ferry(tickets, ctx):
        tickets.withdraw(ctx.action_key)
        for ticket in tickets.where(trip=ctx.instance_id):
            tickets.discard(ticket["id"])

    saga.group("travel", max_concurrency=1)
    add_ship(saga)
    return Entry(
        name=saga.name,
        saga=saga,
        world=shop(tickets=_Trips),
        inputs=(MUG,),
        mistake="cancel_ferry cancels all tickets of the trip, and then cancel_train finds none and raises for ever",
        kinds={"stuck", "undo_twice", "undo_without_do"},
        steps={"train", "ferry"},
    )


class _Trips(Records):
    """Which trip a ticket is of does not show: another instance's ticket looks the same."""

    def shown(self) -> Any:
        return len(self.rows)


def one_row_for_two_members() -> Entry:
    saga = Saga("one_row_for_two_members", resources=("tickets", "carrier"))

    def member(meal: str) -> tuple[Any, Any]:
        def order(tickets, ctx):
            # "One row per trip", so both members have the same key.
            return tickets.put(f"{ctx.instance_id}/meals", attempt=ctx.attempt, kind="meal")

        def cancel(tickets, ctx):
            if tickets.find(f"{ctx.instance_id}/{meal}") is not None:
                tickets.withdraw(f"{ctx.instance_id}/{meal}")

        return order, cancel

    saga.add_step("lunch", *member("lunch"), group="meals", in_doubt="compensate")
    saga.add_step("dinner", *member("dinner"), group="meals", in_doubt="compensate")
    saga.group("meals", max_concurrency=1)
    add_ship(saga)
    return Entry(
        name=saga.name,
        saga=saga,
        world=Shop,
        inputs=(MUG,),
        mistake="two members write one row, and each cancels a row of its own, which never was",
        kinds={"left_behind", "late", "late_do"},
        steps={"lunch", "dinner"},
    )


PIECES = entries(
    pivot_too_early,
    refused_behind_the_pivot,
    effect_denied,
    mail_too_early,
    member_undoes_both,
    one_row_for_two_members,
)
