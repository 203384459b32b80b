"""Correct sagas that catch, translate and raise in ways that look like swallowing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from exams.gallery.entry import Entry, entries
from exams.gallery.parts import MUG, POOR, add_charge, add_reserve, add_ship
from exams.gallery.services import Gone, Records, Refused, shop
from sagafsm import IN_DOUBT, NOT_DONE, Done, OutcomeUnknown, PermanentFailure, Saga

Shop = shop(tickets=Records)


def _piece(name: str, ticket: Any, remove: Any = None, **options: Any) -> Entry:
    """An order with a ticket, which is in doubt undone by its key."""
    saga = Saga(name, resources=("stock", "carrier", "tickets"), unknown_on=options.pop("unknown_on", ()))
    add_reserve(saga)

    def withdraw(tickets, ctx):
        tickets.withdraw(ctx.action_key)

    saga.add_step("ticket", ticket, remove or withdraw, **{"in_doubt": "compensate", **options})
    add_ship(saga)
    return Entry(name=name, saga=saga, world=Shop, inputs=(MUG,))


def _issue(tickets, ctx) -> Any:
    return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")


def takes_another_road() -> Entry:
    """A card that is refused, definitely, is no failure: another one is charged."""
    saga = Saga("takes_another_road", resources=("stock", "bank", "carrier"))
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    def charge(input, bank, ctx):
        try:
            return bank.hold(f"{ctx.action_key}/1", input["customer"], input["amount"], attempt=ctx.attempt)
        except Refused:
            return bank.hold(f"{ctx.action_key}/2", "ann", input["amount"], attempt=ctx.attempt)

    @charge.compensation
    def refund(bank, ctx):
        bank.free(f"{ctx.action_key}/2")
        bank.free(f"{ctx.action_key}/1")

    add_ship(saga)
    return Entry(name=saga.name, saga=saga, world=Shop, inputs=(POOR, MUG))


def says_that_it_does_not_know() -> Entry:
    """Two effects in one action: when the second is refused it says OutcomeUnknown, and both are undone."""

    def ticket(tickets, ctx):
        there = tickets.put(f"{ctx.action_key}/there", attempt=ctx.attempt, way="there")
        try:
            back = tickets.put(f"{ctx.action_key}/back", attempt=ctx.attempt, way="back")
        except Exception as error:
            raise OutcomeUnknown("the way there is booked") from error
        return [there["id"], back["id"]]

    def remove(tickets, ctx):
        for way in ("back", "there"):
            tickets.withdraw(f"{ctx.action_key}/{way}")

    return _piece("says_that_it_does_not_know", ticket, remove)


class Unclear(Exception):
    """The office did not answer."""


def translates_what_is_unknown() -> Entry:
    """A timeout becomes an error of its own, which unknown_on names."""

    def ticket(tickets, ctx):
        unclear = False
        try:
            return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        except (TimeoutError, ConnectionError):
            unclear = True
        raise Unclear(f"no answer: {unclear}")

    return _piece("translates_what_is_unknown", ticket, unknown_on=(Unclear,))


def hides_the_cause() -> Entry:
    """Raised `from None`, the timeout is still in the context, so that the doubt is not lost."""

    def ticket(tickets, ctx):
        try:
            return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        except Exception as error:
            raise Unclear(f"no ticket: {type(error).__name__}") from None

    return _piece("hides_the_cause", ticket)


def lets_an_interrupt_through() -> Entry:
    """Catches everything, and raises it again; a finally tidies up what only this process has."""

    def ticket(tickets, ctx):
        session = ["open"]
        try:
            return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        except BaseException as error:
            session.append(type(error).__name__)
            raise
        finally:
            session.clear()

    return _piece("lets_an_interrupt_through", ticket)


def permanent_where_it_is() -> Entry:
    """A definite refusal of the office, and nothing else, is a permanent failure."""

    def ticket(tickets, ctx):
        try:
            return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        except Refused as refusal:
            raise PermanentFailure("the office refuses") from refusal

    return _piece("permanent_where_it_is", ticket)


def probe_that_may_not_know() -> Entry:
    """The probe catches what goes wrong and says IN_DOUBT; the policy then undoes it."""

    def is_issued(tickets, ctx):
        try:
            found = tickets.find(ctx.action_key, shutting=ctx.attempt)
        except Exception:
            return IN_DOUBT
        return NOT_DONE if found is None else Done(found)

    return _piece("probe_that_may_not_know", _issue, probe=is_issued)


def probe_alone() -> Entry:
    """Doubts are settled by the probe, which has the office refuse what it did not find."""

    def is_issued(tickets, ctx):
        found = tickets.find(ctx.action_key, shutting=ctx.attempt)
        return NOT_DONE if found is None else Done(found)

    return _piece("probe_alone", _issue, probe=is_issued, in_doubt="ask")


def threads_that_are_awaited() -> Entry:
    """Two calls in threads of its own, both at their end when the step is; one refused is not known by halves."""

    def ticket(tickets, ctx):
        def put(way: str) -> Any:
            return tickets.put(f"{ctx.action_key}/{way}", attempt=ctx.attempt, way=way)

        with ThreadPoolExecutor(max_workers=1) as threads:
            calls = [threads.submit(put, way) for way in ("there", "back")]
        errors = [error for call in calls if (error := call.exception()) is not None]
        for error in errors:
            if not isinstance(error, Exception):
                raise error
        if errors:
            raise OutcomeUnknown("some are booked") from errors[0]
        return [call.result()["id"] for call in calls]

    def remove(tickets, ctx):
        for way in ("back", "there"):
            tickets.withdraw(f"{ctx.action_key}/{way}")

    return _piece("threads_that_are_awaited", ticket, remove)


def undo_in_parts() -> Entry:
    """The compensation removes row by row, from the end; called again it goes on where it was."""

    def ticket(tickets, ctx):
        issued = []
        for number in range(3):
            try:
                issued.append(tickets.put(f"{ctx.action_key}/{number}", attempt=ctx.attempt, number=number)["id"])
            except Exception as error:
                raise OutcomeUnknown(f"{number} are issued") from error
        return issued

    def remove(tickets, ctx):
        for number in reversed(range(3)):
            try:
                tickets.strike(f"{ctx.action_key}/{number}")
            except Gone:
                continue

    return _piece("undo_in_parts", ticket, remove)


def changes_an_earlier_result() -> Entry:
    """It changes the list that it was given, and returns it as its own result."""
    saga = Saga("changes_an_earlier_result", resources=("stock", "bank", "tickets"))
    add_reserve(saga)

    @saga.step(effect=False)
    def holders(input):
        return [input["customer"]]

    @saga.step(in_doubt="compensate")
    def ticket(holders, tickets, ctx):
        holders.append("guest")
        tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holders=holders)
        return holders

    @ticket.compensation
    def remove(holders, result, tickets, ctx):
        if result is None or result == [*holders, "guest"]:
            tickets.withdraw(ctx.action_key)

    add_charge(saga)
    return Entry(name=saga.name, saga=saga, world=Shop, inputs=(MUG,))


PIECES = entries(
    takes_another_road,
    says_that_it_does_not_know,
    translates_what_is_unknown,
    hides_the_cause,
    lets_an_interrupt_through,
    permanent_where_it_is,
    probe_that_may_not_know,
    probe_alone,
    threads_that_are_awaited,
    undo_in_parts,
    changes_an_earlier_result,
)
