"""The builder: named steps in order, defined by decorators; each run takes the present, immutable definition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, overload

from sagafsm.definition.builder import DefinitionBuilder
from sagafsm.definition.definition import COMPENSATION_RETRY, NO_RETRY, Definition, Migration
from sagafsm.definition.machine import Table
from sagafsm.definition.retry import Retry
from sagafsm.definition.risks import Risk, find_risks
from sagafsm.definition.step import Step
from sagafsm.definition.step_builder import SagaDefaults, StepOptions
from sagafsm.definition.validation import InDoubt, check_duration, check_label, check_name
from sagafsm.display import Displayable, as_html, as_text
from sagafsm.errors import DefinitionError
from sagafsm.history.instance import SagaInstance
from sagafsm.orchestrator import Orchestrator
from sagafsm.render.diagram.mermaid import render_mermaid

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M", bound=Migration)


class Saga(Displayable):
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
        defaults = SagaDefaults(
            resources=_check_resources(resources, what),
            unknown_on=tuple(unknown_on),
            in_doubt=in_doubt,
            retry=retry,
            timeout=timeout,
        )
        defaults.check(what)
        self.drafts = DefinitionBuilder(self.name, version, input, deadline, defaults)
        self._orchestrator: Orchestrator | None = None

    def __repr__(self) -> str:
        return f"<Saga {self.name!r} version {self.version}: {self.drafts.shown}>"

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
        group: str | None = ...,
        when: Callable[..., Any] | None = ...,
        max_concurrency: int | None = ...,
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
        group: str | None = None,
        when: Callable[..., Any] | None = None,
        max_concurrency: int | None = None,
    ) -> Step[P, R] | Callable[[Callable[P, R]], Step[P, R]]:
        """Define the next step by its action.

        The action's parameters are matched by name: `input`, earlier steps (their results), resources, `ctx`.
        `effect=False` says that it changes nothing; `pivot` that after its success there is no way back. Consecutive
        steps of one `group` run concurrently. `when`, a pure function of `input`, earlier steps and `ctx`, says whether
        the step is called at all; a skipped one gives None. `max_concurrency` bounds its calls under one
        AsyncOrchestrator.

        Raises:
            DefinitionError: a parameter matches nothing, or the name is no identifier, reserved or taken.
        """
        options = StepOptions(
            title=title,
            retry=retry,
            timeout=timeout,
            in_doubt=in_doubt,
            pivot=pivot,
            effect=effect,
            group=group,
            when=when,
            max_concurrency=max_concurrency,
        )

        def define(fn: Callable[P, R]) -> Step[P, R]:
            return Step(self, self.drafts.define(name, fn, options), fn)

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
        group: str | None = None,
        when: Callable[..., Any] | None = None,
        max_concurrency: int | None = None,
    ) -> Step[P, R]:
        """Define the next step with its compensation and probe in one call; as `step` otherwise."""
        before = dict(self.drafts.steps)
        define = self.step(
            name=name,
            title=title,
            retry=retry,
            timeout=timeout,
            in_doubt=in_doubt,
            pivot=pivot,
            effect=effect,
            group=group,
            when=when,
            max_concurrency=max_concurrency,
        )
        try:
            step = define(action)
            if compensation is not None:
                step.compensation(retry=compensation_retry, timeout=compensation_timeout)(compensation)
            if probe is not None:
                step.probe(probe)
        except DefinitionError:
            # One call is one definition: a refused compensation leaves no half-defined step behind.
            self.drafts.restore(before)
            raise
        return step

    def add_saga(
        self,
        name: str,
        child: Saga,
        *,
        input: Callable[..., Any] | None = None,
        title: str | None = None,
        group: str | None = None,
        when: Callable[..., Any] | None = None,
    ) -> None:
        """Define the next step as a nested saga: an instance of its own, with the id "parent/name".

        Its input is the parent's, or what `input` returns, a pure function of `input`, earlier steps and `ctx`; its
        result is the child's results by name. It is undone by undoing the child's steps in reverse.

        Raises:
            DefinitionError: the child contains this saga, has a pivot, or would stand behind one.
        """
        self.drafts.nest(name, child, StepOptions(title=title, group=group, when=when), input)

    def wait_for(self, name: str, *, timeout: timedelta | None = None, title: str | None = None) -> None:
        """Define the next step as a wait for a signal; its payload is the step's result.

        A signal that came before it is kept. Without one within `timeout` the step fails. The instance is parked
        meanwhile: `run` returns it, and the wait outlives the process.
        """
        check_duration(timeout, f"timeout of wait {name!r}")
        self.drafts.wait(name, StepOptions(title=title, timeout=timeout))

    def group(self, name: str, *, max_concurrency: int | None = None) -> None:
        """Set how many members of a group run at once; steps become members by their `group=`."""
        self.drafts.limit(name, max_concurrency)

    def migrate_from(self, version: int) -> Callable[[M], M]:
        """Define how instances of an older version go on under this one.

        The decorated function takes nothing and returns the steps' new names by their old ones, None for a step that
        is gone; those that it does not name keep theirs. An instance is migrated when it is next driven, durably, and
        refused where its current step has gone or a compensation would be lost.
        """

        def define(migration: M) -> M:
            self.drafts.migrate(version, migration)
            return migration

        return define

    @property
    def definition(self) -> Definition:
        """The present definition: later changes of the saga do not change it.

        Raises:
            DefinitionError: the saga has no steps, or a step's policy would undo what nothing undoes.
        """
        return self.drafts.definition

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
        return render_mermaid(self.definition)

    def to_svg(self) -> str:
        """The way there and the way back as a picture of its own: an SVG file's text, in the theme of who looks."""
        from sagafsm.render.diagram.svg import render_svg_file  # noqa: PLC0415 - only who looks at it pays for drawing it

        return render_svg_file(self.definition)

    def risks(self) -> tuple[Risk, ...]:
        """What to know before trusting the saga: where a crash waits for a person, and what cannot be undone."""
        return find_risks(self.definition)

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


@as_html.register
def _(saga: Saga) -> str | None:
    try:
        return as_html(saga.definition)
    except DefinitionError as error:
        # A saga in the making is looked at, too.
        return as_html(error)


@as_text.register
def _(saga: Saga) -> str:
    try:
        return as_text(saga.definition)
    except DefinitionError as error:
        return f"{saga!r}: {error}"


def _check_resources(resources: Iterable[str], what: str) -> tuple[str, ...]:
    if isinstance(resources, str):
        raise DefinitionError(f"{what} takes resources as names in a tuple, not {resources!r}")
    names: dict[str, str] = {}
    for name in resources:
        check_name(name, "resource", names)
        names[name] = f"another resource of {what}"
    return tuple(names)
