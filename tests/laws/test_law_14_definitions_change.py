"""Law 14: definitions change: an instance keeps its saga name, version and fingerprint, and resumes under these.

- Another definition is refused with a diff by step, unless the old version is registered too or a migration maps the
  steps. A repaired function is not another definition.
- Every moving event carries the state to which it leads, and the first event the step list. So an instance whose
  definition is gone can still be listed, shown and abandoned.

Versions side by side, migrations and their refusals: tests/definition/test_migration.py.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import DefinitionChanged, Orchestrator, Saga
from sagafsm.definition.registry import Registry
from sagafsm.history.events import CancelRequested
from sagafsm.store import Store, open_store
from support.bench import Bench, is_async, lines
from support.cases import Case, cases
from support.controls import expect_breach, quick
from support.mortality import mortal
from support.orders import bench_of
from support.services import STEADY, Service, saga_of
from support.stores import Crash

# Another definition ---------------------------------------------------------------------------------------------------


def test_another_definition_is_refused_with_a_diff(way: str, store: Store) -> None:
    """Resuming under another definition is refused with a diff by step. The instance is untouched and can be abandoned."""
    bench, service = bench_of(store, way, a={}, b={})
    bench.ask("start", bench.saga, 1, id="o-1")
    bench.saga = saga_of(service, b={"undo": False}, a={"probe": True}, c={})
    for operation, words in (("resume", {}), ("advance", {}), ("retry", {}), ("resolve", {"result": 1, "reason": "x"})):
        with pytest.raises(DefinitionChanged) as caught:
            bench.ask(operation, "o-1", **words)
    assert (
        "instance 'o-1' was begun under another definition of saga 'order' version 1: step 'c' is new; the order was a, b; "
        "step 'a' gained its probe; step 'b' lost its compensation "
        "(register the old definition under its version and give the new one another)"
    ) == str(caught.value)
    with pytest.raises(DefinitionChanged):
        bench.run(1)
    assert ["InstanceCreated"] == lines(store.history("o-1"))
    assert "pending" == bench.ask("cancel", "o-1", reason="no").state
    assert "failed" == bench.ask("abandon", "o-1", reason="enough").state


def test_a_repaired_function_resumes_an_old_instance(way: str, memory: Store) -> None:
    """The fingerprint covers the structure and not the code."""
    bench, _service = bench_of(memory, way, {"a": ["fail"]}, a={"retry": STEADY})
    bench.ask("start", bench.saga, 1, id="o-1")
    bench.ask("advance", "o-1")
    mended = Service()
    bench.saga = saga_of(mended, is_async=is_async(way), a={})
    bench.clock.advance(10)
    assert "completed" == bench.ask("resume", "o-1").state
    assert ["a 2"] == mended.calls


Structure = dict[str, dict[str, Any]]
# What the fingerprint covers, and retries, which it does not cover.
options = st.fixed_dictionaries({"undo": st.booleans(), "probe": st.booleans(), "group": st.sampled_from((None, "g"))})
structures = st.builds(
    lambda names, given: dict(zip(names, given, strict=False)),
    st.permutations("abc"),
    st.lists(options, min_size=1, max_size=2),
)
changes: dict[str, Any] = {"old": structures, "new": structures, "same": st.booleans(), "retried": st.booleans()}


def check_change(old: Structure, new: Structure, same: bool, retried: bool) -> None:
    new = old if same else new
    unchanged = list(old.items()) == list(new.items())
    with contextlib.closing(open_store("memory://")) as store:
        bench = Bench(store, saga_of(Service(), **old))
        bench.ask("start", bench.saga, "mug", id="o-1")
        if retried:
            new = {name: {**given, "retry": STEADY} for name, given in new.items()}
        bench.saga = saga_of(Service(), **new)
        refused = False
        try:
            bench.ask("resume", "o-1")
        except DefinitionChanged:
            refused = True
        assert refused is not unchanged, "an instance resumes under another definition, or is refused under its own"
        assert ("pending" if refused else "completed") == bench.get().state
        assert not refused or ["InstanceCreated"] == lines(store.history("o-1"))


@quick(60)
@given(**changes)
def test_an_instance_resumes_under_its_own_definition_only(
    old: Structure, new: Structure, same: bool, retried: bool
) -> None:
    """Any change of names, order, groups, compensations or probes is refused, and no change of a retry is."""
    check_change(old, new, same, retried)


def test_a_fingerprint_that_is_not_compared_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: the definition registered under the name counts as that of the instance."""
    monkeypatch.setattr(Registry, "of", lambda self, instance: (next(iter(self.sagas)).definition, None))
    alike = st.fixed_dictionaries({"a": options, "b": options})
    expect_breach(check_change, **{**changes, "old": alike, "new": alike})


# The definition is gone -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", [False, True])
def test_abandon_needs_no_definition(nested: bool, way: str, store: Store) -> None:
    """The mail is absorbed first, nothing is called, and all that was done is residue, by path."""
    bench, service = Case({"a": {}, "b": {}}, {"b": ["lost"]}, nested).bench(store, way)
    bench.run()
    calls = list(service.calls)
    store.post("o-1", CancelRequested(request_id="r-1", by="me", reason="no"))
    bench.saga = Saga("other")
    bench.saga.add_step("x", lambda: 1)
    instance = bench.ask("abandon", "o-1", reason="enough")
    closed = ["ChildAbandoned pay"] if nested else []
    assert ["CancelRequested no", *closed, "DecisionMade abandon enough", "InstanceFailed"] == lines(instance.history)[
        -3 - nested :
    ]
    assert (calls, ()) == (service.calls, store.mail("o-1"))
    path = "pay/" if nested else ""
    assert [(f"{path}a", "abandoned"), (f"{path}b", "in_doubt")] == [(one.step, one.reason) for one in instance.residue]


@quick(25)
@given(case=cases, number=st.integers(1, 9))
def test_any_instance_can_be_listed_shown_and_abandoned_without_its_definition(case: Case, number: int) -> None:
    """Whatever a process left behind when it died, another one without the definition shows it and closes it."""
    with contextlib.closing(open_store("memory://")) as store:
        bench, service = case.bench(mortal(store, f"after {number}"))
        with contextlib.suppress(Crash):
            bench.run()
        with Orchestrator(store) as stranger:
            listed = {summary.id: summary.state for summary in stranger.find()}
            for id, state in listed.items():
                instance = stranger.get(id)
                assert state == instance.state == instance.at(len(instance.history)).state
                assert instance.state in instance.to_html()
            if not stranger.get("o-1").is_at_rest:
                instance = stranger.abandon("o-1", reason="enough")
                assert "failed" == instance.state
                left = {one.step.rpartition("/")[2] for one in instance.residue}
                assert set(service.effects.values()) <= left
