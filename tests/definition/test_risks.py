"""What a definition allows and its author may not have meant."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sagafsm.saga import Saga


def act() -> None: ...


def undo() -> None: ...


def told(saga: Saga) -> list[tuple[str, str]]:
    return [(risk.step, risk.kind) for risk in saga.risks()]


def test_every_risk_in_full() -> None:
    """Each risk says of which step, of which kind, and what it means."""
    saga = Saga("order")

    @saga.step
    def charge(input, currency="EUR"): ...

    @charge.probe
    def look(ctx, attempts=3): ...

    @saga.step
    def ship(): ...

    @ship.compensation
    def recall(result, reason="-"): ...

    irreversible = "step 'charge' has no compensation and is no pivot: what it did stays when the saga goes back"
    left_alone = "parameter {!r} of the {} of step {!r} matches nothing: its default is used"
    assert [
        ("charge", "irreversible", irreversible),
        ("charge", "parameter_left_alone", left_alone.format("currency", "action", "charge")),
        ("charge", "parameter_left_alone", left_alone.format("attempts", "probe", "charge")),
        ("ship", "waits_for_a_person", "step 'ship' has neither probe nor policy: a crash here waits for a person"),
        ("ship", "parameter_left_alone", left_alone.format("reason", "compensation", "ship")),
    ] == [(risk.step, risk.kind, risk.message) for risk in saga.risks()]
    assert [risk.message for risk in saga.risks()] == [str(risk) for risk in saga.risks()]


def test_a_saga_without_risks() -> None:
    """Where every step answers for itself there is nothing to tell."""
    saga = Saga("order")
    saga.add_step("reserve", act, undo, in_doubt="compensate")
    saga.add_step("check", act, effect=False)
    saga.add_step("charge", act, undo, probe=act)
    saga.add_step("ship", act, pivot=True, in_doubt="retry")
    saga.add_step("mail", act, in_doubt="retry")

    assert [] == told(saga)


def test_a_saga_wide_policy_that_cannot_hold_is_a_risk() -> None:
    """A saga-wide `"compensate"` does not hold where nothing compensates: a crash there waits for a person."""
    saga = Saga("order", in_doubt="compensate")
    saga.add_step("reserve", act, undo)
    saga.add_step("charge", act)

    assert [("charge", "waits_for_a_person"), ("charge", "irreversible")] == told(saga)


STEP = st.fixed_dictionaries(
    {
        "effect": st.booleans(),
        "compensation": st.booleans(),
        "probe": st.booleans(),
        "in_doubt": st.sampled_from([None, "ask", "retry", "compensate", ("retry", "compensate")]),
    }
)


@given(shapes=st.lists(STEP, min_size=1, max_size=5), pivot=st.none() | st.integers(0, 4))
def test_every_step_that_would_wait_or_stay_is_told(shapes: list[dict[str, Any]], pivot: int | None) -> None:
    """Always: neither probe nor policy waits for a person; an effect that nothing undoes stays, but for the pivot's."""
    saga, expected = Saga("order"), []
    for position, shape in enumerate(shapes):
        forward_only = pivot is not None and position >= pivot
        undone = shape["compensation"] and shape["effect"] and not forward_only
        probed = shape["probe"] and shape["effect"]
        policy = shape["in_doubt"]
        if policy in ("compensate", ("retry", "compensate")) and not undone:
            policy = None
        name = f"s{position}"
        saga.add_step(
            name,
            act,
            undo if undone else None,
            probe=act if probed else None,
            effect=shape["effect"],
            in_doubt=policy,
            pivot=position == pivot,
        )
        if shape["effect"] and not probed and policy in (None, "ask"):
            expected.append((name, "waits_for_a_person"))
        if shape["effect"] and not undone and not forward_only:
            expected.append((name, "irreversible"))

    assert expected == told(saga)


def test_the_risks_of_a_nested_saga_are_told_by_path() -> None:
    """In its place, those of its steps; of itself there are none, as its history tells what it did."""
    bank, payment, saga = Saga("bank"), Saga("payment"), Saga("order")
    bank.add_step("transfer", act, undo)
    payment.add_step("charge", act, undo, probe=act)
    payment.add_saga("bank", bank)
    saga.add_step("reserve", act, undo, in_doubt="retry")
    saga.add_saga("pay", payment)
    saga.add_step("ship", act, undo, group="g")
    saga.add_step("mail", lambda copies=1: None, group="g", in_doubt="retry")

    waits = "has neither probe nor policy: a crash here waits for a person"
    assert [
        ("pay/bank/transfer", "waits_for_a_person", f"step 'pay/bank/transfer' {waits}"),
        ("ship", "waits_for_a_person", f"step 'ship' {waits}"),
        ("mail", "irreversible",
         "step 'mail' has no compensation and is no pivot: what it did stays when the saga goes back"),
        ("mail", "parameter_left_alone",
         "parameter 'copies' of the action of step 'mail' matches nothing: its default is used"),
    ] == [(risk.step, risk.kind, risk.message) for risk in saga.risks()]  # fmt: skip


def test_a_wait_without_a_timeout_waits_for_ever() -> None:
    """Unless a deadline ends it, the saga's or its parent's; behind the pivot no deadline does."""
    hour = timedelta(hours=1)

    def waits(*, timeout: timedelta | None = None, deadline: timedelta | None = None, above: timedelta | None = None):
        child, saga = Saga("child", deadline=deadline), Saga("order", deadline=above)
        child.wait_for("approval", timeout=timeout)
        saga.add_saga("pay", child)
        return [(risk.step, str(risk)) for risk in saga.risks()]

    whole = "wait 'pay/approval' has no timeout: without its signal the instance waits for ever"
    assert [("pay/approval", whole)] == waits()
    assert [] == waits(timeout=hour) == waits(deadline=hour) == waits(above=hour)

    saga = Saga("order", deadline=hour)
    saga.add_step("ship", act, pivot=True, in_doubt="retry")
    saga.wait_for("receipt")
    assert [("receipt", "waits_for_ever")] == told(saga)


def test_parameters_of_conditions_are_told_too() -> None:
    """A `when` or a computed input that asks for nothing there is, with a default, is left alone."""
    child, saga = Saga("payment"), Saga("order")
    child.add_step("charge", act, effect=False)
    saga.add_step("check", act, effect=False, when=lambda sum=1: True)
    saga.add_saga("pay", child, input=lambda amount=1: amount)
    left = "parameter {!r} of the {} of step {!r} matches nothing: its default is used"
    assert [left.format("sum", "when", "check"), left.format("amount", "input", "pay")] == [
        str(risk) for risk in saga.risks()
    ]
