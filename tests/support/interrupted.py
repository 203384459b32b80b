"""A process for the exams of Ctrl-C and SIGTERM: it runs one saga, whose step `b` takes long, and tells what happens.

    python interrupted.py STORE WAY

It prints "in b" once that action runs, then what becomes of it, and at last what its main program saw.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from datetime import timedelta
from typing import Any

from sagafsm import AsyncOrchestrator, Orchestrator, Saga

LONG = 5.0


def say(text: str) -> None:
    print(text, flush=True)


def in_steps(seconds: float) -> None:
    """Sleep so that an exception raised from outside arrives."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)


def slow() -> str:
    try:
        say("in b")
        in_steps(float(sys.argv[3]) if len(sys.argv) > 3 else LONG)
    except BaseException as error:
        say(f"b got {type(error).__name__}")
        raise
    say("b returns")
    return "b!"


async def slow_async() -> str:
    try:
        say("in b")
        await asyncio.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else LONG)
    except BaseException as error:
        say(f"b got {type(error).__name__}")
        raise
    say("b returns")
    return "b!"


def saga(way: str) -> Saga:
    order = Saga("order")
    order.add_step("a", lambda: "a!", lambda: None)
    options: dict[str, Any] = {"timeout": timedelta(seconds=20)} if "timeout" in way else {}
    order.add_step("b", slow_async if "async action" in way else slow, lambda: None, **options)
    order.add_step("c", lambda: say("in c"))
    return order


def main(url: str, way: str) -> None:
    order = saga(way)
    if way.startswith("sync"):
        with Orchestrator(url, owner="child") as orchestrator:
            try:
                say(f"left {orchestrator.run(order, 'mug', id='o-1').state}")
            except BaseException as error:
                seen(error, url)
                raise
        return

    async def run() -> None:
        async with AsyncOrchestrator(url, owner="child") as orchestrator:
            try:
                say(f"left {(await orchestrator.run(order, 'mug', id='o-1')).state}")
            except BaseException as error:
                seen(error, url)
                raise

    asyncio.run(run())


def seen(error: BaseException, url: str) -> None:
    say(f"main got {type(error).__name__}: {'; '.join(getattr(error, '__notes__', []))}")
    with Orchestrator(url) as other:
        say(f"owner {other.get('o-1').owner}")


if __name__ == "__main__":
    # A process inherits an ignored SIGINT (from `nohup`, or as a background job), and Python keeps it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(sys.argv[1], sys.argv[2])
