"""The one thread on which the store is called beside a loop, and the groups that its writes are committed in."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

import attrs

from sagafsm.engine.effects import StoreCall, StoreWrite
from sagafsm.errors import StoreError
from sagafsm.runtime.fork_safety import reset_after_fork
from sagafsm.store import Store

# So many writes go out in one commit at most.
LARGEST_GROUP = 256
# So many drives go on in one turn of the loop: more of them at once would keep it from everything else.
RESUMED_AT_ONCE = 8


class StoreFuture(asyncio.Future[Any]):
    """What a call of the store will have given. A cancel of whoever awaits it waits for it, and is raised then."""

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ARG002 - asyncio's signature
        """Refuse: what is on its way to the store takes place all the same, and its answer must be known."""
        return False


@attrs.frozen(slots=False)  # quicker to make, as each commit has one of each
class StoreJob:
    """A call of the store, and where its answer goes."""

    effect: StoreCall | StoreWrite
    answer: StoreFuture
    receive: Callable[[asyncio.AbstractEventLoop, Sequence[StoreReply]], None]


@attrs.frozen(slots=False)
class StoreReply:
    """A call that was made: what it returned, or the error that it raised."""

    answer: StoreFuture
    value: Any = None
    error: BaseException | None = None

    def tell(self) -> None:
        """Resume who waits."""
        if self.error is None:
            self.answer.set_result(self.value)
        else:
            self.answer.set_exception(self.error)


StoreJobQueue = SimpleQueue[Sequence[StoreJob] | None]


@attrs.define(eq=False)
class StoreThread:
    """Calls the store on one thread, in the order in which it is asked to; writes that wait are made in one commit.

    What drives ask for in one turn of the loop comes to the thread together, and while it commits one group, more
    gather for the next: nothing ever waits for company. It is used by one loop at a time.
    """

    _jobs: StoreJobQueue = attrs.field(init=False)
    _gathered: list[StoreJob] = attrs.field(init=False)
    _done: deque[StoreReply] = attrs.field(init=False)
    _turning: asyncio.AbstractEventLoop | None = attrs.field(init=False)
    _thread: threading.Thread | None = attrs.field(init=False)
    _end: Callable[[], Any] = attrs.field(init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.forget()
        reset_after_fork(self)

    def forget(self) -> None:
        """Begin without a thread: in the child of a fork there is none."""
        self._jobs, self._gathered, self._done, self._turning, self._thread = SimpleQueue(), [], deque(), None, None
        # The thread knows its queue only, so that one that nobody closes ends when its writer is forgotten.
        self._end = weakref.finalize(self, self._jobs.put, None)

    def ask(self, effect: StoreCall | StoreWrite) -> StoreFuture:
        """Have the store called; on the thread of a loop, on which the answer comes.

        Raises:
            StoreError: the writer is closed.
        """
        if self._closed:
            raise StoreError("the orchestrator is closed, and calls its store no more (open another)")
        answer = StoreFuture(loop=asyncio.get_running_loop())
        self._gathered.append(StoreJob(effect, answer, self._receive))
        self._turn(answer.get_loop())
        return answer

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._turning is not loop:
            self._turning = loop
            loop.call_soon(self._take_turn, loop)

    def _receive(self, loop: asyncio.AbstractEventLoop, done: Sequence[StoreReply]) -> None:
        self._done.extend(done)
        self._turn(loop)

    def _take_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Resume some drives, and have others take their turn; once all are resumed, hand over what they asked for.

        Their next writes then make one group: handed over one by one they would be committed so, while the thread and
        the loop wait for each other's hold of the interpreter.
        """
        self._turning = None
        if self._done:
            for _ in range(min(RESUMED_AT_ONCE, len(self._done))):
                self._done.popleft().tell()
            # Behind those that go on now.
            self._turn(loop)
        elif self._gathered:
            self._hand_over()

    def _hand_over(self) -> None:
        jobs, self._gathered = self._gathered, []
        self._jobs.put(jobs)
        if self._thread is None:
            self._thread = threading.Thread(target=_run_jobs, args=(self._jobs,), name="sagafsm-store", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread, once it has made all the calls that it was asked for; idempotent."""
        self._closed = True
        if self._gathered:
            self._hand_over()
        self._end()
        if self._thread is not None:
            self._thread.join()


# On the thread ------------------------------------------------------------------------------------------------------


def _run_jobs(jobs: StoreJobQueue) -> None:
    waiting: deque[StoreJob] = deque()
    asked = True
    while asked or waiting:
        # In functions of their own: while this waits, it must hold nothing of what it did last.
        asked = asked and _gather_jobs(jobs, waiting)
        if waiting:
            _do_group_jobs(waiting)


def _gather_jobs(jobs: StoreJobQueue, waiting: deque[StoreJob]) -> bool:
    """Add all that was asked for meanwhile; when that is nothing at all, wait. False at the end."""
    try:
        asked = jobs.get(block=not waiting)
        while asked is not None:
            waiting.extend(asked)
            asked = jobs.get_nowait()
    except Empty:
        return True
    return False


def _do_group_jobs(waiting: deque[StoreJob]) -> None:
    """Make the first call, or commit all the writes that wait at the front, and wake their loop once."""
    jobs = [waiting.popleft()]
    effect = jobs[0].effect
    if isinstance(effect, StoreCall):
        done = [_make_group_call(jobs[0], effect)]
    else:
        while waiting and len(jobs) < LARGEST_GROUP and _is_write_to(effect.store, waiting[0].effect):
            jobs.append(waiting.popleft())
        done = _write_group(jobs, effect.store)
    answered: dict[asyncio.AbstractEventLoop, list[StoreReply]] = {}
    for each in done:
        answered.setdefault(each.answer.get_loop(), []).append(each)
    for loop, answers in answered.items():
        # On a loop that was closed meanwhile nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(jobs[0].receive, loop, answers)


def _is_write_to(store: Store, effect: StoreCall | StoreWrite) -> bool:
    return isinstance(effect, StoreWrite) and effect.store is store


def _make_group_call(job: StoreJob, effect: StoreCall) -> StoreReply:
    try:
        return StoreReply(job.answer, effect.call())
    except BaseException as error:  # noqa: BLE001 - raised on the loop, to whoever asked
        return StoreReply(job.answer, error=error)


def _write_group(jobs: Sequence[StoreJob], store: Store) -> list[StoreReply]:
    try:
        answers = store.write([job.effect.write for job in jobs if isinstance(job.effect, StoreWrite)])
        return [
            StoreReply(job.answer, error=answer)
            if isinstance(answer, BaseException)
            else StoreReply(job.answer, answer)
            for job, answer in zip(jobs, answers, strict=True)
        ]
    except BaseException as error:  # noqa: BLE001 - raised on the loop, to whoever asked
        return [StoreReply(job.answer, error=_copy_error(error)) for job in jobs]


def _copy_error(error: BaseException) -> BaseException:
    """The error as one member of a failed group raises it: each notes its own outcome on it."""
    if not isinstance(error, StoreError):
        return error
    own = type(error).__new__(type(error), *error.args)
    own.__dict__.update(error.__dict__)
    own.__cause__ = error
    return own
