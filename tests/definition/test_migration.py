"""Law 14: an instance keeps its saga's version. Versions live side by side; or a migration says how an instance goes
on, and is refused where something that was begun would be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sagafsm import Context, DefinitionChanged, DefinitionError, Orchestrator, Saga
from sagafsm.core.decisions import list_allowed_operations
from sagafsm.definition.migration import build_migration_event
from sagafsm.history import events as e
from sagafsm.history.instance import SagaInstance
from sagafsm.store import Store, open_store
from support.bench import Bench, is_async, lines
from support.messages import message_of
from support.mortality import die
from support.services import STEADY, Service, add, saga_of
from support.stores import MortalStore

OLD: dict[str, dict[str, Any]] = {"a": {}, "b": {}, "c": {}}


def version(
    number: int, service: Service, steps: Mapping[str, Mapping[str, Any]], *, way: str = "sync", name: str = "order"
) -> Saga:
    """That version of a saga of these steps."""
    saga = Saga(name, version=number)
    for step, options in steps.items():
        if options.get("kind") == "wait":
            saga.wait_for(step)
        elif "child" in options:
            saga.add_saga(step, options["child"])
        else:
            add(saga, service, step, is_async=is_async(way), **options)
    return saga


def newer(
    service: Service,
    steps: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str | None] | None = None,
    *,
    way: str = "sync",
) -> Saga:
    """Version 2, that takes instances of version 1 over."""
    saga = version(2, service, steps, way=way)
    saga.migrate_from(1)(lambda: names or {})
    return saga


def left_in_b(
    store: Any,
    way: str,
    script: dict[str, list[Any]] | None = None,
    steps: Mapping[str, Mapping[str, Any]] = OLD,
) -> tuple[Bench, Service]:
    """An instance of version 1 that is blocked in b, in doubt."""
    service = Service(script={"b": ["lost"], **(script or {})})
    bench = Bench(store, version(1, service, steps, way=way), way)
    assert [("b", "in_doubt")] == [block[:2] for block in bench.run().blocked]
    service.calls.clear()
    return bench, service


# Side by side ---------------------------------------------------------------------------------------------------------


def test_versions_live_side_by_side(way: str, store: Store) -> None:
    """An instance goes on under the version that it was begun under; new ones take the one they are run with."""
    bench, service = left_in_b(store, way)
    second = version(2, service, {"a": {}, "x": {}}, way=way)
    bench.options = {"sagas": [bench.saga, second]}
    instance = bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert ("completed", 1, ["c 1"]) == (instance.state, instance.version, service.calls)
    assert 2 == bench.ask("run", second, "mug", id="o-2").version
    assert [("o-1", 1), ("o-2", 2)] == [(summary.id, summary.version) for summary in store.find()]


def test_another_version_alone_is_refused(way: str, memory: Store) -> None:
    """Without the old version and without a migration: the difference is told; nothing is changed."""
    bench, service = left_in_b(memory, way)
    bench.saga = version(2, service, {"a": {}, "c": {}, "x": {}}, way=way)
    assert (
        "instance 'o-1' was begun under another definition of saga 'order' version 1: registered is version 2; "
        "step 'b' is gone; step 'x' is new "
        "(register the old definition under its version and give the new one another)"
    ) == message_of(DefinitionChanged, lambda: bench.ask("resume", "o-1"))
    assert ["running:b"] == [bench.get().state]


# Migrated -------------------------------------------------------------------------------------------------------------


def test_a_migration_is_recorded_first(way: str, store: Store) -> None:
    """Steps are renamed, added before and after, and removed; the instance goes on under the new version."""
    bench, service = left_in_b(store, way)
    steps: dict[str, dict[str, Any]] = {"start": {}, "a": {}, "bee": {}, "between": {}, "z": {}}
    bench.saga = newer(service, steps, {"b": "bee", "c": None}, way=way)
    instance = bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert [
        "InstanceMigrated",
        "InstanceBlocked bee in_doubt",
        "DecisionMade resolve(result) bee looked",
        "StepStarted between 1",
        "StepSucceeded between 1",
        "StepStarted z 1",
        "StepSucceeded z 1",
        "InstanceCompleted",
    ] == lines(instance.history)[6:]
    migration = instance.history[6]
    assert isinstance(migration, e.InstanceMigrated)
    assert (2, "running:bee", (("b", "bee"), ("c", None))) == (migration.version, migration.state, migration.renamed)
    assert ["between 1", "z 1"] == service.calls
    # What is new before the present step was not there to be done.
    assert {"a": "a!", "bee": "seen", "between": "between!", "z": "z!"} == instance.results
    assert (2, 2) == (instance.version, store.load("o-1").summary.version)
    assert bench.saga.definition.fingerprint == instance.fingerprint
    assert ("start", "skipped") == (instance.steps["start"].name, instance.steps["start"].status)


def test_a_migrated_instance_goes_back_under_the_new_names(way: str, store: Store) -> None:
    """Each compensation is that of the new definition, with its step's result; what is new before is not undone."""
    bench, service = left_in_b(store, way, {"d": ["fail"]})
    bench.saga = newer(service, {"new": {}, "alpha": {}, "b": {}, "d": {}}, {"a": "alpha", "c": None}, way=way)
    instance = bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert ["d 1", "undo b 1 of seen", "undo alpha 1 of a!"] == service.calls
    assert instance.compensated


