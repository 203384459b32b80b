"""One piece of the gallery: a saga, the world that it acts upon, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from sagafsm import Saga


@attrs.frozen(kw_only=True)
class Entry:
    """A saga to be verified, and what may rightly be said of it.

    `kinds` are the kinds of finding that name its mistake, `steps` the steps that may be blamed: both empty in a
    correct piece, `steps` also where the world is at fault. `options` are further keyword arguments for `verify`.
    """

    name: str
    saga: Saga
    world: Callable[[], Any] | None
    inputs: tuple[Any, ...]
    mistake: str | None = None
    kinds: frozenset[str] = attrs.field(default=frozenset(), converter=frozenset)
    steps: frozenset[str] = attrs.field(default=frozenset(), converter=frozenset)
    options: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def is_correct(self) -> bool:
        return self.mistake is None


Piece = Callable[[], Entry]


def entries(*makers: Piece) -> tuple[Entry, ...]:
    """The pieces, each made once; the order is that of the module."""
    return tuple(maker() for maker in makers)


def names(found: Iterable[Entry]) -> list[str]:
    return [entry.name for entry in found]
