"""How many calls of one step run at once under one orchestrator, over all its instances."""

from __future__ import annotations

import asyncio
from collections import deque

import attrs

from sagafsm.clock import LONGEST_WAIT
from sagafsm.core.commands import Run, RunAction
from sagafsm.definition.definition import Definition

LimitKey = tuple[str, int, str]


@attrs.define(eq=False)
class Limits:
    """Counts the calls of steps that have a `max_concurrency`; it belongs to one event loop, and has no lock."""

    _running: dict[LimitKey, int] = attrs.field(factory=dict, init=False)
    _waiting: dict[LimitKey, deque[asyncio.Future[None]]] = attrs.field(factory=dict, init=False)

    def key(self, definition: Definition, run: Run) -> LimitKey | None:
        """What a call counts as; None: it is not limited."""
        if not isinstance(run, RunAction) or definition.by_name[run.step].max_concurrency is None:
            return None
        return definition.saga, definition.version, run.step

    def acquire(self, definition: Definition, run: Run) -> bool:
        """Count a call that is to start; False: it must wait until another has ended."""
        key, limit = self.key(definition, run), definition.by_name[run.step].max_concurrency
        if key is None or limit is None:
            return True
        if self._running.get(key, 0) >= limit:
            return False
        self._running[key] = self._running.get(key, 0) + 1
        return True

    def release(self, definition: Definition, run: Run) -> None:
        """A call that was counted has ended, or was not begun after all: the next may look."""
        key = self.key(definition, run)
        if key is not None:
            self._running[key] -= 1
            self._wake(key)

    def _wake(self, key: LimitKey) -> None:
        waiting = self._waiting.get(key, deque())
        while waiting:
            future = waiting.popleft()
            if not future.done():
                future.set_result(None)
                return

    async def freed(self, key: LimitKey, limit: int) -> None:
        """Return when a call of that step may start, as far as one can tell now, or when it is time to look around.

        Whoever waits here also has mail, a deadline and a stop to look at.
        """
        if self._running.get(key, 0) < limit:
            return
        future = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(key, deque())
        waiting.append(future)
        try:
            await asyncio.wait({future}, timeout=LONGEST_WAIT)
        except asyncio.CancelledError:
            if future.done():
                # It was woken and will not look: the next one must.
                self._wake(key)
            raise
        finally:
            if not future.done():
                waiting.remove(future)

    def notify(self, key: LimitKey, limit: int) -> None:
        """Wake the next one, where whoever was woken has not started a call."""
        if self._running.get(key, 0) < limit:
            self._wake(key)
