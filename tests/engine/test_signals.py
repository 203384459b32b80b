"""Law 18: a SIGTERM drains every orchestrator of the process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from sagafsm.runtime.shutdown import TERMINATED, Shutdown


@pytest.fixture(autouse=True)
def default() -> Iterator[None]:
    """No handler but our own."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    assert signal.SIG_DFL is signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)


def sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("busy", [0, 1])
def test_a_sigterm_drains_whichever_orchestrator_works(busy: int) -> None:
    """Law 18: the action under way ends first, also that of an orchestrator which did not install the handler."""
    both = (Shutdown(), Shutdown())
    seen: list[str] = []

    def work() -> None:
        with both[busy].working():
            sigterm()
            seen.append("went on")

    for one in both:
        one.install()
    try:
        with pytest.raises(SystemExit) as caught:
            work()
    finally:
        for one in both:
            one.restore()
    assert TERMINATED == caught.value.code
    assert ["went on"] == seen
    assert all(one() for one in both)


def test_a_nested_orchestrator_ends_with_the_outer_one() -> None:
    """Law 18: the process ends after the clean end of all that runs on its main thread."""
    outer, inner = Shutdown(), Shutdown()
    seen: list[str] = []

    def work() -> None:
        with outer.working():
            with inner.working():
                sigterm()
            seen.append("outer went on")

    inner.install()
    try:
        with pytest.raises(SystemExit):
            work()
    finally:
        inner.restore()
    assert ["outer went on"] == seen


def test_the_handler_stays_until_the_last_is_gone() -> None:
    """Law 18: one that closes does not expose the others to the default, which kills in the middle of an action."""
    first, second = Shutdown(), Shutdown()
    first.install()
    second.install()
    first.restore()
    with pytest.raises(SystemExit):
        sigterm()
    assert second()
    assert not first()
    second.restore()


def test_somebody_elses_handler_is_left_alone() -> None:
    """Law 18: SIGTERM is taken only where nobody has it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stopping = Shutdown()
    stopping.install()
    assert signal.SIG_IGN is signal.getsignal(signal.SIGTERM)
    stopping.restore()
    assert signal.SIG_IGN is signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_an_interrupted_operation_runs_no_more() -> None:
    """Law 18: a Ctrl-C at any moment leaves no operation for which `close()` would wait for ever."""
    stopping = Shutdown()
    with pytest.raises(KeyboardInterrupt), stopping.working():
        raise KeyboardInterrupt
    stopping.wait()
