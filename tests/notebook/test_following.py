"""Who looks into a store does so often while somebody watches, seldom else, and never for much of the time."""

from __future__ import annotations

import gc
import threading
import weakref

from hypothesis import given
from hypothesis import strategies as st

from sagafsm.notebook.following import OFTEN, SELDOM, SHARE, Follower, interval


@given(st.booleans(), st.floats(0, 1_000))
def test_looking_takes_a_small_share_of_the_time(watched, took):
    wait = interval(watched=watched, took=took)
    assert wait >= (OFTEN if watched else SELDOM)
    assert took <= SHARE * wait * (1 + 1e-9)


class Followed:
    is_watched = True

    def __init__(self, gate):
        self.gate = gate

    def refresh(self):
        self.gate.set()


def test_it_looks_until_it_is_closed():
    gate = threading.Event()
    followed = Followed(gate)
    follower = Follower(weakref.ref(followed))
    follower.start()
    follower.start()
    assert gate.wait(10)
    follower.close()
    assert not follower._thread.is_alive()


def test_what_is_forgotten_is_followed_no_more():
    followed = Followed(threading.Event())
    follower = Follower(weakref.ref(followed))
    follower.start()
    del followed
    gc.collect()
    follower._thread.join(10)
    assert not follower._thread.is_alive()
    follower.close()
