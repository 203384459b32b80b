"""The steps of a saga in the making, in order: what may be added or changed, and the definition that they make."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import attrs

from sagafsm.definition.definition import Definition, HasDefinition, Migration, check_nested
from sagafsm.definition.functions import EarlierSteps, find_function_name, is_same_function
from sagafsm.definition.retry import Retry
from sagafsm.definition.step_builder import SagaDefaults, StepBuilder, StepOptions, find_pivot_before
from sagafsm.definition.validation import check_limit, check_name
from sagafsm.errors import DefinitionError, format_list


@attrs.define(eq=False)
class DefinitionBuilder:
    """Every change is checked against the other steps at once, and refused as a whole."""

    saga: str
    version: int
    input: Any
    deadline: timedelta | None
    defaults: SagaDefaults
    steps: dict[str, StepBuilder] = attrs.field(factory=dict, init=False)
    limits: dict[str, int | None] = attrs.field(factory=dict, init=False)
    migrations: dict[int, Migration] = attrs.field(factory=dict, init=False)
    _cached: Definition | None = attrs.field(default=None, init=False)
    _nested: tuple[Definition, ...] = attrs.field(default=(), init=False)

    # Changing ---------------------------------------------------------------------------------------------------------

    def define(self, name: str | None, fn: Callable[..., Any], options: StepOptions) -> str:
        """Define a step by its action, or define it again in its place; return its name."""
        if not callable(fn):
            raise DefinitionError(f"a step of saga {self.saga!r} takes a function, not {fn!r}")
        name = find_function_name(fn) if name is None else name
        if name is None:
            raise DefinitionError(f"a step of saga {self.saga!r} made of {fn!r} needs a name (name=...)")
        old = self.steps.get(name)
        if old is None or not is_same_function(old.action, fn):
            self._check_name(name, "step")
        earlier = self._find_earlier_steps(name, options.group)
        draft = StepBuilder.define(name, fn, options, self.defaults, earlier, others=self.steps, old=old)
        self._change(name, draft)
        return name

    def undo(self, name: str, fn: Callable[..., Any], *, retry: Retry, timeout: timedelta | None) -> None:
        """Give a step its compensation."""
        draft = self.steps[name]
        earlier = self._find_earlier_steps(name, draft.options.group)
        self._change(
            name,
            draft.with_compensation(fn, self.defaults, earlier, retry=retry, timeout=timeout, others=self.steps),
        )

    def probe(self, name: str, fn: Callable[..., Any]) -> None:
        """Give a step its probe."""
        draft = self.steps[name]
        self._change(name, draft.with_probe(fn, self.defaults, self._find_earlier_steps(name, draft.options.group)))

    def nest(self, name: str, child: HasDefinition, options: StepOptions, input: Callable[..., Any] | None) -> None:
        """Add a nested saga, or put it again in the place where it already is."""
        if inspect.getattr_static(child, "definition", None) is None:
            raise DefinitionError(f"nested saga {name!r} must be a saga, not {child!r}")
        old = self.steps.get(name)
        if old is None or old.child is not child:
            self._check_name(name, "step")
        pivot = find_pivot_before(self.steps, name)
        if pivot is not None:
            raise DefinitionError(f"nested saga {name!r} stands behind pivot {pivot!r} (put it before the pivot)")
        nested = getattr(child, "drafts", None)
        if isinstance(nested, DefinitionBuilder):
            self._check_cycle(name, nested)
            inner = next((step.name for step in nested.steps.values() if step.options.pivot), None)
            if inner is not None:
                check_nested(name, child.definition, ())
        self._change(name, StepBuilder.nest(name, child, options, self._find_earlier_steps(name, options.group), input))

    def wait(self, name: str, options: StepOptions) -> None:
        """Add a wait for a signal, or put it again in the place where it already is."""
        old = self.steps.get(name)
        if old is None or old.kind != "wait":
            self._check_name(name, "signal")
        self._change(name, StepBuilder.wait(name, options))

    def limit(self, group: str, max_concurrency: int | None) -> None:
        """Set how many members of a group run at once; None: all."""
        check_name(group, "group", {})
        check_limit(max_concurrency, f"group {group!r}")
        self.limits[group] = max_concurrency
        self._cached = None

    def migrate(self, version: int, migration: Migration) -> None:
        """Say how instances of an older version go on under this one."""
        if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version < self.version:
            older = "none is older" if self.version == 1 else f"1 to {self.version - 1}"
            raise DefinitionError(
                f"saga {self.saga!r} version {self.version} migrates from an older version ({older}), not {version!r}"
            )
        if not callable(migration):
            raise DefinitionError(
                f"the migration of saga {self.saga!r} from version {version} must be a function, not {migration!r}"
            )
        self.migrations[version] = migration
        self._cached = None

    def _change(self, name: str, draft: StepBuilder) -> None:
        steps = _check_groups(self.saga, {**self.steps, name: draft}, self.defaults.resources)
        for step in steps.values():
            _refuse_siblings(step, steps)
        self.steps = steps
        self._cached = None

    def restore(self, steps: dict[str, StepBuilder]) -> None:
        """Take back what was changed since these were the steps."""
        self.steps, self._cached = steps, None

    def _check_name(self, name: str, what: str) -> None:
        taken = {step.name: f"a {step.kind} of saga {self.saga!r}" for step in self.steps.values()}
        taken |= dict.fromkeys(self.defaults.resources, f"a resource of saga {self.saga!r}")
        taken |= dict.fromkeys(_list_groups(self.steps.values()), f"a group of saga {self.saga!r}")
        check_name(name, what, taken)

    def _check_cycle(self, name: str, child: DefinitionBuilder) -> None:
        if child is self or self in child.descendants():
            raise DefinitionError(f"nested saga {name!r} contains saga {self.saga!r}, which would contain itself")

    def descendants(self) -> Iterator[DefinitionBuilder]:
        """The sagas nested in it, at any depth."""
        for step in self.steps.values():
            nested = getattr(step.child, "drafts", None)
            if isinstance(nested, DefinitionBuilder):
                yield nested
                yield from nested.descendants()

    def _steps_before(self, name: str) -> Iterator[StepBuilder]:
        for step in self.steps.values():
            if step.name == name:
                return
            yield step

    def _find_earlier_steps(self, name: str, group: str | None) -> EarlierSteps:
        """The steps whose results are there when this one starts: not those that run beside it."""
        members = {step.name for step in self.steps.values() if group is not None and step.options.group == group}
        steps = tuple(step.name for step in self._steps_before(name) if step.name not in members)
        return EarlierSteps(steps, tuple(members - {name}))

    @property
    def shown(self) -> str:
        """The steps in order, for people."""
        told: dict[str, list[str]] = {}
        for step in self.steps.values():
            inner = getattr(step.child, "drafts", None)
            name = step.name if not isinstance(inner, DefinitionBuilder) else f"{step.name}(saga {inner.saga!r})"
            told.setdefault(step.options.group or step.name, []).append(name)
        units = (
            f"{unit}[{format_list(names)}]" if unit in _list_groups(self.steps.values()) else names[0]
            for unit, names in told.items()
        )
        return " -> ".join(units) or "no steps yet"

    # Reading ----------------------------------------------------------------------------------------------------------

    @property
    def definition(self) -> Definition:
        """The present definition: later changes do not change it.

        Raises:
            DefinitionError: there are no steps, or something is wrong with the whole that no single step shows.
        """
        nested = tuple(step.child.definition for step in self.steps.values() if step.child is not None)
        if self._cached is None or any(a is not b for a, b in zip(nested, self._nested, strict=True)):
            self._cached = self._build()
            self._nested = nested
        return self._cached

    def _build(self) -> Definition:
        return Definition(
            saga=self.saga,
            version=self.version,
            input=_infer_input_type(self.saga, self.input, self.steps.values()),
            resources=self.defaults.resources,
            steps=tuple(draft.definition(self.defaults) for draft in self.steps.values()),
            unknown_on=self.defaults.unknown_on,
            deadline=self.deadline,
            limits=dict(self.limits),
            migrations=dict(self.migrations),
        )


def _list_groups(steps: Iterable[StepBuilder]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(step.options.group for step in steps if step.options.group is not None))


def _check_groups(saga: str, steps: Mapping[str, StepBuilder], resources: Iterable[str]) -> dict[str, StepBuilder]:
    """The steps, when the members of each group stand together and its name is its own.

    Raises:
        DefinitionError: they do not.
    """
    taken: dict[str, str] = dict.fromkeys(steps, f"a step of saga {saga!r}")
    taken |= dict.fromkeys(resources, f"a resource of saga {saga!r}")
    closed: list[str] = []
    present: str | None = None
    for step in steps.values():
        group = step.options.group
        if group == present:
            continue
        if present is not None:
            closed.append(present)
        if group in closed:
            members = format_list(other.name for other in steps.values() if other.options.group == group)
            raise DefinitionError(
                f"step {step.name!r} is in group {group!r}, which ended before it "
                f"(the members of a group stand together: {members})"
            )
        if group is not None:
            check_name(group, "group", taken)
        present = group
    return dict(steps)


def _refuse_siblings(step: StepBuilder, steps: Mapping[str, StepBuilder]) -> None:
    """Refuse a step that was defined to read a result of what has come to run beside it since."""
    if step.options.group is None:
        return
    for function in step.functions:
        for parameter in function.parameters:
            if parameter.source == "step" and steps[parameter.name].options.group == step.options.group:
                raise DefinitionError(
                    f"{function.role} of step {step.name!r} takes {parameter.name!r}, "
                    f"which would run beside it in group {step.options.group!r}, and have no result yet"
                )


def _infer_input_type(saga: str, declared: Any, drafts: Iterable[StepBuilder]) -> Any:
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
