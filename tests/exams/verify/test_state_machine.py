"""`SagaStateMachine` passes what keeps its promises, whatever happens in whatever order, and catches what does not."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from sagafsm import Context, Retry, Saga
from sagafsm.errors import RequestError
from sagafsm.testing import SagaStateMachine
from support.keyed import Shop, forget, free, hold, order_of

# A failure is looked for, not brought down to the smallest: that is Hypothesis's own affair.
QUICK: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.generate],
}


def sit(machine: type[SagaStateMachine], examples: int = 40) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=20, **QUICK))


def machine_of(saga: Saga, **given: Any) -> type[SagaStateMachine]:
    return type("Orders", (SagaStateMachine,), {"saga": saga, "world": Shop, "inputs": ["mug", "saucer"], **given})


class Orders(SagaStateMachine):
    """As a user writes it, with rules and invariants of their own."""

    saga = order_of()
    world = Shop
    inputs = st.sampled_from(["mug", "none left"])

    @rule(id=SagaStateMachine.instances)
    def look(self, id: str) -> None:
        instance = self.get(id)
        assert instance is None or instance.id == id

    @invariant()
    def nobody_holds_more_than_two_things(self) -> None:
        assert len(self.process.world.held) <= 2 * len(self.process.instances)


TestOrders = Orders.TestCase
TestOrders.settings = settings(max_examples=30, stateful_step_count=25, **QUICK)


@pytest.mark.parametrize("release", [forget, None], ids=["empty", "missing"])
def test_a_forgotten_compensation_is_caught(release: Any) -> None:
    """The positive control: a compensation that does nothing, or that there is not."""
    saga = Saga("forgetful", resources=["shop"], in_doubt="retry")
    saga.add_step("reserve", hold, release)
    saga.add_step("charge", hold, free)

    with pytest.raises(
        AssertionError, match=r"left_behind by instance 'i-.' of saga 'forgetful'.*Left behind: reserve-"
    ):
        sit(machine_of(saga), 200)


def test_what_is_done_twice_is_caught() -> None:
    """Positive control: a service that is not given the key does twice what is asked twice."""

    @attrs.define
    class Counting(Shop):
        def hold(self, key: str, what: Any) -> str:
            return Shop.hold(self, f"{len(self.held)}", what)

    saga = Saga("careless", resources=["shop"], in_doubt="retry", retry=Retry(3))
    saga.add_step("reserve", hold, lambda result, shop: shop.free(result))

    with pytest.raises(AssertionError, match="by instance 'i-"):
        # One that completes alone is compared with a run without faults.
        sit(machine_of(saga, world=Counting, most_instances=1), 200)


def test_a_compensation_that_fails_by_itself_is_caught() -> None:
    """What waits for a person without need is a finding, also when that person can settle it."""

    def release(result: Any, shop: Shop) -> None:
        shop.free(result["id"])

    saga = order_of("reading", release=release)

    with pytest.raises(
        AssertionError, match=r"stuck by instance 'i-.' of saga 'reading': .* fails by itself: TypeError"
    ):
        sit(machine_of(saga), 200)


def test_an_error_that_is_being_handled_meanwhile_hides_nothing() -> None:
    """What a caller handles is no failure of the example: its end is looked at all the same."""
    try:
        raise ValueError("somebody else's")
    except ValueError:
        test_a_compensation_that_fails_by_itself_is_caught()


def test_every_shape_passes() -> None:
    """Groups, nested sagas, waits, a pivot and what follows it; async actions, too."""

    async def hold_async(ctx: Context, shop: Shop) -> str:
        return shop.hold(ctx.idempotency_key, "async")

    child = order_of("payment")
    saga = Saga("trip", resources=["shop"], in_doubt="retry", retry=Retry(3))
    saga.add_step("hotel", hold, free, group="stay")
    saga.add_step("flight", hold_async, free, group="stay", in_doubt="ask")
    saga.add_saga("pay", child)
    saga.wait_for("approval")
    saga.add_step("book", hold, pivot=True)
    saga.add_step("mail", hold)

    sit(machine_of(saga, signals={"approval": "yes"}), 30)


def test_a_signal_that_nobody_sends_is_told() -> None:
    """What never comes to rest says what it waits for."""
    saga = Saga("waiting", resources=["shop"], in_doubt="compensate")
    saga.add_step("reserve", hold, free)
    saga.wait_for("approval")

    with pytest.raises(AssertionError) as caught:
        sit(machine_of(saga))

    told = "it waits for signal 'approval', which nobody sends (set signals = {'approval': ...})"
    assert f"instance 'i-2' of saga 'waiting' does not come to rest: {told}" == str(caught.value)


def test_a_world_that_nobody_calls_is_told() -> None:
    """Steps that reach round their world would pass whatever they did."""
    saga = Saga("round")
    saga.add_step("reserve", lambda: None, lambda: None)

    with pytest.raises(AssertionError) as caught:
        sit(machine_of(saga))

    assert "no resource of this world was ever called by saga 'round', so that nothing is tried" == str(caught.value)


def test_a_constant_world_is_told() -> None:
    """And so would a snapshot that never changes."""

    @attrs.define
    class Constant(Shop):
        def snapshot(self) -> Any:
            return "the same"

    with pytest.raises(AssertionError) as caught:
        sit(machine_of(order_of(), world=Constant))

    told = "the world's snapshot is the same before and after saga 'order', so that nothing shows"
    assert told == str(caught.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"saga": order_of()}, "Incomplete has no 'world': set world = ... in its class"),
        ({"world": Shop}, "Incomplete has no 'saga': set saga = ... in its class"),
        (
            {"saga": order_of(), "world": 7},
            "world=7 is no world: give a class whose instances have resources() and snapshot(), or an instance",
        ),
    ],
)
def test_what_is_missing_is_told(given: dict[str, Any], told: str) -> None:
    """A machine without saga or world says so when it begins."""
    with pytest.raises(RequestError) as caught:
        type("Incomplete", (SagaStateMachine,), given)()

    assert told == str(caught.value)


def test_inputs_have_to_be_some() -> None:
    """A mapping given in place of a list of inputs is no list."""
    with pytest.raises(RequestError) as caught:
        sit(machine_of(order_of(), inputs={"product": "mug"}))

    assert "Orders takes inputs as a list or a Hypothesis strategy, not {'product': 'mug'}" == str(caught.value)
