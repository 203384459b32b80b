"""What `find` gives: summaries, read page by page as they are asked for, that a notebook shows as a table."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Self

from sagafsm.errors import SagaError
from sagafsm.reprs import Shown
from sagafsm.store import Summary

# The next summaries behind an id, so many at most (None: as many as a page holds).
Pages = Callable[[str | None, int | None], Sequence[Summary]]
AsyncPages = Callable[[str | None, int | None], Awaitable[Sequence[Summary]]]


class Peekable(Shown):
    """Summaries that can be looked at without being taken away."""

    @abstractmethod
    def peek(self, number: int) -> tuple[Summary, ...]:
        """Up to so many of those that come next; they still come.

        Raises:
            SagaError: they were not read yet, and their orchestrator is closed.
        """

    def is_more_than(self, number: int) -> bool:
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

    def __init__(self, pages: Pages, after: str | None, limit: int | None) -> None:
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

    def __init__(self, pages: AsyncPages, look: Pages, after: str | None, limit: int | None) -> None:
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
