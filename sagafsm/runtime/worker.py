"""Driving whatever can go on, as many at once as may be, until a stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import attrs

from sagafsm.engine.effects import Effects
from sagafsm.engine.operations import Operations
from sagafsm.errors import NotClaimed, SagaNotFound
from sagafsm.history.instance import SagaInstance
from sagafsm.runtime.async_performer import AsyncPerformer

log = logging.getLogger("sagafsm")
# A stop is noticed so many seconds later at most.
STOP_CHECK_SECONDS = 0.1


@attrs.define(eq=False)
class Worker:
    """Looks for what is due, and has it driven by `drive`."""

    operations: Operations
    performer: AsyncPerformer
    drive: Callable[[Effects[SagaInstance]], Awaitable[SagaInstance]]
    max_in_flight: int
    _drives: dict[str, asyncio.Task[None]] = attrs.field(factory=dict, init=False)
    _logged_errors: dict[str, str] = attrs.field(factory=dict, init=False)

    def _stopping(self) -> bool:
        return self.operations.engine.settings.stopping()

    async def serve(self, poll: timedelta) -> None:
        """Look every `poll`, until the orchestrator stops; then wait for what is under way."""
        try:
            while not self._stopping():
                await self._start_due()
                await self._rest(poll)
        except BaseException:
            for drive in self._drives.values():
                drive.cancel()
            raise
        finally:
            await asyncio.gather(*self._drives.values(), return_exceptions=True)

    async def _start_due(self) -> None:
        after: str | None = ""
        now = self.operations.engine.settings.clock.now()
        while after is not None and not self._stopping():
            due, after = await self.performer.perform(self.operations.due(now, after))
            for instance_id in due:
                while len(self._drives) >= self.max_in_flight:
                    await asyncio.wait(self._drives.values(), return_when=asyncio.FIRST_COMPLETED)
                    # Done callbacks run only once the loop turns.
                    await asyncio.sleep(0)
                if instance_id not in self._drives and not self._stopping():
                    self._begin(instance_id)

    def _begin(self, instance_id: str) -> None:
        task = self._drives[instance_id] = asyncio.create_task(self._drive_one(instance_id))
        task.add_done_callback(lambda _: self._drives.pop(instance_id, None))

    async def _drive_one(self, instance_id: str) -> None:
        try:
            await self.drive(self.operations.resume(instance_id, "without_sleep", "serve"))
        except (NotClaimed, SagaNotFound):
            # Another worker took it, or it was deleted, since the page was read.
            return
        except Exception as error:  # noqa: BLE001 - whatever a store or a resource raises; the others go on
            if not self._stopping() and self._logged_errors.get(instance_id) != repr(error):
                # Once for each trouble, not once a poll.
                self._logged_errors[instance_id] = repr(error)
                log.warning("instance %r cannot be driven: %s", instance_id, error)
        else:
            self._logged_errors.pop(instance_id, None)

    async def _rest(self, poll: timedelta) -> None:
        until = time.monotonic() + poll.total_seconds()
        while not self._stopping() and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, STOP_CHECK_SECONDS))
