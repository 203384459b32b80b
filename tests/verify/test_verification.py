"""`verify` says at once what it cannot take, and takes sagas, worlds and inputs as its page says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st

from sagafsm import Saga, open_store
from sagafsm.errors import RequestError, ResourceMissing
from sagafsm.verify import verify
from support.keyed import Shop
from support.messages import message_of
from support.verifying import Bank, kinds, pay, paying

SAGA = paying()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"faults": "all"}, "verify takes faults='standard' or 'strict', not 'all'"),
        ({"faults": None}, "verify takes faults='standard' or 'strict', not None"),
        *(
            ({"depth": depth}, f"verify takes depth='auto' or the largest number of faults, from 1, not {depth!r}")
            for depth in (0, -1, True, 1.0, "2", None)
        ),
        *(
            ({name: value}, f"verify takes {name}= as a timedelta above zero, not {value!r}")
            for name in ("budget", "time_limit")
            for value in (timedelta(0), -timedelta(seconds=1), 30, None)
        ),
        ({"inputs": []}, "verify takes inputs= with at least one input; the list is empty"),
        *(
            ({"inputs": value}, f"verify takes inputs= as a list or a Hypothesis strategy, not {value!r}")
            for value in ("mug", b"mug", {"a": 1}, 7, {1, 2})
        ),
        (
            {"world": 7},
            "world=7 is no world: give a class whose instances have resources() and snapshot(), or an instance",
        ),
        (
            {"schedule": "pay.action"},
            (
                "'pay.action' is no part of a schedule (write label#number=fault, as "
                "'charge.action/stripe.charge#1=crash', or turns=last, or operator=compensate)"
            ),
        ),
    ],
)
def test_what_cannot_be_taken_is_told(given: dict[str, Any], told: str) -> None:
    """By the argument's name, what it may be, and what it is."""
    assert told == message_of(RequestError, lambda: verify(SAGA, **{"world": Bank, **given}))


@pytest.mark.parametrize("given", [7, None, Saga, lambda: None, "shop"])
def test_what_is_no_saga_is_told(given: Any) -> None:
    assert f"verify takes a saga, not {given!r}" == message_of(RequestError, lambda: verify(given, Bank))


def test_resources_that_are_no_mapping_are_told() -> None:
    class Odd(Bank):
        def resources(self) -> Any:
            return ["bank"]

    told = "the world's resources() gave ['bank'], not a mapping of fakes by name"
    assert told == message_of(RequestError, lambda: verify(SAGA, Odd))


def test_a_saga_with_resources_needs_a_world() -> None:
    with pytest.raises(ResourceMissing):
        verify(SAGA)


def test_the_arguments_are_looked_at_before_anything_is_run() -> None:
    """No world is made for a bad one."""
    made: list[int] = []

    def world() -> Bank:
        made.append(1)
        return Bank()

    with pytest.raises(RequestError):
        verify(SAGA, world, depth=0)
    assert [] == made


# What is taken ----------------------------------------------------------------------------------------------------


def bank() -> Bank:
    return Bank()


@pytest.mark.parametrize("world", [Bank, Bank(), bank, st.just(Bank), st.builds(Bank)])
def test_any_kind_of_world_is_taken(world: Any) -> None:
    """A class, an instance, a function, a strategy of either: with the same verdict, and the instance is untouched."""
    report = verify(SAGA, world, depth=1)

    assert report.ok, str(report)
    assert not isinstance(world, Bank) or [] == world.done


def test_every_world_of_a_strategy_is_tried() -> None:
    """A mistake that shows in one of them only is found."""

    def careless(bank: Any, ctx: Any) -> None:
        if "full" not in bank.held:
            bank.undo(ctx.action_key)

    def world(full: bool) -> Bank:
        bank = Bank()
        bank.held += ["full"] * full
        return bank

    saga = Saga("careless", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", pay, careless)
    report = verify(saga, st.booleans().map(world), depth=1)

    assert ("left_behind", "one") in kinds(report)
    assert verify(saga, st.just(False).map(world), depth=1).ok


def test_every_input_is_tried() -> None:
    """A finding tells by which one, from 0."""

    def careless(bank: Any, ctx: Any, input: Any) -> None:
        if input != "odd":
            bank.undo(ctx.action_key)

    saga = Saga("careless", resources=["bank"], in_doubt="compensate")
    saga.add_step("one", pay, careless)
    report = verify(saga, Bank, inputs=["even", "odd"], depth=1)

    assert {("left_behind", 1)} == {(finding.kind, finding.input) for finding in report.errors}
    assert 2 == report.bounds.inputs
    assert verify(saga, Bank, inputs=("even",), depth=1).ok
    assert not verify(saga, Bank, inputs=st.sampled_from(["even", "odd"]), depth=1).ok


def test_an_async_saga_is_taken() -> None:
    """The same mistake is found in it, with the same schedule."""

    async def apay(bank: Any, ctx: Any) -> str:
        return bank.pay(ctx.idempotency_key)

    async def anothing(bank: Any) -> None: ...

    def nothing(bank: Any) -> None: ...

    found = []
    for action, compensation in ((pay, nothing), (apay, anothing)):
        saga = Saga("shop", resources=["bank"], in_doubt="compensate")
        saga.add_step("one", action, compensation)
        report = verify(saga, Bank, depth=1)
        found.append([(finding.kind, finding.step, finding.schedule) for finding in report.errors])
    assert found[0] == found[1] != []


def test_a_store_is_taken() -> None:
    """One that is empty for each run."""
    kind, made = type(open_store("memory://")), []

    def store() -> Any:
        made.append(kind())
        return made[-1]

    report = verify(SAGA, Bank, depth=1, store=store)
    assert report.ok
    assert len(made) >= report.schedules


def test_progress_is_told() -> None:
    """Each stage by its name, in order, with how many there are where that is known."""
    told: list[tuple[str, int, int | None]] = []
    report = verify(SAGA, Bank, depth=2, progress=lambda *given: told.append(given))

    assert ["no fault", "single faults", "any number of crashes", "pairs of faults"] == list(
        dict.fromkeys(stage for stage, _, _ in told)
    )
    singles = sum(len(row.cells) for row in report.matrix)
    assert ("single faults", 0, singles) in told
    assert all(total is None or done <= total for _, done, total in told)


def test_the_call_can_be_repeated() -> None:
    """As Python, with what was given."""
    assert "verify(paying, world=Bank)" == verify(SAGA, Bank, schedule="no fault").call
    odd = Saga("my saga", resources=["shop"])
    odd.add_step("one", lambda shop: None)
    call = verify(odd, Shop(), inputs=[1], signals={"x": 1}, faults="strict", schedule="no fault").call
    assert 'verify(saga, world=world, inputs=inputs, signals=signals, faults="strict")' == call


def test_a_replay_is_one_schedule() -> None:
    """It says which, and claims nothing more."""
    report = verify(SAGA, Bank, schedule=" pay.action/bank.pay#1=crash ;")

    assert ("pay.action/bank.pay#1=crash", 0) == (report.replayed, report.bounds.faults)
    assert report.ok
    assert ["pay.action/bank.pay#1"] == [row.point for row in report.matrix]
