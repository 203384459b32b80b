"""Compensations that do not undo what was done."""

from __future__ import annotations

from typing import Any

from exams.gallery.entry import Entry, entries
from exams.gallery.parts import MUG, add_reserve, add_ship
from exams.gallery.services import Records, Settings, shop, world
from sagafsm import Retry, Saga

TRIP: dict[str, Any] = {"customer": "ann", "city": "Rome", "seats": ["12A", "12B"]}
Travel = world(hotels=Records, flights=Records, carrier=Records)


def reads_missing_result() -> Entry:
    saga = Saga("trip", resources=("hotels", "carrier"))

    @saga.step(in_doubt="compensate")
    def hotel(input, hotels, ctx):
        return hotels.put(ctx.idempotency_key, attempt=ctx.attempt, city=input["city"])

    @hotel.compensation
    def cancel_hotel(result, hotels):
        hotels.discard(result["id"])

    add_ship(saga)
    return Entry(
        name="reads_missing_result",
        saga=saga,
        world=Travel,
        inputs=(TRIP,),
        mistake="in doubt, cancel_hotel gets no result and raises on reading its id, for ever",
        kinds={"stuck", "left_behind", "undo_without_do"},
        steps={"hotel"},
    )


def ignores_missing_result() -> Entry:
    saga = Saga("trip", resources=("hotels", "carrier"))

    @saga.step(in_doubt="compensate")
    def hotel(input, hotels, ctx):
        return hotels.put(ctx.idempotency_key, attempt=ctx.attempt, city=input["city"])

    @hotel.compensation
    def cancel_hotel(result, hotels):
        if result is None:
            return
        hotels.discard(result["id"])

    add_ship(saga)
    return Entry(
        name="ignores_missing_result",
        saga=saga,
        world=Travel,
        inputs=(TRIP,),
        mistake="in doubt, cancel_hotel gets no result and takes that for nothing booked",
        kinds={"left_behind", "late", "late_do"},
        steps={"hotel"},
    )


def no_compensation() -> Entry:
    saga = Saga("campaign", resources=("stock", "carrier", "coupons"))
    add_reserve(saga)

    @saga.step(in_doubt="retry", retry=Retry(5))
    def issue_coupon(input, coupons, ctx):
        return coupons.put(ctx.idempotency_key, attempt=ctx.attempt, customer=input["customer"], percent=20)

    add_ship(saga)
    return Entry(
        name="no_compensation",
        saga=saga,
        world=shop(coupons=Records),
        inputs=(MUG,),
        mistake="a coupon that was issued is never revoked when the order fails",
        kinds={"left_behind"},
        steps={"issue_coupon"},
    )


def undoes_with_another_id() -> Entry:
    saga = Saga("trip", resources=("hotels", "flights", "carrier"))

    @saga.step(in_doubt="compensate")
    def hotel(input, hotels, ctx):
        return hotels.put(ctx.idempotency_key, attempt=ctx.attempt, city=input["city"])

    @hotel.compensation
    def cancel_hotel(hotels, ctx):
        hotels.withdraw(ctx.action_key)

    @saga.step(in_doubt="compensate")
    def flight(input, flights, ctx):
        return flights.put(ctx.idempotency_key, attempt=ctx.attempt, city=input["city"], cabin="economy")

    @flight.compensation
    def cancel_flight(flights, ctx):
        # The key of this call, and not of the one that booked.
        flights.withdraw(ctx.idempotency_key)

    add_ship(saga)
    return Entry(
        name="undoes_with_another_id",
        saga=saga,
        world=Travel,
        inputs=(TRIP,),
        mistake="cancel_flight withdraws its own key, under which nothing was ever booked",
        kinds={"left_behind", "late", "late_do"},
        steps={"flight"},
    )


def undoes_only_the_first() -> Entry:
    saga = Saga("seating", resources=("flights", "carrier"))

    @saga.step(in_doubt="compensate")
    def seats(input, flights, ctx):
        # One call of the airline for the whole party.
        return flights.put(ctx.idempotency_key, attempt=ctx.attempt, seats=list(input["seats"]))

    @seats.compensation
    def give_up_seats(flights, ctx):
        booking = flights.find(ctx.action_key, shutting=1_000)
        if booking is not None:
            rest = booking["seats"][1:]
            if not rest:
                flights.withdraw(ctx.action_key)
            elif booking["seats"][0] == "12A":
                flights.change(booking["id"], seats=rest)

    add_ship(saga)
    return Entry(
        name="undoes_only_the_first",
        saga=saga,
        world=Travel,
        inputs=(TRIP,),
        mistake="of a party's seats only the first is given up",
        kinds={"left_behind"},
        steps={"seats"},
    )


