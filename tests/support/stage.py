"""Members of a group that wait for each other: what overlaps, and which of them ends first."""

from __future__ import annotations

import threading
from collections.abc import Callable

import attrs

from sagafsm import SagaInstance
from sagafsm.history import events as e
from support.bench import line

PATIENCE = 10.0


@attrs.define(eq=False)
class Stage:
    """Lets calls wait until an event is durable. Its `told` is an orchestrator's listener."""

    _happened: dict[str, threading.Event] = attrs.Factory(dict)
    _lock: threading.Lock = attrs.Factory(threading.Lock)

    def told(self, _: SagaInstance, event: e.Event) -> None:
        self._of(line(event)).set()

    def once(self, *happened: str) -> Callable[[], None]:
        """Return once all this has happened, by line."""

        def wait() -> None:
            for one in happened:
                assert self._of(one).wait(PATIENCE), f"{one} never happened"

        return wait

    def _of(self, happened: str) -> threading.Event:
        with self._lock:
            return self._happened.setdefault(happened, threading.Event())


@attrs.define(eq=False)
class Meeting:
    """So many calls wait here for each other; `most` is how many were inside at once."""

    parties: int
    most: int = 0
    _inside: int = 0
    _lock: threading.Lock = attrs.Factory(threading.Lock)
    _barrier: threading.Barrier = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._barrier = threading.Barrier(self.parties)

    def __call__(self) -> None:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        try:
            self._barrier.wait(PATIENCE)
        finally:
            with self._lock:
                self._inside -= 1
