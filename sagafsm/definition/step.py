"""A step as its saga's author holds it: called like its function, and given its compensation and probe."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from sagafsm.definition.builder import DefinitionBuilder
from sagafsm.definition.definition import COMPENSATION_RETRY
from sagafsm.definition.retry import Retry

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


class SagaOfSteps(Protocol):
    """The saga that a step belongs to."""

    @property
    def name(self) -> str:
        """The name of the saga."""
        ...

    @property
    def drafts(self) -> DefinitionBuilder:
        """The steps as far as they are defined."""
        ...


class Step(Generic[P, R]):
    """A step of a saga. Calling it calls its function, so that it is tested like any function."""

    def __init__(self, saga: SagaOfSteps, name: str, fn: Callable[P, R]) -> None:
        self.saga, self.name, self.fn = saga, name, fn
        functools.update_wrapper(self, fn, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """What the function returns."""
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Step {self.name!r} of saga {self.saga.name!r}>"

    @overload
    def compensation(self, fn: F) -> F: ...
    @overload
    def compensation(self, *, retry: Retry = ..., timeout: timedelta | None = ...) -> Callable[[F], F]: ...
    def compensation(
        self, fn: F | None = None, *, retry: Retry = COMPENSATION_RETRY, timeout: timedelta | None = None
    ) -> F | Callable[[F], F]:
        """Define how the step is undone; returns the plain function.

        It is called at least once, with its own step's `result`, and retried; when the budget is used up the
        instance blocks.

        Raises:
            DefinitionError: the step has another compensation, is the pivot, or stands behind it.
        """

        def define(fn: F) -> F:
            self.saga.drafts.undo(self.name, fn, retry=retry, timeout=timeout)
            return fn

        return define if fn is None else define(fn)

    def probe(self, fn: F) -> F:
        """Define how to find out whether the action took effect; returns the plain function.

        It takes an action's parameters and returns `Done(result)`, `NOT_DONE` or `IN_DOUBT`.
        """
        self.saga.drafts.probe(self.name, fn)
        return fn
