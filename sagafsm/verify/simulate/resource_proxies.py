"""Proxies of the resources that steps get during verification: each call of a method is a point for a fault."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

# Values are not followed into: reading one has no effect, and their methods change nothing outside.
_PLAIN = (str, bytes, int, float, complex, bool, type(None), tuple, frozenset, type, range)


class Interceptor(Protocol):
    """Makes the calls of resources, or lets them fail."""

    def call(self, name: str, method: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        """Call `method`, whose `name` is like "stripe.charge", and return its result: an awaitable, if that is one."""
        ...


def wrap_resource(name: str, resource: Any, interceptor: Interceptor) -> Any:
    """Return a proxy that leaves each call to the interceptor and else is like the resource; a plain value as is."""
    return resource if isinstance(resource, _PLAIN) else _ResourceProxy(name, resource, interceptor)


def rebind_resource(value: Any, interceptor: Interceptor) -> Any:
    """Return a proxy of the same resource for another interceptor; any value that is no proxy as is."""
    return _ResourceProxy(value._name, value._target, interceptor) if type(value) is _ResourceProxy else value


class _ResourceProxy:
    """Stands for an object. Attributes are read through; methods are points, also those of its parts."""

    __slots__ = ("__weakref__", "_interceptor", "_methods", "_name", "_target")

    def __init__(self, name: str, target: Any, interceptor: Interceptor) -> None:
        put = object.__setattr__
        put(self, "_name", name)
        put(self, "_target", target)
        put(self, "_interceptor", interceptor)
        put(self, "_methods", {})

    def __getattr__(self, attribute: str) -> Any:
        methods = self._methods
        if attribute in methods:
            return methods[attribute]
        value = getattr(self._target, attribute)
        if attribute.startswith("__") or isinstance(value, _PLAIN):
            return value
        name = f"{self._name}.{attribute}"
        if inspect.isroutine(value) or (callable(value) and not hasattr(value, "__dict__")):
            methods[attribute] = _wrap_method(name, value, self._interceptor)
            return methods[attribute]
        return value if isinstance(value, (dict, list, set)) else _ResourceProxy(name, value, self._interceptor)

    def __setattr__(self, attribute: str, value: Any) -> None:
        setattr(self._target, attribute, value)

    def __delattr__(self, attribute: str) -> None:
        delattr(self._target, attribute)

    @property
    def __class__(self) -> Any:  # so that isinstance() and `match` see the resource
        return type(self._target)

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise TypeError("a resource keeps its class while it is verified")

    def __call__(self, *args: Any, **named: Any) -> Any:
        return _wrap_method(self._name, self._target, self._interceptor)(*args, **named)

    def __repr__(self) -> str:
        return repr(self._target)

    def __str__(self) -> str:
        return str(self._target)

    def __eq__(self, other: object) -> bool:
        return bool(self._target == (other._target if type(other) is _ResourceProxy else other))

    def __hash__(self) -> int:
        return hash(self._target)

    def __bool__(self) -> bool:
        return bool(self._target)

    def __len__(self) -> int:
        return len(self._target)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._target)

    def __contains__(self, item: object) -> bool:
        return item in self._target

    def __getitem__(self, key: Any) -> Any:
        return self._target[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        _wrap_method(f"{self._name}.__setitem__", self._target.__setitem__, self._interceptor)(key, value)

    def __delitem__(self, key: Any) -> None:
        _wrap_method(f"{self._name}.__delitem__", self._target.__delitem__, self._interceptor)(key)

    def __enter__(self) -> Any:
        entered = _wrap_method(f"{self._name}.__enter__", self._target.__enter__, self._interceptor)()
        return self if entered is self._target else entered

    def __exit__(self, *error: Any) -> Any:
        # A point too: what it commits can be hit, and a process that is dead rolls nothing back.
        return _wrap_method(f"{self._name}.__exit__", self._target.__exit__, self._interceptor)(*error)

    async def __aenter__(self) -> Any:
        entered = await _wrap_method(f"{self._name}.__aenter__", self._target.__aenter__, self._interceptor)()
        return self if entered is self._target else entered

    async def __aexit__(self, *error: Any) -> Any:
        return await _wrap_method(f"{self._name}.__aexit__", self._target.__aexit__, self._interceptor)(*error)

    def __aiter__(self) -> Any:
        return self._target.__aiter__()

    def __next__(self) -> Any:
        return next(self._target)


def _wrap_method(name: str, method: Callable[..., Any], interceptor: Interceptor) -> Callable[..., Any]:
    try:
        is_async = _is_async_proxy_method(getattr(method, "__func__", method))
    except TypeError:  # an object that cannot be hashed
        is_async = _is_async_proxy_method.__wrapped__(method)
    if is_async:

        async def awaited(*args: Any, **named: Any) -> Any:
            return await interceptor.call(name, method, args, named)

        return awaited

    def called(*args: Any, **named: Any) -> Any:
        return interceptor.call(name, method, args, named)

    return called


@functools.lru_cache(maxsize=1_000)
def _is_async_proxy_method(function: Callable[..., Any]) -> bool:
    own_call = getattr(type(function), "__call__", None)  # noqa: B004 - of a callable object
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(own_call)
