"""Calls beside each other without threads: one at a time on the caller's thread, in an order drawn from a seed.

What a thread pool may do is done here on purpose, and again in the same way: calls begin all at once or as late as can
be, end in any order, and backoffs pass while they run.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sagafsm import Orchestrator
from sagafsm.clock import Clock
from sagafsm.engine.effects import Effect, PendingCall, Reply, WaitAll
from sagafsm.runtime.lease_renewal import LeaseRenewer
from sagafsm.runtime.sync_performer import SyncPerformer


class TurnPerformer(SyncPerformer):
    """A sync performer in whose groups every member has its turn."""

    def __init__(self, clock: Clock, seed: int) -> None:
        super().__init__(clock)
        self.random = random.Random(seed)
        self.eager = self.random.random() < 0.5

    def _reply(self, effect: Effect) -> Any:
        # What has begun here has ended, too.
        return None if isinstance(effect, WaitAll) else super()._reply(effect)

    def _first(
        self, pending: Sequence[PendingCall], until: timedelta | None
    ) -> tuple[PendingCall, Reply | None] | None:
        waiting = [call for call in pending if call.handle is None]
        self.random.shuffle(waiting)
        ended = [call for call in pending if call.handle is not None]
        for call in waiting if self.eager or not ended else ():
            call.handle = self._call(call.call)
            ended.append(call)
            if not self.eager:
                break
        if until is not None and self.random.random() < 0.4:
            self.clock.sleep(until)
            return None
        first = self.random.choice(ended)
        return first, first.handle


class ThreadlessKeeper(LeaseRenewer):
    """Renews nothing: nobody else is there to take a lease that runs out."""

    def _begin(self) -> None:
        return


def take_turns(orchestrator: Orchestrator, clock: Clock, seed: int) -> None:
    """Have an orchestrator perform its effects in turns, and do without threads altogether."""
    orchestrator._performer = TurnPerformer(clock, seed)
    orchestrator._operations.engine.keeper = ThreadlessKeeper(timedelta(seconds=30))
