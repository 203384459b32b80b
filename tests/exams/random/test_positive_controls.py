"""Exams that cannot fail prove nothing: each must fail over a store that breaks the promise it examines."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from exams.random.test_random_sagas import sit_the_exam
from exams.random.test_two_orchestrators import TwoOrchestrators
from sagafsm import SagaError, StoreError
from sagafsm.store import Store
from sagafsm.testing.store_contract.group_commit import WritingContract
from support.broken import Lagging, Mailless, Misplaced, Uncompared, Undivided, Unfenced, Unguarded, Unordered
from support.ghosts import StepPlan, crashes, plans

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


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Undivided, "test_a_group_may_be_refused_altogether"),
        (Unguarded, "test_a_group_may_be_refused_altogether"),
        (Unguarded, "test_the_same_append_twice_is_made_once"),
        (Uncompared, "test_the_same_append_twice_is_made_once"),
        (Unordered, "test_the_second_of_one_instance_sees_the_first"),
        (Unordered, "test_the_second_of_one_instance_given_first_is_refused"),
        (Unordered, "test_the_same_id_is_created_once"),
        (Misplaced, "test_each_write_is_answered_in_its_place"),
        (Unfenced, "test_an_end_releases_within_a_group"),
        (Mailless, "test_mail_is_absorbed_within_a_group"),
        (Uncompared, "test_groups_race_and_each_instance_has_one_winner"),
    ],
)
def test_the_contract_of_groups_notices(broken: type, law: str, memory: Store) -> None:
    """A refusal for all, one that leaves something, another order: the laws of `write` can fail."""
    with pytest.raises((AssertionError, StoreError)):
        getattr(WritingContract(), law)(broken(memory))


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        *itertools.product((Undivided, Unguarded), ("another version", "replaced", "absorbs, at another version")),
        (Undivided, "not there"),
        (Undivided, "taken"),
        (Unfenced, "another token"),
        (Unfenced, "replaced"),
        (Uncompared, "another version"),
        (Mailless, "past mail"),
    ],
)
def test_the_contract_of_refused_neighbours_notices(broken: type, why: str, memory: Store) -> None:
    """Whatever a store makes of a write that is to be refused, or of the others for its sake."""
    with pytest.raises((AssertionError, SagaError, pytest.fail.Exception)):
        WritingContract().test_a_refused_write_leaves_nothing_and_its_neighbours_alone(broken(memory), why, 1)


def test_random_sagas_notice(memory: Store) -> None:
    """Outcome recorded too late: a crash loses what the world knows."""

    @settings(max_examples=200, **common)
    @given(plan=plans(), where=crashes, data=st.data())
    def exam(plan: dict[str, StepPlan], where: Any, data: st.DataObject) -> None:
        sit_the_exam(memory, "sync", plan, where, None, data, through=Lagging(memory))

    with pytest.raises(AssertionError):
        exam()
