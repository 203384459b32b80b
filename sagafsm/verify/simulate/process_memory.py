"""The module-level and closed-over containers of a process: a simulated crash resets them."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import attrs

from sagafsm.definition.definition import Definition
from sagafsm.definition.functions import Function

Container = dict | list | set | bytearray | deque  # type: ignore[type-arg]


@attrs.define(eq=False)
class ProcessMemory:
    """The module-level and closed-over containers that a saga's functions name, with their first contents.

    A real crash loses their contents, so a simulated crash must too. Other objects are unknown here: their state
    survives a simulated crash.
    """

    # Each container with a shallow copy: only containers are reset, so other objects must stay the same ones.
    _initial: list[tuple[Any, Any]]

    @classmethod
    def of(cls, definition: Definition) -> ProcessMemory:
        """Find the containers of a saga and its nested sagas, and the containers inside those."""
        found: dict[int, Any] = {}
        functions = list_functions(definition)
        waiting = [container for function in functions for container in _find_named_containers(function.call, set())]
        for container in waiting:
            if id(container) not in found:
                found[id(container)] = container
                within = container.values() if isinstance(container, dict) else container
                waiting.extend(value for value in within if isinstance(value, Container))
        return cls([(container, copy.copy(container)) for container in found.values()])

    @property
    def contents(self) -> list[Any]:
        """The containers, with their present contents."""
        return [container for container, _ in self._initial]

    def reset(self) -> None:
        """Restore the first contents of every container."""
        for container, kept in self._initial:
            if _has_same_objects(container, kept):
                continue
            container.clear()
            match container:
                case dict() | set():
                    container.update(kept)
                case _:
                    container.extend(kept)


def _has_same_objects(container: Any, kept: Any) -> bool:
    """Whether a container holds the same objects as its copy."""
    if len(container) != len(kept):
        return False
    if isinstance(container, dict):
        return all(a is b and x is y for (a, x), (b, y) in zip(container.items(), kept.items(), strict=True))
    return all(a is b for a, b in zip(container, kept, strict=True))


def list_functions(definition: Definition) -> Iterator[Function]:
    """Yield every function of a saga and its nested sagas."""
    for step in definition.steps:
        given = (step.action, step.compensation, step.probe, step.when, step.input)
        yield from (function for function in given if function is not None)
        if step.child is not None:
            yield from list_functions(step.child)


def _find_named_containers(call: Callable[..., Any], seen: set[int], depth: int = 3) -> Iterator[Any]:
    """Yield the containers that a function names, directly or through other functions that it names."""
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
            yield from _find_named_containers(value, seen, depth - 1)


def collect_code(call: Callable[..., Any]) -> frozenset[CodeType]:
    """Return the code of a function and of all functions defined in it."""
    found: list[CodeType] = [code] if (code := getattr(call, "__code__", None)) is not None else []
    for code in found:
        found.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))
    return frozenset(found)