def swaps_back() -> Entry:
    saga = Saga("deployment", resources=("cluster", "carrier"))

    @saga.step(in_doubt="retry")
    def deploy(input, cluster):
        if cluster.get("current") != input["release"]:
            cluster.set("slots", [input["release"], cluster.get("current")])
            cluster.set("current", input["release"])

    @deploy.compensation
    def roll_back(cluster):
        slots = cluster.get("slots")
        slots.reverse()
        cluster.set("slots", slots)
        cluster.set("current", slots[0])

    add_ship(saga)
    return Entry(
        name="swaps_back",
        saga=saga,
        world=world(cluster=lambda: Settings.of(current="v1", slots=["v2", "v1"]), carrier=Records),
        inputs=({"release": "v2", "city": "fra1"},),
        mistake="roll_back swaps the two slots, so that called again it deploys the new release again",
        kinds={"left_behind", "differs", "undo_twice", "undo_without_do", "late", "late_do"},
        steps={"deploy"},
    )


def undoes_all_of_the_customer() -> Entry:
    saga = Saga("trip", resources=("hotels", "carrier"))

    @saga.step(in_doubt="compensate")
    def hotel(input, hotels, ctx):
        return hotels.put(ctx.idempotency_key, attempt=ctx.attempt, customer=input["customer"], city=input["city"])

    @hotel.compensation
    def cancel_hotel(input, hotels, ctx):
        hotels.withdraw(ctx.action_key)
        for booking in hotels.where(customer=input["customer"]):
            hotels.discard(booking["id"])

    add_ship(saga)
    return Entry(
        name="undoes_all_of_the_customer",
        saga=saga,
        world=world(hotels=lambda: Records.of({"customer": "ann", "city": "Oslo"}), carrier=Records),
        inputs=(TRIP,),
        mistake="cancel_hotel cancels every booking of the customer, also one of another trip",
        kinds={"left_behind", "undo_without_do"},
        steps={"hotel"},
    )


def undoes_by_a_step_forward() -> Entry:
    saga = Saga("subscription", resources=("plans", "invoices", "carrier"))

    def invoice(invoices, key: str, plan: str) -> None:
        invoices.put(key, plan=plan)

    @saga.step(in_doubt="compensate")
    def upgrade(input, plans, ctx):
        plans.put(ctx.idempotency_key, attempt=ctx.attempt, customer=input["customer"], plan="pro")

    @upgrade.compensation
    def downgrade(plans, invoices, ctx):
        plans.withdraw(ctx.action_key)
        invoice(invoices, ctx.idempotency_key, "basic")

    add_ship(saga)
    return Entry(
        name="undoes_by_a_step_forward",
        saga=saga,
        world=world(plans=Records, invoices=Records, carrier=Records),
        inputs=(TRIP,),
        mistake="downgrade is a business process of its own: it writes an invoice, which nothing takes back",
        kinds={"left_behind", "undo_without_do"},
        steps={"upgrade"},
    )


def closes_before_it_is_empty() -> Entry:
    saga = Saga("account", resources=("accounts", "cards", "carrier"))

    @saga.step(in_doubt="compensate")
    def open_account(input, accounts, ctx):
        return accounts.put(ctx.idempotency_key, attempt=ctx.attempt, owner=input["customer"])

    @open_account.compensation
    def close_account(input, accounts, cards, ctx):
        if cards.where(owner=input["customer"]):
            raise RuntimeError("an account with cards cannot be closed")
        accounts.withdraw(ctx.action_key)

    @saga.step(in_doubt="compensate")
    def issue_card(input, cards, ctx):
        return cards.put(ctx.idempotency_key, attempt=ctx.attempt, owner=input["customer"], state="active")

    @issue_card.compensation
    def block_card(cards, ctx):
        card = cards.find(ctx.action_key, shutting=1_000)
        if card is not None:
            cards.change(card["id"], state="blocked")

    add_ship(saga)
    return Entry(
        name="closes_before_it_is_empty",
        saga=saga,
        world=world(accounts=Records, cards=Records, carrier=Records),
        inputs=(TRIP,),
        mistake="the card is blocked instead of removed, so that the account can never be closed",
        kinds={"stuck", "left_behind"},
        steps={"open_account", "issue_card"},
    )


PIECES = entries(
    reads_missing_result,
    ignores_missing_result,
    no_compensation,
    undoes_with_another_id,
    undoes_only_the_first,
    swaps_back,
    undoes_all_of_the_customer,
    undoes_by_a_step_forward,
    closes_before_it_is_empty,
)
