"""A server on 127.0.0.1 that fails its clients in a chosen way, through a real socket."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

Behaviour = Callable[[socket.socket], None]


def silent(connection: socket.socket) -> None:
    """Take the request and never answer; returns when the client gives up."""
    _until_closed(connection)


def resets(connection: socket.socket) -> None:
    """Take the request and reset the connection."""
    _read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def says(answer: bytes, *, hold: bool = False) -> Behaviour:
    """Take the request, send this and close; with `hold`, only when the client does."""

    def behave(connection: socket.socket) -> None:
        _read_request(connection)
        connection.sendall(answer)
        if hold:
            _until_closed(connection)

    return behave


def postgres_that_dies_in_a_query(connection: socket.socket) -> None:
    """Greet as a PostgreSQL server does (protocol 3.0) and close at the first query."""
    connection.recv(65_536)
    settings = b"".join(
        _message(b"S", text) for text in (b"server_version\x0016.0\x00", b"client_encoding\x00UTF8\x00")
    )
    connection.sendall(_message(b"R", struct.pack("!i", 0)) + settings + _message(b"Z", b"I"))
    connection.recv(65_536)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _read_request(connection: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        part = connection.recv(65_536)
        if not part:
            return
        request += part
    head, _, body = request.partition(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    ]
    while lengths and len(body) < lengths[0] and (part := connection.recv(65_536)):
        body += part


def _until_closed(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


@contextlib.contextmanager
def broken_server(behaviour: Behaviour) -> Iterator[int]:
    """The port of a server that treats every connection so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads: list[threading.Thread] = []

        def treat(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                behaviour(connection)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=treat, args=(connection,)))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


@contextlib.contextmanager
def refused_port() -> Iterator[int]:
    """A port on which nobody listens, held so that nobody else can."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextlib.contextmanager
def unaccepting_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that connecting to it takes for ever."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as queue:
        for _ in range(3):
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
