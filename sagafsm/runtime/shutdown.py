"""A clean stop: what is under way is recorded, nothing new starts, and SIGTERM means the same."""

from __future__ import annotations

import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import attrs

from sagafsm.clock import LONGEST_WAIT
from sagafsm.runtime.fork_safety import reset_after_fork

TERMINATED = 128 + signal.SIGTERM


@attrs.frozen(eq=False)
class RunningOperation:
    """One that runs now, for whom, and on which thread."""

    of: Shutdown
    thread: int


# The process has one SIGTERM, so these are the process's. The handler copies them whole, which no other thread can see
# half done, and takes no lock: it interrupts whatever the main thread does, perhaps holding that very lock.
_under_way: set[RunningOperation] = set()
_open: set[Shutdown] = set()


@attrs.define(eq=False)
class Shutdown:
    """Whether an orchestrator is stopping, and which of its operations still run.

    The orchestrators made by `alongside` stop with it, because they use its store.
    """

    _asked: bool = attrs.field(default=False, init=False)
    _is_driving_stopped: bool = attrs.field(default=False, init=False)
    _signalled: bool = attrs.field(default=False, init=False)
    _idle: threading.Condition = attrs.field(factory=threading.Condition, init=False)
    _beside: tuple[weakref.ref[Shutdown], ...] = attrs.field(default=(), init=False)

    def __attrs_post_init__(self) -> None:
        reset_after_fork(self)

    def forget(self) -> None:
        """In the child of a fork only the thread that forked goes on."""
        self._idle = threading.Condition()
        _under_way.difference_update([one for one in _under_way if one.thread != threading.get_ident()])

    def __call__(self) -> bool:
        """Whether nothing new may start."""
        return self._asked

    def stop_driving(self) -> None:
        """Let the drives of this orchestrator start nothing new. Its operations still begin."""
        self._is_driving_stopped = True

    def is_driving_stopped(self) -> bool:
        """Whether a drive may start nothing new."""
        return self._asked or self._is_driving_stopped

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count an operation; after a SIGTERM during it, end the process once it has come to its clean end."""
        operation = RunningOperation(self, threading.get_ident())
        try:
            # Within the try: an interrupt right after it would leave an operation that never ends.
            _under_way.add(operation)
            yield
        finally:
            _under_way.discard(operation)
            if self._asked:
                # Nobody waits for an operation to end who has not asked for that first.
                with self._idle:
                    self._idle.notify_all()
        if self._signalled and threading.current_thread() is threading.main_thread() and not _is_main_busy():
            raise SystemExit(TERMINATED)

    def stops(self, other: Shutdown) -> None:
        """Have another stop with this one, and be waited for."""
        with self._idle:
            self._beside = (*(ref for ref in self._beside if ref() is not None), weakref.ref(other))
        # Whoever waits for this one hears of the other's end, too.
        other._idle = self._idle
        if self._asked:
            other.ask()

    def _list_all(self) -> tuple[Shutdown, ...]:
        beside = (ref() for ref in self._beside)
        return (self, *(each for one in beside if one is not None for each in one._list_all()))

    def ask(self) -> None:
        """Let nothing new start."""
        for one in self._list_all():
            one._asked = True

    def terminate(self) -> None:
        """Let nothing new start, and end the process when nothing runs on the main thread any more."""
        self._asked = self._signalled = True

    def wait(self) -> None:
        """Return once no operation runs any more."""
        family = set(self._list_all())
        with self._idle:
            while any(one.of in family for one in tuple(_under_way)):
                # An interrupt just before the notification would otherwise leave the wait without an end.
                self._idle.wait(LONGEST_WAIT)

    def install(self) -> None:
        """Take SIGTERM, on the main thread, where nobody else has: by default it kills in the middle of an action."""
        _open.add(self)
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)

    def restore(self) -> None:
        """Give SIGTERM back, when nobody else here needs it."""
        _open.discard(self)
        main = threading.current_thread() is threading.main_thread()
        if main and not _open and signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _is_main_busy() -> bool:
    main = threading.main_thread().ident
    return any(one.thread == main for one in tuple(_under_way))


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    for stopping in (*tuple(_open), *(one.of for one in tuple(_under_way))):
        stopping.terminate()
    if not _is_main_busy():
        raise SystemExit(TERMINATED)
