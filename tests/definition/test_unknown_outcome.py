"""Which exceptions leave it unknown whether an action took effect: every row, through a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sagafsm.definition.unknown_outcome import NEVER_SENT, is_outcome_unknown, is_unknown_type, network_errors
from sagafsm.errors import OutcomeUnknown, PermanentFailure
from sagafsm.orchestrator import Orchestrator
from sagafsm.saga import Saga
from support.broken_server import (
    Behaviour,
    broken_server,
    postgres_that_dies_in_a_query,
    refused_port,
    resets,
    says,
    silent,
    unaccepting_port,
)

Call = Callable[[int], Any]
SHORT = 0.2

CLOSES = says(b"")
GARBAGE = says(b"\x00garbage\r\n\r\n")
HALF = says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
HALF_A_CHUNK = says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf")
NO_GZIP = says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhalf")
NO_JSON = says(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhalf")
STUCK = says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", hold=True)


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}/charges"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


# How each library is called -------------------------------------------------------------------------------------------


def by_socket(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=SHORT) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\n\r\n")
        connection.recv(1)


def by_urllib(port: int) -> None:
    with urllib.request.urlopen(urllib.request.Request(url(port), data=b"{}"), timeout=SHORT) as response:
        response.read()


def by_requests(port: int) -> None:
    pytest.importorskip("requests").post(url(port), json={"amount": 1}, timeout=SHORT).raise_for_status()


def by_urllib3(method: str, *, retries: int | bool) -> Call:
    def call(port: int) -> None:
        with pytest.importorskip("urllib3").PoolManager() as pool:
            pool.request(method, url(port), timeout=SHORT, retries=retries)

    return call


def by_httpx(module: str) -> Call:
    def call(port: int) -> None:
        httpx = pytest.importorskip(module)
        with httpx.Client(timeout=SHORT) as client:
            client.post(url(port), json={"amount": 1}).raise_for_status()

    return call


def by_async_httpx(module: str) -> Call:
    def call(port: int) -> None:
        httpx = pytest.importorskip(module)

        async def post() -> None:
            async with httpx.AsyncClient(timeout=SHORT) as client:
                await client.post(url(port), json={"amount": 1})

        asyncio.run(post())

    return call


def by_httpcore(module: str) -> Call:
    def call(port: int) -> None:
        httpcore = pytest.importorskip(module)
        limits = dict.fromkeys(("connect", "read", "write", "pool"), SHORT)
        with httpcore.ConnectionPool() as pool:
            pool.request("POST", url(port), content=b"{}", extensions={"timeout": limits})

    return call


def by_full_httpx_pool(module: str) -> Call:
    def call(port: int) -> None:
        httpx = pytest.importorskip(module)
        limits, timeout = httpx.Limits(max_connections=1), httpx.Timeout(10, pool=SHORT)
        with httpx.Client(limits=limits, timeout=timeout) as client, client.stream("GET", url(port)):
            client.post(url(port), json={"amount": 1})

    return call


def by_full_httpcore_pool(module: str) -> Call:
    def call(port: int) -> None:
        httpcore = pytest.importorskip(module)
        with httpcore.ConnectionPool(max_connections=1) as pool, pool.stream("GET", url(port)):
            pool.request("POST", url(port), extensions={"timeout": {"pool": SHORT}})

    return call


def by_aiohttp(port: int) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def post() -> None:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_read=SHORT), raise_for_status=True) as session,
            session.post(url(port), json={"amount": 1}) as response,
        ):
            await response.read()

    asyncio.run(post())


def by_stripe(port: int) -> None:
    stripe = pytest.importorskip("stripe")
    transport = stripe.RequestsClient(timeout=SHORT)
    client = stripe.StripeClient(
        "sk_test_1", http_client=transport, base_addresses={"api": f"http://127.0.0.1:{port}"}, max_network_retries=0
    )
    try:
        client.v1.charges.create({"amount": 1, "currency": "eur"})
    finally:
        transport.close()


def by_psycopg(port: int) -> None:
    psycopg = pytest.importorskip("psycopg")
    address = f"host=127.0.0.1 port={port} user=u dbname=d sslmode=disable gssencmode=disable connect_timeout=5"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("update stock set quantity = quantity - 1")


def by_mcp(port: int) -> None:
    httpx2 = pytest.importorskip("httpx2")
    http, session = pytest.importorskip("mcp.client.streamable_http"), pytest.importorskip("mcp.client.session")

    async def connect() -> None:
        async with (
            httpx2.AsyncClient(timeout=10) as client,
            http.streamable_http_client(url(port), http_client=client, terminate_on_close=False) as streams,
            session.ClientSession(*streams[:2], read_timeout_seconds=SHORT) as mcp,
        ):
            await mcp.initialize()

    asyncio.run(connect())


# One case a row -------------------------------------------------------------------------------------------------------

LISTED: dict[str, tuple[Behaviour, Call]] = {
    "builtins.TimeoutError": (silent, by_socket),
    "builtins.ConnectionError": (resets, by_socket),
    "http.client.IncompleteRead": (HALF, by_urllib),
    "http.client.BadStatusLine": (GARBAGE, by_urllib),
    "requests.exceptions.ConnectionError": (CLOSES, by_requests),
    "requests.exceptions.Timeout": (silent, by_requests),
    "requests.exceptions.ChunkedEncodingError": (HALF_A_CHUNK, by_requests),
    "requests.exceptions.ContentDecodingError": (NO_GZIP, by_requests),
    "urllib3.exceptions.TimeoutError": (silent, by_urllib3("POST", retries=False)),
    "urllib3.exceptions.ProtocolError": (HALF, by_urllib3("POST", retries=False)),
    "urllib3.exceptions.MaxRetryError": (CLOSES, by_urllib3("PUT", retries=0)),
    "urllib3.exceptions.DecodeError": (NO_GZIP, by_urllib3("POST", retries=False)),
    "httpx.TimeoutException": (silent, by_httpx("httpx")),
    "httpx.NetworkError": (resets, by_httpx("httpx")),
    "httpx.RemoteProtocolError": (GARBAGE, by_httpx("httpx")),
    "httpx.DecodingError": (NO_GZIP, by_httpx("httpx")),
    "httpcore.TimeoutException": (silent, by_httpcore("httpcore")),
    "httpcore.NetworkError": (resets, by_httpcore("httpcore")),
    "httpcore.RemoteProtocolError": (CLOSES, by_httpcore("httpcore")),
    "httpx2.TimeoutException": (silent, by_async_httpx("httpx2")),
    "httpx2.NetworkError": (resets, by_httpx("httpx2")),
    "httpx2.RemoteProtocolError": (HALF, by_httpx("httpx2")),
    "httpx2.DecodingError": (NO_GZIP, by_httpx("httpx2")),
    "httpcore2.TimeoutException": (silent, by_httpcore("httpcore2")),
    "httpcore2.NetworkError": (resets, by_httpcore("httpcore2")),
    "httpcore2.RemoteProtocolError": (GARBAGE, by_httpcore("httpcore2")),
    "aiohttp.client_exceptions.ClientConnectionError": (CLOSES, by_aiohttp),
    "aiohttp.client_exceptions.ClientPayloadError": (HALF_A_CHUNK, by_aiohttp),
    "aiohttp.http_exceptions.BadHttpMessage": (GARBAGE, by_aiohttp),
    "stripe._error.APIConnectionError": (silent, by_stripe),
    "stripe._error.APIError": (NO_JSON, by_stripe),
    "psycopg.OperationalError": (postgres_that_dies_in_a_query, by_psycopg),
    "mcp.shared.exceptions.MCPError": (silent, by_mcp),
}
# Names that only older versions use; beside the present ones they cannot be installed.
FORMER = ("stripe.error.APIConnectionError", "stripe.error.APIError", "mcp.shared.exceptions.McpError")


def unresolved(_port: int) -> None:
    socket.getaddrinfo("127.0.0.1", "no-such-service")


EXEMPT: dict[str, tuple[Callable[[], contextlib.AbstractContextManager[int]], Call]] = {
    "builtins.ConnectionRefusedError": (refused_port, by_socket),
    "socket.gaierror": (refused_port, unresolved),
}
for _suffix in ("", "2"):
    _httpx, _httpcore = f"httpx{_suffix}", f"httpcore{_suffix}"
    EXEMPT |= {
        f"{_httpx}.ConnectError": (refused_port, by_httpx(_httpx)),
        f"{_httpx}.ConnectTimeout": (unaccepting_port, by_httpx(_httpx)),
        f"{_httpx}.PoolTimeout": (lambda: broken_server(STUCK), by_full_httpx_pool(_httpx)),
        f"{_httpcore}.ConnectError": (refused_port, by_httpcore(_httpcore)),
        f"{_httpcore}.ConnectTimeout": (unaccepting_port, by_httpcore(_httpcore)),
        f"{_httpcore}.PoolTimeout": (lambda: broken_server(STUCK), by_full_httpcore_pool(_httpcore)),
    }


def raised_by(call: Call, port: int) -> Exception:
    with pytest.raises(Exception) as caught:
        call(port)
    return caught.value


def within(error: BaseException | None, seen: set[int] | None = None) -> Iterator[BaseException]:
    """The exception with its causes, contexts and members, each once."""
    seen = set() if seen is None else seen
    if error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        for other in (error.__cause__, error.__context__, *members):
            yield from within(other, seen)


def names(error: BaseException) -> list[str]:
    return [f"{base.__module__}.{base.__qualname__}" for base in type(error).__mro__]


def named(name: str) -> type[Exception]:
    """An exception type as an absent library would define it."""
    module, _, qualname = name.rpartition(".")
    return type(qualname, (Exception,), {"__module__": module})


def test_every_row_is_examined() -> None:
    """Each row of the table has a case here, and no case is left over."""
    assert LISTED.keys() | set(FORMER) == network_errors
    assert EXEMPT.keys() == NEVER_SENT


@pytest.mark.parametrize("row", sorted(LISTED))
def test_a_lost_connection_leaves_doubt(row: str) -> None:
    """What a library raises after the request has left is in doubt, by the name that the table has for it."""
    behaviour, call = LISTED[row]

    with broken_server(behaviour) as port:
        error = raised_by(call, port)

    found = [one for one in within(error) if row in names(one)]
    assert found, [names(one)[0] for one in within(error)]
    assert is_unknown_type(type(found[0]))
    assert is_outcome_unknown(error)


@pytest.mark.parametrize("row", FORMER)
def test_former_names_leave_doubt(row: str) -> None:
    """The names that older versions of a library used are in doubt like the present ones."""
    assert is_outcome_unknown(named(row)())


@pytest.mark.parametrize("row", sorted(EXEMPT))
def test_what_never_left_is_definite(row: str) -> None:
    """A connection that was never made, as its library really raises it, took no effect."""
    place, call = EXEMPT[row]

    with place() as port:
        error = raised_by(call, port)

    assert row in names(error)
    assert not is_outcome_unknown(error)


@pytest.mark.parametrize("row", sorted(EXEMPT))
def test_what_never_left_exempts_only_itself(row: str) -> None:
    """Wrapped in a listed error, or raised while one was handled or because of one, it is in doubt all the same."""
    place, call = EXEMPT[row]
    with place() as port:
        error = raised_by(call, port)
    wrapper, reset = OSError("retold"), ConnectionResetError("sent, then lost")
    wrapper.__cause__ = reset.__cause__ = error
    grouped = ExceptionGroup("two at once", [error, TimeoutError()])

    assert not is_outcome_unknown(wrapper)
    assert is_outcome_unknown(reset)
    assert is_outcome_unknown(grouped)
    assert is_outcome_unknown(raised_again(error))


def raised_again(error: Exception) -> Exception:
    """The error as a second try, in the handler of a first that timed out, would raise it."""
    try:
        try:
            raise TimeoutError("the first try")
        except TimeoutError:
            raise error  # noqa: B904 - the context is what is examined
    except Exception as second:
        return second


def test_only_what_an_exempt_error_carries_is_exempt_with_it() -> None:
    """An error that an exempt one has as its argument is the same fact; any other in its chain still counts."""
    told = TimeoutError("the connection")
    refused = named("httpcore.ConnectTimeout")(told)
    refused.__context__ = told

    assert not is_outcome_unknown(refused)
    told.__context__ = ConnectionResetError("a request before")
    assert is_outcome_unknown(refused)
    refused.__context__ = TimeoutError("a request before")
    assert is_outcome_unknown(refused)
    refused.__context__, refused.__cause__ = None, named("httpx.TimeoutException")("a request before")
    assert is_outcome_unknown(refused)


def test_what_the_user_declares_outweighs_the_exemptions() -> None:
    """What a saga lists, and `OutcomeUnknown`, are in doubt also where the table exempts them."""
    told = TimeoutError("the connection")
    refused = named("httpcore.ConnectTimeout")(told)
    refused.__context__ = told
    said = named("httpcore.ConnectError")(unknown := OutcomeUnknown())
    said.__context__ = unknown

    assert is_outcome_unknown(ConnectionRefusedError(), [ConnectionRefusedError])
    assert is_outcome_unknown(refused, [TimeoutError])
    assert is_outcome_unknown(said)


CARD_ERROR = b'{"error": {"type": "card_error", "message": "no", "code": "card_declined"}}'
DECLINED = b"HTTP/1.1 402 Payment Required\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
DECLINED %= (len(CARD_ERROR), CARD_ERROR)


@pytest.mark.parametrize("call", [by_requests, by_httpx("httpx"), by_httpx("httpx2"), by_aiohttp, by_stripe])
def test_an_answer_is_no_doubt(call: Call) -> None:
    """A service that answered, whatever it answered, was heard: its refusal is definite."""
    with broken_server(says(DECLINED)) as port:
        error = raised_by(call, port)

    assert not is_outcome_unknown(error)


@pytest.mark.parametrize("call", [by_requests, by_urllib3("POST", retries=False), by_aiohttp, by_stripe])
def test_a_refused_connection_inside_a_listed_error_is_in_doubt(call: Call) -> None:
    """Libraries that wrap a refused connection in an error they also use for lost answers leave doubt: no guessing."""
    with refused_port() as port:
        error = raised_by(call, port)

    assert any("builtins.ConnectionRefusedError" in names(one) for one in within(error))
    assert is_outcome_unknown(error)


@pytest.mark.parametrize("error", [ValueError(), KeyError(), OSError(), RuntimeError(), PermanentFailure(), EOFError()])
def test_other_errors_are_definite(error: Exception) -> None:
    """Any other exception says that the action left nothing (the classic rule)."""
    assert not is_outcome_unknown(error)


@pytest.mark.parametrize(
    "kind", [OutcomeUnknown, TimeoutError, BrokenPipeError, ConnectionAbortedError, asyncio.TimeoutError]
)
def test_builtin_doubts(kind: type[Exception]) -> None:
    """`OutcomeUnknown`, timeouts and lost connections are in doubt, their subclasses too."""
    subclass = type("Mine", (kind,), {})

    assert is_outcome_unknown(kind())
    assert is_outcome_unknown(subclass())


class Late(Exception):
    """A user's own."""


