"""What a call gave is read for what it says about this call, whoever made it and whatever else was going on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sagafsm import AsyncOrchestrator, Orchestrator, OutcomeUnknown, Saga
from sagafsm.store import Store
from support.bench import Bench, lines


def sold_out() -> None:
    raise ValueError("sold out")


async def sold_out_async() -> None:
    sold_out()


@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "in a group"])
@pytest.mark.parametrize("act", [sold_out, sold_out_async], ids=["plain", "async"])
def test_what_the_caller_was_handling_leaves_no_doubt(act: Any, grouped: bool, way: str, memory: Store) -> None:
    """Python chains to it whatever is raised meanwhile; yet the connection that broke was another's."""
    saga = Saga("order")
    for name in ("a", "b")[: 1 + grouped]:
        saga.add_step(name, act, group="both" if grouped else None)

    async def ask() -> None:
        async with AsyncOrchestrator(memory, sagas=[saga]) as orchestrator:
            try:
                raise ConnectionError("gone")
            except ConnectionError:
                await orchestrator.run(saga, "mug", id="o-1")

    if way == "async":
        asyncio.run(ask())
    else:
        with Orchestrator(memory, sagas=[saga]) as orchestrator:
            try:
                raise ConnectionError("gone")
            except ConnectionError:
                orchestrator.run(saga, "mug", id="o-1")
    assert "failed" == memory.load("o-1").instance.state
    assert [] == [line for line in lines(memory.history("o-1")) if line.startswith("StepInDoubt")]


@pytest.mark.parametrize("answer", [None, True, "done"], ids=str)
def test_a_probe_that_does_not_answer_cannot_tell(answer: Any, way: str, memory: Store) -> None:
    """What is no answer of a probe's settles nothing, and the history says what came instead."""

    def unknown() -> None:
        raise OutcomeUnknown("no answer")

    saga = Saga("order")
    saga.add_step("a", unknown, probe=lambda: answer)
    bench = Bench(memory, saga, way)
    bench.run()
    doubt = memory.history("o-1")[-2]
    expected = f"the probe of step 'a' returned {answer!r}, which is none of Done(result), NOT_DONE, IN_DOUBT"
    assert ("probe", f"TypeError: {expected}") == (doubt.reason, str(doubt.error))
    assert ["in_doubt"] == [block.reason for block in bench.get().blocked]
