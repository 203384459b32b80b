"""Processes to be killed that cost little: a warm one forks each of them, instead of a fresh interpreter that imports all.

    python -m support.warm MODULE

imports MODULE, calls its `warm_up(folder)`, and then forks a child for each request, which calls `main(arguments)`.
The child is a process like any other: it has a pid, files and locks of its own, and SIGKILL ends it in the same way.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, NoReturn

TESTS = Path(__file__).parent.parent
TASKS = Path("/proc/self/task")
LONGEST = 65536
HANGS = 60  # seconds


class Child:
    """A process that was forked for us: has what the tests use of `subprocess.Popen`."""

    def __init__(self, server: socket.socket, arguments: Sequence[str]) -> None:
        out, err = os.pipe(), os.pipe()
        socket.send_fds(server, [pickle.dumps(list(arguments))], [out[1], err[1]])
        os.close(out[1])
        os.close(err[1])
        self.stdout: IO[bytes] = os.fdopen(out[0], "rb")
        self.stderr: IO[bytes] = os.fdopen(err[0], "rb")
        self._server = server
        self.pid = int(self._answer())
        self.returncode: int | None = None

    def _answer(self) -> str:
        answer = self._server.recv(LONGEST).decode()
        if not answer:
            raise RuntimeError("the process that forks has ended (its own complaint is above)")
        return answer

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._server], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"child {self.pid}", timeout or 0)
            self.returncode = int(self._answer())
        return self.returncode

    def kill(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        self.stdout.close()
        self.stderr.close()


class Warm:
    """A process that forks, one child at a time."""

    def __init__(self, module: ModuleType) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A process of its own: threads run in this one, and a fork would leave their locks as they are.
        command = [sys.executable, "-m", "support.warm", module.__name__, str(theirs.fileno())]
        self._process = subprocess.Popen(command, cwd=TESTS, pass_fds=[theirs.fileno()])
        theirs.close()

    def begin(self, *arguments: object) -> Child:
        """Have a child call `main(arguments)`."""
        return Child(self._ours, [str(argument) for argument in arguments])

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Have a child call `main(arguments)`, and wait for its end."""
        with self.begin(*arguments) as child:
            # What a child of these tests writes fits into a pipe.
            status = child.wait(HANGS)
            return subprocess.CompletedProcess(
                arguments, status, child.stdout.read().decode(), child.stderr.read().decode()
            )

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._process.wait()


def check_alone() -> None:
    """Raise where a thread runs beside ours: a fork copies the locks that it holds, and not the thread."""
    if threading.active_count() > 1 or (TASKS.is_dir() and len(list(TASKS.iterdir())) > 1):
        raise RuntimeError(f"a process that runs threads cannot fork children to be trusted: {threading.enumerate()}")


def serve(module: ModuleType, client: socket.socket) -> None:
    """Fork a child for each request, and answer its pid and then its exit status, until the client is gone."""
    # A collection in a child would copy every page that it looks at.
    gc.collect()
    gc.freeze()
    check_alone()
    while True:
        request, files, *_ = socket.recv_fds(client, LONGEST, 2)
        if not request:
            return
        child = os.fork()
        if child == 0:
            client.close()
            live(module, pickle.loads(request), files)
        for file in files:
            os.close(file)
        client.send(str(child).encode())
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(BrokenPipeError):
            client.send(str(os.waitstatus_to_exitcode(status)).encode())


def live(module: ModuleType, arguments: list[str], files: list[int]) -> NoReturn:
    """Be the child: as an interpreter that runs the module with these arguments."""
    signal.alarm(HANGS)  # ends a child that hangs, and is no SIGKILL
    status = 1
    try:
        for number, file in enumerate(files, start=1):
            os.dup2(file, number)
            os.close(file)
        sys.argv = [str(module.__file__), *arguments]
        status = module.main(arguments) or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # No clean-up of what the parent began.
        os._exit(status)


if __name__ == "__main__":
    loaded = importlib.import_module(sys.argv[1])
    descriptor = int(sys.argv[2])
    sys.argv = sys.argv[:1]
    with tempfile.TemporaryDirectory(prefix="sagafsm-warm-") as scratch:
        loaded.warm_up(Path(scratch))
    with socket.socket(fileno=descriptor) as asking:
        serve(loaded, asking)
