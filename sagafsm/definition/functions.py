"""A user's function with its parameters matched by name: what each is to be given, checked at definition."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Collection
from typing import Any, Literal, get_type_hints

import attrs

from sagafsm.errors import DefinitionError, format_list
from sagafsm.value import Value

Role = Literal["action", "compensation", "probe", "when", "input"]
Source = Literal["input", "result", "ctx", "step", "resource"]
RESERVED = ("input", "result", "ctx")
_OWN_SOURCES: dict[str, Source] = {"input": "input", "result": "result", "ctx": "ctx"}


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Parameter(Value):
    """One parameter: where its value comes from, and the type that its annotation declares (Any without one)."""

    name: str
    source: Source
    type: Any
    positional: bool = False


@attrs.frozen(kw_only=True)
class Function:
    """A user's function as a saga calls it. `unmatched`: parameters with a default that match no name."""

    call: Callable[..., Any] = attrs.field(eq=False)
    role: Role
    name: str
    parameters: tuple[Parameter, ...]
    unmatched: tuple[str, ...]
    returns: Any
    is_async: bool
    wants_context: bool = False


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class Scope(Value):
    """What a function of one step may ask for by name; not for the results of those that run `beside` it."""

    step: str
    role: Role
    earlier: Collection[str]
    resources: Collection[str]
    beside: Collection[str] = ()

    def source(self, name: str) -> Source | None:
        """Where the value of a parameter of that name comes from; None: nowhere."""
        own = _OWN_SOURCES.get(name)
        if own is not None and (own != "result" or self.role == "compensation"):
            return own
        if name in self.earlier:
            return "step"
        return "resource" if name in self.resources else None

    @property
    def available(self) -> tuple[str, ...]:
        """Every name that may be asked for."""
        own = ("input", "ctx", "result") if self.role == "compensation" else ("input", "ctx")
        return (*own, *self.earlier, *self.resources)


@attrs.frozen
class EarlierSteps:
    """The steps whose results are there when a step starts, and those that run `beside` it in its group."""

    steps: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def find_origin(fn: Callable[..., Any]) -> tuple[str, ...] | None:
    """What makes a function defined again "the same": module and qualified name; None: it is never the same.

    Closures share a qualified name between calls of the function that makes them, so their first line counts too.
    """
    name = getattr(fn, "__qualname__", None)
    if not inspect.isroutine(fn) or name is None or "<lambda>" in name:
        return None
    module = getattr(fn, "__module__", "") or ""
    if "<locals>" in name:
        code = getattr(inspect.unwrap(fn), "__code__", None)
        return None if code is None else (module, name, str(code.co_firstlineno))
    return (module, name)


def bind_pure(
    fn: Callable[..., Any] | None, name: str, role: Literal["when", "input"], earlier: EarlierSteps
) -> Function | None:
    """Bind the pure function of `when=` or `input=`. It gets no resources and must not be async.

    Raises:
        DefinitionError: the value is no function, or an async one.
    """
    if fn is None:
        return None
    if not callable(fn):
        raise DefinitionError(f"{role}= of step {name!r} must be a function, not {fn!r}")
    bound = bind(fn, Scope(step=name, role=role, earlier=earlier.steps, resources=(), beside=earlier.beside))
    if bound.is_async:
        raise DefinitionError(f"{role}= of step {name!r} is async, but it is pure: it may be asked again at any time")
    return bound


def is_same_function(old: Function | None, fn: Callable[..., Any]) -> bool:
    """Whether `fn` is the function that was bound before, defined again."""
    origin = find_origin(fn)
    return old is not None and origin is not None and origin == find_origin(old.call)


def find_function_name(fn: Callable[..., Any]) -> str | None:
    """The name that a function was defined with; None for lambdas, partials and callable objects."""
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) and name != "<lambda>" and inspect.isroutine(fn) else None


