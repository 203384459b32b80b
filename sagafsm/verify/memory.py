"""What a process holds in memory beside its instances: lost when the process dies, also in a simulation."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import attrs

from sagafsm.definition import Definition
from sagafsm.function import Function

Container = dict | list | set | bytearray | deque  # type: ignore[type-arg]


@attrs.define(eq=False)
class ProcessMemory:
    """The module-level and closed-over containers that a saga's functions name, as they were at the beginning.

    A step that keeps something there finds it gone after a real crash. Only containers that the functions name
    themselves are known; what is kept in other objects outlives a simulated crash.
    """

    # Each container with what it held: the very objects, as those that are no containers are not ours to replace.
    _kept: list[tuple[Any, Any]]

    @classmethod
    def of(cls, definition: Definition) -> ProcessMemory:
        """The containers of one saga and of those nested in it, and the containers in these."""
        found: dict[int, Any] = {}
        waiting = list(_containers(definition))
        for container in waiting:
            if id(container) not in found:
                found[id(container)] = container
                within = container.values() if isinstance(container, dict) else container
                waiting.extend(value for value in within if isinstance(value, Container))
        return cls([(container, copy.copy(container)) for container in found.values()])

    @property
    def contents(self) -> list[Any]:
        """What they hold now."""
        return [container for container, _ in self._kept]

    def lose(self) -> None:
        """Put every container back to what it was when the process began."""
        for container, kept in self._kept:
            if _is_as(container, kept):
                continue
            container.clear()
            match container:
                case dict() | set():
                    container.update(kept)
                case _:
                    container.extend(kept)


def _is_as(container: Any, kept: Any) -> bool:
    """Whether a container holds the very same objects."""
    if len(container) != len(kept):
        return False
    if isinstance(container, dict):
        return all(a is b and x is y for (a, x), (b, y) in zip(container.items(), kept.items(), strict=True))
    return all(a is b for a, b in zip(container, kept, strict=True))


def _containers(definition: Definition) -> Iterator[Any]:
    for function in functions_of(definition):
        seen: set[int] = set()
        yield from _named_by(function.call, seen)


def functions_of(definition: Definition) -> Iterator[Function]:
    """Every function of a saga and of those nested in it."""
    for step in definition.steps:
        given = (step.action, step.compensation, step.probe, step.when, step.input)
        yield from (function for function in given if function is not None)
        if step.child is not None:
            yield from functions_of(step.child)


def _named_by(call: Callable[..., Any], seen: set[int], depth: int = 3) -> Iterator[Any]:
    """Containers that a function names, or the functions that it names, and so on."""
    code, cells = getattr(call, "__code__", None), getattr(call, "__closure__", None) or ()
    if code is None or id(code) in seen or not depth:
        return
    seen.add(id(code))
    names = [*code.co_names]
    names += [name for constant in code.co_consts if hasattr(constant, "co_names") for name in constant.co_names]
    scope = getattr(call, "__globals__", {})
    values = [scope[name] for name in names if name in scope]
    for cell in cells:
        try:
            values.append(cell.cell_contents)
        except ValueError:
            continue
    for value in values:
        if isinstance(value, Container):
            yield value
        elif callable(value):
            yield from _named_by(value, seen, depth - 1)


def codes_of(call: Callable[..., Any]) -> frozenset[CodeType]:
    """The code of a function and of all that is defined within it."""
    found: list[CodeType] = [code] if (code := getattr(call, "__code__", None)) is not None else []
    for code in found:
        found.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))
    return frozenset(found)
