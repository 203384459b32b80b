"""What the performer can report of one call: `Done`, `Raised`, `TimedOut` and the other kinds of `Outcome`.

`core.observe` turns an outcome into an event.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, final

import attrs

from sagafsm.errors import PayloadError
from sagafsm.history.instance import SagaInstance
from sagafsm.value import Value


@final
class _ProbeAnswer:
    """A probe's answer that carries nothing."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name


NOT_DONE: Final = _ProbeAnswer("NOT_DONE")
IN_DOUBT: Final = _ProbeAnswer("IN_DOUBT")


@attrs.frozen(slots=False, eq=False, repr=False)
class Done(Value):
    """A probe's answer: the action took effect, and this is what it returned or would have returned."""

    result: object = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Returned(Value):
    """The call returned; `result_json` is its result as it will be stored."""

    result_json: str


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Unstorable(Value):
    """The call took effect and returned what cannot be stored."""

    error: PayloadError


@attrs.frozen(kw_only=True)
class Raised:
    """The call raised. `outer` is what its caller was handling: no evidence about this call."""

    error: Exception
    outer: BaseException | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class TimedOut(Value):
    """The call has not answered within its timeout."""

    error: TimeoutError


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class NotDone(Value):
    """The probe says that the action is not done and will not be."""


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StillInDoubt(Value):
    """The probe cannot tell, or raised."""

    error: Exception | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Prepared(Value):
    """Whether the step's `when` holds, and the input that was computed for it."""

    holds: bool = True
    input_json: str | None = None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class NestedOutcome(Value):
    """The nested saga rests, or cannot go on now; None: it was never created.

    `until`: when it goes on by itself, also where its history does not tell, as it was left without a commit.
    """

    child: SagaInstance | None
    until: datetime | None = None


Outcome = Returned | Unstorable | Raised | TimedOut | NotDone | StillInDoubt | Prepared | NestedOutcome


class AttemptTimedOut(TimeoutError):
    """A call of a step's function did not end within the step's own `timeout`."""


class NeverCalled(Exception):
    """A call was written ahead, but never made: a cause was recorded before it began."""
