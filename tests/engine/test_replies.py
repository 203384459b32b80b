"""What a call gave is read for what it says about this call, whoever made it and whatever else was going on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from sagafsm import AsyncOrchestrator, Orchestrator, OutcomeUnknown, Saga
from sagafsm.core.commands import Run, RunAction, RunCompensation, RunProbe
from sagafsm.core.outcomes import Raised, TimedOut
from sagafsm.engine.effects import CallRaised, CallReturned, CallTimedOut
from sagafsm.engine.replies import ReplyInterpreter, find_function
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


def test_a_silence_names_the_time_that_its_call_had() -> None:
    """A compensation has another than its action, and a probe has none."""
    saga = Saga("order")
    saga.add_step(
        "a", sold_out, sold_out, probe=sold_out, timeout=timedelta(seconds=1), compensation_timeout=timedelta(seconds=2)
    )
    reading = ReplyInterpreter(saga.definition, "o-1", 100)
    late: Any = None
    for command, seconds in ((RunAction, 1), (RunCompensation, 2), (RunProbe, 0)):
        outcome = reading.outcome(command(step="a", attempt=1, key="k"), CallTimedOut(late))
        assert isinstance(outcome, TimedOut)
        assert f"no answer within {seconds} s" == str(outcome.error)


def test_what_the_caller_was_handling_goes_with_the_refusal() -> None:
    """It is what the outcome's evidence leaves out."""
    saga = Saga("order")
    saga.add_step("a", sold_out)
    error, outer = ValueError("sold out"), ConnectionError("gone")
    outcome = ReplyInterpreter(saga.definition, "o-1", 100).outcome(
        RunAction(step="a", attempt=1, key="k"), CallRaised(error, outer)
    )
    assert isinstance(outcome, Raised)
    assert error is outcome.error
    assert outer is outcome.outer


@pytest.mark.parametrize(("command", "direction"), [(RunAction, "action"), (RunCompensation, "compensation")])
def test_what_came_too_late_is_a_fact_of_its_own(command: type[Run], direction: str) -> None:
    """What it returned, what it raised, or why that cannot be stored, with the attempt that it was."""
    saga = Saga("order")
    saga.add_step("a", sold_out, sold_out)
    reading, run = ReplyInterpreter(saga.definition, "o-1", 100), command(step="a", attempt=3, key="k")
    returned = reading.late(run, CallReturned(1))
    raised = reading.late(run, CallRaised(ValueError("sold out")))
    unstorable = reading.late(run, CallReturned("x" * 200))
    assert [("a", 3, direction)] * 3 == [
        (late.step, late.attempt, late.direction) for late in (returned, raised, unstorable)
    ]
    assert ("1", None) == (returned.result_json, returned.error)
    assert (None, "ValueError: sold out") == (raised.result_json, str(raised.error))
    assert unstorable.error is not None
    assert "sagafsm.errors.PayloadError" == unstorable.error.type


def test_a_command_without_a_function_is_named() -> None:
    """It says which step, and what for."""
    child = Saga("payment")
    child.add_step("charge", sold_out)
    saga = Saga("order")
    saga.add_saga("pay", child)
    command = RunAction(step="pay", attempt=1, key="k")
    with pytest.raises(TypeError) as caught:
        find_function(saga.definition.by_name["pay"], command)
    assert f"step 'pay' has no function for {command!r}" == str(caught.value)
