"""`sagafsm serve`: an orchestrator on a loop of its own, until a signal stops it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from datetime import timedelta

from sagafsm.async_orchestrator import AsyncOrchestrator
from sagafsm.cli.loading import load_resources, load_saga


def serve_until_stopped(
    store: str, sagas: Sequence[str], resources: str | None, *, max_in_flight: int, poll: timedelta
) -> None:
    """Drive whatever can go on; the first Ctrl-C drains, as SIGTERM does."""
    known, given = [load_saga(spec) for spec in sagas], load_resources(resources, store)

    async def serve() -> None:
        async with AsyncOrchestrator(store, sagas=known, resources=given, max_in_flight=max_in_flight) as orchestrator:
            closing: list[asyncio.Task[None]] = []

            def drain() -> None:
                closing.append(asyncio.ensure_future(orchestrator.close()))
                # The second one interrupts what is under way.
                asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, drain)
            await orchestrator.serve(poll=poll)
            await asyncio.gather(*closing)

    asyncio.run(serve())
