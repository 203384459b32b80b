"""What a drive asks its performer to do. One loop yields these; a sync and an async performer carry them out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import attrs

from sagafsm.core.commands import Run
from sagafsm.definition.functions import Function
from sagafsm.store import Append, Create, Store
from sagafsm.value import Value


@attrs.frozen(slots=False, eq=False, repr=False)
class StoreCall(Value):
    """Run a blocking call of the store; the reply is what it returns."""

    call: Callable[[], Any]


@attrs.frozen(slots=False, eq=False, repr=False)
class StoreWrite(Value):
    """Create an instance or append to one; the reply is what the store answers. It may share its commit with others."""

    store: Store
    write: Create | Append


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class UserCall(Value):
    """Call a user's function; the reply is a `Reply`. Only what is no `Exception` is raised instead.

    `run` is the command that orders it, of instance `instance_id`.
    """

    instance_id: str
    run: Run
    function: Function
    positional: Sequence[Any]
    named: Mapping[str, Any]
    timeout: timedelta | None


@attrs.frozen(slots=False, eq=False, repr=False)
class WaitForSlot(Value):
    """Wait until another call of that step may start, of whatever instance; the reply is a `CallReturned`."""

    limits: Any
    key: Any
    limit: int


@attrs.define(eq=False)
class PendingCall:
    """A call that has been ordered, by whoever carries it out; `late` once it has outlived its timeout.

    `handle` is the performer's own: None until the call has begun.
    """

    call: UserCall | WaitForSlot
    handle: Any = None
    late: TimedOutCall | None = None
    grace: timedelta | None = None


@attrs.frozen(slots=False, eq=False, repr=False)
class WaitFirst(Value):
    """Begin those calls that have not begun, and wait until one has ended or outlived its time.

    The reply is it with its `Reply`, None for one that did not end within its grace either; or None, when `until` has
    passed before.
    """

    pending: Sequence[PendingCall]
    until: timedelta | None = None


@attrs.frozen(slots=False, eq=False, repr=False)
class WaitAll(Value):
    """Wait for calls that nobody will hear of; `interrupted`: end them first, as Ctrl-C would."""

    pending: Sequence[PendingCall]
    interrupted: bool = attrs.field(kw_only=True)


@attrs.frozen(slots=False, eq=False, repr=False)
class Sleep(Value):
    """Let time pass by the clock."""

    duration: timedelta


@attrs.frozen(slots=False, eq=False, repr=False)
class EnterResources(Value):
    """Enter those of the given resources that are async context manager factories; the reply is what steps get."""

    given: Mapping[str, Any]


@attrs.frozen(slots=False, eq=False, repr=False)
class CallReturned(Value):
    """A call returned."""

    value: Any


@attrs.frozen(slots=False, eq=False, repr=False)
class CallRaised(Value):
    """A call raised; `outer` is what the caller was handling when it made the call."""

    error: Exception
    outer: BaseException | None = None


@attrs.frozen(slots=False, eq=False, repr=False)
class CallTimedOut(Value):
    """A call did not end within its timeout; `late` may still answer."""

    late: TimedOutCall


Reply = CallReturned | CallRaised | CallTimedOut


class TimedOutCall(Protocol):
    """A call that outlived its timeout."""

    def reply(self) -> CallReturned | CallRaised | None:
        """What it gave, once it ended."""
        ...

    def when_done(self, listener: Callable[[], None]) -> None:
        """Call `listener` when it ends, on whatever thread that is."""
        ...


Effect = StoreCall | StoreWrite | WaitFirst | WaitAll | Sleep | EnterResources
T = TypeVar("T")
Effects = Generator[Effect, Any, T]
