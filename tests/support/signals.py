"""Ctrl-C in tests, also where the parent ignores it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ctrl_c_heard() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt within the block.

    A process inherits an ignored SIGINT (from `nohup`, or as a background job of a shell), and Python keeps it ignored.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