def test_a_renamed_step_keeps_its_key(way: str, store: Store) -> None:
    """The service knows the call by the key that it was given: retries and the compensation have the same."""
    keys: list[tuple[str, str, str]] = []

    def act(ctx: Context) -> None:
        keys.append((ctx.step, ctx.idempotency_key, ctx.action_key))
        if len(keys) == 1:
            raise TimeoutError

    def undo(ctx: Context) -> None:
        keys.append((ctx.step, ctx.idempotency_key, ctx.action_key))

    old = Saga("order")
    old.add_step("b", act, undo)
    bench = Bench(store, old, way)
    bench.run()
    new = bench.saga = Saga("order", version=2)
    new.add_step("bee", act, undo)
    new.add_step("b", act, undo)
    new.migrate_from(1)(lambda: {"b": "bee"})
    assert "completed" == bench.ask("retry", "o-1").state
    assert "failed" == bench.ask("compensate", "o-1").state
    first, second, third, undone_b, undone_bee = keys
    assert ["b", "bee", "b", "b", "bee"] == [key[0] for key in keys]
    assert first[1] == second[1] == second[2] == undone_bee[2]
    assert third[1] == undone_b[2]
    # A new step of the old name is another step, with keys of its own.
    assert 4 == len({first[1], third[1], undone_b[1], undone_bee[1]})


def test_a_migration_is_asked_once(way: str, store: Store) -> None:
    """Crash table: migrated: folded under the new definition; not asked again, nor after a restart."""
    bench, service = left_in_b(store, way, {"b": ["lost", "fail"]}, {"a": {}, "b": {"in_doubt": "ask"}, "c": {}})
    asked: list[int] = []
    new = version(2, service, {"a": {}, "bee": {"retry": STEADY}, "c": {}}, way=way)

    @new.migrate_from(1)
    def renamed() -> dict[str, str | None]:
        asked.append(1)
        return {"b": "bee"}

    bench.saga = new
    die(bench, service, "after 1", "retry", "o-1")
    assert [1] == asked
    assert ["InstanceMigrated", "InstanceBlocked bee in_doubt", "DecisionMade retry bee", "StepStarted bee 2"] == lines(
        store.history("o-1")
    )[6:]
    bench.ask("recover")
    bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert [1] == asked
    assert ("completed", 2) == (bench.get().state, bench.get().version)
    bench.saga = version(2, service, {"a": {}, "bee": {}, "c": {}}, way=way)
    assert "completed" == bench.ask("resume", "o-1").state


