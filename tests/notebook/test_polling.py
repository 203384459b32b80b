"""Who looks into a store does so often while somebody watches, seldom else, and never for much of the time."""

from __future__ import annotations

import gc
import threading
import weakref

from hypothesis import given
from hypothesis import strategies as st

from sagafsm.notebook.polling import (
    MAX_TIME_SHARE,
    POLL_OTHERWISE,
    POLL_WHILE_OPEN,
    PageActivity,
    Poller,
    compute_interval,
)


@given(st.booleans(), st.floats(0, 1_000))
def test_looking_takes_a_small_share_of_the_time(watched, took):
    wait = compute_interval(watched=watched, took=took)
    assert wait >= (POLL_WHILE_OPEN if watched else POLL_OTHERWISE)
    assert took <= MAX_TIME_SHARE * wait * (1 + 1e-9)


class Followed:
    is_watched = True
    is_page_gone = False

    def __init__(self, gate, *, fails=0):
        self.gate, self.fails = gate, fails

    def refresh(self):
        if self.fails:
            self.fails -= 1
            raise OSError("no disk")
        self.gate.set()


def test_it_looks_until_it_is_closed():
    gate = threading.Event()
    followed = Followed(gate)
    follower = Poller(weakref.ref(followed))
    follower.start()
    follower.start()
    assert gate.wait(10)
    follower.close()
    assert not follower._thread.is_alive()


def test_a_look_that_fails_is_not_the_last(caplog):
    """A store of one's own may raise anything."""
    followed = Followed(threading.Event(), fails=1)
    follower = Poller(weakref.ref(followed))
    follower.start()
    assert followed.gate.wait(10)
    follower.close()
    assert ["looking into the store failed; it is looked into again"] == [one.getMessage() for one in caplog.records]


def test_where_no_page_asks_any_more_the_thread_ends_and_begins_again_with_the_next():
    """Jupyter keeps the widgets of cells that were run again: they shall cost nothing."""
    followed = Followed(threading.Event())
    followed.is_page_gone = True
    follower = Poller(weakref.ref(followed))
    assert follower.is_idle
    follower.start()
    thread = follower._thread
    if thread is not None:
        thread.join(10)
    assert follower.is_idle
    assert not followed.gate.is_set()
    followed.is_page_gone = False
    follower.start()
    assert followed.gate.wait(10)
    follower.close()
    assert not follower.is_idle


def test_a_page_is_watched_a_while_and_forgotten_long_after_it_asked_last():
    """A hidden tab asks once a minute, and is not forgotten; without a page nothing ever is."""
    now = [0.0]
    watch, unpaged = PageActivity(is_paged=True, clock=lambda: now[0]), PageActivity(clock=lambda: now[0])
    told = []
    for at, asks in ((1, True), (5, False), (60, True), (120, True), (131, False), (400, False), (401, True)):
        now[0] = at
        told.append((at, watch.record_ping() if asks else None, watch.is_watched, watch.is_page_gone))
    assert [
        (1, False, True, False),
        (5, None, True, False),
        (60, False, True, False),
        (120, False, True, False),
        (131, None, False, False),
        (400, None, False, True),
        (401, True, True, False),
    ] == told
    assert (False, False) == (unpaged.is_watched, unpaged.is_page_gone)


def test_what_is_gone_is_followed_no_more():
    followed = Followed(threading.Event())
    follower = Poller(weakref.ref(followed))
    follower.start()
    del followed
    gc.collect()
    follower._thread.join(10)
    assert not follower._thread.is_alive()
    follower.close()
