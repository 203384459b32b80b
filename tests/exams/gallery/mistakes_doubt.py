"""Doubts that are taken for something else: repeated without a key, hidden, or settled by a guess."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any
from uuid import uuid4

from exams.gallery.entry import Entry, entries
from exams.gallery.parts import MUG, add_reserve, add_ship
from exams.gallery.services import Records, shop
from sagafsm import OutcomeUnknown, PermanentFailure, Retry, Saga

AGAIN = Retry(3, backoff=timedelta(milliseconds=10))
Shop = shop(tickets=Records)


def _ticketing(name: str, *, unknown_on: tuple[type[Exception], ...] = ()) -> Saga:
    saga = Saga(name, resources=("stock", "carrier", "tickets"), unknown_on=unknown_on)
    add_reserve(saga)
    return saga


def _remove_all(tickets, ctx) -> None:
    """Right, whatever was issued, and however often: all tickets of this order go, and its keys are shut."""
    tickets.withdraw(ctx.action_key)
    for ticket in tickets.where(order=ctx.instance_id):
        tickets.discard(ticket["id"])


def _entry(saga: Saga, mistake: str, kinds: set[str], **more: Any) -> Entry:
    more = {"world": Shop, "inputs": (MUG,), "steps": {"ticket"}, **more}
    return Entry(name=saga.name, saga=saga, mistake=mistake, kinds=kinds, **more)


def _keyed_by(name: str, mistake: str, key_of: Any) -> Entry:
    saga = _ticketing(name)

    def ticket(tickets, ctx):
        return tickets.put(key_of(ctx), order=ctx.instance_id)

    saga.add_step("ticket", ticket, _remove_all, in_doubt="retry", retry=AGAIN)
    add_ship(saga)
    return _entry(saga, mistake, {"differs", "do_twice", "late", "late_do", "left_behind"}, world=Orders)


class _Orders(Records):
    """Which order a ticket is of does not show: another instance's ticket looks the same."""

    def shown(self) -> Any:
        return len(self.rows)


Orders = shop(tickets=_Orders)


def repeats_without_key() -> Entry:
    saga = _ticketing("repeats_without_key")

    def ticket(tickets, ctx):
        return tickets.add(order=ctx.instance_id)

    saga.add_step("ticket", ticket, _remove_all, in_doubt="retry", retry=AGAIN)
    add_ship(saga)
    kinds = {"differs", "do_twice", "late", "late_do", "left_behind"}
    return _entry(saga, "a ticket office without keys is asked again, and sells two tickets", kinds, world=Orders)


def fresh_key() -> Entry:
    return _keyed_by("fresh_key", "each call has a key of its own making", lambda ctx: uuid4().hex)


def attempt_in_the_key() -> Entry:
    mistake = "the attempt is part of the key, so that none is known again"
    return _keyed_by("attempt_in_the_key", mistake, lambda ctx: f"{ctx.action_key}-{ctx.attempt}")


def own_counter_as_key() -> Entry:
    counter = itertools.count(1)
    mistake = "the process counts its calls and takes that for a key"
    return _keyed_by("own_counter_as_key", mistake, lambda ctx: f"{ctx.instance_id}-{next(counter)}")


def undoes_the_last_attempt_only() -> Entry:
    saga = _ticketing("undoes_the_last_attempt_only")

    def ticket(tickets, ctx):
        return tickets.put(f"{ctx.instance_id}-{ctx.attempt}", customer="ann")

    def remove(result, tickets, ctx):
        if result is not None:
            tickets.discard(result["id"])
        for attempt in range(1, 10) if result is None else ():
            tickets.withdraw(f"{ctx.instance_id}-{attempt}")

    saga.add_step("ticket", ticket, remove, in_doubt=("retry", "compensate"), retry=AGAIN)
    add_ship(saga)
    kinds = {"left_behind", "differs", "do_twice", "late", "late_do"}
    return _entry(saga, "every attempt issues a ticket, and the one whose id came back is removed", kinds)


def loops_by_itself() -> Entry:
    saga = _ticketing("loops_by_itself")

    def ticket(tickets, ctx):
        for _ in range(3):
            try:
                return tickets.add(order=ctx.instance_id)
            except TimeoutError:
                continue
        raise OutcomeUnknown("the office does not answer")

    saga.add_step("ticket", ticket, _remove_all, in_doubt="compensate")
    add_ship(saga)
    kinds = {"differs", "do_twice", "late", "late_do", "left_behind"}
    return _entry(saga, "a loop of its own repeats what timed out, without a key", kinds, world=Orders)


class OfficeError(Exception):
    """The office's client raises this, whatever went wrong."""


class LedgerError(Exception):
    """Another client's."""


def _translated(call: Any) -> Any:
    try:
        return call()
    except Exception as error:
        said = str(error)
    # Outside of the handler, so that nothing of the cause is left.
    raise OfficeError(said)