def test_a_result_told_is_of_the_new_steps_type(memory: Store) -> None:
    """`resolve` with the decision that migrates: what is told is stored as the renamed step's type."""

    def act() -> timedelta:
        raise TimeoutError

    service = Service()
    old = saga_of(service, b={})
    service.script = {"b": ["lost"]}
    bench = Bench(memory, old)
    bench.run()
    new = bench.saga = Saga("order", version=2)
    new.add_step("bee", act, lambda: None)
    new.migrate_from(1)(lambda: {"b": "bee"})
    instance = bench.ask("resolve", "o-1", result=timedelta(seconds=5), reason="looked")
    assert ("completed", ["bee"]) == (instance.state, list(instance.results))


def test_without_anything_to_do_it_is_migrated_all_the_same(way: str, memory: Store) -> None:
    """Recovery of a pending one migrates and starts; a parked one is not touched."""
    service = Service()
    bench = Bench(memory, version(1, service, OLD, way=way), way)
    bench.ask("start", bench.saga, "mug", id="o-1")
    bench.saga = newer(service, {"x": {}, "a": {}}, {"b": None, "c": None}, way=way)
    assert ("o-1",) == bench.ask("recover").resumed
    assert ["x 1", "a 1"] == service.calls
    assert ["InstanceCreated", "InstanceMigrated", "StepStarted x 1"] == lines(bench.get().history)[:3]


def test_migrations_go_from_version_to_version(way: str, memory: Store) -> None:
    """The newest version that takes this one over is asked; one that only knows version 2 takes the next step."""
    bench, service = left_in_b(memory, way, {"c": ["lost"]})
    second = newer(service, {"a": {}, "bee": {}, "c": {}}, {"b": "bee"}, way=way)
    third = version(3, service, {"a": {}, "bee": {}, "sea": {}}, way=way)
    third.migrate_from(2)(lambda: {"c": "sea"})
    bench.options = {"sagas": [second, third]}
    bench.saga = second
    instance = bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert (2, "c") == (instance.version, instance.blocked[0].step)
    bench.options = {"sagas": [third]}
    instance = bench.ask("resolve", "o-1", result="seen", reason="looked")
    assert ("completed", 3, ["a", "bee", "sea"]) == (instance.state, instance.version, list(instance.results))


