"""What a drive asks its performer to do. One loop yields these; a sync and an async performer carry them out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import attrs

from sagafsm.function import Function
from sagafsm.store import Append, Create, Store


@attrs.frozen
class StoreCall:
    """Run a blocking call of the store; the reply is what it returns."""

    call: Callable[[], Any]


@attrs.frozen
class Write:
    """Create an instance or append to one; the reply is what the store answers. It may share its commit with others."""

    store: Store
    write: Create | Append


@attrs.frozen(kw_only=True)
class UserCall:
    """Call a user's function; the reply is a `Reply`. Only what is no `Exception` is raised instead."""

    function: Function
    positional: Sequence[Any]
    named: Mapping[str, Any]
    timeout: timedelta | None


@attrs.frozen(kw_only=True)
class AwaitLate:
    """Give a timed-out call a little longer; the reply is its `Reply`, or None."""

    late: Late
    grace: timedelta


@attrs.frozen
class Sleep:
    """Let time pass by the clock."""

    duration: timedelta


@attrs.frozen
class Enter:
    """Enter those of the given resources that are async context manager factories; the reply is what steps get."""

    given: Mapping[str, Any]


@attrs.frozen
class Answer:
    """A call returned."""

    value: Any


@attrs.frozen
class Refusal:
    """A call raised; `outer` is what the caller was handling when it made the call."""

    error: Exception
    outer: BaseException | None = None


@attrs.frozen
class Silence:
    """A call did not end within its timeout; `late` may still answer."""

    late: Late


Reply = Answer | Refusal | Silence


class Late(Protocol):
    """A call that outlived its timeout."""

    def reply(self) -> Answer | Refusal | None:
        """What it gave, once it ended."""
        ...

    def when_done(self, listener: Callable[[], None]) -> None:
        """Call `listener` when it ends, on whatever thread that is."""
        ...


Effect = StoreCall | Write | UserCall | AwaitLate | Sleep | Enter
T = TypeVar("T")
Steps = Generator[Effect, Any, T]
