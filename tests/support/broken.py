"""Stores that break one promise each: what the exams must notice. None of this is ever right."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sagafsm import SagaNotFound, StoreError
from sagafsm.history import events as e
from sagafsm.store import Append, Owner, Store, Write, changes
from sagafsm.value import replace
from support.stores import Wrapped


class Unfenced(Wrapped):
    """Does not look at the token: who was replaced writes all the same."""

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name != "append":
            return method(*args, **kwargs)
        summary = self.inner.load(args[0]).summary
        if summary.owner is not None:
            return method(*args, **{**kwargs, "token": summary.token})
        token = self.inner.claim(args[0], owner=Owner(name="?", process="?/?/1/?/1"), lease=timedelta(hours=1))
        try:
            return method(*args, **{**kwargs, "token": token})
        finally:
            self.inner.release(args[0], token=token)


class Uncompared(Wrapped):
    """Does not compare versions: what was decided on an old history is written behind the new one."""

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name != "append":
            return method(*args, **kwargs)
        version = self.inner.load(args[0]).summary.length
        events = [replace(event, number=number) for number, event in enumerate(args[1], start=version + 1)]
        return method(args[0], events, **{**kwargs, "expected_version": version})


class Mailless(Wrapped):
    """Never refuses an append because mail waits: requests lie in a box of its own until somebody asks for them."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.box: dict[str, list[e.Request]] = {}

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        waiting = self.box.setdefault(args[0], []) if args else []
        if name == "post":
            waiting.append(args[1])
            return None
        if name == "mail":
            return tuple(waiting)
        answer = method(*args, **kwargs)
        if name == "append":
            read = {getattr(event, "request_id", None) for event in args[1]}
            waiting[:] = [request for request in waiting if request.request_id not in read]
        return answer


class Undivided(Wrapped):
    """Refuses a whole group for one of its writes; what came before it stays."""

    def write(self, writes: Sequence[Write]) -> Sequence[int | Exception]:
        return [write.alone(self) for write in writes]


class Unguarded(Wrapped):
    """Stores what a refused append of a group was to add, as far as nothing refuses that."""

    def write(self, writes: Sequence[Write]) -> Sequence[int | Exception]:
        answers = super().write(writes)
        for write, answer in zip(writes, answers, strict=True):
            if isinstance(write, Append) and isinstance(answer, Exception):
                with contextlib.suppress(StoreError, SagaNotFound):
                    Uncompared(self.inner).append(
                        write.instance_id,
                        write.events,
                        expected_version=0,
                        token=self.inner.load(write.instance_id).summary.token,
                    )
        return answers


class Unordered(Wrapped):
    """Makes the writes of a group in another order, and answers each in its place."""

    def write(self, writes: Sequence[Write]) -> Sequence[int | Exception]:
        return super().write(writes[::-1])[::-1]


class Misplaced(Wrapped):
    """Answers the writes of a group in another order."""

    def write(self, writes: Sequence[Write]) -> Sequence[int | Exception]:
        return super().write(writes)[::-1]


class Lagging(Wrapped):
    """Says that events are stored before they are: they are written with the next call that is made of it."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.owed: Callable[[], Any] = lambda: None

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        owed, self.owed = self.owed, lambda: None
        with contextlib.suppress(StoreError):
            owed()
        if name != "append" or changes(args[1]).releases:
            return method(*args, **kwargs)
        self.owed = lambda: method(*args, **kwargs)
        return kwargs["expected_version"] + len(args[1])
