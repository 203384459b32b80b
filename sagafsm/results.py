"""What `find` gives: summaries, read page by page as they are asked for, that a notebook shows as a table."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Self

import attrs

from sagafsm.display import Displayable
from sagafsm.errors import SagaError
from sagafsm.store import Summary
from sagafsm.value import Value

# The next summaries behind an id, so many at most (None: as many as a page holds).
PageReader = Callable[[str | None, int | None], Sequence[Summary]]
AsyncPageReader = Callable[[str | None, int | None], Awaitable[Sequence[Summary]]]


class Peekable(Displayable):
    """Summaries that can be looked at without being taken away."""

    @abstractmethod
    def peek(self, number: int) -> tuple[Summary, ...]:
        """Up to so many of those that come next; they still come.

        Raises:
            SagaError: they were not read yet, and their orchestrator is closed.
        """

    def has_more_than(self, number: int) -> bool:
        """Whether more than so many are still to come."""
        return len(self.peek(number + 1)) > number

    def __repr__(self) -> str:
        name = type(self).__name__
        try:
            shown = self.peek(1)
        except SagaError as error:
            return f"<{name}: {error}>"
        return f"<{name} {'nothing more' if not shown else f'{shown[0].id!r} and what follows'}>"


class Found(Peekable, Iterator[Summary]):
    """Summaries in order of id. Looking ahead (`peek`, as a notebook does) takes nothing away from who reads on."""

    def __init__(self, pages: PageReader, after: str | None, limit: int | None) -> None:
        self._pages, self._after, self._left = pages, after, limit
        self._ahead: deque[Summary] = deque()
        self._is_read = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Summary:
        if not self._ahead and not self._read():
            raise StopIteration
        return self._ahead.popleft()

    def peek(self, number: int) -> tuple[Summary, ...]:
        """Up to so many of those that come next; they still come."""
        while len(self._ahead) < number and self._read():
            pass
        return tuple(self._ahead)[:number]

    def _read(self) -> bool:
        """Read a page more; False: there is none."""
        if self._is_read:
            return False
        page = self._pages(self._after, self._left)
        self._ahead.extend(page)
        if self._left is not None:
            self._left -= len(page)
        self._is_read = not page or self._left == 0
        if page:
            self._after = page[-1].id
        return bool(page)


class AsyncFound(Peekable, AsyncIterator[Summary]):
    """The same, read by `async for`; who peeks waits for the store, on the thread that does it."""

    def __init__(self, pages: AsyncPageReader, look: PageReader, after: str | None, limit: int | None) -> None:
        self._pages, self._look, self._after, self._left = pages, look, after, limit
        self._page: deque[Summary] = deque()
        self._is_read = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Summary:
        if not self._page and not self._is_read:
            self._page.extend(await self._pages(self._after, self._left))
            self._is_read = not self._page
        if not self._page:
            raise StopAsyncIteration
        found = self._page.popleft()
        self._after = found.id
        if self._left is not None:
            self._left -= 1
            self._is_read = self._is_read or self._left == 0
        return found

    async def aclose(self) -> None:
        """Read no more."""
        self._page.clear()
        self._is_read = True

    def peek(self, number: int) -> tuple[Summary, ...]:
        """Up to so many of those that come next; they still come."""
        return () if self._is_read and not self._page else Found(self._look, self._after, self._left).peek(number)


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class RecoveryReport(Value, Displayable):
    """The ids that were resumed, in order of id, and what went wrong with those that could not be."""

    resumed: tuple[str, ...] = ()
    errors: Mapping[str, Exception] = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"{len(self.resumed)} resumed, {len(self.errors)} in error"
