"""An async context manager that stays entered between runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import attrs


@attrs.define(eq=False)
class EnteredResource:
    """One entered context manager. It is entered and left by the same task, as cancel scopes demand."""

    factory: Callable[[], Any]
    value: Any = attrs.field(default=None, init=False)
    _entered: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _closing: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _task: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    async def enter(self) -> Any:
        """The value of the context manager, which stays entered until `leave`; for all who ask, entered once."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep())
        opening = asyncio.ensure_future(self._entered.wait())
        try:
            await asyncio.wait({self._task, opening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            opening.cancel()
        if self.failed:
            await self._task
        return self.value

    @property
    def failed(self) -> bool:
        """Whether it could not be entered."""
        return self._task is not None and self._task.done() and not self._entered.is_set()

    async def _keep(self) -> None:
        async with self.factory() as self.value:
            self._entered.set()
            await self._closing.wait()

    async def leave(self) -> None:
        """Leave the context manager."""
        self._closing.set()
        if self._task is not None:
            await self._task
