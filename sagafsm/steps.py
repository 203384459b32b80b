"""A step in the making: its functions bound by name, its options not yet merged with the saga's defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Literal, Protocol

import attrs

from sagafsm.definition import (
    Definition,
    InDoubt,
    Policy,
    StepDefinition,
    check_duration,
    check_in_doubt,
    check_limit,
    check_retry_on,
    policies,
)
from sagafsm.errors import DefinitionError
from sagafsm.events import StepKind
from sagafsm.function import Earlier, Function, Role, Scope, bind, origin
from sagafsm.retry import Retry
from sagafsm.values import Value

Origin = tuple[str, ...] | None


class Defined(Protocol):
    """What has a definition, perhaps another at each look: a saga whose cells are run again."""

    @property
    def definition(self) -> Definition:
        """The present definition."""
        ...


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Defaults(Value):
    """What a saga says for all its steps."""

    resources: tuple[str, ...]
    unknown_on: tuple[type[Exception], ...]
    in_doubt: InDoubt
    retry: Retry
    timeout: timedelta | None

    def check(self, what: str) -> None:
        """Refuse what is wrong whatever the steps are."""
        policies(self.in_doubt, what)
        check_duration(self.timeout, f"timeout of {what}")
        if not isinstance(self.retry, Retry):
            raise DefinitionError(f"{what} takes retry=Retry(...), not {self.retry!r}")
        if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in self.unknown_on):
            raise DefinitionError(f"{what} takes unknown_on= as Exception types, not {self.unknown_on!r}")


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Options(Value):
    """What a step says for itself; None leaves it to the saga."""

    title: str | None
    retry: Retry | None
    timeout: timedelta | None
    in_doubt: InDoubt | None
    pivot: bool
    effect: bool
    group: str | None = None
    when: Callable[..., Any] | None = None
    max_concurrency: int | None = None

    def check(self, name: str) -> None:
        """Refuse options that are wrong by themselves."""
        what = f"step {name!r}"
        if not isinstance(self.title, (str, type(None))):
            raise DefinitionError(f"{what} takes title= as text, not {self.title!r}")
        check_limit(self.max_concurrency, what)
        if self.pivot and self.when is not None:
            raise DefinitionError(f"{what} is the pivot, which cannot be skipped: when= leaves no way forward or back")
        if self.pivot and self.group is not None:
            raise DefinitionError(f"{what} is the pivot, which is in no group (it is in {self.group!r})")
        if self.in_doubt is not None:
            policies(self.in_doubt, what)
        check_duration(self.timeout, f"timeout of {what}")
        if self.retry is not None and not isinstance(self.retry, Retry):
            raise DefinitionError(f"{what} takes retry=Retry(...), not {self.retry!r}")


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Undo(Value):
    """A compensation as it is given."""

    fn: Callable[..., Any]
    retry: Retry
    timeout: timedelta | None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Compensation(Value):
    """A compensation as it is bound. `kept`: from before its step was defined again, so anything may replace it."""

    function: Function
    origin: Origin
    retry: Retry
    timeout: timedelta | None
    kept: bool = False


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Probe(Value):
    """A probe as it is bound; `kept` as for a compensation."""

    function: Function
    origin: Origin
    kept: bool = False


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepDraft(Value):
    """One step as far as it is defined."""

    name: str
    options: Options
    action: Function | None
    origin: Origin
    compensation: Compensation | None = None
    probe: Probe | None = None
    kind: StepKind = "step"
    when: Function | None = None
    child: Defined | None = None
    input: Function | None = None

    @classmethod
    def define(
        cls,
        name: str,
        fn: Callable[..., Any],
        options: Options,
        defaults: Defaults,
        earlier: Earlier,
        *,
        others: Mapping[str, StepDraft],
        old: StepDraft | None,
    ) -> StepDraft:
        """The step by its action; one defined again keeps its compensation and probe until they are, too."""
        options.check(name)
        pivot = _pivot_before(others, name)
        if options.pivot:
            _refuse_second_pivot(others, name)
        kept = None if old is None or old.compensation is None else attrs.evolve(old.compensation, kept=True)
        if kept is not None:
            _check_compensation(name, options, pivot)
        if old is not None and old.probe is not None:
            _check_probe(name, options)
        draft = cls(
            name=name,
            options=options,
            action=_bind(fn, name, "action", earlier, defaults),
            origin=origin(fn),
            compensation=kept,
            probe=None if old is None or old.probe is None else attrs.evolve(old.probe, kept=True),
            when=_bind_pure(options.when, name, "when", earlier),
        )
        draft.check_policy(defaults, pivot)
        return draft

    @classmethod
    def nest(
        cls, name: str, child: Defined, options: Options, earlier: Earlier, input: Callable[..., Any] | None
    ) -> StepDraft:
        """A nested saga as a step."""
        options.check(name)
        return cls(
            name=name,
            options=options,
            action=None,
            origin=None,
            kind="saga",
            when=_bind_pure(options.when, name, "when", earlier),
            child=child,
            input=_bind_pure(input, name, "input", earlier),
        )

    @classmethod
    def wait(cls, name: str, options: Options) -> StepDraft:
        """A wait for a signal as a step."""
        options.check(name)
        return cls(name=name, options=options, action=None, origin=None, kind="wait")

    def is_same(self, fn: Callable[..., Any]) -> bool:
        """Whether `fn` is this step's function, defined again."""
        return self.origin is not None and self.origin == origin(fn)

    def check_policy(self, defaults: Defaults, pivot: str | None) -> None:
        """Refuse a policy of the step's own that cannot hold where it stands."""
        own = self.options.in_doubt
        goes_back = own is not None and "compensate" in policies(own, f"step {self.name!r}")
        if goes_back and (self.options.pivot or pivot is not None):
            where = "is the pivot" if self.options.pivot else f"stands behind pivot {pivot!r}"
            raise DefinitionError(
                f"step {self.name!r} {where}, so in_doubt={own!r} cannot hold (there is no way back from there)"
            )
        given = self._policy(defaults)
        check_retry_on(self.name, self.options.retry or defaults.retry, given, defaults.unknown_on)

    def with_compensation(
        self, undo: Undo, defaults: Defaults, earlier: Earlier, others: Mapping[str, StepDraft]
    ) -> StepDraft:
        """The step with its compensation."""
        old = self.compensation
        if old is not None and not old.kept and (old.origin is None or old.origin != origin(undo.fn)):
            raise DefinitionError(f"step {self.name!r} has a compensation already ({old.function.name!r})")
        _check_compensation(self.name, self.options, _pivot_before(others, self.name))
        check_duration(undo.timeout, f"timeout of the compensation of step {self.name!r}")
        if not isinstance(undo.retry, Retry):
            raise DefinitionError(f"the compensation of step {self.name!r} takes retry=Retry(...), not {undo.retry!r}")
        bound = Compensation(
            function=_bind(undo.fn, self.name, "compensation", earlier, defaults),
            origin=origin(undo.fn),
            retry=undo.retry,
            timeout=undo.timeout,
        )
        return attrs.evolve(self, compensation=bound)

    def with_probe(self, fn: Callable[..., Any], defaults: Defaults, earlier: Earlier) -> StepDraft:
        """The step with its probe."""
        old = self.probe
        if old is not None and not old.kept and (old.origin is None or old.origin != origin(fn)):
            raise DefinitionError(f"step {self.name!r} has a probe already ({old.function.name!r})")
        _check_probe(self.name, self.options)
        function = _bind(fn, self.name, "probe", earlier, defaults)
        return attrs.evolve(self, probe=Probe(function=function, origin=origin(fn)))

    def _policy(self, defaults: Defaults) -> tuple[Policy, ...]:
        return policies(defaults.in_doubt if self.options.in_doubt is None else self.options.in_doubt, self.name)

    def definition(self, defaults: Defaults) -> StepDefinition:
        """The finished step. A saga-wide policy holds where it is allowed, elsewhere the answer is to ask."""
        if self.kind != "step":
            return self._plain()
        given, has = self._policy(defaults), self.compensation is not None
        if self.options.in_doubt is not None:
            check_in_doubt(given, self.name, compensation=has)
        elif "compensate" in given and not has:
            given = ("ask",)
            check_retry_on(self.name, self.options.retry or defaults.retry, given, defaults.unknown_on)
        undo = self.compensation
        return StepDefinition(
            name=self.name,
            title=self.options.title,
            action=self.action,
            compensation=None if undo is None else undo.function,
            probe=None if self.probe is None else self.probe.function,
            retry=self.options.retry or defaults.retry,
            timeout=self.options.timeout or defaults.timeout,
            in_doubt=given,
            pivot=self.options.pivot,
            effect=self.options.effect,
            compensation_retry=Retry(5) if undo is None else undo.retry,
            compensation_timeout=None if undo is None else undo.timeout,
            when=self.when,
            group=self.options.group,
            max_concurrency=self.options.max_concurrency,
        )

    def _plain(self) -> StepDefinition:
        """A nested saga or a wait: without policies of its own."""
        return StepDefinition(
            name=self.name,
            title=self.options.title,
            kind=self.kind,
            effect=self.kind == "saga",
            timeout=self.options.timeout,
            when=self.when,
            group=self.options.group,
            child=None if self.child is None else self.child.definition,
            input=self.input,
        )

    @property
    def functions(self) -> tuple[Function, ...]:
        """Its functions, as far as it has them."""
        undo = None if self.compensation is None else self.compensation.function
        probe = None if self.probe is None else self.probe.function
        found = (self.action, undo, probe, self.when, self.input)
        return tuple(function for function in found if function is not None)

    def input_types(self) -> Iterator[tuple[Any, str]]:
        """The types that its functions declare for `input`, and where."""
        for function in self.functions:
            for parameter in function.parameters:
                if parameter.source == "input" and parameter.type is not Any:
                    yield parameter.type, f"by the {function.role} of step {self.name!r} as"


