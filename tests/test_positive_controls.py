"""Exams that cannot fail prove nothing: each must fail over a store that breaks the promise it examines."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from sagafsm import StoreError
from sagafsm.store import Store
from support.broken import Lagging, Mailless, Uncompared, Unfenced
from support.exams import check_late_append, check_mail, check_replaced_owner, check_write_ahead
from support.ghosts import StepPlan, crashes, plans
from test_random_sagas import sit_the_exam
from test_two_orchestrators import TwoOrchestrators

common: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": [Phase.generate],
    "report_multiple_bugs": False,
    "suppress_health_check": list(HealthCheck),
}


@pytest.mark.parametrize(
    ("broken", "breach"),
    [
        (Unfenced, "without a claim"),
        (Uncompared, ""),
        (Mailless, "past a request"),
        (Lagging, "before its start is durable"),
    ],
)
def test_two_orchestrators_notice(broken: type, breach: str) -> None:
    """Fencing off, compare-and-set off, mail not looked at, outcome recorded too late: each is noticed."""
    machine = type("Broken", (TwoOrchestrators,), {"own" if broken is Lagging else "shared": staticmethod(broken)})
    with pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(machine, settings=settings(max_examples=500, stateful_step_count=40, **common))
    assert breach in str(caught.value)


def test_a_replaced_owner_that_writes_is_noticed(way: str, memory: Store) -> None:
    """Fencing off: the replaced owner goes on."""
    with pytest.raises(AssertionError):
        check_replaced_owner(memory, Unfenced(memory), way)


def test_a_start_that_overtakes_a_request_is_noticed(way: str, memory: Store) -> None:
    """Mail not looked at: the next step starts."""
    with pytest.raises(AssertionError):
        check_mail(memory, Mailless(memory), way)


def test_an_append_that_takes_place_twice_is_noticed(way: str, memory: Store) -> None:
    """Compare-and-set off: what seemed to have failed, and was repeated, stands there twice."""
    with pytest.raises((AssertionError, StoreError)):
        check_late_append(memory, Uncompared(memory), way)


@pytest.mark.parametrize("probe", [False, True])
def test_an_outcome_that_is_recorded_too_late_is_noticed(probe: bool, way: str, memory: Store) -> None:
    """Outcome recorded too late: the next call finds it missing."""
    with pytest.raises(AssertionError):
        check_write_ahead(memory, Lagging(memory), way, probe=probe)


def test_random_sagas_notice(memory: Store) -> None:
    """Outcome recorded too late: a crash loses what the world knows."""

    @settings(max_examples=200, **common)
    @given(plan=plans(), where=crashes, data=st.data())
    def exam(plan: dict[str, StepPlan], where: Any, data: st.DataObject) -> None:
        sit_the_exam(memory, "sync", plan, where, None, data, through=Lagging(memory))

    with pytest.raises(AssertionError):
        exam()
