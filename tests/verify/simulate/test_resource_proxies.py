"""A watched resource looks like the resource in everything, but that each call of a method is a point."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pytest

from sagafsm.verify.simulate.resource_proxies import rebind_resource, wrap_resource
from support.messages import message_of


@attrs.define
class Calls:
    """An interceptor that lets everything through, and remembers it."""

    names: list[str] = attrs.Factory(list)

    def call(self, name: str, method: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        self.names.append(name)
        return method(*args, **named)


class Colour(enum.Enum):
    RED = 1


class Clerk:
    """A callable object."""

    def __call__(self, what: str) -> str:
        return f"clerk {what}"


class AsyncClerk:
    __slots__ = ()

    async def __call__(self, what: str) -> str:
        return f"clerk {what}"


class Books:
    def __init__(self) -> None:
        self.rows: dict[str, int] = {"a": 1}
        self.name, self.rate, self.colour = "books", 1.5, Colour.RED
        self.clerk, self.typist = Clerk(), AsyncClerk()
        self.back: list[str] = []

    def put(self, key: str, value: int = 0) -> int:
        self.rows[key] = value
        return value

    async def fetch(self, key: str) -> int:
        return self.rows[key]

    @property
    def size(self) -> int:
        return len(self.rows)

    @staticmethod
    def rules() -> str:
        return "rules"

    @classmethod
    def kind(cls) -> str:
        return cls.__name__

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __contains__(self, key: object) -> bool:
        return key in self.rows

    def __getitem__(self, key: str) -> int:
        return self.rows[key]

    def __setitem__(self, key: str, value: int) -> None:
        self.rows[key] = value

    def __delitem__(self, key: str) -> None:
        del self.rows[key]

    def __enter__(self) -> Books:
        self.back.append("enter")
        return self

    def __exit__(self, *error: object) -> None:
        self.back.append("exit")

    async def __aenter__(self) -> str:
        return "entered"

    async def __aexit__(self, *error: object) -> None:
        self.back.append("aexit")


@attrs.define
class Library:
    books: Books = attrs.Factory(Books)


@pytest.fixture
def books() -> tuple[Any, Books, list[str]]:
    """A watched resource, what it stands for, and the points that were passed."""
    calls, target = Calls(), Books()
    return wrap_resource("books", target, calls), target, calls.names


Given = tuple[Any, Books, list[str]]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda w: w.put("b", value=2), "books.put"),
        (lambda w: w.rules(), "books.rules"),
        (lambda w: w.kind(), "books.kind"),
        (lambda w: w.clerk("x"), "books.clerk"),
        (lambda w: w.__setitem__("b", 2), "books.__setitem__"),
        (lambda w: w.__delitem__("a"), "books.__delitem__"),
    ],
)
def test_a_call_is_a_point(books: Given, call: Callable[[Any], Any], name: str) -> None:
    """By the resource's name and the method's; what it answers is what the method does, and it has its effect."""
    watching, target, names = books
    plain = Books()

    assert call(plain) == call(watching)
    assert plain.rows == target.rows
    assert [name] == names


def test_each_call_is_a_point_of_its_own(books: Given) -> None:
    """In order, also where a method is kept."""
    watching, _, names = books
    put = watching.put
    put("b")
    watching.rules()
    put("c")

    assert ["books.put", "books.rules", "books.put"] == names


def test_reading_is_no_point(books: Given) -> None:
    """Attributes, items, length, membership: they have no effect."""
    watching, target, names = books

    assert ("books", 1.5, 1, Colour.RED, target.rows) == (
        *(watching.name, watching.rate, watching.size),
        *(watching.colour, watching.rows),
    )
    assert (1, ["a"], True, 1, True) == (len(watching), list(watching), "a" in watching, watching["a"], bool(watching))
    assert [] == names


def test_setting_and_deleting_items_are_points(books: Given) -> None:
    watching, target, names = books
    watching["b"] = 2
    del watching["a"]

    assert {"b": 2} == target.rows
    assert ["books.__setitem__", "books.__delitem__"] == names


def test_entering_and_leaving_are_points(books: Given) -> None:
    """What is entered, if it is the resource itself, is watched too."""
    watching, target, names = books
    with watching as entered:
        entered.put("b")

    assert ["books.__enter__", "books.put", "books.__exit__"] == names
    assert ["enter", "exit"] == target.back


def test_entering_and_leaving_may_be_awaited(books: Given) -> None:
    """What is entered, if it is something else, is that."""
    watching, target, names = books

    async def enter() -> Any:
        async with watching as entered:
            return entered

    assert "entered" == asyncio.run(enter())
    assert ["books.__aenter__", "books.__aexit__"] == names
    assert ["aexit"] == target.back


def test_a_coroutine_function_is_a_point_that_is_awaited(books: Given) -> None:
    """Nothing happens before it is."""
    watching, _, names = books
    fetching = watching.fetch("a")
    assert [] == names

    assert 1 == asyncio.run(fetching)
    assert "clerk x" == asyncio.run(watching.typist("x"))
    assert ["books.fetch", "books.typist"] == names


def test_a_part_is_watched_with_its_place() -> None:
    """However deep."""
    calls = Calls()
    library = wrap_resource("city", Library(), calls)
    library.books.put("b")

    assert ["city.books.put"] == calls.names


def test_a_part_that_is_set_is_set(books: Given) -> None:
    watching, target, _ = books
    watching.name = "ledgers"
    assert "ledgers" == target.name
    del watching.name
    assert not hasattr(target, "name")


def test_it_is_taken_for_the_resource(books: Given) -> None:
    """By isinstance, match, equality, hash, repr and str."""
    watching, target, _ = books
    other = wrap_resource("other", target, Calls())

    assert isinstance(watching, Books)
    assert Books is watching.__class__
    assert watching == target
    assert watching == other
    assert watching != Books()
    assert {watching: 1} == {target: 1}
    assert (repr(target), str(target)) == (repr(watching), str(watching))
    match watching:
        case Books():
            pass
        case _:
            pytest.fail("it does not match")


def test_what_is_missing_is_missing(books: Given) -> None:
    """With the error of the resource itself."""
    watching, target, _ = books

    assert message_of(AttributeError, lambda: target.burn) == message_of(AttributeError, lambda: watching.burn)


def test_a_callable_resource_is_a_point() -> None:
    calls = Calls()

    assert "clerk x" == wrap_resource("clerk", Clerk(), calls)("x")
    assert ["clerk"] == calls.names


def test_another_may_take_over_the_watch(books: Given) -> None:
    """What is no watched resource stays what it is."""
    watching, _, names = books
    calls, plain = Calls(), object()
    rebind_resource(watching, calls).put("b")

    assert (["books.put"], []) == (calls.names, names)
    assert plain is rebind_resource(plain, calls)