def _is_async_function(fn: Callable[..., Any]) -> bool:
    # A callable object is async when its __call__ is; partials are unwrapped by inspect itself.
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(type(fn), "__call__", None))  # noqa: B004


def _collect_annotation_scope(fn: Callable[..., Any]) -> dict[str, Any]:
    """The names that a function's annotations may use: its module's, and those that it encloses."""
    plain = inspect.unwrap(fn.func if isinstance(fn, functools.partial) else fn)
    if isinstance(plain, type):
        plain = plain.__init__  # type: ignore[misc]  # a class as a step: it is called, so its constructor counts
    elif not inspect.isroutine(plain):
        plain = inspect.unwrap(type(plain).__call__)
    scope = dict(getattr(plain, "__globals__", {}))
    code, cells = getattr(plain, "__code__", None), getattr(plain, "__closure__", None)
    for name, cell in zip(code.co_freevars, cells, strict=True) if code is not None and cells else ():
        # A name that is only assigned later encloses nothing yet.
        with contextlib.suppress(ValueError):
            scope[name] = cell.cell_contents
    return scope


def _resolve_annotation(raw: Any, fn: Callable[..., Any], what: str) -> Any:
    """The type that an annotation names, forward references resolved; Any where there is none."""
    if raw is inspect.Parameter.empty:
        return Any
    try:
        annotated = types.SimpleNamespace(__annotations__={"it": raw})
        return get_type_hints(annotated, _collect_annotation_scope(fn), include_extras=True)["it"]
    except (NameError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise DefinitionError(f"{what} has annotation {raw!r}, which cannot be resolved: {error}") from error


def bind(fn: Callable[..., Any], scope: Scope) -> Function:
    """The function with every parameter matched to a source.

    Raises:
        DefinitionError: a parameter matches nothing and has no default, or takes any number of arguments.
    """
    what = f"{scope.role} of step {scope.step!r}"
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"{what} is {fn!r}, whose parameters cannot be read: {error}") from error
    parameters: list[Parameter] = []
    left_alone: list[str] = []
    for parameter in signature.parameters.values():
        source = _find_parameter_source(parameter, scope, what)
        if source is None:
            left_alone.append(parameter.name)
            continue
        # A resource is handed over as it is: its annotation may well exist for type checkers only.
        plain = source in ("ctx", "resource")
        kind = (
            Any if plain else _resolve_annotation(parameter.annotation, fn, f"parameter {parameter.name!r} of {what}")
        )
        positional = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
        parameters.append(Parameter(name=parameter.name, source=source, type=kind, positional=positional))
    returns = _resolve_annotation(signature.return_annotation, fn, what) if scope.role == "action" else Any
    return Function(
        call=fn,
        role=scope.role,
        name=find_function_name(fn) or scope.step,
        parameters=tuple(parameters),
        unmatched=tuple(left_alone),
        returns=returns,
        is_async=_is_async_function(fn),
        wants_context=any(parameter.source == "ctx" for parameter in parameters),
    )


def _find_parameter_source(parameter: inspect.Parameter, scope: Scope, what: str) -> Source | None:
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        stars = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else "**"
        raise DefinitionError(
            f"{what} takes {stars}{parameter.name}, but parameters are matched by name "
            f"(name those it needs; available: {format_list(scope.available)})"
        )
    source = scope.source(parameter.name)
    if source is not None:
        return source
    if parameter.name in scope.beside:
        raise DefinitionError(
            f"{what} takes {parameter.name!r}, which runs beside it in its group, so that it has no result yet "
            f"(available: {format_list(scope.available)})"
        )
    if scope.role == "compensation" and parameter.name == scope.step:
        raise DefinitionError(f"{what} takes {parameter.name!r}, its own step's name; use 'result'")
    if parameter.default is inspect.Parameter.empty:
        available = format_list(scope.available)
        raise DefinitionError(
            f"{what} takes {parameter.name!r}, which is nothing it can be given (available: {available})"
        )
    return None
