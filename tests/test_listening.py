"""`listen` hears what becomes durable from then on; `alongside` is another orchestrator over the same store."""

from __future__ import annotations

import asyncio

import pytest

from sagafsm.async_orchestrator import AsyncOrchestrator
from sagafsm.errors import RequestError, SagaError
from sagafsm.orchestrator import Orchestrator
from sagafsm.saga import Saga


def order() -> Saga:
    saga = Saga("order")
    saga.add_step("reserve", lambda input: input, lambda result: None)
    saga.add_step("ship", lambda: "label")
    return saga


TOLD = ["InstanceCreated", "StepStarted", "StepSucceeded", "StepStarted", "StepSucceeded", "InstanceCompleted"]


def test_several_listen_beside_on_event_until_they_stop() -> None:
    """Each hears every event once, in order; stopping one stops none of the others, and no drive before heard."""
    saga, heard = order(), {"given": [], "first": [], "second": []}
    tell = {name: (lambda _, event, name=name: heard[name].append(type(event).__name__)) for name in heard}
    with Orchestrator("memory://", on_event=tell["given"]) as orchestrator:
        orchestrator.run(saga, 0)
        stop = orchestrator.listen(tell["first"])
        orchestrator.listen(tell["second"])
        orchestrator.run(saga, 1)
        stop()
        stop()
        orchestrator.run(saga, 2)
    assert {"given": TOLD * 3, "first": TOLD, "second": TOLD * 2} == heard


def test_who_listens_twice_stops_once(caplog: pytest.LogCaptureFixture) -> None:
    """The same function given twice is told twice, and each stop ends one of them."""
    saga, heard = order(), []
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:

        def listen(instance, event):
            heard.append(event.number)

        stop = orchestrator.listen(listen)
        orchestrator.listen(listen)
        orchestrator.start(saga, 1, id="o-1")
        assert [1, 1] == heard
        stop()
        orchestrator.start(saga, 1, id="o-2")
        assert [1, 1, 1] == heard


def test_what_is_no_function_is_refused() -> None:
    """At once, and not when the first event comes."""
    with Orchestrator("memory://") as orchestrator, pytest.raises(RequestError) as error:
        orchestrator.listen("me")  # type: ignore[arg-type]
    assert "'listen' takes a function of an instance and an event, not 'me'" == str(error.value)


def test_one_alongside_shares_the_store_and_closes_by_itself() -> None:
    """It drives what the other began, with the same sagas and resources; closing it closes nothing of the other's."""
    saga = Saga("order", resources=["shop"])
    saga.add_step("reserve", lambda shop: shop)
    heard = []
    with Orchestrator("memory://", sagas=[saga], resources={"shop": "ours"}, owner="me") as orchestrator:
        orchestrator.start(saga, None, id="o-1")
        beside = orchestrator.alongside(on_event=lambda _, event: heard.append(event.number))
        assert (orchestrator.sagas, False, False) == (beside.sagas, orchestrator.is_closed, beside.is_closed)
        assert {"reserve": "ours"} == beside.resume("o-1").results
        beside.close()
        assert (False, True) == (orchestrator.is_closed, beside.is_closed)
        assert "completed" == orchestrator.get("o-1").state
        with pytest.raises(SagaError) as error:
            beside.get("o-1")
    assert "this orchestrator is closed, or closing: nothing new starts (open another)" == str(error.value)
    assert [2, 3, 4] == heard


def test_who_closes_from_an_action_driven_alongside_does_not_wait_for_it() -> None:
    """It would wait for itself; nothing new starts all the same."""
    saga = Saga("order")

    @saga.step
    def close() -> None:
        orchestrator.close()

    saga.add_step("ship", lambda: "label")
    orchestrator = Orchestrator("memory://", sagas=[saga])
    orchestrator.start(saga, None, id="o-1")
    assert "running:ship" == orchestrator.alongside().resume("o-1").state
    assert orchestrator.is_closed


def test_who_stops_driving_ends_drives_and_takes_requests() -> None:
    """The outcome under way is recorded, nothing new starts, a cancel is kept, and the others go on."""
    saga, made = Saga("order"), []

    def pay() -> None:
        made.append("pay")
        beside.stop_driving()

    saga.add_step("reserve", lambda input: made.append("reserve"), lambda: made.append("release"))
    saga.add_step("pay", pay, lambda: made.append("refund"))
    saga.add_step("ship", lambda: made.append("ship"))
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        beside = orchestrator.alongside()
        assert "running:ship" == beside.run(saga, 0, id="o-1").state
        assert "running:ship" == beside.resume("o-1").state
        beside.cancel("o-1", reason="changed my mind")
        assert (["reserve", "pay"], False) == (made, beside.is_closed)

        instance = orchestrator.resume("o-1")
        assert ("failed", "changed my mind") == (instance.state, instance.cause.reason)
        assert ["reserve", "pay", "refund", "release"] == made


def test_one_made_of_a_closed_one_starts_nothing() -> None:
    """The store that they share may be closed already."""
    orchestrator = Orchestrator("memory://")
    orchestrator.close()
    assert orchestrator.alongside().is_closed


async def _beside() -> tuple[list[int], list[int]]:
    saga, told, heard = order(), [], []
    async with AsyncOrchestrator("memory://", sagas=[saga], max_in_flight=7) as orchestrator:
        stop = orchestrator.listen(lambda _, event: heard.append(event.number))
        await orchestrator.start(saga, 1, id="o-1")
        async with orchestrator.alongside(on_event=lambda _, event: told.append(event.number)) as beside:
            assert "completed" == (await beside.resume("o-1")).state
        await orchestrator.run(saga, 1, id="o-2")
        stop()
        await orchestrator.run(saga, 1, id="o-3")
    return told, heard


def test_the_same_under_a_loop() -> None:
    """What drives alongside is heard by the other's listeners too, and the other goes on when it closes."""
    assert ([2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6]) == asyncio.run(_beside())
