"""Looking into the store, for what is done to an instance elsewhere: often while somebody looks on, seldom else."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

import attrs

_log = logging.getLogger("sagafsm")
POLL_WHILE_OPEN = 0.5
POLL_OTHERWISE = 5.0
# A look takes as much of the time as this, at most: a history of ten thousand events is read less often.
MAX_TIME_SHARE = 0.05
# A page asks every two seconds. One that was not heard of for so many is not looked at; in a hidden tab a browser lets
# it ask once a minute; and longer than that only those are silent that were closed, or whose cell was run again.
OPEN_FOR = 10.0
GONE_AFTER = 150.0


@attrs.define(eq=False)
class PageActivity:
    """When a page was last heard of; `is_paged` says whether there is any page at all."""

    is_paged: bool = False
    clock: Callable[[], float] = time.monotonic
    _last_ping: float = attrs.field(default=float("-inf"), init=False)
    _last_ping_or_start: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._last_ping_or_start = self.clock()

    def record_ping(self) -> bool:
        """Take in that a page asks; whether it had been forgotten."""
        was_forgotten = self.is_page_gone
        self._last_ping = self._last_ping_or_start = self.clock()
        return was_forgotten

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks on now."""
        return self.clock() - self._last_ping < OPEN_FOR

    @property
    def is_page_gone(self) -> bool:
        """Whether no page will ever ask again, as far as can be told."""
        return self.is_paged and self.clock() - self._last_ping_or_start > GONE_AFTER


class Pollable(Protocol):
    """What is kept up to date by looking."""

    def refresh(self) -> None:
        """Look."""
        ...

    @property
    def is_watched(self) -> bool:
        """Whether something may change, and somebody looks on."""
        ...

    @property
    def is_page_gone(self) -> bool:
        """Whether nobody looks on any more."""
        ...


def compute_interval(*, watched: bool, took: float) -> float:
    """How many seconds to the next look, when the last one took so long."""
    return max(POLL_WHILE_OPEN if watched else POLL_OTHERWISE, took / MAX_TIME_SHARE)


@attrs.define(eq=False)
class Poller:
    """Looks, on a thread of its own that ends when it is closed or what it follows is forgotten or gone."""

    target: weakref.ref[Pollable]
    clock: Callable[[], float] = time.monotonic
    _closed: threading.Event = attrs.field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def start(self) -> None:
        """Begin to look; while it looks, and once it is closed, nothing changes."""
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._poll, name="sagafsm-follow", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    @property
    def is_idle(self) -> bool:
        """Whether it does not look, and may begin to."""
        return self._thread is None and not self._closed.is_set()

    def _poll(self) -> None:
        wait = POLL_WHILE_OPEN
        while not self._closed.wait(wait):
            alive = self.target()
            if alive is None:
                return
            if alive.is_page_gone:
                with self._lock:
                    self._thread = None
                return
            began = self.clock()
            try:
                alive.refresh()
            except Exception:  # noqa: BLE001 - whatever is wrong, the next look may go well
                _log.exception("looking into the store failed; it is looked into again")
            wait = compute_interval(watched=alive.is_watched, took=self.clock() - began)
            del alive
