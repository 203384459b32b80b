"""Interrupts at a chosen line of the SQL adapter."""

from __future__ import annotations

import functools
import sys
import threading


def in_own_thread(test):
    """Run a test in a thread of its own.

    An exception that a trace function raises within an `except` block can leave that block's exception set as the one
    that the thread handles (seen on Python 3.11). A later test on the same thread would take it for its caller's.
    """

    @functools.wraps(test)
    def run(*args, **named):
        failures = []

        def work():
            try:
                test(*args, **named)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    return run


class Interrupted(BaseException):
    pass


def interrupted_at(line, call, modules=("store", "writes", "connections", "sqlite", "tables")):
    """Make the call, interrupted before the given line of these modules of the adapter; whether it was."""
    files = tuple(f"sagafsm_adapters/sql/{module}.py" for module in modules)
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        # An interrupt in a finalizer is not raised anywhere: Python prints it.
        if not frame.f_code.co_filename.endswith(files) or _is_finalizing(frame):
            return None
        if event == "line":
            seen += 1
            if seen == line:
                raise Interrupted
        return trace

    old = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except Interrupted:
        return True
    finally:
        sys.settrace(old)
    return False


def _is_finalizing(frame):
    """Whether it runs for a finalizer, which may come at any moment, of any object."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
