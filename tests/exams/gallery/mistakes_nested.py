"""Mistakes with nested sagas, conditions and waits."""

from __future__ import annotations

from exams.gallery.entry import Entry, entries
from exams.gallery.parts import LAMP, MUG, add_charge, add_reserve, add_ship
from exams.gallery.services import Records, shop
from sagafsm import Retry, Saga

Shop = shop(tickets=Records, vouchers=Records)
ALL = ("stock", "bank", "carrier")


def nested_without_compensation() -> Entry:
    papers = Saga("papers", resources=("tickets",))

    @papers.step(in_doubt="retry", retry=Retry(5))
    def visa(tickets, ctx):
        return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, kind="visa")

    saga = Saga("nested_without_compensation", resources=("stock", "carrier"))
    add_reserve(saga)
    saga.add_saga("papers", papers)
    add_ship(saga)
    return Entry(
        name=saga.name,
        saga=saga,
        world=Shop,
        inputs=(MUG,),
        mistake="the nested saga cannot give its visa back when the trip fails",
        kinds={"left_behind"},
        steps={"papers/visa", "visa", "papers"},
    )


def nested_shares_a_key() -> Entry:
    def parcel(name: str) -> Saga:
        child = Saga(name, resources=("tickets",))

        @child.step(in_doubt="compensate")
        def label(tickets, ctx):
            return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, parcel="to Rome")

        @label.compensation
        def remove(tickets, ctx):
            # Named after the parent, of whom the label is not.
            tickets.withdraw(ctx.instance_id.partition("/")[0])

        return child

    saga = Saga("nested_shares_a_key", resources=("stock", "carrier"))
    add_reserve(saga)
    saga.add_saga("parcel", parcel("parcel"))
    add_ship(saga)
    return Entry(
        name=saga.name,
        saga=saga,
        world=Shop,
        inputs=(MUG,),
        mistake="the nested saga removes by its parent's id what it put under a key of its own",
        kinds={"left_behind", "late", "late_do"},
        steps={"parcel/label", "label", "parcel"},
    )


def reads_what_was_skipped() -> Entry:
    saga = Saga("reads_what_was_skipped", resources=("stock", "bank", "carrier", "vouchers"))
    add_reserve(saga)

    @saga.step(when=lambda input: input["voucher"], in_doubt="compensate")
    def voucher(vouchers, ctx):
        return vouchers.put(ctx.idempotency_key, attempt=ctx.attempt, amount=300)

    @voucher.compensation
    def renew_voucher(vouchers, ctx):
        vouchers.withdraw(ctx.action_key)

    @saga.step(in_doubt="compensate")
    def charge(input, bank, ctx):
        amount = input["amount"] - (300 if input["voucher"] else 0)
        return bank.hold(ctx.idempotency_key, input["customer"], amount, attempt=ctx.attempt)

    @charge.compensation
    def refund(input, voucher, bank, ctx):
        if input["amount"] > voucher["amount"]:
            bank.free(ctx.action_key)

    add_ship(saga)
    return Entry(
        name=saga.name,
        saga=saga,
        world=Shop,
        inputs=({**MUG, "voucher": True}, {**MUG, "voucher": False}),
        mistake="without a voucher that step is skipped and gives None, of which refund reads the amount",
        kinds={"stuck", "left_behind"},
        steps={"charge"},
    )


def waits_for_nobody() -> Entry:
    saga = Saga("waits_for_nobody", resources=ALL)
    add_reserve(saga)
    saga.wait_for("approval")
    add_charge(saga)
    return Entry(
        name=saga.name,
        saga=saga,
        world=Shop,
        inputs=(MUG,),
        mistake="it waits for an approval without a timeout, and nobody gives one",
        kinds={"never_completes", "stuck", "never_reached"},
        steps={"approval", "charge"},
    )


def never_reached() -> Entry:
    saga = Saga("never_reached", resources=(*ALL, "tickets"))
    add_reserve(saga)

    @saga.step(when=lambda input: input["quantity"] > 100, in_doubt="compensate")
    def pallet(tickets, ctx):
        return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, kind="pallet")

    @pallet.compensation
    def cancel_pallet(tickets, ctx):
        tickets.withdraw(ctx.action_key)

    add_charge(saga)
    return Entry(
        name=saga.name,
        saga=saga,
        world=Shop,
        inputs=(MUG, LAMP),
        mistake="no input is large enough for a pallet, so that this step is never examined",
        kinds={"never_reached"},
        steps={"pallet"},
    )


PIECES = entries(
    nested_without_compensation,
    nested_shares_a_key,
    reads_what_was_skipped,
    waits_for_nobody,
    never_reached,
)
