"""The model of the console: it sees what the store holds and what drives tell, whoever drives, and reads no more than
so many instances.
"""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from sagafsm import AsyncOrchestrator, Orchestrator, OutcomeUnknown, Saga
from sagafsm.errors import RequestError
from sagafsm.notebook.console.model import AGE_PERIOD, CLOSED, MAX_RECENT, ConsoleModel
from sagafsm.notebook.console.query import StoreSample, make_summary, read_sample
from sagafsm.store import open_store
from sagafsm.value import replace
from support.clock import FakeClock
from support.stores import Wrapped


def order(*, doubts: bool = False) -> Saga:
    saga = Saga("order")

    def reserve(input):
        if doubts:
            raise OutcomeUnknown("no answer")
        return input

    saga.add_step("reserve", reserve, lambda result: None)
    saga.wait_for("approval")
    return saga


def seen(roster: ConsoleModel) -> dict[str, str]:
    return {one.id: one.state for one in roster.make_view().overview.rows}


@pytest.fixture
def orchestrator():
    with Orchestrator("memory://", sagas=[order()], clock=FakeClock()) as running:
        yield running


def test_what_a_drive_does_is_seen_at_once(orchestrator):
    told = []
    roster = ConsoleModel(orchestrator, on_change=lambda *, urgent: told.append(urgent))
    roster.listen()
    orchestrator.run(order(), 1, id="o-1")
    assert {"o-1": "running:approval"} == seen(roster)
    assert told
    assert roster.make_view().overview.rows[0].waiting
    roster.stop_listening()
    told.clear()
    orchestrator.signal("o-1", "approval", True)
    assert [] == told
    assert {"o-1": "running:approval"} == seen(roster)
    roster.refresh()
    assert {"o-1": "completed"} == seen(roster)
    assert [False] == told


def test_what_others_do_is_seen_by_looking(orchestrator):
    roster = ConsoleModel(orchestrator)
    roster.listen()
    with Orchestrator(orchestrator.store, sagas=[order()]) as other:
        other.run(order(), 1, id="o-1")
    assert {} == seen(roster)
    roster.refresh()
    assert {"o-1": "running:approval"} == seen(roster)


def test_what_is_older_than_what_is_known_changes_nothing(orchestrator):
    roster = ConsoleModel(orchestrator)
    instance = orchestrator.run(order(), 1, id="o-1")
    roster.refresh()
    roster.handle_event(instance.at(1), instance.history[0])
    assert {"o-1": "running:approval"} == seen(roster)


def test_nothing_is_told_where_nothing_has_changed():
    clock, told, time = FakeClock(), [], itertools.count()
    with Orchestrator("memory://", sagas=[order()], clock=clock) as orchestrator:
        orchestrator.run(order(), 1, id="o-1")
        roster = ConsoleModel(
            orchestrator, on_change=lambda *, urgent: told.append(urgent), monotonic=lambda: next(time) * 0.1
        )
        roster.refresh()
        roster.make_view()
        told.clear()
        roster.refresh()
        assert [] == told
        clock.advance(60)
        for _ in range(int(AGE_PERIOD * 10)):
            roster.refresh()
        assert told
        assert timedelta(minutes=1) == roster.make_view().now - roster.make_view().overview.rows[0].updated_at


def test_row_told_by_a_drive_is_the_row_that_the_store_has():
    for doubts in (False, True):
        saga = order(doubts=doubts)
        with Orchestrator("memory://", sagas=[saga]) as orchestrator:
            instance = orchestrator.run(saga, 1, id="o-1")
            stored = orchestrator.store.load("o-1").summary
            assert replace(stored, token=0) == make_summary(instance, None)


def test_closed_orchestrator_is_said_to_be_closed(orchestrator):
    roster = ConsoleModel(orchestrator)
    roster.refresh()
    assert "" == roster.make_view().message
    orchestrator.close()
    assert CLOSED == roster.make_view().message


def test_store_that_does_not_answer_is_told_and_what_was_read_stays(tmp_path):
    roster_of = Orchestrator(f"sqlite:///{tmp_path}/o.db?synchronous=NORMAL", sagas=[order()])
    roster_of.run(order(), 1, id="o-1")
    roster = ConsoleModel(roster_of)
    roster.refresh()
    roster_of.store.close()
    roster.refresh()
    assert {"o-1": "running:approval"} == seen(roster)
    assert "the store does not answer" in roster.make_view().message
    roster_of.close()


def test_state_that_there_is_not_cannot_be_chosen(orchestrator):
    with pytest.raises(RequestError, match="no instance is ever 'late'"):
        ConsoleModel(orchestrator).toggle("late")


def test_async_orchestrator_is_looked_at_from_any_thread():
    import asyncio

    async def main():
        async with AsyncOrchestrator("memory://", sagas=[order()]) as orchestrator:
            roster = ConsoleModel(orchestrator)
            roster.listen()
            await orchestrator.run(order(), 1, id="o-1")
            heard = seen(roster)
            await asyncio.to_thread(roster.refresh)
            return heard, seen(roster)

    expected = {"o-1": "running:approval"}
    assert (expected, expected) == asyncio.run(main())


class Counted(Wrapped):
    """Counts the rows that were read."""

    read = 0

    def _pass(self, name, method, *args, **kwargs):
        result = method(*args, **kwargs)
        if name == "find":
            self.read += len(result)
        return result


def test_survey_reads_no_more_than_so_many_of_each_kind():
    saga = Saga("order")
    saga.add_step("reserve", lambda input: input)
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        for number in range(40):
            orchestrator.run(saga, number, id=f"o-{number:02}")
        store = Counted(orchestrator.store)
        found = read_sample(store, each=10)
        assert [f"o-{number:02}" for number in range(10)] == sorted(found.summaries)
        assert frozenset({"completed"}) == found.incomplete
        assert 11 == store.read


def test_search_finds_an_id_that_was_not_read():
    saga = Saga("order")
    saga.add_step("reserve", lambda input: input)
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        for number in range(40):
            orchestrator.run(saga, number, id=f"o-{number:02}")
        assert {"o-35"} == set(read_sample(orchestrator.store, "o-35", each=1).summaries) - {"o-00"}
        assert {f"o-3{number}" for number in range(10)} == set(
            read_sample(orchestrator.store, "o-3", each=1).summaries
        ) - {"o-00"}
        assert {"o-00"} == set(read_sample(orchestrator.store, "x", each=1).summaries)


def test_what_was_told_is_kept_within_bounds():
    saga = Saga("order")
    saga.add_step("reserve", lambda input: input)
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        roster = ConsoleModel(orchestrator)
        instance = orchestrator.run(saga, 1, id="o-1")
        for number in range(MAX_RECENT + 5):
            roster.handle_event(replace(instance, id=f"o-{number}"), instance.history[-1])
        assert MAX_RECENT == roster.make_view().overview.matching
        assert "o-0" not in roster._merge_recent().summaries


def test_empty_store_has_nothing_to_show():
    assert StoreSample() == read_sample(open_store("memory://"))
