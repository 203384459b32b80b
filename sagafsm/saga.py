"""The builder: named steps in order, defined by decorators; each run takes the present, immutable definition."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from sagafsm.definition import (
    Definition,
    InDoubt,
    check_duration,
    check_label,
    check_name,
)
from sagafsm.errors import DefinitionError
from sagafsm.function import function_name
from sagafsm.instance import SagaInstance
from sagafsm.machine import Table
from sagafsm.orchestrator import Orchestrator
from sagafsm.retry import Retry
from sagafsm.risks import Risk, risks_of
from sagafsm.steps import Defaults, Options, StepDraft, Undo
from sagafsm.view.mermaid import mermaid

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
NO_RETRY = Retry(1)
COMPENSATION_RETRY = Retry(5)


class Step(Generic[P, R]):
    """A step of a saga. Calling it calls its function, so that it is tested like any function."""

    def __init__(self, saga: Saga, name: str, fn: Callable[P, R]) -> None:
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
            self.saga._undo(self.name, Undo(fn=fn, retry=retry, timeout=timeout))
            return fn

        return define if fn is None else define(fn)

    def probe(self, fn: F) -> F:
        """Define how to find out whether the action took effect; returns the plain function.

        It takes an action's parameters and returns `Done(result)`, `NOT_DONE` or `IN_DOUBT`.
        """
        self.saga._probe(self.name, fn)
        return fn


class Saga:
    """A saga in the making: named steps in order.

    `input` is the type of its input, taken from the steps' annotations when absent; `resources` the names that every
    run must give; `unknown_on` exception types that leave a step in doubt, beside the shipped `network_errors`.
    `in_doubt`, `retry` and `timeout` are defaults for its steps; `deadline` cancels an instance that long after its
    creation.
    """

    def __init__(
        self,
        name: str,
        *,
        version: int = 1,
        input: Any = None,
        resources: Iterable[str] = (),
        unknown_on: Iterable[type[Exception]] = (),
        in_doubt: InDoubt = "ask",
        retry: Retry = NO_RETRY,
        timeout: timedelta | None = None,
        deadline: timedelta | None = None,
    ) -> None:
        self.name = check_label(name, "a saga name")
        what = f"saga {name!r}"
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise DefinitionError(f"{what} takes a version of 1 or more, not {version!r}")
        check_duration(deadline, f"deadline of {what}")
        self.version, self.input, self.deadline = version, input, deadline
        if isinstance(unknown_on, type):
            raise DefinitionError(f"{what} takes unknown_on= as Exception types in a tuple, not {unknown_on!r}")
        self._defaults = Defaults(
            resources=_checked_resources(resources, what),
            unknown_on=tuple(unknown_on),
            in_doubt=in_doubt,
            retry=retry,
            timeout=timeout,
        )
        self._defaults.check(what)
        self._steps: dict[str, StepDraft] = {}
        self._definition: Definition | None = None
        self._orchestrator: Orchestrator | None = None

    def __repr__(self) -> str:
        return f"<Saga {self.name!r} version {self.version}: {' -> '.join(self._steps) or 'no steps yet'}>"

    # Defining ---------------------------------------------------------------------------------------------------------

    @overload
    def step(self, fn: Callable[P, R]) -> Step[P, R]: ...
    @overload
    def step(
        self,
        *,
        name: str | None = ...,
        title: str | None = ...,
        retry: Retry | None = ...,
        timeout: timedelta | None = ...,
        in_doubt: InDoubt | None = ...,
        pivot: bool = ...,
        effect: bool = ...,
    ) -> Callable[[Callable[P, R]], Step[P, R]]: ...
    def step(
        self,
        fn: Callable[P, R] | None = None,
        *,
        name: str | None = None,
        title: str | None = None,
        retry: Retry | None = None,
        timeout: timedelta | None = None,
        in_doubt: InDoubt | None = None,
        pivot: bool = False,
        effect: bool = True,
    ) -> Step[P, R] | Callable[[Callable[P, R]], Step[P, R]]:
        """Define the next step by its action.

        The action's parameters are matched by name: `input`, earlier steps (their results), resources, `ctx`.
        `effect=False` says that it changes nothing; `pivot` that after its success there is no way back.

        Raises:
            DefinitionError: a parameter matches nothing, or the name is no identifier, reserved or taken.
        """
        options = Options(title=title, retry=retry, timeout=timeout, in_doubt=in_doubt, pivot=pivot, effect=effect)

        def define(fn: Callable[P, R]) -> Step[P, R]:
            return Step(self, self._define(name, fn, options), fn)

        return define if fn is None else define(fn)

    def add_step(
        self,
        name: str,
        action: Callable[P, R],
        compensation: Callable[..., Any] | None = None,
        *,
        probe: Callable[..., Any] | None = None,
        compensation_retry: Retry = COMPENSATION_RETRY,
        compensation_timeout: timedelta | None = None,
        title: str | None = None,
        retry: Retry | None = None,
        timeout: timedelta | None = None,
        in_doubt: InDoubt | None = None,
        pivot: bool = False,
        effect: bool = True,
    ) -> Step[P, R]:
        """Define the next step with its compensation and probe in one call; as `step` otherwise."""
        before = dict(self._steps)
        options = Options(title=title, retry=retry, timeout=timeout, in_doubt=in_doubt, pivot=pivot, effect=effect)
        try:
            self._define(name, action, options)
            if compensation is not None:
                self._undo(name, Undo(fn=compensation, retry=compensation_retry, timeout=compensation_timeout))
            if probe is not None:
                self._probe(name, probe)
        except DefinitionError:
            # One call is one definition: a refused compensation leaves no half-defined step behind.
            self._steps = before
            raise
        return Step(self, name, action)

    def _define(self, name: str | None, fn: Callable[..., Any], options: Options) -> str:
        if not callable(fn):
            raise DefinitionError(f"a step of saga {self.name!r} takes a function, not {fn!r}")
        name = function_name(fn) if name is None else name
        if name is None:
            raise DefinitionError(f"a step of saga {self.name!r} made of {fn!r} needs a name (name=...)")
        old = self._steps.get(name)
        if old is None or not old.is_same(fn):
            taken = dict.fromkeys(self._steps, f"a step of saga {self.name!r}")
            taken |= dict.fromkeys(self._defaults.resources, f"a resource of saga {self.name!r}")
            check_name(name, "step", taken)
        earlier = self._earlier(name)
        draft = StepDraft.define(name, fn, options, self._defaults, earlier, others=self._steps, old=old)
        self._change(name, draft)
        return name

    def _undo(self, name: str, undo: Undo) -> None:
        self._change(name, self._steps[name].with_compensation(undo, self._defaults, self._earlier(name), self._steps))

    def _probe(self, name: str, fn: Callable[..., Any]) -> None:
        self._change(name, self._steps[name].with_probe(fn, self._defaults, self._earlier(name)))

    def _earlier(self, name: str) -> tuple[str, ...]:
        names = tuple(self._steps)
        return names[: names.index(name)] if name in self._steps else names

    def _change(self, name: str, draft: StepDraft) -> None:
        self._steps[name] = draft
        self._definition = None

    @property
    def definition(self) -> Definition:
        """The present definition: later changes of the saga do not change it.

        Raises:
            DefinitionError: the saga has no steps, or a step's policy would undo what nothing undoes.
        """
        if self._definition is None:
            drafts = tuple(self._steps.values())
            self._definition = Definition(
                saga=self.name,
                version=self.version,
                input=_input_type(self.name, self.input, drafts),
                resources=self._defaults.resources,
                steps=tuple(draft.definition(self._defaults) for draft in drafts),
                unknown_on=self._defaults.unknown_on,
                deadline=self.deadline,
            )
        return self._definition

    # Looking ----------------------------------------------------------------------------------------------------------

    @property
    def states(self) -> tuple[str, ...]:
        """Every state that an instance can be in."""
        return self.definition.states

    @property
    def table(self) -> Table:
        """Every move that an instance can make: (trigger, state) to the one target."""
        return self.definition.table

    def diagram(self) -> str:
        """The machine as Mermaid text, drawn from its table."""
        return mermaid(self.definition)

    def risks(self) -> tuple[Risk, ...]:
        """What to know before trusting the saga: where a crash waits for a person, and what cannot be undone."""
        return risks_of(self.definition)

    # Running ----------------------------------------------------------------------------------------------------------

    @property
    def orchestrator(self) -> Orchestrator:
        """The orchestrator of `run`: in memory, kept as long as the saga."""
        if self._orchestrator is None:
            self._orchestrator = Orchestrator("memory://", sagas=[self])
        return self._orchestrator

    def run(
        self, input: Any, *, id: str | None = None, resources: Mapping[str, Any] | None = None, check: bool = False
    ) -> SagaInstance:
        """Run an instance in memory until it rests or is blocked; nothing survives the process.

        Works inside a running event loop too. Raises what `Orchestrator.run` raises.
        """
        return self.orchestrator.run_with(self, input, id=id, resources=resources, check=check)

    async def run_async(
        self, input: Any, *, id: str | None = None, resources: Mapping[str, Any] | None = None, check: bool = False
    ) -> SagaInstance:
        """The same on the running loop: async actions run on it, and sync ones beside it."""
        from sagafsm.async_orchestrator import AsyncOrchestrator  # noqa: PLC0415 - asyncio users alone pay for it

        orchestrator = AsyncOrchestrator(self.orchestrator.store, sagas=[self])
        async with orchestrator:
            return await orchestrator.run_with(self, input, id=id, resources=resources, check=check)


def _checked_resources(resources: Iterable[str], what: str) -> tuple[str, ...]:
    if isinstance(resources, str):
        raise DefinitionError(f"{what} takes resources as names in a tuple, not {resources!r}")
    names: dict[str, str] = {}
    for name in resources:
        check_name(name, "resource", names)
        names[name] = f"another resource of {what}"
    return tuple(names)


def _input_type(saga: str, declared: Any, drafts: Iterable[StepDraft]) -> Any:
    """The declared type of the input, or the one that the steps' annotations agree on."""
    if declared is not None:
        return declared
    found: dict[str, Any] = {}
    for draft in drafts:
        for kind, where in draft.input_types():
            if kind not in found.values():
                found[where] = kind
    if len(found) > 1:
        told = " and ".join(f"{where} {kind!r}" for where, kind in found.items())
        raise DefinitionError(f"saga {saga!r} is given its input as different types: {told} (declare input=...)")
    return next(iter(found.values()), Any)