def test_unknown_on_adds_to_the_table() -> None:
    """`unknown_on` adds types, with their subclasses, and takes none away."""
    later = type("Later", (Late,), {})

    assert not is_outcome_unknown(Late())
    assert is_outcome_unknown(Late(), [Late])
    assert is_outcome_unknown(later(), [Late])
    assert is_outcome_unknown(TimeoutError(), [Late])


def test_from_none_hides_nothing() -> None:
    """An error raised `from None` still has the context in which it was raised."""
    with pytest.raises(ValueError) as caught:  # noqa: PT012 - the context is made here
        try:
            raise TimeoutError
        except TimeoutError:
            raise ValueError("declined?") from None

    assert caught.value.__suppress_context__
    assert is_outcome_unknown(caught.value)


def test_groups_are_looked_into() -> None:
    """One member of an exception group, however deep, leaves the group in doubt."""
    inner = ExceptionGroup("inner", [ValueError(), ConnectionResetError()])

    assert is_outcome_unknown(ExceptionGroup("outer", [KeyError(), inner]))
    assert not is_outcome_unknown(ExceptionGroup("outer", [KeyError(), ExceptionGroup("inner", [ValueError()])]))


def test_cycles_end() -> None:
    """Chains that lead back to where they began are walked once."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__context__ = other, one

    assert not is_outcome_unknown(one)
    other.__cause__ = TimeoutError()
    assert is_outcome_unknown(one)


# In a saga ------------------------------------------------------------------------------------------------------------


def charge_saga(action: Callable[[], Any]) -> Saga:
    saga = Saga("order")
    saga.add_step("charge", action, lambda: None)
    return saga


def test_a_lost_answer_blocks_and_a_refused_connection_fails() -> None:
    """An action whose answer is lost is never taken for undone; one whose request never left is."""
    with broken_server(CLOSES) as port, Orchestrator("memory://") as orchestrator:
        lost = orchestrator.run(charge_saga(lambda: by_httpx("httpx")(port)), None)
    with refused_port() as port, Orchestrator("memory://") as orchestrator:
        refused = orchestrator.run(charge_saga(lambda: by_httpx("httpx")(port)), None)

    assert ("running:charge", ["in_doubt"]) == (lost.state, [block.reason for block in lost.blocked])
    assert ("failed", True) == (refused.state, refused.compensated)
