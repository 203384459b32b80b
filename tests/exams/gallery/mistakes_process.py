"""Steps that do not let go: interrupts swallowed, threads left running, memory beside the result, budgets of one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from datetime import timedelta
from typing import Any

from exams.gallery.entry import Entry, entries
from exams.gallery.parts import MUG, add_reserve, add_ship
from exams.gallery.services import Distant, Records, shop
from sagafsm import PermanentFailure, Retry, Saga

Shop = shop(tickets=Records)


def _piece(
    name: str, mistake: str, kinds: set[str], ticket: Any, remove: Any = None, *, more: Any = None, **options: Any
) -> Entry:
    """An order with a ticket that is keyed and rightly removed, but for what is given."""
    saga = Saga(name, resources=("stock", "carrier", "tickets"))
    add_reserve(saga)

    def withdraw(tickets, ctx):
        tickets.withdraw(ctx.action_key)

    saga.add_step("ticket", ticket, remove or withdraw, **{"in_doubt": "compensate", **options})
    add_ship(saga)
    return Entry(
        name=name,
        saga=saga,
        world=Shop,
        inputs=(MUG,),
        mistake=mistake,
        kinds=kinds,
        steps={"ticket"},
        options=more or {},
    )


def _issue(tickets, ctx) -> Any:
    return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")


def swallows_an_interrupt() -> Entry:
    def ticket(tickets, ctx):
        try:
            return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        except Exception:
            raise
        except BaseException:
            return {"status": "queued"}

    mistake = "Ctrl-C during the call becomes a result"
    return _piece("swallows_an_interrupt", mistake, {"swallowed_interrupt", "differs"}, ticket)


def tries_again_on_anything() -> Entry:
    def ticket(tickets, ctx):
        for _ in range(2):
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")

    mistake = "Ctrl-C and SystemExit only make it try again"
    return _piece("tries_again_on_anything", mistake, {"swallowed_interrupt"}, ticket)


def returns_in_finally() -> Entry:
    def ticket(tickets, ctx):
        issued = None
        try:
            issued = tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        finally:
            return issued  # noqa: B012 - the mistake

    mistake = "a return in finally swallows whatever was raised"
    kinds = {"swallowed_interrupt", "differs", "late"}
    return _piece("returns_in_finally", mistake, kinds, ticket)


def undo_swallows_an_interrupt() -> Entry:
    def remove(tickets, ctx):
        try:
            tickets.withdraw(ctx.action_key)
        except (KeyboardInterrupt, SystemExit):
            return

    mistake = "Ctrl-C during the compensation makes it count as done"
    kinds = {"swallowed_interrupt", "left_behind"}
    return _piece("undo_swallows_an_interrupt", mistake, kinds, _issue, remove)


def thread_left_running() -> Entry:
    def ticket(tickets, ctx):
        issued = tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")

        def print_it() -> None:
            time.sleep(0.05)
            with contextlib.suppress(BaseException):
                tickets.add(printed="for ann")

        threading.Thread(target=print_it, daemon=True).start()
        return issued

    mistake = "a thread prints the ticket when the instance has long come to rest"
    kinds = {"after_end", "left_behind", "differs", "not_deterministic"}
    return _piece("thread_left_running", mistake, kinds, ticket)


def task_left_running() -> Entry:
    async def print_it(tickets: Any) -> None:
        await asyncio.sleep(0.05)
        with contextlib.suppress(Exception):
            tickets.add(printed="for ann")

    async def ticket(tickets, ctx):
        issued = tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        running.add(asyncio.ensure_future(print_it(tickets)))
        return issued

    running: set[Any] = set()
    mistake = "a task that nobody awaits prints the ticket later"
    kinds = {"after_end", "left_behind", "differs", "not_deterministic"}
    return _piece("task_left_running", mistake, kinds, ticket)


def forgets_to_await() -> Entry:
    saga = Saga("forgets_to_await", resources=("stock", "carrier", "hotels"))
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    async def hotel(input, hotels, ctx):
        return await hotels.put(ctx.idempotency_key, attempt=ctx.attempt, city=input["city"])

    @hotel.compensation
    async def cancel_hotel(hotels, ctx):
        hotels.withdraw(ctx.action_key)

    add_ship(saga)
    return Entry(
        name=saga.name,
        saga=saga,
        world=shop(hotels=lambda: Distant(Records())),
        inputs=(MUG,),
        mistake="cancel_hotel does not await the client's answer, so that the cancellation is never sent",
        kinds={"left_behind", "late", "late_do"},
        steps={"hotel"},
    )


def hangs() -> Entry:
    def ticket(tickets, ctx):
        issued = tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        # The print shop's callback, which nobody has connected. Not for ever: a test cannot kill a thread.
        threading.Event().wait(20)
        return issued

    mistake = "it waits for a callback that never comes"
    options = {"time_limit": timedelta(seconds=1)}
    return _piece("hangs", mistake, {"hangs"}, ticket, more=options)


def memory_beside_the_result() -> Entry:
    issued: dict[str, Any] = {}

    def ticket(tickets, ctx):
        issued[ctx.instance_id] = ctx.idempotency_key
        return tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")

    def remove(tickets, ctx):
        tickets.withdraw(issued.pop(ctx.instance_id))

    mistake = "what the compensation needs is kept in the process's memory, and is gone when it is called again"
    kinds = {"stuck", "left_behind", "changed_result", "undo_twice", "undo_without_do"}
    return _piece("memory_beside_the_result", mistake, kinds, ticket, remove)


def tuple_becomes_a_list() -> Entry:
    def ticket(tickets, ctx):
        issued = tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann")
        return (issued["id"], "window")

    def remove(result, tickets, ctx):
        if result is None:
            tickets.withdraw(ctx.action_key)
        if isinstance(result, tuple):
            tickets.discard(result[0])

    mistake = "the compensation expects the tuple that was returned, but what was stored is a list"
    return _piece("tuple_becomes_a_list", mistake, {"changed_result", "left_behind"}, ticket, remove)


def result_changed_later() -> Entry:
    saga = Saga("result_changed_later", resources=("stock", "carrier", "tickets"))
    add_reserve(saga)

    @saga.step(in_doubt="compensate")
    def tab(ctx):
        return {"opened": ctx.instance_id, "keys": []}

    @tab.compensation
    def clear_tab(result, tickets):
        for key in result["keys"] if result else ():
            tickets.withdraw(key)

    @saga.step(in_doubt="compensate")
    def drink(tab, tickets, ctx):
        tab["keys"].append(ctx.idempotency_key)
        tickets.put(ctx.idempotency_key, attempt=ctx.attempt, holder="ann", kind="drink")

    @drink.compensation
    def stop_serving() -> None:
        # "The drinks are on the tab, which is cleared as a whole."
        return

    add_ship(saga)
    return Entry(
        name=saga.name,
        saga=saga,
        world=Shop,
        inputs=(MUG,),
        mistake="drink notes its key in the result of another step, of which clear_tab sees what was stored before",
        kinds={"changed_result", "left_behind", "late", "late_do"},
        steps={"tab", "drink"},
    )


def undo_with_a_budget_of_one() -> Entry:
    mistake = "the compensation is called once only, so that one refusal blocks the instance"
    return _piece("undo_with_a_budget_of_one", mistake, {"stuck"}, _issue, compensation_retry=Retry(1))


def undo_gives_up_at_once() -> Entry:
    def remove(tickets, ctx):
        try:
            tickets.withdraw(ctx.action_key)
        except Exception as error:
            raise PermanentFailure("the ticket could not be removed") from error

    mistake = "the compensation calls any error permanent, which ends its retries"
    return _piece("undo_gives_up_at_once", mistake, {"stuck"}, _issue, remove)


def looks_before_it_leaps() -> Entry:
    def ticket(tickets, ctx):
        found = tickets.where(order=ctx.instance_id)
        return found[0] if found else tickets.add(order=ctx.instance_id)

    def remove(tickets, ctx):
        for found in tickets.where(order=ctx.instance_id):
            tickets.discard(found["id"])

    saga = Saga("looks_before_it_leaps", resources=("stock", "carrier", "tickets"))
    add_reserve(saga)
    saga.add_step("ticket", ticket, remove, in_doubt="retry", retry=Retry(3))
    add_ship(saga)
    return Entry(
        name=saga.name,
        saga=saga,
        world=shop(tickets=_Orders),
        inputs=(MUG,),
        mistake="it looks whether there is a ticket and then issues one: between the two a second worker issues another",
        kinds={"differs", "left_behind", "late", "late_do"},
        steps={"ticket"},
        options={"faults": "strict"},
    )


class _Orders(Records):
    """Which order a ticket is of does not show."""

    def shown(self) -> Any:
        return len(self.rows)


PIECES = entries(
    swallows_an_interrupt,
    tries_again_on_anything,
    returns_in_finally,
    undo_swallows_an_interrupt,
    thread_left_running,
    task_left_running,
    forgets_to_await,
    hangs,
    memory_beside_the_result,
    tuple_becomes_a_list,
    result_changed_later,
    undo_with_a_budget_of_one,
    undo_gives_up_at_once,
    looks_before_it_leaps,
)
