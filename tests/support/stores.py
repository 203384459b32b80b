"""Stores that break on purpose, each a wrapper around a real one."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sagafsm.errors import StoreError
from sagafsm.store import Store, Write, open_store

KINDS = ("memory", "sql")
COMMITS = ("create", "append")


def new_store(kind: str, folder: Path) -> Store:
    """An empty store. SQLite forgoes the fsync here: no exam of these pulls the plug."""
    return open_store("memory://" if kind == "memory" else f"sqlite:///{folder}/saga.db?synchronous=NORMAL")


class Crash(BaseException):
    """The process dies here: what is no `Exception` is nobody's outcome."""


class Wrapped:
    """A store that passes every call on, by way of `_pass`."""

    def __init__(self, inner: Store) -> None:
        self.inner, self.url = inner, inner.url

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        return functools.partial(self._pass, name, method) if callable(method) else method

    def write(self, writes: Sequence[Write]) -> Sequence[int | Exception]:
        """Each by its own call: what a wrapper does to creates and appends it does to those of a group."""
        return [self._answer(write) for write in writes]

    def _answer(self, write: Write) -> int | Exception:
        try:
            return write.alone(self)
        except Exception as error:
            return error

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)


class CountingStore(Wrapped):
    """Keeps the name of every call, and every batch of events that was stored."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.names: list[str] = []
        self.batches: list[tuple[str, ...]] = []

    @property
    def commits(self) -> int:
        return len(self.batches)

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.names.append(name)
        answer = method(*args, **kwargs)
        if name in COMMITS:
            self.batches.append(tuple(str(event) for event in args[1]))
        return answer


class MortalStore(Wrapped):
    """The store as one process sees it, until that process dies at commit `dies_at` (from 1), or by `die`.

    `durable` says whether that commit is. After its death nothing of the process reaches the store any more.
    """

    def __init__(self, inner: Store, *, dies_at: int | None = None, durable: bool = False) -> None:
        super().__init__(inner)
        self.dies_at, self.durable = dies_at, durable
        self.commits, self.dead, self.died = 0, False, threading.Event()

    def die(self) -> None:
        self.dead = True
        self.died.set()
        raise Crash

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.dead:
            # The thread that renews leases is no place for a crash.
            raise StoreError("dead") if name == "renew" else Crash
        if name not in COMMITS:
            return method(*args, **kwargs)
        self.commits += 1
        last = self.commits == self.dies_at
        if last and not self.durable:
            self.die()
        answer = method(*args, **kwargs)
        if last:
            self.die()
        return answer


class FailingStore(Wrapped):
    """Fails calls as told: `faults` maps a method's name to what happens to its calls, one after the other.

    None: it works. "before": it fails and nothing is stored. "after": it is stored, and fails all the same. An
    exception: that is raised instead, and nothing is stored. A function is called first; then it works.
    """

    def __init__(self, inner: Store, **faults: list[Any]) -> None:
        super().__init__(inner)
        self.faults: dict[str, Iterator[Any]] = {name: iter(plan) for name, plan in faults.items()}

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        fault = next(self.faults.get(name, iter(())), None)
        if isinstance(fault, BaseException):
            raise fault
        if fault == "before":
            raise StoreError(f"{name} failed")
        if callable(fault):
            fault()
        answer = method(*args, **kwargs)
        if fault == "after":
            raise StoreError(f"{name} failed")
        return answer


class LateStore(Wrapped):
    """Fails as it is told by `fault`, once: "before", "after", or "late": then it is stored when it is tried again."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.fault: str | None = None
        self.owed: Callable[[], Any] | None = None

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name != "append":
            return method(*args, **kwargs)
        (fault, self.fault), (owed, self.owed) = (self.fault, None), (self.owed, None)
        if owed is not None:
            with contextlib.suppress(StoreError):
                owed()
        if fault == "late":
            self.owed = lambda: method(*args, **kwargs)
        if fault == "after":
            method(*args, **kwargs)
        if fault is not None:
            raise StoreError("append failed")
        return method(*args, **kwargs)
