"""Compensations that give back too much, too little, or make a fuss."""

from __future__ import annotations

from exams.gallery.entry import Entry, entries
from exams.gallery.parts import MUG, add_charge, add_reserve, add_ship
from exams.gallery.services import Amounts, Log, Records, shop, world
from sagafsm import Retry, Saga


def swallows_its_errors() -> Entry:
    saga = Saga("order", resources=("stock", "bank", "carrier"))
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    def charge(input, bank, ctx):
        return bank.hold(ctx.idempotency_key, input["customer"], input["amount"], attempt=ctx.attempt)

    @charge.compensation
    def refund(bank, ctx):
        try:
            bank.free(ctx.action_key)
        except Exception:
            # "Nothing to be done about it here."
            return

    add_ship(saga)
    return Entry(
        name="swallows_its_errors",
        saga=saga,
        world=shop(),
        inputs=(MUG,),
        mistake="a refund that the bank does not take is counted as given",
        kinds={"left_behind"},
        steps={"charge"},
    )


def minds_what_is_already_gone() -> Entry:
    saga = Saga("tickets", resources=("stock", "carrier", "tickets"))
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    def ticket(input, tickets, ctx):
        return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder=input["customer"])

    @ticket.compensation
    def return_ticket(result, tickets, ctx):
        if result is None:
            tickets.withdraw(ctx.action_key)
        else:
            tickets.drop(result["id"])

    add_ship(saga)
    return Entry(
        name="minds_what_is_already_gone",
        saga=saga,
        world=shop(tickets=Records),
        inputs=(MUG,),
        mistake="called again after a crash, return_ticket raises because the ticket is gone already, for ever",
        kinds={"stuck", "undo_twice"},
        steps={"ticket"},
    )


def refunds_without_key() -> Entry:
    saga = Saga("order", resources=("stock", "bank", "carrier"))
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    def charge(input, bank, ctx):
        return bank.hold(ctx.idempotency_key, input["customer"], input["amount"], attempt=ctx.attempt)

    @charge.compensation
    def refund(input, bank, ctx):
        if bank.find(ctx.action_key, shutting=1_000) is not None:
            bank.give(input["customer"], input["amount"])

    add_ship(saga)
    return Entry(
        name="refunds_without_key",
        saga=saga,
        world=shop(),
        inputs=(MUG,),
        mistake="a refund that is called again after a crash pays a second time",
        kinds={"left_behind", "undo_twice"},
        steps={"charge"},
    )


def refunds_under_the_charges_key() -> Entry:
    saga = Saga("transfer", resources=("stock", "bank", "carrier"))
    add_reserve(saga)

    @saga.step(in_doubt="retry", retry=Retry(5))
    def transfer(input, bank, ctx):
        return bank.move(ctx.idempotency_key, input["customer"], input["amount"])

    @transfer.compensation
    def transfer_back(input, bank, ctx):
        bank.move(ctx.action_key, input["customer"], -input["amount"])

    add_ship(saga)
    return Entry(
        name="refunds_under_the_charges_key",
        saga=saga,
        world=shop(),
        inputs=(MUG,),
        mistake="the transfer back has the key of the transfer, so the bank takes it for the same call and does nothing",
        kinds={"left_behind", "late", "late_do", "undo_without_do"},
        steps={"transfer"},
    )


def refunds_once_an_attempt() -> Entry:
    saga = Saga("order", resources=("stock", "bank", "carrier"))
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    def charge(input, bank, ctx):
        return bank.hold(ctx.idempotency_key, input["customer"], input["amount"], attempt=ctx.attempt)

    @charge.compensation
    def refund(input, bank, ctx):
        if bank.find(ctx.action_key, shutting=1_000) is not None:
            bank.move(f"{ctx.idempotency_key}/{ctx.attempt}", input["customer"], -input["amount"])

    add_ship(saga)
    return Entry(
        name="refunds_once_an_attempt",
        saga=saga,
        world=shop(),
        inputs=(MUG,),
        mistake="the attempt is part of the refund's key, so a second attempt refunds again",
        kinds={"left_behind"},
        steps={"charge"},
    )


