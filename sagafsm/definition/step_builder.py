"""A step in the making: its functions bound by name, its options not yet merged with the saga's defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import attrs

from sagafsm.definition.definition import COMPENSATION_RETRY, HasDefinition, StepDefinition
from sagafsm.definition.functions import EarlierSteps, Function, Role, Scope, bind, bind_pure, is_same_function
from sagafsm.definition.retry import Retry
from sagafsm.definition.validation import (
    InDoubt,
    Policy,
    check_duration,
    check_in_doubt,
    check_limit,
    check_retry,
    check_retry_on,
    parse_policies,
)
from sagafsm.errors import DefinitionError
from sagafsm.history.events import StepKind
from sagafsm.value import Value


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class SagaDefaults(Value):
    """What a saga says for all its steps."""

    resources: tuple[str, ...]
    unknown_on: tuple[type[Exception], ...]
    in_doubt: InDoubt
    retry: Retry
    timeout: timedelta | None

    def check(self, what: str) -> None:
        """Refuse what is wrong whatever the steps are."""
        parse_policies(self.in_doubt, what)
        check_duration(self.timeout, f"timeout of {what}")
        check_retry(self.retry, what)
        if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in self.unknown_on):
            raise DefinitionError(f"{what} takes unknown_on= as Exception types, not {self.unknown_on!r}")


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepOptions(Value):
    """The options of a step itself; None leaves them to the saga."""

    title: str | None = None
    retry: Retry | None = None
    timeout: timedelta | None = None
    in_doubt: InDoubt | None = None
    pivot: bool = False
    effect: bool = True
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
            parse_policies(self.in_doubt, what)
        check_duration(self.timeout, f"timeout of {what}")
        if self.retry is not None:
            check_retry(self.retry, what)


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class BoundProbe(Value):
    """A probe, bound. `kept`: its step was defined again since, so that any other probe may replace this one."""

    function: Function
    kept: bool = False

    def refuse_replacement(self, fn: Callable[..., Any], step: str) -> None:
        """Refuse a second function in this role, unless it is the same one defined again."""
        if not self.kept and not is_same_function(self.function, fn):
            raise DefinitionError(f"step {step!r} has a {self.function.role} already ({self.function.name!r})")


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class BoundCompensation(BoundProbe):
    """A compensation, bound, with its own policies; `kept` as for a probe."""

    retry: Retry
    timeout: timedelta | None


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class StepBuilder(Value):
    """One step as far as it is defined."""

    name: str
    options: StepOptions
    action: Function | None = None
    compensation: BoundCompensation | None = None
    probe: BoundProbe | None = None
    kind: StepKind = "step"
    when: Function | None = None
    child: HasDefinition | None = None
    input: Function | None = None

    @classmethod
    def define(
        cls,
        name: str,
        fn: Callable[..., Any],
        options: StepOptions,
        defaults: SagaDefaults,
        earlier: EarlierSteps,
        *,
        others: Mapping[str, StepBuilder],
        old: StepBuilder | None,
    ) -> StepBuilder:
        """The step by its action; one defined again keeps its compensation and probe until they are, too."""
        options.check(name)
        pivot = find_pivot_before(others, name)
        if options.pivot:
            _refuse_second_pivot(others, name)
        kept = None if old is None or old.compensation is None else attrs.evolve(old.compensation, kept=True)
        if kept is not None:
            _check_built_step_compensation(name, options, pivot)
        if old is not None and old.probe is not None:
            _check_built_step_probe(name, options)
        draft = cls(
            name=name,
            options=options,
            action=_build_step_function(fn, name, "action", earlier, defaults),
            compensation=kept,
            probe=None if old is None or old.probe is None else attrs.evolve(old.probe, kept=True),
            when=bind_pure(options.when, name, "when", earlier),
        )
        draft.check_policy(defaults, pivot)
        return draft

    @classmethod
    def nest(
        cls,
        name: str,
        child: HasDefinition,
        options: StepOptions,
        earlier: EarlierSteps,
        input: Callable[..., Any] | None,
    ) -> StepBuilder:
        """A nested saga as a step."""
        options.check(name)
        return cls(
            name=name,
            options=options,
            kind="saga",
            when=bind_pure(options.when, name, "when", earlier),
            child=child,
            input=bind_pure(input, name, "input", earlier),
        )

    @classmethod
    def wait(cls, name: str, options: StepOptions) -> StepBuilder:
        """A wait for a signal as a step."""
        options.check(name)
        return cls(name=name, options=options, kind="wait")

    def check_policy(self, defaults: SagaDefaults, pivot: str | None) -> None:
        """Refuse a policy of the step's own that cannot hold where it stands."""
        own = self.options.in_doubt
        goes_back = own is not None and "compensate" in parse_policies(own, f"step {self.name!r}")
        if goes_back and (self.options.pivot or pivot is not None):
            where = "is the pivot" if self.options.pivot else f"stands behind pivot {pivot!r}"
            raise DefinitionError(
                f"step {self.name!r} {where}, so in_doubt={own!r} cannot hold (there is no way back from there)"
            )
        given = self._policy(defaults)
        check_retry_on(self.name, self.options.retry or defaults.retry, given, defaults.unknown_on)

    def with_compensation(
        self,
        fn: Callable[..., Any],
        defaults: SagaDefaults,
        earlier: EarlierSteps,
        *,
        retry: Retry,
        timeout: timedelta | None,
        others: Mapping[str, StepBuilder],
    ) -> StepBuilder:
        """The step with its compensation."""
        if self.compensation is not None:
            self.compensation.refuse_replacement(fn, self.name)
        _check_built_step_compensation(self.name, self.options, find_pivot_before(others, self.name))
        what = f"the compensation of step {self.name!r}"
        check_duration(timeout, f"timeout of {what}")
        check_retry(retry, what)
        function = _build_step_function(fn, self.name, "compensation", earlier, defaults)
        return attrs.evolve(self, compensation=BoundCompensation(function=function, retry=retry, timeout=timeout))

    def with_probe(self, fn: Callable[..., Any], defaults: SagaDefaults, earlier: EarlierSteps) -> StepBuilder:
        """The step with its probe."""
        if self.probe is not None:
            self.probe.refuse_replacement(fn, self.name)
        _check_built_step_probe(self.name, self.options)
        return attrs.evolve(
            self, probe=BoundProbe(function=_build_step_function(fn, self.name, "probe", earlier, defaults))
        )

    def _policy(self, defaults: SagaDefaults) -> tuple[Policy, ...]:
        return parse_policies(defaults.in_doubt if self.options.in_doubt is None else self.options.in_doubt, self.name)

    def definition(self, defaults: SagaDefaults) -> StepDefinition:
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
            compensation_retry=COMPENSATION_RETRY if undo is None else undo.retry,
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


