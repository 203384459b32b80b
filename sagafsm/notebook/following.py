"""Looking into the store, for what is done to an instance elsewhere: often while somebody looks on, seldom else."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

import attrs

OFTEN = 0.5
SELDOM = 5.0
# A look takes as much of the time as this, at most: a history of ten thousand events is read less often.
SHARE = 0.05


class Followed(Protocol):
    """What is kept up to date by looking."""

    def refresh(self) -> None:
        """Look."""
        ...

    @property
    def is_watched(self) -> bool:
        """Whether something may change, and somebody looks on."""
        ...


def interval(*, watched: bool, took: float) -> float:
    """How many seconds to the next look, when the last one took so long."""
    return max(OFTEN if watched else SELDOM, took / SHARE)


@attrs.define(eq=False)
class Follower:
    """Looks, on a thread of its own that ends when it is closed or what it follows is forgotten."""

    followed: weakref.ref[Followed]
    clock: Callable[[], float] = time.monotonic
    _closed: threading.Event = attrs.field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False)

    def start(self) -> None:
        """Begin to look; again changes nothing."""
        if self._thread is None and not self._closed.is_set():
            arguments = (self.followed, self._closed, self.clock)
            self._thread = threading.Thread(target=_follow, args=arguments, name="sagafsm-follow", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()


def _follow(followed: weakref.ref[Followed], closed: threading.Event, clock: Callable[[], float]) -> None:
    wait = OFTEN
    while not closed.wait(wait):
        alive = followed()
        if alive is None:
            return
        began = clock()
        alive.refresh()
        wait = interval(watched=alive.is_watched, took=clock() - began)
        del alive
