"""A memory store whose contents can be kept and put back, and which tells of every write before and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sagafsm.history.events import Event, Request
from sagafsm.history.instance import SagaInstance, fold
from sagafsm.store import Owner, is_unfinished
from sagafsm_adapters.memory import MemoryStore, _Entry

Contents = Mapping[str, _Entry]
ROOT = "i"


class TreeStore(MemoryStore):
    """`touched` is called before each write of a history and each look at the mail; `written` after each write."""

    def __init__(self, contents: Contents) -> None:
        super().__init__()
        self._entries = {key: _copied(entry) for key, entry in contents.items()}
        self._unfinished = {key: entry for key, entry in self._entries.items() if is_unfinished(key, entry.state)}
        self.touched: Callable[[str, bool], None] = _nothing
        self.written: Callable[[str, SagaInstance | None, Sequence[Event], SagaInstance], None] = _nothing

    def contents(self) -> Contents:
        """What is stored now; nobody changes it any more."""
        return {key: _copied(entry) for key, entry in self._entries.items()}

    def folded(self, instance_id: str) -> SagaInstance | None:
        """The instance, without its owner; None when there is none."""
        entry = self._entries.get(instance_id)
        return None if entry is None else folded(entry)

    def create(
        self,
        instance_id: str,
        events: Sequence[Event],
        *,
        owner: Owner | None = None,
        lease: timedelta | None = None,
        under: int | None = None,
    ) -> int:
        self.touched(instance_id, True)
        token = super().create(instance_id, events, owner=owner, lease=lease, under=under)
        self.written(instance_id, None, events, folded(self._entries[instance_id]))
        return token

    def append(self, instance_id: str, events: Sequence[Event], *, expected_version: int, token: int) -> int:
        self.touched(instance_id, True)
        before = folded(self._entries[instance_id])
        length = super().append(instance_id, events, expected_version=expected_version, token=token)
        self.written(instance_id, before, events, folded(self._entries[instance_id]))
        return length

    def mail(self, instance_id: str) -> tuple[Request, ...]:
        self.touched(instance_id, False)
        return super().mail(instance_id)


def folded(entry: _Entry) -> SagaInstance:
    """The instance as its history tells it."""
    done = 0 if entry.folded is None else len(entry.folded.history)
    if entry.folded is None or done < len(entry.history):
        entry.folded = fold(entry.folded, entry.history[done:])
    return entry.folded


def _copied(entry: _Entry) -> _Entry:
    return _Entry(list(entry.history), entry.claim, dict(entry.requests), entry.state, entry.settled, entry.folded)


def _nothing(*_: Any) -> None:
    pass
