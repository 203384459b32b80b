"""A saga that breaks on purpose: as often as it was told, where it was told, and nowhere else."""

from __future__ import annotations

import pytest

from sagafsm.definition.retry import Retry
from sagafsm.errors import RequestError
from sagafsm.orchestrator import Orchestrator
from sagafsm.saga import Saga
from sagafsm.verify.faults import Break, BrokenSaga
from sagafsm.verify.simulate.process import Crashed


class Shop:
    """What the steps really did, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.saga = Saga("order", in_doubt=("retry", "compensate"), retry=Retry(2, backoff=_moment()))
        for name in ("reserve", "charge"):
            self.saga.add_step(name, self._does(name), self._does(f"undo {name}"), compensation_retry=_twice())

    def _does(self, what: str):
        def act():
            self.done.append(what)

        return act

    def run(self, breaks: dict) -> str:
        with Orchestrator("memory://") as orchestrator:
            return orchestrator.run(BrokenSaga(self.saga, breaks), None, id="o-1").state


def _moment():
    from datetime import timedelta

    return timedelta(milliseconds=1)


def _twice() -> Retry:
    return Retry(2, backoff=_moment())


def test_a_refused_action_does_nothing() -> None:
    """`raise_before`, always: the step fails by every attempt, and what was done is undone."""
    shop = Shop()
    assert "failed" == shop.run({("charge", "action"): Break("raise_before", None)})
    assert ["reserve", "undo reserve"] == shop.done


def test_it_breaks_as_often_as_it_was_told() -> None:
    """Once: the second attempt works. The break counts down, and tells what is left of it."""
    shop, once = Shop(), Break("raise_before", 1)
    assert ("refused, once", False) == (str(once), once.is_spent)
    assert "completed" == shop.run({("charge", "action"): once})
    assert ["reserve", "charge"] == shop.done
    assert once.is_spent


def test_an_action_that_times_out_was_done() -> None:
    """`raise_after`: in doubt although done, so that the policy calls it again."""
    shop = Shop()
    assert "completed" == shop.run({("charge", "action"): Break("raise_after", 1)})
    assert ["reserve", "charge", "charge"] == shop.done


def test_a_broken_compensation_blocks_and_goes_on_when_mended() -> None:
    """Breaks are looked at anew at each call: without them the same instance goes on."""
    shop = Shop()
    breaks = {
        ("charge", "action"): Break("raise_before", None),
        ("reserve", "compensation"): Break("raise_before", None),
    }
    with Orchestrator("memory://") as orchestrator:
        instance = orchestrator.run(BrokenSaga(shop.saga, breaks), None, id="o-1")
        assert ["compensation_failed"] == [block.reason for block in instance.blocked]
        breaks.clear()
        assert "failed" == orchestrator.retry("o-1").state
    assert ["reserve", "undo reserve"] == shop.done


@pytest.mark.parametrize(("kind", "done"), [("crash", ["reserve"]), ("crash_after", ["reserve", "charge"])])
def test_a_crash_ends_the_drive_and_leaves_a_doubt(kind, done) -> None:
    """The history stays as it is, as when a process dies; the plain saga goes on with it."""
    shop = Shop()
    with Orchestrator("memory://") as orchestrator:
        with pytest.raises(Crashed):
            orchestrator.run(BrokenSaga(shop.saga, {("charge", "action"): Break(kind)}), None, id="o-1")
        assert done == shop.done
        assert "running:charge" == orchestrator.get("o-1").state
        orchestrator.run(shop.saga, None, id="o-1")
        told = [str(event) for event in orchestrator.get("o-1").history]
    assert "StepInDoubt charge" in told
    assert [*done, "charge"] == shop.done


def test_a_step_of_a_nested_saga_breaks_by_its_path() -> None:
    """Its parent's steps of the same name do not."""
    shop = Shop()
    outer = Saga("outer")
    outer.add_step("charge", lambda: shop.done.append("outer charge"), lambda: shop.done.append("undo outer"))
    outer.add_saga("inner", shop.saga)
    with Orchestrator("memory://") as orchestrator:
        broken = BrokenSaga(outer, {("inner/charge", "action"): Break("raise_before", None)})
        assert "failed" == orchestrator.run(broken, None).state
    assert ["outer charge", "reserve", "undo reserve", "undo outer"] == shop.done


def test_async_functions_break_too() -> None:
    """Coroutine functions, and functions that return an awaitable."""
    done = []

    async def act():
        done.append("acted")

    saga = Saga("order", retry=_twice(), in_doubt="retry")
    saga.add_step("one", act)
    saga.add_step("two", lambda input: act())
    breaks = {(name, "action"): Break("raise_after", 1) for name in ("one", "two")}
    with Orchestrator("memory://") as orchestrator:
        assert "completed" == orchestrator.run(BrokenSaga(saga, breaks), None).state
    assert ["acted"] * 4 == done


def test_the_definition_is_the_same_to_an_instance() -> None:
    """Fingerprint, order and policies are the saga's; only what is called differs."""
    saga = Shop().saga
    broken = BrokenSaga(saga, {}).definition
    assert saga.definition.fingerprint == broken.fingerprint
    assert [step.outline for step in saga.definition.steps] == [step.outline for step in broken.steps]


def test_nonsense_is_refused() -> None:
    """What is no break says what one is."""
    with pytest.raises(RequestError) as error:
        Break("explode")  # type: ignore[arg-type]
    assert "a step breaks by one of raise_before, raise_after, crash, crash_after, not 'explode'" == str(error.value)
    for times in (0, True, -1, "often"):
        with pytest.raises(RequestError) as error:
            Break("crash", times)  # type: ignore[arg-type]
        assert f"a step breaks 1 or more times, or always (None), not {times!r}" == str(error.value)
