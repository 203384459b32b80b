"""What nobody else catches is caught, no correct saga is accused, and a forgotten compensation is always found."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from sagafsm import Saga
from sagafsm.testing import DrawnSaga, sagas
from sagafsm.testing.generated_sagas import DrawnStep, KeyedWorld
from sagafsm.verify import Report, verify
from support.verifying import Bank, kinds, pay, undo

QUICK: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.generate],
}


class Declined(Exception):
    """What a careless step makes of a timeout."""


def careless(bank: Any, ctx: Any) -> None:
    timed_out = False
    try:
        bank.pay(ctx.idempotency_key)
    except TimeoutError:
        timed_out = True
    if timed_out:
        raise Declined


def charging(action: Any) -> Saga:
    saga = Saga("charging", resources=["bank"], in_doubt="compensate")
    saga.add_step("charge", action, undo)
    return saga


def test_the_money_of_a_customer_who_timed_out_is_not_kept() -> None:
    """The fault comes before the result is recorded: a step that takes a timeout for a refusal keeps what it took."""
    report = verify(charging(careless), Bank, depth=1)

    assert [("left_behind", "charge", "charge.action/bank.pay#1=raise_after")] == [
        (finding.kind, finding.step, finding.schedule) for finding in report.errors
    ]
    told = "Have 'charge' raise OutcomeUnknown where it cannot know, or name its error in unknown_on."
    assert told == report.errors[0].advice
    assert verify(charging(pay), Bank, depth=1).ok


def test_a_scenario_that_never_succeeds_proves_nothing() -> None:
    def refuses(bank: Any) -> None:
        raise LookupError("no such customer")

    report = verify(charging(refuses), Bank, depth=1)

    assert (False, True) == (report.ok, report.is_vacuous)
    assert [("never_completes", "charge")] == kinds(report)


def test_a_snapshot_that_is_a_constant_proves_nothing() -> None:
    class Constant(Bank):
        def snapshot(self) -> Any:
            return 0

    report = verify(charging(lambda bank, ctx: bank.pay(ctx.idempotency_key)), Constant, depth=1)

    assert (False, True) == (report.ok, report.is_vacuous)
    assert [("constant_snapshot", "")] == kinds(report)


@settings(max_examples=6, **QUICK)
@given(sagas(max_steps=3))
def test_no_saga_that_keeps_every_promise_is_accused(drawn: DrawnSaga) -> None:
    verify(drawn.saga, drawn.world, inputs=[drawn.input], depth=1).assert_ok()


def undoable(steps: tuple[DrawnStep, ...], prefix: str = "") -> list[str]:
    """The steps with a compensation, by their paths."""
    found = []
    for step in steps:
        if step.steps:
            found += undoable(step.steps, f"{prefix}{step.name}/")
        elif step.effect and not step.pivot and not step.final:
            found.append(f"{prefix}{step.name}")
    return found


def forgetting(name: str) -> type[KeyedWorld]:
    """A world in which one step's undo is forgotten."""

    class Forgetting(KeyedWorld):
        def undo(self, key: str) -> None:
            if not key.startswith(f"{name}-"):
                super().undo(key)

    return Forgetting


def verified(drawn: DrawnSaga, path: str) -> Report:
    return verify(drawn.saga, forgetting(path.rpartition("/")[2]), inputs=[drawn.input], depth=1)


@settings(max_examples=6, **QUICK)
@given(sagas(max_steps=2).filter(lambda drawn: undoable(drawn.steps)))
def test_a_forgotten_compensation_is_always_found(drawn: DrawnSaga) -> None:
    """Whatever the saga, whichever step: it is left behind by that step, and replays."""
    for path in undoable(drawn.steps)[-1:]:
        report = verified(drawn, path)
        found = [finding for finding in report.errors if finding.kind == "left_behind" and finding.step == path]
        assert found, f"{path}: {report}"
        world = forgetting(path.rpartition("/")[2])
        again = verify(drawn.saga, world, inputs=[drawn.input], schedule=found[0].schedule)
        assert ("left_behind", path) in kinds(again), found[0].schedule
