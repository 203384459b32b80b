"""Any saga, any failures, a crash anywhere: it ends completed, or fully compensated, or asks what can be answered."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sagafsm import SagaInstance, SagaNotFound
from sagafsm.history import events as e
from sagafsm.history.instance import Block
from sagafsm.store import Store
from support.bench import Bench, is_async, line
from support.ghosts import CrashAt, StepPlan, World, crashes, plans, saga_of, settled_plans
from support.stores import Crash, MortalStore, new_store

WAYS = (("memory", "sync"), ("memory", "async"), ("sql", "sync"), ("sql", "async"))
EXAMPLES = {("memory", "sync"): 150, ("memory", "async"): 40, ("sql", "sync"): 40, ("sql", "async"): 20}
numbers = itertools.count()


def setting(place: tuple[str, str], **more: Any) -> settings:
    return settings(max_examples=EXAMPLES[place], deadline=None, suppress_health_check=list(HealthCheck), **more)


@pytest.fixture(params=WAYS, ids="-".join)
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture
def stores(place: tuple[str, str], tmp_path: Path) -> Iterator[Store]:
    store = new_store(place[0], tmp_path)
    yield store
    store.close()


def bench_of(store: Any, way: str, plan: dict[str, StepPlan]) -> tuple[Bench, World, str]:
    id = f"o-{next(numbers)}"
    world = World(store, id, plan)
    return Bench(store, saga_of(world, is_async=is_async(way)), way), world, id


def attempt(bench: Bench, world: World, crash: CrashAt | None, ask: Callable[[], Any]) -> bool:
    """Let a process do this, and die where it is told; whether it came to its end."""
    alive = bench.store
    mortal = bench.store = MortalStore(alive)
    if crash is not None and crash.where == "commit":
        mortal.dies_at, mortal.durable = crash.n, crash.after
    calls = itertools.count(1)

    def die() -> None:
        if next(calls) == crash.n:
            mortal.die()

    if crash is not None and crash.where == "call":
        world.before_call, world.after_call = (lambda: None, die) if crash.after else (die, lambda: None)
    try:
        ask()
    except Crash:
        return False
    finally:
        bench.store = alive
        world.before_call = world.after_call = lambda: None
    return True


# How it ends ----------------------------------------------------------------------------------------------------------


def truthful(block: Block, world: World) -> list[tuple[str, dict[str, Any]]]:
    """The decisions that the block allows and that are true, or are made true by hand."""
    step, held = block.step, world.holds(block.step)
    found: list[tuple[str, dict[str, Any]]] = []
    for decision in block.decisions:
        match decision:
            case "retry" | "compensate":
                found.append((decision, {}))
            case "resolve(result)" if held or block.reason == "exhausted" or not world.plans[step].effect:
                found.append(("resolve", {"result": "told", "reason": "seen"}))
            case "resolve(not_done)" if not held:
                found.append(("resolve", {"not_done": True, "reason": "seen"}))
            case "resolve(undone)":
                found.append(("resolve", {"undone": True, "reason": "by hand"}))
            case "skip" | "abandon":
                found.append((decision, {"reason": "enough"}))
    return found


def decide(bench: Bench, world: World, block: Block, id: str, data: st.DataObject, crash: CrashAt | None) -> bool:
    choices = truthful(block, world)
    assert choices, f"{block} allows nothing that is true"
    operation, given = data.draw(st.sampled_from(choices))
    if given.get("undone"):
        world.undo_by_hand(block.step)
    if "result" in given and block.reason == "exhausted":
        world.do_by_hand(block.step)
    return attempt(bench, world, crash, lambda: bench.ask(operation, id, **given))


def check_end(instance: SagaInstance, world: World) -> None:
    """No false green, nothing lost, everything undone in reverse order of start."""
    assert [] == world.breaches
    assert instance.is_at_rest
    effects = {name for name, plan in world.plans.items() if plan.effect}
    held = {name for name in world.plans if world.holds(name)}
    if instance.state == "completed":
        assert effects == held
        assert () == instance.residue
    assert held <= {left.step for left in instance.residue} or instance.state == "completed"
    assert not held or not instance.compensated
    order = [event.step for event in instance.history if isinstance(event, e.StepStarted) and event.attempt == 1]
    undone = [
        event.step for event in instance.history if isinstance(event, e.CompensationStarted) and event.attempt == 1
    ]
    assert sorted(undone, key=order.index, reverse=True) == undone
    assert [event.number for event in instance.history] == list(range(1, len(instance.history) + 1))


def sit_the_exam(
    store: Store,
    way: str,
    plan: dict[str, StepPlan],
    where: list[CrashAt],
    cancelled_at: int | None,
    data: st.DataObject,
    through: Any = None,
) -> None:
    """Run a saga that dies where it is told, and decide truthfully until it rests."""
    bench, world, id = bench_of(store, way, plan)
    bench.store, world.cancelled_at = through or store, cancelled_at
    pending = iter(where)
    seen: tuple[e.Event, ...] = ()
    for _ in range(80):
        crash = next(pending, None)
        instance = loaded(store, id)
        if instance is None:
            attempt(bench, world, crash, lambda: bench.run(id=id))
        elif instance.is_at_rest:
            break
        elif instance.blocked:
            decide(bench, world, instance.blocked[0], id, data, crash)
        else:
            attempt(bench, world, crash, lambda: bench.ask("resume", id))
        if (instance := loaded(store, id)) is not None:
            history = instance.history
            assert seen == history[: len(seen)], "what was recorded has changed"
            seen = history
    check_end(store.load(id).instance, world)


def loaded(store: Store, id: str) -> SagaInstance | None:
    """The instance as it stands, if it is there."""
    try:
        return store.load(id).instance
    except SagaNotFound:
        return None


@pytest.mark.draws
def test_any_saga_ends_well_whatever_fails(place: tuple[str, str], stores: Store) -> None:
    """Laws 1 to 7, 11 and 15: with a crash at any commit and in any call, before and after it counts."""

    @setting(place)
    @given(plan=plans(), where=crashes, cancelled_at=st.none() | st.integers(1, 8), data=st.data())
    def exam(plan: dict[str, StepPlan], where: list[CrashAt], cancelled_at: int | None, data: st.DataObject) -> None:
        sit_the_exam(stores, place[1], plan, where, cancelled_at, data)

    exam()


# Resuming equals never having stopped ---------------------------------------------------------------------------------


def settled(history: tuple[e.Event, ...]) -> list[str]:
    """The history without starts, and without what settles doubts: the doubts, and that a probe says "not done"."""
    told: list[str] = []
    for event in history:
        if isinstance(event, e.StepStarted | e.CompensationStarted | e.StepInDoubt):
            continue
        if isinstance(event, e.StepFailed) and event.evidence == "probe" and event.retry_at is not None:
            continue
        words = line(event).removesuffix(" by probe").split()
        told.append(" ".join(word for word in words if not word.isdigit()))
    return told


def rested(bench: Bench, id: str) -> SagaInstance:
    """The instance at rest, when compensations that are given up are tried again."""
    for _ in range(20):
        instance = bench.store.load(id).instance
        if instance.is_at_rest:
            return instance
        bench.ask("retry" if instance.blocked else "resume", id)
    raise AssertionError(f"{instance} does not come to rest")


@pytest.mark.draws
def test_resuming_is_the_same_as_never_having_stopped(place: tuple[str, str], stores: Store) -> None:
    """Law 11: the same events but for the settling of doubt, the same results, the same world."""

    @setting(place)
    @given(plan=settled_plans(), where=crashes)
    @example(plan={"a": StepPlan(name="a", probe=(), in_doubt="retry")}, where=[CrashAt("call", 1, True)])
    @example(plan={"a": StepPlan(name="a", probe=(), in_doubt="retry")}, where=[CrashAt("commit", 1, True)])
    def exam(plan: dict[str, StepPlan], where: list[CrashAt]) -> None:
        whole, calm, first = bench_of(stores, place[1], plan)
        whole.run(id=first)
        expected = rested(whole, first)

        broken, world, second = bench_of(stores, place[1], plan)
        for crash in where:
            attempt(broken, world, crash, lambda: broken.run(id=second))
        broken.run(id=second)
        found = rested(broken, second)

        assert [] == world.breaches == calm.breaches
        assert sorted(calm.done.values()) == sorted(world.done.values())
        assert expected.state == found.state
        assert expected.results.keys() == found.results.keys()
        assert expected.compensated is found.compensated
        assert str(expected.cause) == str(found.cause)
        assert settled(expected.history) == settled(found.history)

    exam()