def _bind(fn: Callable[..., Any], name: str, role: Role, earlier: Earlier, defaults: Defaults) -> Function:
    if not callable(fn):
        raise DefinitionError(f"the {role} of step {name!r} must be a function, not {fn!r}")
    scope = Scope(step=name, role=role, earlier=earlier.steps, resources=defaults.resources, beside=earlier.beside)
    return bind(fn, scope)


def _bind_pure(
    fn: Callable[..., Any] | None, name: str, role: Literal["when", "input"], earlier: Earlier
) -> Function | None:
    """A function that is asked before its step starts. It is pure: it is given no resources, and is not async."""
    if fn is None:
        return None
    if not callable(fn):
        raise DefinitionError(f"{role}= of step {name!r} must be a function, not {fn!r}")
    bound = bind(fn, Scope(step=name, role=role, earlier=earlier.steps, resources=(), beside=earlier.beside))
    if bound.is_async:
        raise DefinitionError(f"{role}= of step {name!r} is async, but it is pure: it may be asked again at any time")
    return bound


def _pivot_before(others: Mapping[str, StepDraft], name: str) -> str | None:
    for other in others.values():
        if other.name == name:
            return None
        if other.options.pivot:
            return other.name
    return None


def _refuse_second_pivot(others: Mapping[str, StepDraft], name: str) -> None:
    behind = False
    for other in others.values():
        if other.name == name:
            behind = True
        elif other.options.pivot:
            raise DefinitionError(f"step {name!r} cannot be a pivot too: {other.name!r} is (a saga has at most one)")
        elif behind and other.compensation is not None:
            raise DefinitionError(f"step {name!r} cannot be the pivot: {other.name!r} behind it has a compensation")


def _check_probe(name: str, options: Options) -> None:
    if not options.effect:
        raise DefinitionError(f"step {name!r} has effect=False, so there is nothing for a probe to find out")


def _check_compensation(name: str, options: Options, pivot: str | None) -> None:
    if options.pivot:
        raise DefinitionError(f"step {name!r} is the pivot, which has no compensation (there is no way back from it)")
    if pivot is not None:
        raise DefinitionError(f"step {name!r} stands behind pivot {pivot!r}, so a compensation would never be called")
    if not options.effect:
        raise DefinitionError(f"step {name!r} has effect=False, so there is nothing for a compensation to undo")
