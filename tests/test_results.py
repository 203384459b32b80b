"""`find` gives every summary once, in order of id, page by page; looking ahead takes nothing away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from sagafsm.display import build_mimebundle
from sagafsm.results import Found
from sagafsm.saga import Saga
from sagafsm.store import Summary
from support.pages import Page

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def summaries(number: int) -> list[Summary]:
    return [
        Summary(id=f"o-{n:03}", saga="order", version=1, state="completed", length=3, created_at=NOW, updated_at=NOW)
        for n in range(number)
    ]


class Pages:
    """A store's pages of at most three; counts how often it is asked."""

    def __init__(self, all: Sequence[Summary]) -> None:
        self.all, self.asked = all, 0

    def __call__(self, after: str | None, left: int | None) -> Sequence[Summary]:
        self.asked += 1
        behind = [one for one in self.all if after is None or one.id > after]
        return behind[: 3 if left is None else min(left, 3)]


@given(number=st.integers(0, 9), limit=st.none() | st.integers(1, 10), looks=st.lists(st.integers(0, 6), max_size=12))
def test_looking_ahead_never_takes_anything_away(number: int, limit: int | None, looks: list[int]) -> None:
    """Whatever is peeked at between two reads, each summary is read once, in order, up to the limit."""
    all = summaries(number)
    expected = all if limit is None else all[:limit]
    found = Found(Pages(all), None, limit)
    read = []
    for ahead in looks:
        assert tuple(expected[len(read) : len(read) + ahead]) == found.peek(ahead)
        assert (len(expected) - len(read) > ahead) == found.has_more_than(ahead)
        read += [one for one in [next(found, None)] if one is not None]
    assert expected == [*read, *found]


def test_a_page_is_read_only_when_it_is_asked_for() -> None:
    """A thousand instances cost nothing to whoever looks at the first three."""
    pages = Pages(summaries(9))
    found = Found(pages, None, None)
    assert 0 == pages.asked
    assert ["o-000", "o-001", "o-002"] == [next(found).id for _ in range(3)]
    assert 1 == pages.asked


def test_what_is_found_is_shown_and_still_there() -> None:
    """A notebook's last line may be a `find`: it shows the first ones, and says that there are more."""
    saga = Saga("order")
    saga.add_step("reserve", lambda input: input)
    for number in range(23):
        saga.run(number, id=f"o-{number:02}")
    found = saga.orchestrator.find()
    words = Page(build_mimebundle(found)["text/html"]).words
    assert ["o-00" in words, "o-19" in words, "o-20" in words] == [True, True, False]
    assert "more" in words
    assert 23 == len(list(found))
    saga.orchestrator.close()


def test_a_found_says_what_comes_next() -> None:
    """As a repr, without reading it to the end."""
    found = Found(Pages(summaries(2)), None, None)
    assert "<Found 'o-000' and what follows>" == repr(found)
    assert ["o-000", "o-001"] == [one.id for one in found]
    assert "<Found nothing more>" == repr(found)
