"""A thread that ran a call leaves nothing behind in the interpreter."""

from __future__ import annotations

import subprocess
import sys

TRACED = """
import sys
from datetime import timedelta
from sagafsm import Saga

saga = Saga("timed")
saga.add_step("a", lambda: 1, timeout=timedelta(seconds=60))
print(saga.run(None).state)

def traced():
    return "through"

sys.settrace(lambda *_: None)
print(traced())
"""


def test_a_debugger_gets_through_after_a_call_on_a_thread() -> None:
    """Python 3.11 turns on the spot under a tracer once an interrupt was taken back, instead of raised."""
    done = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True, timeout=60, check=False)

    assert ("completed\nthrough\n", "") == (done.stdout, done.stderr)
