"""The resources of a run: given by name, and entered once where they are async context managers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from sagafsm.runtime.fork_safety import kept_after_fork, reset_after_fork


def is_factory(resource: object) -> bool:
    """Whether a resource is an async context manager factory: `@asynccontextmanager`, or a class of such managers."""
    if isinstance(resource, type):
        return hasattr(resource, "__aenter__")
    return inspect.isasyncgenfunction(getattr(resource, "__wrapped__", None))


@attrs.define(eq=False)
class EnteredResources:
    """Every factory that an orchestrator has entered, by the factory itself."""

    _kept: dict[int, Any] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        reset_after_fork(self)

    def forget(self) -> None:
        """In the child of a fork none is: they are the parent's to leave, on its loop."""
        kept_after_fork.append(self._kept)
        self._kept = {}

    @property
    def entered(self) -> bool:
        """Whether any is."""
        return bool(self._kept)

    async def enter(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The resources as steps get them."""
        return {name: await self._entered(value) if is_factory(value) else value for name, value in given.items()}

    async def _entered(self, factory: Callable[[], Any]) -> Any:
        # Kept before it is entered: another instance that asks meanwhile waits for the same one.
        from sagafsm.runtime.entered_resource import EnteredResource  # noqa: PLC0415 - it takes asyncio, for which nobody else shall pay

        kept: EnteredResource = self._kept.setdefault(id(factory), EnteredResource(factory))
        try:
            return await kept.enter()
        finally:
            if kept.failed and self._kept.get(id(factory)) is kept:
                del self._kept[id(factory)]

    async def leave(self) -> None:
        """Leave all of them, the last entered first; one that raises does not keep the others."""
        try:
            if self._kept:
                _, kept = self._kept.popitem()
                await kept.leave()
        finally:
            if self._kept:
                await self.leave()
