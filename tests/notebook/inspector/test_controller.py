"""Forks are looked at in place and never have the original's resources; an async orchestrator is inspected as a sync one.

What is exported needs nothing beside it, and what cannot be done is told to whoever clicked.
"""

from __future__ import annotations

import asyncio

import pytest

from sagafsm import AsyncOrchestrator, Orchestrator, OutcomeUnknown, Saga
from sagafsm.errors import ResourceMissing
from sagafsm.notebook import inspect
from sagafsm.notebook.inspector import controller
from sagafsm.notebook.inspector.actions import DIED
from support.looking import Onlooker, looking
from support.pages import Page


def order():
    saga = Saga("order", resources=["bank"])

    @saga.step
    def reserve(input):
        return {"id": input}

    @reserve.compensation
    def release(result):
        pass

    @saga.step
    def charge(input, bank):
        bank.append(input)
        return {"id": input}

    return saga


@pytest.fixture
def ran():
    """An orchestrator with an instance that has completed, and the bank that it used."""
    bank = []
    with Orchestrator("memory://", sagas=[order()], resources={"bank": bank}) as orchestrator:
        orchestrator.run(order(), 7, id="o-1")
        yield orchestrator, bank


def test_a_fork_is_looked_at_in_place_and_left_again(ran):
    orchestrator, bank = ran
    mine = []
    page = looking("o-1", orchestrator, fork_resources={"bank": mine})
    page.inspection.travel(3)
    page.click("fork")
    page.until(lambda: page.inspection.session.origin is not None)
    assert 3 == len(page.inspection.instance.history)
    assert "fork of" in Page(page.inspection._build_page().panes["trail"]).words
    page.click("run")
    page.rests()
    assert ([7], [7]) == (bank, mine)
    assert "completed" == page.inspection.instance.state
    page.click("back")
    assert page.inspection.session.origin is None
    assert page.inspection.orchestrator is orchestrator
    page.inspection.close()


@pytest.mark.parametrize("given", [None, {}, dict])
def test_a_fork_never_has_the_originals_resources(ran, given):
    orchestrator, bank = ran
    page = looking("o-1", orchestrator, fork_resources=given)
    page.inspection.fork(1)
    with pytest.raises(ResourceMissing):
        page.inspection.run()
    page.click("run")
    page.until(lambda: page.said and "fork_resources={name: object}" in page.said)
    page.rests()
    assert [7] == bank
    page.inspection.close()


def test_each_fork_gets_resources_made_for_it(ran):
    orchestrator, _ = ran
    made = []

    def make():
        made.append([])
        return {"bank": made[-1]}

    page = looking("o-1", orchestrator, fork_resources=make)
    for _ in range(2):
        page.inspection.fork(1)
        page.inspection.run()
        page.inspection.back()
    assert [[7], [7]] == made
    page.inspection.close()


def test_a_fork_may_be_forked_and_each_is_left_in_turn(ran):
    orchestrator, _ = ran
    page = looking("o-1", orchestrator, fork_resources={"bank": []})
    page.inspection.fork(4)
    page.inspection.fork(2)
    lengths = []
    for _ in range(3):
        lengths.append(len(page.inspection.instance.history))
        page.inspection.back()
    assert [2, 4] == lengths[:2]
    assert page.inspection.session.origin is None
    page.inspection.close()


def test_who_clicks_twice_looks_at_one_fork(ran):
    orchestrator, _ = ran
    page = looking("o-1", orchestrator)
    first = page.inspection.session
    fork = controller.make_fork(first, 2, None)
    page.inspection._show_fork(controller.make_fork(first, 2, None), first)
    page.inspection._show_fork(fork, first)
    page.inspection.back()
    assert first is page.inspection.session
    page.inspection.close()


def test_what_drives_the_fork_from_a_cell_is_heard(ran):
    orchestrator, _ = ran
    page = looking("o-1", orchestrator)
    page.inspection.fork(3, resources={"bank": []})
    page.inspection.orchestrator.cancel("o-1", reason="a what-if")
    assert "failed" == page.inspection.instance.state
    assert "completed" == orchestrator.get("o-1").state
    page.inspection.close()


def test_an_event_that_is_not_there_is_no_place_to_go(ran):
    orchestrator, _ = ran
    page = looking("o-1", orchestrator)
    for number in (0, 99):
        with pytest.raises(IndexError):
            page.inspection.travel(number)
        with pytest.raises(IndexError):
            page.inspection.fork(number)
    page.click("travel", at="soon")
    assert "as a number" in page.said
    page.inspection.close()


def test_the_last_event_is_the_present(ran):
    orchestrator, _ = ran
    page = looking("o-1", orchestrator)
    page.click("travel", at=2)
    assert 2 == page.inspection.session.at
    page.click("travel", at=len(page.inspection.instance.history))
    assert page.inspection.session.at is None
    page.inspection.close()


