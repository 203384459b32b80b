"""DESIGN's crash table, line by line, for sagas of single steps: last durable commit, and what recovery does then."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest

from sagafsm.errors import SagaNotFound, StoreConflict
from sagafsm.history.events import Request
from sagafsm.store import Store
from support.bench import Bench, is_async, lines
from support.broken import Lagging, Mailless, Unfenced
from support.mortality import die
from support.services import STEADY, Service, saga_of

CREATED = ["InstanceCreated", "StepStarted a 1"]
DIED = "StepInDoubt a 1 process_died"
FORTH = ["StepStarted b 1", "StepSucceeded b 1", "InstanceCompleted"]
BOTH: dict[str, dict[str, Any]] = {"a": {}, "b": {}}
# b fails, so that a is undone.
BACK = ["StepSucceeded a 1", "StepStarted b 1", "StepFailed b 1", "CauseRecorded failure b", "CompensationStarted a 1"]


def one(**options: Any) -> dict[str, dict[str, Any]]:
    return {"a": options, "b": {}}


@attrs.frozen(kw_only=True)
class Row:
    """One line of the table.

    The saga of `steps`, whose services follow `script`, is run until it dies: at the commit `dies` ("before 2": it
    is not durable; "after 2": it is), or where the script says so. `durable` is what stands then. Each of `then`,
    by a new process: `recover`, a number of seconds that pass, or a decision. They call `calls`, which adds `adds`.
    """

    name: str
    steps: dict[str, dict[str, Any]] = attrs.Factory(lambda: BOTH)
    script: dict[str, list[Any]] = attrs.Factory(dict)
    start: str = "run"
    dies: str = ""
    durable: list[str]
    then: tuple[Any, ...] = ("recover",)
    calls: list[str]
    adds: list[str]
    state: str


DOUBT: list[Row] = [
    row
    for when, where in {
        "before the action": {"dies": "after 1"},
        "in the action, before the effect": {"script": {"a": ["die before"]}},
        "in the action, after the effect": {"script": {"a": ["die after"]}},
        "after the action": {"dies": "before 2"},
    }.items()
    for row in (
        Row(
            name=f"started a, died {when}; ask",
            **where,
            durable=CREATED,
            calls=[],
            adds=[DIED, "InstanceBlocked a in_doubt"],
            state="running:a",
        ),
        Row(
            name=f"started a, died {when}; retry",
            steps=one(in_doubt="retry"),
            **where,
            durable=CREATED,
            calls=["a 2 in doubt", "b 1"],
            adds=[DIED, "StepStarted a 2", "StepSucceeded a 2", *FORTH],
            state="completed",
        ),
        Row(
            name=f"started a, died {when}; compensate",
            steps=one(in_doubt="compensate"),
            **where,
            durable=CREATED,
            calls=["undo a 1 of None in doubt"],
            adds=[
                DIED,
                "CauseRecorded doubt a",
                "CompensationStarted a 1",
                "CompensationSucceeded a 1",
                "InstanceFailed",
            ],
            state="failed",
        ),
        Row(
            name=f"started a, died {when}; retry, then compensate",
            steps=one(in_doubt=("retry", "compensate")),
            **where,
            durable=CREATED,
            calls=["a 2 in doubt", "b 1"],
            adds=[DIED, "StepStarted a 2", "StepSucceeded a 2", *FORTH],
            state="completed",
        ),
        Row(
            name=f"started a, died {when}; no effect",
            steps=one(effect=False, undo=False),
            **where,
            durable=CREATED,
            calls=["a 2", "b 1"],
            adds=["StepStarted a 2", "StepSucceeded a 2", *FORTH],
            state="completed",
        ),
    )
]

PROBED: list[Row] = [
    Row(
        name="started a, died in it; the probe says done",
        steps=one(probe=True),
        script={"a": ["die after"]},
        durable=CREATED,
        calls=["probe a 1 in doubt", "b 1"],
        adds=[DIED, "StepSucceeded a 1 by probe", *FORTH],
        state="completed",
    ),
    Row(
        name="started a, died in it; the probe says not done",
        steps=one(probe=True),
        script={"a": ["die before"]},
        durable=CREATED,
        calls=["probe a 1 in doubt", "a 2", "b 1"],
        adds=[DIED, "StepFailed a 1 by probe again", "StepStarted a 2", "StepSucceeded a 2", *FORTH],
        state="completed",
    ),
    *(
        Row(
            name=f"started a, died in it; the probe {says}",
            steps=one(probe=True, **policy),
            script={"a": ["die after"], "probe a": [says]},
            durable=CREATED,
            calls=["probe a 1 in doubt", *calls],
            adds=[DIED, "StepInDoubt a 1 probe", *adds],
            state=state,
        )
        for says in ("doubt", "fail")
        for policy, calls, adds, state in (
            ({}, [], ["InstanceBlocked a in_doubt"], "running:a"),
            (
                {"in_doubt": "retry"},
                ["a 2 in doubt", "b 1"],
                ["StepStarted a 2", "StepSucceeded a 2", *FORTH],
                "completed",
            ),
            (
                {"in_doubt": "compensate"},
                ["undo a 1 of None in doubt"],
                ["CauseRecorded doubt a", "CompensationStarted a 1", "CompensationSucceeded a 1", "InstanceFailed"],
                "failed",
            ),
        )
    ),
    *(
        Row(
            name=f"doubt recorded, died {when}",
            steps=one(probe=True),
            script={"a": ["lost"], **script},
            dies=dies,
            durable=[*CREATED, "StepInDoubt a 1 outcome_unknown"],
            calls=["probe a 1 in doubt", "b 1"],
            adds=["StepSucceeded a 1 by probe", *FORTH],
            state="completed",
        )
        for when, script, dies in (
            ("before the probe", {}, "after 2"),
            ("in the probe", {"probe a": ["die before"]}, ""),
            ("after the probe", {}, "before 3"),
        )
    ),
    Row(
        name="doubt recorded, died in the probe, which then cannot tell either: policy",
        steps=one(probe=True, in_doubt="compensate"),
        script={"a": ["lost"], "probe a": ["die before", "doubt"]},
        durable=[*CREATED, "StepInDoubt a 1 outcome_unknown"],
        calls=["probe a 1 in doubt", "undo a 1 of None in doubt"],
        adds=[
            "StepInDoubt a 1 probe",
            "CauseRecorded doubt a",
            "CompensationStarted a 1",
            "CompensationSucceeded a 1",
            "InstanceFailed",
        ],
        state="failed",
    ),
]

TABLE: list[Row] = [
    Row(
        name="created",
        start="start",
        dies="after 1",
        durable=["InstanceCreated"],
        calls=["a 1", "b 1"],
        adds=["StepStarted a 1", "StepSucceeded a 1", *FORTH],
        state="completed",
    ),
    *DOUBT,
    *PROBED,
    *(
        Row(
            name=f"done(a), started b, died {when}",
            **where,
            durable=[*CREATED, "StepSucceeded a 1", "StepStarted b 1"],
            calls=[],
            adds=["StepInDoubt b 1 process_died", "InstanceBlocked b in_doubt"],
            state="running:b",
        )
        for when, where in {
            "before the action": {"dies": "after 2"},
            "in the action": {"script": {"b": ["die after"]}},
            "after the action": {"dies": "before 3"},
        }.items()
    ),
    Row(
        name="failed attempt, wake_at",
        steps=one(retry=STEADY),
        script={"a": ["fail"]},
        dies="after 2",
        durable=[*CREATED, "StepFailed a 1 again"],
        then=("recover", 9, "recover", 1, "recover"),
        calls=["a 2", "b 1"],
        adds=["StepStarted a 2", "StepSucceeded a 2", *FORTH],
        state="completed",
    ),
    Row(
        name="doubt recorded, wake_at, retry",
        steps=one(retry=STEADY, in_doubt="retry"),
        script={"a": ["lost"]},
        dies="after 2",
        durable=[*CREATED, "StepInDoubt a 1 outcome_unknown again"],
        then=("recover", 9, "recover", 1, "recover"),
        calls=["a 2 in doubt", "b 1"],
        adds=["StepStarted a 2", "StepSucceeded a 2", *FORTH],
        state="completed",
    ),
    *(
        Row(
            name=f"failed(b), cause, undo of a started, died {when}",
            script={"b": ["fail"], **script},
            dies=dies,
            durable=[*CREATED, *BACK],
            calls=["undo a 2 of a!"],
            adds=["CompensationStarted a 2", "CompensationSucceeded a 2", "InstanceFailed"],
            state="failed",
        )
        for when, script, dies in (
            ("before it", {}, "after 3"),
            ("in it, before the effect", {"undo a": ["die before"]}, ""),
            ("in it, after the effect", {"undo a": ["die after"]}, ""),
            ("after it", {}, "before 4"),
        )
    ),
    *(
        Row(
            name=f"unstorable(b), cause, undo of b started, died {when}",
            script={"b": ["set"], **script},
            dies=dies,
            durable=[
                *CREATED,
                "StepSucceeded a 1",
                "StepStarted b 1",
                "ResultRefused b 1",
                "CauseRecorded payload b",
                "CompensationStarted b 1",
            ],
            calls=["undo b 2 of None in doubt", "undo a 1 of a!"],
            adds=[
                "CompensationStarted b 2",
                "CompensationSucceeded b 2",
                "CompensationStarted a 1",
                "CompensationSucceeded a 1",
                "InstanceFailed",
            ],
            state="failed",
        )
        for when, script, dies in (("before it", {}, "after 3"), ("in it", {"undo b": ["die after"]}, ""))
    ),
    Row(
        name="undo failed, wake_at",
        steps={"a": {"compensation_retry": STEADY}, "b": {}},
        script={"b": ["fail"], "undo a": ["fail"]},
        dies="after 4",
        durable=[*CREATED, *BACK, "CompensationFailed a 1 again"],
        then=("recover", 9, "recover", 1, "recover"),
        calls=["undo a 2 of a!"],
        adds=["CompensationStarted a 2", "CompensationSucceeded a 2", "InstanceFailed"],
        state="failed",
    ),
    *(
        Row(
            name=f"undone b, undo of a started, died {when}",
            steps={"a": {}, "b": {}, "c": {}},
            script={"c": ["fail"], **script},
            dies=dies,
            durable=[
                *CREATED,
                "StepSucceeded a 1",
                "StepStarted b 1",
                "StepSucceeded b 1",
                "StepStarted c 1",
                "StepFailed c 1",
                "CauseRecorded failure c",
                "CompensationStarted b 1",
                "CompensationSucceeded b 1",
                "CompensationStarted a 1",
            ],
            calls=["undo a 2 of a!"],
            adds=["CompensationStarted a 2", "CompensationSucceeded a 2", "InstanceFailed"],
            state="failed",
        )
        for when, script, dies in (("before it", {}, "after 5"), ("in it", {"undo a": ["die after"]}, ""))
    ),
    Row(
        name="at rest, completed",
        dies="after 3",
        durable=[*CREATED, "StepSucceeded a 1", *FORTH],
        calls=[],
        adds=[],
        state="completed",
    ),
    Row(
        name="at rest, failed",
        script={"a": ["fail"]},
        dies="after 2",
        durable=[*CREATED, "StepFailed a 1", "CauseRecorded failure a", "InstanceFailed"],
        calls=[],
        adds=[],
        state="failed",
    ),
    Row(
        name="blocked: parked",
        script={"a": ["lost"]},
        dies="after 2",
        durable=[*CREATED, "StepInDoubt a 1 outcome_unknown", "InstanceBlocked a in_doubt"],
        then=("recover", 1_000_000, "recover"),
        calls=[],
        adds=[],
        state="running:a",
    ),
    Row(
        name="blocked: only a decision",
        script={"a": ["lost"]},
        dies="after 2",
        durable=[*CREATED, "StepInDoubt a 1 outcome_unknown", "InstanceBlocked a in_doubt"],
        then=("recover", ("retry", {})),
        calls=["a 2 in doubt", "b 1"],
        adds=["DecisionMade retry a", "StepStarted a 2", "StepSucceeded a 2", *FORTH],
        state="completed",
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_recovery_goes_on_from_the_last_durable_commit(row: Row, way: str, store: Store) -> None:
    """Crash table: what is durable decides what is called next, with which attempt, key, result and doubt."""
    check_row(row, store, store, way)


def check_row(row: Row, store: Store, through: Any, way: str) -> None:
    """Sit the exam of one row: `store` is what really is, `through` what the orchestrators are given."""
    service = Service(script={call: list(plan) for call, plan in row.script.items()})
    saga = saga_of(service, is_async=is_async(way), **row.steps)
    bench = Bench(through, saga, way)
    die(bench, service, row.dies, row.start, saga, "mug", id="o-1")
    durable = lines(store.history("o-1"))
    assert row.durable == durable, f"not durable when it died: {row.durable[len(durable) :]}"

    for step in row.then:
        match step:
            case int():
                bench.clock.advance(step)
            case (decision, given):
                bench.ask(decision, "o-1", **given)
            case operation:
                assert {} == bench.ask(operation).errors

    assert row.calls == service.calls
    assert [*row.durable, *row.adds] == lines(store.history("o-1"))
    instance = store.load("o-1").instance
    assert row.state == instance.state
    assert instance.owner is None
    service.check_keys()
    before = store.history("o-1")
    assert () == bench.ask("recover").resumed
    assert before == store.history("o-1")


def test_with_nothing_durable_there_is_no_instance(way: str, store: Store) -> None:
    """Crash table: nothing durable, no instance; the same id starts."""
    service = Service()
    saga = saga_of(service, is_async=is_async(way), **BOTH)
    bench = Bench(store, saga, way)
    die(bench, service, "before 1", "run", saga, "mug", id="o-1")
    with pytest.raises(SagaNotFound):
        bench.get()
    assert () == bench.ask("recover").resumed
    assert "completed" == bench.run("another mug").state
    assert ["a 1", "b 1"] == service.calls


DECISIONS = [
    ("retry", {}, "after 1", "in_doubt", ["DecisionMade retry a", "StepStarted a 2"], [],
     ["StepInDoubt a 2 process_died", "InstanceBlocked a in_doubt"], "running:a"),
    ("resolve", {"result": "told", "reason": "seen"}, "after 1", "in_doubt", ["DecisionMade resolve(result) a seen", "StepStarted b 1"], [],
     ["StepInDoubt b 1 process_died", "InstanceBlocked b in_doubt"], "running:b"),
    ("resolve", {"not_done": True, "reason": "seen"}, "after 1", "in_doubt",
     ["DecisionMade resolve(not_done) a seen", "CauseRecorded decision a seen", "InstanceFailed"], [], [], "failed"),
    ("compensate", {}, "after 1", "in_doubt",
     ["DecisionMade compensate a", "CauseRecorded decision a", "CompensationStarted a 1"], ["undo a 2 of None in doubt"],
     ["CompensationStarted a 2", "CompensationSucceeded a 2", "InstanceFailed"], "failed"),
    ("abandon", {"reason": "enough"}, "after 1", "in_doubt", ["DecisionMade abandon enough", "InstanceFailed"], [], [], "failed"),
    ("retry", {}, "after 1", "compensation_failed", ["DecisionMade retry a", "CompensationStarted a 2"], ["undo a 3 of a!"],
     ["CompensationStarted a 3", "CompensationSucceeded a 3", "InstanceFailed"], "failed"),
    ("skip", {"reason": "enough"}, "after 1", "compensation_failed", ["DecisionMade skip a enough", "InstanceFailed"], [], [], "failed"),
    ("resolve", {"undone": True, "reason": "by hand"}, "after 1", "compensation_failed",
     ["DecisionMade resolve(undone) a by hand", "InstanceFailed"], [], [], "failed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("decision", "given", "dies", "blocked", "consequence", "calls", "adds", "state"),
    DECISIONS,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_decision_and_its_consequence_are_one_commit(
    decision: str, given: dict[str, Any], dies: str, blocked: str, consequence: list[str], calls: list[str],
    adds: list[str], state: str, way: str, store: Store,
) -> None:  # fmt: skip
    """Crash table: a decision is durable with what follows from it, and recovery does as for that."""
    service = Service(script={"a": ["lost"]} if blocked == "in_doubt" else {"b": ["fail"], "undo a": ["permanent"]})
    saga = saga_of(service, is_async=is_async(way), **BOTH)
    bench = Bench(store, saga, way)
    assert [blocked] == [block.reason for block in bench.run().blocked]
    before = lines(store.history("o-1"))
    die(bench, service, "before 1", decision, "o-1", **given)
    assert before == lines(store.history("o-1"))
    die(bench, service, dies, decision, "o-1", **given)
    assert [*before, *consequence] == lines(store.history("o-1"))

    assert {} == bench.ask("recover").errors

    assert calls == service.calls
    assert [*before, *consequence, *adds] == lines(store.history("o-1"))
    assert state == bench.get().state
    service.check_keys()


def test_a_request_is_absorbed_first_by_the_next_owner(way: str, store: Store) -> None:
    """Crash table: a request that was posted and not absorbed is absorbed before anything else happens."""
    check_request(store, store, way, mail=store.mail)


def check_request(store: Store, through: Any, way: str, *, mail: Callable[[str], Sequence[Request]]) -> None:
    service = Service(script={"b": ["die after"]})
    saga = saga_of(service, is_async=is_async(way), a={}, b={"in_doubt": "retry", "undo": True}, c={})
    bench = Bench(through, saga, way)
    die(bench, service, "", "run", saga, "mug", id="o-1")
    die(bench, service, "before 1", "cancel", "o-1", reason="changed my mind")
    assert ["changed my mind"] == [request.reason for request in mail("o-1")]
    assert [*CREATED, "StepSucceeded a 1", "StepStarted b 1"] == lines(store.history("o-1"))

    assert {} == bench.ask("recover").errors

    added = lines(store.history("o-1"))[4:]
    assert [
        "CancelRequested changed my mind",
        "CauseRecorded cancel changed my mind",
        "StepInDoubt b 1 process_died",
        "InstanceBlocked b in_doubt",
    ] == added, f"the request was overtaken by {added[0]}"
    assert [] == service.calls
    assert () == mail("o-1")


def test_a_dead_owner_is_replaced_and_its_append_refused(way: str, store: Store) -> None:
    """Crash table: the next claim takes token+1; the old append is refused; its step is in doubt."""
    check_dead_owner(store, store, way)


def check_dead_owner(store: Store, through: Any, way: str) -> None:
    service = Service(script={"b": ["die after"]})
    saga = saga_of(service, is_async=is_async(way), **BOTH)
    bench = Bench(store, saga, way)
    die(bench, service, "", "run", saga, "mug", id="o-1")
    dead = store.load("o-1").summary
    assert dead.owner is not None

    assert ("o-1",) == bench.ask("recover").resumed

    assert dead.token + 1 == store.load("o-1").summary.token
    history = store.history("o-1")
    assert ["StepInDoubt b 1 process_died", "InstanceBlocked b in_doubt"] == lines(history)[4:]
    # As it knew the history when it died; and as if it had read it since, so that its token alone tells.
    for version in (4, len(history)):
        with contextlib.suppress(StoreConflict):
            event = attrs.evolve(history[-1], number=version + 1)
            through.append("o-1", [event], expected_version=version, token=dead.token)
        found = store.history("o-1")
        assert history == found, f"the dead owner wrote {lines(found)[len(history) :]}"


# Positive controls ----------------------------------------------------------------------------------------------------


class Deaf(Mailless):
    """Takes requests, and tells the one that drives of none."""

    def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return () if name == "mail" else super()._pass(name, method, *args, **kwargs)


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("failed attempt, wake_at", ["StepFailed a 1 again"]),
        ("done(a), started b, died in the action", ["StepSucceeded a 1", "StepStarted b 1"]),
        ("doubt recorded, died in the probe", ["StepInDoubt a 1 outcome_unknown"]),
        ("failed(b), cause, undo of a started, died in it, after the effect", BACK[2:]),
        ("undone b, undo of a started, died in it", ["CompensationSucceeded b 1", "CompensationStarted a 1"]),
    ],
)
def test_a_row_notices_what_was_not_written_ahead(name: str, lost: list[str], way: str, store: Store) -> None:
    """A start, an outcome, a doubt or a cause that is recorded too late is missing when the process dies."""
    (row,) = (row for row in TABLE if row.name == name)
    with pytest.raises(AssertionError) as caught:
        check_row(row, store, Lagging(store), way)
    assert f"not durable when it died: {lost}" == str(caught.value).splitlines()[0]


def test_a_request_that_is_not_looked_at_is_noticed(way: str, memory: Store) -> None:
    """Mail not looked at: the instance goes on as if nobody had asked."""
    deaf = Deaf(memory)
    with pytest.raises(AssertionError) as caught:
        check_request(memory, deaf, way, mail=deaf.box.__getitem__)
    assert "the request was overtaken by StepInDoubt b 1 process_died" == str(caught.value).splitlines()[0]


def test_a_dead_owner_that_is_not_fenced_is_noticed(way: str, memory: Store) -> None:
    """Fencing off: the dead owner's token is as good as any."""
    with pytest.raises(AssertionError) as caught:
        check_dead_owner(memory, Unfenced(memory), way)
    assert "the dead owner wrote ['InstanceBlocked b in_doubt']" == str(caught.value).splitlines()[0]
