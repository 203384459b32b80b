"""What a step's function is told about its own call, and the values that it is given."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sagafsm.core.context import Context
from sagafsm.core.outcomes import IN_DOUBT, NOT_DONE, Done
from sagafsm.definition.retry import Retry
from sagafsm.errors import OutcomeUnknown, PayloadError
from sagafsm.history.instance import SagaInstance
from sagafsm.orchestrator import Orchestrator
from sagafsm.saga import Saga
from support.clock import NOON, FakeClock

SECOND = timedelta(seconds=1)


class Seen(list[Context]):
    """The contexts of every call, in order; `raising` says what each call raises."""

    def __init__(self, *raising: Exception | None) -> None:
        super().__init__()
        self.raising = list(raising)

    def __call__(self, ctx: Context) -> None:
        self.append(ctx)
        error = self.raising.pop(0) if self.raising else None
        if error is not None:
            raise error


def run(saga: Saga, input: Any = None, *, id: str = "o-1", resources: Any = None) -> SagaInstance:
    with Orchestrator("memory://", clock=FakeClock(), resources=resources) as orchestrator:
        return orchestrator.run(saga, input, id=id)


def test_a_context_tells_of_its_call() -> None:
    """Saga, instance, step and attempt of the call; no doubt, and no deadline where there is none."""
    action = Seen()
    saga = Saga("order")
    saga.add_step("charge", action)

    run(saga)

    (ctx,) = action
    assert ("order", "o-1", "charge", 1, False, None) == (
        ctx.saga,
        ctx.instance_id,
        ctx.step,
        ctx.attempt,
        ctx.in_doubt,
        ctx.deadline,
    )
    assert ctx.idempotency_key == ctx.action_key
    assert ctx.idempotency_key.startswith("charge-action-")


def test_a_key_is_the_same_over_all_attempts() -> None:
    """Attempts count up; the idempotency key of a step and direction stays."""
    action = Seen(ValueError("1"), ValueError("2"), None)
    saga = Saga("order", retry=Retry(3))
    saga.add_step("charge", action)

    run(saga)

    assert [1, 2, 3] == [ctx.attempt for ctx in action]
    assert 1 == len({ctx.idempotency_key for ctx in action})


def test_keys_differ_by_step_direction_and_instance() -> None:
    """Another step, the other direction, another instance: another key."""
    one, two, undo = Seen(), Seen(), Seen(ValueError("1"), None)
    failing = Seen(ValueError("no"), ValueError("no"))
    saga = Saga("order")
    saga.add_step("charge", one, undo)
    saga.add_step("ship", two, Seen())
    saga.add_step("mail", failing)

    run(saga, id="o-1")
    run(saga, id="o-2")

    keys = {ctx.idempotency_key for seen in (one, two, undo, failing) for ctx in seen}
    assert 8 == len(keys)
    assert [1, 2, 1] == [ctx.attempt for ctx in undo]
    assert undo[0].idempotency_key == undo[1].idempotency_key


def test_a_compensation_is_told_the_key_of_its_action() -> None:
    """`action_key`: what the service was given when the step was done."""
    action, undo = Seen(), Seen()
    saga = Saga("order")
    saga.add_step("charge", action, undo)
    saga.add_step("ship", Seen(ValueError("no")))

    run(saga)

    assert action[0].idempotency_key == undo[0].action_key != undo[0].idempotency_key
    assert undo[0].idempotency_key.startswith("charge-compensation-")
    assert not undo[0].in_doubt


@pytest.mark.parametrize("answer", [Done("c-1"), NOT_DONE, IN_DOUBT])
def test_a_probe_is_told_the_key_of_its_action(answer: Any) -> None:
    """A probe asks by the key that the action was given, and is in doubt by its nature."""
    action, probes = Seen(OutcomeUnknown("no answer")), []
    saga = Saga("order")
    charge = saga.add_step("charge", action)

    @charge.probe
    def look(ctx):
        probes.append(ctx)
        return answer

    run(saga)

    (probe,) = probes
    assert (action[0].idempotency_key, action[0].idempotency_key) == (probe.action_key, probe.idempotency_key)
    assert (True, 1) == (probe.in_doubt, probe.attempt)


def test_in_doubt_tells_of_an_effect_that_is_not_recorded() -> None:
    """A retry after a doubt, and a compensation of one, are told; a retry after a definite failure is not."""
    action, undo = Seen(ValueError("definite"), OutcomeUnknown("1"), ValueError("2")), Seen()
    saga = Saga("order")
    saga.add_step("charge", action, undo, retry=Retry(3), in_doubt=("retry", "compensate"))

    instance = run(saga)

    assert [False, False, True] == [ctx.in_doubt for ctx in action]
    assert [True] == [ctx.in_doubt for ctx in undo]
    assert instance.compensated


def test_a_compensation_in_doubt_has_no_result() -> None:
    """`result` is None when nobody knows what the action returned."""
    results = []
    saga = Saga("order", in_doubt="compensate")
    charge = saga.add_step("charge", Seen(OutcomeUnknown("no answer")))

    @charge.compensation
    def refund(result):
        results.append(result)

    assert run(saga).compensated
    assert [None] == results


@pytest.mark.parametrize(
    ("deadline", "timeout", "expected"),
    [
        (None, None, None),
        (60 * SECOND, None, 60 * SECOND),
        (None, 10 * SECOND, 10 * SECOND),
        (60 * SECOND, 10 * SECOND, 10 * SECOND),
        (5 * SECOND, 10 * SECOND, 5 * SECOND),
    ],
)
def test_the_deadline_is_the_earlier_of_two(deadline: Any, timeout: Any, expected: Any) -> None:
    """`ctx.deadline`: the saga's deadline or the end of the attempt's timeout, whichever comes first."""
    action = Seen()
    saga = Saga("order", deadline=deadline, timeout=timeout)
    saga.add_step("charge", action)

    run(saga)

    assert (None if expected is None else NOON + expected) == action[0].deadline


def test_a_compensation_has_a_timeout_of_its_own() -> None:
    """The deadline of a compensation's call is by the compensation's timeout, not by the action's."""
    undo = Seen()
    saga = Saga("order", timeout=10 * SECOND)
    saga.add_step("charge", Seen(), undo, compensation_timeout=3 * SECOND)
    saga.add_step("ship", Seen(ValueError("no")))

    run(saga)

    assert NOON + 3 * SECOND == undo[0].deadline