def test_what_is_exported_needs_nothing_beside_it(ran):
    orchestrator, _ = ran
    page = looking("o-1", orchestrator)
    page.click("export")
    (offered,) = (message for message in page.messages if message["kind"] == "file")
    assert ("o-1.html", page.inspection.to_html()) == (offered["name"], offered["html"])
    parsed = Page(offered["html"].partition("\n")[2])
    assert {"script", "link", "img"}.isdisjoint(parsed.tags)
    assert "completed" in parsed.words
    page.inspection.close()


@pytest.mark.parametrize(
    "asked", [{}, {"do": "explode"}, {"do": 7}, {"do": "select", "step": 7}, {"do": "select", "step": "no"}]
)
def test_what_a_page_cannot_ask_for_is_told(ran, asked):
    orchestrator, _ = ran
    page = looking("o-1", orchestrator)
    page.click(**{"do": None, **asked})
    assert page.said.startswith("RequestError")
    page.inspection.close()


def test_a_page_is_answered_with_what_was_sent_last(ran):
    orchestrator, _ = ran
    page = looking("o-1", orchestrator)
    page.click("select", step="charge", target="action")
    page.click("ping", seq=page.inspection.frames.seq)
    assert {"kind": "pong", "seq": page.inspection.frames.seq} == page.messages[-1]
    assert page.inspection.is_watched is False
    page.click("resync")
    assert page.messages[-1]["full"]
    page.inspection.close()


# An async orchestrator ------------------------------------------------------------------------------------------------


def async_order(bank):
    saga = Saga("order")

    async def reserve(input):
        await asyncio.sleep(0)
        return input

    async def release(result):
        bank.append(("release", result))

    async def charge(reserve):
        bank.append(("charge", reserve))
        return reserve

    saga.add_step("reserve", reserve, release)
    saga.add_step("charge", charge)
    return saga


async def settled(page, holds):
    """Until it holds, without keeping the loop from those who need it."""
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError((page.said, page.inspection.instance))


def test_an_async_orchestrator_is_inspected_on_its_loop():
    bank = []

    async def scenario():
        async with AsyncOrchestrator("memory://", sagas=[async_order(bank)]) as orchestrator:
            await orchestrator.start(async_order(bank), 7, id="o-1")
            page = Onlooker(inspect("o-1", orchestrator))
            await page.inspection.step()
            page.inspection.break_step("charge", "crash")
            page.click("run")
            await settled(page, lambda: not page.inspection.session.sight().driving)
            assert DIED == page.said
            await page.inspection.run()
            assert ["charge"] == [block.step for block in page.inspection.instance.blocked]
            await page.inspection.fork(3)
            assert 3 == len(page.inspection.instance.history)
            await page.inspection.run()
            page.inspection.back()
            page.click("decide", decision="compensate", step="charge", reason="enough")
            await settled(page, lambda: page.inspection.instance.is_at_rest)
            assert "failed" == page.inspection.instance.state
            page.inspection.close()

    asyncio.run(scenario())
    assert ("release", 7) in bank


def test_an_async_orchestrator_without_a_loop_is_driven_on_one_of_its_own():
    bank = []
    orchestrator = AsyncOrchestrator("memory://", sagas=[async_order(bank)])
    asyncio.run(orchestrator.start(async_order(bank), 7, id="o-1"))
    page = looking("o-1", orchestrator)
    assert "completed" == page.inspection.run().state
    page.inspection.fork(1)
    page.click("run")
    page.rests()
    assert "completed" == page.inspection.instance.state
    page.inspection.close()
    asyncio.run(orchestrator.close())


def test_a_pause_of_an_async_one_records_what_is_under_way():
    async def scenario():
        reached, opened = asyncio.Event(), asyncio.Event()
        saga = Saga("order")

        async def wait():
            reached.set()
            await opened.wait()
            return 1

        saga.add_step("wait", wait)
        saga.add_step("then", lambda: 2)
        async with AsyncOrchestrator("memory://", sagas=[saga]) as orchestrator:
            await orchestrator.start(saga, None, id="o-1")
            page = Onlooker(inspect("o-1", orchestrator))
            page.click("run")
            await reached.wait()
            page.click("pause")
            opened.set()
            await settled(page, lambda: not page.inspection.session.sight().driving)
            assert ("done", "pending") == tuple(one.status for one in page.inspection.instance.steps.values())
            page.inspection.close()

    asyncio.run(scenario())


def test_a_failure_in_the_background_is_told_whole():
    saga = Saga("order")

    def charge():
        raise OutcomeUnknown("no answer")

    saga.add_step("charge", charge)
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        orchestrator.run(saga, None, id="o-1")
        page = looking("o-1", orchestrator)
        page.click("decide", decision="skip", step="charge", reason="x")
        page.until(lambda: page.said and "allowed:" in page.said)
        page.rests()
        page.inspection.close()
