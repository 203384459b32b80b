"""Law 8, groups: members run concurrently; the first failure stops new members and starts the way back.

- One commit starts the first members, in definition order.
- While a member is in doubt no further member begins. The engine settles doubts one after the other, in order of start.
- After the first failure no further member begins. The engine awaits and settles running members before any undo.
- The first observed failure is the cause. A group blocks only when no member runs or waits for a retry.

The order of the compensations is in law 4, and the doubts of a group that goes back in law 6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from sagafsm import IllegalTransition, Saga, StoreConflict
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.controls import quick
from support.lived import check_singles, each, inject, lived, lives
from support.lives import Life
from support.messages import message_of
from support.mortality import die
from support.orders import bench_of
from support.services import STEADY, Service, saga_of
from support.stage import Meeting
from support.stores import CountingStore
from support.verdicts import check_groups

STARTS = ["InstanceCreated", "StepStarted a 1", "StepStarted b 1", "StepStarted c 1"]


def g(after: str | Callable[[], Any] | None = None, **options: Any) -> dict[str, Any]:
    """Return the options of a member, which goes on only after this event."""
    return {"group": "g", "after": after, **options}


def test_members_run_at_once(way: str, store: Store) -> None:
    """All members are in their actions at the same moment. The group is one state, and each member has its result."""
    meeting, counting = Meeting(3), CountingStore(store)
    bench, _ = bench_of(counting, way, a=g(meeting), b=g(meeting), c=g(meeting), d={})
    instance = bench.run()
    assert "completed" == instance.state
    assert 3 == meeting.most
    assert {"a": "a!", "b": "b!", "c": "c!", "d": "d!"} == instance.results
    assert STARTS == lines(instance.history)[:4]
    assert ("InstanceCreated", "StepStarted a", "StepStarted b", "StepStarted c") == counting.batches[0]
    # Creation and starts; three outcomes, the last of them with the start of d; the outcome of d and the end.
    assert 5 == counting.commits
    states = ["pending", "running:g", None, None, None, None, "running:d", None, None, "completed"]
    assert states == [event.state for event in instance.history]


def test_one_commit_starts_the_first_members_in_definition_order(way: str, memory: Store) -> None:
    """That commit also holds the outcome before the group."""
    counting = CountingStore(memory)
    bench, _ = bench_of(counting, way, z={}, b=g(), a=g())
    assert "completed" == bench.run().state
    assert ("StepSucceeded z", "StepStarted b", "StepStarted a") == counting.batches[1]


def test_outcomes_are_recorded_as_they_are_observed(way: str, memory: Store) -> None:
    """Members end in any order, and each outcome makes a commit."""
    counting = CountingStore(memory)
    bench, _ = bench_of(counting, way, a=g("StepSucceeded b 1"), b=g("StepSucceeded c 1"), c=g())
    ends = ["StepSucceeded c 1", "StepSucceeded b 1", "StepSucceeded a 1", "InstanceCompleted"]
    assert [*STARTS, *ends] == lines(bench.run().history)
    assert 4 == counting.commits


def test_a_limit_queues_members_in_order(way: str, memory: Store) -> None:
    """The other members start in definition order, in the commits of the outcomes before."""
    counting, meeting = CountingStore(memory), Meeting(2)
    bench, _ = bench_of(
        counting, way, a=g(meeting), b=g(meeting), c=g("StepSucceeded b 1"), d=g("StepSucceeded c 1"), limit=2
    )
    instance = bench.run()
    assert "completed" == instance.state
    assert 2 == meeting.most
    assert ("InstanceCreated", "StepStarted a", "StepStarted b") == counting.batches[0]
    starts = [step for step in lines(instance.history) if step.startswith("StepStarted")]
    assert ["StepStarted a 1", "StepStarted b 1", "StepStarted c 1", "StepStarted d 1"] == starts
    assert "StepStarted c" == counting.batches[1][-1]
    assert "StepStarted d" == counting.batches[2][-1]
    assert ["StepSucceeded b 1", "StepSucceeded c 1"] == [
        line for line in lines(instance.history) if line in ("StepSucceeded b 1", "StepSucceeded c 1")
    ]


def test_with_a_limit_of_one_members_run_one_after_the_other(way: str, memory: Store) -> None:
    """The members run like steps, in one state."""
    bench, service = bench_of(memory, way, {"c": ["fail"]}, a=g(), b=g(), c=g(), limit=1)
    instance = bench.run()
    assert ["a 1", "b 1", "c 1", "undo b 1 of b!", "undo a 1 of a!"] == service.calls
    forth = [f"{kind} {name} 1" for name in "ab" for kind in ("StepStarted", "StepSucceeded")]
    assert [*forth, "StepStarted c 1", "StepFailed c 1"] == lines(instance.history)[1:7]
    assert {"pending", "running:g", "compensating:g", "failed", None} == {event.state for event in instance.history}


def test_a_later_step_gets_the_results_of_the_members() -> None:
    """A step behind the group gets the results of all members."""
    saga = Saga("order")
    saga.add_step("a", lambda: 1, group="g")
    saga.add_step("b", lambda: 2, group="g")
    saga.add_step("both", lambda a, b: a + b)
    assert {"a": 1, "b": 2, "both": 3} == saga.run(None).results
    saga.orchestrator.close()


def test_the_first_observed_failure_is_the_cause(way: str, memory: Store) -> None:
    """Running members are awaited, and then undone. `errors` keeps the later failures."""
    script = {"a": ["permanent"], "b": ["fail"]}
    bench, service = bench_of(memory, way, script, z={}, a=g("CauseRecorded failure b"), b=g(), c=g("StepFailed a 1"))
    instance = bench.run()
    assert [
        "StepFailed b 1",
        "CauseRecorded failure b",
        "StepFailed a 1",
        "StepSucceeded c 1",
        "CompensationStarted c 1",
        "CompensationSucceeded c 1",
        "CompensationStarted z 1",
        "CompensationSucceeded z 1",
        "InstanceFailed",
    ] == lines(instance.history)[6:]
    assert ("failure", "b") == (instance.cause.kind, instance.cause.step)
    assert ["Refused: refused", "PermanentFailure: never"] == [str(error) for error in instance.errors]
    assert "Refused: refused" == str(instance.error)
    assert ["undo c 1 of c!", "undo z 1 of z!"] == service.calls[-2:]
    assert instance.compensated


def test_after_a_failure_nothing_new_starts(way: str, memory: Store) -> None:
    """No queued member starts, and no member is called again."""
    script = {"a": ["fail"], "b": ["fail"]}
    bench, service = bench_of(
        memory, way, script, a=g(), b=g("CauseRecorded failure a", retry=STEADY), c=g(), d=g(), limit=2
    )
    instance = bench.run()
    assert ["a 1", "b 1"] == sorted(service.calls)
    assert ["StepFailed a 1", "CauseRecorded failure a", "StepFailed b 1", "InstanceFailed"] == lines(instance.history)[
        3:
    ]
    assert instance.compensated
    assert ["pending", "pending"] == [instance.steps[name].status for name in ("c", "d")]


def test_doubts_are_settled_one_at_a_time_in_order_of_start(way: str, memory: Store) -> None:
    """The engine asks the probes one after the other."""
    bench, service = bench_of(memory, way, a=g(probe=True), b=g(probe=True), c=g(probe=True))
    die(bench, service, "after 1", "run", bench.saga, "mug", id="o-1")
    service.script = {f"probe {name}": ["done"] for name in "abc"}
    assert "completed" == bench.ask("resume", "o-1").state
    assert ["probe a 1 in doubt", "probe b 1 in doubt", "probe c 1 in doubt"] == service.calls
    assert [
        "StepInDoubt a 1 process_died",
        "StepInDoubt b 1 process_died",
        "StepInDoubt c 1 process_died",
        "StepSucceeded a 1 by probe",
        "StepSucceeded b 1 by probe",
        "StepSucceeded c 1 by probe",
        "InstanceCompleted",
    ] == lines(memory.history("o-1"))[4:]


def test_while_a_member_is_in_doubt_nothing_new_starts(way: str, memory: Store) -> None:
    """A queued member waits until a decision settles the doubt."""
    bench, service = bench_of(memory, way, {"a": ["lost"]}, a=g(), b=g(), c=g(), limit=1)
    assert [("a", "in_doubt")] == [block[:2] for block in bench.run().blocked]
    assert ["a 1"] == service.calls
    instance = bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert "completed" == instance.state
    assert ["a 1", "b 1", "c 1"] == service.calls


def test_a_doubt_that_waits_for_its_retry_holds_the_others(way: str, memory: Store) -> None:
    """The queue continues after the retry has settled the doubt."""
    bench, service = bench_of(memory, way, {"a": ["lost"]}, a=g(retry=STEADY, in_doubt="retry"), b=g(), limit=1)
    assert "completed" == bench.run().state
    assert ["a 1", "a 2 in doubt", "b 1"] == service.calls
    assert 10.0 == bench.clock.seconds


def test_a_failure_that_waits_for_its_retry_holds_nobody(way: str, memory: Store) -> None:
    """The next queued member starts during the backoff."""
    bench, service = bench_of(memory, way, {"a": ["fail"]}, a=g(retry=STEADY), b=g(), limit=1)
    assert "completed" == bench.run().state
    assert ["a 1", "b 1", "a 2"] == service.calls
    assert 10.0 == bench.clock.seconds


def test_a_group_blocks_only_when_no_member_runs_or_waits(way: str, memory: Store) -> None:
    """Running members end, and a member that waits for a retry is called again, before the group blocks."""
    script = {"a": ["lost"], "b": ["fail", "fail"]}
    bench, service = bench_of(
        memory,
        way,
        script,
        a=g(),
        b=g("StepInDoubt a 1 outcome_unknown", retry=STEADY),
        c=g("StepFailed b 1 again"),
    )
    instance = bench.run()
    assert [
        "StepInDoubt a 1 outcome_unknown",
        "StepFailed b 1 again",
        "StepSucceeded c 1",
        "StepStarted b 2",
        "StepFailed b 2 again",
        "StepStarted b 3",
        "StepSucceeded b 3",
        "InstanceBlocked a in_doubt",
    ] == lines(instance.history)[4:]
    assert ("running:g", None) == (instance.state, instance.owner)
    assert 20.0 == bench.clock.seconds
    assert "completed" == bench.ask("resolve", "o-1", result="seen", reason="looked").state
    assert ["b 2", "b 3"] == service.calls[3:]


def test_several_blocked_members_need_a_step(way: str, memory: Store) -> None:
    """One commit records all blocks, in order of start. A decision names its step, and the other members stay blocked."""
    counting = CountingStore(memory)
    script = {"a": ["lost"], "b": ["lost"]}
    bench, _ = bench_of(counting, way, script, a=g(), b=g("StepInDoubt a 1 outcome_unknown"), c={})
    instance = bench.run()
    assert [("a", "in_doubt"), ("b", "in_doubt")] == [block[:2] for block in instance.blocked]
    assert ("StepInDoubt b", "InstanceBlocked a", "InstanceBlocked b") == counting.batches[-1]
    assert (
        "instance 'o-1' is running:g, which does not allow 'resolve(result) without step=' "
        "(allowed: resolve(result) with step='a', resolve(result) with step='b')"
    ) == message_of(IllegalTransition, lambda: bench.ask("resolve", "o-1", result="seen", reason="looked"))
    assert (
        "instance 'o-1' is running:g, which does not allow 'retry of step c' "
        "(allowed: resume, cancel, retry, resolve(result), resolve(not_done), compensate, abandon)"
    ) == message_of(IllegalTransition, lambda: bench.ask("retry", "o-1", step="c"))

    instance = bench.ask("resolve", "o-1", step="b", result="seen", reason="looked")
    assert [("a", "in_doubt")] == [block[:2] for block in instance.blocked]
    assert "completed" == bench.ask("retry", "o-1").state


def test_a_blocked_member_decided_back_is_undone_in_its_place(way: str, memory: Store) -> None:
    """`compensate` of one member is the cause. The other member gets the decisions of a cause, then both go back."""
    script = {"a": ["lost"], "b": ["lost"]}
    bench, service = bench_of(memory, way, script, a=g(), b=g("StepInDoubt a 1 outcome_unknown"))
    bench.run()
    instance = bench.ask("compensate", "o-1", step="a", reason="no")
    assert [("b", ("resolve(result)", "resolve(not_done)", "compensate", "skip", "abandon"))] == [
        (block.step, block.decisions) for block in instance.blocked
    ]
    instance = bench.ask("resolve", "o-1", not_done=True, reason="looked")
    assert ["undo a 1 of None in doubt"] == service.calls[2:]
    assert instance.compensated


def test_nested_sagas_in_a_group_run_at_once(way: str, memory: Store) -> None:
    """Each nested saga is an instance of its own."""
    meeting, service = Meeting(2), Service()
    saga = Saga("order")
    for name, step in (("pay", "charge"), ("bank", "transfer")):
        child = saga_of(service, f"{name}ment", is_async=is_async(way), **{step: {"after": meeting}})
        saga.add_saga(name, child, group="g")
    instance = Bench(memory, saga, way).run()
    assert 2 == meeting.most
    assert {"pay": {"charge": "charge!"}, "bank": {"transfer": "transfer!"}} == instance.results


# Any saga -------------------------------------------------------------------------------------------------------------


def check_members(life: Life) -> None:
    """Check who starts beside whom, and that no member is undone while another runs."""
    each(check_groups)(life)
    assert [] == [breach for breach in life.world.breaches if "is undone" in breach]


@quick(30)
@given(life=lives().filter(lambda life: any(step.group for step in life.plan.walk())))
def test_any_group_starts_and_goes_back_as_it_should(life: Life) -> None:
    """No member starts over the limit, beside a doubt or after a failure. Running members settle before any undo."""
    check_members(lived(life))


# Positive controls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "example"),
    [
        ("members_begin_beside_a_doubt", test_while_a_member_is_in_doubt_nothing_new_starts),
        ("a_failure_waits_for_the_other_members", test_the_first_observed_failure_is_the_cause),
        ("a_group_blocks_while_a_member_runs", test_a_group_blocks_only_when_no_member_runs_or_waits),
        ("limit_of_a_group_ignored", test_with_a_limit_of_one_members_run_one_after_the_other),
    ],
)
def test_a_broken_group_is_noticed_by_its_example(
    fault: str, example: Callable[..., None], memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core breaks one bullet of the law."""
    monkeypatch.setattr("support.stage.PATIENCE", 0.5)
    inject(monkeypatch, fault)
    with pytest.raises((AssertionError, StoreConflict)):
        example("sync", memory)


@pytest.mark.parametrize(
    "fault", ["members_begin_beside_a_doubt", "limit_of_a_group_ignored", "group_goes_back_while_a_member_runs"]
)
def test_a_broken_group_is_noticed_by_random_sagas(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict of the property fails, too."""
    inject(monkeypatch, fault)
    with pytest.raises(AssertionError):
        check_singles(check_members)