def translates_its_timeouts() -> Entry:
    saga = _ticketing("translates_its_timeouts")

    def ticket(tickets, ctx):
        return _translated(lambda: tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann"))

    saga.add_step("ticket", ticket, _withdraw, in_doubt="compensate")
    add_ship(saga)
    return _entry(saga, "a timeout becomes an error of its own, and so a definite failure", {"left_behind", "late"})


def lists_another_error() -> Entry:
    saga = _ticketing("lists_another_error", unknown_on=(LedgerError,))

    def ticket(tickets, ctx):
        try:
            return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        except (TimeoutError, ConnectionError):
            unclear = OfficeError("no answer from the office")
        raise unclear

    saga.add_step("ticket", ticket, _withdraw, in_doubt="compensate")
    add_ship(saga)
    mistake = "unknown_on names the error of another client, so that this one's counts as a definite failure"
    return _entry(saga, mistake, {"left_behind", "late"})


def _withdraw(tickets, ctx) -> None:
    tickets.withdraw(ctx.action_key)


def makes_up_a_result() -> Entry:
    saga = _ticketing("makes_up_a_result")

    def ticket(tickets, ctx):
        try:
            return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        except TimeoutError:
            return {"id": None, "status": "will be sent"}

    def remove(result, tickets, ctx):
        if result is None:
            tickets.withdraw(ctx.action_key)
        else:
            tickets.discard(result["id"])

    saga.add_step("ticket", ticket, remove, in_doubt="compensate")
    add_ship(saga)
    mistake = "after a timeout a result without an id is made up, by which nothing can be removed"
    return _entry(saga, mistake, {"left_behind", "differs", "late"})


def swallows_a_refusal() -> Entry:
    saga = _ticketing("swallows_a_refusal")

    def ticket(tickets, ctx):
        try:
            return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        except Exception:
            return None

    saga.add_step("ticket", ticket, _withdraw, in_doubt="compensate")
    add_ship(saga)
    return _entry(saga, "an order completes without its ticket, because a refusal is swallowed", {"differs", "late"})


def takes_doubt_for_failure() -> Entry:
    saga = _ticketing("takes_doubt_for_failure")

    def ticket(tickets, ctx):
        try:
            return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        except (TimeoutError, ConnectionError) as error:
            raise PermanentFailure("the ticket office is not there") from error

    saga.add_step("ticket", ticket, _withdraw, in_doubt="compensate")
    add_ship(saga)
    mistake = "a timeout is called a permanent failure, which says that nothing was done"
    return _entry(saga, mistake, {"left_behind", "late"})


def two_effects_in_one_action() -> Entry:
    saga = _ticketing("two_effects_in_one_action")

    def ticket(tickets, ctx):
        there = tickets.put(f"{ctx.action_key}/there", attempt=ctx.attempt, way="there")
        back = tickets.put(f"{ctx.action_key}/back", attempt=ctx.attempt, way="back")
        return [there["id"], back["id"]]

    def remove(tickets, ctx):
        for way in ("back", "there"):
            tickets.withdraw(f"{ctx.action_key}/{way}")

    saga.add_step("ticket", ticket, remove, in_doubt="compensate")
    add_ship(saga)
    return _entry(saga, "when the way back is refused, the way there is booked already", {"left_behind"})


def repeats_a_list_from_the_start() -> Entry:
    saga = _ticketing("repeats_a_list_from_the_start")

    def ticket(tickets, ctx):
        try:
            return [tickets.add(order=ctx.instance_id, holder=holder)["id"] for holder in ("ann", "bob")]
        except Exception as refusal:
            raise OutcomeUnknown("some are issued") from refusal

    saga.add_step("ticket", ticket, _remove_all, in_doubt=("retry", "compensate"), retry=AGAIN)
    add_ship(saga)
    kinds = {"differs", "do_twice", "left_behind", "late", "late_do"}
    return _entry(saga, "a second attempt issues the first ticket of the list again", kinds, world=Orders)


def leaves_a_pending_row() -> Entry:
    saga = _ticketing("leaves_a_pending_row")

    def mark(tickets, ctx):
        return tickets.put(f"{ctx.action_key}/pending", attempt=ctx.attempt, state="pending")

    def ticket(tickets, ctx):
        pending = mark(tickets, ctx)
        issued = tickets.put(ctx.action_key, attempt=ctx.attempt, state="issued")
        tickets.discard(pending["id"])
        return issued

    def remove(tickets, ctx):
        tickets.withdraw(f"{ctx.action_key}/pending")
        tickets.withdraw(ctx.action_key)

    saga.add_step("ticket", ticket, remove, in_doubt="compensate")
    add_ship(saga)
    return _entry(saga, "a refusal leaves the row that says 'pending'", {"left_behind"})


PIECES = entries(
    repeats_without_key,
    fresh_key,
    attempt_in_the_key,
    own_counter_as_key,
    undoes_the_last_attempt_only,
    loops_by_itself,
    translates_its_timeouts,
    lists_another_error,
    makes_up_a_result,
    swallows_a_refusal,
    takes_doubt_for_failure,
    two_effects_in_one_action,
    repeats_a_list_from_the_start,
    leaves_a_pending_row,
)
