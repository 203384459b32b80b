"""A fork server: a warm process that forks one child for each run, and hears from it until it ends or is killed."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from typing import IO, Any, NoReturn

import attrs

HANGS = 30
Tell = Callable[[str], None]


@attrs.frozen
class Ended:
    """How a child ended, and the lines that it told until then."""

    status: int
    told: list[str]

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL

    def expect_killed(self) -> bool:
        """Whether it was killed; that it hung or failed instead is an error."""
        assert self.killed or self.status == 0, f"a child ended with status {self.status}: {self.told[-1:]}"
        return self.killed


class ForkServer:
    """Forks children that do a task of a module's; `prepare` is done once, before the first.

    It is a process of its own, so that the one that judges never pays for pages shared with a child.
    """

    def __init__(self, prepare: Callable[[], None]) -> None:
        ours, theirs = os.pipe(), os.pipe()
        sys.stdout.flush()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(ours[1])
            os.close(theirs[0])
            prepare()
            _serve(os.fdopen(ours[0], "rb"), os.fdopen(theirs[1], "wb"))
        os.close(ours[0])
        os.close(theirs[1])
        self._asks, self._answers = os.fdopen(ours[1], "wb"), os.fdopen(theirs[0], "rb")

    def run(self, task: Callable[..., None], *arguments: Any) -> Ended:
        """Have a child do `task(tell, *arguments)`."""
        pickle.dump((task, arguments), self._asks)
        self._asks.flush()
        ended: Ended = pickle.load(self._answers)
        return ended

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._asks.close()
        self._answers.close()
        os.waitpid(self._pid, 0)


def _serve(asks: IO[bytes], answers: IO[bytes]) -> NoReturn:
    # A collection in a child would copy every page that it looks at.
    gc.collect()
    gc.freeze()
    gc.disable()
    while True:
        try:
            task, arguments = pickle.load(asks)
        except EOFError:
            os._exit(0)
        pickle.dump(forked(task, *arguments), answers)
        answers.flush()


def forked(task: Callable[..., None], *arguments: Any) -> Ended:
    """Do this in a child of this process."""
    child, ear = begun(task, *arguments)
    with os.fdopen(ear, "rb") as heard:
        told = heard.read().decode().splitlines()
    return Ended(os.waitpid(child, 0)[1], told)


def begun(task: Callable[..., None], *arguments: Any) -> tuple[int, int]:
    """Begin this in a child of this process: its pid, and where it is heard."""
    ear, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ear)
        _live(task, mouth, arguments)
    os.close(mouth)
    return child, ear


def _live(task: Callable[..., None], mouth: int, arguments: tuple[Any, ...]) -> NoReturn:
    # A child that hangs is ended by this, which is no SIGKILL.
    signal.alarm(HANGS)

    def tell(line: str) -> None:
        # One write of less than PIPE_BUF is whole or not there at all.
        os.write(mouth, f"{line}\n".encode()[:4096])

    status = 1
    try:
        task(tell, *arguments)
        status = 0
    except BaseException:
        tell("raised " + traceback.format_exc()[-3000:].replace("\n", " | "))
    finally:
        # No clean-up of what the parent began: files, threads and buffers are its own.
        os._exit(status)
