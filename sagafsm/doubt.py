"""Which exceptions leave it unknown whether an action took effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sagafsm.errors import OutcomeUnknown

# Matched by qualified class name, through base classes, so that nothing is imported for it. What is listed here can be
# raised after a request has left; what is listed under NEVER_LEFT cannot, by the documentation of its library.
network_errors: frozenset[str] = frozenset(
    {
        "builtins.TimeoutError",
        "builtins.ConnectionError",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
        "requests.exceptions.ChunkedEncodingError",
        "requests.exceptions.ContentDecodingError",
        "urllib3.exceptions.TimeoutError",
        "urllib3.exceptions.ProtocolError",
        "urllib3.exceptions.MaxRetryError",
        "httpx.TimeoutException",
        "httpx.NetworkError",
        "httpx.RemoteProtocolError",
        "httpcore.TimeoutException",
        "httpcore.NetworkError",
        "httpcore.RemoteProtocolError",
        "aiohttp.client_exceptions.ClientConnectionError",
        "aiohttp.client_exceptions.ClientPayloadError",
        "aiohttp.http_exceptions.BadHttpMessage",
        "stripe.APIConnectionError",
        "stripe._error.APIConnectionError",
        "stripe.error.APIConnectionError",
        "psycopg.OperationalError",
        "psycopg.errors.OperationalError",
        "mcp.shared.exceptions.McpError",
    }
)
NEVER_LEFT: frozenset[str] = frozenset(
    {
        "builtins.ConnectionRefusedError",
        "socket.gaierror",
        "httpx.ConnectError",
        "httpx.ConnectTimeout",
        "httpx.PoolTimeout",
        "httpcore.ConnectError",
        "httpcore.ConnectTimeout",
        "httpcore.PoolTimeout",
    }
)


def _names(kind: type[BaseException]) -> Iterator[str]:
    return (f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__)


def is_unknown_type(kind: type[BaseException], unknown_on: Sequence[type[BaseException]] = ()) -> bool:
    """Whether an exception of this type leaves the outcome unknown, by itself."""
    if issubclass(kind, (OutcomeUnknown, *unknown_on)):
        return True
    names = tuple(_names(kind))
    return NEVER_LEFT.isdisjoint(names) and not network_errors.isdisjoint(names)


def leaves_doubt(error: BaseException, unknown_on: Sequence[type[BaseException]] = ()) -> bool:
    """Whether the exception, or one in its cause or context chain or of its group, leaves the outcome unknown.

    An exempt one (a refused connection) exempts only itself: what it was raised from, or wrapped in, still counts.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if is_unknown_type(type(one), unknown_on):
            return True
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return False
