"""Interrupts at a chosen line of the SQL adapter."""

from __future__ import annotations

import sys


class Interrupted(BaseException):
    pass


def interrupted_at(line, call, modules=("store", "writing", "connections", "sqlite", "schema")):
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
