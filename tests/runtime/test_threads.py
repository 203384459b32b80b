"""Law 12: a call on a thread always tells how it ended, whenever it is interrupted; a fork begins without threads."""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from sagafsm.engine.effects import CallRaised, CallReturned
from sagafsm.runtime import fork_safety
from sagafsm.runtime.fork_safety import reset_after_fork
from sagafsm.runtime.threads import LateCall, WorkerCall

# So many interrupts are sent as a call ends; a future that one of them could leave unset is found in a few.
TURNS = 300


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Keep the garbage collector out: an interrupt within one of its callbacks is only printed, and never raised.

    Python prints it as an "Exception ignored", which fails the test as every warning does.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def strike() -> None:
    """Raise KeyboardInterrupt in this thread, as soon as its interpreter looks, as `interrupt` does from another."""
    ident, error = ctypes.c_ulong(threading.get_ident()), ctypes.py_object(KeyboardInterrupt)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, error)


def interrupted_last(**options: Any) -> WorkerCall:
    """A call whose last act, in C, is to interrupt its thread, so that the interpreter looks up only behind it.

    It returns then, or raises a TypeError where it is told to ask the `len` of a number.
    """

    def idents() -> Iterator[ctypes.c_ulong]:
        call._sent = True
        yield ctypes.c_ulong(threading.get_ident())

    strikes = map(ctypes.pythonapi.PyThreadState_SetAsyncExc, idents(), [ctypes.py_object(KeyboardInterrupt)])
    call = WorkerCall(functools.partial(max, strikes, **options))
    return call


@pytest.mark.parametrize("options", [{}, {"key": len}], ids=["returned", "raised"])
def test_an_interrupt_as_the_call_ends_leaves_no_future_unset(options: dict[str, Any]) -> None:
    """It is raised in our own code then, also where that handles what the call has raised."""
    for _ in range(100):
        call = interrupted_last(**options).start()
        assert isinstance(call.future.exception(5), KeyboardInterrupt | None)


@pytest.mark.parametrize("act", [int, lambda: int("none")], ids=["returned", "raised"])
def test_an_interrupt_as_the_end_is_noted_leaves_no_future_unset(act: Callable[[], Any]) -> None:
    """Sent by whoever had the lock for which the end waits, it is raised within; what the call gave still counts."""

    class Struck:
        """A lock that is had by the one who interrupts when the thread comes by for the second time."""

        def __init__(self) -> None:
            self.lock, self.entered = threading.Lock(), 0

        def __enter__(self) -> None:
            self.entered += 1
            if self.entered == 2:
                strike()
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    for _ in range(100):
        call = WorkerCall(act)
        lock: Any = Struck()
        call._lock = lock
        reply = call.start().future.result(1)
        assert isinstance(reply, CallReturned if act is int else CallRaised)
        assert not lock.lock.locked()


@pytest.fixture
def by_turns() -> Iterator[None]:
    """Threads take turns as often as the interpreter lets them, so that they meet anywhere."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("by_turns")
def test_an_interrupt_from_another_thread_leaves_no_future_unset() -> None:
    """At whatever moment of the end it comes, the call is over within the interrupt, and its thread with it."""
    for turn in range(TURNS):
        about_to_end = threading.Event()

        def act(about_to_end: threading.Event = about_to_end, turn: int = turn) -> None:
            about_to_end.set()
            for _ in range(turn % 50):
                pass

        call = WorkerCall(act).start()
        assert about_to_end.wait(1)
        call.interrupt()
        assert call.future.done()
        assert isinstance(call.future.exception(), KeyboardInterrupt | None)
        assert call._thread is not None
        assert not call._thread.is_alive()


def test_a_call_that_has_ended_is_not_interrupted() -> None:
    """Nothing is raised in a thread that may be another's by then."""
    call = WorkerCall(lambda: 1).start()
    reply = call.future.result(1)
    call.interrupt()
    assert isinstance(reply, CallReturned)
    assert 1 == reply.value
    assert not call._sent


def test_a_call_that_is_interrupted_before_it_begins_never_does() -> None:
    """Ctrl-C while its thread is started: it is told as interrupted, and its function is not called."""
    called: list[int] = []
    call = WorkerCall(lambda: called.append(1))
    call.interrupt()
    call._run()
    assert isinstance(call.future.exception(1), KeyboardInterrupt)
    assert [] == called


def test_a_fork_has_every_service_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that hold threads are told, those that are gone are not missed."""

    class Service:
        told = 0

        def forget(self) -> None:
            self.told += 1

    monkeypatch.setattr(fork_safety, "_fork_aware", weakref.WeakSet())
    services, gone = [Service(), Service()], Service()
    for service in (*services, gone):
        reset_after_fork(service)
    del gone, service
    fork_safety._reset_all()
    assert [1, 1] == [service.told for service in services]


def test_a_late_call_that_says_nothing_is_not_told() -> None:
    """Cancelled for its lateness, it has nothing to record."""
    told: list[str] = []
    for give in (Future.cancel, lambda future: future.set_result(CallReturned(1))):
        future = Future[Any]()
        LateCall(future).when_done(lambda: told.append("ended"))
        give(future)
    assert ["ended"] == told


def test_a_call_keeps_no_process_alive() -> None:
    """Its thread is a daemon."""
    call = WorkerCall(int).start()
    call.future.result(1)
    assert call._thread is not None
    assert call._thread.daemon


@pytest.mark.parametrize("end", ["by itself", "by an interrupt"])
def test_the_end_of_a_call_leaves_the_interpreter_as_it_was(end: str) -> None:
    """CPython 3.11 hangs in what is traced (by a debugger, say) when an exception was taken back that never came."""
    inside = threading.Event()

    def act() -> None:
        inside.set()
        while end != "by itself":
            pass

    def traced() -> None:
        sys.settrace(lambda *_: None)
        plain()

    def plain() -> None:
        traced_to_the_end.set()

    traced_to_the_end = threading.Event()
    call = WorkerCall(act).start()
    assert inside.wait(1)
    if end != "by itself":
        call.interrupt()
    assert (end == "by an interrupt") == isinstance(call.future.exception(1), KeyboardInterrupt)
    threading.Thread(target=traced, daemon=True).start()
    assert traced_to_the_end.wait(2)
