"""Which exceptions leave it unknown whether an action took effect."""

from __future__ import annotations

from collections.abc import Sequence

from sagafsm.errors import OutcomeUnknown

# Matched by qualified class name, through base classes, so that nothing is imported for it. What is listed here can be
# raised after a request has left; what is listed under NEVER_LEFT cannot, by the documentation of its library.
network_errors: frozenset[str] = frozenset(
    {
        "builtins.TimeoutError",
        "builtins.ConnectionError",
        "http.client.IncompleteRead",
        "http.client.BadStatusLine",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
        "requests.exceptions.ChunkedEncodingError",
        "requests.exceptions.ContentDecodingError",
        "urllib3.exceptions.TimeoutError",
        "urllib3.exceptions.ProtocolError",
        "urllib3.exceptions.MaxRetryError",
        "urllib3.exceptions.DecodeError",
        "httpx.TimeoutException",
        "httpx.NetworkError",
        "httpx.RemoteProtocolError",
        "httpx.DecodingError",
        "httpcore.TimeoutException",
        "httpcore.NetworkError",
        "httpcore.RemoteProtocolError",
        # The successors of httpx and httpcore, which mcp 2 builds on.
        "httpx2.TimeoutException",
        "httpx2.NetworkError",
        "httpx2.RemoteProtocolError",
        "httpx2.DecodingError",
        "httpcore2.TimeoutException",
        "httpcore2.NetworkError",
        "httpcore2.RemoteProtocolError",
        "aiohttp.client_exceptions.ClientConnectionError",
        "aiohttp.client_exceptions.ClientPayloadError",
        "aiohttp.http_exceptions.BadHttpMessage",
        "stripe._error.APIConnectionError",
        # Also the answer 500 and an answer that is no JSON, after which Stripe does not say what happened.
        "stripe._error.APIError",
        # Until stripe 7.
        "stripe.error.APIConnectionError",
        "stripe.error.APIError",
        "psycopg.OperationalError",
        "mcp.shared.exceptions.MCPError",
        # Until mcp 2.
        "mcp.shared.exceptions.McpError",
    }
)
NEVER_SENT: frozenset[str] = frozenset(
    {
        "builtins.ConnectionRefusedError",
        "socket.gaierror",
        "httpx.ConnectError",
        "httpx.ConnectTimeout",
        "httpx.PoolTimeout",
        "httpcore.ConnectError",
        "httpcore.ConnectTimeout",
        "httpcore.PoolTimeout",
        "httpx2.ConnectError",
        "httpx2.ConnectTimeout",
        "httpx2.PoolTimeout",
        "httpcore2.ConnectError",
        "httpcore2.ConnectTimeout",
        "httpcore2.PoolTimeout",
    }
)


def _list_unknown_outcome_names(kind: type[BaseException]) -> tuple[str, ...]:
    return tuple(f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__)


def _is_outcome_never_sent(kind: type[BaseException]) -> bool:
    return not NEVER_SENT.isdisjoint(_list_unknown_outcome_names(kind))


def _is_listed_unknown_outcome(kind: type[BaseException]) -> bool:
    return not network_errors.isdisjoint(_list_unknown_outcome_names(kind)) and not _is_outcome_never_sent(kind)


def _is_declared_unknown_outcome(kind: type[BaseException], unknown_on: Sequence[type[BaseException]]) -> bool:
    return issubclass(kind, (OutcomeUnknown, *unknown_on))


def is_unknown_type(kind: type[BaseException], unknown_on: Sequence[type[BaseException]] = ()) -> bool:
    """Whether an exception of this type leaves the outcome unknown, by itself."""
    return _is_declared_unknown_outcome(kind, unknown_on) or _is_listed_unknown_outcome(kind)


def is_outcome_unknown(
    error: BaseException, unknown_on: Sequence[type[BaseException]] = (), *, outer: BaseException | None = None
) -> bool:
    """Whether the exception, or one in its cause or context chain or of its group, leaves the outcome unknown.

    An exempt one (a refused connection) exempts only itself: what it was raised from, or wrapped in, still counts.
    An error that it carries as its argument is itself in other words (httpcore's `ConnectTimeout(TimeoutError())`).
    `outer` is what the caller was handling when it made the call: where the chain leads there, the call is left.
    """
    seen: set[tuple[int, bool]] = set()
    waiting: list[tuple[BaseException | None, bool]] = [(error, False)]
    while waiting:
        one, retold = waiting.pop()
        if one is None or one is outer or (id(one), retold) in seen:
            continue
        seen.add((id(one), retold))
        kind = type(one)
        if _is_declared_unknown_outcome(kind, unknown_on) or (not retold and _is_listed_unknown_outcome(kind)):
            return True
        carried = [id(argument) for argument in one.args] if _is_outcome_never_sent(kind) else []
        members = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        waiting += ((other, id(other) in carried) for other in (one.__cause__, one.__context__, *members))
    return False
