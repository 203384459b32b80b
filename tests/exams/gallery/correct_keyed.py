"""Correct sagas whose undoing looks suspicious: by key alone, by a refund, by nothing at all."""

from __future__ import annotations

import enum
from datetime import timedelta
from decimal import Decimal
from typing import Any

import attrs

from exams.gallery.entry import Entry, entries
from exams.gallery.parts import LAMP, MUG, POOR, add_charge, add_reserve, add_ship
from exams.gallery.services import Gone, Log, Records, Settings, shop
from sagafsm import Retry, Saga

ALL = ("stock", "bank", "carrier")
AGAIN = Retry(5, backoff=timedelta(milliseconds=10))


def _entry(saga: Saga, **more: Any) -> Entry:
    return Entry(name=saga.name, saga=saga, **{"world": shop(tickets=Records), "inputs": (MUG,), **more})


def asks_a_person() -> Entry:
    """Every doubt is asked, and no compensation looks at its result."""
    saga = Saga("asks_a_person", resources=ALL)
    add_reserve(saga, in_doubt="ask")
    add_charge(saga, in_doubt="ask")
    add_ship(saga, in_doubt="ask")
    return _entry(saga)


def fenced() -> Entry:
    """What lands after its undo is refused by the services, because the undo has shut the key."""
    saga = Saga("fenced", resources=ALL)
    add_reserve(saga)
    add_charge(saga)
    add_ship(saga)
    return _entry(saga, options={"faults": "strict"})


def repeats_under_one_key() -> Entry:
    """Actions are called again after a timeout; they have the same key."""
    saga = Saga("repeats_under_one_key", resources=ALL, in_doubt=("retry", "compensate"), retry=AGAIN)
    for add in (add_reserve, add_charge, add_ship):
        add(saga, in_doubt=("retry", "compensate"))
    return _entry(saga)


class Payments(Records):
    """A ledger from which nothing is ever deleted: a refund is a row of its own, one for each charge."""

    def refund(self, key: str) -> None:
        charge = self.find(key, shutting=1_000_000)
        if charge is not None:
            self.put(f"refund of {key}", customer=charge["customer"], amount=-charge["amount"])

    def shown(self) -> Any:
        return tuple(sorted((row["customer"], row["amount"]) for row in self.rows.values()))


class Ledger(shop(payments=Payments)):  # type: ignore[misc]
    """Two ledgers are alike where every customer has paid the same in all."""

    @staticmethod
    def equivalent(before: Any, after: Any) -> bool:
        def totals(snapshot: Any) -> Any:
            sums: dict[str, int] = {}
            for customer, amount in snapshot["payments"]:
                sums[customer] = sums.get(customer, 0) + amount
            return {customer: amount for customer, amount in sums.items() if amount}

        rest = [{name: shown for name, shown in one.items() if name != "payments"} for one in (before, after)]
        return totals(before) == totals(after) and rest[0] == rest[1]


def refunds_and_does_not_delete() -> Entry:
    """A refund leaves two rows where there was none, which the world calls equivalent."""
    saga = Saga("refunds_and_does_not_delete", resources=("stock", "carrier", "payments"))
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    def pay(input, payments, ctx):
        return payments.put(
            ctx.idempotency_key, attempt=ctx.attempt, customer=input["customer"], amount=input["amount"]
        )

    @pay.compensation
    def refund(payments, ctx):
        payments.refund(ctx.action_key)

    add_ship(saga)
    return _entry(saga, world=Ledger)


def leaves_an_audit_trail() -> Entry:
    """Actions and compensations write rows that stay, again at each attempt; the world declares them."""
    saga = Saga("leaves_an_audit_trail", resources=("stock", "carrier", "audit"))

    @saga.step(in_doubt="compensate")
    def reserve(input, stock, audit, ctx):
        audit.write("reserve")
        return stock.hold(ctx.idempotency_key, input["sku"], input["quantity"], attempt=ctx.attempt)

    @reserve.compensation
    def release(stock, audit, ctx):
        stock.free(ctx.action_key)
        audit.write("release")

    add_ship(saga)
    return _entry(saga, world=shop("audit", audit=Log))


