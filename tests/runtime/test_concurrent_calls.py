"""Beside each other: what ends or outlives its time first is told, once, with all it takes to end it later."""

from __future__ import annotations

import time
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

from sagafsm.engine.effects import CallReturned, CallTimedOut, PendingCall
from sagafsm.runtime.threads import LateCall, RunningCall, wait_first_of

SOON = timedelta(milliseconds=5)
# Less than a turn of the wait takes.
AT_ONCE = 0.5


def pending(running: RunningCall) -> PendingCall:
    call: Any = None
    return PendingCall(call, handle=running)


def test_what_outlives_its_time_can_still_be_interrupted() -> None:
    """It is asked to end, once, and whoever takes it over has its future and the way to interrupt it."""
    told: list[str] = []
    future = Future[Any]()
    running = RunningCall(future, lambda: told.append("interrupt"), lambda: told.append("stop"))
    silence = running.outlived()
    assert isinstance(silence, CallTimedOut)
    late = silence.late
    assert isinstance(late, LateCall)
    assert future is late.future
    assert late.interrupt is not None
    late.interrupt()
    assert ["stop", "interrupt"] == told
    assert running.outlived() is None
    assert ["stop", "interrupt"] == told


def test_a_wait_until_a_moment_ends_then() -> None:
    """None of them has ended or outlived its time: whoever waits goes on, though they have all the time they want."""
    began = time.monotonic()
    assert wait_first_of([pending(RunningCall(Future()))], SOON) is None
    assert SOON.total_seconds() <= time.monotonic() - began < AT_ONCE


def test_a_call_outlives_its_time_when_that_is_over() -> None:
    """Not before, and not when the wait happens to look up next."""
    began = time.monotonic()
    slow, short = pending(RunningCall(Future())), pending(RunningCall(Future()).give(SOON))
    first = wait_first_of([slow, short], None)
    assert first is not None
    assert short is first[0]
    assert isinstance(first[1], CallTimedOut)
    assert SOON.total_seconds() <= time.monotonic() - began < AT_ONCE


def test_what_has_ended_is_told_first() -> None:
    """What answered within its time is no late call, whatever time it is by now."""
    future = Future[Any]()
    future.set_result(CallReturned(1))
    late, ended = pending(RunningCall(Future()).give(timedelta(0))), pending(RunningCall(future).give(timedelta(0)))
    first = wait_first_of([late, ended], None)
    assert first is not None
    assert ended is first[0]


def test_one_that_ends_is_enough() -> None:
    """The others are not waited for."""
    future = Future[Any]()
    future.set_result(CallReturned(1))
    began = time.monotonic()
    slow, ended = pending(RunningCall(Future())), pending(RunningCall(future))
    first = wait_first_of([slow, ended], None)
    assert first is not None
    assert ended is first[0]
    assert time.monotonic() - began < AT_ONCE