def _build_step_function(
    fn: Callable[..., Any], name: str, role: Role, earlier: EarlierSteps, defaults: SagaDefaults
) -> Function:
    if not callable(fn):
        raise DefinitionError(f"the {role} of step {name!r} must be a function, not {fn!r}")
    scope = Scope(step=name, role=role, earlier=earlier.steps, resources=defaults.resources, beside=earlier.beside)
    return bind(fn, scope)


def find_pivot_before(others: Mapping[str, StepBuilder], name: str) -> str | None:
    """Return the name of the pivot that comes before a step; None while there is none."""
    for other in others.values():
        if other.name == name:
            return None
        if other.options.pivot:
            return other.name
    return None


def _refuse_second_pivot(others: Mapping[str, StepBuilder], name: str) -> None:
    behind = False
    for other in others.values():
        if other.name == name:
            behind = True
        elif other.options.pivot:
            raise DefinitionError(f"step {name!r} cannot be a pivot too: {other.name!r} is (a saga has at most one)")
        elif behind and other.compensation is not None:
            raise DefinitionError(f"step {name!r} cannot be the pivot: {other.name!r} behind it has a compensation")


def _check_built_step_probe(name: str, options: StepOptions) -> None:
    if not options.effect:
        raise DefinitionError(f"step {name!r} has effect=False, so there is nothing for a probe to find out")


def _check_built_step_compensation(name: str, options: StepOptions, pivot: str | None) -> None:
    if options.pivot:
        raise DefinitionError(f"step {name!r} is the pivot, which has no compensation (there is no way back from it)")
    if pivot is not None:
        raise DefinitionError(f"step {name!r} stands behind pivot {pivot!r}, so a compensation would never be called")
    if not options.effect:
        raise DefinitionError(f"step {name!r} has effect=False, so there is nothing for a compensation to undo")
