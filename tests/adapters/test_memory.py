"""The memory store keeps the whole contract, and says what it cannot take."""

from __future__ import annotations

import sys

import pytest

from sagafsm.errors import StoreConflict, StoreError
from sagafsm.history import events as e
from sagafsm.store import Store
from sagafsm.testing import StoreContract
from sagafsm.testing.sample_histories import (
    make_history,
    make_instance_completed,
    make_instance_created,
    make_step_started,
    number_events,
)
from sagafsm.testing.store_contract.base import ALICE, LEASE
from sagafsm_adapters.memory import MemoryStore


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self):
        store = MemoryStore.from_url("memory://")
        yield store
        store.close()


@pytest.fixture
def memory_store():
    return MemoryStore()


def test_it_is_a_store(memory_store):
    """The class implements the protocol and names its URL."""
    assert isinstance(memory_store, Store)
    assert memory_store.url == "memory://"


@pytest.mark.parametrize("url", ["memory://x", "memory:///x", "memory://?a=b", "memory:"])
def test_a_url_that_says_more_is_refused(url):
    """A path or an option of a memory URL would be ignored silently: it is refused instead."""
    with pytest.raises(StoreError) as caught:
        MemoryStore.from_url(url)
    assert str(caught.value) == f"store URL {url!r} says more than a memory store can take (use 'memory://')"


def test_two_stores_share_nothing():
    """Each store is a world of its own."""
    one, other = MemoryStore(), MemoryStore()
    one.create("o-1", make_history("o-1"))
    assert other.find() == ()


def test_conflicts_say_whole_sentences(memory_store):
    """A conflict names the instance, how it stands, and what was expected."""
    token = memory_store.create("o-1", make_history("o-1"), owner=ALICE, lease=LEASE)
    one = number_events((make_step_started(),), after=1)
    two = number_events((make_step_started(),), after=2)
    for call, message in (
        (
            lambda: memory_store.append("o-1", two, expected_version=2, token=token),
            "instance 'o-1' has 1 events, not 2: somebody else appended",
        ),
        (
            lambda: memory_store.append("o-1", one, expected_version=1, token=token + 1),
            "instance 'o-1' is owned by 'alice' now: this claim is over",
        ),
        (lambda: memory_store.claim("o-1", owner=ALICE, lease=LEASE), "instance 'o-1' is owned by 'alice'"),
    ):
        with pytest.raises(StoreConflict) as caught:
            call()
        assert str(caught.value) == message
    memory_store.release("o-1", token=token)
    with pytest.raises(StoreConflict) as caught:
        memory_store.renew("o-1", token=token, lease=LEASE)
    assert str(caught.value) == "instance 'o-1' is owned by nobody now: this claim is over"


def test_events_that_do_not_fit_are_refused(memory_store):
    """Numbers that do not go on, an empty batch, a strange beginning: nothing of it is stored."""
    token = memory_store.create("o-1", make_history("o-1"), owner=ALICE, lease=LEASE)
    for call, message in (
        (
            lambda: memory_store.append(
                "o-1", number_events((make_instance_completed(),), after=2), expected_version=1, token=token
            ),
            "instance 'o-1' lacks event 2: InstanceCompleted numbered 3 follows instead",
        ),
        (
            lambda: memory_store.append("o-1", (), expected_version=1, token=token),
            "instance 'o-1' was given no events to store",
        ),
        (
            lambda: memory_store.create("o-2", (make_instance_completed(),)),
            "a history begins with InstanceCreated, not with InstanceCompleted",
        ),
        (
            lambda: memory_store.create("o-2", (make_instance_created("o-3"),)),
            "instance 'o-2' cannot begin with the history of instance 'o-3'",
        ),
        (lambda: memory_store.import_(()), "a history begins with InstanceCreated, not with None"),
    ):
        with pytest.raises(StoreError) as caught:
            call()
        assert str(caught.value) == message
    assert memory_store.find() == (memory_store.load("o-1").summary,)
    assert memory_store.history("o-1") == make_history("o-1")


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("line", range(1, 41))
def test_an_interrupt_leaves_before_or_after(memory_store, line):
    """Ctrl-C at any line of an append: the instance is as it was before, or as it is after, and goes on."""
    token = memory_store.create("o-1", make_history("o-1"), owner=ALICE, lease=LEASE)
    before = memory_store.load("o-1")
    end = number_events((e.InstanceCompleted(state="completed"),), after=1)
    seen = 0

    def interrupt(frame, event, _):
        nonlocal seen
        if "memory.py" not in frame.f_code.co_filename:
            return None
        if event == "line":
            seen += 1
            if seen == line:
                raise Interrupted
        return interrupt

    old = sys.gettrace()
    sys.settrace(interrupt)
    try:
        memory_store.append("o-1", end, expected_version=1, token=token)
    except Interrupted:
        pass
    finally:
        sys.settrace(old)
    after = memory_store.load("o-1")
    due = [row.id for row in memory_store.find(due=after.summary.updated_at)]
    if len(after.instance.history) == 1:
        assert (after, due) == (before, ["o-1"])
        memory_store.append("o-1", end, expected_version=1, token=token)
        after = memory_store.load("o-1")
    assert (after.summary.state, after.summary.owner, after.summary.length) == ("completed", None, 2)
    assert memory_store.find(due=after.summary.updated_at) == ()