def minds_nothing_gone() -> Entry:
    """The compensation catches an error: that there is nothing left to remove."""
    saga = Saga("minds_nothing_gone", resources=("stock", "carrier", "tickets"))
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    def ticket(tickets, ctx):
        return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")

    @ticket.compensation
    def remove(tickets, ctx):
        try:
            tickets.strike(ctx.action_key)
        except Gone:
            return

    add_ship(saga)
    return _entry(saga)


def natural_key() -> Entry:
    """The order's own number is the key of its invoice."""
    saga = Saga("natural_key", resources=("stock", "carrier", "tickets"))
    add_reserve(saga)

    @saga.step(in_doubt="retry", retry=AGAIN)
    def invoice(input, tickets, ctx):
        return tickets.put(f"invoice of {ctx.instance_id}", attempt=ctx.attempt, amount=input["amount"])

    @invoice.compensation
    def credit(tickets, ctx):
        tickets.withdraw(f"invoice of {ctx.instance_id}")

    add_ship(saga)
    return _entry(saga)


def sets_a_value_back() -> Entry:
    """The previous value is read by a step of its own; a late write fails by its version."""
    saga = Saga("sets_a_value_back", resources=("config", "carrier"))

    @saga.step(effect=False, retry=AGAIN)
    def before(config):
        return config.read("plan")

    @saga.step(in_doubt="retry", retry=AGAIN)
    def upgrade(before, config):
        config.set_if("plan", "pro", version=before["version"])

    @upgrade.compensation
    def downgrade(before, config):
        config.set("plan", before["value"])

    add_ship(saga)
    return _entry(saga, world=shop(config=lambda: Settings.of(plan="basic")))


class Method(enum.Enum):
    """How a hold is kept."""

    CARD = "card"
    NOTHING = "nothing"


@attrs.frozen
class Hold:
    """What a hold on a card comes to."""

    amount: Decimal
    method: Method
    until: timedelta


def typed_results() -> Entry:
    """Results are classes with decimals, enums and durations; the compensation gets the class again."""
    saga = Saga("typed_results", resources=ALL)
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    def hold(input, bank, ctx) -> Hold:
        bank.hold(ctx.idempotency_key, input["customer"], input["amount"], attempt=ctx.attempt)
        return Hold(Decimal(input["amount"]) / 100, Method.CARD, timedelta(days=7))

    @hold.compensation
    def let_go(result: Hold | None, bank, ctx):
        if result is None or (isinstance(result, Hold) and result.method is Method.CARD and result.amount > 0):
            bank.free(ctx.action_key)

    add_ship(saga)
    return _entry(saga)


def nothing_to_pay() -> Entry:
    """Where nothing is to be paid the bank is not called, but its refund is, which does nothing."""
    saga = Saga("nothing_to_pay", resources=ALL)
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    def charge(input, bank, ctx):
        if input["amount"] == 0:
            return None
        return bank.hold(ctx.idempotency_key, input["customer"], input["amount"], attempt=ctx.attempt)

    @charge.compensation
    def refund(bank, ctx):
        bank.free(ctx.action_key)

    add_ship(saga)
    return _entry(saga, inputs=({**MUG, "amount": 0}, MUG))


def refuses_some() -> Entry:
    """Most inputs are refused, for want of money or of lamps, and everything is given back."""
    saga = Saga("refuses_some", resources=ALL)
    add_reserve(saga)
    add_charge(saga)
    add_ship(saga)
    return _entry(saga, inputs=(POOR, MUG, {**LAMP, "quantity": 2}))


PIECES = entries(
    asks_a_person,
    fenced,
    repeats_under_one_key,
    refunds_and_does_not_delete,
    leaves_an_audit_trail,
    minds_nothing_gone,
    natural_key,
    sets_a_value_back,
    typed_results,
    nothing_to_pay,
    refuses_some,
)
