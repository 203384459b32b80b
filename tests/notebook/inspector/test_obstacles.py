"""What stands against an order is told, wherever it comes from: nothing is offered that would be refused, or lost."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from sagafsm import AsyncOrchestrator, Orchestrator, Retry, Saga
from sagafsm.errors import RequestError
from sagafsm.notebook import console, inspect
from sagafsm.notebook.inspector import controller
from sagafsm.notebook.inspector.model import CLOSED
from sagafsm.notebook.inspector.view_model import find_nested_obstacle
from support.looking import Controls, looking
from support.stores import FailingStore, new_store


def saga_of(name, *steps, waits=None):
    saga = Saga(name)
    for step in steps:
        saga.add_step(step, lambda input: input, lambda result: None)
    if waits is not None:
        saga.wait_for(waits)
    return saga


def parent():
    """Two steps named charge: one of its own, and one of the saga that is nested in it."""
    saga = Saga("order")
    saga.add_saga("papers", saga_of("papers", "charge", waits="go"))
    saga.add_step("charge", lambda input: input, lambda result: None)
    return saga


def controls(page, pane="controls"):
    page.inspection.frames.flush(full=True)
    return Controls(page.messages[-1]["panes"][pane])


NESTED = find_nested_obstacle("o-1/papers")


def test_nothing_is_offered_of_one_that_is_nested_but_its_signals():
    """Driven, cancelled, decided, forked and broken is the instance that it is nested in."""
    with Orchestrator("memory://", sagas=[parent()]) as orchestrator:
        orchestrator.run(parent(), 7, id="o-1")
        page = looking("o-1/papers", orchestrator)
        assert "it is nested in 'o-1': inspect that one" == NESTED
        assert {"export"} == controls(page).enabled
        assert "signal" in controls(page, "asks").enabled
        orders = {"cancel": {"reason": "no"}, "decide": {"decision": "abandon", "reason": "no"}, "fork": {}, "run": {}}
        for order, said in orders.items():
            page.click(order, **said)
            assert f"RequestError: not now: {NESTED}" == page.said
        page.click("break", step="charge", kind="raise_before", times=1)
        assert f"RequestError: instance 'o-1/papers': {NESTED}" == page.said
        page.click("signal", name="go", payload="true")
        page.until(lambda: orchestrator.get("o-1").state == "completed")
        page.inspection.close()


def test_what_is_broken_are_steps_of_this_instance_alone():
    """A saga that an orchestrator has beside it may have steps of the same name."""
    other = saga_of("other", "charge")
    with Orchestrator("memory://", sagas=[saga_of("order", "charge"), other]) as orchestrator:
        orchestrator.start(saga_of("order", "charge"), 7, id="o-1")
        page = looking("o-1", orchestrator)
        page.inspection.break_step("charge", times=None)
        private = page.inspection.session.begin(lambda one: one).orchestrator
        assert "completed" == private.run(other, 7, id="x-1").state
        assert "failed" == private.resume("o-1").state
        private.close()
        page.inspection.close()


@pytest.mark.parametrize(
    ("step", "target", "told"),
    [
        ("none", "action", "saga 'order' has no step 'none'"),
        ("charge", [], "what breaks is an 'action' or a 'compensation', not []"),
        ("go", "action", "step 'go' has no function of its own, being a wait, so nothing breaks there"),
    ],
)
@pytest.mark.parametrize("order", ["break", "mend"])
def test_what_is_not_there_is_neither_broken_nor_mended(order, step, target, told):
    saga = saga_of("order", "charge")
    saga.wait_for("go")
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        orchestrator.start(saga, 7, id="o-1")
        page = looking("o-1", orchestrator)
        page.click(order, step=step, target=target, times=1)
        assert f"RequestError: {told}" == page.said
        page.inspection.close()


def test_a_definition_that_was_changed_is_told_before_anybody_runs_it():
    """In a notebook a cell is soon run again with another step in it."""
    with Orchestrator("memory://", sagas=[saga_of("order", "charge")]) as orchestrator:
        orchestrator.start(saga_of("order", "charge"), 7, id="o-1")
        changed = Orchestrator(orchestrator.store, sagas=[saga_of("order", "charge", "ship")])
        page = looking("o-1", changed)
        why = page.inspection.session.sight().drive_obstacle
        assert "instance 'o-1' was begun under another definition of saga 'order' version 1: " in why
        assert {"cancel", "abandon", "fork", "export", "submit"} == controls(page).enabled
        page.inspection.close()


def test_one_of_an_unknown_saga_can_be_ended_and_no_more():
    with Orchestrator("memory://", sagas=[saga_of("order", "charge")]) as orchestrator:
        orchestrator.run(saga_of("order", "charge"), 7, id="o-1")
        page = looking("o-1", Orchestrator(orchestrator.store))
        assert "compensate" not in controls(page).enabled
        page.click("decide", decision="compensate")
        unknown = "saga 'order' version 1 is not registered: pass it in sagas=[...]"
        assert f"RequestError: not now: {unknown}" == page.said
        page.inspection.close()


def test_an_orchestrator_that_is_closed_is_seen_without_a_click():
    saga = saga_of("order", "charge")
    orchestrator = Orchestrator("memory://", sagas=[saga])
    orchestrator.start(saga, 7, id="o-1")
    page = looking("o-1", orchestrator)
    assert "run" in controls(page).enabled
    sent = len(page.messages)
    orchestrator.close()
    page.inspection.refresh()
    page.until(lambda: len(page.messages) > sent)
    assert CLOSED in page.messages[-1]["panes"]["head"]
    assert "run" not in Controls(page.messages[-1]["panes"]["controls"]).enabled
    page.inspection.close()


def test_who_listens_to_the_orchestrator_hears_what_is_driven_from_here():
    """A trace, a metric, a console: they miss nothing."""
    saga, heard = saga_of("order", "charge"), []
    with Orchestrator("memory://", sagas=[saga], on_event=lambda _, event: heard.append(event.number)) as orchestrator:
        orchestrator.start(saga, 7, id="o-1")
        inspector = inspect("o-1", orchestrator)
        inspector.run()
        inspector.close()
    assert [1, 2, 3, 4] == heard


def test_a_store_that_answers_again_is_told_and_the_end_is_announced():
    saga = saga_of("order", "charge")
    inner = new_store("memory", None)
    store = FailingStore(inner)
    with Orchestrator(store, sagas=[saga]) as orchestrator, Orchestrator(inner, sagas=[saga]) as elsewhere:
        orchestrator.start(saga, 7, id="o-1")
        page = looking("o-1", orchestrator)
        store.faults["load"] = iter([OSError("no disk")])
        page.inspection.refresh()
        page.until(lambda: "the store does not answer: no disk" == page.said)
        page.inspection.refresh()
        page.until(lambda: "the store answers again" == page.said)
        page.click("decide", decision="nothing")
        page.until(lambda: "there is no decision 'nothing'" in page.said)
        elsewhere.resume("o-1")
        page.inspection.refresh()
        page.until(lambda: "o-1: completed" == page.said)
        page.inspection.close()


def test_a_step_of_what_sleeps_says_so():
    """`advance` never sleeps: nothing is due."""
    saga = Saga("order")

    @saga.step(retry=Retry(2, backoff=timedelta(minutes=5)))
    def charge():
        raise ValueError("busy")

    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        orchestrator.start(saga, 7, id="o-1")
        page = looking("o-1", orchestrator)
        page.inspection.step()
        page.click("step")
        page.until(lambda: page.said and page.said.startswith("nothing is due before "))
        page.inspection.close()


def test_a_request_to_who_drives_it_elsewhere_is_confirmed():
    reached, go = threading.Event(), threading.Event()
    saga = Saga("order")

    @saga.step
    def charge():
        reached.set()
        assert go.wait(10)

    charge.compensation(lambda: None)
    saga.add_step("ship", lambda: "label")
    store = new_store("memory", None)
    with (
        Orchestrator(store, sagas=[saga], owner="the warehouse") as elsewhere,
        Orchestrator(store, sagas=[saga]) as ours,
    ):
        driving = threading.Thread(target=elsewhere.run, args=(saga, 7), kwargs={"id": "o-1"})
        driving.start()
        assert reached.wait(10)
        page = looking("o-1", ours)
        page.click("cancel", reason="too late")
        page.until(lambda: "asked for: the warehouse drives it, and reads that next" == page.said)
        go.set()
        driving.join(10)
        assert ("failed", "cancel") == (ours.get("o-1").state, ours.get("o-1").cause.kind)
        page.inspection.close()


def test_another_instance_under_the_same_id_is_seen_from_its_beginning():
    saga = saga_of("order", "charge")
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        orchestrator.run(saga, 7, id="o-1")
        page = looking("o-1", orchestrator)
        page.inspection.travel(3)
        orchestrator.store.delete("o-1")
        orchestrator.start(saga, 8, id="o-1")
        page.inspection.refresh()
        page.until(lambda: page.state == "pending")
        assert (None, 1) == (page.inspection.session.at, len(page.inspection.instance.history))
        page.inspection.close()


def test_a_cancel_is_not_lost_to_a_pause_before_it_was_sent(monkeypatch):
    """What is driven stops; what was asked for is asked for."""
    saga, held = saga_of("order", "charge", "ship"), []
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        orchestrator.start(saga, 7, id="o-1")
        orchestrator.advance("o-1")
        page = looking("o-1", orchestrator)
        monkeypatch.setattr(controller, "start_thread", lambda work, name: held.append(work))
        page.click("cancel", reason="too late")
        page.click("pause")
        assert 1 == len(held)
        held[0]()
        cancelled = orchestrator.get("o-1")
        assert "cancel" == cancelled.cause.kind
        page.inspection.close()


def test_an_async_run_that_is_interrupted_says_how_it_goes_on():
    """A kernel interrupts by a cancel, there."""

    async def course():
        reached = asyncio.Event()
        saga = Saga("order")

        @saga.step
        async def charge():
            reached.set()
            await asyncio.sleep(60)

        async with AsyncOrchestrator("memory://", sagas=[saga]) as orchestrator:
            await orchestrator.start(saga, 7, id="o-1")
            page = looking("o-1", orchestrator)
            task = asyncio.ensure_future(page.inspection.run())
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            said = page.inspection.session.message
            # One that never began is no drive for ever.
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(page.inspection.run(), 0)
            await asyncio.sleep(0)
            driving = page.inspection.session.sight().driving
            page.inspection.close()
            return said, driving

    said, driving = asyncio.run(course())
    assert ("interrupted: it rests in running:charge, and run goes on", "told", False) == (
        said.text,
        said.tone,
        driving,
    )


@pytest.mark.parametrize("show", [console, lambda given: inspect("o-1", given)], ids=["console", "inspect"])
def test_what_is_no_orchestrator_is_named(show):
    with pytest.raises(RequestError) as error:
        show("memory://")
    assert "what shows instances needs the orchestrator that has them, not 'memory://'" == str(error.value)


def test_what_find_gave_has_a_name_after_the_orchestrator_was_closed():
    orchestrator = Orchestrator("memory://")
    found = orchestrator.find()
    orchestrator.close()
    assert "<Found: this orchestrator is closed, or closing: nothing new starts (open another)>" == repr(found)


def test_a_page_that_comes_back_sees_what_it_missed(monkeypatch):
    """While nobody looks on nothing is drawn; the first question of a page brings it all."""
    saga = saga_of("order", "charge")
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        orchestrator.start(saga, 7, id="o-1")
        page = looking("o-1", orchestrator)
        now = [1e9]
        monkeypatch.setattr(page.inspection._watch, "clock", lambda: now[0])
        sent = len(page.messages)
        assert page.inspection.is_page_gone
        orchestrator.resume("o-1")
        assert sent == len(page.messages)
        assert "completed" == page.inspection.instance.state
        page.click("ping", seq=page.inspection.frames.seq)
        page.until(lambda: page.state == "completed")
        page.inspection.close()


def test_a_deleted_instance_leaves_the_console():
    saga = saga_of("order", "charge")
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        board = console(orchestrator)
        orchestrator.run(saga, 7, id="o-1")
        assert ["o-1"] == [one.id for one in board.model.make_view().overview.rows]
        orchestrator.store.delete("o-1")
        board.model.refresh()
        assert [] == [one.id for one in board.model.make_view().overview.rows]
        board.close()