def test_a_context_does_not_change() -> None:
    """A context is what is so; nobody writes into it."""
    action = Seen()
    saga = Saga("order")
    saga.add_step("charge", action)
    run(saga)

    with pytest.raises(AttributeError):
        action[0].attempt = 2  # type: ignore[misc]


def test_arguments_arrive_by_name_and_by_position() -> None:
    """Positional-only parameters get theirs by position, defaults stay where nothing matches, partials keep theirs."""
    saga, calls = Saga("order", resources=("shop",)), []

    @saga.step
    def reserve(input, /, shop, *, attempts=3):
        calls.append((input, shop, attempts))
        return 7

    @saga.step
    def charge(reserve, input, /, ctx):
        calls.append((reserve, input, ctx.step))

    run(saga, "mug", resources={"shop": "s", "bank": "b"})

    assert [("mug", "s", 3), (7, "mug", "charge")] == calls


def test_a_step_without_result_gives_none() -> None:
    """An action that returns nothing has None as its result, for later steps and for its compensation."""
    saga, calls = Saga("order"), []
    saga.add_step("reserve", Seen(), lambda result: calls.append(("undo", result)))

    @saga.step
    def charge(reserve):
        calls.append(reserve)
        raise ValueError("no")

    run(saga)

    assert [None, ("undo", None)] == calls


def test_a_stored_value_that_no_longer_fits_is_a_failure_of_the_call() -> None:
    """A result that the reader's annotation does not fit is told with step, path and type, and nothing is called."""
    saga = Saga("order")
    saga.add_step("reserve", lambda: "r-1", lambda: None)

    @saga.step
    def charge(reserve: int): ...

    instance = run(saga)

    error = instance.errors[0]
    assert f"{PayloadError.__module__}.PayloadError" == error.type
    expected = "result of step 'reserve' of instance 'o-1' at $: does not fit int: str where int is declared"
    assert expected == error.message
    assert instance.compensated
