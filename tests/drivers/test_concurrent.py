"""Beside each other: what ends or outlives its time first is told, once, with all it takes to end it later."""

from __future__ import annotations

import time
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

from sagafsm.drivers.concurrent import Running, first_of
from sagafsm.drivers.effects import Answer, Pending, Silence
from sagafsm.drivers.workers import LateCall

SOON = timedelta(milliseconds=5)
# Less than a turn of the wait takes.
AT_ONCE = 0.5


def pending(running: Running) -> Pending:
    call: Any = None
    return Pending(call, handle=running)


def test_what_outlives_its_time_can_still_be_interrupted() -> None:
    """It is asked to end, once, and whoever takes it over has its future and the way to interrupt it."""
    told: list[str] = []
    future = Future[Any]()
    running = Running(future, lambda: told.append("interrupt"), lambda: told.append("stop"))
    silence = running.outlived()
    assert isinstance(silence, Silence)
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
    assert first_of([pending(Running(Future()))], SOON) is None
    assert SOON.total_seconds() <= time.monotonic() - began < AT_ONCE


def test_a_call_outlives_its_time_when_that_is_over() -> None:
    """Not before, and not when the wait happens to look up next."""
    began = time.monotonic()
    slow, short = pending(Running(Future())), pending(Running(Future()).give(SOON))
    first = first_of([slow, short], None)
    assert first is not None
    assert short is first[0]
    assert isinstance(first[1], Silence)
    assert SOON.total_seconds() <= time.monotonic() - began < AT_ONCE


def test_what_has_ended_is_told_first() -> None:
    """What answered within its time is no late call, whatever time it is by now."""
    future = Future[Any]()
    future.set_result(Answer(1))
    late, ended = pending(Running(Future()).give(timedelta(0))), pending(Running(future).give(timedelta(0)))
    first = first_of([late, ended], None)
    assert first is not None
    assert ended is first[0]


def test_one_that_ends_is_enough() -> None:
    """The others are not waited for."""
    future = Future[Any]()
    future.set_result(Answer(1))
    began = time.monotonic()
    slow, ended = pending(Running(Future())), pending(Running(future))
    first = first_of([slow, ended], None)
    assert first is not None
    assert ended is first[0]
    assert time.monotonic() - began < AT_ONCE
