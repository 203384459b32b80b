"""How often, and how long apart, a step or a compensation is called again."""

from __future__ import annotations

import math
from datetime import timedelta

import attrs

from sagafsm.errors import DefinitionError


@attrs.frozen
class Retry:
    """A budget of attempts with exponential backoff between them.

    `attempts` counts every call, the first included, but not those that a process death ended. The n-th pause is
    `backoff * factor**(n-1)`, at most `max_backoff`; with `jitter` it is drawn evenly from zero to that ("full
    jitter", Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), so that many instances
    that failed together do not come back together. Only exceptions of the types in `on` are retried.
    """

    attempts: int = 1
    backoff: timedelta = attrs.field(default=timedelta(milliseconds=200), kw_only=True)
    factor: float = attrs.field(default=2.0, kw_only=True)
    max_backoff: timedelta = attrs.field(default=timedelta(minutes=5), kw_only=True)
    jitter: bool = attrs.field(default=True, kw_only=True)
    on: tuple[type[Exception], ...] = attrs.field(default=(Exception,), kw_only=True)

    def __attrs_post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 1:
            raise DefinitionError(f"Retry takes attempts of 1 or more, not {self.attempts!r}")
        for name in ("backoff", "max_backoff"):
            value = getattr(self, name)
            if not isinstance(value, timedelta) or value < timedelta(0):
                raise DefinitionError(f"Retry takes a {name} that is a timedelta of zero or more, not {value!r}")
        if not isinstance(self.factor, (int, float)) or not 1 <= self.factor < math.inf:
            raise DefinitionError(f"Retry takes a factor that is a number of 1 or more, not {self.factor!r}")
        if not isinstance(self.on, tuple) or not all(isinstance(t, type) and issubclass(t, Exception) for t in self.on):
            raise DefinitionError(f"Retry takes on= as a tuple of Exception types, not {self.on!r}")

    def allows(self, spent: int, error: BaseException) -> bool:
        """Whether another call may follow `spent` calls, the last of which raised `error`."""
        return spent < self.attempts and isinstance(error, self.on)

    def pause(self, spent: int, draw: float) -> timedelta:
        """How long to wait after `spent` calls; `draw`, from 0 to 1, is the driver's share of chance."""
        full = self._compute_full_pause(spent)
        return full * draw if self.jitter else full

    def _compute_full_pause(self, spent: int) -> timedelta:
        try:
            seconds = self.backoff.total_seconds() * float(self.factor) ** (spent - 1)
        except OverflowError:
            # 2.0**1024 is no float any more; unless there is no backoff at all, max_backoff was reached long ago.
            return self.max_backoff if self.backoff else self.backoff
        return self.max_backoff if seconds >= self.max_backoff.total_seconds() else timedelta(seconds=seconds)
