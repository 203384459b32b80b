"""What is sent to a page: never more than it can draw, never less than the last state, and always in order."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import attrs

PER_SECOND = 30
# A page that is behind by what was sent within this time is not behind: it is on its way.
IN_FLIGHT = 1.0
# So many times as long as a picture took to draw nothing is drawn again: what drives the instance needs its time too.
PAUSE_FACTOR = 3
PageMessage = dict[str, Any]


@attrs.frozen(kw_only=True)
class PageState:
    """All that a page shows.

    `panes` are pieces of HTML by name; `history_key` names the instance whose events the rows are, `rows` draws those
    behind the first so many, of `total`; `facts` is what else it has to know.
    """

    panes: Mapping[str, str]
    history_key: str
    total: int
    rows: Callable[[int], str]
    facts: Mapping[str, Any] = attrs.Factory(dict)


def ignore_change(*, urgent: bool) -> None:
    """Do nothing: the listener of a model while no page shows the model."""


def to_plain_str(html: str) -> str:
    """The same characters as no more than a string: marimo puts an object in the place of one that knows better."""
    return str(html)


def call_later(delay: float, call: Callable[[], None]) -> None:
    """Have something called in so many seconds, on a thread that keeps no process alive."""
    timer = threading.Timer(delay, call)
    timer.daemon = True
    timer.start()


@attrs.define(eq=False)
class PageUpdater:
    """Sends what has changed, 30 times a second at most; the last change always goes out, and an urgent one at once.

    `draw` gives the present picture, `send` takes a message to the page. Each message has a number, one more than that
    of the one before, so that a page sees when it missed one, and asks for all.
    """

    draw: Callable[[], PageState]
    send: Callable[[PageMessage], None]
    clock: Callable[[], float] = time.monotonic
    later: Callable[[float, Callable[[], None]], None] = call_later
    seq: int = attrs.field(default=0, init=False)
    is_closed: bool = attrs.field(default=False, init=False)
    _panes: dict[str, str] = attrs.field(factory=dict, init=False)
    _facts: dict[str, Any] = attrs.field(factory=dict, init=False)
    _history_key: str = attrs.field(default="", init=False)
    _rows: int = attrs.field(default=0, init=False)
    _last: float = attrs.field(default=float("-inf"), init=False)
    _pause: float = attrs.field(default=1 / PER_SECOND, init=False)
    _is_due: bool = attrs.field(default=False, init=False)
    _sent: deque[tuple[float, int]] = attrs.field(factory=lambda: deque(maxlen=4 * PER_SECOND), init=False)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)

    def request_update(self, *, urgent: bool = False) -> None:
        """Something is to be shown: now, when nothing was shown of late, else as soon as may be."""
        with self._lock:
            wait = self._last + self._pause - self.clock()
            if self.is_closed or (self._is_due and not urgent):
                return
            if wait > 0 and not urgent:
                self._is_due = True
                self.later(wait, self._flush_due)
                return
            self.flush()

    def _flush_due(self) -> None:
        with self._lock:
            # An urgent one may have gone out meanwhile, with all that was due.
            if self._is_due and not self.is_closed:
                self.flush()

    def flush(self, *, full: bool = False) -> None:
        """Send what has changed since the last message; `full`: all there is."""
        with self._lock:
            self._is_due = False
            began = self.clock()
            message = self._make_message(self.draw(), full=full)
            self._pause = max(1 / PER_SECOND, PAUSE_FACTOR * (self.clock() - began))
            if message is None:
                return
            self._last = self.clock()
            self.seq += 1
            self._sent.append((self._last, self.seq))
            self.send({"kind": "frame", "seq": self.seq, **message})

    def make_full_frame(self) -> PageMessage:
        """All there is as of the last message, for a page that begins; its number is that of the last message."""
        with self._lock:
            picture = self.draw()
            if self.seq == 0:
                # Nobody has seen anything yet: the messages to come go on from here.
                self._remember(picture)
            return {"kind": "frame", "seq": self.seq, **self._make_full_message(picture)}

    def seen(self, seq: int) -> bool:
        """Whether a page that has seen up to this number missed nothing that was not just sent; else all is sent."""
        with self._lock:
            long_ago = self.clock() - IN_FLIGHT
            while len(self._sent) > 1 and self._sent[1][0] <= long_ago:
                self._sent.popleft()
            reached = self._sent[0][1] if self._sent and self._sent[0][0] <= long_ago else 0
            if seq > self.seq or seq < reached:
                self.flush(full=True)
                return False
            return True

    def close(self) -> None:
        """Send nothing any more."""
        with self._lock:
            self.is_closed = True

    def _make_message(self, picture: PageState, *, full: bool) -> PageMessage | None:
        """What is to be sent; None: nothing has changed."""
        if full or picture.history_key != self._history_key or picture.total < self._rows:
            self._remember(picture)
            return self._make_full_message(picture)
        panes = {name: to_plain_str(html) for name, html in picture.panes.items() if self._panes.get(name) != html}
        facts = {name: value for name, value in picture.facts.items() if self._facts.get(name) != value}
        first = self._rows
        if not panes and not facts and picture.total == first:
            return None
        rows = to_plain_str(picture.rows(first)) if picture.total > first else ""
        self._remember(picture)
        return {"panes": panes, **facts, "rows": rows, "first": first, "total": picture.total}

    @staticmethod
    def _make_full_message(picture: PageState) -> PageMessage:
        return {
            "full": True,
            "panes": {name: to_plain_str(html) for name, html in picture.panes.items()},
            **picture.facts,
            "rows": to_plain_str(picture.rows(0)),
            "first": 0,
            "total": picture.total,
        }

    def _remember(self, picture: PageState) -> None:
        self._panes, self._facts = dict(picture.panes), dict(picture.facts)
        self._history_key, self._rows = picture.history_key, picture.total
