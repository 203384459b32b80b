"""The resources of a run: given by name, and entered once where they are async context managers."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from sagafsm.definition import Definition
from sagafsm.errors import ResourceMissing


def is_factory(resource: object) -> bool:
    """Whether a resource is an async context manager factory: `@asynccontextmanager`, or a class of such managers."""
    if isinstance(resource, type):
        return hasattr(resource, "__aenter__")
    return inspect.isasyncgenfunction(getattr(resource, "__wrapped__", None))


@attrs.define(eq=False)
class Kept:
    """One entered context manager. It is entered and left by the same task, as cancel scopes demand."""

    factory: Callable[[], Any]
    value: Any = attrs.field(default=None, init=False)
    _closing: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _task: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    async def enter(self) -> Any:
        """The value of the context manager, which stays entered until `leave`."""
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep(entered))
        await asyncio.wait({self._task, entered}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            await self._task
        return self.value

    async def _keep(self, entered: asyncio.Future[None]) -> None:
        async with self.factory() as self.value:
            entered.set_result(None)
            await self._closing.wait()

    async def leave(self) -> None:
        """Leave the context manager."""
        self._closing.set()
        if self._task is not None:
            await self._task


@attrs.define(eq=False)
class Resources:
    """Every factory that an orchestrator has entered, by the factory itself."""

    _kept: dict[int, Kept] = attrs.field(factory=dict, init=False)

    @property
    def entered(self) -> bool:
        """Whether any is."""
        return bool(self._kept)

    async def enter(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The resources as steps get them."""
        return {name: await self._entered(value) if is_factory(value) else value for name, value in given.items()}

    async def _entered(self, factory: Callable[[], Any]) -> Any:
        if id(factory) not in self._kept:
            kept = Kept(factory)
            value = await kept.enter()
            self._kept[id(factory)] = kept
            return value
        return self._kept[id(factory)].value

    async def leave(self) -> None:
        """Leave all of them, the last entered first."""
        while self._kept:
            _, kept = self._kept.popitem()
            await kept.leave()


def needed(definition: Definition, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the given resources that the saga declares.

    Raises:
        ResourceMissing: one is not there.
    """
    missing = [name for name in definition.resources if name not in given]
    if missing:
        raise ResourceMissing(definition.saga, missing, given)
    return {name: given[name] for name in definition.resources}
