"""Run code in the child of a fork."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable


def in_child(work: Callable[[], bool]) -> bool:
    """Return whether `work` returns true in the child of a fork, within five seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, which is the point
        child = os.fork()
    if child == 0:
        try:
            threading.Timer(5, os._exit, (3,)).start()
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
