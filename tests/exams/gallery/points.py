"""The points of a trial: resources and the store as one life sees them, each call by way of the trial."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Sequence
from typing import Any

import attrs

from support.stores import Crash, Wrapped


class Refusal(Exception):
    """A definite refusal that the schedule has a service give."""


@attrs.frozen(eq=False)
class Later:
    """An awaitable answer, after which the schedule may have its say."""

    inner: Any
    after: Callable[[], None]

    def __await__(self) -> Generator[Any, None, Any]:
        answer = yield from self.inner.__await__()
        self.after()
        return answer


@attrs.define(eq=False)
class Life:
    """One process: dead, nothing that it does reaches anything any more."""

    dead: bool = False

    def check(self) -> None:
        if self.dead:
            raise Crash

    def die(self) -> None:
        self.dead = True
        raise Crash


Call = Callable[[Life, str, Callable[[], Any]], Any]


@attrs.frozen(eq=False)
class Proxy:
    """A resource as one life sees it."""

    call: Call
    life: Life
    name: str
    service: Any

    def __getattr__(self, method: str) -> Any:
        found = getattr(self.service, method)
        if not callable(found):
            return found
        label = f"{self.name}.{method}"
        return lambda *args, **kwargs: self.call(self.life, label, functools.partial(found, *args, **kwargs))


class View(Wrapped):
    """The store as one life sees it; `told` is asked before every write, with the instance's id and the events."""

    def __init__(self, inner: Any, call: Call, life: Life, told: Callable[[str, Sequence[Any]], None]) -> None:
        super().__init__(inner)
        self.call, self.life, self.told = call, life, told

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name in ("create", "append"):
            self.told(args[0], args[1])
            return self.call(self.life, f"store.{name}", functools.partial(method, *args, **kwargs))
        if name != "renew":
            self.life.check()
        return method(*args, **kwargs)
