"""Worlds are compared before and after: by value, but for what may only grow, and for what is as good as equal."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm.definition.retry import Retry
from sagafsm.errors import RequestError
from sagafsm.saga import Saga
from sagafsm.verify import verify
from sagafsm.verify.simulate.world import (
    World,
    WorldSnapshot,
    copy_world,
    describe_changes,
    find_changed_places,
    find_shortfalls,
    has_grown,
    is_copyable,
    is_equivalent,
    make_world,
    make_world_factory,
)
from support.keyed import Shop
from support.messages import message_of

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
growing = st.recursive(
    st.integers() | st.text(max_size=3) | st.sets(st.integers()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


# What makes a world -----------------------------------------------------------------------------------------------


def test_a_class_a_function_and_an_instance_make_worlds() -> None:
    """Each time a new one; of an instance, copies of what it is now."""
    stocked = Shop(held={"k": 1})
    for given_, held in ((Shop, {}), (lambda: Shop(held={"k": 2}), {"k": 2}), (stocked, {"k": 1})):
        factory = make_world_factory(given_)
        one, other = make_world(factory), make_world(factory)
        one.hold("mine", 1)
        assert held == other.snapshot()
        assert one is not other
    assert {"k": 1} == stocked.snapshot()


def test_the_protocol_is_two_methods() -> None:
    assert isinstance(Shop(), World)
    assert not isinstance(object(), World)


@pytest.mark.parametrize("given_", [7, "shop", object, None])
def test_what_is_no_world_is_told(given_: Any) -> None:
    """At once, or when the first is made."""
    told = {
        object: "world 'object' has no method 'resources' (a world has resources() and snapshot())",
    }.get(
        given_,
        f"world={given_!r} is no world: give a class whose instances have resources() and snapshot(), or an instance",
    )

    assert told == message_of(RequestError, lambda: make_world(make_world_factory(given_)))


def test_a_world_that_cannot_be_made_is_told() -> None:
    """With what was raised, and how it is called."""

    class Needy:
        def __init__(self, name: str) -> None: ...

    told = message_of(RequestError, lambda: make_world(Needy))
    name = Needy.__qualname__
    missing = 'TypeError("' + name + ".__init__() missing 1 required positional argument: 'name'\")"

    assert f"world {name!r} cannot be made: {missing} (it is called with nothing)" == told


def test_a_world_without_a_snapshot_is_told() -> None:
    class Half:
        def resources(self) -> dict[str, Any]:
            return {}

    told = f"world {Half.__qualname__!r} has no method 'snapshot' (a world has resources() and snapshot())"

    assert told == message_of(RequestError, lambda: make_world(Half))


def test_a_copy_is_the_worlds_own_where_it_has_one() -> None:
    """Else it is a deep one."""

    class Own(Shop):
        def copy(self) -> Own:
            return Own(held={**self.held, "copied": True})

    assert {"a": 1, "copied": True} == copy_world(Own(held={"a": 1})).snapshot()
    assert {"a": 1} == copy_world(Shop(held={"a": 1})).snapshot()


def test_a_world_can_be_copied_if_the_copy_is_like_it() -> None:
    """Not where copying fails, nor where something gets lost."""

    class Stuck(Shop):
        def copy(self) -> Any:
            raise OSError("no")

    class Forgetful(Shop):
        def copy(self) -> Any:
            return Shop()

    assert is_copyable(Shop(held={"a": 1}))
    assert not is_copyable(Stuck(held={"a": 1}))
    assert not is_copyable(Forgetful(held={"a": 1}))


# Comparing --------------------------------------------------------------------------------------------------------


def test_a_look_is_independent_of_what_becomes_of_the_world() -> None:
    """Also of one whose snapshot is what it holds itself."""

    @attrs.define
    class Alive:
        rows: dict[str, Any] = attrs.Factory(dict)
        mails: list[str] = attrs.Factory(list)

        def resources(self) -> dict[str, Any]:
            return {}

        def snapshot(self) -> Any:
            return self.rows

        def residue(self) -> Any:
            return {"mails": self.mails}

    world = Alive()
    kept, live = WorldSnapshot.take(world), WorldSnapshot.take(world, kept=False)
    world.rows["a"], world.mails[:] = 1, ["hello"]

    assert ({}, {"mails": []}) == (kept.state, kept.grows)
    assert ({"a": 1}, {"mails": ["hello"]}) == (live.state, live.grows)


def test_what_may_only_grow_is_left_out_of_what_is_equal() -> None:
    assert {"rows": 1} == WorldSnapshot({"rows": 1, "mails": ["a"]}, {"mails": ["a"]}).strict
    assert [1, 2] == WorldSnapshot([1, 2], {"mails": ["a"]}).strict
    assert {"rows": 1, "mails": []} == WorldSnapshot({"rows": 1, "mails": []}, {}).strict


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (WorldSnapshot({"a": 1}, {}), WorldSnapshot({"a": 1}, {}), True),
        (WorldSnapshot({"a": 1}, {}), WorldSnapshot({"a": 2}, {}), False),
        (WorldSnapshot({"a": 1, "m": [1]}, {"m": [1]}), WorldSnapshot({"a": 1, "m": [1, 2]}, {"m": [1, 2]}), True),
        (WorldSnapshot({"a": 1, "m": [1]}, {"m": [1]}), WorldSnapshot({"a": 1, "m": [2]}, {"m": [2]}), False),
        (WorldSnapshot({"a": 1, "m": [1]}, {"m": [1]}), WorldSnapshot({"a": 2, "m": [1, 2]}, {"m": [1, 2]}), False),
        (WorldSnapshot({"a": 1}, {"m": [1]}), WorldSnapshot({"a": 1}, {}), False),
    ],
)
def test_a_world_is_as_it_was_if_only_that_grew_which_may(
    before: WorldSnapshot, after: WorldSnapshot, same: bool
) -> None:
    """Whatever is lost of it is a difference, and so is all else."""
    assert same == is_equivalent(Shop(), before, after)


def test_equivalent_makes_equal_but_excuses_no_loss() -> None:
    """A refund is not a deletion; but a mail that is gone is gone."""

    class Bank(Shop):
        def equivalent(self, before: Any, after: Any) -> bool:
            return sum(before["rows"]) == sum(after["rows"])

    def look(rows: list[int], mails: list[str]) -> WorldSnapshot:
        return WorldSnapshot({"rows": rows, "mails": mails}, {"mails": mails})

    assert is_equivalent(Bank(), look([], ["a"]), look([5, -5], ["a", "b"]))
    assert not is_equivalent(Bank(), look([], ["a"]), look([5, -4], ["a"]))
    assert not is_equivalent(Bank(), look([], ["a"]), look([5, -5], []))


@given(growing)
def test_anything_has_grown_from_itself(value: Any) -> None:
    assert has_grown(value, copy.deepcopy(value))


@given(st.lists(growing, max_size=4), st.lists(growing, max_size=3), st.randoms())
def test_a_list_grows_in_any_order_and_loses_nothing(before: list[Any], more: list[Any], random: Any) -> None:
    """Whatever is added, and wherever; one entry less is always seen."""
    after = [*before, *more]
    random.shuffle(after)

    assert has_grown(before, after)
    assert not has_grown([*before, "one more"], before)


@given(
    st.dictionaries(st.text(max_size=2), growing, max_size=4), st.dictionaries(st.text(max_size=2), growing, max_size=4)
)
def test_a_mapping_grows_by_keys_and_values(before: dict[str, Any], more: dict[str, Any]) -> None:
    assert has_grown(before, {**more, **before})
    assert not has_grown({**before, "one more": 1}, before)


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [
        (1, 2, True),
        (2, 1, False),
        ("ab", "abc", True),
        ("abc", "ab", False),
        ({1}, {1, 2}, True),
        ({1, 2}, {2}, False),
        ([1, 1], [1], False),
        ([1, 1], [1, 2, 1], True),
        ({"a": [1]}, {"a": []}, False),
        ({"a": 1}, {"b": 1}, False),
        (None, None, True),
        (None, 1, False),
        ([1], None, False),
    ],
)
def test_what_counts_as_grown(before: Any, after: Any, grown: bool) -> None:
    assert grown == has_grown(before, after)


@pytest.mark.parametrize(
    ("reference", "after", "short"),
    [
        ({"mails": ["a"]}, {"mails": ["b"]}, []),
        ({"mails": ["a"]}, {"mails": []}, ["mails"]),
        ({"mails": ["a"]}, {}, ["mails"]),
        ({"count": 2}, {"count": 1}, ["count"]),
        ({"count": 2}, {"count": 3}, []),
        ({"a": object(), "b": None}, {"a": object()}, []),
        ({"a": object()}, {"a": None}, ["a"]),
    ],
)
def test_what_grew_less_than_without_faults(reference: Any, after: Any, short: list[str]) -> None:
    """A mail that was not sent, by its key; more of it is no shortage."""
    assert short == find_shortfalls(WorldSnapshot({}, reference), WorldSnapshot({}, after))


# Differences in words ---------------------------------------------------------------------------------------------


@given(values)
def test_equal_values_differ_nowhere(value: Any) -> None:
    assert [] == describe_changes(value, copy.deepcopy(value))


@given(values, values)
def test_values_that_differ_do_so_somewhere(before: Any, after: Any) -> None:
    """Never is a difference overlooked, and none is made up."""
    assert (before == after) == (describe_changes(before, after) == [])
    assert len(find_changed_places(before, after)) <= len(describe_changes(before, after))


@attrs.frozen
class Row:
    guest: str
    nights: int


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, {"b-1": {"guest": "Ann"}}, ["b-1: nothing, now {'guest': 'Ann'}"]),
        ({"b": {"b-1": 1}}, {"b": {}}, ["b['b-1']: 1, now nothing"]),
        ({"b": {"b-1": 1}}, {"b": {"b-1": 2}}, ["b['b-1']: 1, now 2"]),
        ([1], [1, 2], ["[1]: nothing, now 2"]),
        ({"s": {1, 2}}, {"s": {2, 3}}, ["s[1]: 1, now nothing", "s[3]: nothing, now 3"]),
        (Row("Ann", 1), Row("Ann", 2), ["nights: 1, now 2"]),
        (1, 2, ["the snapshot: 1, now 2"]),
        ([1], (1,), ["the snapshot: [1], now (1,)"]),
        ({"a": "x" * 100}, {"a": ""}, [f"a: '{'x' * 76}…, now ''"]),
        ({1: "a"}, {1: "b"}, ["[1]: 'a', now 'b'"]),
    ],
)
def test_differences_are_told_by_their_place(before: Any, after: Any, told: list[str]) -> None:
    """As a reader would write the place in Python; long values are cut short."""
    assert told == describe_changes(before, after)
    assert frozenset(line.partition(": ")[0] for line in told) == find_changed_places(before, after)


def test_keys_of_a_nested_saga_that_was_put_off_are_as_good_as_those_without() -> None:
    """A backoff before it puts its creation off, from which its keys count: that is no difference."""

    class Shelf:
        def __init__(self) -> None:
            self.held: dict[str, int] = {}

        def hold(self, key: str) -> None:
            self.held[key] = 1

        def free(self, key: str) -> None:
            self.held.pop(key, None)

    class Town:
        def __init__(self) -> None:
            self.shelf = Shelf()

        def resources(self) -> dict[str, Any]:
            return {"shelf": self.shelf}

        def snapshot(self) -> Any:
            return dict(self.shelf.held)

    def step(saga: Saga, name: str, **options: Any) -> None:
        hold = lambda shelf, ctx: shelf.hold(ctx.idempotency_key)  # noqa: E731 - both in one line each
        free = lambda shelf, ctx: shelf.free(ctx.action_key)  # noqa: E731
        saga.add_step(name, hold, free, in_doubt="compensate", **options)

    papers, trip = Saga("papers", resources=["shelf"]), Saga("trip", resources=["shelf"])
    step(papers, "visa")
    step(trip, "hotel", retry=Retry(2, backoff=timedelta(seconds=1)))
    trip.add_saga("papers", papers)

    assert verify(trip, Town, depth=1).ok