def refunds_without_the_fee() -> Entry:
    saga = Saga("order", resources=("stock", "bank", "carrier"))
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    def charge(input, bank, ctx):
        return bank.hold(ctx.idempotency_key, input["customer"], input["amount"] + 95, attempt=ctx.attempt)

    @charge.compensation
    def refund(input, bank, ctx):
        if bank.find(ctx.action_key, shutting=1_000) is not None:
            bank.move(ctx.idempotency_key, input["customer"], -input["amount"])

    add_ship(saga)
    return Entry(
        name="refunds_without_the_fee",
        saga=saga,
        world=shop(),
        inputs=(MUG,),
        mistake="the fee that was charged with the price is not refunded",
        kinds={"left_behind"},
        steps={"charge"},
    )


def trusts_the_status_it_was_told() -> Entry:
    saga = Saga("payment", resources=("stock", "payments", "carrier"))
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    def authorize(input, payments, ctx):
        payment = payments.put(ctx.idempotency_key, attempt=ctx.attempt, amount=input["amount"], status="processing")
        return {"id": payment["id"], "status": payment["status"]}

    @authorize.compensation
    def void(result, payments, ctx):
        if result is None or result["status"] == "authorized":
            payments.withdraw(ctx.action_key)

    add_ship(saga)
    return Entry(
        name="trusts_the_status_it_was_told",
        saga=saga,
        world=shop(payments=Records),
        inputs=(MUG,),
        mistake="only payments that were authorized at once are voided, but the provider answers 'processing'",
        kinds={"left_behind"},
        steps={"authorize"},
    )


def gives_back_what_was_not_taken() -> Entry:
    saga = Saga("signup", resources=("seats", "members", "carrier"))

    @saga.step(in_doubt="compensate")
    def member(input, members, ctx):
        return members.put(ctx.idempotency_key, attempt=ctx.attempt, name=input["customer"])

    @member.compensation
    def remove_member(members, seats, ctx):
        # The licence counts its members by itself; here they "give one back".
        if members.find(ctx.action_key, shutting=1_000) is not None:
            members.withdraw(ctx.action_key)
            seats.give("team", 1)

    add_ship(saga)
    return Entry(
        name="gives_back_what_was_not_taken",
        saga=saga,
        world=world(seats=lambda: Amounts.of(team=3), members=Records, carrier=Records),
        inputs=(MUG,),
        mistake="remove_member gives back a seat that no action took",
        kinds={"left_behind"},
        steps={"member"},
    )


def undo_leaves_a_trace() -> Entry:
    saga = Saga("order", resources=("stock", "bank", "carrier", "audit"))

    @saga.step(in_doubt="compensate")
    def reserve(input, stock, ctx):
        return stock.hold(ctx.idempotency_key, input["sku"], input["quantity"], attempt=ctx.attempt)

    @reserve.compensation
    def release(stock, audit, ctx):
        stock.free(ctx.action_key)
        audit.write("released")

    add_charge(saga)
    add_ship(saga)
    return Entry(
        name="undo_leaves_a_trace",
        saga=saga,
        world=shop(audit=Log),
        inputs=(MUG,),
        mistake="release writes an audit row that the world does not declare as residue",
        kinds={"left_behind", "undo_twice", "undo_without_do"},
        steps={"reserve"},
    )


PIECES = entries(
    swallows_its_errors,
    minds_what_is_already_gone,
    refunds_without_key,
    refunds_under_the_charges_key,
    refunds_once_an_attempt,
    refunds_without_the_fee,
    trusts_the_status_it_was_told,
    gives_back_what_was_not_taken,
    undo_leaves_a_trace,
)
