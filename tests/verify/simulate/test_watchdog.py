"""No step can keep a verification from ending, and none is called on the caller's thread or loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from sagafsm import Saga
from sagafsm.verify import verify
from sagafsm.verify.simulate.run import TimeLimitExceeded
from sagafsm.verify.simulate.watchdog import GRACE, Watchdog, WatchedThread
from support.verifying import Bank, kinds, pay, paying, undo

# What interrupts a step may come while a collection calls back, where Python reports it and goes on; it comes again.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
SHORT = timedelta(milliseconds=150)


def hanging(action: Any) -> Saga:
    saga = Saga("hanging", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", pay, undo)
    saga.add_step("two", action, undo)
    return saga


def spin(bank: Any) -> None:
    while True:
        pass


def stubborn(bank: Any) -> None:
    while True:
        try:
            while True:
                pass
        except Exception:
            continue


def test_a_step_that_spins_is_a_finding() -> None:
    """Also one that handles every Exception; the verification returns, and says which step."""
    for action in (spin, stubborn):
        report = verify(hanging(action), Bank, depth=1, time_limit=SHORT)
        found = next(finding for finding in report.errors if finding.kind == "hangs")

        assert ("two", "Give the call in 'two' a timeout.") == (found.step, found.advice)
        assert "saga 'hanging', no fault: a call did not return within the time limit." == found.message
        assert not report.is_vacuous


def test_a_step_that_is_blocked_for_ever_is_a_finding() -> None:
    """In a call that no Python gets into: its thread is left, and nothing more is tried."""
    released = threading.Event()

    def block(bank: Any) -> None:
        released.wait()

    begun = time.monotonic()
    try:
        report = verify(hanging(block), Bank, depth=1, time_limit=SHORT)
    finally:
        released.set()

    told = (
        "saga 'hanging': step 'two' did not return within the time limit, and could not be interrupted; nothing more "
        "was tried."
    )
    assert [("hangs", "two", told)] == [(f.kind, f.step, f.message) for f in report.errors]
    assert time.monotonic() - begun < GRACE + 30


def test_a_step_that_hangs_after_a_fault_is_found_with_it() -> None:
    """The others are tried all the same."""

    def waits(bank: Any, ctx: Any) -> None:
        while ctx.step not in bank.back:
            if bank.ask(ctx.action_key):
                bank.undo(ctx.action_key)
                return

    saga = Saga("waits", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", pay, waits)
    report = verify(saga, Bank, schedule="one.action/bank.pay#1=crash", time_limit=10 * SHORT)

    assert [("hangs", "one", "one.action/bank.pay#1=crash")] == [(f.kind, f.step, f.schedule) for f in report.errors]
    assert verify(saga, Bank, schedule="one.action/bank.pay#1=raise_after", time_limit=10 * SHORT).ok


def test_a_verification_may_be_asked_for_within_a_running_loop() -> None:
    """Of a sync saga and of an async one, with the same report; the loop is not touched."""

    async def apay(bank: Any, ctx: Any) -> str:
        await asyncio.sleep(0)
        return bank.pay(ctx.idempotency_key)

    saga = paying()
    asaga = Saga("paying", resources=["bank"])
    asaga.add_step("pay", apay, undo, in_doubt="compensate")

    async def ask() -> Any:
        return verify(saga, Bank, depth=1), verify(asaga, Bank, depth=1)

    one, other = asyncio.run(ask())
    assert one.ok
    assert one == other == verify(saga, Bank, depth=1)


def test_no_step_runs_on_the_callers_thread() -> None:
    """But in a copy of its context."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: set[tuple[int, str]] = set()

    class Seeing(Bank):
        def pay(self, key: str) -> str:
            seen.add((threading.get_ident(), variable.get()))
            return super().pay(key)

    variable.set("mine")
    verify(paying(), Seeing, depth=1)

    assert {"mine"} == {context for _, context in seen}
    assert threading.get_ident() not in {thread for thread, _ in seen}


def test_what_the_work_raises_is_raised() -> None:
    def work() -> int:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        WatchedThread(Watchdog(SHORT), work).wait(lambda: 0)
    assert 7 == WatchedThread(Watchdog(SHORT), lambda: 7).wait(lambda: 0)


def test_only_runs_are_limited() -> None:
    """Work between them takes as long as it takes."""
    watch = Watchdog(timedelta(milliseconds=1))
    assert 0.0 == watch.overdue
    with watch:
        assert watch.begun is not None
        watch.begun -= 5
        assert watch.overdue > 4
    assert 0.0 == watch.overdue


def test_time_that_is_up_is_no_exception() -> None:
    assert not issubclass(TimeLimitExceeded, Exception)


def test_no_thread_and_no_loop_is_left_behind() -> None:
    """Once a verification ends well."""
    before = set(threading.enumerate())
    verify(paying(), Bank, depth=1)

    assert before == set(threading.enumerate())
    assert kinds(verify(paying(), Bank, depth=1)) == []