def test_an_instance_that_was_driven_on_meanwhile_is_migrated_as_it_is(memory: Store) -> None:
    """Between the look and the claim somebody else may have moved it: the migration is of what is then."""
    service = Service(script={"b": ["lost"]})
    old = version(1, service, OLD)
    Bench(memory, old).run()

    class Meanwhile(MortalStore):
        def _pass(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if name == "claim" and not self.commits:
                self.commits = 1
                service.script = {"c": ["lost"]}
                Bench(memory, old).ask("resolve", "o-1", result="seen", reason="looked")
            return method(*args, **kwargs)

    bench = Bench(Meanwhile(memory), newer(service, {"a": {}, "b": {}, "sea": {}}, {"c": "sea"}))
    instance = bench.ask("resume", "o-1")
    assert ("running:sea", ["sea"]) == (instance.state, [block.step for block in instance.blocked])
    assert ("seen", "done") == (instance.results["b"], instance.steps["b"].status)


def test_a_kept_signal_follows_its_wait(way: str, memory: Store) -> None:
    """A signal that came early for a wait that is renamed is there under the new name."""
    service = Service()
    bench = Bench(memory, version(1, service, {"a": {}, "approval": {"kind": "wait"}}, way=way), way)
    bench.ask("start", bench.saga, "mug", id="o-1")
    bench.ask("advance", "o-1")
    with Orchestrator(memory) as stranger:
        stranger.signal("o-1", "approval", "yes")
    bench.saga = newer(service, {"a": {}, "consent": {"kind": "wait"}}, {"approval": "consent"}, way=way)
    assert {"a": "a!", "consent": "yes"} == bench.ask("resume", "o-1").results


def test_a_signal_for_what_is_gone_is_forgotten(way: str, memory: Store) -> None:
    """Posted before a migration that removes its wait, or the nested saga that it was for: it changes nothing."""
    service = Service()
    child = Saga("payment")
    child.wait_for("ok")
    old = {"a": {}, "pay": {"child": child}, "approval": {"kind": "wait"}}
    bench = Bench(memory, version(1, service, old, way=way), way)
    bench.ask("start", bench.saga, "mug", id="o-1")
    with Orchestrator(memory) as stranger:
        stranger.signal("o-1", "approval", "yes")
        stranger.signal("o-1", "pay/ok", "yes")
    bench.saga = newer(service, {"a": {}}, {"approval": None, "pay": None}, way=way)
    assert ("completed", {"a": "a!"}) == ((instance := bench.ask("resume", "o-1")).state, instance.results)


def test_a_nested_signal_follows_its_saga(way: str, memory: Store) -> None:
    """A nested saga that was not begun may be renamed, and what came for it early is handed down all the same."""
    service, child = Service(), Saga("payment")
    child.wait_for("ok")
    bench = Bench(memory, version(1, service, {"a": {}, "pay": {"child": child}}, way=way), way)
    bench.ask("start", bench.saga, "mug", id="o-1")
    with Orchestrator(memory) as stranger:
        stranger.signal("o-1", "pay/ok", "yes")
    bench.saga = newer(service, {"a": {}, "bill": {"child": child}}, {"pay": "bill"}, way=way)
    assert {"a": "a!", "bill": {"ok": "yes"}} == bench.ask("resume", "o-1").results


# Refused --------------------------------------------------------------------------------------------------------------

END = "(a migration loses nothing: keep what it needs, or register version 1 too)"
A_TO_C = {"a": {}, "b": {}, "c": {}}
NESTED: dict[str, dict[str, Any]] = {"charge": {}}
REFUSALS: list[tuple[str, Mapping[str, Any], Mapping[str, Any], dict[str, str | None], str]] = [
    ("the current step is gone", A_TO_C, {"a": {}, "c": {}}, {"b": None}, "step 'b', in which it is, is gone"),
    ("the current step is not named", A_TO_C, {"a": {}, "bee": {}}, {}, "step 'b', in which it is, is gone"),
    ("a compensation is gone", A_TO_C, {"b": {}, "c": {}}, {"a": None},
     "step 'a' is gone, and its compensation with it"),
    ("a compensation is lost", A_TO_C, {"alpha": {"undo": False}, "b": {}}, {"a": "alpha", "c": None},
     "step 'a' has lost its compensation"),
    ("what may remain is gone", {"a": {"undo": False}, "b": {}}, {"b": {}}, {},
     "step 'a' is gone, and what it may have left with it"),
    ("what may remain is no effect", {"a": {"undo": False}, "b": {}}, {"a": {"undo": False, "effect": False}, "b": {}},
     {}, "step 'a' has lost its effect"),
    ("the order: before, behind", A_TO_C, {"b": {}, "a": {}, "c": {}}, {},
     "steps 'a', 'b' were begun in this order, and stand in another; step 'a' was before it, and stands behind"),
    ("the order: behind, before", A_TO_C, {"a": {}, "c": {}, "b": {}}, {},
     "step 'c' was behind it, and stands before"),
    ("the order of what was begun", {"x": {}, **A_TO_C}, {"a": {}, "x": {}, "b": {}}, {},
     "steps 'x', 'a', 'b' were begun in this order, and stand in another"),
    ("the pivot is passed", {"a": {"pivot": True}, "b": {"undo": False}}, {"a": {"undo": False}, "b": {"undo": False}},
     {}, "step 'a' is the pivot no more, and it was begun"),
    ("a new pivot before it", {"a": {}, "b": {"undo": False}}, {"a": {}, "x": {"pivot": True}, "b": {"undo": False}},
     {}, "step 'x' is a new pivot before it"),
    ("an old step is a pivot before it", {"a": {"undo": False}, "b": {"undo": False}},
     {"a": {"pivot": True}, "b": {"undo": False}}, {}, "step 'a' is a new pivot before it"),
    ("another kind", {"a": {"undo": False}, "b": {}}, {"a": {"kind": "wait"}, "b": {}}, {},
     "step 'a' was a step and is a wait"),
    ("a group falls apart", {"b": {"group": "g"}, "c": {"group": "g"}}, {"b": {}, "c": {}}, {},
     "the steps in which it is, 'b', 'c', stand in different states"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "names", "told"), [row[1:] for row in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_a_migration_that_would_lose_something_is_refused(
    old: Any, new: Any, names: dict[str, str | None], told: str, way: str, memory: Store
) -> None:
    """The message names the steps; the instance is untouched, and recovery reports it."""
    bench, service = left_in_b(memory, way, steps=old)
    history = memory.history("o-1")
    bench.saga = newer(service, new, names, way=way)
    whole = f"instance 'o-1' was begun under another definition of saga 'order' version 1: {told} {END}"
    assert whole == message_of(DefinitionChanged, lambda: bench.ask("resume", "o-1"))
    assert whole == message_of(DefinitionChanged, lambda: bench.ask("retry", "o-1", step="b"))
    assert history == memory.history("o-1")
    assert None is bench.get().owner
    assert [] == service.calls


def test_a_refused_migration_stops_no_other(way: str, memory: Store) -> None:
    """Law 11: it is reported, and the others go on."""
    bench, service = left_in_b(memory, way)
    bench.ask("start", bench.saga, "mug", id="o-2")
    memory.post("o-1", e.CancelRequested(request_id="r-1", reason="no"))
    bench.saga = newer(service, {"a": {}}, {"b": None, "c": None}, way=way)
    report = bench.ask("recover")
    assert (("o-2",), ["o-1"]) == (report.resumed, list(report.errors))
    assert isinstance(report.errors["o-1"], DefinitionChanged)


NAMES: list[tuple[Any, str]] = [
    ({"x": "a"}, "names step 'x', which that version does not have (a, b, c)"),
    ({"b": "x"}, "names step 'x', which is not there (a, b, c)"),
    ({"b": "a"}, "makes one step 'a' of 'a' and 'b'"),
    ({"a": "c", "b": "c", "c": None}, "makes one step 'c' of 'a' and 'b'"),
    ([("a", "b")], "returns a mapping of old names to new ones, not [('a', 'b')]"),
    (None, "returns a mapping of old names to new ones, not None"),
]


@pytest.mark.parametrize(("names", "told"), NAMES)
def test_names_that_mean_nothing(names: Any, told: str, memory: Store) -> None:
    """A migration names steps that are there, each once."""
    bench, service = left_in_b(memory, "sync")
    bench.saga = version(2, service, A_TO_C)
    bench.saga.migrate_from(1)(lambda: names)
    assert f"the migration of saga 'order' from version 1 {told}" == message_of(
        DefinitionError, lambda: bench.ask("resume", "o-1")
    )


@pytest.mark.parametrize("number", [0, 2, 3, True, "1", None])
def test_a_migration_is_from_an_older_version(number: Any) -> None:
    """It says from which; of the first version there is no older one."""
    assert f"saga 'order' version 2 migrates from an older version (1 to 1), not {number!r}" == message_of(
        DefinitionError, lambda: Saga("order", version=2).migrate_from(number)(dict)
    )
    assert "saga 'order' version 1 migrates from an older version (none is older), not 1" == message_of(
        DefinitionError, lambda: Saga("order").migrate_from(1)(dict)
    )
    assert "the migration of saga 'order' from version 1 must be a function, not {'a': 'b'}" == message_of(
        DefinitionError, lambda: Saga("order", version=2).migrate_from(1)({"a": "b"})
    )


def test_a_nested_saga_that_was_begun_keeps_its_name_and_its_steps(way: str, memory: Store) -> None:
    """Its instance has the step's name in its id, and its own definition."""
    service = Service(script={"b": ["lost"]})

    def child(*steps: str) -> Saga:
        return saga_of(service, "payment", is_async=is_async(way), **{step: {} for step in steps})

    old = {"pay": {"child": child("charge")}, "b": {}}
    bench = Bench(memory, version(1, service, old, way=way), way)
    bench.run()
    for new, names, told in (
        (
            {"bill": {"child": child("charge")}, "b": {}},
            {"pay": "bill"},
            "nested saga 'pay' was begun and is named 'bill' now",
        ),
        ({"pay": {"child": child("charge", "tip")}, "b": {}}, {}, "in saga 'pay', step 'tip' is new"),
        ({"pay": {}, "b": {}}, {}, "step 'pay' was a saga and is a step"),
        ({"b": {}}, {}, "step 'pay' is gone, and its compensation with it"),
    ):
        bench.saga = newer(service, new, names, way=way)
        whole = f"instance 'o-1' was begun under another definition of saga 'order' version 1: {told} {END}"
        assert whole == message_of(DefinitionChanged, lambda: bench.ask("resume", "o-1"))
    bench.saga = newer(service, {"pay": {"child": child("charge")}, "bee": {}}, {"b": "bee"}, way=way)
    assert bench.ask("compensate", "o-1").compensated
    assert ["undo bee 1 of None in doubt", "undo charge 1 of charge!"] == service.calls[2:]


def test_a_nested_saga_that_is_parked_keeps_its_steps_and_its_place(way: str, memory: Store) -> None:
    """The message names the steps that changed, or the steps that would change sides, and adds nothing to that."""
    service = Service()

    def child(**options: Any) -> Saga:
        payment = Saga("payment")
        add(payment, service, "charge", is_async=is_async(way), **options)
        payment.wait_for("ok")
        return payment

    bench = Bench(memory, version(1, service, {"a": {}, "pay": {"child": child()}}, way=way), way)
    assert "parked" == bench.run().steps["pay"].status
    for new, told in (
        (
            {"a": {}, "pay": {"child": child(effect=False, undo=False)}},
            "in saga 'pay', step 'charge' lost its effect; in saga 'pay', step 'charge' lost its compensation",
        ),
        ({"pay": {"child": child()}, "a": {}}, "step 'a' was before it, and stands behind"),
    ):
        bench.saga = newer(service, new, way=way)
        whole = f"instance 'o-1' was begun under another definition of saga 'order' version 1: {told} {END}"
        assert whole == message_of(DefinitionChanged, lambda: bench.ask("resume", "o-1"))


def test_a_title_is_no_other_saga(memory: Store) -> None:
    """What only people read may change, in a nested saga too."""
    service = Service(script={"b": ["lost"]})
    found: list[Saga] = []
    for title in ("Charge", "Charge the card"):
        child = Saga("payment")
        add(child, service, "charge", title=title)
        found.append(child)
    bench = Bench(memory, version(1, service, {"pay": {"child": found[0]}, "b": {}}))
    bench.run()
    bench.saga = newer(service, {"pay": {"child": found[1]}, "b": {}})
    assert "completed" == bench.ask("resolve", "o-1", result="seen", reason="looked").state


# Any migration --------------------------------------------------------------------------------------------------------

STEPS = "abcde"
options = st.fixed_dictionaries({"undo": st.booleans(), "effect": st.sampled_from([True, True, True, False])})


@st.composite
def sagas(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Any saga of some of these steps, in any order, some of them in a group."""
    names = draw(st.lists(st.sampled_from(STEPS), min_size=1, unique=True))
    first, last = sorted((draw(st.integers(0, len(names))), draw(st.integers(0, len(names)))))
    found: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(names):
        given_ = draw(options)
        found[name] = {"effect": given_["effect"], "undo": given_["effect"] and given_["undo"]}
        if first <= i < last:
            found[name]["group"] = "g"
    return found


mappings = st.dictionaries(st.sampled_from(STEPS), st.none() | st.sampled_from(STEPS), max_size=3)


# An instance that has failed before it could be migrated keeps its version and the old names.
@example(
    old={"c": {"effect": True, "undo": False}, "a": {"effect": True, "undo": False}},
    new={"b": {"effect": True, "undo": False}},
    names={"c": "b"}, fails="a", lost="", undo_fails="", again="",
)  # fmt: skip
@given(
    old=sagas(), new=sagas(), names=mappings, fails=st.sampled_from([*STEPS, ""]),
    lost=st.sampled_from([*STEPS, ""]), undo_fails=st.sampled_from([*STEPS, ""]), again=st.sampled_from([*STEPS, ""]),
)  # fmt: skip
def test_an_accepted_migration_loses_no_compensation(
    old: Any, new: Any, names: Any, fails: str, lost: str, undo_fails: str, again: str
) -> None:
    """Any: wherever an instance stands, under any other definition: it is refused, or all that was done is undone or
    told as residue, in reverse order of start, and nothing is done twice.
    """
    service = Service(script={fails: ["fail"], lost: ["lost"], f"undo {undo_fails}": ["permanent"]})
    store = open_store("memory://")
    bench = Bench(store, version(1, service, old))
    before = bench.run()
    effects = dict(service.effects)
    known = {name: names[name] for name in names if name in old and (names[name] is None or names[name] in new)}
    service.script, service.calls = {again: ["fail"]}, []
    bench.saga = newer(service, new, known)
    try:
        build_migration_event(before, bench.saga.definition, known)
    except (DefinitionChanged, DefinitionError):
        return
    ended = before.is_at_rest and "compensate" not in list_allowed_operations(before)
    after = settled(bench, before)
    if after.state == "completed" and "compensate" in list_allowed_operations(after):
        after = bench.ask("compensate", "o-1")
    # Nothing calls the steps of an instance that has ended, so nothing migrates the instance: its names stay.
    assert (1 if ended else 2) == after.version
    renamed = {name: name if ended else known.get(name, name) for name in old}
    check(before, after, service, effects, renamed)


def settled(bench: Bench, instance: SagaInstance) -> SagaInstance:
    """The instance once its blocks are decided, each the way that undoes most."""
    if instance.state == "completed" and "compensate" in list_allowed_operations(instance):
        instance = bench.ask("compensate", "o-1")
    elif not instance.is_at_rest:
        instance = bench.ask("resume", "o-1")
    while instance.blocked:
        block = instance.blocked[0]
        decision = next(one for one in ("compensate", "retry", "skip", "abandon") if one in block.decisions)
        step = {} if decision == "abandon" else {"step": block.step}
        instance = bench.ask(decision, "o-1", reason="so", **step)
    return instance


def check(
    before: SagaInstance, after: SagaInstance, service: Service, done: dict[str, str], renamed: dict[str, str | None]
) -> None:
    """What is left in the world is told; what was undone was undone in reverse order of start."""
    assert after.is_at_rest
    if after.state == "failed":
        effects = {step.name for step in after.outline if step.effect}
        told = {entry.step for entry in after.residue}
        for key, step in service.effects.items():
            # A step without effect has none, whatever its service says.
            known = [outline for outline in before.outline if outline.name == step and key in done]
            name = renamed[step] if known else step
            if (known and not known[0].effect) or (not known and step not in effects):
                continue
            assert name in told, (step, name, told)
    order = [call.split()[1] for call in service.calls if call.startswith("undo")]
    starts = {step: i for i, step in enumerate(after.started)}
    undone = [starts[step] for step in dict.fromkeys(order)]
    assert sorted(undone, reverse=True) == undone
    done_before = {renamed[step] for step, record in before.steps.items() if record.status == "done"}
    assert not done_before & {call.split()[0] for call in service.calls if not call.startswith("undo")}


def test_the_deadline_is_that_of_creation(memory: Store) -> None:
    """A migration moves no deadline."""
    service = Service(script={"b": ["lost"]})
    old = Saga("order", deadline=timedelta(hours=1))
    add(old, service, "b")
    bench = Bench(memory, old)
    before = bench.run()
    bench.saga = newer(service, {"b": {}})
    assert before.deadline == bench.ask("resume", "o-1").deadline


def test_a_migration_that_raises_is_told(memory: Store) -> None:
    """What the author's function raises names the saga and the version, and leaves the instance alone."""
    bench, service = left_in_b(memory, "sync")
    bench.saga = version(2, service, {"a": {}, "b": {}}, way="sync")

    @bench.saga.migrate_from(1)
    def broken() -> dict[str, str | None]:
        raise ValueError("no idea")

    assert (
        "the migration of saga 'order' from version 1 raised ValueError('no idea') (it takes nothing, and returns the "
        "steps' new names by their old ones)"
    ) == message_of(DefinitionError, lambda: bench.ask("resume", "o-1"))
    assert "running:b" == bench.get().state
